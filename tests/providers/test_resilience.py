"""Retries: how patient a command is with a cloud, and one that runs for days."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mcml.core.errors import McmlError, Unavailable
from mcml.providers.resilience import PATIENCE_BACK, Budget, Policy, guarded


class Clock:
    """A clock that goes on when somebody waits, and when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy(clock: Clock) -> Policy:
    return Policy(attempts=3, budget=Budget(60, clock=clock), sleep=clock.sleep, jitter=lambda: 1.0)


def failing(times: int, asked: float) -> Callable[[], str]:
    """Return a call that fails the first times, and asks for a wait."""
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise Unavailable("busy", retry_after=asked)
        return "done"

    return call


def try_once(policy: Policy, asked: float) -> bool:
    """Tell whether a call that is put off once is tried again."""
    try:
        return guarded(failing(1, asked), lambda failed: None, policy) == "done"
    except McmlError:
        return False


def test_a_budget_is_spent_by_all_calls_together(policy: Policy) -> None:
    assert [try_once(policy, 25) for _ in range(4)] == [True, True, False, False]
    assert try_once(policy, 5), "a shorter wait still fits"


def test_a_command_that_runs_for_days_is_as_patient_as_at_first(policy: Policy, clock: Clock) -> None:
    for _ in range(50):
        assert try_once(policy, 30), "one fault an hour"
        clock.now += 3600
    assert policy.budget.spent <= 30


def test_what_comes_back_is_a_second_in_ten(clock: Clock) -> None:
    budget = Budget(60, clock=clock)
    assert budget.allows(60)
    clock.now += 5 * PATIENCE_BACK
    assert not budget.allows(5.5)
    assert budget.allows(5)
    assert not budget.allows(0.5)
    clock.now += 1_000_000
    assert not budget.allows(60.5), "never more than there was"
    assert budget.allows(60)


def test_a_clock_that_stands_still_gives_nothing_back(clock: Clock) -> None:
    budget = Budget(1, clock=clock)
    assert [budget.allows(0.25) for _ in range(6)] == [True] * 4 + [False] * 2


def test_many_at_once_take_no_more_than_there_is() -> None:
    budget = Budget(100, clock=lambda: 0.0)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: budget.allows(1), range(400)))
    assert (sum(taken), budget.spent) == (100, 100)


def test_a_call_without_retries_costs_nothing(policy: Policy) -> None:
    with pytest.raises(Unavailable) as busy:
        guarded(failing(1, 1), lambda failed: None, replace(policy, attempts=1))
    assert (busy.value.next_step, policy.budget.spent) == ("mcml doctor", 0.0)
