"""Long-running operations of Azure Resource Manager, followed to their end with our patience.

    machine = wait_for(session, "start machine m1", lambda **options: vms.begin_start(group, "m1", **options))

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from collections.abc import Callable
from typing import Any, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.mgmt.core.polling.arm_polling import ARMPolling

from mcml.core.errors import StillRunning
from mcml.providers.azure.session import Session

T = TypeVar("T")
POLL_SECONDS = 5.0  # between two looks, where the service does not say; the SDK's own default is 30
PATIENCE_SECONDS = 3600.0
_PASSING = (408, 429)


def wait_for(
    session: Session, what: str, begin: Callable[..., Any], *, repeatable: bool = True, patience: float = PATIENCE_SECONDS
) -> Any:
    """Begin an operation and return its result when it has succeeded; no thread is started.

    `begin` is called with the options that an SDK's `begin_...` takes. `repeatable` says whether the first request may be sent again when
    its answer was lost (PUT and DELETE may); the looks at its state always are. Raises what the error table says of the request and of
    the operation's own failure, StillRunning when `patience` (seconds) is over: the operation goes on.
    """
    polling = _Polling(session, what, patience)
    session.call(what, lambda: begin(polling=polling), repeatable=repeatable)
    polling.begun = True
    try:
        polling.run()
        return polling.resource()
    except AzureError as failed:
        told = session.told(failed, what)
        if told is None:
            raise
        raise told from failed


class _Polling(ARMPolling):  # type: ignore[misc]
    """ARM's ways to follow an operation, in the caller's own thread: until `begun` the SDK is told that there is nothing to follow."""

    def __init__(self, session: Session, what: str, patience: float) -> None:
        super().__init__(timeout=POLL_SECONDS)
        self.begun = False
        self._session, self._what = session, what
        self._patience, self._waited = patience, 0.0

    def finished(self) -> bool:
        """Tell whether it has ended."""
        return not self.begun or bool(super().finished())

    def request_status(self, status_link: str) -> Any:
        """Look at the state, again after a passing fault."""
        return self._session.call(self._what, lambda: self._look(status_link))

    def _look(self, status_link: str) -> Any:
        answer = super().request_status(status_link)
        response = answer.http_response
        if response.status_code in _PASSING or response.status_code >= 500:
            raise HttpResponseError(response=response, error_format=ARMErrorFormat)
        return answer

    def _sleep(self, delay: float) -> None:
        if self._waited + delay > self._patience:
            raise StillRunning(
                f"{self._what}: not done after {self._waited:.0f} seconds",
                why="the operation goes on in Azure",
                next_step="run the same command again: it takes up what is there",
            )
        self._waited += delay
        self._session.policy.sleep(delay)


def settled(session: Session, what: str, look: Callable[[], T], state: Callable[[T], str], *, patience: float = PATIENCE_SECONDS) -> T:
    """Look at a resource until its provisioning state is a last one (Succeeded, Failed, Canceled), and return it as it is then.

    For a change that somebody else began, or whose own answer was lost. Raises what `look` raises, StillRunning after `patience` seconds.
    """
    waited = 0.0
    while True:
        found = session.call(what, look)
        if state(found).lower() in ("succeeded", "failed", "canceled", ""):
            return found
        if waited + POLL_SECONDS > patience:
            message = f"{what}: it is {state(found)} after {waited:.0f} seconds"
            raise StillRunning(message, why="the operation goes on in Azure", next_step="look again later")
        waited += POLL_SECONDS
        session.policy.sleep(POLL_SECONDS)
