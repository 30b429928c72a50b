"""What a comparison of places looks like."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Column, Document, Section, State, Status, Table
from mcml.cost.compare.places import BY, Here, There
from mcml.cost.views import apart, conditions

HERE = (
    Column("target", "Target"),
    Column("provider", "Provider"),
    Column("region", "Region"),
    Column("size", "Holds"),
    Column("hourly_price", "Per hour", "money"),
    Column("cost", "Cost", "money"),
    Column("requests", "Requests", "number"),
    Column("share_percent", "Share", "share"),
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

NO_TARGET = (
    "these rows say which model they are of, and no target of mcml.toml, so what it runs on and how often it is asked is not known; "
    "tag what it runs on with target=NAME, and its next bills say it"
)


def comparison(model: str, here: Sequence[Here], there: Sequence[There], *, limit: int = 0) -> Document:
    """Show the targets of a model, and the regions where its size has a price, the `limit` cheapest (0: all)."""
    targets = apart([_here(model, line) for line in here], (line.currency for line in here if line.currency))
    regions = [_there(line) for line in there]
    shown = regions[:limit] if limit else regions
    empty = "no price of its size is known elsewhere; name a machine type with --machine"
    blocks: list[Block] = [
        Section(f"Where {model} runs", (Table(HERE, targets), *_untold(here))),
        *_proposals(here, targets),
        Section("What an hour of its size costs, by list", (Table(THERE, shown, empty=empty),)),
    ]
    assumed = dict.fromkeys(f"{line.provider}: {line.size}: {line.assumed}" for line in there if line.assumed)
    blocks += [Status(State("nearest", "idle"), text) for text in assumed]
    if len(shown) < len(regions):
        blocks.append(Status(State("more", "idle"), f"the {len(shown)} cheapest of {len(regions)} regions; all with --limit 0"))
    return Document("PlaceComparison", [*targets, *regions], blocks)


def _untold(here: Sequence[Here]) -> list[Block]:
    """Say why a line holds no more than its cost."""
    bare = any(not line.target and line.cost is not None for line in here)
    gone = dict.fromkeys(line.target for line in here if line.target and not line.provider)
    return [
        *([Status(State("no target", "warn"), NO_TARGET)] if bare else []),
        *(Status(State("no target", "warn"), f"{name}: the ledger has its costs, but mcml.toml no target of this name") for name in gone),
    ]


def _proposals(here: Sequence[Here], targets: Sequence[Mapping[str, object]]) -> list[Block]:
    """Show the targets where something is proposed, and why it is not on the others."""
    rows = [row for row in targets if row["proposed_size"]]
    unsaid = [Status(State("no proposal", "idle"), f"{line.target}: {line.unproposed}") for line in here if line.unproposed]
    return [*([Section("At the size that right-sizing proposes", (Table(PROPOSED, rows),))] if rows else []), *unsaid]


def _here(model: str, line: Here) -> dict[str, object]:
    return {
        "name": line.target or "/".join(part for part in (line.provider, line.region) if part) or "-",
        "kind": "target",
        "target": line.target or None,
        "provider": line.provider or None,
        "region": line.region or None,
        "size": line.size or None,
        "hourly_price": line.hourly,
        "currency": line.currency or None,
        "cost": line.cost,
        "requests": line.requests,
        "share_percent": line.share,
        "usage_per_thousand_requests": line.per_thousand,
        "proposed_size": line.proposed or None,
        "proposed_hourly_price": line.proposed_hourly,
        "why_not_proposed": line.unproposed or None,
        "where": None if line.cost is None else _where(model, line),
    }


def _where(model: str, line: Here) -> list[str]:
    """Return what chooses the rows of its cost."""
    if line.target:
        return conditions(("model", "target"), (model, line.target))
    return conditions(BY, (model, None, line.provider, line.region))


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
