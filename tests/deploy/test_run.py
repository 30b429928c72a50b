"""Carrying a plan out: what a person is told who stops waiting, and that a bug in one thread does not vanish."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from mcml.core.errors import Interrupted, StillRunning, TimeUp
from mcml.core.fact import Fact
from mcml.core.plan import Plan, Step
from mcml.core.report import Silent
from mcml.deploy.run import Work, run
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget


class Slow:
    """An endpoint whose deletion waits until it is let go: what a cloud does for minutes."""

    def __init__(self, go: threading.Event) -> None:
        self.go = go

    def describe(self, name: str = "") -> list[Endpoint]:
        return []

    def create(self, request: EndpointRequest) -> Endpoint:
        raise ZeroDivisionError("a bug")

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        raise NotImplementedError

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        raise NotImplementedError

    def delete(self, name: str, version: str = "") -> bool:
        return self.go.wait(30)


def work(slow: threading.Event, facts: list[Fact]) -> Work:
    ready = threading.Event()
    ready.set()
    plan = Plan("deploy", tuple(Step("delete", "endpoint", "fraud", target) for target in ("eu-1", "us-1")))
    return Work(plan, "fraud", None, {"eu-1": Slow(ready), "us-1": Slow(slow)}, facts.append, Silent())


@contextmanager
def alarm(error: BaseException, facts: Sequence[Fact]) -> Iterator[None]:
    """Raise an error in this thread a moment after the first fact."""
    seen: list[int] = []

    def ring(*_: object) -> None:
        seen.append(len(facts))
        if seen.count(1) > 3:
            raise error

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize(("error", "told"), [(TimeUp(), StillRunning), (KeyboardInterrupt(), Interrupted)])
def test_who_stops_waiting_is_told_what_is_done_and_what_is_not(error: BaseException, told: type[Exception]) -> None:
    slow, facts = threading.Event(), list[Fact]()
    with pytest.raises(told, match="fraud: done on eu-1, half-done on us-1") as raised, alarm(error, facts):
        run(work(slow, facts))
    assert getattr(raised.value, "next_step", "") == "mcml deploy model fraud"
    assert [(fact.kind, fact.target) for fact in facts] == [("deploy.deleted", "eu-1")]
    slow.set()


def test_a_bug_in_one_thread_is_raised_in_the_one_that_waits() -> None:
    plan = Plan("deploy", (Step("delete", "endpoint", "fraud", "nowhere"),))
    with pytest.raises(KeyError, match="nowhere"):
        run(Work(plan, "fraud", None, {}, lambda _: None, Silent()))


def test_nothing_to_do_is_done() -> None:
    assert run(Work(Plan("deploy", ()), "fraud", None, {}, lambda _: None, Silent())) == {}
