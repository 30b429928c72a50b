"""A cost report as values: groups of the ledger folded into tables of one currency each. Pure: no I/O, no clock, no float.

Shares are of the effective cost: what was used, with discounts and commitments spread over their term. The billed cost is what an
invoice says, where a yearly fee falls on one day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import percent, product, quotient, tidy, total

DEFAULT_BY = ("provider", "target", "model")
SOURCE, DAY = "source", "day"
TIMES = (DAY, "week", "month")
UNIT_PLACES = 12
"""Decimals of a cost per thousand requests: a quotient, so it has to stop somewhere."""
DAYS_DRAWN = 31
"""A month, whichever it is."""


@dataclass(frozen=True)
class Line:
    """One row of the report. `sources` is its effective cost by where the rows come from (billed, measured, estimate).

    `others`: how many lines it stands for, 0 when it is one itself.
    """

    key: tuple[str | None, ...]
    billed: Decimal
    effective: Decimal
    share: Decimal | None
    rows: int
    requests: int | None
    per_thousand: Decimal | None
    sources: Mapping[str, Decimal]
    first: datetime
    last: datetime
    ingested: datetime
    others: int = 0


@dataclass(frozen=True)
class SourceShare:
    """How much of a table comes from one source (billed, measured, estimate), until when, and when that was booked."""

    source: str
    billed: Decimal
    effective: Decimal
    share: Decimal | None
    until: datetime
    ingested: datetime


@dataclass(frozen=True)
class CurrencyTable:
    """All costs in one currency: two currencies are never added. `daily` is (day, effective cost) of the last days, oldest first."""

    currency: str
    lines: tuple[Line, ...]
    billed: Decimal
    effective: Decimal
    sources: tuple[SourceShare, ...]
    daily: tuple[tuple[str, Decimal | None], ...] = ()


@dataclass(frozen=True)
class Report:
    """Tables by currency, and what they are grouped by."""

    by: tuple[str, ...]
    tables: tuple[CurrencyTable, ...]


def dimensions_to_ask(by: Sequence[str]) -> tuple[str, ...]:
    """Return the dimensions that the ledger must be asked for: those of the report, and the source of the rows last."""
    return (*by, SOURCE)


def build(by: Sequence[str], groups: Iterable[Group], daily: Iterable[Group] = (), *, limit: int = 0) -> Report:
    """Fold groups (by `dimensions_to_ask(by)`) and days (by `day`) of the ledger into a report.

    Beyond `limit` lines a currency (0: no limit) the cheapest are folded into one that says how many they are.
    """
    days = list(daily)
    tables = []
    for currency, found in groupby(sorted(groups, key=lambda group: group.currency), key=lambda group: group.currency):
        mine = list(found)
        billed, effective = (tidy(total(amounts)) for amounts in zip(*((group.billed, group.effective) for group in mine), strict=True))
        lines = _ordered(by, _folded(by, mine, effective, limit))
        sources = tuple(_source(key[0], several, effective) for key, several in sorted(_split(mine, slice(-1, None)).items()))
        drawn = _days([group for group in days if group.currency == currency])
        tables.append(CurrencyTable(currency, lines, billed, effective, sources, drawn))
    return Report(tuple(by), tuple(tables))


def _split(groups: Iterable[Group], part: slice) -> dict[tuple[str | None, ...], list[Group]]:
    """Collect groups by a part of their key."""
    found: dict[tuple[str | None, ...], list[Group]] = {}
    for group in groups:
        found.setdefault(group.key[part], []).append(group)
    return found


def _folded(by: Sequence[str], groups: Sequence[Group], whole: Decimal, limit: int) -> list[Line]:
    """Return a line a key; all but the `limit` dearest (0: no limit) are folded into one."""
    found = _split(groups, slice(-1))
    if not limit or len(found) <= limit:
        return [_line(key, several, whole) for key, several in found.items()]
    dearest = sorted(found, key=lambda key: (-total(group.effective for group in found[key]), tuple(part or "" for part in key)))
    rest = dearest[limit:]
    name = (others(len(rest)), *[None] * (len(by) - 1))
    folded = _line(name, [group for key in rest for group in found[key]], whole)
    return [*(_line(key, found[key], whole) for key in dearest[:limit]), replace(folded, others=len(rest))]


def others(count: int) -> str:
    """Name the line that stands for so many."""
    return f"{count} others" if count > 1 else "1 other"


def _source(source: str | None, groups: Sequence[Group], whole: Decimal) -> SourceShare:
    line = _line((source,), groups, whole)
    return SourceShare(source or "", line.billed, line.effective, line.share, line.last, line.ingested)


def _line(key: tuple[str | None, ...], groups: Sequence[Group], whole: Decimal) -> Line:
    effective = total(group.effective for group in groups)
    counted = [group.requests for group in groups if group.requests is not None]
    requests = sum(counted) if counted else None
    return Line(
        key=key,
        billed=tidy(total(group.billed for group in groups)),
        effective=tidy(effective),
        share=percent(effective, whole),
        rows=sum(group.rows for group in groups),
        requests=requests,
        per_thousand=per_thousand(effective, requests) if requests else None,
        sources={str(key[0]): tidy(total(group.effective for group in some)) for key, some in _split(groups, slice(-1, None)).items()},
        first=min(group.first for group in groups),
        last=max(min(group.last, group.ingested) for group in groups),
        ingested=max(group.ingested for group in groups),
    )


def per_thousand(cost: Decimal, requests: int) -> Decimal:
    """Return what a thousand requests cost."""
    return tidy(quotient(product(cost, 1000), requests, places=UNIT_PLACES))


def _ordered(by: Sequence[str], lines: list[Line]) -> tuple[Line, ...]:
    """Order by time where the report begins with one, else dearest first; the folded line is last."""
    if by and by[0] in TIMES:
        return tuple(sorted(lines, key=lambda line: (line.others, line.key[0] or "", -line.effective, -line.billed)))
    return tuple(sorted(lines, key=lambda line: (line.others, -line.effective, -line.billed, tuple(part or "" for part in line.key))))


def _days(groups: Sequence[Group]) -> tuple[tuple[str, Decimal | None], ...]:
    """Return the last days up to the newest one with a cost, None where a day has none; nothing when only one day has."""
    costs = {date.fromisoformat(str(group.key[0])): tidy(group.effective) for group in groups}
    if not costs:
        return ()
    newest = max(costs)
    drawn = [newest - timedelta(days=back) for back in range(DAYS_DRAWN - 1, -1, -1)]
    days = [day for day in drawn if day >= min(costs)]
    points = [(day.isoformat(), costs.get(day)) for day in days]
    first = next(index for index, (_, cost) in enumerate(points) if cost is not None)
    return tuple(points[first:]) if len(points) - first > 1 else ()
