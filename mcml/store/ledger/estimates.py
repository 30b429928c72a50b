"""Questions about estimates: which accounts are billed up to when, what was estimated, and what the bill said of it later."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from mcml.store.ledger.book import EPOCH, Ledger, Slice
from mcml.store.ledger.cover import ACCOUNT, ESTIMATE
from mcml.store.ledger.engine import identifier, literal, sql
from mcml.store.ledger.schema import INPUT

_ACCOUNTS = """
    SELECT ${account} AS account, arg_max(coalesce(SubAccountId, BillingAccountId), ChargePeriodEnd), BillingAccountId,
           ServiceProviderName, InvoiceIssuerName,
           epoch_us(max(ChargePeriodEnd) FILTER (
               x_Source = 'billed' AND ChargeCategory = 'Usage' AND ChargePeriodEnd <= x_IngestedAt
               AND ChargePeriodEnd <= ChargePeriodStart + INTERVAL 25 HOUR
           ))
    FROM cost WHERE x_Source <> 'estimate' GROUP BY account, BillingAccountId, ServiceProviderName, InvoiceIssuerName
    ORDER BY account, sum(EffectiveCost), BillingAccountId, ServiceProviderName
"""
_SERVICES = """
    SELECT ServiceProviderName, ServiceName, sum(EffectiveCost) FROM cost
    WHERE x_Source = 'billed' AND ServiceCategory = 'Compute' AND ChargeCategory = 'Usage' AND ServiceName IS NOT NULL
    GROUP BY ServiceProviderName, ServiceName ORDER BY sum(EffectiveCost), ServiceName
"""
_ROWS = """
    SELECT ${columns} FROM estimate WHERE BillingAccountId IN (${accounts}) AND strftime(BillingPeriodStart, '%Y-%m-01') IN (${months})
    ORDER BY ResourceId, ChargePeriodStart
"""
_TRUTH = """
    WITH made AS (
        SELECT BillingCurrency AS currency, ServiceProviderName AS provider, ${account} AS account,
               ServiceName AS service, strftime(ChargePeriodStart, '%Y-%m-%d') AS day, sum(EffectiveCost) AS amount,
               min(ChargePeriodStart) AS first, max(ChargePeriodEnd) AS last, list(DISTINCT ${resource}) AS resources
        FROM estimate WHERE covered GROUP BY currency, provider, account, service, day
    )
    SELECT currency, provider, account, service, day, amount, epoch_us(ChargePeriodEnd) - epoch_us(ChargePeriodStart) AS length,
           least(epoch_us(ChargePeriodEnd), epoch_us(last)) - greatest(epoch_us(ChargePeriodStart), epoch_us(first)) AS shared,
           sum(BilledCost), sum(EffectiveCost), count(ChargePeriodStart)
    FROM made LEFT JOIN known ON BillingCurrency = currency AND ${account} = account
         AND ChargeCategory = 'Usage' AND ChargePeriodStart < last AND ChargePeriodEnd > first
         AND CASE WHEN ResourceId IS NULL THEN ServiceName = service ELSE (ServiceName = service OR ServiceCategory = 'Compute')
                  AND (list_contains(resources, ${resource}) OR list_contains(resources, lower(ResourceName))) END
    GROUP BY currency, provider, account, service, day, amount, shared, length
    ORDER BY currency, provider, account, service, day, shared, length
"""
_RESOURCE = "lower(regexp_extract(ResourceId, '[^/]*$'))"
"""The last part of an id: a bill may write the whole path of a resource where the meter knows its name, and in another case."""


@dataclass(frozen=True)
class Account:
    """An account as the bill names it, and until when it was billed (None: never)."""

    account: str
    billing_account: str
    provider: str
    issuer: str
    until: datetime | None


@dataclass(frozen=True)
class Standing:
    """What the ledger knows that an estimate needs: accounts by the last part of their id, and the dearest compute service by provider."""

    accounts: Mapping[str, Account]
    services: Mapping[str, str]

    def account(self, account: str) -> Account | None:
        """Return an account by its id, or by the path to it; None for one without a row."""
        return self.accounts.get(account.rpartition("/")[2].lower())


@dataclass(frozen=True)
class Truth:
    """What was estimated of a service on a day in hours that are covered now, and what the bill says of the same hours.

    Where the bill names resources, only those count that were estimated, in the service or in any that computes: the first estimates of a
    provider are made before a bill has said what it calls its machines.
    """

    currency: str
    provider: str
    account: str
    service: str
    day: str
    estimated: Decimal
    bill: tuple[Slice, ...]


def has_estimates(ledger: Ledger) -> bool:
    """Tell whether there are estimates in the ledger, without opening it."""
    return any(part.source == ESTIMATE for part in ledger.manifest.current)


def standing(ledger: Ledger) -> Standing:
    """Return what is known of accounts and services; of several answers the dearest counts."""
    with ledger.opened("cannot read until when the bills reach") as connection:
        accounts = connection.execute(sql(_ACCOUNTS, account=ACCOUNT)).fetchall()
        services = connection.execute(_SERVICES).fetchall()
    found: dict[str, Account] = {}
    for key, account, billing, provider, issuer, until in accounts:
        earlier = found[key].until if key in found else None
        ends = [moment for moment in (earlier, _moment(until)) if moment]
        found[key] = Account(account, billing, provider, issuer or provider, max(ends, default=None))
    return Standing(found, {provider: service for provider, service, _ in services})


def rows_of(ledger: Ledger, accounts: Collection[str], months: Collection[str]) -> list[dict[str, object]]:
    """Return all estimates on these billing accounts in these months (YYYY-MM-01), covered or not, as rows that ingest takes."""
    if not accounts or not months or not has_estimates(ledger):
        return []
    times = {name for name, kind in INPUT.items() if kind == "time"}
    columns = ", ".join(f"epoch_us({identifier(name)})" if name in times else identifier(name) for name in INPUT)
    chosen = {"columns": columns, "accounts": _list(accounts), "months": _list(months)}
    with ledger.opened("cannot read the estimates") as connection:
        found = connection.execute(sql(_ROWS, **chosen)).fetchall()
    return [{name: _moment(value) if name in times else value for name, value in zip(INPUT, row, strict=True)} for row in found]


def truths(ledger: Ledger) -> list[Truth]:
    """Return every day of a service whose estimates a bill has covered, in order."""
    if not has_estimates(ledger):
        return []
    with ledger.opened("cannot compare the estimates with the bill") as connection:
        rows = connection.execute(sql(_TRUTH, resource=_RESOURCE, account=ACCOUNT)).fetchall()
    return [
        Truth(currency, provider, account, service, day, amount, tuple(_slice(currency, *row[6:]) for row in several if row[6] is not None))
        for (currency, provider, account, service, day, amount), several in groupby(rows, key=lambda row: row[:6])
    ]


def _slice(currency: str, length: int, shared: int, billed: Decimal, effective: Decimal, count: int) -> Slice:
    return Slice(currency, billed, effective, count, timedelta(microseconds=shared), timedelta(microseconds=length))


def _list(texts: Collection[str]) -> str:
    return ", ".join(map(literal, sorted(texts)))


def _moment(microseconds: Any) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
