"""Cut off in the middle: what is done is known, what is under way stops, and the error says both."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

import pytest

from mcml.core.errors import Interrupted, McmlError, StillRunning, TimeUp
from mcml.core.fact import Fact
from mcml.core.plan import Plan, Step
from mcml.core.report import Silent
from mcml.data.threads import GRACE_SECONDS, each
from mcml.data.work import Run, raise_failures


@contextmanager
def on_signal(error: BaseException) -> Iterator[None]:
    """Let SIGUSR1 raise an error in the main thread, as Ctrl-C and --timeout do."""

    def ring(_: int, __: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("cut", "kind", "word"), [(KeyboardInterrupt(), Interrupted, "interrupted"), (TimeUp(), StillRunning, "timed out")]
)
def test_cut_off_it_says_what_is_done_and_what_is_half_done(cut: BaseException, kind: type[McmlError], word: str) -> None:
    facts: list[Fact] = []
    steps = tuple(Step("create", "copy", name, values={"size": 1}) for name in "abcde")
    work = Run(Plan("data", steps), "copied", Silent(), 2, "mcml data cp x y", facts.append, {"source": "x"})
    first_done = Event()

    def do(step: Step) -> tuple[str, int]:
        if step.name == "a":
            return "fine", 1
        if step.name == "c":
            while not any(outcome.step.name == "a" for outcome in work.outcomes):
                first_done.wait(0.01)
            first_done.wait(0.3)  # until all are handed out, and the main thread waits
            os.kill(os.getpid(), signal.SIGUSR1)
        assert work.stop.wait(30)
        raise Interrupted("stopped")

    with on_signal(cut), pytest.raises(kind) as told:
        work.carry_out(do)
    assert told.value.message == f"{word}: 1 of 5 items ended"
    assert sorted(told.value.why.splitlines()) == ["2 not begun", "half-done: b", "half-done: c"]
    assert told.value.next_step == "mcml data cp x y"
    assert [outcome.step.name for outcome in work.outcomes] == ["a"]
    (fact,) = facts
    assert (fact.kind, fact.facts["copied"], fact.facts["source"]) == ("data.copied", 1, "x")


def test_a_bug_in_one_stops_the_others_and_is_not_hidden() -> None:
    stop = Event()

    def do(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError
        assert stop.wait(30)

    with pytest.raises(ZeroDivisionError):
        list(each(do, [0, 1, 2, 3], jobs=2, stop=stop))


def test_many_failures_are_cut_short() -> None:
    def fail(step: Step) -> tuple[str, int]:
        raise McmlError("no", why="because")

    work = Run(Plan("data", tuple(Step("create", "copy", str(number)) for number in range(30))), "copied", Silent())
    with pytest.raises(McmlError) as told:
        raise_failures(work.carry_out(fail), "copied", "again")
    lines = told.value.why.splitlines()
    assert len(lines) == 11
    assert (lines[0].partition(": ")[2], lines[-1]) == ("no (because)", "and 20 more")


def test_one_that_does_not_answer_is_left_behind() -> None:
    """As with a server that stalls: it is said to be half-done, and holds nobody longer than the grace."""
    never, begun = Event(), Event()
    work = Run(Plan("data", tuple(Step("create", "copy", name) for name in "abc")), "copied", Silent(), jobs=2)

    def do(step: Step) -> tuple[str, int]:
        if step.name == "a":
            begun.set()
            assert not never.wait(60)
        begun.wait(30)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert work.stop.wait(30)
        raise Interrupted("stopped")

    began = time.monotonic()
    with on_signal(KeyboardInterrupt()), pytest.raises(Interrupted) as told:
        work.carry_out(do)
    took = time.monotonic() - began
    never.set()
    assert GRACE_SECONDS <= took < 30  # it would never answer
    assert sorted(told.value.why.splitlines()) == ["1 not begun", "half-done: a", "half-done: b"]
