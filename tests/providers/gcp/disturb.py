"""Each request of a method fails in each way that passes; the outcome must be that of an undisturbed run."""

import json
import time
from collections.abc import Callable
from itertools import product

from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Reset

RETRY_INFO = {"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}]}}
PASSING: tuple[Fault, ...] = (
    Refuse(0.05), Reset(), Reset(reaches_server=True), HalfBody(), Answer(500), Answer(503, reaches_server=True),
    Answer(429, {"Retry-After": "2"}), Answer(429, {"Content-Type": "application/json"}, json.dumps(RETRY_INFO).encode()),
)  # fmt: skip
SLOW = Delay(30)


def no_sleep(_: float) -> None: ...


def short_sleep(seconds: float) -> None:
    time.sleep(min(seconds, 0.2))


def assert_undisturbed(proxy: FaultProxy, session: Session, run: Callable[[], object], faults: tuple[Fault, ...] = PASSING) -> None:
    """`run` begins from the same state each time and returns the answer and the state after it; the session goes through the proxy."""
    session.policy = Policy(sleep=no_sleep)
    run()  # logs in
    proxy.script()
    calm = run()
    count = len(proxy.requests)
    assert count
    for fault, number in product(faults, range(count)):
        if isinstance(fault, Refuse) and number:
            continue  # it begins with the first request
        waits = short_sleep if isinstance(fault, Refuse) else no_sleep
        session.policy = Policy(attempts=8, first_wait=0.1, jitter=lambda: 1.0, sleep=waits)
        proxy.script(*([fault] if isinstance(fault, Refuse) else [Pass()] * number + [fault]))
        assert run() == calm, (fault, number)
        assert proxy.unused == [], (fault, number)
