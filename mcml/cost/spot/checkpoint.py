"""How often a job should write a checkpoint: too seldom and an interruption costs much work, too often and the writing does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mcml.core.errors import InvalidRequest


@dataclass(frozen=True)
class Interval:
    """When to checkpoint, in seconds of work. `overhead` is the share of the time lost to writing, to work done again and to restarts."""

    every: float
    overhead: float


def interval(cost: float, between: float) -> float:
    """Return the seconds of work between two checkpoints that lose the least time, for a checkpoint that takes `cost` seconds and a
    mean time `between` interruptions.

    J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22 (2006), equation 37: with d the cost
    and M the mean time, sqrt(2dM) x (1 + sqrt(d / 2M) / 3 + (d / 2M) / 9) - d, and M when d >= 2M. Its first term is J. W. Young's
    (CACM 17, 1974). Raises InvalidRequest for what is no length of time.
    """
    if not (math.isfinite(cost) and math.isfinite(between) and cost > 0 and between > 0):
        why = f"a checkpoint takes {cost} s, interruptions come every {between} s"
        raise InvalidRequest("no checkpoint interval can be worked out", why=why, next_step="mcml cost spot checkpoint --help")
    if cost >= 2 * between:
        return between
    half = cost / (2 * between)
    return math.sqrt(2 * cost * between) * (1 + math.sqrt(half) / 3 + half / 9) - cost


def lost(every: float, cost: float, between: float, restart: float = 0.0) -> float:
    """Return the share of the time that is lost when a checkpoint is written after every `every` seconds of work: 0 is none, 1 is all.

    Exact for interruptions at random (exponential) with mean `between`: Daly's equation 13, wall time over work is
    M e^(R/M) (e^((every + d)/M) - 1) / every.
    """
    exponent = (every + cost) / between
    if exponent + restart / between > 700:
        return 1.0
    return 1 - every / (between * math.exp(restart / between) * math.expm1(exponent))


def advise(costs: Sequence[float], between: float, restart: float = 0.0) -> Interval:
    """Return when to checkpoint, from the measured seconds of some checkpoints (their mean). Raises InvalidRequest without any."""
    if not costs:
        step = "mcml cost spot checkpoint --takes 40s"
        raise InvalidRequest("no checkpoint interval can be worked out", why="no checkpoint was measured yet", next_step=step)
    cost = math.fsum(costs) / len(costs)
    every = interval(cost, between)
    return Interval(every, lost(every, cost, between, restart))


def mean_time_between(observed: float, interruptions: int, prior: float = 6 * 3600.0) -> float:
    """Return the mean seconds between interruptions after so many in `observed` seconds on spot machines.

    The mean of the posterior of a Gamma prior worth one interruption in `prior` seconds, so that it is finite before the first one.
    """
    return (observed + prior) / (interruptions + 1)
