"""Several things at once, ended in order: on Ctrl-C, a time-out or a bug no new one begins, and those under way are told to stop."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
GRACE_SECONDS = 1.0
"""How long those under way have to stop in order; one that waits for a server that does not answer is left behind then."""


def each(do: Callable[[T], R], items: Iterable[T], *, jobs: int, stop: Event) -> Generator[tuple[T, R], None, None]:
    """Yield every item with what `do` returned for it, as they end.

    When `do` raises, or the generator is closed (use `contextlib.closing`), `stop` is set, and it waits for those that have begun, at most
    GRACE_SECONDS. Daemons: the process ends without those that it leaves behind.
    """
    todo = deque(items)
    ended: SimpleQueue[Callable[[], tuple[T, R]]] = SimpleQueue()
    threads = [Thread(target=_work, args=(do, todo, ended, stop), name="mcml-data", daemon=True) for _ in range(min(jobs, len(todo)))]
    try:
        expected = len(todo)
        for thread in threads:
            thread.start()
        for _ in range(expected):
            yield ended.get()()
    except BaseException:
        stop.set()
        raise
    finally:
        until = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            if thread.ident:
                thread.join(max(0.0, until - time.monotonic()))


def _work(do: Callable[[T], R], todo: deque[T], ended: SimpleQueue[Callable[[], tuple[T, R]]], stop: Event) -> None:
    while todo and not stop.is_set():
        try:
            item = todo.popleft()
        except IndexError:  # another was quicker
            return
        try:
            result = do(item)
        except BaseException as failed:  # noqa: BLE001 - raised by the one who waits
            ended.put(_raising(failed))
        else:
            ended.put(lambda pair=(item, result): pair)  # type: ignore[misc]


def _raising(failed: BaseException) -> Callable[[], tuple[T, R]]:
    def fail() -> tuple[T, R]:
        raise failed

    return fail
