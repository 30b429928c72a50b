"""Calls of Google's client libraries, waiting for what Google does in the background, and what such an operation's failure means."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import NEXT_STEP

T = TypeVar("T")
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 15.0
KINDS: dict[int, type[McmlError]] = {
    4: Unavailable,
    5: NotFound,
    6: Conflict,
    7: NotAuthenticated,
    8: QuotaExceeded,
    10: Conflict,
    13: Unavailable,
    14: Unavailable,
    16: NotAuthenticated,
}
"""What a `google.rpc.Code` means; any other is an InvalidRequest: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto."""

COMPUTE_QUOTAS = "gcloud compute project-info describe --project=PROJECT   # its quotas"
OTHER_ZONE = "try another zone, machine type or time"
_NO_STOCK = ("STOCKOUT", "RESOURCE_POOL_EXHAUSTED", "RESOURCES ARE INSUFFICIENT")


def rpc(
    session: Session, doing: str, kind: type, method: str, request: Any, *, host: str = "", repeatable: bool = True
) -> Any:
    """Call a method of a client (`rpc(session, "cannot ...", JobServiceClient, "get_custom_job", {"name": n})`); raises core errors."""

    def call() -> Any:
        return getattr(session.service(kind, host), method)(request, **session.rpc_options)

    return session.call(doing, call, repeatable=repeatable)


def rpc_pages(
    session: Session, doing: str, kind: type, method: str, request: dict[str, Any], field: str, *, host: str = ""
) -> Iterator[Any]:
    """Call a listing method and yield the items of all its pages; each page is a call of its own, with its own retries."""
    token = ""
    while True:
        asked = {**request, "page_token": token}

        def page(asked: dict[str, Any] = asked) -> Any:
            listed = getattr(session.service(kind, host), method)(asked, **session.rpc_options)
            return next(iter(listed.pages))

        answer = session.call(doing, page)
        yield from getattr(answer, field)
        token = next_token(doing, token, answer)
        if not token:
            return


def next_token(doing: str, token: str, page: Any) -> str:
    """Return what leads on from a page that `token` led to, "" after the last. Raises Unavailable for a listing that turns in a circle."""
    found = str(page.next_page_token)
    if found and found == token:
        raise Unavailable(doing, why="Google gives the same page of the listing again and again", next_step=NEXT_STEP)
    return found


def wait_for(session: Session, doing: str, look: Callable[[], T | None], *, patience: float, next_step: str = "") -> T:
    """Return what `look` returns as soon as it is not None; the pauses grow from 1 to 15 s.

    Raises StillRunning when the pauses together would be longer than `patience` seconds: the work goes on at Google's.
    """
    waited, pause = 0.0, FIRST_SECONDS
    while (found := look()) is None:
        if waited + pause > patience:
            raise StillRunning(doing, why=f"it is not over after {patience:.0f} s, and goes on", next_step=next_step)
        session.policy.sleep(pause)
        waited, pause = waited + pause, min(LONGEST_SECONDS, pause * 1.5)
    return found


def plain_time(time: Any) -> datetime:
    """Return a time of a client library as one of Python's own, in UTC."""
    return datetime.fromtimestamp(time.timestamp(), UTC)


def failure(session: Session, doing: str, code: int, message: str, *, quotas: str = COMPUTE_QUOTAS) -> McmlError:
    """Return what the error of an operation or a job means (`google.rpc.Status`, https://google.aip.dev/193).

    `quotas` is the command that shows the quotas in question.
    """
    said = session.clue.clean(message)
    kind = KINDS.get(code, InvalidRequest)
    no_stock = any(word in said.upper() for word in _NO_STOCK)
    if no_stock or "QUOTA" in said.upper():
        kind = QuotaExceeded
    step = OTHER_ZONE if no_stock else quotas if kind is QuotaExceeded else NEXT_STEP if kind is Unavailable else ""
    return kind(doing, why=said or f"Google gives no reason but the code {code}", next_step=session.clue.fill(step))
