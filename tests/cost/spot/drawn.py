"""Jobs and windows drawn by Hypothesis, and policies that do one thing."""

from decimal import Decimal

import numpy as np
from hypothesis import strategies as st

from mcml.cost.spot.job import Bools, Ints, Job, Seen

ON_DEMAND, SPOT = Decimal("3.06"), Decimal("0.9731")


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job of up to 30 ticks with as much slack as a start needs, or more; no whole ticks, and starts of several ticks, are among them."""
    tick = draw(st.sampled_from([60, 600, 7]))
    restart = draw(st.integers(0, 3 * tick))
    work = draw(st.integers(1, 30 * tick))
    needed = -(-(work + restart) // tick)
    deadline = (needed + draw(st.integers(0, 40))) * tick + draw(st.integers(0, tick - 1))
    return Job(work, deadline, restart, tick, ON_DEMAND, SPOT)


@st.composite
def graded_by(draw: st.DrawFn) -> tuple[Job, Bools]:
    """A job and windows in which spells of spot of any length follow each other."""
    job = draw(jobs())
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        up = draw(st.booleans())
        window: list[bool] = []
        while len(window) < job.ticks:
            window += [up] * draw(st.integers(1, 12))
            up = not up
        windows.append(window[: job.ticks])
    return job, np.array(windows, np.bool_)


class Fixed:
    """Answers what a script says, tick by tick, whatever it sees."""

    def __init__(self, script: list[int]) -> None:
        self._script = script

    def begin(self, _job: Job, runs: int, /) -> None:
        """Remember how many there are."""
        self._runs = runs

    def choose(self, seen: Seen, /) -> Ints:
        """Return the word of the tick; the last one goes on."""
        return np.full(self._runs, self._script[min(seen.tick, len(self._script) - 1)], np.int64)
