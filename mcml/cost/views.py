"""What costs look like: values of this room in, documents out. Amounts stay Decimal, so JSON holds them to the last digit."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcml.core.price import STALE_AFTER
from mcml.core.view import Block, Column, Document, Level, Section, Series, State, Status, Table, Text
from mcml.cost.intake.quarantine import again
from mcml.cost.movers import Move, MoveTable
from mcml.cost.report import CurrencyTable, Line, Report
from mcml.cost.span import Span
from mcml.store.ledger.book import Group, Refused
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.dimensions import Filter
from mcml.store.ledger.exact import percent, tidy, total
from mcml.store.ledger.intake import Ingested
from mcml.store.ledger.manifest import Delivery
from mcml.store.ledger.rows import Behind

if TYPE_CHECKING:
    from mcml.store.prices import CataloguePrice  # loads SQLAlchemy, which a report does not need

NO_ERRORS: Mapping[str, Decimal] = MappingProxyType({})
EMPTY = "no costs in this span; bring some in with: mcml cost ingest --provider local, or mcml cost ingest --sample"
MONEY = (
    Column("billed_cost", "Billed", "money"),
    Column("effective_cost", "Effective", "money"),
    Column("share_percent", "Share", "share"),
)
USUAL_ERROR = Column("usual_error", "Usual error", "percent")
"""Of estimates; it is not known before a bill has covered one."""
UNIT = (Column("requests", "Requests", "number"), Column("cost_per_thousand_requests", "Per 1,000", "money"))


def cost_report(report: Report, waiting: Sequence[Delivery] = (), errors: Mapping[str, Decimal] = NO_ERRORS) -> Document:
    """Show one table a currency, and below it where the numbers come from and how old they are.

    `errors` is by how many percent estimates in a currency are usually off.
    """
    items = apart([_item(report.by, table.currency, line) for table in report.tables for line in table.lines])
    blocks: list[Block] = [block for table in report.tables for block in (_currency(report.by, table), _sources(table, errors))]
    if not items:
        blocks.append(Table([], [], empty=EMPTY))
    rows = sum(delivery.quarantined for delivery in waiting)
    if rows:
        said = "1 row is" if rows == 1 else f"{rows} rows are"
        blocks.append(Status(State("quarantine", "warn"), f"{said} not in these sums: mcml cost quarantine"))
    return Document("CostReport", items, tuple(blocks), metadata=_told([row for table in report.tables for row in _made_of(table, errors)]))


def _made_of(table: CurrencyTable, errors: Mapping[str, Decimal]) -> list[dict[str, object]]:
    """Return what a table is made of; only estimates have a usual error."""
    off = errors.get(table.currency)
    about = {"span": "all", "currency": table.currency}
    return [{**about, **vars(source), "usual_error": off if source.source == ESTIMATE else None} for source in table.sources]


def _told(sources: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """Return what scripts see of sources."""
    return {"sources": [{name: row[key] for name, key in SOURCE_FIELDS.items()} for row in sources]} if sources else {}


def _item(by: Sequence[str], currency: str, line: Line) -> dict[str, object]:
    return {
        "name": "/".join(part or "-" for part in line.key) or currency,
        "currency": currency,
        **dict(zip(by, line.key, strict=True)),
        "billed_cost": line.billed,
        "effective_cost": line.effective,
        "share_percent": line.share,
        "rows": line.rows,
        "requests": line.requests,
        "cost_per_thousand_requests": line.per_thousand,
        "effective_cost_by_source": dict(line.sources),
        "charges_from": line.first,
        "charges_until": line.last,
        "ingested_at": line.ingested,
        "others": line.others,
        "where": None if line.others else conditions(by, line.key),
    }


def conditions(by: Sequence[str], key: Sequence[str | None]) -> list[str]:
    """Return what chooses the rows of a line, as --where takes it."""
    return [str(Filter(name, "=", (value or "",))) for name, value in zip(by, key, strict=True)]


def apart(items: Sequence[Mapping[str, object]], among: Iterable[str] = ()) -> list[Mapping[str, object]]:
    """Where there are several currencies, add an item's own to what chooses its rows: those in another are not behind its number.

    `among`: the currencies of the costs that were asked for, when not each of them has an item.
    """
    if len({*among, *(item["currency"] for item in items)}) < 2:
        return list(items)
    return [item if item.get("where") is None else {**item, "where": within(item["where"], item["currency"])} for item in items]


def within(where: object, currency: object) -> list[str]:
    """Return conditions, and that rows are in this currency."""
    return [*(where if isinstance(where, list) else ()), *conditions(("billing_currency",), (str(currency),))]


def _currency(by: Sequence[str], table: CurrencyTable) -> Section:
    rows = [_item(by, table.currency, line) for line in table.lines]
    counted = any(line.requests is not None for line in table.lines)
    columns = [*(Column(name, name.capitalize()) for name in by), *MONEY, *(UNIT if counted else ())]
    blocks: list[Block] = [Table(columns, rows)]
    if table.daily:
        first, last = table.daily[0][0], table.daily[-1][0]
        points = [None if cost is None else float(cost) for _, cost in table.daily]
        blocks.append(Series(f"effective, {first} to {last}", points, table.currency))
    return Section(f"Costs in {table.currency}", blocks)


def _sources(table: CurrencyTable, errors: Mapping[str, Decimal]) -> Section:
    """Show what the total is made of, how old each part is, and how far off estimates usually are."""
    columns: tuple[Column, ...] = (
        Column("source", "Source"),
        Column("billed", "Billed", "money"),
        Column("effective", "Effective", "money"),
        Column("share", "Share", "share"),
        Column("until", "Charges until", "time"),
        Column("ingested", "Ingested", "time"),
    )
    rows = _made_of(table, errors)
    if any(row["source"] == ESTIMATE for row in rows):
        columns += (USUAL_ERROR,)
    if len(rows) > 1:
        newest = {"until": max(source.until for source in table.sources), "ingested": max(source.ingested for source in table.sources)}
        rows.append({"source": "all", "billed": table.billed, "effective": table.effective, "share": None, **newest})
    return Section(f"Totals in {table.currency}", (Table(columns, rows),))


SOURCE_FIELDS = {
    "span": "span",
    "currency": "currency",
    "source": "source",
    "effective_cost": "effective",
    "share_percent": "share",
    "usual_error_percent": "usual_error",
}
"""What scripts see of the sources of a span, in `metadata`."""


def with_sources(document: Document, spans: Mapping[str, Sequence[Group]], errors: Mapping[str, Decimal] = NO_ERRORS) -> Document:
    """Add what the numbers of each span are made of, from groups by source: billed, measured or estimated.

    `errors` is by how many percent estimates in a currency are usually off.
    """
    rows: list[Mapping[str, object]] = []
    for span, groups in spans.items():
        for group in groups:
            whole = total(each.effective for each in groups if each.currency == group.currency)
            amounts = {"effective": tidy(group.effective), "share": percent(group.effective, whole)}
            off = errors.get(group.currency) if group.key[0] == ESTIMATE else None
            until = min(group.last, group.ingested)
            rows.append({"span": span, "currency": group.currency, "source": group.key[0], **amounts, "usual_error": off, "until": until})
    several = len(spans) > 1  # of two that are compared, a bill that is not complete yet would look like a drop
    columns = (
        *([Column("span", "Span")] if several else []),
        Column("source", "Source"),
        Column("currency", "Currency"),
        Column("effective", "Effective", "money"),
        Column("share", "Share", "percent"),
        *([USUAL_ERROR] if any(row["source"] == ESTIMATE for row in rows) else []),
        *([Column("until", "Charges until", "time")] if several else []),
    )
    made_of = Section("What these costs are made of", (Table(columns, rows),))
    return replace(document, blocks=(*document.blocks, made_of), metadata={**document.metadata, **_told(rows)}) if rows else document


def comparison(by: Sequence[str], tables: Sequence[MoveTable], before: Span, after: Span) -> Document:
    """Show two spans side by side, one table a currency, what moved most first."""
    items = apart([_move(by, table.currency, move) for table in tables for move in table.moves])
    blocks: list[Block] = [_moves(by, table, before, after) for table in tables]
    return Document("CostComparison", items, blocks or [Table([], [], empty=EMPTY)])


def _move(by: Sequence[str], currency: str, move: Move) -> dict[str, object]:
    return {
        "name": "/".join(part or "-" for part in move.key) or currency,
        "currency": currency,
        **dict(zip(by, move.key, strict=True)),
        "before": move.before,
        "after": move.after,
        "delta": move.delta,
        "delta_percent": move.percent,
        "fate": State(move.fate, _FATES.get(move.fate, "ok")),
        "others": move.others,
        "where": None if move.others else conditions(by, move.key),
    }


_FATES: Mapping[str, Level] = {"new": "warn", "gone": "idle", "up": "warn", "same": "idle"}


def _titled(span: Span) -> str:
    """A month by its number: beside `2026-09`, nobody has to guess which one `last-month` is."""
    return f"{span.start:%Y-%m}" if span.months == 1 else str(span)


def _moves(by: Sequence[str], table: MoveTable, before: Span, after: Span) -> Section:
    columns = (
        *(Column(name, name.capitalize()) for name in by),
        Column("before", _titled(before), "money"),
        Column("after", _titled(after), "money"),
        Column("delta", "Change", "money"),
        Column("delta_percent", "Change %", "percent"),
        Column("fate", "", "state"),
    )
    rows = [_move(by, table.currency, move) for move in table.moves]
    if len(rows) > 1 and by:
        rows.append({**_move((), table.currency, table.whole), by[0]: "all"})
    return Section(f"Effective cost in {table.currency}: {after.days} against {before.days}", (Table(columns, rows),))


ROW_COLUMNS = (
    Column("ChargePeriodStart", "From", "time"),
    Column("ServiceName", "Service"),
    Column("ChargeDescription", "Charge"),
    Column("PricingQuantity", "Quantity", "number"),
    Column("PricingUnit", "Unit"),
    Column("BilledCost", "Billed", "money"),
    Column("EffectiveCost", "Effective", "money"),
    Column("BillingCurrency", "Currency"),
)


def behind(found: Behind) -> Document:
    """Show the rows behind a number, dearest first, and what all of them add up to; in JSON and CSV a row has all its columns."""
    items: list[Mapping[str, object]] = [{"name": f"{row['x_File']}:{row['x_Row']}", **row} for row in found.rows]
    blocks: list[Block] = [Section("Rows", (Table(ROW_COLUMNS, items, empty="no row"),))]
    columns = Column("currency", "Currency"), Column("rows", "Rows", "number"), *MONEY[:2]
    sums = [
        {"currency": each.currency, "rows": each.rows, "billed_cost": tidy(each.billed), "effective_cost": tidy(each.effective)}
        for each in found.sums
    ]
    blocks.append(Section("All of them", (Table(columns, sums),)))
    if len(items) < found.count:
        blocks.append(Status(State("more", "warn"), f"the {len(items)} dearest of {found.count} rows; all with a higher --limit"))
    return Document("CostRowList", items, blocks)


def ingested(results: Sequence[Ingested], *, dry_run: bool) -> Document:
    """Show what was booked per provider and currency, and every reason why rows were refused."""
    columns = (
        Column("origin", "From"),
        Column("provider", "Provider"),
        Column("rows", "Rows", "number"),
        Column("billed", "Billed", "money"),
        Column("currency", "Currency"),
        Column("state", "State", "state"),
    )
    rows = [
        {**line, "billed": Decimal(line["billed"]), "origin": result.delivery.origin, "state": _state(result, dry_run=dry_run)}
        for result in results
        for line in result.delivery.booked
    ]
    blocks: list[Block] = [Table(columns, rows, empty="no rows")]
    refused = [{**line, "billed": Decimal(line["billed"])} for result in results for line in result.delivery.refused]
    if refused:
        why = Column("reason", "Reason"), Column("rows", "Rows", "number"), Column("billed", "Billed", "money")
        blocks.append(Section("In quarantine, not in any sum (mcml cost quarantine)", (Table(why, refused),)))
    return Document("IngestResult", [_result(result, dry_run=dry_run) for result in results], tuple(blocks))


def _state(result: Ingested, *, dry_run: bool) -> State:
    if result.unchanged:
        return State("unchanged", "idle")
    return State("would be booked", "warn") if dry_run else State("replaced" if result.replaced else "booked")


def _result(result: Ingested, *, dry_run: bool) -> dict[str, object]:
    delivery = result.delivery
    return {
        "name": delivery.id,
        "origin": delivery.origin,
        "at": delivery.at,
        "rows": delivery.rows,
        "quarantined": delivery.quarantined,
        "replaced_rows": result.replaced,
        "unchanged": result.unchanged,
        "dry_run": dry_run,
        "booked": list(delivery.booked),
        "refused": list(delivery.refused),
    }


def quarantine(rows: Sequence[Refused], waiting: Sequence[Delivery] = (), providers: Collection[str] = ()) -> Document:
    """Show refused rows: where each stood and what is wrong with it; the row itself is in the JSON. `waiting` is whose they are."""
    columns = (
        Column("file", "File"),
        Column("row", "Row", "number"),
        Column("reason", "Reason"),
        Column("billed", "Billed", "money"),
        Column("currency", "Currency"),
    )
    items: list[Mapping[str, object]] = [
        {
            "name": f"{row.file}:{row.row}",
            "file": row.file,
            "row": row.row,
            "reason": row.reason,
            "billed": None if row.billed is None else tidy(row.billed),
            "currency": row.currency,
            "content": row.content,
        }
        for row in rows
    ]
    deliveries = [{"origin": each.origin, "rows": each.quarantined, "again": again(each, providers)} for each in waiting]
    steps = dict.fromkeys(str(each["again"]) for each in deliveries)
    blocks: list[Block] = [Table(columns, items, empty="no row is in quarantine")]
    if deliveries:
        title = "The rows as they were: mcml cost quarantine -o json. Mended under the same name they come in with"
        blocks.append(Section(title, tuple(Text(step, verbatim=True) for step in steps)))
    return Document("QuarantinedRowList", items, blocks, metadata={"deliveries": deliveries} if deliveries else {})


def catalogue(known: Sequence["CataloguePrice"], now: datetime) -> Document:
    """Show the newest price of every SKU, with where and when it was read, and which of them are too old to claim a saving by."""
    columns = (
        Column("provider", "Provider"),
        Column("region", "Region"),
        Column("sku", "SKU"),
        Column("price", "Price", "money"),
        Column("currency", "Currency"),
        Column("unit", "Per"),
        Column("source", "Source"),
        Column("as_of", "As of", "time"),
    )
    items: list[Mapping[str, object]] = [
        {
            "name": f"{each.provider}/{each.price.region or '-'}/{each.price.sku}",
            "provider": each.provider,
            "region": each.price.region,
            "sku": each.price.sku,
            "price": each.price.price,
            "currency": each.price.currency,
            "unit": each.price.unit,
            "source": each.price.source,
            "as_of": each.price.as_of,
            "stale": now - each.price.as_of > STALE_AFTER,
        }
        for each in known
    ]
    empty = "no price is known yet; bring some in with: mcml cost ingest --provider local"
    old = sum(1 for item in items if item["stale"])
    said = f"{old} of {len(items)} prices are older than {STALE_AFTER.days} days: no saving is claimed by them (stale, with -o json)"
    stale = [Status(State("stale", "warn"), said)] if old else []
    return Document("PriceList", items, (Table(columns, items, empty=empty), *stale))
