"""What keeps the control loop from ever waiting: a thread that reads what may be slow, and one that delivers facts when it can."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from mcml.core.fact import Fact
from mcml.core.report import Reporter

T = TypeVar("T")
MOST_FACTS = 1000
"""Facts that wait for a store that is down; beyond it the oldest are given up, and that is said."""

RETRY_SECONDS = (0.2, 5.0)
"""First and longest pause before a fact that could not be written is tried again."""


def to_next_beat(period: float, lag: float = 0.0) -> float:
    """Return the seconds until the next multiple of `period` (and `lag` after it) on the monotonic clock.

    What looks now and then does it at the same moments: waking a machine's caches costs several times what is then done with them.
    """
    left = period - (time.monotonic() - lag) % period
    return left if left > 0.1 * period else left + period  # a wait may end a little early


class Feed(Generic[T]):
    """The newest value of a callable that may be slow or fail; the last good one stays, and a failure is said once.

    A value that equals the one before does not replace it; `changes` counts those that did.
    """

    def __init__(self, what: str, read: Callable[[], T], first: T, *, seconds: float, reporter: Reporter) -> None:
        self._what = what
        self._read = read
        self._value = first
        self.changes = 0
        self._seconds = seconds
        self._reporter = reporter
        self._failing = False
        self._read_once = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"route-{what}", daemon=True)

    @property
    def value(self) -> T:
        """The newest value that could be read."""
        return self._value

    def start(self) -> None:
        """Begin to read, in a thread, at once and then every so many seconds."""
        self._thread.start()

    def settle(self, seconds: float) -> None:
        """Wait for the first reading, for so many seconds at most."""
        self._read_once.wait(seconds)

    def close(self) -> None:
        """End the thread; a read that hangs is left behind."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._take(self._read())
                self._failing = False
            except Exception as failed:  # noqa: BLE001 - whatever a source raises, the router goes on with what it knows
                if not self._failing:
                    self._reporter.note(f"cannot read the {self._what}, going on with those of before: {failed}")
                self._failing = True
            self._read_once.set()
            self._stop.wait(to_next_beat(self._seconds))

    def _take(self, found: T) -> None:
        if found != self._value:
            self._value = found
            self.changes += 1


class Courier:
    """Delivers facts in order, in a thread, trying again while the store is away."""

    def __init__(self, emit: Callable[[Fact], object], reporter: Reporter) -> None:
        self._emit = emit
        self._reporter = reporter
        self._waiting: deque[Fact] = deque()
        self._lost = 0
        self._change = threading.Condition()
        self._closing = False
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="route-facts", daemon=True)
        self._thread.start()

    def post(self, *facts: Fact) -> None:
        """Hand over facts; returns at once."""
        with self._change:
            for fact in facts:
                if len(self._waiting) >= MOST_FACTS:
                    self._waiting.popleft()
                    self._lost += 1
                self._waiting.append(fact)
            self._change.notify()

    def close(self, seconds: float = 5.0) -> int:
        """Deliver what waits, for so many seconds at most; return how many facts were never written."""
        with self._change:
            self._closing, self._deadline = True, time.monotonic() + seconds
            self._change.notify()
        self._thread.join(timeout=seconds + 1.0)
        with self._change:
            lost = self._lost + len(self._waiting)
        if lost:
            self._reporter.note(f"{lost} facts could not be written to the journal")
        return lost

    def _run(self) -> None:
        pause = RETRY_SECONDS[0]
        while (fact := self._next()) is not None:
            if self._deliver(fact, said=pause > RETRY_SECONDS[0]):
                pause = RETRY_SECONDS[0]
                continue
            with self._change:
                if self._closing and time.monotonic() + pause > self._deadline:
                    return
                self._change.wait(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    def _next(self) -> Fact | None:
        with self._change:
            while not self._waiting and not self._closing:
                self._change.wait()
            return self._waiting[0] if self._waiting else None

    def _deliver(self, fact: Fact, *, said: bool) -> bool:
        try:
            self._emit(fact)
        except Exception as failed:  # noqa: BLE001 - whatever the store raises, the fact is kept and tried again
            if not said:
                self._reporter.note(f"cannot write to the journal, keeping {fact.kind} for later: {failed}")
            return False
        if said:
            self._reporter.note("the journal can be written again")
        with self._change:
            if self._waiting and self._waiting[0] is fact:  # else it was given up while it was being written
                self._waiting.popleft()
        return True
