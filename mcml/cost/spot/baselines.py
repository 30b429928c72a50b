"""Policies that ours is measured against."""

import numpy as np

from mcml.cost.spot.job import Bools, Choice, Ints, Job, Seen, may_spot


class Greedy:
    """Spot when there is any, else wait; on demand to the end once the slack is down to two restarts."""

    def begin(self, job: Job, runs: int) -> None:
        """Start so many runs of the job afresh."""
        self._job, self._committed = job, np.zeros(runs, np.bool_)

    def choose(self, seen: Seen) -> Ints:
        """Return a Choice for each run."""
        self._committed |= _out_of_slack(self._job, seen)
        return np.where(self._committed, Choice.ON_DEMAND, np.where(seen.up, Choice.SPOT, Choice.WAIT))


class UniformProgress:
    """Keep the progress on the straight line from nothing at the start to all of it at the deadline.

    Source: Wu et al., "Can't Be Late", NSDI 2024, section 4. With c(t) = work x t / deadline as the progress to be expected, d the restart:
    when idle and behind c(t), run on demand; take spot whenever there is any, and stay on it; leave on demand only when ahead of c(t + 2d);
    when what remains and two restarts fill the time that is left, run on demand to the end.
    """

    def begin(self, job: Job, runs: int) -> None:
        """Start so many runs of the job afresh."""
        self._job, self._committed = job, np.zeros(runs, np.bool_)

    def choose(self, seen: Seen) -> Ints:
        """Return a Choice for each run."""
        job, elapsed = self._job, seen.tick * self._job.tick
        done = job.work - seen.remaining
        behind = elapsed * job.work > done * job.deadline
        stays = (seen.running == Choice.ON_DEMAND) & (~seen.up | ((elapsed + 2 * job.restart) * job.work >= done * job.deadline))
        self._committed |= _out_of_slack(job, seen) & (seen.running != Choice.SPOT)
        chosen = np.where(seen.up, Choice.SPOT, np.where(behind, Choice.ON_DEMAND, Choice.WAIT))
        return np.where(self._committed | stays, Choice.ON_DEMAND, chosen)


class NeverWait:
    """Spot when there is any and the deadline allows another start, else on demand."""

    def begin(self, job: Job, _runs: int) -> None:
        """Start so many runs of the job afresh."""
        self._job = job

    def choose(self, seen: Seen) -> Ints:
        """Return a Choice for each run."""
        return np.where(may_spot(self._job, seen), Choice.SPOT, Choice.ON_DEMAND)


def _out_of_slack(job: Job, seen: Seen) -> Bools:
    """Return where what remains and two restarts fill the ticks that are left."""
    found: Bools = -(-(seen.remaining + 2 * job.restart) // job.tick) >= job.ticks - seen.tick
    return found
