"""How long spot stays up, and how long it stays away: what is assumed before anything is seen, and what is believed after.

The longer a spell has lasted, the longer it still lasts: a machine that was taken after five minutes was in a crowded pool, one that has
run for a day is in a quiet one. A constant rate that differs from spell to spell and is Gamma-distributed gives just that: spells of a
Lomax (Pareto II) distribution, P(longer than a) = (scale / (scale + a))^shape (K. S. Lomax, Business failures, JASA 49, 1954).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcml.cost.spot.job import Bools, Floats, Ints

MINUTE = 60.0
FADE = 0.05
"""Of what was learnt, so much is forgotten in ten minutes: a market is calm for hours, and then it is not."""
FADE_SECONDS = 600.0


@dataclass(frozen=True)
class Lomax:
    """The length of a spell: `shape` without a unit, `scale` in seconds."""

    shape: float
    scale: float

    def ends(self, age: Floats, tick: float) -> Floats:
        """Return the probability that a spell of this age (seconds) ends within the next tick."""
        lasts: Floats = ((self.scale + age) / (self.scale + age + tick)) ** self.shape
        return 1 - lasts


@dataclass(frozen=True)
class Regime:
    """A state of the market: how long spells of spot are, and the spells without it."""

    name: str
    up: Lomax
    down: Lomax


REGIMES = (
    Regime("calm", up=Lomax(1.1, 30 * MINUTE), down=Lomax(1.3, 23 * MINUTE)),
    Regime("rough", up=Lomax(2.2, 33 * MINUTE), down=Lomax(1.5, 22 * MINUTE)),
)
"""Half of the spells of spot are over after 26 minutes when it is calm, after 12 when it is rough; without spot after 16 and 13.

Coarse on purpose. Chosen by hand, with the even windows of the part of the Cant-Be-Late traces in tests/bench/data at hand; the benchmark
reports the odd ones, and two halves of the trace that share no hour, beside them.
"""

BINS = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 21, 30, 45, 70])
"""First age, in ticks, of each class of ages: exact for young spells, coarse for old ones, whose rate hardly changes."""
WIDTHS = np.append(np.diff(BINS), 40)


def bin_of(age: Ints) -> Ints:
    """Return the class of each age, in ticks."""
    return np.searchsorted(BINS, age, side="right") - 1


def end_rates(spell: Lomax, tick: int) -> Floats:
    """Return for each class of ages the probability that a spell ends within the next tick."""
    return spell.ends((BINS + (WIDTHS - 1) / 2) * tick, tick)


class Belief:
    """Which regime each run is in, from the spells that were seen. `weights[run, regime]` add up to 1."""

    def __init__(self, regimes: Sequence[Regime], tick: int, runs: int) -> None:
        self._up = np.stack([end_rates(regime.up, tick) for regime in regimes], axis=1)
        self._down = np.stack([end_rates(regime.down, tick) for regime in regimes], axis=1)
        self._keep = (1 - FADE) ** (tick / FADE_SECONDS)
        self._logs = np.zeros((runs, len(regimes)))
        self._before: Bools | None = None
        self.age = np.zeros(runs, np.int64)
        """How many ticks ago the present spell began, as far as was seen."""

    @property
    def weights(self) -> Floats:
        """The probability of each regime: equal at first, forgotten slowly."""
        raised = np.exp(self._logs - self._logs.max(axis=1, keepdims=True))
        shares: Floats = raised / raised.sum(axis=1, keepdims=True)
        return shares

    def see(self, up: Bools) -> None:
        """Learn from the next tick: is spot to be had?"""
        if self._before is not None:
            same, ages = up == self._before, bin_of(self.age)
            ended = np.where(self._before[:, None], self._up[ages], self._down[ages])
            self._logs = self._logs * self._keep + np.log(np.where(same[:, None], 1 - ended, ended))
            self.age = np.where(same, self.age + 1, 0)
        self._before = up.copy()
