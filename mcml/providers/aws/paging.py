"""Listings of AWS, page by page: each page is a guarded call of its own, so that a fault repeats a page and not the listing; next steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mcml.core.errors import McmlError, Unavailable
from mcml.providers.aws.session import Session
from mcml.providers.resilience import NEXT_STEP

NEXT_TOKEN = "NextToken"  # noqa: S105 - a field's name


def paged(
    session: Session, doing: str, service: str, operation: str, result: str, *, token: str = NEXT_TOKEN, region: str = "", **asked: Any
) -> Iterator[Any]:
    """Yield the items of a listing: those of the answer's field `result`, until an answer brings no (or an empty) token.

    `operation` is a method of the SDK's client; `token` is the field of request and answer that leads to the next page.
    """
    place: dict[str, str] = {}
    while True:
        page = session.call(doing, partial(_page, session, service, region, operation, {**asked, **place}))
        yield from page.get(result) or ()
        if not page.get(token):
            return
        if page[token] == place.get(token):
            raise Unavailable(doing, why="AWS gives the same page of the listing again and again", next_step=NEXT_STEP)
        place = {token: page[token]}


def _page(session: Session, service: str, region: str, operation: str, asked: dict[str, Any]) -> Any:
    return getattr(session.client(service, region), operation)(**asked)


@contextmanager
def next_step(kind: type[McmlError], step: str) -> Iterator[None]:
    """Say what to do next where the error table has nothing for this kind of error."""
    try:
        yield
    except kind as failed:
        failed.next_step = failed.next_step or step
        raise
