"""What the rest of a job is expected to cost, by dynamic programming over time left, slack, and the state and age of the spot market.

Slack is the time left less the work that remains (and less what is pending of a start). Waiting for a tick costs a tick of slack, starting
a machine costs the restart overhead of it, running costs none but money. A plan never lets the slack fall below a restart while nothing
runs on demand, so that every branch it prices is one that the job can take.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mcml.cost.spot.job import Bools, Choice, Floats, Ints, Job
from mcml.cost.spot.spells import WIDTHS, Regime, bin_of, end_rates

UP_IDLE, UP_SPOT, UP_DEMAND, DOWN_IDLE, DOWN_DEMAND = range(5)
"""Is spot to be had, and what runs on from the last tick. Spot that was taken away is DOWN_IDLE."""
NEVER = 1e6
"""The price of what must not happen, in ticks of on-demand; finite, so that it can be interpolated."""
NOISE = 1e-6
POINTS = 64
"""How many slacks are priced where a restart matters most."""


@dataclass(frozen=True)
class Ticks:
    """A job in ticks, the form in which two jobs may share a table. `spot` is the price of spot over that of on-demand."""

    left: int
    slack: float
    restart: float
    seconds: int
    spot: float

    @classmethod
    def of(cls, job: Job) -> "Ticks":
        """Return the job so."""
        slack = job.ticks - job.work / job.tick
        return cls(job.ticks, slack, job.restart / job.tick, job.tick, float(job.spot / job.on_demand))


@dataclass(frozen=True)
class Table:
    """`values[left, state, age class, slack point]` in ticks of on-demand, for the slacks of `grid` (ticks)."""

    grid: Floats
    values: Floats
    up: Floats
    down: Floats
    ticks: Ticks

    def costs(self, left: int, up: Bools, age: Ints, slacks: Floats) -> Floats:
        """Return the expected cost of each Choice, `[choice, run]`, with `left` ticks left before it.

        `slacks[choice, run]` is the slack after the choice; `age` that of the market's present spell, in ticks.
        """
        now, later = bin_of(age), bin_of(age + 1)
        rises = np.where(up, 1 - self.up[now], self.down[now])
        higher, lower = np.where(up, later, 0), np.where(up, 0, later)
        after = self.values[left - 1]
        found = []
        for choice, (if_up, if_down) in enumerate(((UP_IDLE, DOWN_IDLE), (UP_SPOT, DOWN_IDLE), (UP_DEMAND, DOWN_DEMAND))):
            at_up = _at(self.grid, after[if_up], higher, slacks[choice])
            at_down = _at(self.grid, after[if_down], lower, slacks[choice])
            found.append(self._price(choice) + rises * at_up + (1 - rises) * at_down)
        return np.stack(found)

    def _price(self, choice: int) -> float:
        return (0.0, self.ticks.spot, 1.0)[choice]


@lru_cache(maxsize=8)
def solve(ticks: Ticks, regime: Regime) -> Table:
    """Price every state of a job backwards from its deadline (Bellman's equation), for a market that stays in this regime."""
    grid = _grid(ticks)
    up, down = end_rates(regime.up, ticks.seconds), end_rates(regime.down, ticks.seconds)
    values = np.zeros((ticks.left + 1, 5, len(WIDTHS), len(grid)), np.float32)
    values[0] = np.where(grid >= -NOISE, 0, NEVER)
    waits, starts = _Shift(grid, 1), _Shift(grid, ticks.restart)
    unsafe = grid < ticks.restart - NOISE
    for left in range(1, ticks.left + 1):
        after, here = values[left - 1], values[left]
        idle = _expected(after[UP_IDLE], after[DOWN_IDLE], up)
        spot = np.float32(ticks.spot) + _expected(after[UP_SPOT], after[DOWN_IDLE], up)
        demand = 1 + _expected(after[UP_DEMAND], after[DOWN_DEMAND], up)
        wait, spot_anew, demand_anew = waits(idle), starts(spot), starts(demand)
        here[UP_IDLE] = np.minimum(np.minimum(wait, spot_anew), demand_anew)
        here[UP_SPOT] = np.minimum(np.minimum(wait, spot), demand_anew)
        here[UP_DEMAND] = np.minimum(np.minimum(wait, spot_anew), demand)
        idle = waits(_expected(after[DOWN_IDLE], after[UP_IDLE], down))
        demand = 1 + _expected(after[DOWN_DEMAND], after[UP_DEMAND], down)
        here[DOWN_IDLE] = np.minimum(idle, starts(demand))
        here[DOWN_DEMAND] = np.minimum(idle, demand)
        for state in (UP_IDLE, UP_SPOT, DOWN_IDLE):
            here[state][:, unsafe] = NEVER
        here[..., grid < -NOISE] = NEVER
        here[..., grid >= left - NOISE] = 0  # no work remains
    return Table(grid, values, up, down, ticks)


def _expected(stays: Floats, ends: Floats, rates: Floats) -> Floats:
    """Return the expected value after a tick `[age class, slack]`: the spell goes on, a tick older, or ends and another begins."""
    older = np.concatenate([stays[1:], stays[-1:]])
    climbs = (1 / WIDTHS).astype(np.float32)[:, None]
    end = rates.astype(np.float32)[:, None]
    found: Floats = (1 - end) * (climbs * older + (1 - climbs) * stays) + end * ends[0]
    return found


def _grid(ticks: Ticks) -> Floats:
    """Return the slacks that are priced, in ticks: close to each other where a restart matters, wider apart beyond.

    A tick less is always a point again: were it none, each tick of waiting would blur how much work remains, and waiting look cheap.
    """
    fine = math.ceil(max(6.0, 5 * ticks.restart))
    parts = next((parts for parts in (10, 4, 2) if fine * parts <= POINTS), 1)
    middle, most = round(2.5 * fine), math.ceil(ticks.slack) + 2
    return np.concatenate([_points(0, fine, parts), _points(fine, middle, max(1, parts // 2)), _points(middle, max(most, middle + 1), 1)])


def _points(begin: int, end: int, parts: int) -> Floats:
    return np.arange(begin * parts, end * parts) / parts


class _Shift:
    """Looks up values at slacks that are so many ticks lower than the grid's."""

    def __init__(self, grid: Floats, by: float) -> None:
        self._below, self._part = _places(grid, grid - by)
        self._never = grid - by < -NOISE

    def __call__(self, values: Floats) -> Floats:
        found: Floats = values[..., self._below] * (1 - self._part) + values[..., self._below + 1] * self._part
        found[..., self._never] = NEVER
        return found


def _places(grid: Floats, slacks: Floats) -> tuple[Ints, Floats]:
    """Return the grid points below the slacks, and how far each lies towards the next one (0 to 1)."""
    below = np.clip(np.searchsorted(grid, slacks + NOISE, side="right") - 1, 0, len(grid) - 2)
    part = np.clip((slacks - grid[below]) / (grid[below + 1] - grid[below]), 0, 1)
    return below, part.astype(np.float32)


def _at(grid: Floats, values: Floats, ages: Ints, slacks: Floats) -> Floats:
    """Return `values[age class, slack]` between grid points; NEVER below the first."""
    below, part = _places(grid, slacks)
    found = values[ages, below] * (1 - part) + values[ages, below + 1] * part
    return np.where(slacks < -NOISE, NEVER, found)


def slacks_after(job: Job, tick: int, running: Ints, remaining: Ints, pending: Ints) -> Floats:
    """Return the slack in ticks after each Choice, `[choice, run]`: waiting costs a tick, a start the restart, going on what is pending."""
    slack = job.ticks - tick - remaining / job.tick
    anew, going = slack - job.restart / job.tick, slack - pending / job.tick
    return np.stack([slack - 1, *(np.where(running == choice, going, anew) for choice in (Choice.SPOT, Choice.ON_DEMAND))])
