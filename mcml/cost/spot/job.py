"""A job with a deadline, what a policy sees of it once a tick, and what it may answer."""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcml.core.errors import InvalidRequest

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


class Choice(IntEnum):
    """Where the job runs during one tick."""

    WAIT = 0
    SPOT = 1
    ON_DEMAND = 2


@dataclass(frozen=True)
class Job:
    """All times in whole seconds: `work` is what it takes without a stop, `deadline` what it may take, `restart` what every start of a
    machine costs before progress goes on, `tick` how often we decide. Prices are for an hour, in one currency.

    Raises InvalidRequest for a job that on-demand machines from the first tick on would not finish in time, and for what is no job.
    """

    work: int
    deadline: int
    restart: int
    tick: int
    on_demand: Decimal
    spot: Decimal

    def __post_init__(self) -> None:
        if min(self.work, self.tick) <= 0 or self.restart < 0:
            why = "its work and its tick must be longer than nothing, a restart not shorter"
            raise InvalidRequest("this is no job", why=why, next_step="mcml cost spot run --help")
        if not 0 < self.spot <= self.on_demand:
            why = f"an hour of spot costs {self.spot}, on demand {self.on_demand}"
            raise InvalidRequest("these are no spot prices", why=why, next_step="name a spot price above 0, and not above that on demand")
        if self.needed_ticks > self.ticks:
            why = f"{self.work} s of work and a start of {self.restart} s do not fit into {self.ticks} ticks of {self.tick} s"
            raise InvalidRequest("the deadline cannot be kept", why=why, next_step="give it a later deadline, or a shorter tick")

    @property
    def ticks(self) -> int:
        """Whole ticks until the deadline."""
        return self.deadline // self.tick

    @property
    def needed_ticks(self) -> int:
        """Ticks that an uninterrupted run takes, its one start among them."""
        return -(-(self.work + self.restart) // self.tick)


@dataclass(frozen=True)
class Seen:
    """What is known at the start of tick number `tick`, for each run: is spot to be had (`up`), what runs on from the last tick (a Choice;
    an interrupted machine is WAIT), seconds of work that remain, and seconds of the running machine's start that are still pending."""

    tick: int
    up: Bools
    running: Ints
    remaining: Ints
    pending: Ints


class Policy(Protocol):
    """Decides once a tick. It may remember what it has seen of the runs since `begin`; it never sees what comes."""

    def begin(self, job: Job, runs: int, /) -> None:
        """Start so many runs of the job afresh."""

    def choose(self, seen: Seen, /) -> Ints:
        """Return a Choice for each run."""


def may_wait(job: Job, seen: Seen) -> Bools:
    """Return where a tick without progress still leaves time to start on demand and finish."""
    return _fits(job, seen, seen.remaining + job.restart)


def may_spot(job: Job, seen: Seen) -> Bools:
    """Return where a tick on spot, interrupted right after it, still leaves time to start on demand and finish."""
    pending = np.where(seen.running == Choice.SPOT, seen.pending, job.restart)
    left = seen.remaining - np.maximum(job.tick - pending, 0)
    fits: Bools = seen.up & ((left <= 0) | _fits(job, seen, left + job.restart))
    return fits


def _fits(job: Job, seen: Seen, seconds: Ints) -> Bools:
    """Return where so many seconds fit into the whole ticks after this one."""
    needed: Ints = -(-seconds // job.tick)
    return needed < job.ticks - seen.tick
