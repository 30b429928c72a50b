"""What Azure Resource Manager does not tell of a job, and Azure ML's own run history does: when it ended, why it failed, and its logs.

The service of a workspace's region (found by the workspace's discovery address) is what the vendor's own tools ask; it has no client
package of its own, so it is called through azure-core. Logs are blobs behind signed addresses, which are asked for without our token and
never shown. https://learn.microsoft.com/azure/machine-learning/how-to-log-view-metrics#view-and-download-log-files-for-a-run
"""

import logging
import re
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RequestIdPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from mcml.core.errors import InvalidRequest
from mcml.providers.azure.ml_workspace import ML_SCOPE, Workspace
from mcml.providers.resilience import CONNECT_SECONDS

PIECE_BYTES = 4 << 20
_SIGNATURE = re.compile(r"(?<=sig=)[^&\s]+")


class HideSignatures(logging.Filter):
    """Takes the signatures out of the addresses that the HTTP library writes to its own log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through, without them."""
        if isinstance(record.args, tuple):
            record.args = tuple(_SIGNATURE.sub("[hidden]", one) if isinstance(one, str) else one for one in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(HideSignatures())


class RunHistory:
    """The run history of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._session = workspace.session

    def details(self, run: str) -> dict[str, Any]:
        """Return what is known of a run: status, endTimeUtc, error, logFiles... Raises NotFound."""
        what = f"look at the run of job {run}"
        path = f"/history/v1.0{self._ws.at}/runs/{run}/details"
        found: dict[str, Any] = self._session.call(what, lambda: self._json(self._with_token, f"{self._origin}{path}"))
        return found

    def read(self, what: str, address: str, start: int) -> Iterator[bytes]:
        """Yield what a log holds from a byte on, piece by piece; nothing when there is none yet."""
        while piece := self._session.call(what, partial(self._piece, address, start)):
            yield piece
            start += len(piece)

    @cached_property
    def _origin(self) -> str:
        """The address of the workspace's services in its region."""
        what, discovery = f"find the services of workspace {self._ws.at.name}", str(self._ws.about.discovery_url or "")
        found = str(self._session.call(what, lambda: self._json(self._plain, discovery)).get("api", "")) if discovery else ""
        if not found.startswith("https://"):
            raise InvalidRequest(f"cannot {what}", why="it does not say where its run history is", next_step="az ml workspace show")
        return found.rstrip("/")

    @cached_property
    def _plain(self) -> PipelineClient[Any, Any]:
        return self._client()

    @cached_property
    def _with_token(self) -> PipelineClient[Any, Any]:
        return self._client(BearerTokenCredentialPolicy(self._session.credential, ML_SCOPE))

    def _client(self, *policies: Any) -> PipelineClient[Any, Any]:
        patience = {"connection_timeout": CONNECT_SECONDS, "read_timeout": self._session.read_seconds}
        return PipelineClient("https://", policies=[RequestIdPolicy(), UserAgentPolicy("mcml"), *policies], **patience)

    def _json(self, client: PipelineClient[Any, Any], address: str) -> dict[str, Any]:
        answer = client.send_request(HttpRequest("GET", address, headers={"Accept": "application/json"}))
        answer.raise_for_status()
        found = answer.json()
        if not isinstance(found, dict):
            raise HttpResponseError("the answer is no object", response=answer)
        return found

    def _piece(self, address: str, start: int) -> bytes:
        wanted = f"bytes={start}-{start + PIECE_BYTES - 1}"
        answer = self._plain.send_request(HttpRequest("GET", address, headers={"Range": wanted}))
        if answer.status_code in (404, 416):  # not written yet, or nothing more
            return b""
        answer.raise_for_status()
        content = bytes(answer.content)
        return content if answer.status_code == 206 else content[start : start + PIECE_BYTES]
