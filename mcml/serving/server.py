"""The life of the server process: take the port, serve, drain on SIGTERM."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mcml.core.errors import Conflict, McmlError
from mcml.serving.app import App
from mcml.serving.codec import encode_error
from mcml.serving.metrics import Metrics

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048
# Longer than the idle time of the usual proxies (ALB 60 s, Google's 600 s): the side that sends requests is to hang up first.
KEEP_ALIVE_SECONDS = 620
MAX_HEAD = 1 << 20  # bytes of request line and headers; the parser itself would take any amount
QUIET = 0.3  # seconds without a new request after which nobody seems to send any more
TICK = 0.02


class Beside(Protocol):
    """What serves beside HTTP, on the same event loop."""

    async def start(self) -> None:
        """Take requests."""

    async def stop(self, seconds: float) -> None:
        """Take no more requests; those under way may take so many seconds."""


def take_port(host: str, port: int) -> socket.socket:
    """Bind the address without listening yet, so nobody waits on a server that is still loading.

    Raises Conflict for a taken port, McmlError for an address that cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as broken:
        raise _no_address(host, port, broken.strerror or "") from broken
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as broken:
        sock.close()
        raise _refused(host, port, broken) from broken
    return sock


def listen(sock: socket.socket) -> None:
    """Start to take connections. Raises Conflict when somebody else began to listen there since `take_port`."""
    host, port = sock.getsockname()[:2]
    try:
        sock.listen(BACKLOG)
    except OSError as broken:
        raise _refused(host, port, broken) from broken


def hold_signals() -> list[int]:
    """From now on SIGTERM and SIGINT only fall into the list returned: nothing is half-started or half-written because of them."""
    came: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: came.append(number))
    return came


def serve(
    sock: socket.socket, app: App, metrics: Metrics, *, drain: float, came: Sequence[int] = (), beside: Beside | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain for at most `drain` seconds; `app.cut_off` counts what did not make it.

    `came` holds signals from before; signals are held again afterwards. HTTP answers as soon as what is `beside` it does.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sock, app, metrics, drain, came, beside))
    hold_signals()


async def _serve(
    sock: socket.socket, app: App, metrics: Metrics, drain: float, came: Sequence[int], beside: Beside | None
) -> None:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = _Server(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _asked_to_stop, stop, server)
    if came:
        stop.set()
    if beside:
        await beside.start()
    watcher = loop.create_task(_drain(stop, server, app, metrics, drain, beside))
    await server.serve(sockets=[sock])
    if server.force_exit or not stop.is_set():
        watcher.cancel()
        if beside:
            await beside.stop(0)
    await asyncio.wait([watcher])


def _asked_to_stop(stop: asyncio.Event, server: uvicorn.Server) -> None:
    """The first signal drains, a second one does not wait."""
    if stop.is_set():
        server.force_exit = server.should_exit = True
    stop.set()


async def _drain(
    stop: asyncio.Event, server: uvicorn.Server, app: App, metrics: Metrics, seconds: float, beside: Beside | None
) -> None:
    """After the signal: answer on with readiness false until nothing is in flight and no more requests come; then close the port.

    A load balancer that sees the readiness goes away in that time, and no request meets a closed port. Clients that do not
    look keep coming: after half the time the port closes all the same, and the other half is for the requests that were taken.
    """
    await stop.wait()
    app.draining = True
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end - seconds / 2 and (metrics.in_flight or now < app.last_request + QUIET):
        await asyncio.sleep(TICK)
    # uvicorn declares whole seconds and passes the number to asyncio.wait_for, which takes fractions
    left = max(end - time.perf_counter(), 0.1)
    server.config.timeout_graceful_shutdown = left  # type: ignore[assignment]
    server.should_exit = True
    if beside:
        await beside.stop(left)


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal instead of exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Whole:
    """A transport that sends the head of an answer together with what comes after it, in one system call.

    uvicorn writes them one after the other. A process killed between the two has sent half an answer, and no proxy can try again
    after that: the head is already with the client.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or hold what is the head of an answer and nothing more until the next write."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that nothing follows."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is held, and hang up."""
        self.flush()
        self._transport.close()


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with whole answers, v2 error objects for what is not HTTP, and a bound on the size of a request's head."""

    _head = -1  # bytes of an unfinished head, -1 outside of one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport: _Whole = _Whole(transport)  # type: ignore[assignment]

    def on_response_complete(self) -> None:
        self.transport.flush()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as broken:
            self._refuse(400, f"request: expected HTTP/1.1: {broken}")
        if self._head >= 0:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self._refuse(431, f"headers: expected at most {MAX_HEAD} bytes")

    def _should_upgrade(self) -> bool:
        return True  # only asked when the client wants to: it keeps uvicorn from answering before `_ignore_upgrade`

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as the standard allows: Java's client asks for h2c first, its body right behind the head.

        The parser has stopped at the end of that head, so a new one is given the head without the wish, and the rest.
        """
        method = self.scope["method"]
        if method == "CONNECT":
            self._refuse(405, "method: expected GET, HEAD or POST, got CONNECT")
            return
        kept = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), self.url, kept, rest))

    def _refuse(self, status: int, text: str) -> None:
        body = encode_error(text)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def _refused(host: str, port: int, broken: OSError) -> McmlError:
    if broken.errno == errno.EADDRINUSE:
        return Conflict(
            f"cannot listen on {host}:{port}",
            why="another program listens there",
            next_step=f"choose another --port, or see who it is: ss -ltnp 'sport = :{port}'",
        )
    return _no_address(host, port, os.strerror(broken.errno) if broken.errno else str(broken))


def _no_address(host: str, port: int, why: str) -> McmlError:
    return McmlError(f"cannot listen on {host}:{port}", why=why, next_step="choose another --host or --port")
