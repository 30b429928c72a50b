"""How a backend's latency, price and reliability become its weight; pure arithmetic, the same on every machine.

    latency score      (best + 5 ms) / (mine + 5 ms)      5 ms: below that, a difference is noise of the machine, not of the place;
                       of a good answer: the time of the failed attempts, and 5 ms for each, is shared out over those that succeeded;
                       0 where no attempt succeeds
    cost score         cheapest / mine                    prices of one unit only; a missing or stale price is left out, never zero
    reliability score  1 - 10 x error rate, at least 0    one attempt in ten failing is as bad as all of them
    score              their mean, weighted by the route's settings; a part that is not known is left out and the others carry it
    weight             every healthy backend keeps a small share for exploration; the rest goes by the square of the score (twice as good,
                       four times the traffic), times the share of the attempts that succeeded: one over its limit (429) shrinks to about
                       what it takes, and grows again with it
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from mcml.core.price import STALE_AFTER, PriceInfo
from mcml.core.schema_routes import Score

TOTAL = 100
"""The weights of a route add up to this."""

FLOOR = 5
"""Points that every healthy backend keeps where the route does not say otherwise (`exploration`), so that a bad figure can be seen to
improve; less when there are many."""

LATENCY_OFFSET_MS = 5.0
ENDLESS_MS = 3_600_000.0
"""Where a good answer takes longer than an hour, there is none."""

LEAST_SUCCESS = 0.01
"""A backend whose attempts all fail counts as if one in a hundred succeeded."""

ERROR_FACTOR = 10.0

MIN_CHANGE = 5
"""Points by which a weight must differ before the score alone moves traffic."""

MIN_PAUSE = 5.0
"""Seconds between two changes made by the score alone."""

SCALE = 1_000_000
Basis = tuple[str, str]
Place = Literal["up", "trial", "out", "joining"]
"""up: takes traffic; trial: back after a failure, on the smallest share; out: failed; joining: Envoy does not have it yet."""


@dataclass(frozen=True)
class Inputs:
    """What is known about one backend: latency of a good answer in milliseconds, with the failed attempts on the way to it (infinite:
    none was good), the share of failed attempts (0 to 1), the price; None: not known."""

    backend: str
    place: Place
    latency_ms: float | None = None
    error_rate: float | None = None
    price: PriceInfo | None = None

    @property
    def success(self) -> float:
        """The share of attempts that succeed, above 0; 1 where none was counted yet."""
        return max(LEAST_SUCCESS, 1.0 - (self.error_rate or 0.0))


@dataclass(frozen=True)
class Part:
    """One component: its share in the route's settings, its score from 0 to 1 (None: left out), and the reason in words."""

    share: float
    score: float | None
    why: str


@dataclass(frozen=True)
class Scored:
    """One backend's weight in percent of the route, and everything it was made from.

    `held` says why it has none although it is up: its tier waits, its region has no such target, somebody drained it or pinned another.
    """

    backend: str
    place: Place
    latency: Part
    cost: Part
    reliability: Part
    score: float
    weight: float
    held: str = ""


def weigh(backends: Sequence[Inputs], shares: Score, now: datetime, *, exploration: int = FLOOR) -> tuple[Scored, ...]:
    """Score backends that compete; weights are integers that sum to 100, or are all 0 when none may take traffic.

    Each that is up gets at least `exploration` points (less when there are many); those on trial get just that.
    """
    able = [one for one in backends if one.place in ("up", "trial")]
    best = min((one.latency_ms for one in able if one.latency_ms is not None), default=None)
    basis, cheapest = _cheapest(able, now)
    parts = {
        one.backend: (
            _latency(one, float(shares.latency), best),
            _cost(one, float(shares.cost), basis, cheapest, now),
            _reliability(one, float(shares.reliability)),
        )
        for one in backends
    }
    scores = {name: _mean(three) for name, three in parts.items()}
    weights = _weights({one.backend: (one.place, scores[one.backend] ** 2 * one.success) for one in able}, exploration)
    return tuple(
        Scored(one.backend, one.place, *parts[one.backend], score=scores[one.backend], weight=weights.get(one.backend, 0))
        for one in sorted(backends, key=lambda one: one.backend)
    )


def _latency(one: Inputs, share: float, best: float | None) -> Part:
    mine = one.latency_ms
    if mine is None or best is None:
        return Part(share, None, "no good answer measured yet: left out")
    if mine > ENDLESS_MS:
        return Part(share, 0.0, "no good answer: its attempts fail")
    score = min(1.0, (best + LATENCY_OFFSET_MS) / (mine + LATENCY_OFFSET_MS))
    return Part(share, score, f"{mine:.1f} ms{' a good answer' if one.error_rate else ''}, best {best:.1f} ms")


def _cost(one: Inputs, share: float, basis: Basis, cheapest: Decimal | None, now: datetime) -> Part:
    price = one.price
    if price is None:
        return Part(share, None, "no price is known: left out")
    says = f"{price.value.normalize():f} {price.unit} ({price.source}, {_age(now - price.as_of)} old)"
    if not _fresh(price, now):
        return Part(share, None, f"{says} is stale: left out")
    if cheapest is None or (price.unit, price.currency) != basis:
        return Part(share, None, f"{says} cannot be compared with the others' prices ({basis[0] or 'none'}): left out")
    score = 1.0 if price.value <= cheapest else float(cheapest / price.value)
    return Part(share, score, f"{says}, cheapest {cheapest.normalize():f}")


def _reliability(one: Inputs, share: float) -> Part:
    if one.error_rate is None:
        return Part(share, 1.0, "no attempt counted yet: taken as reliable")
    return Part(share, max(0.0, 1.0 - ERROR_FACTOR * one.error_rate), f"{one.error_rate:.2%} of attempts failed")


def compared(one: Inputs, among: Sequence[Inputs], now: datetime) -> Decimal | None:
    """Return a backend's price where it compares with the others': fresh, and in the unit that most of them have."""
    basis, _ = _cheapest(among, now)
    price = one.price
    return price.value if price is not None and _fresh(price, now) and (price.unit, price.currency) == basis else None


def _cheapest(backends: Sequence[Inputs], now: datetime) -> tuple[Basis, Decimal | None]:
    """Return the unit and currency that most backends are priced in (the first by name on a tie), and the lowest fresh price in it."""
    fresh = [one.price for one in backends if one.price is not None and _fresh(one.price, now)]
    if not fresh:
        return ("", ""), None
    counts = Counter((price.unit, price.currency) for price in fresh)
    basis = min(counts, key=lambda key: (-counts[key], key))
    return basis, min(price.value for price in fresh if (price.unit, price.currency) == basis)


def _fresh(price: PriceInfo, now: datetime) -> bool:
    return price.value >= 0 and now - price.as_of <= STALE_AFTER


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {letter}"
    return f"{seconds} s"


def _mean(parts: Sequence[Part]) -> float:
    known = [(part.share, part.score) for part in parts if part.score is not None]
    total = sum(share for share, _ in known)
    if total <= 0:
        return 0.5  # nothing that the route asks for is known: the same middle for everyone
    return min(1.0, sum(share * score for share, score in known) / total)


def _weights(able: Mapping[str, tuple[Place, float]], exploration: int) -> dict[str, int]:
    """Share out `TOTAL` points by claim. Largest remainders in whole numbers: the same input gives the same weights everywhere."""
    if not able:
        return {}
    floor = min(exploration, TOTAL // (2 * len(able)))
    full = {name for name, (place, _) in able.items() if place == "up"} or set(able)
    claims = {name: max(1, round(able[name][1] * SCALE)) for name in full}
    rest, total = TOTAL - floor * len(able), sum(claims.values())
    weights = {name: floor + rest * claims.get(name, 0) // total for name in able}
    order = sorted(claims, key=lambda name: (-(rest * claims[name] % total), name))
    for name in order[: TOTAL - sum(weights.values())]:
        weights[name] += 1
    return weights


def worth_changing(current: Sequence[Scored], proposed: Sequence[Scored], seconds: float) -> bool:
    """Tell whether new weights should replace the current ones, `seconds` after the last change.

    A backend that comes, goes, fails or recovers counts at once; the score alone must earn it, so that weights do not flap.
    """
    if {one.backend: one.place for one in current} != {one.backend: one.place for one in proposed}:
        return True
    before = {one.backend: one.weight for one in current}
    moved = max((abs(one.weight - before[one.backend]) for one in proposed), default=0)
    return moved >= MIN_CHANGE and seconds >= MIN_PAUSE
