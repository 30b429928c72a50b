"""One ledger for the billing of every cloud: charges made from a seed, in nobody's format; `seeded_*` say them in each vendor's.

    ledger = SeededLedger(seed=7)
    total(ledger.seen(2), "billed", by=lambda charge: charge.month)      # {date(2025, 1, 1): Decimal("..."), ...}

Three months (the last one still open) of usage, spot, two kinds of commitments, taxes, credits, refunds and untagged charges. Delivery 1 is
what was billed first; in delivery 2 late charges of old days have appeared, and some charges are restated: `seen(n)` is the whole bill as
delivery n says it. Every amount has at most `DECIMALS` decimals, which is what every vendor's API can say, so totals are the same
everywhere: to the last digit where the vendor speaks decimals, to the cent where it speaks binary floats.
"""

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Literal, TypeVar

DECIMALS = 10
FIRST = date(2025, 1, 1)
MONTHS = 3
NOW = datetime(2025, 3, 29, 9, tzinfo=UTC)
"""The moment of the last delivery: a clock for the code under test. Charges end with the day before yesterday."""
TEAMS = ("search", "vision", "ops", "")
MODELS = {"search": "ranker", "vision": "defects", "ops": "", "": ""}
ACCOUNTS, REGIONS = 3, 2
ZERO = Decimal(0)
SPEND_A_DAY = Decimal("30")
RESERVED_A_DAY, RESERVED_UPFRONT, RESERVED_HOUR = Decimal("3"), Decimal("1095"), Decimal("0.125")

Kind = Literal["usage", "spot", "covered", "fee", "unused", "upfront", "reserved", "idle", "tax", "credit", "refund"]
"""covered/fee/unused: usage under a spend commitment, its daily fee, and what of the fee nothing used. upfront/reserved/idle: the same of a
usage commitment that is paid once."""
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Sku:
    """Something with a price in US dollars a unit, in region 0; region 1 costs a tenth more."""

    name: str
    service: str
    unit: str
    price: Decimal


SKUS = {
    sku.name: sku
    for sku in (
        Sku("vm-small", "compute", "hour", Decimal("0.1920")),
        Sku("vm-gpu", "compute", "hour", Decimal("3.0600")),
        Sku("store", "storage", "gib-month", Decimal("0.0230")),
        Sku("requests", "storage", "request", Decimal("0.0000004")),
        Sku("endpoint", "ml", "hour", Decimal("0.1150")),
        Sku("training", "ml", "hour", Decimal("4.2840")),
        Sku("database", "database", "hour", Decimal("0.2500")),
        Sku("egress", "network", "gib", Decimal("0.0900")),
    )
}
SERVICES = tuple(dict.fromkeys(sku.service for sku in SKUS.values()))


@dataclass(frozen=True)
class Charge:
    """One charge of one day (UTC), in US dollars. `first` and `last` are the deliveries it is in; `restates` names the one it replaces.

    `price` is the list price of a unit; `applies_to` names the charge that a credit is for. A charge without a SKU has no quantity.
    """

    id: str
    day: date
    kind: Kind
    service: str
    account: int
    region: int
    billed: Decimal
    effective: Decimal
    listed: Decimal
    sku: str = ""
    resource: str = ""
    team: str = ""
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    commitment: str = ""
    applies_to: str = ""
    first: int = 1
    last: int = 2
    restates: str = ""

    @property
    def month(self) -> date:
        """The first day of the billing month."""
        return self.day.replace(day=1)

    @property
    def model(self) -> str:
        """What the tag `model` says."""
        return MODELS[self.team]


@dataclass(frozen=True)
class SeededLedger:
    """The charges of a seed. `per_day` is how many plain usage charges each day has."""

    seed: int = 1
    per_day: int = 9

    @cached_property
    def _all(self) -> tuple[Charge, ...]:
        return tuple(_restated(_made(self.seed, self.per_day)))

    def seen(self, delivery: int = 2) -> list[Charge]:
        """Return the bill as a delivery (1 or 2) says it."""
        return [charge for charge in self._all if charge.first <= delivery <= charge.last]

    def every(self) -> list[Charge]:
        """Return all charges of all deliveries, also those that a later one replaces."""
        return list(self._all)


def total(charges: Iterable[Charge], column: Literal["billed", "effective", "listed"], by: Callable[[Charge], Key]) -> dict[Key, Decimal]:
    """Add up a column by a key."""
    sums: dict[Key, Decimal] = {}
    for charge in charges:
        amount: Decimal = getattr(charge, column)
        sums[by(charge)] = sums.get(by(charge), ZERO) + amount
    return sums


def months() -> list[date]:
    """Return the first days of the months."""
    return [FIRST.replace(month=FIRST.month + number) for number in range(MONTHS)]


def price_of(sku: Sku, region: int) -> Decimal:
    """Return the list price of a unit in a region."""
    return sku.price if region == 0 or sku.unit == "request" else sku.price * Decimal("1.1")


def _made(seed: int, per_day: int) -> Iterator[Charge]:
    dice = random.Random(seed)  # noqa: S311 - the same bill for the same seed is the purpose
    day, last = FIRST, NOW.date() - timedelta(days=2)
    while day <= last:
        today = [*_usage(dice, day, per_day), *_spend_commitment(dice, day), *_usage_commitment(dice, day)]
        yield from today
        if day.day == 1:
            yield from _of_the_month(dice, day, today)
        day += timedelta(days=1)


def _usage(dice: random.Random, day: date, per_day: int) -> Iterator[Charge]:
    for number in range(per_day):
        sku = list(SKUS.values())[(number + day.toordinal()) % len(SKUS)]
        whole = Decimal(dice.randrange(1_000, 900_000)) if sku.unit == "request" else Decimal(dice.randrange(1, 24_000)).scaleb(-3)
        team, region = TEAMS[dice.randrange(len(TEAMS))], dice.randrange(REGIONS)
        listed = whole * price_of(sku, region)
        spot = sku.name == "vm-gpu" and dice.random() < 0.5
        billed = listed * Decimal("0.4") if spot else listed
        yield Charge(
            f"u{day:%m%d}{number:02}", day, "spot" if spot else "usage", sku.service, dice.randrange(ACCOUNTS), region,
            billed, billed, listed, sku.name, f"{sku.name}-{dice.randrange(4)}", team, whole, price_of(sku, region),
            first=2 if number == 3 and day.day % 5 == 0 and day.month < MONTHS else 1,
        )  # fmt: skip


def _spend_commitment(dice: random.Random, day: date) -> Iterator[Charge]:
    """Yield usage that a commitment to spend so much a day covers at 72 % of its price, the fee, and what of it is left over."""
    sku, used = SKUS["vm-small"], ZERO
    for number in range(2):
        hours = Decimal(dice.randrange(10_000, 90_000)).scaleb(-3)
        listed = hours * sku.price
        effective = listed * Decimal("0.72")
        used += effective
        team = TEAMS[number]
        yield Charge(
            f"c{day:%m%d}{number}", day, "covered", sku.service, number, 0, ZERO, effective, listed,
            sku.name, f"committed-{number}", team, hours, sku.price, "spend-1",
        )  # fmt: skip
    yield Charge(f"f{day:%m%d}", day, "fee", "commitment", 0, 0, SPEND_A_DAY, ZERO, SPEND_A_DAY, commitment="spend-1")
    yield Charge(f"n{day:%m%d}", day, "unused", "commitment", 0, 0, ZERO, SPEND_A_DAY - used, ZERO, commitment="spend-1")


def _usage_commitment(dice: random.Random, day: date) -> Iterator[Charge]:
    """Yield the hours of a database that is paid a year ahead, and the hours of the day in which it did not run."""
    sku = SKUS["database"]
    hours = Decimal(dice.randrange(15_000, 24_000)).scaleb(-3)
    used = hours * RESERVED_HOUR
    yield Charge(
        f"r{day:%m%d}", day, "reserved", "database", 2, 0, ZERO, used, hours * sku.price,
        sku.name, "reserved-db", "ops", hours, sku.price, "usage-1",
    )  # fmt: skip
    yield Charge(f"i{day:%m%d}", day, "idle", "database", 2, 0, ZERO, RESERVED_A_DAY - used, ZERO, commitment="usage-1")


def _of_the_month(dice: random.Random, day: date, today: list[Charge]) -> Iterator[Charge]:
    if day == FIRST:
        paid = RESERVED_UPFRONT
        yield Charge(f"p{day:%m%d}", day, "upfront", "database", 2, 0, paid, ZERO, paid, commitment="usage-1")
    for account in range(ACCOUNTS):
        tax = Decimal(dice.randrange(1_000, 9_000)).scaleb(-2)
        yield Charge(f"t{day:%m%d}{account}", day, "tax", "tax", account, 0, tax, tax, tax)
    for number, charge in enumerate(one for one in today if one.kind == "usage" and not one.team and one.first == 1):
        given = -(charge.billed / 4).quantize(Decimal(1).scaleb(-DECIMALS))
        same = replace(charge, sku="", resource="", quantity=ZERO, price=ZERO, applies_to=charge.id)
        yield replace(same, id=f"g{day:%m%d}{number}", kind="credit", billed=given, effective=given, listed=given)
    back = -Decimal(dice.randrange(100, 2_000)).scaleb(-2)
    yield Charge(f"b{day:%m%d}", day, "refund", "compute", 0, 0, back, back, back)


def _restated(charges: Iterable[Charge]) -> Iterator[Charge]:
    """Yield the charges; every 17th plain usage of the first two months is said anew in delivery 2, a quarter lower."""
    count = 0
    for charge in charges:
        count += charge.kind == "usage"
        if charge.kind != "usage" or count % 17 or charge.first == 2 or charge.month == months()[-1] or not charge.team:
            yield charge
            continue
        yield replace(charge, last=1)
        quantity = (charge.quantity * 3 / 4).quantize(Decimal("0.001") if charge.quantity % 1 else Decimal(1))
        cost = quantity * charge.price
        again = replace(charge, id=f"{charge.id}v2", quantity=quantity, billed=cost, effective=cost, listed=cost)
        yield replace(again, first=2, restates=charge.id)
