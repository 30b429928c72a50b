"""A kube-apiserver that lists what it was given: nodes and pods, in pages of one moment.

    with KubeApi(token="secret") as stub:
        stub.put(node("n-1"))
        stub.fail("pods", 429, headers={"Retry-After": "1"})   # the next answer only
        access = ClusterAccess(stub.url, "", Secret("secret"), None)

Objects are checked with the models of the official client: a field that Kubernetes does not know, or of a wrong type, is refused by `put`.
Another token than its own is answered 401. A `continue` stands for the moment its list began at, as in
https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks; after `expire` it is answered 410.
Errors are `Status` objects. With `tls` (the files of a certificate and its key) it speaks HTTPS. Not modelled: selectors, watches, writes.
"""

import base64
import binascii
import json
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

IDLE_SECONDS = 60.0
PATHS = {"/api/v1/nodes": "nodes", "/api/v1/pods": "pods"}
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
Object = Mapping[str, Any]


class KubeApi:
    """Listens on a free port of 127.0.0.1 from construction until `close`. Safe to call from many threads."""

    def __init__(self, *, token: str = "", tls: tuple[Path, Path] | None = None) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._token, self._lock = token, threading.Lock()
        self._objects: dict[str, list[Object]] = {"nodes": [], "pods": []}
        self._moments: list[dict[str, list[Object]]] = []
        self._refusals: dict[str, deque[tuple[int, str, Mapping[str, str]]]] = defaultdict(deque)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"stub": self}))
        self._server.daemon_threads, self._server.block_on_close = True, False
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="kube-api", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def put(self, *objects: Object) -> None:
        """Take nodes and pods. Raises ValueError for what is no object of Kubernetes."""
        for each in objects:
            _check(each)
            with self._lock:
                self._objects[f"{each['kind'].lower()}s"].append(each)

    def fail(self, kind: str, status: int, message: str = "", *, headers: Mapping[str, str] | None = None, times: int = 1) -> None:
        """Refuse the next lists of `nodes` or `pods`."""
        self._refusals[kind].extend([(status, message or REASONS.get(status, "Unknown"), headers or {})] * times)

    def expire(self) -> None:
        """Forget the moments that lists began at."""
        with self._lock:
            self._moments = [{} for _ in self._moments]

    def answer(self, path: str, query: dict[str, str], token: str) -> tuple[int, Mapping[str, str], Object]:
        """Return status, headers and body."""
        kind = PATHS.get(path, "")
        with self._lock:
            self.asked.append((path, query))
            if self._token and token != f"Bearer {self._token}":
                return 401, {}, _status(401, "Unauthorized")
            if not kind:
                return 404, {}, _status(404, "the server could not find the requested resource")
            if self._refusals[kind]:
                status, message, headers = self._refusals[kind].popleft()
                return status, headers, _status(status, message)
            return self._page(kind, query)

    def _page(self, kind: str, query: dict[str, str]) -> tuple[int, Mapping[str, str], Object]:
        if "continue" in query:
            try:
                number, start = json.loads(base64.b64decode(query["continue"], validate=True))
            except (ValueError, binascii.Error):
                return 400, {}, _status(400, "continue key is not valid")
        else:
            number, start = len(self._moments), 0
            self._moments.append({kind: list(self._objects[kind])})
        if kind not in self._moments[number]:
            return 410, {}, _status(410, "The provided continue parameter is too old to display a consistent list result.")
        items, end = self._moments[number][kind], start + int(query.get("limit", "0") or 0)
        more = base64.b64encode(json.dumps([number, end]).encode()).decode() if start < end < len(items) else ""
        metadata = {"resourceVersion": str(number + 1), **({"continue": more, "remainingItemCount": len(items) - end} if more else {})}
        listed = items[start : end if end > start else None]
        return 200, {}, {"kind": f"{kind[:-1].capitalize()}List", "apiVersion": "v1", "metadata": metadata, "items": listed}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(IDLE_SECONDS)

    def __enter__(self) -> "KubeApi":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection; `stub` is set by the class made for each stub."""

    stub: ClassVar[KubeApi]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a list."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        status, headers, found = self.stub.answer(parts.path, query, self.headers.get("Authorization", ""))
        body = json.dumps(found).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _status(code: int, message: str) -> Object:
    about = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**about, "message": message, "reason": REASONS.get(code, "Unknown"), "code": code}


def _check(found: Object) -> None:
    from kubernetes import client

    if found.get("kind") not in ("Node", "Pod"):
        raise ValueError(f"not a node and not a pod: {found.get('kind')!r}")
    try:
        model = getattr(client, f"V1{found['kind']}").from_dict(found)
    except TypeError as wrong:
        raise ValueError(f"no {found['kind']}: {wrong}") from wrong
    lost = _lost(found, client.ApiClient(client.Configuration()).sanitize_for_serialization(model))
    if lost:
        raise ValueError(f"a {found['kind']} has no {', '.join(lost)}")


def _lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Return the fields that the model did not take."""
    if isinstance(given, Mapping):
        unknown = [f"{path}.{key}" for key in given if key not in kept]
        return unknown + [lost for key in given if key in kept for lost in _lost(given[key], kept[key], f"{path}.{key}")]
    if isinstance(given, list):
        return [lost for index, each in enumerate(given) for lost in _lost(each, kept[index], f"{path}[{index}]")]
    return []
