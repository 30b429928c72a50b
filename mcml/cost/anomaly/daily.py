"""A detector for what each day costs: its days in, the anomalies out. Pure, causal (a day is judged by the days before it) and repeatable:
the same days give the same anomalies, so a level that shifted is one anomaly, however often one looks.

A day is compared with the median of the last WEEKS days of its weekday. It is unusual when it is off by more than STRICT times the usual
error (1.4826 x the median of the relative errors of the last SPAN days: a standard deviation that outliers do not move), by more than
`relative` of what was expected, and by more than `minimum` in money. Then:

- a rise that is about as high as one a month before is a monthly fee: silent from the second time on;
- where days without cost come irregularly, only what is well above all days of late is unusual, and nothing is a drop;
- SHIFTED unusual days on one side, with at most one other between two, are a new level: the older days are scaled to it, and it is told
  once. A drop is told then only;
- growth in each of four weeks that no day shows is a leak;
- the newest days may lack rows (`ripe` False): they are never a drop, nor do they teach anything, but too much already is too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Literal

from mcml.store.ledger.exact import total

Kind = Literal["spike", "shift", "drop", "leak"]

LEARN, SPAN, WEEKS, SHIFTED = 28, 42, 5, 3
"""Days before the first judgement, days of errors, weekdays of the median, unusual days that are a new level."""
STRICT = 4.0
LEAK = 0.6
"""Four weeks that grow in step need to be off by so much of what one day must be."""
MONTH = range(26, 35)
"""Days after which a monthly fee comes again, with weekends between."""
NO_COST = 0.05
"""A day below this part of the median of the days with cost is a day without."""


@dataclass(frozen=True)
class Day:
    """What a day cost, and whether its rows are all there."""

    day: date
    cost: Decimal
    ripe: bool = True


@dataclass(frozen=True)
class Limits:
    """What is worth telling: more than `minimum` in money and more than `relative` of what was expected."""

    minimum: Decimal = Decimal(10)
    relative: float = 0.25


@dataclass(frozen=True)
class Finding:
    """An anomaly: its first and last day, what was expected of them with the range of usual, and what they cost.

    A shift or a drop counts the days until it was the new level. A leak counts its last week, compared with three weeks before.
    """

    kind: Kind
    first: date
    last: date
    expected: Decimal
    low: Decimal
    high: Decimal
    actual: Decimal

    @property
    def impact(self) -> Decimal:
        """How much more (or less) it cost than expected."""
        return total((self.actual, self.expected.copy_negate()))


@dataclass
class _Run:
    """Unusual days on one side with at most one quiet day between two: their indices and what was expected of each."""

    up: bool
    days: list[int] = field(default_factory=list)
    quiet: int = 0
    ranges: list[tuple[float, float]] = field(default_factory=list)


def find(days: Sequence[Day], limits: Limits | None = None) -> list[Finding]:
    """Return the anomalies of consecutive days (no day left out), by their first day."""
    replay = _Replay(days, limits or Limits())
    for at in range(len(days)):
        replay.judge(at)
    replay.end()
    return sorted(replay.found, key=lambda finding: (finding.first, finding.kind))


class _Replay:
    """The days one after the other. `level` holds their costs, older ones scaled to the level of today; `usual` those that teach."""

    def __init__(self, days: Sequence[Day], limits: Limits) -> None:
        self.days, self.limits = days, limits
        self.minimum = float(limits.minimum)
        self.level = [float(day.cost) for day in days]
        self.usual = [False] * len(days)
        self.errors: list[float | None] = [None] * len(days)
        self.excess = [0.0] * len(days)
        self.run: _Run | None = None
        self.leaked = -LEARN
        self.found: list[Finding] = []

    def judge(self, at: int) -> None:
        """Compare a day with those before it."""
        expected, cost = self._expected(at), self.level[at]
        self.excess[at] = cost - (median(self.level[: at + 1]) if expected is None else expected)
        if expected is None or at < LEARN:
            self._learn(at, expected)
            return
        limit = self._limit(at, expected)
        up, down = cost - expected > limit, expected - cost > limit
        if (up and self._allowed(at)) or (down and self._intermittent(at)):
            self._quiet()
            self.usual[at] = self.days[at].ripe
        elif up or (down and self.days[at].ripe):
            self._unusual(at, up, expected, limit)
        else:
            self._quiet()
            self._learn(at, expected)
            self._leak(at)

    def _quiet(self) -> None:
        if self.run:
            self.run.quiet += 1
            if self.run.quiet > 1:
                self.end()

    def end(self) -> None:
        """Close a run of unusual days: when it is no new level, a rise is a spike, and a drop nothing."""
        run, self.run = self.run, None
        if run and run.up:
            self._tell("spike", run)

    def _learn(self, at: int, expected: float | None) -> None:
        self.usual[at] = self.days[at].ripe
        if expected is not None and expected > 0 and self.usual[at]:
            self.errors[at] = abs(self.level[at] - expected) / expected

    def _expected(self, at: int) -> float | None:
        """Return the median of the last days of this weekday; one that was missed out is replaced by an older one."""
        same = [self.level[day] for day in range(at - 7, max(at - 7 * 2 * WEEKS, -1), -7) if self.usual[day]][:WEEKS]
        return median(same) if len(same) >= 2 else None

    def _limit(self, at: int, expected: float) -> float:
        errors = [error for error in self.errors[max(0, at - SPAN) : at] if error is not None]
        usual_error = 1.4826 * median(errors) if errors else 0.0
        return max(STRICT * usual_error * expected, self.limits.relative * expected, self.minimum)

    def _allowed(self, at: int) -> bool:
        """Tell whether a rise is one of the known kinds: a monthly fee, or a job that runs now and then."""
        before = [self.excess[at - days] for days in MONTH if at >= days]
        if before and max(before) >= 0.6 * self.excess[at]:
            return True
        return self._intermittent(at) and self.level[at] <= 1.5 * max(self.level[max(0, at - SPAN) : at])

    def _intermittent(self, at: int) -> bool:
        """Tell whether days without cost come irregularly: a weekday that always is one does not count."""
        past = range(max(0, at - 28), at)
        cost = [self.level[day] for day in past if self.level[day] > 0]
        if not cost:
            return True
        without = NO_COST * median(cost)
        same = [self.level[day] <= without for day in past]
        changes = sum(same[day] != same[day - 7] for day in range(7, len(same)))
        return changes >= len(same) / 7

    def _unusual(self, at: int, up: bool, expected: float, limit: float) -> None:
        if self.run and self.run.up != up:
            self.end()
        run = self.run = self.run or _Run(up)
        run.quiet = 0
        run.days.append(at)
        run.ranges.append((expected, limit))
        if len(run.days) == SHIFTED and all(self.days[day].ripe for day in run.days):
            self._new_level(run)

    def _new_level(self, run: _Run) -> None:
        self._tell("shift" if run.up else "drop", run)
        self.run = None
        factors = [self.level[day] / expected for day, (expected, _) in zip(run.days, run.ranges, strict=True) if expected > 0]
        factor = max(median(factors), 0.0) if factors else 0.0
        for day in range(run.days[0]):
            self.level[day] = self.level[day] * factor if factor else self.level[run.days[-1]]
            self.excess[day] *= factor
        for day in run.days:
            self.usual[day] = True

    def _leak(self, at: int) -> None:
        """Look for growth in each of four weeks, of the median day of the week."""
        if at - self.leaked < LEARN or at < 2 * LEARN or not self.days[at].ripe or self._intermittent(at):
            return
        weeks = [median(self.level[at - 7 * back - 6 : at - 7 * back + 1]) for back in (3, 2, 1, 0)]
        steps = [after - before for before, after in pairwise(weeks)]
        grown, limit = weeks[-1] - weeks[0], max(LEAK * self._limit(at, weeks[0]), self.minimum)
        if grown > limit and min(steps) > 0.15 * grown:
            self.leaked = at
            self._add("leak", range(at - 6, at + 1), [(weeks[0], limit)] * 7)

    def _tell(self, kind: Kind, run: _Run) -> None:
        self._add(kind, run.days, run.ranges)

    def _add(self, kind: Kind, days: Sequence[int], ranges: Sequence[tuple[float, float]]) -> None:
        expected, limit = sum(each for each, _ in ranges), sum(each for _, each in ranges)
        actual = total(self.days[day].cost for day in days)
        low, high = max(expected - limit, 0.0), expected + limit
        first, last = self.days[days[0]].day, self.days[days[-1]].day
        self.found.append(Finding(kind, first, last, money(expected), money(low), money(high), actual))


def money(amount: float) -> Decimal:
    """Round an estimate to the cent: it is no bill."""
    return Decimal(str(round(amount, 2)))
