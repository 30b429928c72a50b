"""A server that stands for Google's REST APIs and is driven by Google's own discovery documents.

    def get(call: Call) -> dict:
        if call["name"].endswith("/gone"):
            raise GoogleError(404, "Not found: gone")
        return {"name": "ml", "currentNodeCount": 3}

    with DiscoveryStub("container.v1", "compute.v1") as stub:
        stub.on("container.projects.locations.clusters.get", get)
        client = container_v1.ClusterManagerClient(transport=...(host=stub.url))
        client.get_cluster(name="projects/p/locations/l/clusters/ml")
        assert [call.method for call in stub.requests] == ["container.projects.locations.clusters.get"]

A handler is registered by the method's id (the documents are in google-api-python-client: `discovery_cache/documents/NAME.VERSION.json`),
takes a `Call` and returns the answer as JSON (None: an empty one; bytes where the API answers with bytes) or raises `GoogleError`.
One handler runs at a time. A method without a handler is answered with 501 and its id, a path of no method with 404.

Every query and body is checked against the document, and so is every answer of a handler: a name or a type that Google does not know is
answered with 400 (request) or 500 (answer) and noted in `problems`; leaving the `with` block (or `close`) with problems raises
AssertionError, so a wrong field fails the test even where the code under test swallowed the error. A test that means it clears the list.

A request needs `Authorization: Bearer TOKEN`, with a token that `accepts` agrees to (by default any); without it the answer is 401.
`ahead` shifts the server's clock as its `Date` headers show it. Uploads of media are not covered. `FaultProxy(stub.url)` adds faults.
Path patterns of different APIs may overlap (`v1/{+name}` of operations): then the method that has a handler is meant.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from mcml.testing.stubs.google_schemas import ANY_BODY, Method, load
from mcml.testing.stubs.google_strict import Strict

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The canonical status that an HTTP status stands for (https://google.aip.dev/193)."""


class GoogleError(Exception):
    """An error answer: HTTP status, message, Google's `reason`, canonical `status` (from the HTTP one if empty), details, headers."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: str = "",
        reason: str = "",
        details: tuple[Mapping[str, Any], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, dict(headers or {})
        self.status, self.reason, self.details = status or STATUS.get(code, "UNKNOWN"), reason, details

    def body(self) -> dict[str, Any]:
        """The error as Google writes it in JSON."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.reason:
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.reason}]
        if self.details:
            error["details"] = [dict(detail) for detail in self.details]
        return {"error": error}


@dataclass(frozen=True)
class Call:
    """A request that reached a method: its id, the parameters of path and query, the JSON body ({} when there is none), and as sent."""

    method: str
    path: str
    parameters: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    body: dict[str, Any]
    raw: bytes = field(repr=False)
    headers: Message = field(repr=False)

    def __getitem__(self, name: str) -> str:
        """Return a parameter of the path, or the first of that name in the query. Raises KeyError."""
        return self.parameters[name] if name in self.parameters else self.query[name][0]

    def get(self, name: str, default: str = "") -> str:
        """Return a parameter of the path or the query, or the default."""
        return self[name] if name in self.parameters or name in self.query else default


Handler = Callable[[Call], Mapping[str, Any] | bytes | None]


class DiscoveryStub(Strict, ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1 from construction until `close`. APIs are named as "container.v1"."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *apis: str, accepts: Callable[[str], bool] = bool) -> None:
        methods = [method for api in apis for method in load(api).methods.values()]
        super().__init__(("127.0.0.1", 0), _Connection)
        self.accepts = accepts
        self.ahead = timedelta()
        self.requests: list[Call] = []
        self.problems: list[str] = []
        self._lock = threading.RLock()
        self._handlers: dict[str, Handler] = {}
        self._methods = sorted(methods, key=lambda method: -method.literal)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where clients connect to, as scheme://host:port."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, method: str, handler: Handler) -> None:
        """Let a handler answer a method. Raises KeyError for a method that none of the documents has."""
        if all(one.id != method for one in self._methods):
            raise KeyError(method)
        self._handlers[method] = handler

    def calls(self, method: str) -> list[Call]:
        """Return the requests that reached a method (an id, or the end of one: "clusters.get")."""
        return [call for call in self.requests if f".{call.method}".endswith(f".{method}")]

    def answer(self, verb: str, target: str, headers: Message, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer to a request (for the connections' threads)."""
        try:
            with self._lock:
                body = self._answer(verb, target, headers, raw)
        except GoogleError as error:
            return error.code, {"Content-Type": "application/json; charset=UTF-8", **error.headers}, json.dumps(error.body()).encode()
        except Exception as bug:  # noqa: BLE001 - of a test's own handler: told to the client and to the test
            self.problems.append(f"the handler of {verb} {target} failed: {bug!r}")
            return 500, {}, json.dumps(GoogleError(500, repr(bug)).body()).encode()
        if isinstance(body, bytes):
            return 200, {"Content-Type": "application/octet-stream"}, body
        return 200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(body).encode()

    def _answer(self, verb: str, target: str, headers: Message, raw: bytes) -> Mapping[str, Any] | bytes:
        kind, _, token = (headers["Authorization"] or "").partition(" ")
        if not self.accepts(token if kind == "Bearer" else ""):
            raise GoogleError(401, "Request had invalid authentication credentials.", reason="authError")
        parts = urlsplit(target)
        method, parameters = self._find(verb, parts.path)
        query = {name: tuple(values) for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        call = Call(method.id, parts.path, parameters, query, _body(method, raw), raw, headers)
        self.requests.append(call)
        self._wrong(f"the request {method.id}", 400, [*method.wrong_query(query), *_wrong_request(method, call)])
        if method.id not in self._handlers:
            self.problems.append(f"no handler for {method.id}")
            raise GoogleError(501, f"the stub has no handler for {method.id}")
        answer = self._handlers[method.id](call)
        if isinstance(answer, bytes):
            return answer
        answer = dict(answer or {})
        if method.response and method.response != ANY_BODY:
            self._wrong(f"the answer of {method.id}", 500, method.document.wrong_body(method.response, answer))
        return answer if method.response else b""

    def _find(self, verb: str, path: str) -> tuple[Method, dict[str, str]]:
        found = [(method, parameters) for method in self._methods if (parameters := method.match(verb, path)) is not None]
        if not found:
            self.problems.append(f"no method of these APIs: {verb} {path}")
            raise GoogleError(404, f"no method of these APIs: {verb} {path}")
        return next((one for one in found if one[0].id in self._handlers), found[0])

    def _wrong(self, what: str, code: int, faults: list[str]) -> None:
        if faults:
            told = f"{what} is wrong: {'; '.join(faults)}"
            self.problems.append(told)
            raise GoogleError(code, told)

    def _stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _body(method: Method, raw: bytes) -> dict[str, Any]:
    if not raw or method.request == ANY_BODY:
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _wrong_request(method: Method, call: Call) -> list[str]:
    """Return what is wrong with a body. One that another schema wraps as `httpBody` is sent as it is, without the wrapping."""
    schemas = method.document.content["schemas"]
    if method.request == ANY_BODY or ANY_BODY in json.dumps(schemas.get(method.request, {}).get("properties", {}).get("httpBody", {})):
        return []
    if not method.request:
        return ["a body, where there is none"] if call.raw.strip() not in (b"", b"{}") else []
    if call.raw and not call.body and call.raw.strip() != b"{}":
        return ["the body is no JSON object"]
    return method.document.wrong_body(method.request, call.body)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    @property
    def stub(self) -> DiscoveryStub:
        return cast(DiscoveryStub, self.server)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time as the server's clock has it."""
        return super().date_time_string((timestamp or time.time()) + self.stub.ahead.total_seconds())

    def _one(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, body = self.stub.answer(self.command, self.path, self.headers, raw)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _one  # noqa: N815 - their names in the standard library
