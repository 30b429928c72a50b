"""The Cloud SQL Admin API, over the session's own HTTP: no client library of Google's has it.

https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1/instances. Answers are its JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded, Unavailable
from mcml.providers.gcp.error_table import from_response
from mcml.providers.gcp.rpc import wait_for
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import NEXT_STEP

HOST = "https://sqladmin.googleapis.com"
PAGE = 100
PATIENCE = 900.0
_KINDS: dict[str, type[McmlError]] = {
    "INTERNAL_ERROR": Unavailable,
    "UNKNOWN": Unavailable,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "OPERATION_IN_PROGRESS": Conflict,
}
Json = dict[str, Any]


@dataclass(frozen=True)
class SqlAdmin:
    """Cloud SQL instances of the session's project."""

    session: Session

    def instances(self) -> Iterator[Json]:
        """Return all instances, replicas among them, page by page."""
        token = ""
        while True:
            query = {"maxResults": str(PAGE), **({"pageToken": token} if token else {})}
            page = self._ask("list the databases", "GET", "instances", query)
            silent = [str(one.get("region", "")) for one in page.get("warnings", []) if one.get("code") == "REGION_UNREACHABLE"]
            if silent:  # what is there is not gone
                why = f"Google does not tell about {', '.join(filter(None, silent)) or 'some regions'}"
                raise Unavailable("cannot list the databases", why=why, next_step=NEXT_STEP)
            yield from page.get("items", [])
            token = page.get("nextPageToken", "")
            if not token:
                return

    def instance(self, name: str) -> Json:
        """Return one instance. Raises NotFound."""
        if not name:
            raise NotFound("no database without a name")
        return self._ask(f"look at database {name!r}", "GET", f"instances/{quote(name, safe='')}")

    def delete(self, name: str) -> bool:
        """Delete one, and wait until it is gone. Raises NotFound, and what the operation failed with."""
        tries, what = 0, f"delete database {name!r}"

        def delete() -> Json:
            nonlocal tries
            tries += 1
            return self._send(what, "DELETE", f"instances/{quote(name, safe='')}", {})

        try:
            operation = self.session.call(f"cannot {what}", delete)
        except (NotFound, Conflict):
            if tries == 1:
                raise
            self._see_it_go(what, name)  # an earlier try, whose answer was lost, began it
            return True
        self._finish(what, operation)
        return True

    def _see_it_go(self, what: str, name: str) -> None:
        def look() -> bool | None:
            try:
                self.instance(name)
            except NotFound:
                return True
            return None

        wait_for(self.session, f"cannot {what}", look, patience=PATIENCE, next_step=f"gcloud sql operations list --instance={name}")

    def _finish(self, what: str, operation: Json) -> None:
        def look() -> Json | None:
            now = self._ask(what, "GET", f"operations/{quote(operation['name'], safe='')}")
            return now if now["status"] == "DONE" else None

        step = f"gcloud sql operations describe {operation['name']}"
        doing = f"cannot {what}"
        done = operation if operation["status"] == "DONE" else wait_for(self.session, doing, look, patience=PATIENCE, next_step=step)
        failures = done.get("error", {}).get("errors", [])
        if failures:
            kind = _KINDS.get(failures[0].get("code", ""), InvalidRequest)
            raise kind(doing, why=self.session.clue.clean(str(failures[0].get("message", ""))))

    def _ask(self, what: str, method: str, path: str, query: dict[str, str] | None = None) -> Json:
        return self.session.call(f"cannot {what}", lambda: self._send(what, method, path, query or {}))

    def _send(self, what: str, method: str, path: str, query: dict[str, str]) -> Json:
        session = self.session
        url = f"{session.settings.endpoint or HOST}/v1/projects/{quote(session.project(), safe='')}/{path}"
        response = session.http.request(method, url, params=query, timeout=session.timeout)
        if response.status_code >= 400:
            raise from_response(f"cannot {what}", response, session.clue)
        found: Json = response.json()
        return found
