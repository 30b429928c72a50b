"""One client's connection to a `FaultProxy`: each request is read, meets its fault, and goes to the server or not."""

import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer
from typing import Protocol, cast

from mcml.testing.stubs.fault_kinds import Answer, Delay, Fault, HalfBody, Request, Reset

IDLE_SECONDS = 60.0
PIECE = 1 << 16
_OF_THIS_HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect"}


class Proxy(Protocol):
    """What a connection asks of the proxy that it belongs to; `failures` are those of the proxy itself."""

    server: str
    failures: list[str]

    @property
    def url(self) -> str:
        """Where clients connect to, as scheme://host:port."""

    @property
    def refusing(self) -> bool:
        """True while the port refuses connections."""

    def take(self, request: Request, connection: socket.socket) -> Fault:
        """Note a request and return its fault; `done` is said after it."""

    def done(self, connection: socket.socket) -> bool:
        """Tell whether the connection may stay open for another request."""

    def connect(self) -> HTTPConnection:
        """Return a new connection to the server."""

    def wait(self, seconds: float, gone: Callable[[], bool]) -> bool:
        """Wait, and tell whether the client is still there."""


def serve(proxy: Proxy, connection: socket.socket) -> None:
    """Serve a connection until either side closes it."""
    _Connection(proxy, connection)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def __init__(self, proxy: Proxy, connection: socket.socket) -> None:
        self.proxy = proxy
        super().__init__(connection, ("127.0.0.1", 0), cast(BaseServer, None))

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # every method goes the same way
            return self._one
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request line may hold a signature."""

    def _one(self) -> None:
        request = Request(self.command, self.requestline.split(" ")[1], self.headers)
        fault = self.proxy.take(request, self.connection)
        try:
            self._meet(request, fault)
        finally:
            self.close_connection = not self.proxy.done(self.connection) or self.close_connection

    def _meet(self, request: Request, fault: Fault) -> None:
        if isinstance(fault, Reset | Delay | Answer) and not fault.reaches_server:
            for _ in self._body(request):
                pass
            self._instead(fault)
            return
        with closing(self.proxy.connect()) as server:
            try:
                server.putrequest(self.command, request.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in _OF_THIS_HOP:
                        server.putheader(name, value)
                server.endheaders()
                for piece in self._body(request):
                    server.send(piece)
                request.reached = True
                answer = server.getresponse()
            except (ConnectionRefusedError, HTTPException) as broken:
                self.proxy.failures.append(f"{self.proxy.server}: {type(broken).__name__}: {broken}")
                raise ConnectionAbortedError from broken
            if isinstance(fault, Reset | Delay | Answer):
                answer.read() if isinstance(fault, Reset | Answer) else None
                self._instead(fault, answer)
            else:
                self._relay(answer, fault)

    def _instead(self, fault: Fault, answer: HTTPResponse | None = None) -> None:
        if isinstance(fault, Reset):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        elif isinstance(fault, Answer):
            self._send_own(fault)
        elif isinstance(fault, Delay):
            if self.proxy.wait(fault.seconds, self._client_is_gone) and answer is not None:
                self._relay(answer, fault)
            else:
                self.close_connection = True

    def _body(self, request: Request) -> Iterator[bytes]:
        """Yield the request's body as it came, the marks of a chunked one included."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            size = -1
            while size != 0:
                line = self.rfile.readline(PIECE)
                size = int(line.split(b";")[0], 16)
                request.size += size
                yield line + (self.rfile.read(size + 2) if size else b"")
            while (line := self.rfile.readline(PIECE)).strip():
                yield line
            yield line
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(left, PIECE))
            if not piece:
                raise ConnectionResetError("the client went away in the middle of its request")
            left -= len(piece)
            request.size += len(piece)
            yield piece

    def _send_own(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self._end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _end_headers(self) -> None:
        if self.proxy.refusing:
            self.send_header("Connection", "close")
        self.end_headers()

    def _relay(self, answer: HTTPResponse, fault: Fault) -> None:
        chunked = answer.chunked
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THIS_HOP:
                self.send_header(name, value.replace(self.proxy.server, self.proxy.url) if name.lower() == "location" else value)
        whole = answer.length
        if whole is None and not chunked and self.command != "HEAD":
            self.send_header("Connection", "close")
        self._end_headers()
        if self.command == "HEAD" or whole == 0:
            return
        if isinstance(fault, HalfBody):
            self._send_part(answer, fault, chunked)
            return
        while piece := answer.read1(PIECE):
            self._write(piece, chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif answer.length:  # the server itself stopped short
            self.close_connection = True

    def _send_part(self, answer: HTTPResponse, fault: HalfBody, chunked: bool) -> None:
        piece = answer.read1(PIECE)
        size = len(piece) + (answer.length or 0)  # of a chunked answer, whose size nobody knows, the first piece
        left = min(int(size * fault.share), size - 1)
        while left > 0 and piece:
            self._write(piece[:left], chunked)
            left -= len(piece)
            piece = answer.read1(min(PIECE, left)) if left > 0 else b""
        self.proxy.wait(fault.pause, self._client_is_gone)
        self.close_connection = True

    def _write(self, piece: bytes, chunked: bool) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)

    def _client_is_gone(self) -> bool:
        if isinstance(self.connection, ssl.SSLSocket):
            return False  # TLS has no peek: the wait goes to its end, and the write finds out
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
