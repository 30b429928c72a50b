"""The helper's HTTP side, spoken to as Envoy speaks."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from mcml.core.errors import McmlError
from mcml.core.process import free_port
from mcml.route.aside.helper import SMALL, Heard, Helper
from tests.route.rig import ask


class Served:
    """A helper that refuses bodies with `no` in them and keeps the copies."""

    def __init__(self) -> None:
        self.copies: list[Heard] = []
        self.checked: list[str] = []
        self.helper = Helper(free_port(), self.check, self.copies.append)
        self.helper.start()

    def check(self, heard: Heard) -> str:
        self.checked.append(heard.path)
        return "it says no" if b"no" in heard.body else ""


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    with closing(found.helper):
        yield found


def test_a_check_is_answered_with_the_reason(served: Served) -> None:
    port = served.helper.port
    assert ask(port, "/check/v2/models/fraud/infer", b"yes").status == 200
    refused = ask(port, "/check/v2/models/fraud/infer", b"no")
    assert (refused.status, refused.body) == (400, b"it says no")
    assert ask(port, "/check/v2/models/fraud/infer", b"no" * SMALL).status == 400
    assert served.checked == ["/v2/models/fraud/infer"] * 3


def test_a_copy_is_taken_as_it_came(served: Served) -> None:
    assert ask(served.helper.port, "/v2/models/fraud/infer", b"\x00\xff", host="fraud", x_request_id="7").status == 200
    (copy,) = served.copies
    assert (copy.path, copy.body, copy.host, copy.headers["x-request-id"]) == ("/v2/models/fraud/infer", b"\x00\xff", "fraud", "7")


@contextmanager
def raw(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.helper.port), timeout=10) as connection:
        yield connection


def test_chunks_and_several_requests_on_one_connection(served: Served) -> None:
    with raw(served) as connection:
        for _ in range(3):
            connection.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n")
            connection.sendall(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: v\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert [copy.body for copy in served.copies] == [b"abcde"] * 3


@pytest.mark.parametrize(
    "said",
    [
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n",
        b"a" * 200_000,
    ],
    ids=range(7),
)
def test_nonsense_closes_its_connection_and_no_other(served: Served, said: bytes) -> None:
    with raw(served) as connection:
        connection.sendall(said)
        with suppress(ConnectionResetError):  # it did not read all of it
            assert connection.recv(1000) == b""
    assert served.copies == []
    assert ask(served.helper.port, "/check/x", b"").status == 200


def test_a_port_that_is_taken_is_said(served: Served) -> None:
    second = Helper(served.helper.port, served.check, served.copies.append)
    with pytest.raises(McmlError, match="cannot listen on"):
        second.start()
    second.close()
