"""Our policy beside others on the same windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from mcml.cost.spot.baselines import Greedy, NeverWait, UniformProgress
from mcml.cost.spot.job import Job, Policy
from mcml.cost.spot.policy import Planned
from mcml.cost.spot.simulate import Graded, grade
from mcml.cost.spot.traces import Windows

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "planned": Planned,
    "greedy": Greedy,
    "uniform progress": UniformProgress,
    "never wait": NeverWait,
}
"""Ours is `planned`."""


@dataclass(frozen=True)
class Terms:
    """A job as it is ordered, before it is known in which ticks time moves; seconds, and prices of an hour."""

    work: int
    deadline: int
    restart: int
    on_demand: Decimal
    spot: Decimal

    def job(self, tick: int) -> Job:
        """Return the job in ticks of so many seconds. Raises InvalidRequest."""
        return Job(self.work, self.deadline, self.restart, tick, self.on_demand, self.spot)


@dataclass(frozen=True)
class Contest:
    """How each policy did on one series."""

    series: str
    windows: int
    spot_share: float
    """Of all ticks, how many had spot."""
    graded: Mapping[str, Graded]


def hold(terms: Terms, windows: Windows) -> Contest:
    """Run all policies on the windows of a series. Raises InvalidRequest for a job that cannot be done, or windows that are too short."""
    job = terms.job(windows.tick)
    graded = {name: grade(job, make(), windows.up) for name, make in POLICIES.items()}
    return Contest(windows.series, len(windows.up), float(windows.up.mean()), graded)
