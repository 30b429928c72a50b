"""The control port: a status page, JSON and Prometheus metrics for this machine. Read only; no request of a client comes by here.

    /            the status page (`?part=main`: the part that changes)      /status      what `mcml route status` reads
    /history     the last 15 minutes (`?since=SECONDS&most=N`)              /decisions   the last ones (`?route=NAME&most=N`)
    /metrics     Prometheus (mcml.route.show.metrics)                            /healthz     200 while the control loop looks, else 503

A page of a stranger must not read it through the browser of somebody who sits here: a Host that is not of this machine is refused (DNS
rebinding), there is no CORS, and nothing is changed by any request.
"""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from mcml.core.clock import Clock, parse_rfc3339
from mcml.core.errors import Conflict, Unavailable
from mcml.route.engine.admin import Admin
from mcml.route.records import read_decisions, read_running
from mcml.route.show.board import Board
from mcml.route.show.metrics import CONTENT_TYPE, FRONT_FILTER, Snapshot, render
from mcml.route.weights.observe import read_stats

OLD_SECONDS = 5.0
SOCKET_SECONDS = 15.0
MOST = 500
SHOWN_DECISIONS = 12
PAGE_VALUES = 3000
"""Values of each plotted figure on the page, over all backends: it is drawn anew every two seconds."""
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
Query = Mapping[str, str]
FrontStats = tuple[Mapping[str, Any], Mapping[str, Any]]


class Proxy(Protocol):
    """The part of an engine that is asked here."""

    admin_port: int


class Page(NamedTuple):
    """One answer."""

    status: int
    kind: str
    body: str
    policy: str = "default-src 'none'; frame-ancestors 'none'"


def as_json(value: object, status: int = 200) -> Page:
    """Return a value as a JSON page."""
    return Page(status, "application/json", json.dumps(value) + "\n")


@dataclass(frozen=True)
class Pages:
    """What is answered, by path; `front` reads what Envoy counts of clients' requests (raises Unavailable or ValueError), `copies` counts
    what the shadow compared."""

    board: Board
    folder: Path
    url: Callable[[], str]
    clock: Clock
    front: Callable[[], FrontStats]
    copies: Callable[[], Mapping[tuple[str, str, str], int]]

    @cached_property
    def paths(self) -> Mapping[str, Callable[[Query], Page]]:
        """Every path."""
        return {
            "/": self._page,
            "/status": lambda _: as_json(self.board.told),
            "/history": lambda query: as_json(self.board.history.json(since=_number(query, "since"), most=int(_number(query, "most")))),
            "/decisions": lambda query: as_json(self._decisions(query.get("route", ""), int(_number(query, "most", MOST)))),
            "/metrics": self._metrics,
            "/healthz": self._health,
        }

    def _decisions(self, route: str, most: int) -> list[dict[str, Any]]:
        return read_decisions(self.folder, route=route)[-most:] if most > 0 else []

    def _page(self, query: Query) -> Page:
        from mcml.route.show.page import html

        body = html.body(self.board.told, self.board.history.json(values=PAGE_VALUES), self._decisions("", SHOWN_DECISIONS), self.clock())
        return Page(200, "text/html; charset=utf-8", body if query.get("part") == "main" else html.whole(body, self.url()), html.policy())

    def _metrics(self, _: Query) -> Page:
        values: Mapping[str, Any] = {}
        latencies: Mapping[str, Any] = {}
        with suppress(Unavailable, ValueError, KeyError, TypeError, AttributeError):  # without Envoy there is still what we know ourselves
            values, latencies = self.front()
        snapshot = Snapshot(self.board.told, self.board.totals, self.clock(), values, latencies, self.copies())
        return Page(200, CONTENT_TYPE, render(snapshot))

    def _health(self, _: Query) -> Page:
        at = self.board.told.get("at")
        age = (self.clock() - parse_rfc3339(at)).total_seconds() if at else None
        ok = age is not None and age <= OLD_SECONDS
        return as_json({"ok": ok, "status_age_s": age}, 200 if ok else 503)


def pages(board: Board, folder: Path, proxy: Proxy, clock: Clock) -> Pages:
    """Return the pages of a running router."""

    def front() -> FrontStats:
        admin = Admin(proxy.admin_port)
        try:
            return read_stats(admin.get("/stats?" + urlencode({"format": "json", "histogram_buckets": "detailed", "filter": FRONT_FILTER})))
        finally:
            admin.close()

    def url() -> str:
        running = read_running(folder)
        return running.url if running else ""

    return Pages(board, folder, url, clock, front, lambda: board.copies)


def _number(query: Query, name: str, otherwise: float = 0.0) -> float:
    with suppress(KeyError, ValueError):
        return min(max(0.0, float(query[name])), 1e12)
    return otherwise


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: Pages

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the reader broke off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "mcml"
    sys_version = ""
    timeout = SOCKET_SECONDS
    server: _Server

    def do_GET(self) -> None:
        self._send(self._answer())

    def do_HEAD(self) -> None:
        self._send(self._answer(), with_body=False)

    def do_POST(self) -> None:
        self.close_connection = True  # its body was not read
        self._send(as_json({"error": f"expected GET, got {self.command}; nothing can be changed here"}, 405))

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - the base class looks for these names

    def _answer(self) -> Page:
        if not is_local(self.headers.get_all("host") or []):
            return as_json({"error": "expected a Host of this machine, like 127.0.0.1"}, 421)
        url = urlsplit(self.path)
        page = self.server.pages.paths.get(url.path)
        if page is None:
            return as_json({"error": f"no such page; there are {', '.join(self.server.pages.paths)}"}, 404)
        try:
            return page({name: values[-1] for name, values in parse_qs(url.query, max_num_fields=10).items()})
        except Exception as failed:  # noqa: BLE001 - a reader is told, and the router goes on
            return as_json({"error": f"this page cannot be made now: {type(failed).__name__}: {failed}"}, 500)

    def _send(self, page: Page, *, with_body: bool = True) -> None:
        body = page.body.encode()
        headers = {
            "Content-Type": page.kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": page.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        with suppress(OSError):  # the reader has gone
            self.send_response(page.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if with_body else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""


def is_local(hosts: list[str]) -> bool:
    """Tell whether a request's Host headers are exactly one name of this machine, with any port."""
    with suppress(ValueError):
        return len(hosts) == 1 and (urlsplit(f"//{hosts[0]}").hostname or "") in LOCAL_NAMES
    return False


class Control:
    """The HTTP server of the control port, on loopback, in threads of its own."""

    def __init__(self, port: int) -> None:
        """Take the port (0: a free one). Raises Conflict when it is taken."""
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError as taken:
            raise Conflict(
                f"the control port {port} cannot be listened on",
                why=str(taken.strerror),
                next_step="set router.control_port in mcml.toml (0 takes a free one)",
            ) from taken
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="route-control", daemon=True)

    def start(self, pages: Pages) -> None:
        """Begin to answer."""
        self._server.pages = pages
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=2.0)
        self._server.server_close()
