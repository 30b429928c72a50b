"""Vertex AI in one region: calls, operations that run in the background, ids that make a repeated call harmless, and labels.

https://cloud.google.com/vertex-ai/docs/reference/rest. Each region has a host of its own (`europe-west1-aiplatform.googleapis.com`); the
client library takes a second to import, so it is imported on the first call.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.api_core.exceptions import from_http_response

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, StillRunning, Usage
from mcml.providers.gcp.error_table import status_of
from mcml.providers.gcp.rpc import failure, rpc, rpc_pages, wait_for
from mcml.providers.gcp.session import Session

MANAGED = "mcml_managed"
"""The label of everything that mcml made, for filters."""

MOST_LABEL = 63
MOST_ID = 40
QUOTAS = "gcloud alpha services quota list --service=aiplatform.googleapis.com --consumer=projects/PROJECT"
_REFUSED = (Conflict, InvalidRequest, NotFound)
_WRONG = "INVALID_ARGUMENT"
"""Of a request that is wrong in any state (https://google.aip.dev/193; a state that is in the way is FAILED_PRECONDITION)."""

_THERE = "already"  # ... but for an id that is taken: by the call whose answer was lost, it may be
_NO_LABEL = re.compile(r"[^a-z0-9_-]")
_ID = re.compile(r"[^a-z0-9-]+")


class Vertex:
    """The way to Vertex AI of one project and region."""

    def __init__(self, session: Session, region: str) -> None:
        self.session = session
        self._region = region

    @property
    def region(self) -> str:
        """The region. Raises Usage when the target names none."""
        if not self._region:
            raise Usage(
                "Vertex AI needs a region", why="the target names none", next_step='set region = "europe-west1" of the target in mcml.toml'
            )
        return self._region

    @property
    def parent(self) -> str:
        """What everything here is in: projects/P/locations/R."""
        return f"projects/{self.session.project()}/locations/{self.region}"

    @property
    def host(self) -> str:
        """The region's host."""
        return f"{self.region}-aiplatform.googleapis.com"

    @property
    def url(self) -> str:
        """Where requests go, without a path."""
        return self.session.settings.endpoint or f"https://{self.host}"

    def ask(self, doing: str, kind: str, method: str, request: Mapping[str, Any]) -> Any:
        """Call a method of a client by the names of both ("EndpointServiceClient", "get_endpoint"). Raises core errors."""
        return rpc(self.session, doing, client(kind), method, dict(request), host=self.host)

    def pages(self, doing: str, kind: str, method: str, request: Mapping[str, Any], field: str) -> list[Any]:
        """Call a listing method and return the items of all pages."""
        return list(rpc_pages(self.session, doing, client(kind), method, dict(request), field, host=self.host))

    def do(
        self,
        doing: str,
        kind: str,
        method: str,
        request: Mapping[str, Any],
        is_done: Callable[[], bool],
        *,
        patience: float,
        step: str = "",
    ) -> None:
        """Begin an operation and wait until it is over; `is_done` tells whether what it is to bring about is so.

        A call that is refused after one whose answer was lost may be refused because that one is at work: so long as it is not done, it is
        begun again, but for one that is wrong in any state. `request` must make a repetition harmless (by an id that we choose). Raises
        what the operation ends with, StillRunning (with what Google said last).
        """
        tries, said = 0, ""

        def begin() -> Any:
            nonlocal tries
            tries += 1
            return getattr(self.session.service(client(kind), self.host), method)(dict(request), **self.session.rpc_options)

        def begun() -> Any:
            nonlocal said
            try:
                return self.session.call(doing, begin)
            except _REFUSED as refused:
                if is_done():
                    return _Done
                is_wrong = status_of(refused.__cause__) == _WRONG and _THERE not in refused.why
                if tries == 1 or is_wrong:
                    raise
                said = refused.why
                return None

        try:
            operation = wait_for(self.session, doing, begun, patience=patience, next_step=step)
        except StillRunning as late:
            late.why = f"{late.why}; {said}"
            raise
        if operation is not _Done:
            self._wait(doing, operation.operation.name, patience, step)

    def _wait(self, doing: str, operation: str, patience: float, step: str) -> None:
        """Wait for an operation. Asked without the client, whose `get_operation` asks at /ui/..., where the API documents /v1/... only."""
        session, url = self.session, f"{self.url}/v1/{operation}"

        def ask() -> Any:
            answer = session.http.get(url, timeout=session.timeout)
            if not answer.ok:
                raise from_http_response(answer)
            return answer.json()

        def look() -> Any:
            found = session.call(doing, ask)
            return found if found.get("done") else None

        done = wait_for(session, doing, look, patience=patience, next_step=step)
        if "error" in done:
            code, message = int(done["error"].get("code", 0)), str(done["error"].get("message", ""))
            raise server_failure(doing, message) or failure(session, doing, code, message, quotas=QUOTAS)


class _Done:
    """Stands for an operation that needs no waiting."""


def client(kind: str) -> type:
    """Return a client of the library by its name."""
    from google.cloud import aiplatform_v1

    found: type = getattr(aiplatform_v1, kind)
    return found


def server_failure(doing: str, message: str) -> McmlError | None:
    """Return the error of a model that does not come up; Vertex AI has many codes for it, and words that all begin alike."""
    if not message.lower().startswith("model server"):
        return None
    return InvalidRequest(doing, why=" ".join(message.split())[:500])


def stable_id(*parts: str) -> str:
    """Return an id for what the parts name: the same parts, the same id; the first part can be read in it. [a-z][a-z0-9-]*[a-z0-9]."""
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    readable = _ID.sub("-", parts[0].lower()).strip("-")[: MOST_ID - 18].strip("-")
    return "-".join(part for part in ("mcml", readable, digest) if part)


def stable_number(*parts: str) -> str:
    """Return a ten-digit number for what the parts name, as Vertex AI takes it for the id of a deployed model."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return str(10**9 + int.from_bytes(digest[:8]) % (9 * 10**9))


def labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as labels: what a label cannot hold (capitals, '.', '/', ':' ...) becomes '_'.

    https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints: at most 64 characters of [a-z0-9_-].
    """
    return {_label(key): _label(value) for key, value in tags.items()} | {MANAGED: "true"}


def _label(text: str) -> str:
    return _NO_LABEL.sub("_", text.lower())[:MOST_LABEL]
