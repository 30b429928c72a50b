"""What deliveries changed: of each bill that one replaced, the sums before and after it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.engine import connected, path_literal, sql
from mcml.store.ledger.manifest import Delivery, Manifest, Part

_SUMS = """
    SELECT filename, ServiceProviderName, coalesce(ServiceName, ''), BillingCurrency, sum(BilledCost), sum(EffectiveCost), count(*)
    FROM read_parquet([${files}], filename = true, union_by_name = true, hive_partitioning = false) GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Sum:
    """What a bill says of a service of a provider in a currency; the month is `YYYY-MM`."""

    account: str
    month: str
    provider: str
    service: str
    currency: str
    billed: Decimal
    effective: Decimal
    rows: int


@dataclass(frozen=True)
class Replaced:
    """What a delivery replaced, and by what."""

    delivery: str
    origin: str
    at: datetime
    before: tuple[Sum, ...]
    after: tuple[Sum, ...]


def replaced(ledger: Ledger, since: datetime | None = None) -> list[Replaced]:
    """Return the deliveries that replaced something (after `since`), newest first. Estimates are not among them: that is their end."""
    known = ledger.manifest
    first = rfc3339(since) if since else ""
    found = [(each, *_sides(known, each)) for each in reversed(known.deliveries) if each.at > first]
    found = [(each, before, after) for each, before, after in found if before]
    sums = _sums(ledger, [part for _, before, after in found for part in (*before, *after)])
    return [Replaced(each.id, each.origin, parse_rfc3339(each.at), _of(before, sums), _of(after, sums)) for each, before, after in found]


def _sides(known: Manifest, delivery: Delivery) -> tuple[list[Part], list[Part]]:
    before = [part for part in known.parts if part.ended_by == delivery.id and part.source != "estimate"]
    after = [part for part in known.parts if part.delivery == delivery.id and any(part.replaces(old) for old in before)]
    return before, after


def _sums(ledger: Ledger, parts: Iterable[Part]) -> dict[str, list[tuple[str, str, str, Decimal, Decimal, int]]]:
    files = {str(ledger.folder / file): file for part in parts for file in part.files}
    if not files:
        return {}
    sums: dict[str, list[tuple[str, str, str, Decimal, Decimal, int]]] = {}
    with connected("cannot add up what was replaced") as connection:
        query = sql(_SUMS, files=", ".join(path_literal(path) for path in sorted(files)))
        for path, provider, service, currency, billed, effective, rows in connection.execute(query).fetchall():
            sums.setdefault(files[path], []).append((provider, service, currency, billed, effective, rows))
    return sums


def _of(parts: Iterable[Part], sums: dict[str, list[tuple[str, str, str, Decimal, Decimal, int]]]) -> tuple[Sum, ...]:
    return tuple(Sum(part.account, part.month[:7], *each) for part in parts for file in part.files for each in sums.get(file, ()))
