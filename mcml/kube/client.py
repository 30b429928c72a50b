"""Lists of a cluster's objects, page by page, through the official client (the extra `kube`, imported on use).

Objects come as the API server writes them in JSON, not as the client's models: these refuse what a newer server adds. Retries are ours.
https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, ProviderCannot, Unavailable
from mcml.providers.api.cluster import ClusterAccess
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Budget, Policy, guarded

Object = Mapping[str, Any]
PAGE = 500
"""What kubectl asks for at once."""
RESTARTS = 3
GONE = 410
"""The snapshot behind a `continue` is too old: a list that is to be consistent begins again."""
_OBJECT = re.compile(r"<[^>]*>[:,]? ?")
PATIENCE = 10.0
"""Seconds that the waits of one list may take together."""


class Objects:
    """What one cluster holds, of the kinds that are asked for. Safe to use from one thread at a time; `close` gives its sockets back.

    Raises ProviderCannot without the client.
    """

    def __init__(self, access: ClusterAccess, *, page: int = PAGE, policy: Policy | None = None) -> None:
        self._page, self._where = page, access.endpoint
        self._policy = policy or Policy(attempts=3, budget=Budget(PATIENCE))
        self._client = _client(access)
        self._lists = {"nodes": "list_node", "pods": "list_pod_for_all_namespaces"}

    def all(self, kind: str) -> list[Object]:
        """Return all `nodes` or `pods`: all of one moment.

        Raises NotAuthenticated (401, 403), NotFound, InvalidRequest, Unavailable (also for an answer that is no list), Conflict when the
        cluster changes faster than it can be read.
        """
        for _ in range(RESTARTS):
            try:
                return [each for page in self._pages(kind) for each in page]
            except _Gone:
                continue
        why = f"{RESTARTS} times the list was too old before its last page was read"
        raise Conflict(self._doing(kind), why=why, next_step="try again in a minute")

    def close(self) -> None:
        """Give the sockets back."""
        self._client.rest_client.close()

    def _pages(self, kind: str) -> Iterator[list[Object]]:
        more = ""
        while True:
            found = guarded(partial(self._ask, kind, more), partial(self._told, kind), self._policy)
            yield found["items"]
            more = (found.get("metadata") or {}).get("continue") or ""
            if not more:
                return

    def _ask(self, kind: str, after: str) -> dict[str, Any]:
        from kubernetes.client import CoreV1Api

        ask: Callable[..., Any] = getattr(CoreV1Api(self._client), self._lists[kind])
        options = {"limit": self._page, **({"_continue": after} if after else {})}
        with closing(ask(_preload_content=False, _request_timeout=(CONNECT_SECONDS, READ_SECONDS), **options)) as answer:
            return _read(self._doing(kind), answer.data)

    def _told(self, kind: str, failed: Exception) -> McmlError | None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        if isinstance(failed, HTTPError):
            return Unavailable(self._doing(kind), why=_plain(failed))
        if not isinstance(failed, ApiException):
            return None
        if failed.status == GONE:
            return _Gone("its moment is gone")
        if not failed.status:  # TLS: the first line names urllib3's class
            return Unavailable(self._doing(kind), why=str(failed.reason).partition("\n")[2])
        return refused(self._doing(kind), failed.status, failed.body or "", (failed.headers or {}).get("Retry-After", ""))

    def _doing(self, kind: str) -> str:
        return f"cannot list the {kind} of {self._where}"


class _Gone(McmlError):
    """The server no longer has the moment that the list began at."""


def refused(doing: str, status: int, body: str, retry_after: str = "") -> McmlError:
    """Return what an answer that is no success means: its `Status` says why.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """
    try:
        said = json.loads(body)
        why = str(said.get("message") or said.get("reason") or f"HTTP {status}")
    except (ValueError, AttributeError):
        why = f"HTTP {status}"
    if status in (401, 403):
        return NotAuthenticated(doing, why=why, next_step="kubectl auth can-i list pods --all-namespaces")
    if status == 404:
        return NotFound(doing, why=why)
    if status in (408, 429) or status >= 500:
        return Unavailable(doing, why=why, retry_after=float(retry_after) if retry_after.isdecimal() else None)
    return InvalidRequest(doing, why=why)


def _read(doing: str, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as broken:
        raise Unavailable(doing, why="the answer is no JSON") from broken
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise Unavailable(doing, why="the answer is no list")
    return found


def _client(access: ClusterAccess) -> Any:
    try:
        from kubernetes.client import ApiClient, Configuration
    except ModuleNotFoundError as missing:
        why = f"the Python package {missing.name!r} is not installed"
        raise ProviderCannot("cannot ask a Kubernetes cluster", why=why, next_step="pip install 'mcml[kube]'") from missing
    settings = Configuration(host=access.endpoint, ca_cert_data=access.ca or None, retries=False)
    settings.api_key, settings.api_key_prefix = {"BearerToken": access.token.reveal()}, {"BearerToken": "Bearer"}
    return ApiClient(settings)


def _plain(failed: Exception) -> str:
    """Return the inmost cause in one line, without the objects that urllib3 writes in front of it."""
    cause = getattr(failed, "reason", None) or failed
    return _OBJECT.sub("", str(cause)).strip("() '\"") or type(cause).__name__
