"""The fault proxy does to a client what its script says, and nothing else."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mcml.testing.stubs.faults import Answer, Delay, FaultProxy, HalfBody, Pass, Refuse, Request, Reset

BODY = bytes(range(256)) * 1024


class Echo(BaseHTTPRequestHandler):
    """GET gives BODY (chunked when the path says so), PUT tells how many bytes came."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 50_000):
                piece = BODY[start : start + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        size = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while piece := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(piece))
                self.rfile.readline()
            self.rfile.readline()
        else:
            size = len(self.rfile.read(int(self.headers["Content-Length"])))
        said = f"{size} {self.path} {self.headers['Host']}".encode()
        self.send_response(201)
        self.send_header("Location", f"http://127.0.0.1:{self.connection.getsockname()[1]}/made")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """The proxy hangs up in the middle: that is what it is for."""

    with Quiet(("127.0.0.1", 0), Echo) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: str) -> Iterator[FaultProxy]:
    with FaultProxy(server) as standing:
        yield standing


Call = Callable[..., tuple[int, bytes]]


@pytest.fixture
def call(proxy: FaultProxy) -> Iterator[Call]:
    """Makes a request over one connection, kept alive as an SDK keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)

    def make(method: str = "GET", path: str = "/a%2Fb?x=1", body: object = None) -> tuple[int, bytes]:
        try:
            connection.request(method, path, body)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    yield make
    connection.close()


def test_without_a_script_all_passes(proxy: FaultProxy, call: Call) -> None:
    assert call() == (200, BODY)
    assert call("GET", "/chunked") == (200, BODY)
    assert call("HEAD") == (200, b"")
    assert call("PUT", "/k", b"x" * 100_000) == (201, b"100000 /k 127.0.0.1:%d" % proxy.port)
    assert call("PUT", "/k", iter([b"abc", b"de"])) == (201, b"5 /k 127.0.0.1:%d" % proxy.port)
    assert [(seen.method, seen.size, seen.reached) for seen in proxy.requests] == [
        ("GET", 0, True),
        ("GET", 0, True),
        ("HEAD", 0, True),
        ("PUT", 100_000, True),
        ("PUT", 5, True),
    ]
    assert proxy.requests[0].path == "/a%2Fb?x=1"
    assert proxy.requests[3].headers["content-length"] == "100000"


def test_a_location_leads_to_the_proxy(proxy: FaultProxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("PUT", "/", b"")
    with connection.getresponse() as answer:
        assert answer.headers["Location"] == f"{proxy.url}/made"
    connection.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_refuses_then_accepts_on_the_same_port(proxy: FaultProxy, call: Call) -> None:
    assert call() == (200, BODY)
    proxy.script(Refuse(1.5))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        call()  # the kept-alive connection was closed
    with pytest.raises(ConnectionRefusedError):
        call()
    assert proxy.refusing
    until(lambda: not proxy.refusing)
    assert call() == (200, BODY)
    assert len(proxy.requests) == 1


def test_refuses_right_after_the_request_before(proxy: FaultProxy, call: Call) -> None:
    proxy.script(Pass(), Refuse(30))
    assert call("PUT", "/k", b"x" * 500_000)[0] == 201
    with pytest.raises(ConnectionRefusedError):
        call()
    proxy.accept()
    assert call() == (200, BODY)


@pytest.mark.parametrize("reaches", [False, True])
def test_resets(proxy: FaultProxy, call: Call, reaches: bool) -> None:
    proxy.script(Reset(reaches_server=reaches))
    with pytest.raises(ConnectionResetError):
        call("PUT", "/k", b"abc")
    assert [(seen.reached, seen.fault, seen.size) for seen in proxy.requests] == [(reaches, Reset(reaches), 3)]
    assert proxy.unused == []


def test_delays_until_the_client_hangs_up(proxy: FaultProxy) -> None:
    proxy.script(Delay(30))
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=0.2)
    connection.request("GET", "/")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    began = time.monotonic()
    proxy.close()
    assert time.monotonic() - began < 20
    assert proxy.requests[0].reached


def test_a_short_delay_ends_with_the_answer(proxy: FaultProxy, call: Call) -> None:
    proxy.script(Delay(0.2))
    began = time.monotonic()
    assert call() == (200, BODY)
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("path", ["/plain", "/chunked"])
def test_half_a_body(proxy: FaultProxy, call: Call, path: str) -> None:
    proxy.script(HalfBody())
    with pytest.raises(http.client.IncompleteRead) as cut:
        call("GET", path)
    assert BODY.startswith(cut.value.partial)
    assert 0 < len(cut.value.partial) <= len(BODY) // 2
    assert call("GET", path) == (200, BODY)


def test_never_the_last_byte(proxy: FaultProxy, call: Call) -> None:
    proxy.script(HalfBody(share=1.0))
    with pytest.raises(http.client.IncompleteRead) as cut:
        call()
    assert cut.value.partial == BODY[:-1]


@pytest.mark.parametrize("reaches", [False, True])
def test_answers_instead(proxy: FaultProxy, call: Call, reaches: bool) -> None:
    proxy.script(Answer(429, {"Retry-After": "7"}, b"slow down", reaches_server=reaches))
    assert call("PUT", "/k", b"abc") == (429, b"slow down")
    assert call("PUT", "/k", b"abc")[0] == 201
    assert [seen.reached for seen in proxy.requests] == [reaches, True]


def test_only_what_is_asked_for_takes_a_fault(proxy: FaultProxy, call: Call) -> None:
    proxy.script(Answer(500), Answer(503), only=lambda request: request.method == "PUT")
    assert [call("GET")[0], call("PUT", "/", b"")[0], call("GET")[0], call("PUT", "/", b"")[0], call("PUT", "/", b"")[0]] == [
        200, 500, 200, 503, 201,
    ]  # fmt: skip


def test_headers_stay_out_of_the_repr() -> None:
    headers = Message()
    headers["Authorization"] = "hunter2"
    assert "hunter2" not in repr(Request("GET", "/", headers))


def test_a_server_that_is_gone_is_no_fault() -> None:
    dead = FaultProxy("http://127.0.0.1:1")
    connection = http.client.HTTPConnection("127.0.0.1", dead.port, timeout=5)
    connection.request("GET", "/")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.getresponse()
    connection.close()
    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1:1: ConnectionRefusedError"):
        dead.close()


def test_it_wants_an_origin() -> None:
    with pytest.raises(ValueError, match="origin"):
        FaultProxy("127.0.0.1:80")


def test_nothing_is_left(server: str) -> None:
    proxy = FaultProxy(server)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read()
    proxy.close()
    proxy.close()
    connection.close()
    assert [thread for thread in threading.enumerate() if thread.name == f"fault-proxy-{proxy.port}"] == []
    again = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    with pytest.raises(ConnectionRefusedError):
        again.request("GET", "/")
