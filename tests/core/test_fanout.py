"""Several are asked at once; one that fails hides no other, and the exit code says how much was done."""

import os
import signal
import time
from collections.abc import Callable
from threading import Barrier, Event, Thread

import pytest

from mcml.core import exits
from mcml.core.errors import McmlError, NotAuthenticated, PartlyDone, Unavailable
from mcml.core.fanout import ask_all

LOGIN = NotAuthenticated("cannot reach aws", why="no credentials", next_step="aws sso login")
DOWN = Unavailable("cannot reach gcp", why="time-out")


def failing(error: Exception) -> Callable[[], str]:
    def ask() -> str:
        raise error

    return ask


def test_all_are_asked_at_once() -> None:
    """Each waits for the two others: one after the other would never end."""
    barrier = Barrier(3, timeout=10)
    answers = ask_all(dict.fromkeys(("c", "a", "b"), barrier.wait))
    assert sorted(answers.given.values()) == [0, 1, 2]
    assert list(answers.given) == ["c", "a", "b"]
    answers.raise_failures("the bill of", next_step="")


def test_nobody_is_asked() -> None:
    assert ask_all({}).given == {}


def test_a_failure_hides_no_other() -> None:
    answers = ask_all({"aws": failing(LOGIN), "local": lambda: "fine", "gcp": failing(DOWN)})
    assert answers.given == {"local": "fine"}
    with pytest.raises(PartlyDone) as partly:
        answers.raise_failures("the bill of", next_step="mcml cost ingest --provider aws --provider gcp")
    assert partly.value.exit_code == exits.PARTLY_DONE
    assert partly.value.message == "the bill of aws, gcp failed; done: local"
    assert partly.value.why == "aws: cannot reach aws (no credentials)\ngcp: cannot reach gcp (time-out)"
    assert partly.value.next_step == "aws sso login; mcml cost ingest --provider aws --provider gcp"


@pytest.mark.parametrize(("asks", "kind"), [({"aws": LOGIN}, NotAuthenticated), ({"aws": LOGIN, "gcp": DOWN}, NotAuthenticated)])
def test_when_all_failed_it_is_the_error_of_the_first(asks: dict[str, McmlError], kind: type[McmlError]) -> None:
    with pytest.raises(kind) as failed:
        ask_all({name: failing(error) for name, error in asks.items()}).raise_failures("the bill of", next_step="again")
    assert type(failed.value) is kind
    assert "no credentials" in failed.value.why


def test_a_bug_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        ask_all({"aws": failing(ZeroDivisionError()), "gcp": lambda: ""})


def test_who_stops_waiting_does_not_wait_for_one_that_does_not_answer() -> None:
    began, never = Event(), Event()

    def silent() -> None:
        began.set()
        never.wait(60)

    def stop() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background has it ignored
    try:
        Thread(target=stop).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ask_all({"aws": silent, "gcp": lambda: None})
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < 30
    never.set()
