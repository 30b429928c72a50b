"""Paths, headers and statuses, asked of the application itself."""

import asyncio
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.serving import app as app_module
from tests.serving import models
from tests.serving.asgi import Client
from tests.serving.test_codec import DOCUMENTS, JSON_VALUES

ROW = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, -3]}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="session")
def clients(folder: Path) -> Callable[[str], Client]:
    made: dict[str, Client] = {}

    def client(name: str) -> Client:
        if name not in made:
            made[name] = Client(getattr(models, name)(folder / name))
        return made[name]

    return client


@pytest.fixture
def double(clients: Callable[[str], Client]) -> Client:
    return clients("double")


def body(**more: object) -> bytes:
    return json.dumps({"inputs": [ROW], **more}).encode()


def counts(client: Client) -> tuple[int, int, int]:
    return client.metrics.successes, client.metrics.client_errors, client.metrics.server_errors


@pytest.mark.parametrize("path", ["/v2/models/double/infer", "/v2/models/double/versions/7/infer", "/invocations"])
def test_inference(double: Client, path: str) -> None:
    reply = double.ask("POST", path, body(id="q1"))
    assert reply.status == 200
    assert reply.json == {
        "model_name": "double",
        "model_version": "7",
        "id": "q1",
        "outputs": [{"name": "y", "shape": [1, 3], "datatype": "FP32", "data": [2.0, 5.0, -6.0]}],
    }
    assert reply.headers["x-mcml-model"] == "double"
    assert reply.headers["x-mcml-version"] == "7"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))


def test_every_datatype_comes_back_as_it_went(clients: Callable[[str], Client]) -> None:
    values: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["ä", ""], "FP16": [0.5, -2], "FP32": [1.5, 3], "FP64": [1e300, 0.1]}
    inputs = [
        {"name": f"in_{datatype}", "shape": [1, 2], "datatype": datatype, "data": values.get(datatype, [1, 100])}
        for datatype in models.ONNX_TYPES
    ]
    reply = clients("echo").infer({"inputs": inputs, "outputs": [{"name": "out_BYTES"}, {"name": "out_UINT64"}]})
    assert [(out["datatype"], out["data"]) for out in reply.json["outputs"]] == [("BYTES", ["ä", ""]), ("UINT64", [1, 100])]
    reply = clients("echo").infer({"inputs": inputs})
    assert [out["data"] for out in reply.json["outputs"]] == [tensor["data"] for tensor in inputs]


@pytest.mark.parametrize("name", ["double", "total", "echo", "zipmap"])
def test_metadata_and_readiness(clients: Callable[[str], Client], name: str) -> None:
    client = clients(name)
    version = client.model.version
    for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
        assert client.ask("GET", base).json == client.model.metadata()
        assert client.ask("GET", f"{base}/ready").json == {"name": name, "ready": True}


def test_health_and_the_server_itself(double: Client) -> None:
    assert double.ask("GET", "/v2/health/live").json == {"live": True}
    assert double.ask("GET", "/v2/health/ready").json == {"ready": True}
    assert double.ask("GET", "/ping").status == 200
    assert double.ask("HEAD", "/ping").status == 200
    about = double.ask("GET", "/v2").json
    assert about["name"] == "mcml"
    assert about["extensions"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/v2/models/other/infer", 404, "model: expected 'double', got 'other'"),
        ("GET", "/v2/models/doubles", 404, "model: expected 'double', got 'doubles'"),
        ("POST", "/v2/models/double/versions/8/infer", 404, "version: expected '7' of model 'double', got '8'"),
        ("GET", "/v2/models/double/versions/70", 404, "version: expected '7' of model 'double', got '70'"),
        ("GET", "/v2/models/double/versions/", 404, "version: expected '7' of model 'double', got ''"),
        ("GET", "/", 404, "path: expected for example POST /v2/models/double/infer"),
        ("POST", "/predict", 404, "path: expected for example POST /v2/models/double/infer"),
        ("POST", "/v2/models/double", 405, "method: expected GET, HEAD for /v2/models/double, got POST"),
        ("GET", "/v2/models/double/infer", 405, "method: expected POST for /v2/models/double/infer, got GET"),
        ("PUT", "/invocations", 405, "method: expected POST for /invocations, got PUT"),
        ("DELETE", "/metrics", 405, "method: expected GET, HEAD for /metrics, got DELETE"),
        ("GET", "/" + "x" * 100_000, 404, "path: expected for example"),
    ],
)
def test_a_wrong_address_is_told_what_was_expected(double: Client, method: str, path: str, status: int, text: str) -> None:
    before = counts(double)
    reply = double.ask(method, path, body())
    assert reply.status == status
    assert reply.error.startswith(text)
    assert len(reply.error) < 300
    assert ("allow" in reply.headers) == (status == 405)
    assert counts(double) == (before[0], before[1] + 1, before[2])


def test_a_body_too_large_is_refused_by_its_declared_length_and_by_its_bytes(double: Client) -> None:
    expected = "body: expected at most 100000 bytes (the server's --max-body)"
    declared = double.ask("POST", "/invocations", b"", {"content-length": "100001"})
    assert (declared.status, declared.error) == (413, expected)
    at_once = double.ask("POST", "/invocations", b" " * 100_001)
    assert (at_once.status, at_once.error) == (413, expected)
    in_parts = double.ask("POST", "/invocations", b" " * 300_000, chunk=999)
    assert (in_parts.status, in_parts.error) == (413, expected)
    assert double.ask("POST", "/invocations", body() + b" " * 90_000, chunk=500).status == 200


def test_headers_that_change_what_the_body_is(double: Client) -> None:
    binary = double.ask("POST", "/invocations", body(), {"Inference-Header-Content-Length": "12"})
    assert binary.status == 400
    assert binary.error.startswith("Inference-Header-Content-Length: binary tensor data is not supported")
    packed = double.ask("POST", "/invocations", body(), {"Content-Encoding": "gzip"})
    assert packed.status == 415
    assert packed.error.startswith("Content-Encoding: expected none")
    for kind in ("application/json", "text/plain", "application/octet-stream", "nonsense"):
        assert double.ask("POST", "/invocations", body(), {"Content-Type": kind}).status == 200


def test_a_client_that_hangs_up_is_counted_and_gets_no_answer(double: Client) -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[object] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: object) -> None:
        sent.append(message)

    before = counts(double)
    asyncio.run(double.app({"type": "http", "method": "POST", "path": "/invocations", "headers": []}, receive, send))
    assert sent == []
    assert counts(double) == (before[0], before[1] + 1, before[2])
    assert double.metrics.in_flight == 0


def test_a_client_that_falls_silent_is_told_so(double: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "BODY_SECONDS", 0.05)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(double.app({"type": "http", "method": "POST", "path": "/invocations", "headers": []}, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"]) == {"error": "body: expected all of it within 0.05 seconds"}


def test_a_failure_inside_the_model_is_a_500_that_tells_nothing_of_the_inside(
    clients: Callable[[str], Client], caplog: pytest.LogCaptureFixture
) -> None:
    client = clients("pick")
    tensor = {"name": "i", "shape": [1], "datatype": "INT64", "data": [99]}
    before = counts(client)
    with caplog.at_level(logging.ERROR):
        reply = client.infer({"id": "1", "inputs": [tensor]})
    assert reply.status == 500
    assert reply.error == "the model failed on this input; the server's log has the reason"
    assert "idx=99" in caplog.text
    assert counts(client) == (before[0], before[1], before[2] + 1)
    assert client.infer({"inputs": [tensor | {"data": [2]}]}).json["outputs"][0]["data"] == [30]


def test_an_input_without_a_declared_shape_takes_any(clients: Callable[[str], Client]) -> None:
    client = clients("reciprocal")
    assert client.model.metadata()["inputs"] == [{"name": "x", "datatype": "FP32", "shape": []}]
    tensor = {"name": "x", "datatype": "FP32"}
    assert client.infer({"inputs": [tensor | {"shape": [], "data": [4]}]}).json["outputs"][0]["data"] == [0.25]
    assert client.infer({"inputs": [tensor | {"shape": [1, 1, 2], "data": [2, 0]}]}).json["outputs"][0]["data"] == [0.5, None]
    refused = client.infer({"inputs": [tensor | {"shape": [1] * 33, "data": [2]}]})
    assert (refused.status, refused.error) == (400, "inputs['x'].shape: expected at most 32 dimensions, got 33")


@pytest.mark.parametrize("inline_seconds", [-1.0, math.inf])
def test_beside_the_event_loop_and_on_it_the_answer_is_the_same(
    double: Client, monkeypatch: pytest.MonkeyPatch, inline_seconds: float
) -> None:
    monkeypatch.setattr(app_module, "INLINE_SECONDS", inline_seconds)
    assert double.ask("POST", "/invocations", body()).json["outputs"][0]["data"] == [2.0, 5.0, -6.0]
    assert double.ask("POST", "/invocations", b"{}").error.startswith("inputs: expected an array")
    large = double.infer({"inputs": [ROW | {"shape": [4000, 3], "data": [0.25] * 12_000}]})
    assert large.json["outputs"][0]["data"] == [0.5] * 12_000


def test_draining_turns_readiness_false_and_goes_on_answering(clients: Callable[[str], Client]) -> None:
    client = clients("double")
    client.app.draining = True
    try:
        for path in ("/v2/health/ready", "/ping", "/v2/models/double/ready"):
            assert client.ask("GET", path).status == 503
        assert client.ask("GET", "/v2/health/live").status == 200
        reply = client.ask("POST", "/invocations", body())
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
    finally:
        client.app.draining = False
    assert "connection" not in client.ask("POST", "/invocations", body()).headers


def test_a_name_that_is_no_header_text_is_quoted_there_and_found_in_the_path(folder: Path) -> None:
    client = Client(models.reciprocal(folder / "größe 1"))
    reply = client.ask("GET", "/v2/models/größe 1")
    assert reply.json["name"] == "größe 1"
    assert reply.headers["x-mcml-model"] == "gr%C3%B6%C3%9Fe 1"


@settings(deadline=None)
@given(DOCUMENTS | JSON_VALUES | st.binary(max_size=60))
def test_no_body_makes_a_5xx(clients: Callable[[str], Client], document: Any) -> None:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    reply = clients("total").ask("POST", "/v2/models/total/infer", raw, chunk=50)
    assert reply.status in (200, 400)
    if reply.status == 400:
        assert reply.error


@settings(deadline=None)
@given(st.data())
def test_valid_tensors_come_back_with_the_right_sum(clients: Callable[[str], Client], data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 5))
    a = data.draw(st.lists(st.integers(-1000, 1000), min_size=2 * rows, max_size=2 * rows))
    b = data.draw(st.lists(st.integers(-1000, 1000), min_size=2 * rows, max_size=2 * rows))
    tensors = [
        {"name": "a", "shape": [rows, 2], "datatype": "INT64", "data": a},
        {"name": "b", "shape": [rows, 2], "datatype": "FP32", "data": b},
    ]
    reply = clients("total").infer({"inputs": tensors, "outputs": [{"name": "sum"}]})
    sums = [x + y for x, y in zip(a, b, strict=True)]
    assert reply.json["outputs"] == [{"name": "sum", "shape": [rows, 2], "datatype": "FP32", "data": sums}]
