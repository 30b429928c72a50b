"""What the reasons of a change look like."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Section, Table
from mcml.cost.span import Span
from mcml.cost.views import apart, conditions
from mcml.cost.why.split import PARTS, Change, Item, Part, Why, together

TITLES: Mapping[Part, str] = {
    "volume": "Volume",
    "mix": "Mix",
    "rate": "Rate",
    "commitment": "Commitment",
    "new": "New",
    "gone": "Gone",
    "unused_commitment": "Unused commitment",
    "purchase": "Purchase",
    "credit": "Credit",
    "tax": "Tax",
    "adjustment": "Adjustment",
    "no_quantity": "No quantity",
}
NOISE = Decimal("1e-9")
"""Bills round to ten decimals and more: what moved by less than this did not move."""
SKUS_SHOWN = 10
"""SKUs a currency on the screen; JSON has all."""
EMPTY = "no costs in these spans; see what there is with: mcml cost report --by month"

Done = tuple[datetime, str, str]
"""When, what kind, and a sentence."""


def why(by: Sequence[str], found: Sequence[Why], before: Span, after: Span, done: Sequence[Done] = ()) -> Document:
    """Show a table of parts a currency, the SKUs that moved most, and what was done in these spans."""
    items = apart([_item(by, each.currency, change) for each in found for change in each.changes])
    blocks: list[Block] = [_currency(by, each, before, after) for each in found]
    blocks += [_skus(by, each) for each in found if any(_moved(item.parts) for change in each.changes for item in change.items)]
    if done:
        columns = Column("at", "When", "time"), Column("kind", "Kind"), Column("text", "What")
        rows = [{"at": at, "kind": kind, "text": text} for at, kind, text in done]
        blocks.append(Section("Deploys and infrastructure in these spans", (Table(columns, rows),)))
    return Document("CostChange", items, blocks or [Table([], [], empty=EMPTY)])


def _item(by: Sequence[str], currency: str, change: Change) -> dict[str, object]:
    return {
        "name": "/".join(part or "-" for part in change.key) or currency,
        "currency": currency,
        **dict(zip(by, change.key, strict=True)),
        "before": change.before,
        "after": change.after,
        "delta": change.delta,
        "parts": dict(change.parts),
        "others": change.others,
        "where": None if change.others else conditions(by, change.key),
        "skus": [_sku(item) for item in change.items],
    }


def _sku(item: Item) -> dict[str, object]:
    before, after = item.prices
    return {
        "provider": item.provider,
        "service": item.service,
        "sku": item.sku,
        "description": item.description,
        "unit": item.unit,
        "before": item.before,
        "after": item.after,
        "delta": item.delta,
        "quantity_before": item.quantity_before,
        "quantity_after": item.quantity_after,
        "price_before": before,
        "price_after": after,
        "parts": dict(item.parts),
    }


def _currency(by: Sequence[str], found: Why, before: Span, after: Span) -> Section:
    """Show the parts as columns; parts that are nowhere, and lines where nothing changed, are left out.

    Lines where rounding moved, and nothing else, are one; the parts of each are in the JSON.
    """
    moved = [change for change in found.changes if _moved(change.parts)]
    noise = [change for change in found.changes if change.parts and not _moved(change.parts)]
    used = [part for part in PARTS if any(abs(change.parts.get(part, Decimal(0))) >= NOISE for change in found.changes)]
    columns = (
        *(Column(name, name.capitalize()) for name in by),
        Column("before", "Before", "money"),
        Column("after", "After", "money"),
        Column("delta", "Change", "money"),
        *(Column(part, TITLES[part], "money") for part in used),
    )
    rows = [_flat(by, change, used) for change in moved]
    if noise:
        lines = "1 line" if len(noise) == 1 else f"{len(noise)} lines"
        rows.append({**_flat((), together((), noise), used), by[0]: f"rounding ({lines})"})
    if len(rows) > 1 and by:
        rows.append({**_flat((), found.whole, used), by[0]: "all"})
    table = Table(columns, rows, empty="nothing changed")
    return Section(f"Why the effective cost in {found.currency} changed: {after.days} against {before.days}", (table,))


def _moved(parts: Mapping[Part, Decimal]) -> bool:
    return any(abs(amount) >= NOISE for amount in parts.values())


def _flat(by: Sequence[str], change: Change, used: Sequence[Part]) -> dict[str, object]:
    amounts = {"before": change.before, "after": change.after, "delta": change.delta}
    return {**dict(zip(by, change.key, strict=True)), **amounts, **{part: change.parts.get(part) for part in used}}


def _skus(by: Sequence[str], found: Why) -> Section:
    """Show the SKUs that moved most, each with the line that it is in."""
    columns = (
        *(Column(name, name.capitalize()) for name in by if name != "service"),
        Column("service", "Service"),
        Column("description", "SKU"),
        Column("quantity_before", "Quantity", "number"),
        Column("quantity_after", "now", "number"),
        Column("unit", "Unit"),
        Column("price_before", "Price", "money"),
        Column("price_after", "now", "money"),
        Column("delta", "Change", "money"),
    )
    every = ((change.key, item) for change in found.changes for item in change.items if _moved(item.parts))
    moved = sorted(every, key=lambda each: -abs(each[1].delta))[:SKUS_SHOWN]
    rows = [{**_sku(item), **dict(zip(by, key, strict=True)), "description": item.description or item.sku} for key, item in moved]
    return Section(f"SKUs that moved most, in {found.currency}", (Table(columns, rows),))
