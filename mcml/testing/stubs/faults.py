"""A proxy in front of a real server that fails as it is told: a script of faults, one a request; when the script is over, all passes.

    with FaultProxy("http://127.0.0.1:5000") as proxy:
        client = make_client(endpoint=proxy.url)
        proxy.script(Answer(503, {"Retry-After": "1"}), Reset(reaches_server=True), Pass())
        client.put(...)                                # two failures, then the answer of the server
        assert proxy.unused == []                      # every fault happened
        assert sum(request.reached for request in proxy.requests if request.method == "PUT") == 2

`only=` picks the requests that take a fault from the script (the others pass):

    proxy.script(HalfBody(), only=lambda request: request.method == "GET")

It listens on a free port of 127.0.0.1 that stays its own even while it refuses connections. Bodies stream through: nothing is held but
one piece. At most `MOST_CONNECTIONS` are served at once, each idle or stuck for at most `IDLE_SECONDS`; `close` ends them all. The `Host`
header goes on as the client wrote it, so that signed requests stay valid; a `Location` that names the server is made to name the proxy.
With `tls` (a server-side `ssl.SSLContext`) clients speak HTTPS to the proxy; an `https://` server is called with `server_tls`.
"""

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from types import TracebackType
from urllib.parse import urlsplit

from mcml.testing.stubs.fault_connection import IDLE_SECONDS, serve
from mcml.testing.stubs.fault_kinds import Answer, Delay, Fault, HalfBody, Pass, Refuse, Request, Reset

__all__ = ["Answer", "Delay", "Fault", "FaultProxy", "HalfBody", "Pass", "Refuse", "Request", "Reset"]
MOST_CONNECTIONS = 64
MOST_REQUESTS_KEPT = 10_000
_POLL_SECONDS = 0.02


class FaultProxy:
    """Listens from construction until `close` (or the end of a `with` block). Safe to script from one thread while others call."""

    def __init__(self, server: str, *, tls: ssl.SSLContext | None = None, server_tls: ssl.SSLContext | None = None) -> None:
        """Stand in front of `server`, an origin such as "http://127.0.0.1:5000"."""
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{server!r} is no http or https origin")
        self.server = f"{parts.scheme}://{parts.netloc}"
        self.failures: list[str] = []
        self.requests: deque[Request] = deque(maxlen=MOST_REQUESTS_KEPT)
        self._tls, self._server_tls = tls, server_tls
        self._faults: deque[Fault] = deque()
        self._only: Callable[[Request], bool] | None = None
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: dict[socket.socket, threading.Thread] = {}
        self._busy: set[socket.socket] = set()
        self._place = _bound(0)  # bound, never listening: the port stays ours while it refuses
        self.port: int = self._place.getsockname()[1]
        self._refuse_until: float | None = None
        self._listener: socket.socket | None = _bound(self.port)
        self._listener.listen(MOST_CONNECTIONS)
        self._acceptor = threading.Thread(target=self._accept, name=f"fault-proxy-{self.port}", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Where clients connect to, as scheme://host:port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def refusing(self) -> bool:
        """True while the port refuses connections."""
        with self._lock:
            return self._listener is None

    @property
    def unused(self) -> list[Fault]:
        """The faults that have not happened yet."""
        with self._lock:
            return list(self._faults)

    def script(self, *faults: Fault, only: Callable[[Request], bool] | None = None) -> None:
        """Replace the script; forget the requests so far. A leading Refuse begins now."""
        with self._lock:
            self._faults, self._only = deque(faults), only
            self.requests.clear()
            self.accept()
            self._begin_refusing()

    def refuse(self, seconds: float = IDLE_SECONDS) -> None:
        """Refuse connections until `accept` is called or the seconds have passed; idle connections are closed."""
        with self._lock:
            self._refuse_until = time.monotonic() + seconds
            if self._listener is not None:
                listener, self._listener = self._listener, None
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)  # close alone waits for the thread that is in accept
                listener.close()
            for connection in self._open.keys() - self._busy:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        """Accept connections again after `refuse`."""
        with self._lock:
            self._refuse_until = None
            if self._listener is None and not self._closing.is_set():
                self._listener = _bound(self.port)
                self._listener.listen(MOST_CONNECTIONS)

    def close(self) -> None:
        """End every connection and thread. Raises RuntimeError when the proxy itself failed: that was no fault of the script."""
        self._closing.set()
        self.refuse()
        self._acceptor.join(IDLE_SECONDS)
        with self._lock:
            connections = dict(self._open)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(IDLE_SECONDS)
        self._place.close()
        if self.failures:
            raise RuntimeError(f"the fault proxy failed: {'; '.join(self.failures)}")

    def __enter__(self) -> "FaultProxy":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def take(self, request: Request, connection: socket.socket) -> Fault:
        """Note a request and return its fault (for the connections' threads, which say `done` after it)."""
        with self._lock:
            self.requests.append(request)
            self._busy.add(connection)
            if self._faults and (self._only is None or self._only(request)):
                request.fault = self._faults.popleft()
                self._begin_refusing()
            return request.fault

    def done(self, connection: socket.socket) -> bool:
        """Tell whether the connection may stay open for another request."""
        with self._lock:
            self._busy.discard(connection)
            return self._listener is not None

    def connect(self) -> HTTPConnection:
        """Return a new connection to the server (for the connections' threads)."""
        parts = urlsplit(self.server)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return HTTPSConnection(host, parts.port, timeout=IDLE_SECONDS, context=self._server_tls)
        return HTTPConnection(host, parts.port, timeout=IDLE_SECONDS)

    def wait(self, seconds: float, gone: Callable[[], bool]) -> bool:
        """Wait, and tell whether the client is still there (for the connections' threads)."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._closing.wait(min(left, _POLL_SECONDS)) or gone():
                return False
        return True

    def _begin_refusing(self) -> None:
        if self._faults and isinstance(self._faults[0], Refuse):
            fault = self._faults.popleft()
            assert isinstance(fault, Refuse)
            self.refuse(fault.seconds)

    def _accept(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                if self._refuse_until is not None and time.monotonic() >= self._refuse_until:
                    self.accept()
                    self._begin_refusing()
                listener = self._listener
            if listener is None:
                self._closing.wait(_POLL_SECONDS)
                continue
            with suppress(OSError):  # nobody came, or the listener was closed under us
                connection, _ = listener.accept()
                self._start(connection)

    def _start(self, connection: socket.socket) -> None:
        connection.settimeout(IDLE_SECONDS)
        if not self._slots.acquire(timeout=IDLE_SECONDS):
            connection.close()
            return
        if self._tls:  # the handshake comes with the first read, in the connection's own thread
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"fault-proxy-{self.port}", daemon=True)
        with self._lock:
            self._open[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            serve(self, connection)
        except OSError:
            pass  # the client hung up, or we did
        except Exception as failed:  # noqa: BLE001 - a bug here must not look like one of the faults: close() raises it
            self.failures.append(f"{type(failed).__name__}: {failed}")
        finally:
            with self._lock:
                self._open.pop(connection, None)
                self._busy.discard(connection)
            connection.close()
            self._slots.release()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.settimeout(_POLL_SECONDS)
    bound.bind(("127.0.0.1", port))
    return bound
