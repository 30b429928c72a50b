"""The server as a process: what a hostile or hasty client, a signal, or a kill -9 does to it."""

import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.serving import models
from tests.serving.process import Server, serving
from tests.serving.test_codec import DOCUMENTS

ROW = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, -3]}
GOOD = json.dumps({"inputs": [ROW]}).encode()
HEAD = b"POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n%b\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("server")
    with serving(models.double(scratch / "double"), scratch, "--max-body", "200000", "--access-log") as running:
        yield running
        assert running.child.poll() is None, "the server did not survive the tests"


def raw(server: Server, *parts: bytes) -> bytes:
    """Send bytes and return all that comes back until the server hangs up, or says nothing for a moment."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    """Return one whole response, its body by content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def error_of(response: bytes) -> str:
    document = json.loads(response.partition(b"\r\n\r\n")[2])
    assert list(document) == ["error"]
    return str(document["error"])


def well(server: Server) -> None:
    reply = server.ask("POST", "/v2/models/double/infer", GOOD)
    assert reply.status == 200
    assert reply.json["outputs"][0]["data"] == [2.0, 5.0, -6.0]


def test_a_hundred_bad_requests_and_then_a_good_one(server: Server) -> None:
    bad = [b"", b"{", b"[]", b"\xff", b'{"inputs": [NaN]}', b'{"inputs": []}', b"[" * 3000, GOOD[:-1], GOOD.replace(b"2.5", b"null")]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for turn in range(100):
        connection.request("POST", "/v2/models/double/infer", bad[turn % len(bad)])
        reply = connection.getresponse()
        assert reply.status == 400
        assert list(json.loads(reply.read())) == ["error"]
    connection.request("POST", "/v2/models/double/infer", GOOD)
    assert connection.getresponse().status == 200
    connection.close()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS)
def test_no_document_kills_the_server(server: Server, document: Any) -> None:
    reply = server.infer(document)
    assert 400 <= reply.status < 500
    assert reply.error


def test_many_clients_at_once_each_get_their_own_answer(server: Server) -> None:
    def ask(number: int) -> list[float]:
        reply = server.infer({"id": str(number), "inputs": [ROW | {"data": [number, 0, 1]}]})
        assert reply.json["id"] == str(number)
        answer: list[float] = reply.json["outputs"][0]["data"]
        return answer

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(200))) == [[2.0 * number, 0.0, 2.0] for number in range(200)]


def test_a_body_too_large_is_refused_before_it_is_read(server: Server) -> None:
    response = raw(server, HEAD % (10**12, b"expect: 100-continue\r\n"))
    assert response.startswith(b"HTTP/1.1 413 ")
    assert error_of(response) == "body: expected at most 200000 bytes (the server's --max-body)"


def test_an_endless_chunked_body_is_refused_when_it_is_too_large(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (50_000, b" " * 50_000)
    response = raw(server, head, chunk, chunk, chunk, chunk, chunk)
    assert response.startswith(b"HTTP/1.1 413 ")
    well(server)


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"]
)
def test_what_is_not_http_gets_an_error_object_all_the_same(server: Server, noise: bytes) -> None:
    response = raw(server, noise)
    assert response.startswith(b"HTTP/1.1 40")
    assert "expected" in error_of(response)
    well(server)


def test_a_head_without_end_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nx: ")
        with pytest.raises(OSError):  # reset or broken pipe, whichever comes first
            while True:
                connection.sendall(b"y" * 65536)
    well(server)


def test_a_wish_for_http2_is_ignored_and_the_body_is_not_lost(server: Server) -> None:
    wish = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for first, second in ((len(GOOD), 0), (10, len(GOOD) - 10)):
            connection.sendall(HEAD % (len(GOOD), wish) + GOOD[:first])
            time.sleep(0.05)
            connection.sendall(GOOD[first : first + second])
            response = received(connection)
            assert response.startswith(b"HTTP/1.1 200 ")
            assert json.loads(response.partition(b"\r\n\r\n")[2])["outputs"][0]["data"] == [2.0, 5.0, -6.0]


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    bodies = [json.dumps({"id": name, "inputs": [ROW]}).encode() for name in ("a", "b", "c")]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"".join(HEAD % (len(body), b"") + body for body in bodies))
        answers = b""
        while answers.count(b'"id":') < 3:
            answers += connection.recv(65536)
    assert [answers.index(b'"id":"%c"' % name) for name in b"abc"] == sorted(answers.index(b'"id":"%c"' % name) for name in b"abc")


def test_an_answer_leaves_in_one_piece(server: Server) -> None:
    """Head and body in one system call: a kill -9 between two would cut the answer, and then no proxy may ask anybody else."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for _ in range(1000):
            connection.sendall(HEAD % (len(GOOD), b"") + GOOD)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert len(body) == int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


def test_an_answer_that_is_a_head_alone_leaves_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for path in (b"/v2/health/live", b"/v2/health/nowhere"):
            connection.sendall(b"HEAD %b HTTP/1.1\r\nhost: test\r\n\r\n" % path)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 ") and answer.endswith(b"\r\n\r\n"), answer


def test_the_access_log_has_a_line_for_every_request(server: Server) -> None:
    server.ask("GET", "/nowhere?secret=1")
    end = time.monotonic() + 20
    while not (found := [line for line in map(json.loads, server.said_on_stdout.splitlines()) if line["path"] == "/nowhere"]):
        assert time.monotonic() < end, "the line is written after the answer, but it is written"
        time.sleep(0.02)
    (line,) = found
    assert (line["method"], line["status"], line["client"]) == ("GET", 404, "127.0.0.1")
    assert line["ms"] >= 0


def test_sigterm_lets_a_request_in_flight_end(tmp_path: Path) -> None:
    usage = tmp_path / "usage.jsonl"
    with serving(models.double(tmp_path / "double"), tmp_path, "--usage-file", str(usage), "--drain", "20") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(HEAD % (len(GOOD), b"") + GOOD[:20])
            server.wait_for("/v2/health/ready", 200)
            server.child.send_signal(signal.SIGTERM)
            server.wait_for("/v2/health/ready", 503)
            assert server.ask("GET", "/v2/health/live").status == 200
            assert server.child.poll() is None
            connection.sendall(GOOD[20:])
            response = received(connection)
        assert response.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in response
        assert server.child.wait(30) == 0
    lines = [json.loads(line) for line in usage.read_bytes().splitlines()]
    assert "final" not in lines[0]
    assert (lines[-1]["final"], lines[-1]["requests"], lines[-1]["errors"]) == (True, 1, 0)


def test_clients_that_watch_readiness_see_no_error_when_the_server_ends(tmp_path: Path) -> None:
    with serving(models.double(tmp_path / "double"), tmp_path, "--drain", "30") as server, ThreadPoolExecutor(8) as pool:
        away = Event()

        def send() -> set[int]:
            statuses = set()
            while not away.is_set():
                statuses.add(server.ask("POST", "/invocations", GOOD).status)
            return statuses

        senders = [pool.submit(send) for _ in range(8)]
        time.sleep(0.3)
        server.child.terminate()
        server.wait_for("/v2/health/ready", 503)
        away.set()
        assert [sender.result() for sender in senders] == [{200}] * 8
        assert server.child.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_at_once(tmp_path: Path, number: int) -> None:
    with serving(models.double(tmp_path / "double"), tmp_path) as server:
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        server.child.send_signal(number)
        assert server.child.wait(30) == 0
        idle.close()
        assert "Traceback" not in server.said


def test_what_still_runs_after_the_drain_time_is_cut_off(tmp_path: Path) -> None:
    usage = tmp_path / "usage.jsonl"
    rounds = {"name": "n", "shape": [1], "datatype": "INT64"}
    body = json.dumps({"inputs": [rounds | {"data": [1_000_000]}]}).encode()
    with serving(models.slow(tmp_path / "slow"), tmp_path, "--usage-file", str(usage), "--drain", "0.6") as server:
        assert server.infer({"inputs": [rounds | {"data": [100]}]}).status == 200  # now it knows that this model may be slow
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(HEAD % (len(body), b"") + body)
            time.sleep(0.3)
            server.child.terminate()
            assert server.child.wait(30) == 0
        assert "cut off 1 requests that still ran after 0.6 seconds" in server.said
    assert json.loads(usage.read_bytes().splitlines()[-1])["final"] is True


def test_kill_9_leaves_the_usage_so_far_and_nothing_that_blocks_a_restart(tmp_path: Path) -> None:
    usage = tmp_path / "usage.jsonl"
    package = models.double(tmp_path / "double")
    options = ("--usage-file", str(usage), "--usage-interval", "0.05", "--name", "other", "--version", "9")
    with serving(package, tmp_path, *options) as server:
        port = server.port
        for _ in range(5):
            assert server.ask("POST", "/v2/models/other/versions/9/infer", GOOD).status == 200
        assert server.infer({}).status == 400
        end = time.monotonic() + 10
        while json.loads(usage.read_bytes().splitlines()[-1])["requests"] < 6:
            assert time.monotonic() < end
            time.sleep(0.02)
        server.child.kill()
        server.child.wait()
    lines = [json.loads(line) for line in usage.read_bytes().splitlines()]
    last = lines[-1]
    assert (last["pid"], last["model"], last["version"], last["requests"]) == (server.child.pid, "other", "9", 6)
    assert (last["errors"], last["client_errors"]) == (0, 1)
    assert last["cpu_seconds"] > 0
    assert "final" not in last
    with serving(package, tmp_path, *options, port=port) as again:
        assert again.port == port
        assert again.ask("POST", "/v2/models/other/infer", GOOD).status == 200
        assert json.loads(usage.read_bytes().splitlines()[-1])["pid"] == again.child.pid


def test_an_unwritable_usage_file_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    options = ("--usage-file", str(tmp_path / "no" / "such" / "folder"), "--usage-interval", "0.02")
    with serving(models.double(tmp_path / "double"), tmp_path, *options) as server:
        well(server)
        time.sleep(0.1)
        assert server.said.count("cannot write the usage file") == 1
