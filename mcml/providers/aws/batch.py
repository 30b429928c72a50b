"""AWS Batch's control plane: https://docs.aws.amazon.com/batch/latest/APIReference. Its errors, and waiting for what it changes.

Batch answers ClientException for what is not there, what is taken and what is in the middle of a change; only the text tells which.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, StillRunning
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 600.0
TOKEN = "nextToken"  # noqa: S105 - a field's name
_GONE = re.compile(r"does not exist|not found", re.IGNORECASE)
_TAKEN = re.compile(r"already exist|being modified|has relationship|found existing|must be disabled|duplicate", re.IGNORECASE)


class Batch:
    """Calls of one session, with their errors in our words."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def ask(self, doing: str, operation: str, **asked: Any) -> Any:
        """Make a call. Raises NotFound and Conflict where the text of the refusal says so, else as the error table."""
        with _told_by_text():
            return self.session.call(doing, lambda: getattr(self.session.client("batch"), operation)(**asked))

    def pages(self, doing: str, operation: str, result: str, **asked: Any) -> Iterator[Any]:
        """Yield the items of a listing. Raises as `ask`."""
        with _told_by_text():
            yield from paged(self.session, doing, "batch", operation, result, token=TOKEN, **asked)

    def wait(self, doing: str, done: Callable[[], bool]) -> None:
        """Look every two seconds until something is so. Raises StillRunning after ten minutes."""
        waited = 0.0
        while not done():
            if waited >= PATIENCE_SECONDS:
                raise StillRunning(doing, why=f"it is not over after {waited:.0f} s", next_step="run the same command again")
            self.session.policy.sleep(POLL_SECONDS)
            waited += POLL_SECONDS


@contextmanager
def _told_by_text() -> Iterator[None]:
    try:
        yield
    except InvalidRequest as refused:
        kind = NotFound if _GONE.search(refused.why) else Conflict if _TAKEN.search(refused.why) else None
        if kind is None:
            raise
        raise kind(refused.message, why=refused.why, next_step=refused.next_step) from refused.__cause__
