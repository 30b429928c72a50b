"""Retries in one place: full jitter, the other side's Retry-After, one budget a command; the SDKs' own retries are switched off.

The wait before attempt n is a random time up to `first_wait * 2**n`, at most `longest_wait` ("full jitter",
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and never less than what the other side asked for.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mcml.core.errors import InvalidRequest, McmlError, Unavailable

T = TypeVar("T")
Translate = Callable[[Exception], McmlError | None]
"""A provider's error table: the McmlError that an exception of its SDK means, or None for a bug that must stay one."""

NEXT_STEP = "mcml doctor"
"""Of what stays unavailable, where the error table has nothing better: it tells whether the cloud answers us at all."""
REFUSED_STEP = "correct what it names, then try again; --debug shows the call"
"""Of a request whose content a cloud refused, where the error table has nothing better."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
PATIENCE_BACK = 10.0
"""Of so many seconds that pass, one comes back to the budget of retries."""


@dataclass
class Budget:
    """How long all the retries of one command may take together, in seconds. One object is shared by everything a provider opens.

    What was spent comes back, a second in every `PATIENCE_BACK`: a router or a supervisor that runs for days is as patient with the
    last fault as with the first. Thread-safe. `clock` tells seconds that only grow.
    """

    seconds: float = 60.0
    spent: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _looked: float | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def allows(self, wait: float) -> bool:
        """Tell whether a wait still fits, and take it if it does."""
        with self._lock:
            now = self.clock()
            back = (now - self._looked) / PATIENCE_BACK if self._looked is not None else 0.0
            self.spent, self._looked = max(0.0, self.spent - back), now
            if self.spent + wait > self.seconds:
                return False
            self.spent += wait
            return True


@dataclass(frozen=True)
class Policy:
    """How often and how patiently a call is tried again."""

    attempts: int = 5
    first_wait: float = 0.1
    longest_wait: float = 20.0
    budget: Budget = field(default_factory=Budget)
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


def guarded(call: Callable[[], T], translate: Translate, policy: Policy, *, repeatable: bool = True) -> T:
    """Make a call to a cloud and return its answer, with its errors in our words.

    An Unavailable is tried again while attempts and budget last, unless the call may not be repeated (`repeatable=False`: a write that
    carries no condition and no token). Raises what `translate` says; an exception that it does not know goes on as it is.
    """
    for attempt in range(policy.attempts):
        try:
            return call()
        except Exception as failed:
            told = failed if isinstance(failed, McmlError) else translate(failed)
            if told is None:
                raise
            last = attempt == policy.attempts - 1
            if last or not repeatable or not isinstance(told, Unavailable) or not _waited(told, attempt, policy):
                if isinstance(told, Unavailable):
                    told.next_step = told.next_step or NEXT_STEP
                if isinstance(told, InvalidRequest):
                    told.next_step = told.next_step or REFUSED_STEP
                if told is failed:
                    raise
                raise told from failed
    raise AssertionError("a policy has at least one attempt")


def _waited(told: Unavailable, attempt: int, policy: Policy) -> bool:
    wait = policy.jitter() * min(policy.longest_wait, policy.first_wait * 2**attempt)
    wait = max(wait, told.retry_after or 0.0)
    if not policy.budget.allows(wait):
        return False
    policy.sleep(wait)
    return True
