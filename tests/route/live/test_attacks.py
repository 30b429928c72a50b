"""What strangers may send to a public port: each attack with the answer it must get, and with nothing of it reaching a backend."""

import json
import re
import socket
import threading
import time

import pytest

from tests.route.rig import Rig, ask

INFER = b"/v2/models/fraud/infer"
BODY = b'{"inputs": []}'
LENGTH = b"content-length: 14\r\n"


def request(
    path: bytes = INFER,
    *headers: bytes,
    method: bytes = b"POST",
    version: bytes = b"HTTP/1.1",
    host: bytes = b"host: x\r\n",
    body: bytes = BODY,
) -> bytes:
    length = LENGTH if body == BODY and not any(b"length" in one.lower() or b"encoding" in one.lower() for one in headers) else b""
    return method + b" " + path + b" " + version + b"\r\n" + host + length + b"".join(one + b"\r\n" for one in headers) + b"\r\n" + body


WEBSOCKET = (b"connection: keep-alive, Upgrade", b"upgrade: WebSocket", b"sec-websocket-version: 13")
CHUNKED = b"transfer-encoding: chunked"
SMUGGLED = b"GET /v2/models/fraud/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"

# name, what is sent, the statuses it may be answered with (empty: the connection may just end), how many answers there may be
ATTACKS: list[tuple[str, bytes, set[int], int]] = [
    ("length and chunked", request(INFER, b"content-length: 4", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED), {400}, 1),
    ("chunked and length", request(INFER, b"transfer-encoding: chunked", b"content-length: 4", body=b"0\r\n\r\n" + SMUGGLED), {400}, 1),
    ("two lengths", request(INFER, b"content-length: 14", b"content-length: 0"), {400}, 1),
    ("a list of lengths", request(INFER, b"content-length: 14, 0"), {400}, 1),
    ("a negative length", request(INFER, b"content-length: -1"), {400}, 1),
    ("a length with a sign", request(INFER, b"content-length: +14"), {400}, 1),
    ("a length in hex", request(INFER, b"content-length: 0xe"), {400}, 1),
    ("an unknown coding", request(INFER, b"transfer-encoding: xchunked"), {400, 501}, 1),
    ("a coding twice", request(INFER, b"transfer-encoding: chunked", b"transfer-encoding: identity"), {400, 501}, 1),
    ("a coding behind a space", request(INFER, b"transfer-encoding : chunked"), {400}, 1),
    ("a coding behind a tab", request(INFER, b"transfer-encoding:\x0bchunked"), {400, 501}, 1),
    ("a chunk size that is none", request(INFER, b"transfer-encoding: chunked", body=b"zz\r\n"), {400}, 1),
    ("a huge chunk size", request(INFER, b"transfer-encoding: chunked", body=b"fffffffffffffffff\r\n"), {400}, 1),
    ("a folded header becomes one", request(INFER, b"x-one: a", b" folded: b"), {200}, 1),
    ("a header without a name", request(INFER, b": empty"), {400}, 1),
    ("a header with a zero", request(INFER, b"x-one: a\x00b"), {400}, 1),
    ("a bare carriage return ends no line", request(INFER, b"x-one: a\rx-two: b"), {200}, 1),
    ("two hosts", request(INFER, b"host: y"), {400}, 1),
    ("no host", request(host=b""), {400}, 1),
    ("an underscore", request(INFER, b"x_api_key: a"), {400}, 1),
    ("an escaped slash", request(b"/v2/models/fraud%2finfer"), {400}, 1),
    ("an escaped backslash", request(b"/v2/models/fraud%5cinfer"), {400}, 1),
    ("a zero in the path", request(b"/v2/models/fraud%00/infer"), {400}, 1),
    ("a path above the root", request(b"/../../etc/passwd"), {400, 404}, 1),
    ("an escaped path above the root", request(b"/v2/%2e%2e/%2e%2e/admin"), {400, 404}, 1),
    ("the admin interface", request(b"/stats", method=b"GET", body=b""), {404}, 1),
    ("an address as the target", request(b"http://127.0.0.1:9901/quitquitquit"), {404}, 1),
    ("a tunnel", request(b"127.0.0.1:9901", method=b"CONNECT", body=b""), {400, 403, 404, 405}, 1),
    ("huge headers", request(INFER, *(b"x-%d: " % n + b"a" * 7000 for n in range(10))), {431}, 1),
    ("many headers", request(INFER, *(b"x-%d: a" % n for n in range(200))), {431, 400}, 1),
    ("a huge path", request(b"/" + b"a" * 70_000), {431, 414, 400}, 1),
    ("HTTP/0.9", b"GET /v2\r\n\r\n", {400, 426}, 1),
    ("HTTP/1.0", request(version=b"HTTP/1.0"), {426, 400}, 1),
    ("HTTP/3.7", request(version=b"HTTP/3.7"), {400, 426}, 1),
    ("no method", request(method=b""), {400}, 1),
    ("an invented method", request(method=b"G\x01T"), {400}, 1),
    ("TLS to a plain port", bytes.fromhex("160301020001000001fc0303") + b"a" * 64, {400}, 1),
    ("an echo of the headers", request(INFER, method=b"TRACE", body=b""), {405}, 1),
    ("a websocket that is posted", request(INFER, *WEBSOCKET), {400}, 1),
    ("a websocket with a body", request(INFER, *WEBSOCKET, method=b"GET"), {400}, 1),
    ("a websocket in chunks", request(INFER, *WEBSOCKET, CHUNKED, method=b"GET", body=b"2\r\n{}\r\n0\r\n\r\n" + SMUGGLED), {200}, 1),
    ("an upgrade that hides a request", request(INFER, b"upgrade: h2c", b"connection: upgrade", b"http2-settings: AAMA"), {200, 403}, 1),
]


def send(port: int, data: bytes, *, seconds: float = 30.0) -> bytes:
    """Send bytes, and read until the other side ends or says nothing more for a moment."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                said += chunk
                connection.settimeout(0.4)
        except (TimeoutError, ConnectionError):
            pass
    return said


@pytest.mark.parametrize(("data", "statuses", "answers"), [one[1:] for one in ATTACKS], ids=[one[0] for one in ATTACKS])
def test_an_attack_gets_its_answer_and_no_more(shared: Rig, data: bytes, statuses: set[int], answers: int) -> None:
    said = send(shared.running.port, data)
    found = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)]
    assert found or not statuses, "no answer"
    assert len(found) <= answers, said
    assert set(found) <= statuses, said
    assert b"smuggled" not in said
    assert b"\\r\\nfolded:" not in said
    assert b"\\r\\n folded:" not in said
    assert b"\\r\\nx-two:" not in said
    if found and found[0] in (400, 404, 431) and b"application/json" in said:
        assert "request_id" in json.loads(said[said.index(b"\r\n\r\n") + 4 :])
    assert shared.infer().status == 200


@pytest.mark.parametrize(
    "path",
    ["/v2/models/%2e%2e/models/fraud/infer", "//v2//models/fraud//infer", "/v2/./models/fraud/./infer", "/v2/models/fraud/x/../infer"],
)
def test_a_path_is_made_normal_before_it_is_matched(shared: Rig, path: str) -> None:
    assert ask(shared.running.port, path, b"{}").json["path"] == "/v2/models/fraud/infer"


def test_an_upgrade_to_anything_but_a_websocket_is_refused_in_words_of_its_own(shared: Rig) -> None:
    """Envoy says 403, as for a key that is not for the model; here nobody has a key."""
    said = send(shared.running.port, request(INFER, b"upgrade: foo", b"connection: upgrade", method=b"GET", body=b""))
    assert said.startswith(b"HTTP/1.1 403 ")
    error = json.loads(said[said.index(b"\r\n\r\n") + 4 :])["error"]
    assert error == "this router takes no upgrade of a connection to another protocol but websocket"


def test_a_client_cannot_say_where_it_comes_from(shared: Rig) -> None:
    """What a backend reads in x-forwarded-for ends in what the router saw, whatever the client put before it."""
    head = shared.infer(x_forwarded_for="10.0.0.1", x_forwarded_proto="https", x_real_ip="10.0.0.1").json["head"]
    line = next(line for line in head.split("\r\n") if line.lower().startswith("x-forwarded-for:"))
    assert not line.endswith("10.0.0.1")
    assert "x-envoy-external-address: 127.0.0.1" in head
    assert "x-forwarded-proto: http\r\n" in head + "\r\n"


def test_a_client_cannot_use_the_names_of_the_proxy(shared: Rig) -> None:
    answer = shared.infer(x_envoy_retry_on="5xx", x_envoy_original_path="/admin", x_envoy_force_trace="true", x_mcml_client="root")
    head = answer.json["head"]
    for name in ("x-envoy-retry-on", "x-envoy-original-path", "x-envoy-force-trace", "x-mcml-client"):
        assert name not in head.lower()


def test_page_scripts_of_other_origins_are_not_let_in(shared: Rig) -> None:
    port = shared.running.port
    asked = "https://evil.example"
    answer = ask(port, "/v2/models/fraud/infer", method="OPTIONS", origin=asked, access_control_request_method="POST")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert not [name for name in shared.infer(origin="https://evil.example").headers if name.startswith("access-control-")]


def test_a_thousand_idle_connections_hurt_nobody(shared: Rig) -> None:
    idle = [socket.create_connection(("127.0.0.1", shared.running.port)) for _ in range(1000)]
    try:
        assert {shared.infer().status for _ in range(20)} == {200}
    finally:
        for connection in idle:
            connection.close()


def test_a_flood_of_connections_hurts_nobody(shared: Rig) -> None:
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", shared.running.port)) as connection:
                connection.sendall(b"POST /v2")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert {shared.infer().status for _ in range(50)} == {200}
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_slow_clients_are_ended_and_hurt_nobody(shared: Rig) -> None:
    """Slow loris: a header a second. Each is ended after ten seconds, and nobody waits for one."""
    slow = [socket.create_connection(("127.0.0.1", shared.running.port), timeout=60) for _ in range(50)]
    began = time.monotonic()
    for connection in slow:
        connection.sendall(b"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\n")
    try:
        for number in range(8):
            for connection in slow:
                connection.sendall(b"x-%d: a\r\n" % number)
            assert shared.infer().status == 200
            time.sleep(1)
        said = [connection.recv(10_000) for connection in slow]
    finally:
        for connection in slow:
            connection.close()
    assert time.monotonic() - began > 8
    assert {answer.split(b"\r\n")[0] for answer in said} == {b"HTTP/1.1 408 Request Timeout"}
    assert b"the request did not arrive in time" in said[0]
