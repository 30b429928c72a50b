"""The control port: what it answers, whom it answers, and that nothing can be changed there."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mcml.core.errors import Conflict, Unavailable
from mcml.route.ask import ask as ask_json
from mcml.route.records import DECISIONS_FILE
from mcml.route.show.board import Board
from mcml.route.show.control import Control, FrontStats, Pages, is_local
from mcml.route.show.metrics import METRICS
from tests.route.rig import Answer, Rig, ask, until
from tests.route.seen import NOW, backend, status

DECISION: dict[str, Any] = {"at": "2026-11-22T08:59:00.000000Z", "route": "fraud", "weights": {}, "previous": {}}
DECISION["reason"] = "<script>alert(1)</script> is out"
FRONT: FrontStats = {"vhost.all.route.fraud.upstream_rq_2xx": 5}, {}


class Served:
    """A control port over a board that a test fills."""

    def __init__(self, folder: Path, front: FrontStats | Exception = FRONT) -> None:
        self.board = Board()
        self.now = NOW
        self.front = front
        self.control = Control(0)
        self.control.start(Pages(self.board, folder, lambda: "http://127.0.0.1:8080", lambda: self.now, self._front, dict))

    def _front(self) -> FrontStats:
        if isinstance(self.front, Exception):
            raise self.front
        return self.front

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return ask(self.control.port, path, None, method, **headers)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A control port that was shown one status; one decision was made."""
    (tmp_path / DECISIONS_FILE).write_text("".join(json.dumps({**DECISION, "number": number}) + "\n" for number in range(20)))
    found = Served(tmp_path)
    with closing(found.control):
        found.board.show(status(backend("eu-1"), backend("us-1")), {})
        yield found


def test_the_status_is_that_of_the_command(served: Served) -> None:
    assert served.get("/status").json == status(backend("eu-1"), backend("us-1"))


def test_history_and_decisions(served: Served) -> None:
    for number in range(1, 5):
        served.board.show(status(backend("eu-1"), at=NOW + timedelta(seconds=3 * number)), {})
    assert len(served.get("/history").json["at"]) == 5
    assert len(served.get("/history?most=2").json["at"]) == 2
    assert served.get(f"/history?since={NOW.timestamp() + 9}").json["routes"]["fraud"]["fraud@eu-1"]["weight"] == [50]
    assert [one["number"] for one in served.get("/decisions?most=2").json] == [18, 19]
    assert served.get("/decisions?route=other").json == []
    assert served.get("/history?most=nonsense&since=").status == 200


def test_metrics_also_without_envoy(served: Served) -> None:
    answer = served.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'mcml_route_requests_total{route="fraud",code="2xx"} 5' in answer.body.decode()
    served.front = Unavailable("gone")
    names = {family.name for family in text_string_to_metric_families(served.get("/metrics").body.decode())}
    assert "mcml_route_weight" in names
    assert "mcml_route_requests" not in names


def test_health_is_that_of_the_control_loop(served: Served) -> None:
    assert served.get("/healthz").status == 200
    served.now = NOW + timedelta(seconds=6)
    assert (served.get("/healthz").status, served.get("/healthz").json) == (503, {"ok": False, "status_age_s": 6.0})
    served.board.told = {}
    assert served.get("/healthz").status == 503


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "[::2]:80", "", "["])
def test_a_name_that_is_not_of_this_machine_is_refused(served: Served, host: str) -> None:
    """DNS rebinding: a stranger's page whose name points here still sends its own name."""
    for path in ("/", "/status", "/metrics", "/nowhere"):
        assert served.get(path, host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:80"])
def test_names_of_this_machine(served: Served, host: str) -> None:
    assert served.get("/status", host=host).status == 200


def test_hosts() -> None:
    assert not is_local([])
    assert not is_local(["127.0.0.1", "127.0.0.1"])
    assert not is_local(["user@evil.example"])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    answer = served.get("/status", method=method, origin="https://evil.example")
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_a_browser_is_told(served: Served) -> None:
    answer = served.get("/", origin="https://evil.example")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert b"<script>alert" not in answer.body
    assert b"&lt;script&gt;alert(1)" in answer.body


def test_unknown_pages_and_heads(served: Served) -> None:
    assert served.get("/nowhere").status == 404
    assert served.get("/../serve.json").status == 404
    connection = http.client.HTTPConnection("127.0.0.1", served.control.port)
    with closing(connection):
        connection.request("HEAD", "/status")
        answer = connection.getresponse()
        assert answer.read() == b""
        assert int(answer.getheader("content-length", "0")) > 100


@pytest.mark.parametrize(
    "said", [b"\r\n\r\n", b"GET /\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"], ids=range(5)
)
def test_nonsense_is_refused_and_harms_nobody(served: Served, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.control.port), timeout=5) as raw:
        raw.sendall(said)
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(5)
        assert b" 200 " not in raw.recv(1000)
    assert served.get("/status").status == 200


def test_a_page_that_fails_is_said(served: Served) -> None:
    served.board.told = {"at": "never", "routes": []}
    answer = served.get("/")
    assert (answer.status, "cannot be made now" in answer.json["error"]) == (500, True)
    assert served.get("/?" + "&".join(f"a{number}=1" for number in range(50))).status == 500


def test_a_port_that_is_taken_is_a_conflict() -> None:
    with closing(Control(0)) as first, pytest.raises(Conflict, match=f"the control port {first.port} cannot be listened on") as refused:
        Control(first.port)
    assert "router.control_port" in refused.value.next_step


def test_of_a_running_router(shared: Rig) -> None:
    """The whole of it on a live Envoy: what clients were answered is what is counted."""
    before = _count(shared)
    for _ in range(7):
        assert shared.infer().status == 200
    until(lambda: _count(shared) >= before + 7, 10, "the requests were not counted")
    assert ask_json(shared.running, "/healthz")["ok"]
    told = ask_json(shared.running, "/status")
    assert {one["route"] for one in told["routes"]} == {"fraud", "public", "empty"}
    fields: dict[str, Any] = told["routes"][1]["backends"][0]
    assert (fields["breaker"], fields["active"], fields["ejected"]) == ("closed", 0, 0)
    assert shared.running.control_url.startswith("http://127.0.0.1:")
    page = ask(shared.running.control_port, "/").body.decode()
    assert shared.running.url in page
    assert all(target in page for target in ("eu-1", "eu-2", "us-1"))


def _count(rig: Rig) -> float:
    text = ask(rig.running.control_port, "/metrics").body.decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert {f"{name}_total" if one.type == "counter" else name for name, one in found.items()} <= {metric.name for metric in METRICS}
    requests = found.get("mcml_route_requests")
    return sum(one.value for one in requests.samples if one.labels == {"route": "fraud", "code": "2xx"}) if requests else 0.0
