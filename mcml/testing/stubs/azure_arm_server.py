"""The listening half of `ArmStub`: HTTPS, one thread a connection, JSON in and out."""

import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Request:
    """One request: `parts` are the path's parameters, `query` without api-version's check, `body` the JSON; `status` what it got."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: Any = None
    origin: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    status: int = 0


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its JSON body (None: none; bytes: as they are), and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Take = Callable[[Request], Reply]


class Server(ThreadingHTTPServer):
    """Answers each request with what `take` says, from construction on; it knows its connections, and ends them when it stops."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, take: Take, context: ssl.SSLContext) -> None:
        self.take = take
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Connection)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="arm-stub", daemon=True)
        self._thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and remember it while it lasts."""
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no failure of the stub."""

    def stop(self) -> None:
        """Stop listening, end every connection and wait for its thread; a second time does nothing."""
        self.shutdown()
        self._thread.join(10)
        self.server_close()
        with self._guard:
            connections = dict(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(10)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # a whole answer in one piece
    timeout = 60.0
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _one(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw) if raw and "json" in headers.get("content-type", "") else (raw or None)
        origin = f"https://{headers.get('host', '')}"
        request = Request(self.command, unquote(url.path), dict(parse_qsl(url.query)), headers, body, origin)
        reply = self.server.take(request)
        request.headers = {name: value for name, value in headers.items() if name != "authorization"}
        plain = isinstance(reply.body, bytes)
        content = reply.body if plain else b"" if reply.body is None else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"x-ms-request-id": str(uuid.uuid4()), **reply.headers}.items():
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", "application/octet-stream" if plain else "application/json; charset=utf-8")
        if reply.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _one  # noqa: N815
