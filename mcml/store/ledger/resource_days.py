"""What a machine's bill says day by day: what its hours cost, and how long it ran.

Only what is priced by the hour counts (a machine, its cores and its memory): traffic and disks cost the same whatever its type. Estimates
and the unused part of commitments are left out. A machine runs no longer than the charge period: clouds that bill cores (Google's
"Instance Core" by the core-hour) count more hours than a period has, and are taken at its length.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from mcml.store.ledger.book import EPOCH, Ledger
from mcml.store.ledger.cover import ACCOUNT, ESTIMATE
from mcml.store.ledger.engine import literal, sql
from mcml.store.ledger.exact import total
from mcml.store.ledger.machines import HOURLY, key, mine

HOUR = 3_600_000_000
"""Microseconds of an hour."""
_PERIODS = """
    SELECT machine, BillingCurrency, epoch_us(ChargePeriodStart), epoch_us(ChargePeriodEnd), PricingUnit, sum(EffectiveCost),
           coalesce(sum(coalesce(PricingQuantity, ConsumedQuantity)), 0)
    ${mine} AND ${hourly} AND x_Source <> ${estimate} AND CommitmentDiscountStatus IS DISTINCT FROM 'Unused'
    GROUP BY ALL ORDER BY ALL
"""
_UNTIL = """
    WITH theirs AS (SELECT DISTINCT machine, ServiceProviderName AS provider, ${account} AS account ${mine} AND x_Source <> ${estimate}),
         reach AS (
             SELECT ServiceProviderName AS provider, ${account} AS account, max(ChargePeriodEnd) AS until FROM cost
             WHERE x_Source <> ${estimate} AND ChargeCategory = 'Usage' AND ChargePeriodEnd <= x_IngestedAt
                   AND ChargePeriodEnd <= ChargePeriodStart + INTERVAL 25 HOUR
             GROUP BY ALL
         )
    SELECT machine, epoch_us(max(until)) FROM theirs JOIN reach USING (provider, account) GROUP BY machine
"""
_HOURS = re.compile(r"([0-9]*)\s*(?:h|hr|hrs|hour|hours)")
"""A unit that is hours: `Hrs`, `Hours`, `1 Hour`, Azure's `100 Hours`; `gibibyte hour` is none."""


@dataclass(frozen=True)
class ResourceDay:
    """What the hours of a machine cost on a day (UTC), in effective cost of one currency, and how many it ran."""

    currency: str
    day: date
    cost: Decimal
    hours: Fraction


@dataclass(frozen=True)
class Billed:
    """A machine's days in the bill, and until when the bill of its account reaches (None: nothing of the machine was ever billed)."""

    days: tuple[ResourceDay, ...] = ()
    until: datetime | None = None


def resource_days(
    ledger: Ledger, machines: Collection[str], since: datetime, region: str = "", account: str = ""
) -> dict[str, Billed]:
    """Return the days of machines (of one account, where that is known), by the ids that are given, in charge periods that end after
    `since`."""
    if not machines or not ledger.manifest.files:
        return {machine: Billed() for machine in machines}
    pieces = {"mine": mine(machines, since, region, account), "hourly": HOURLY, "estimate": literal(ESTIMATE), "account": ACCOUNT}
    with ledger.opened("cannot add up the days of machines") as connection:
        rows = connection.execute(sql(_PERIODS, **pieces)).fetchall()
        reach = dict(connection.execute(sql(_UNTIL, **pieces)).fetchall())
    periods: dict[str, list[Any]] = {}
    for machine, *period in rows:
        periods.setdefault(machine, []).append(period)
    return {machine: Billed(_by_day(periods.get(key(machine), [])), _moment(reach.get(key(machine)))) for machine in machines}


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def _by_day(rows: Iterable[Sequence[Any]]) -> tuple[ResourceDay, ...]:
    """Add periods up by the day on which they start."""
    costs: dict[tuple[str, int, int], list[Decimal]] = {}
    hours: dict[tuple[str, int, int], Fraction] = {}
    for currency, start, end, unit, cost, quantity in rows:
        period = (currency, start, end)
        costs.setdefault(period, []).append(cost)
        hours[period] = hours.get(period, Fraction(0)) + Fraction(quantity) * _length(unit)
    days: dict[tuple[str, date], tuple[list[Decimal], list[Fraction]]] = {}
    for (currency, start, end), several in costs.items():
        paid, ran = days.setdefault((currency, (EPOCH + timedelta(microseconds=start)).astimezone(UTC).date()), ([], []))
        paid += several
        ran.append(max(min(hours[currency, start, end], Fraction(end - start, HOUR)), Fraction(0)))
    return tuple(ResourceDay(currency, day, total(paid), sum(ran, Fraction(0))) for (currency, day), (paid, ran) in sorted(days.items()))


def _length(unit: str) -> int:
    found = _HOURS.fullmatch(unit.strip().lower())
    return int(found[1] or 1) if found else 0
