"""Costs in one currency: each charge by the rate of its day. Pure and exact: SQL only adds up, by currency and day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from mcml.core.errors import NotFound, Usage
from mcml.cost.rates.table import Rate, Rates
from mcml.store.ledger.book import Group, Scope
from mcml.store.ledger.exact import product, tidy, total

DAY = "day"
Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Used:
    """Which rate a day's costs in a currency were converted by."""

    base: str
    day: date
    rate: Rate


@dataclass(frozen=True)
class Converted:
    """Groups of the ledger in one currency, and how they came to it: the effective cost of each key by currency, and the rates."""

    currency: str
    source: str
    groups: tuple[Group, ...]
    before: Mapping[Key, Mapping[str, Decimal]]
    used: tuple[Used, ...]


class Costs(Protocol):
    """What can be asked for costs: the ledger, or a warehouse."""

    def totals(self, by: Sequence[str], scope: Scope | None = None) -> list[Group]:
        """Sum the rows by currency and dimensions."""
        ...


@dataclass(frozen=True)
class Exchanged:
    """Costs that are asked for in one currency, each charge by the rate of its day."""

    costs: Costs
    rates: Rates
    currency: str

    def totals(self, by: Sequence[str], scope: Scope | None = None) -> list[Group]:
        """Sum the rows by dimensions, as the ledger does. Raises Usage for an unknown dimension, NotFound without a rate."""
        return list(convert(self.costs.totals(asked(by), scope), by, self.rates, self.currency).groups)


def asked(dimensions: Sequence[str]) -> tuple[str, ...]:
    """Return the dimensions that the ledger must be asked for: those wanted, and the day."""
    return tuple(dimensions) if DAY in dimensions else (*dimensions, DAY)


def convert(groups: Iterable[Group], dimensions: Sequence[str], rates: Rates, currency: str) -> Converted:
    """Convert groups of the ledger by `asked(dimensions)` into groups by `dimensions` in one currency.

    A charge counts on the day it starts (UTC), at the rate of that day. Raises NotFound when one is missing, naming the first such day
    and how many others there are.
    """
    every = list(groups)
    place = asked(dimensions).index(DAY)
    days = sorted({(group.currency, str(group.key[place])) for group in every if group.currency != currency})
    used = _rates(days, rates, currency)
    found: dict[Key, list[Group]] = {}
    before: dict[Key, dict[str, Decimal]] = {}
    for group in every:
        key = group.key if DAY in dimensions else group.key[:place]
        rate = Decimal(1) if group.currency == currency else used[group.currency, str(group.key[place])].rate.value
        found.setdefault(key, []).append(_times(group, key, rate, currency))
        sums = before.setdefault(key, {})
        sums[group.currency] = total((sums.get(group.currency, Decimal(0)), group.effective))
    return Converted(currency, rates.source, tuple(map(_together, found.values())), before, tuple(used.values()))


def _rates(days: Sequence[tuple[str, str]], rates: Rates, currency: str) -> dict[tuple[str, str], Used]:
    found: dict[tuple[str, str], Used] = {}
    missing: list[NotFound] = []
    for base, text in days:
        try:
            day = date.fromisoformat(text)
            found[base, text] = Used(base, day, rates.of(base, currency, day))
        except NotFound as none:
            missing.append(none)
    if missing:
        more = f"; so it is for {len(missing) - 1} other days or currencies" if missing[1:] else ""
        raise NotFound(missing[0].message, why=missing[0].why + more, next_step=missing[0].next_step)
    return found


def _times(group: Group, key: Key, rate: Decimal, currency: str) -> Group:
    amounts = product(group.billed, rate), product(group.effective, rate)
    return Group(currency, key, *amounts, group.rows, group.requests, group.first, group.last, group.ingested)


def _together(groups: Sequence[Group]) -> Group:
    """Add up groups of one currency and key."""
    counted = [group.requests for group in groups if group.requests is not None]
    return Group(
        groups[0].currency,
        groups[0].key,
        tidy(total(group.billed for group in groups)),
        tidy(total(group.effective for group in groups)),
        sum(group.rows for group in groups),
        sum(counted) if counted else None,
        min(group.first for group in groups),
        max(group.last for group in groups),
        max(group.ingested for group in groups),
    )


def check_currency(code: str) -> str:
    """Return a currency's code. Raises Usage for what is none."""
    if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise Usage(f"{code!r} is no currency", why="expected a code of ISO 4217, such as EUR", next_step="mcml cost rates")
    return code
