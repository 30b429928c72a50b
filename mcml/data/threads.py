"""Several things at once, ended in order: on Ctrl-C, a time-out or a bug no new one begins, and those under way are told to stop."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(do: Callable[[T], R], items: Iterable[T], *, jobs: int, stop: Event) -> Generator[tuple[T, R], None, None]:
    """Yield every item with what `do` returned for it, as they end.

    When `do` raises, or the generator is closed (use `contextlib.closing`), `stop` is set, and it waits for those that have begun.
    """
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="mcml-data")
    running: dict[Future[R], T] = {}
    try:
        running.update((pool.submit(do, item), item) for item in items)
        for future in as_completed(running):
            yield running.pop(future), future.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
