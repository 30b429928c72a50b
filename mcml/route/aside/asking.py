"""Our own questions to backends, through Envoy: it knows where they are, how to sign in there, and how the path is called."""

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcml.core.errors import Unavailable
from mcml.core.secret import Secret
from mcml.route.config.aside import ASK_HEADER, ASK_SECONDS, TOKEN_HEADER

MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What a backend answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Asker:
    """Asks backends by name; each thread has a connection of its own."""

    def __init__(self, port: int, token: Secret) -> None:
        self.port = port
        self.token = token
        self._mine = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Give all connections back; nothing is asked any more."""
        for connection in self._opened:
            connection.close()

    def ask(
        self, backend: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, seconds: float = ASK_SECONDS
    ) -> Reply:
        """Send a request (POST with a body, else GET) to one backend. Raises Unavailable when there is no answer within `seconds`."""
        sent = {**(headers or {}), ASK_HEADER: backend, TOKEN_HEADER: self.token.reveal()}
        for fresh in (False, True):
            connection = self._connection(seconds)
            try:
                connection.request("GET" if body is None else "POST", path, body, sent)
                answer = connection.getresponse()
                content = answer.read(MOST_BYTES + 1)
            except (OSError, http.client.HTTPException) as failed:
                connection.close()
                kept_too_long = isinstance(failed, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
                if fresh or not kept_too_long:
                    raise Unavailable(f"{backend} does not answer", why=str(failed) or type(failed).__name__) from failed
                continue
            if len(content) > MOST_BYTES:
                connection.close()
                raise Unavailable(f"{backend} answers more than {MOST_BYTES} bytes")
            return Reply(answer.status, content, {name.lower(): value for name, value in answer.getheaders()})
        raise AssertionError("unreachable")

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
            self._opened.append(connection)
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        return connection
