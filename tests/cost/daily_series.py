"""Daily costs with planted anomalies, and simple rivals of the detector, for its self-test."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import fmean, stdev

from mcml.cost.anomaly.daily import Day, find

FIRST = date(2026, 1, 5)
LENGTH = 120
PLANT_FROM = 45
Kind = str


@dataclass(frozen=True)
class Planted:
    """An anomaly that was put into a series: what, the first day, and until when an alert counts as having seen it."""

    kind: Kind
    start: int
    until: int


@dataclass(frozen=True)
class Costs:
    """A series of daily costs and what was planted into it (None: nothing)."""

    values: tuple[float, ...]
    planted: Planted | None


def series(count: int = 240, seed: int = 6) -> list[Costs]:
    """Return series of five shapes: steady, weekly, weekly with a monthly fee, growing, intermittent; half have something planted."""
    draw = random.Random(seed)
    return [_one(draw, number) for number in range(count)]


def _one(draw: random.Random, number: int) -> Costs:
    shape = ("steady", "weekly", "fee", "growing", "intermittent")[number % 5]
    base = 10 ** draw.uniform(1.5, 3.5)
    noise = draw.uniform(0.03, 0.12)
    weekend = draw.uniform(0.2, 0.7) if shape in ("weekly", "fee") else 1.0
    fee_day, fee = draw.choice((1, 1, 1, 15)), base * draw.uniform(1, 4)
    growth = draw.uniform(0.001, 0.004) if shape == "growing" else 0.0
    values = []
    for at in range(LENGTH):
        day = FIRST + timedelta(days=at)
        cost = base * (1 + growth) ** at * (weekend if day.weekday() >= 5 else 1) * draw.lognormvariate(0, noise)
        if shape == "fee" and day.day == fee_day:
            cost += fee
        if shape == "intermittent" and draw.random() > 0.35:
            cost = 0.0
        values.append(cost)
    planted = _plant(draw, values) if number % 2 and shape != "intermittent" else None
    return Costs(tuple(values), planted)


def _plant(draw: random.Random, values: list[float]) -> Planted:
    kind, start = draw.choice(("spike", "shift", "leak")), draw.randrange(PLANT_FROM, LENGTH - 35)
    if kind == "spike":
        days, factor = draw.randint(1, 2), draw.uniform(1.6, 4)
        values[start : start + days] = [value * factor for value in values[start : start + days]]
        return Planted(kind, start, start + 2)
    if kind == "shift":
        factor = draw.uniform(1.4, 2.5)
        values[start:] = [value * factor for value in values[start:]]
        return Planted(kind, start, start + 7)
    rate, days = draw.uniform(1.015, 1.03), 30
    values[start:] = [value * rate ** min(at + 1, days) for at, value in enumerate(values[start:])]
    return Planted(kind, start, start + 34)


@dataclass(frozen=True)
class Result:
    """How a detector did: planted and caught, alerts that were none, and how many of the alerted were real."""

    planted: int
    caught: int
    false: int
    months: float

    @property
    def precision(self) -> float:
        """Of all that was told, how much was there."""
        return self.caught / (self.caught + self.false)

    @property
    def false_per_month(self) -> float:
        """False alerts of one series in 30 days."""
        return self.false / self.months


def measure(detector: Callable[[Sequence[float]], Sequence[int]], all_series: Sequence[Costs]) -> Result:
    """Run a detector over all; the alerts of one planted anomaly are one catch, and all before PLANT_FROM are learning."""
    caught = false = 0
    for one in all_series:
        alerts = [at for at in detector(one.values) if at >= PLANT_FROM]
        seen = [at for at in alerts if one.planted and one.planted.start <= at <= one.planted.until]
        caught += bool(seen)
        false += len(alerts) - len(seen)
    return Result(sum(one.planted is not None for one in all_series), caught, false, len(all_series) * (LENGTH - PLANT_FROM) / 30)


def ours(values: Sequence[float]) -> list[int]:
    """Our detector; an alert counts on the last day that it needed."""
    days = [Day(FIRST + timedelta(days=at), Decimal(str(round(value, 4)))) for at, value in enumerate(values)]
    return [((found.first if found.kind == "spike" else found.last) - FIRST).days for found in find(days)]


def week_plus_40(values: Sequence[float]) -> list[int]:
    """A day 40 % above the mean of the seven before it."""
    return [at for at in range(7, len(values)) if values[at] > 1.4 * fmean(values[at - 7 : at])]


def month_three_sigma(values: Sequence[float]) -> list[int]:
    """A day three standard deviations above the mean of the thirty before it."""
    return [
        at for at in range(30, len(values)) if values[at] > fmean(values[at - 30 : at]) + 3 * stdev(values[at - 30 : at])
    ]
