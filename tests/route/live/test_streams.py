"""What is not one request and one answer: event streams, websockets, and bodies too large to be kept."""

import base64
import http.client
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route, Router
from tests.route.rig import Rig, until

MIB = 1024 * 1024
EVENTS = 5


class Raw:
    """A server in threads that speaks HTTP by hand. `mode`: ok, late (503 once it has the body), early (503 before), reset."""

    model = "fraud"

    def __init__(self, target: str) -> None:
        self.target, self.mode, self.go = target, "ok", threading.Semaphore(0)
        self.began: list[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def backend(self) -> Backend:
        return Backend(self.target, "fraud", "127.0.0.1", self.port, "local", "nowhere", version="1")

    def close(self) -> None:
        self.listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            try:
                while line := incoming.readline():
                    headers = dict(_headers(incoming))
                    self._answer(connection, incoming, line.split()[1].decode(), headers)
            except (OSError, ValueError):
                return  # the other side went away

    def _answer(self, connection: socket.socket, incoming: Any, path: str, headers: dict[str, str]) -> None:
        if path == "/v2/health/ready":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        elif headers.get("upgrade") == "websocket":
            self._echo(connection, incoming)
        elif path.endswith("/generate_stream"):
            incoming.read(int(headers.get("content-length", 0)))
            self._stream(connection)
        elif path.endswith("/infer"):
            self._infer(connection, incoming, headers)
        else:
            connection.sendall(b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno")

    def _stream(self, connection: socket.socket) -> None:
        """Send an event, and the next one when the test says that the one before has arrived."""
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(EVENTS):
            event = b"data: %d\n\n" % number
            connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            assert self.go.acquire(timeout=20)
        connection.sendall(b"0\r\n\r\n")

    def _echo(self, connection: socket.socket, incoming: Any) -> None:
        connection.sendall(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n")
        while data := incoming.read1(65536):
            connection.sendall(data)

    def _infer(self, connection: socket.socket, incoming: Any, headers: dict[str, str]) -> None:
        mode = self.mode
        self.began.append(int(headers.get("content-length", -1)))
        if mode == "early":
            connection.sendall(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")
        elif mode == "reset":
            incoming.read(100)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionResetError
        size = sum(len(piece) for piece in _body(incoming, headers))
        if mode == "late":
            connection.sendall(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")
        elif mode == "ok":
            content = json.dumps({"bytes": size}).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content))


def _headers(incoming: Any) -> Iterator[tuple[str, str]]:
    while (line := incoming.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        yield name.lower(), value.strip()


def _body(incoming: Any, headers: dict[str, str]) -> Iterator[bytes]:
    left = int(headers.get("content-length", 0))
    while left > 0 and (piece := incoming.read(min(left, 65536))):
        left -= len(piece)
        yield piece
    while "content-length" not in headers and (size := int(incoming.readline(), 16)) >= 0:
        yield incoming.read(size)
        incoming.readline()
        if not size:
            return


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[tuple[Rig, Raw, Raw]]:
    """A router over two such servers, the first of which tests break."""
    bad, good = Raw("bad"), Raw("good")
    upstreams: list[Any] = [bad, good]
    with Rig(tmp_path / "route", upstreams, routes={"fraud": Route(per_try_timeout=10)}, router=Router(port=0)) as rig:
        yield rig, bad, good


def post(rig: Rig, size: int, *, chunked: bool = False) -> tuple[int, str]:
    """Send a body of zeros; return the status and the number of attempts."""
    connection = http.client.HTTPConnection("127.0.0.1", rig.running.port, timeout=30)
    try:
        body: Any = (b"0" * 65536 for _ in range(size // 65536)) if chunked else b"0" * size
        headers = {"transfer-encoding": "chunked"} if chunked else {}
        connection.request("POST", "/v2/models/fraud/infer", body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status != 200 or json.loads(said)["bytes"] == size
        return answer.status, answer.getheader("x-mcml-attempts") or ""
    finally:
        connection.close()


def hit(rig: Rig, bad: Raw, mode: str, size: int, *, chunked: bool = False) -> tuple[int, str]:
    """Send bodies until one went to the bad server first, with `mode`, and return how that one was answered."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        bad.mode, before = mode, len(bad.began)
        answered = post(rig, size, chunked=chunked)
        bad.mode, was_hit = "ok", len(bad.began) > before
        mark = len(bad.began)
        while was_hit and len(bad.began) == mark:  # one that fails three times in a row is taken out
            post(rig, 64)
        if was_hit:
            return answered
    raise AssertionError("the bad server was never asked")


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("mode", ["late", "early", "reset"])
def test_a_body_within_the_buffer_is_tried_elsewhere(raw: tuple[Rig, Raw, Raw], mode: str, chunked: bool) -> None:
    rig, bad, _ = raw
    for size in (64 * 1024, 8 * MIB - 65536):
        assert hit(rig, bad, mode, size, chunked=chunked) == (200, "2")


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_buffer_has_one_attempt(raw: tuple[Rig, Raw, Raw], chunked: bool) -> None:
    rig, bad, _ = raw
    assert hit(rig, bad, "ok", 24 * MIB, chunked=chunked) == (200, "1")
    assert hit(rig, bad, "late", 24 * MIB, chunked=chunked) == (503, "1")


def test_events_arrive_as_they_are_sent(raw: tuple[Rig, Raw, Raw]) -> None:
    """The next event is sent only when the one before has arrived: nothing on the way may hold them back."""
    rig, bad, good = raw
    connection = http.client.HTTPConnection("127.0.0.1", rig.running.port, timeout=20)
    connection.request("POST", "/v2/models/fraud/generate_stream", b"{}", {"accept": "text/event-stream"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type")) == (200, "text/event-stream")
    for number in range(EVENTS):
        assert answer.readline() == b"data: %d\n" % number
        assert answer.readline() == b"\n"
        bad.go.release()
        good.go.release()
    assert answer.read() == b""
    connection.close()


def test_a_websocket_passes(raw: tuple[Rig, Raw, Raw]) -> None:
    rig, *_ = raw
    key = base64.b64encode(os.urandom(16)).decode()
    asking = "GET /v2/models/fraud/stream HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    asking += f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", rig.running.port), timeout=20) as connection:
        connection.sendall(asking.encode())
        with connection.makefile("rb") as incoming:
            assert b"101" in incoming.readline()
            assert dict(_headers(incoming))["upgrade"] == "websocket"
            for frame in (b"\x81\x85abcd" + os.urandom(5), b"\x82\x84abcd" + os.urandom(4)):
                connection.sendall(frame)
                assert incoming.read(len(frame)) == frame
    until(lambda: rig.infer().status == 200, 5, "the router does not serve on")
