"""The rest of the listener on a real Envoy: traces, origins of pages, limits of bodies, and changes of all of it without a lost request."""

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.process import free_port, port_is_taken
from mcml.core.schema_routes import Limit, Route, Router, Tracing
from mcml.route.access_log import ACCESS_LOG
from mcml.route.parts import Wanted
from mcml.route.records import read_running
from tests.route.collector import Collector
from tests.route.rig import TARGETS, Rig, Upstream, ask, until

MIB = 1024 * 1024
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
QUIET = "5cf92f3577b34da6a3ce929d0e0e4736"
ORIGIN = "https://app.example.com"


class Front:
    """A running router whose settings a test may change."""

    def __init__(self, folder: Path, collector: Collector) -> None:
        self.collector = collector
        self.wanted = Wanted({"fraud": Route()}, Router(port=0, tracing=Tracing(endpoint=collector.url, percent=Decimal(100))))
        self.rig = Rig(folder / "route", [Upstream(target) for target in TARGETS], router=self.wanted.router)
        self.rig.setup = replace(self.rig.setup, wanted=lambda: self.wanted)

    def change(self, **changes: object) -> None:
        self.wanted = Wanted(self.wanted.routes, self.wanted.router.model_copy(update=changes))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with Collector() as collector:
        front = Front(tmp_path_factory.mktemp("front"), collector)
        with front.rig:
            # those of the first moments may be lost
            until(lambda: front.rig.infer().status == 200 and collector.spans, 30, "no span arrived")
            yield front


def test_a_trace_goes_on_through_the_router_and_to_the_collector(front: Front) -> None:
    answer = front.rig.infer(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01", tracestate="vendor=1", x_request_id="traced-by-me")
    head = answer.json["head"].lower()
    forwarded = next(line for line in head.split("\r\n") if line.startswith("traceparent:"))
    assert TRACE in forwarded
    assert "00f067aa0ba902b7" not in forwarded  # the backend's parent is the router's span, not the client's
    assert "tracestate: vendor=1" in head
    assert answer.headers["x-request-id"] == "traced-by-me"
    assert "x-request-id: traced-by-me" in head
    spans = front.collector.spans
    until(lambda: [one for one in spans if (one.trace, one.parent) == (TRACE, "00f067aa0ba902b7")], 20, "the router's span did not arrive")
    assert "fraud" in {span.attributes.get("mcml.route") for span in spans if span.trace == TRACE}
    assert front.collector.paths == {"/v1/traces"}

    def line() -> dict[str, object] | None:
        lines = map(json.loads, (front.rig.folder / ACCESS_LOG).read_text().splitlines())
        return next((entry for entry in lines if entry["request_id"] == "traced-by-me"), None)

    assert until(line, 15, "the request is not in the access log")["trace_id"] == TRACE


def test_a_span_does_not_tell_the_query(front: Front) -> None:
    asked = "/v2/models/fraud/infer?api_key=hush"
    assert ask(front.rig.running.port, asked, b"{}", traceparent=f"00-{QUIET}-00f067aa0ba902b7-01", host="shop.example").status == 200
    spans = until(lambda: [one for one in front.collector.spans if one.trace == QUIET and one.attributes.get("http.method")], 20, "no span")
    assert [one.attributes["http.url"] for one in spans] == ["http://shop.example/v2/models/fraud/infer"]
    assert "hush" not in repr(front.collector.spans)


def test_a_trace_that_its_beginner_did_not_sample_is_passed_on_and_not_exported(front: Front) -> None:
    trace = TRACE[::-1]
    answer = front.rig.infer(traceparent=f"00-{trace}-00f067aa0ba902b7-00")
    assert trace in answer.json["head"]
    front.rig.infer(traceparent=f"00-{'ab' * 16}-00f067aa0ba902b7-01")
    until(lambda: [span for span in front.collector.spans if span.trace == "ab" * 16], 20, "no span arrived")
    assert not [span for span in front.collector.spans if span.trace == trace]


def test_the_uuid_of_a_client_stays_as_it_is(front: Front) -> None:
    """Envoy likes to write into it whether a request is traced."""
    own = "00000000-0000-4000-8000-000000000000"
    answer = front.rig.infer(x_request_id=own)
    assert answer.headers["x-request-id"] == own
    assert f"x-request-id: {own}" in answer.json["head"]


def test_without_a_collector_requests_go_on_and_traces_are_passed_through(front: Front) -> None:
    front.change(tracing=Tracing(endpoint="http://127.0.0.1:9/v1/traces", percent=Decimal(100)))
    until(lambda: "9/v1/traces" in (front.rig.folder / "xds" / "lds.json").read_text(), 15, "the new collector is not in force")
    assert {front.rig.infer().status for _ in range(30)} == {200}
    front.change(tracing=None)
    until(lambda: "tracing" not in (front.rig.folder / "xds" / "lds.json").read_text(), 15, "tracing is still on")
    sent = f"00-{TRACE}-00f067aa0ba902b7-01"
    until(lambda: f"traceparent: {sent}" in front.rig.infer(traceparent=sent).json["head"], 15, "the trace is not passed through")


def test_pages_of_a_named_origin_may_call_and_others_not(front: Front) -> None:
    front.change(cors=(ORIGIN,))
    port = front.rig.running.port

    def preflight(origin: str) -> dict[str, str]:
        path = "/v2/models/fraud/infer"
        return dict(ask(port, path, method="OPTIONS", origin=origin, access_control_request_method="POST").headers)

    allowed = until(lambda: [one for one in [preflight(ORIGIN)] if "access-control-allow-origin" in one], 15, "the origin is not let in")[0]
    assert allowed["access-control-allow-origin"] == ORIGIN
    assert "POST" in allowed["access-control-allow-methods"]
    assert "x-api-key" in allowed["access-control-allow-headers"]
    assert "access-control-allow-origin" not in preflight("https://evil.example")
    assert front.rig.infer(origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in front.rig.infer(origin="https://app.example.com.evil.example").headers


def test_a_body_above_the_buffer_has_one_attempt_and_within_it_more(front: Front) -> None:
    front.change(buffer_limit=1, body_limit=4)
    until(lambda: _refused(front, 4 * MIB + 1), 15, "the limits are not in force")
    for target in ("eu-1", "eu-2"):
        front.rig.upstreams[target].mode(status=503)
    try:
        assert {front.rig.infer(body=b"0" * (MIB - 1)).status for _ in range(8)} == {200}
    finally:
        for target in ("eu-1", "eu-2"):
            front.rig.upstreams[target].mode(status=200)
    assert front.rig.infer(body=b"0" * 3 * MIB).json["bytes"] == 3 * MIB


def _refused(front: Front, length: int) -> bool:
    """Tell whether a body of this length is refused when it is announced."""
    with socket.create_connection(("127.0.0.1", front.rig.running.port), timeout=2) as connection:
        connection.sendall(f"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode())
        try:
            return connection.recv(1000).startswith(b"HTTP/1.1 413 ")
        except TimeoutError:
            return False


def test_the_client_is_whom_a_trusted_proxy_names(front: Front) -> None:
    """The proxy adds at the end whom it saw; what stands before it, somebody else wrote (and it may be made up)."""
    log = front.rig.folder / ACCESS_LOG

    def client(name: str) -> object:
        front.rig.infer(x_forwarded_for="192.0.2.66, 198.51.100.7", x_request_id=name)
        lines = until(lambda: [line for line in log.read_text().splitlines() if f'"{name}"' in line], 15, "not in the access log")
        return json.loads(lines[0])["client"]

    assert client("from-a-stranger") == "127.0.0.1"
    front.change(trusted_proxies=1)
    try:
        asked = itertools.count()
        until(lambda: client(f"from-a-proxy-{next(asked)}") == "198.51.100.7", 30, "the proxy is not believed")
    finally:
        front.change(trusted_proxies=0)


def test_a_limit_without_keys_is_for_all_clients_together(front: Front) -> None:
    front.wanted = Wanted({"fraud": Route(), "slow": Route(model="fraud", limit=Limit(requests=2, per=60.0))}, front.wanted.router)
    until(lambda: front.rig.infer("slow").status == 200, 15, "the new route is not in force")
    until(lambda: front.rig.infer("slow").status == 429, 15, "the limit is not in force")
    refused = front.rig.infer("slow")
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert front.rig.infer("fraud").status == 200


def test_keys_can_be_asked_for_and_no_more_while_it_serves(front: Front) -> None:
    front.change(keys=True)
    until(lambda: front.rig.infer().status == 401, 15, "nobody is asked for a key")
    assert (front.rig.folder / "xds" / "keys.json").stat().st_mode & 0o777 == 0o600
    front.change(keys=False)
    until(lambda: front.rig.infer().status == 200, 15, "a key is still asked for")
    assert not (front.rig.folder / "xds" / "keys.json").exists()
    assert {front.rig.infer().status for _ in range(20)} == {200}


def _written(front: Front, name: str, words: str) -> None:
    path = front.rig.folder / "xds" / f"{name}.json"
    until(lambda: words in path.read_text(), 15, f"no {words} in {path}")


def test_changes_of_the_listener_under_load_lose_no_request(front: Front) -> None:
    stop, statuses = threading.Event(), []

    def pester() -> None:
        while not stop.is_set():
            statuses.append(front.rig.infer().status)

    threads = [threading.Thread(target=pester) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        front.change(cors=(f"https://app-{number}.example.com",))
        _written(front, "rds", f"app-{number}")
        front.change(body_limit=8 + number)
        _written(front, "lds", str((8 + number) * MIB))
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert not [line for line in front.rig.told.lines if "did not take" in line]


def test_the_status_page_moves_to_another_port_and_stays_where_that_is_taken(front: Front) -> None:
    before = front.rig.running.control_port
    port = free_port()
    front.change(control_port=port)

    def moved() -> bool:
        found = read_running(front.rig.folder)
        return found is not None and found.control_port == port

    until(moved, 20, "it does not move")
    assert ask(port, "/healthz").status == 200
    until(lambda: not port_is_taken(before), 10, "the old port is still held")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        front.change(control_port=taken.getsockname()[1])
        until(lambda: any("cannot be listened on" in line for line in front.rig.told.lines), 20, "nothing is said")
        assert moved()
        assert ask(port, "/healthz").status == 200
        front.change(control_port=port)
