"""What a comparison of places looks like."""

from collections.abc import Sequence

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
THERE = (
    Column("provider", "Provider"),
    Column("region", "Region"),
    Column("size", "Size"),
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
        Section("What an hour of its size costs, by list", (Table(THERE, shown, empty=empty),)),
    ]
    if len(shown) < len(regions):
        blocks.append(Status(State("more", "idle"), f"the {len(shown)} cheapest of {len(regions)} regions; all with --limit 0"))
    return Document("PlaceComparison", [*targets, *regions], blocks)


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
    }


def _there(line: There) -> dict[str, object]:
    return {
        "name": f"{line.provider}/{line.region}",
        "kind": "region",
        "provider": line.provider,
        "region": line.region,
        "size": line.size,
        "hourly_price": line.hourly,
        "currency": line.currency,
        "dearer_percent": line.dearer,
        "source": line.source,
        "price_as_of": line.as_of,
    }
