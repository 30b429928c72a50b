"""What a client sees of a healthy router, through a real Envoy."""

import http.client
import re
import socket

import pytest

from mcml.core.schema_routes import Router
from tests.route.rig import Rig, ask

MIB = 1024 * 1024
EVERYBODY = {"fraud@eu-1", "fraud@eu-2", "fraud@us-1"}


def test_requests_flow_to_every_backend_and_answers_say_which(shared: Rig) -> None:
    answers = [shared.infer() for _ in range(60)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.backend for answer in answers} == EVERYBODY
    assert all(answer.json["served_by"] == answer.backend.partition("@")[2] for answer in answers)
    assert {answer.headers["x-mcml-attempts"] for answer in answers} == {"1"}


def test_metadata_and_readiness_of_a_model_pass_through(shared: Rig) -> None:
    for path in ("", "/ready", "/versions/1", "/versions/1/ready"):
        answer = ask(shared.running.port, f"/v2/models/fraud{path}")
        assert (answer.status, answer.json["path"]) == (200, f"/v2/models/fraud{path}")


def test_a_route_may_have_another_name_than_its_model(shared: Rig) -> None:
    assert shared.infer("public").json["path"] == "/v2/models/fraud/infer"
    assert ask(shared.running.port, "/v2/models/public").json["path"] == "/v2/models/fraud"


def test_the_server_paths_of_the_protocol(shared: Rig) -> None:
    port = shared.running.port
    assert ask(port, "/v2").json["name"] == "mcml"
    assert ask(port, "/v2/health/live").json == {"live": True}
    ready = ask(port, "/v2/health/ready")
    assert ready.status == 503  # the route `empty` has no backend
    assert ready.json["error"] == "a route has no backend that is up"


def test_a_route_without_a_backend_says_so(shared: Rig) -> None:
    answer = shared.infer("empty")
    assert (answer.status, answer.json["error"]) == (503, "no backend serves the model empty")


@pytest.mark.parametrize("path", ["/", "/v2/models/unknown/infer", "/v2/models/fraudulent/infer", "/metrics", "/v2/models"])
def test_a_path_that_no_route_serves(shared: Rig, path: str) -> None:
    answer = ask(shared.running.port, path, b"{}")
    assert answer.status == 404
    assert answer.json["error"] == (
        "no route serves this path; expected /v2/models/NAME/infer with NAME one of: empty, fraud, public"
    )
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"


def test_the_request_id_of_a_client_is_kept(shared: Rig) -> None:
    answer = shared.infer(x_request_id="my-own-id")
    assert answer.headers["x-request-id"] == "my-own-id"
    assert "x-request-id: my-own-id" in answer.json["head"]
    assert len(shared.infer().headers["x-request-id"]) == 36


@pytest.mark.parametrize("path", ["/v2/models/fraud%2Finfer", "/v2%5Cmodels/fraud/infer"])
def test_escaped_slashes_are_refused(shared: Rig, path: str) -> None:
    answer = ask(shared.running.port, path, b"{}")
    assert answer.status == 400
    assert answer.json["error"] == "the request is not valid HTTP, or its path or headers are not safe"


@pytest.mark.parametrize("path", ["/v2/models/../models/fraud/infer", "//v2///models/fraud/infer", "/x/../v2/models/fraud/infer"])
def test_paths_are_normalised_before_they_are_matched(shared: Rig, path: str) -> None:
    assert ask(shared.running.port, path, b"{}").json["path"] == "/v2/models/fraud/infer"


def test_a_client_cannot_set_its_own_time_out_or_retries(shared: Rig) -> None:
    """Envoy would take these headers from a client that it thinks internal."""
    answer = shared.infer(x_envoy_upstream_rq_timeout_ms="1", x_envoy_max_retries="0", x_envoy_original_path="/admin")
    assert answer.status == 200
    head = answer.json["head"]
    assert "x-envoy-max-retries" not in head
    assert "/admin" not in head
    (milliseconds,) = re.findall(r"x-envoy-expected-rq-timeout-ms: (\d+)", head)
    assert 250 <= int(milliseconds) <= 15_000, "what an attempt may take by our own measure"


def test_too_large_headers_are_refused(shared: Rig) -> None:
    answer = shared.infer(x_padding="a" * 70_000)
    assert (answer.status, answer.json["error"]) == (431, "the request headers are too large")


def test_header_names_with_underscores_are_refused(shared: Rig) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.running.port)
    connection.request("GET", "/v2", headers={"x_request_id": "smuggled"})
    assert connection.getresponse().status == 400
    connection.close()


def test_two_lengths_are_refused(shared: Rig) -> None:
    """Request smuggling: a body whose length two servers could read differently."""
    head = b"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.running.port)) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_body_above_the_buffer_passes_and_one_above_the_limit_is_refused(shared: Rig) -> None:
    assert shared.infer(body=b"0" * (9 * MIB)).json["bytes"] == 9 * MIB
    most = Router().body_limit * MIB
    head = f"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {most + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.running.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"0" * 1000)
        said = connection.recv(10_000)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"the request body is larger than 32 MiB" in said


def test_a_hundred_idle_connections_hurt_nobody(shared: Rig) -> None:
    idle = [socket.create_connection(("127.0.0.1", shared.running.port)) for _ in range(100)]
    try:
        assert shared.infer().status == 200
    finally:
        for connection in idle:
            connection.close()


def test_the_access_log_is_json(shared: Rig) -> None:
    import json

    from tests.route.rig import until

    shared.infer(x_request_id="look-for-me")

    def logged() -> dict[str, object] | None:
        lines = (shared.folder / "access.log").read_text().splitlines()
        return next((entry for entry in map(json.loads, lines) if entry["request_id"] == "look-for-me"), None)

    entry = until(logged, 15, "the request is not in the access log")
    assert entry["path"] == "/v2/models/fraud/infer"
    assert entry["status"] == 200
    assert entry["attempts"] == 1
    assert entry["backend"] in EVERYBODY
