"""The ledger as it is read: totals by dimension, a window of time, freshness, quarantine. SQL sums and compares, it never divides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mcml.core.clock import rfc3339
from mcml.store.ledger import cover
from mcml.store.ledger import manifest as manifests
from mcml.store.ledger.dimensions import Filter, condition, dimension
from mcml.store.ledger.engine import connected, identifier, literal, path_literal, sql
from mcml.store.ledger.manifest import Delivery, Manifest
from mcml.store.ledger.schema import COLUMNS, SQL_TYPE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TOTALS = """
    SELECT BillingCurrency, sum(BilledCost), sum(EffectiveCost), count(*), sum(x_Requests)::BIGINT,
           epoch_us(min(ChargePeriodStart)), epoch_us(max(ChargePeriodEnd)), epoch_us(max(x_IngestedAt)) ${keys}
    FROM cost WHERE ${condition} GROUP BY BillingCurrency ${keys}
    ORDER BY BillingCurrency, sum(EffectiveCost) DESC, sum(BilledCost) DESC ${keys}
"""
_TOTALS_IN_TIME = """
    SELECT BillingCurrency, sum(billed), sum(effective), sum(rows)::BIGINT, sum(requests)::BIGINT,
           min(first), max(last), max(ingested) ${keys}
    FROM (
        SELECT BillingCurrency, sum(BilledCost) AS billed, sum(EffectiveCost) AS effective, count(*) AS rows, sum(x_Requests) AS requests,
               epoch_us(min(ChargePeriodStart)) AS first, epoch_us(max(ChargePeriodEnd)) AS last, epoch_us(max(x_IngestedAt)) AS ingested,
               (epoch_us(ChargePeriodStart) + 62135596800000000) // 86400000000 AS days_since_year_1 ${parts}
        FROM cost WHERE ${condition} GROUP BY BillingCurrency, days_since_year_1 ${groups}
    )
    GROUP BY BillingCurrency ${keys}
    ORDER BY BillingCurrency, sum(effective) DESC, sum(billed) DESC ${keys}
"""
IN_TIME = frozenset(("day", "week", "month"))
_DAY = "to_timestamp((days_since_year_1 - 719162) * 86400)"
_SLICES = """
    SELECT BillingCurrency, sum(BilledCost), sum(EffectiveCost), count(*),
           least(epoch_us(ChargePeriodEnd), epoch_us(${end})) - greatest(epoch_us(ChargePeriodStart), epoch_us(${start})) AS shared,
           epoch_us(ChargePeriodEnd) - epoch_us(ChargePeriodStart) AS length
    FROM cost
    WHERE ChargePeriodStart < ${end} AND ${condition}
      AND (ChargePeriodEnd > ${start} OR (ChargePeriodEnd = ChargePeriodStart AND ChargePeriodStart >= ${start}))
    GROUP BY BillingCurrency, shared, length ORDER BY ALL
"""
_QUARANTINED = """
    SELECT x_File, x_Row, Reason, BilledCost, BillingCurrency, Row
    FROM (SELECT NULL::VARCHAR AS Bill WHERE false UNION ALL BY NAME SELECT * FROM read_parquet([${files}], union_by_name = true))
    WHERE (x_IngestId, coalesce(Bill, '')) IN (${held})
    ORDER BY CASE x_IngestId ${order} END, x_File, x_Row LIMIT ?
"""


@dataclass(frozen=True)
class Scope:
    """Which rows: charge periods that start in [since, until), equal to `where` (dimension to value), and all `filters` hold.

    `with_requests`: only rows that carry a count of requests, which is what was metered along with them.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    with_requests: bool = False
    filters: tuple[Filter, ...] = ()


class Group(NamedTuple):
    """The rows of one currency that share a key: their sums, how many, their requests (None: nobody counted any).

    `first` and `last` are the start and the end of their charge periods, `ingested` when the newest of them was booked. A question may be
    answered by a hundred thousand of these: a named tuple is made in a quarter of a dataclass's time.
    """

    currency: str
    key: tuple[str | None, ...]
    billed: Decimal
    effective: Decimal
    rows: int
    requests: int | None
    first: datetime
    last: datetime
    ingested: datetime


@dataclass(frozen=True)
class Slice:
    """The rows of a currency whose charge periods have one length and overlap a window by the same time."""

    currency: str
    billed: Decimal
    effective: Decimal
    rows: int
    overlap: timedelta
    length: timedelta


@dataclass(frozen=True)
class Refused:
    """A quarantined row: where it stood, what is wrong with it, its amount where it can be read, and the row itself as JSON."""

    file: str
    row: int
    reason: str
    billed: Decimal | None
    currency: str
    content: str


@dataclass(frozen=True)
class Ledger:
    """The cost ledger below `folder`, as the manifest has it at each question; a ledger that is not there yet is empty.

    With `as_of` it is what the ledger was then, for every question: what has been delivered since is not in it, and what that replaced is.
    """

    folder: Path
    as_of: datetime | None = None

    @property
    def manifest(self) -> Manifest:
        """Read the manifest. Raises McmlError when it is damaged."""
        found = manifests.load(self.folder)
        return found.at(self.as_of) if self.as_of else found

    def totals(self, by: Sequence[str], scope: Scope | None = None) -> list[Group]:
        """Sum the rows by currency and dimensions, dearest first. Raises Usage for an unknown dimension."""
        chosen, parameters = where(scope or Scope())
        with self.opened("cannot add up the costs") as connection:
            rows = connection.execute(_totals(by, chosen), parameters).fetchall()
        return [
            Group(row[0], row[8:], row[1], row[2], row[3], row[4], _moment(row[5]), _moment(row[6]), _moment(row[7])) for row in rows
        ]

    def slices(self, start: datetime, end: datetime, equal: Mapping[str, str] | None = None) -> list[Slice]:
        """Return the rows whose charge period overlaps [start, end), summed by how much of it does; one without length is all in it."""
        chosen, parameters = where(Scope(where=equal or {}))
        window = {"start": timestamp(start), "end": timestamp(end)}
        with self.opened("cannot add up the costs") as connection:
            rows = connection.execute(sql(_SLICES, condition=chosen, **window), parameters).fetchall()
        return [
            Slice(currency, billed, effective, count, timedelta(microseconds=shared), timedelta(microseconds=length))
            for currency, billed, effective, count, shared, length in rows
        ]

    def quarantined(self, limit: int = 100) -> list[Refused]:
        """Return rows that were refused and still wait, newest delivery first."""
        waiting = self.waiting()[::-1]
        if not waiting:
            return []
        files = ", ".join(path_literal(self.folder / each.quarantine) for each in waiting)
        order = " ".join(f"WHEN {literal(each.id)} THEN {rank}" for rank, each in enumerate(waiting))
        held = ", ".join(f"({literal(each.id)}, {literal(one.bill)})" for each in waiting for one in each.held)
        with connected("cannot read the quarantine") as connection:
            rows = connection.execute(sql(_QUARANTINED, files=files, order=order, held=held), [limit]).fetchall()
        return [Refused(file, row, reason, billed, currency or "", content) for file, row, reason, billed, currency, content in rows]

    def waiting(self) -> list[Delivery]:
        """Return the deliveries with rows in quarantine that nothing has replaced yet, oldest first."""
        return self.manifest.open_quarantine

    @contextmanager
    def opened(self, what: str) -> Iterator[Any]:
        """Yield a connection with the view `cost`: the rows of the ledger as the manifest has it now. An error says `what` failed."""
        parts = self.manifest.current
        with connected(what) as connection:
            if parts:
                for statement in cover.view(self.folder, parts):
                    connection.execute(statement)
            else:
                columns = ", ".join(f"{identifier(name)} {SQL_TYPE[kind]}" for name, kind in COLUMNS.items())
                connection.execute(f"CREATE TABLE cost ({columns})")
            yield connection


def _totals(by: Sequence[str], condition: str) -> str:
    """Return the query of `totals`. Days are grouped as numbers and only then written: to write the day of each row is most of the work."""
    keys = [dimension(name) for name in by]
    if IN_TIME.isdisjoint(by):
        return sql(_TOTALS, keys="".join(f", {key}" for key in keys), condition=condition)
    aliases = {key: f"key_{place}" for place, (name, key) in enumerate(zip(by, keys, strict=True)) if name not in IN_TIME}
    return sql(
        _TOTALS_IN_TIME,
        keys="".join(f", {aliases.get(key) or key.replace('ChargePeriodStart', _DAY)}" for key in keys),
        parts="".join(f", {key} AS {alias}" for key, alias in aliases.items()),
        groups="".join(f", {alias}" for alias in aliases.values()),
        condition=condition,
    )


def where(scope: Scope) -> tuple[str, list[str]]:
    """Return the SQL condition of a scope on the view `cost`, and its parameters."""
    wanted, parameters = condition([*(Filter(name, "=", (said,)) for name, said in scope.where.items()), *scope.filters])
    conditions = [wanted]
    if scope.since:
        conditions.append(f"ChargePeriodStart >= {timestamp(scope.since)}")
    if scope.until:
        conditions.append(f"ChargePeriodStart < {timestamp(scope.until)}")
    if scope.with_requests:
        conditions.append("x_Requests IS NOT NULL")
    return " AND ".join(conditions), parameters


def timestamp(moment: datetime) -> str:
    """Return a time as SQL."""
    return f"TIMESTAMPTZ {literal(rfc3339(moment))}"


@lru_cache(maxsize=4096)  # days and deliveries stand in many groups
def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
