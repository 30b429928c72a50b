"""Our policy: the cheapest choice by what is believed of the market, among those that can never make the job late."""

from collections.abc import Sequence

import numpy as np

from mcml.cost.spot.job import Choice, Ints, Job, Seen, may_spot, may_wait
from mcml.cost.spot.spells import REGIMES, Belief, Regime
from mcml.cost.spot.value import DOWN_IDLE, NEVER, UP_IDLE, Ticks, slacks_after, solve

EAGER = 0.01
"""Waiting must be worth a hundredth of a tick of on-demand: with much slack it costs next to nothing in the tables, and gains nothing."""


class Planned:
    """Prices waiting, spot and on-demand for each regime of the market, and takes the one that is cheapest on average over the belief.

    The deadline does not depend on any of that: a choice after which an interruption could no longer be made good in time by an on-demand
    machine is not among the choices (`may_wait`, `may_spot`); on demand always is.
    """

    def __init__(self, regimes: Sequence[Regime] = REGIMES, history: Sequence[bool] = ()) -> None:
        """`history` says of the ticks before the first whether spot was to be had, oldest first."""
        self._regimes, self._history = tuple(regimes), tuple(history)

    def begin(self, job: Job, runs: int) -> None:
        """Start so many runs of the job afresh, with what history teaches."""
        self._job = job
        self._tables = [solve(Ticks.of(job), regime) for regime in self._regimes]
        self._belief = Belief(self._regimes, job.tick, runs)
        for up in self._history:
            self._belief.see(np.full(runs, up))

    def choose(self, seen: Seen) -> Ints:
        """Return a Choice for each run."""
        job, belief = self._job, self._belief
        belief.see(seen.up)
        slacks = slacks_after(job, seen.tick, seen.running, seen.remaining, seen.pending)
        left = job.ticks - seen.tick
        by_regime = np.stack([table.costs(left, seen.up, belief.age, slacks) for table in self._tables])
        costs = np.einsum("rk,kcr->cr", belief.weights, by_regime)
        costs[Choice.WAIT] += EAGER
        costs[Choice.WAIT][~may_wait(job, seen)] = 2 * NEVER
        costs[Choice.SPOT][~may_spot(job, seen)] = 2 * NEVER
        chosen: Ints = costs.argmin(axis=0)
        chosen[costs.min(axis=0) >= NEVER] = Choice.ON_DEMAND
        return chosen


def expected_ticks(job: Job, *, up: bool) -> float:
    """Return what the job is expected to cost in ticks of on-demand, when spot is to be had at first (`up`) or is not."""
    ticks = Ticks.of(job)
    tables = [solve(ticks, regime) for regime in REGIMES]
    state = UP_IDLE if up else DOWN_IDLE
    return float(np.mean([np.interp(ticks.slack, table.grid, table.values[ticks.left, state, 0]) for table in tables]))
