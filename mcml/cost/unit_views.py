"""What the cost of requests looks like: values of `unit` in, a document out."""

from collections.abc import Sequence

from mcml.core.view import Block, Column, Document, Section, Table
from mcml.cost.unit import UnitLine, UnitTable
from mcml.cost.views import EMPTY, apart, conditions

NO_MODEL = "no model"


def units(by: Sequence[str], tables: Sequence[UnitTable]) -> Document:
    """Show two tables a currency; `by` begins with the model. `where` of an item chooses the rows of its direct cost."""
    items = apart([_item(by, table.currency, line) | {"where": conditions(by, line.key)} for table in tables for line in table.lines])
    blocks: list[Block] = [section for table in tables for section in _sections(by, table)]
    return Document("ModelCostList", items, blocks or [Table([], [], empty=EMPTY)])


def _item(by: Sequence[str], currency: str, line: UnitLine) -> dict[str, object]:
    return {
        "name": "/".join(part or "-" for part in line.key) if line.key[0] else NO_MODEL,
        "currency": currency,
        **dict(zip(by, line.key, strict=True)),
        "requests": line.requests,
        "failed_requests": line.failed,
        "usage_cost": line.usage,
        "direct_cost": line.direct,
        "shared_cost": line.shared,
        "loaded_cost": line.loaded,
        "idle_cost": line.idle,
        "idle_percent": line.idle_percent,
        "usage_per_request": line.per_request(line.usage),
        "usage_per_thousand_requests": line.per_thousand(line.usage),
        "loaded_per_request": line.per_request(line.loaded),
        "loaded_per_thousand_requests": line.per_thousand(line.loaded),
        "tokens": line.tokens,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "usage_per_million_tokens": line.per_million_tokens(line.on_tokens),
        "loaded_per_million_tokens": line.per_million_tokens(line.loaded),
    }


def _sections(by: Sequence[str], table: UnitTable) -> list[Section]:
    """Show what 1,000 requests cost, and how the lines add up to the bill: side by side they are wider than a screen."""
    rows = [_item(by, table.currency, line) | ({} if line.key[0] else {by[0]: NO_MODEL}) for line in table.lines]
    if len(rows) > 1:
        rows.append(_item(by, table.currency, table.whole) | {by[0]: "all"})
    keys = [Column(name, name.capitalize()) for name in by]
    failed = (Column("failed_requests", "Failed", "number"),) if table.whole.failed is not None else ()
    counted = (
        *keys,
        Column("requests", "Requests", "number"),
        *failed,
        Column("usage_per_thousand_requests", "Usage", "money"),
        Column("loaded_per_thousand_requests", "Fully loaded", "money"),
    )
    spent = (
        *keys,
        Column("usage_cost", "Usage", "money"),
        Column("direct_cost", "Direct", "money"),
        Column("shared_cost", "Shared", "money"),
        Column("loaded_cost", "Fully loaded", "money"),
        Column("idle_cost", "Idle", "money"),
        Column("idle_percent", "Idle %", "percent"),
    )
    asked = [row for row in rows if row["requests"] is not None]
    said = [row for row in rows if row["tokens"] is not None]
    both = table.whole.input_tokens is not None or table.whole.output_tokens is not None
    by_token = (
        *keys,
        Column("tokens", "Tokens", "number"),
        *((Column("input_tokens", "Input", "number"), Column("output_tokens", "Output", "number")) if both else ()),
        Column("usage_per_million_tokens", "Usage", "money"),
        Column("loaded_per_million_tokens", "Fully loaded", "money"),
    )
    return [
        *([Section(f"What 1,000,000 tokens cost, in {table.currency}", (Table(by_token, said),))] if said else []),
        Section(f"What 1,000 requests cost, in {table.currency}", (Table(counted, asked, empty="nobody counted requests"),)),
        Section(f"What the models cost, in {table.currency}: direct + shared = fully loaded", (Table(spent, rows),)),
    ]
