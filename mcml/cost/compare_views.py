"""What a comparison of places looks like."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Column, Document, Section, State, Status, Table
from mcml.cost.compare import Here, There

HERE = (
    Column("target", "Target"),
    Column("provider", "Provider"),
    Column("region", "Region"),
    Column("size", "Holds"),
    Column("hourly_price", "Per hour", "money"),
    Column("requests", "Requests", "number"),
    Column("share_percent", "Share", "percent"),
    Column("usage_per_thousand_requests", "Per 1,000", "money"),
    Column("currency", "Currency"),
)
PROPOSED = (
    Column("target", "Target"),
    Column("size", "Holds"),
    Column("proposed_size", "Would do"),
    Column("hourly_price", "Per hour", "money"),
    Column("proposed_hourly_price", "would be", "money"),
    Column("currency", "Currency"),
)
THERE = (
    Column("provider", "Provider"),
    Column("region", "Region"),
    Column("size", "Size"),
    Column("basis", "Basis"),
    Column("hourly_price", "Per hour", "money"),
    Column("currency", "Currency"),
    Column("dearer_percent", "Dearer", "percent"),
    Column("source", "Price of"),
)


def comparison(model: str, here: Sequence[Here], there: Sequence[There], *, limit: int = 0) -> Document:
    """Show the targets of a model, and the regions where its size has a price, the `limit` cheapest (0: all)."""
    targets = [_here(line) for line in here]
    regions = [_there(line) for line in there]
    shown = regions[:limit] if limit else regions
    empty = "no price of its size is known elsewhere; name a machine type with --machine"
    blocks: list[Block] = [
        Section(f"Where {model} runs", (Table(HERE, targets),)),
        *_proposals(here, targets),
        Section("What an hour of its size costs, by list", (Table(THERE, shown, empty=empty),)),
    ]
    assumed = dict.fromkeys(f"{line.provider}: {line.size}: {line.assumed}" for line in there if line.assumed)
    blocks += [Status(State("nearest", "idle"), text) for text in assumed]
    if len(shown) < len(regions):
        blocks.append(Status(State("more", "idle"), f"the {len(shown)} cheapest of {len(regions)} regions; all with --limit 0"))
    return Document("PlaceComparison", [*targets, *regions], blocks)


def _proposals(here: Sequence[Here], targets: Sequence[Mapping[str, object]]) -> list[Block]:
    """Show the targets where something is proposed, and why it is not on the others."""
    rows = [row for row in targets if row["proposed_size"]]
    unsaid = [Status(State("no proposal", "idle"), f"{line.target}: {line.unproposed}") for line in here if line.unproposed]
    return [*([Section("At the size that right-sizing proposes", (Table(PROPOSED, rows),))] if rows else []), *unsaid]


def _here(line: Here) -> dict[str, object]:
    return {
        "name": line.target or "-",
        "kind": "target",
        "target": line.target or None,
        "provider": line.provider or None,
        "region": line.region or None,
        "size": line.size or None,
        "hourly_price": line.hourly,
        "currency": line.currency or None,
        "requests": line.requests,
        "share_percent": line.share,
        "usage_per_thousand_requests": line.per_thousand,
        "proposed_size": line.proposed or None,
        "proposed_hourly_price": line.proposed_hourly,
        "why_not_proposed": line.unproposed or None,
    }


def _there(line: There) -> dict[str, object]:
    return {
        "name": f"{line.provider}/{line.region}",
        "kind": "region",
        "provider": line.provider,
        "region": line.region,
        "size": line.size,
        "basis": line.basis,
        "instead_of": line.instead_of or None,
        "assumed": line.assumed or None,
        "hourly_price": line.hourly,
        "currency": line.currency,
        "dearer_percent": line.dearer,
        "source": line.source,
        "price_as_of": line.as_of,
    }
