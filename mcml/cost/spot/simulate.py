"""Run a policy over traces of the spot market, by the rule of the Cant-Be-Late benchmark.

Time moves in ticks. A tick on a machine is paid in full. Starting anything but what runs sets the seconds of the start that are pending
to the restart overhead (they replace what was pending before, they are not added), and a machine makes no progress while they last. Spot
asked for where there is none counts as nothing. The job is late when its work is not done at the deadline.

Source: "Can't Be Late: Optimizing Spot Instance Savings under Deadlines", Wu et al., NSDI 2024, and the evaluator in Frontier-CS.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from mcml.core.errors import InvalidRequest
from mcml.cost.spot.job import Bools, Choice, Ints, Job, Policy, Seen
from mcml.store.ledger.exact import product, quotient, total

SECONDS = Decimal(3600)
PLACES = 6


@dataclass(frozen=True)
class Graded:
    """What became of each run: ticks paid on spot and on demand, the tick at whose end it was done (-1: late), how often a machine was
    started, and how often one was taken away."""

    job: Job
    spot: Ints
    on_demand: Ints
    done: Ints
    starts: Ints
    interruptions: Ints

    @property
    def late(self) -> int:
        """How many runs missed the deadline."""
        return int((self.done < 0).sum())

    @property
    def mean_cost(self) -> Decimal:
        """Mean cost of a run, in the currency of the prices."""
        ticks = ((self.job.spot, int(self.spot.sum())), (self.job.on_demand, int(self.on_demand.sum())))
        paid = total([product(price, count) for price, count in ticks])
        return quotient(product(paid, self.job.tick), product(SECONDS, len(self.done)), places=PLACES)

    @property
    def score(self) -> Decimal:
        """100 = as cheap as spot without an interruption, 0 = as dear as on demand alone."""
        dear, cheap = self.uninterrupted(self.job.on_demand), self.uninterrupted(self.job.spot)
        if dear == cheap:
            return Decimal(0)
        return quotient(product(dear - self.mean_cost, 100), dear - cheap, places=PLACES)

    def uninterrupted(self, price: Decimal) -> Decimal:
        """Return what the job costs at that price for an hour when nothing ever takes its machine away."""
        return quotient(product(price, self.job.needed_ticks * self.job.tick), SECONDS, places=PLACES)


def grade(job: Job, policy: Policy, up: Bools) -> Graded:
    """Run the policy on windows `up[run, tick]` (True: spot is to be had). Raises InvalidRequest for windows shorter than the deadline."""
    runs, ticks = up.shape
    if ticks < job.ticks:
        why = f"it has {ticks} ticks of {job.tick} s, the deadline is after {job.ticks}"
        raise InvalidRequest("the trace is too short for this job", why=why, next_step="give a longer trace, or an earlier deadline")
    policy.begin(job, runs)
    ran, remaining, pending, spot, on_demand, starts, lost = (np.zeros(runs, np.int64) for _ in range(7))
    remaining += job.work
    done = np.full(runs, -1, np.int64)
    for tick in range(job.ticks):
        there, active = up[:, tick], remaining > 0
        if not active.any():
            break
        taken = active & (ran == Choice.SPOT) & ~there
        running = np.where(taken, Choice.WAIT, ran)
        asked = policy.choose(Seen(tick, there, running, remaining, pending))
        ran = np.where(active & ~((asked == Choice.SPOT) & ~there), asked, Choice.WAIT)
        runs_now, started = ran != Choice.WAIT, (ran != Choice.WAIT) & (ran != running)
        pending = np.where(started, job.restart, pending)
        remaining = remaining - np.where(runs_now, np.maximum(job.tick - pending, 0), 0)
        pending = np.where(runs_now, np.maximum(pending - job.tick, 0), pending)
        done = np.where(active & (remaining <= 0), tick + 1, done)
        for count, more in ((spot, ran == Choice.SPOT), (on_demand, ran == Choice.ON_DEMAND), (starts, started), (lost, taken)):
            count += more
    return Graded(job, spot, on_demand, done, starts, lost)
