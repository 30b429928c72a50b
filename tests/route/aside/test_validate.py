"""Requests that do not fit are refused before they leave, on a route that asks for it; and nothing else is."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.errors import Unavailable
from mcml.core.schema_routes import Route
from mcml.route.aside.asking import Reply
from mcml.route.aside.validate import RETRY_ROUNDS, SOON_ROUNDS, SignatureSource, check, is_metadata
from mcml.route.config.aside import CHECK_BYTES
from tests.route.rig import BUSY, Answer, Rig, Upstream, ask, until
from tests.route.seen import helper_of

SIGNATURE: dict[str, Any] = {"name": "fraud", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}], "outputs": []}
WIDER: dict[str, Any] = {**SIGNATURE, "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}


def body(columns: int, **changes: object) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, columns], "data": [0.5] * columns, **changes}]}).encode()


def verdict(content: bytes, path: str = "/v2/models/fraud/infer", signatures: Any = None, **headers: str) -> str:
    models = {"fraud": ("fraud",), "split": ("fraud", "next")}
    known = {"fraud": (SIGNATURE,)} if signatures is None else signatures
    return check(path, {name.replace("_", "-"): value for name, value in headers.items()}, content, models, known)


def test_the_verdict() -> None:
    assert verdict(body(2)) == ""
    assert verdict(body(3)) == "inputs['x'].shape: expected [-1, 2] (-1: any size), got [1, 3]"
    assert verdict(body(3), "/v2/models/fraud/versions/1/infer?a=b") != ""
    assert verdict(body(3), "/v2/models/fr%61ud/infer") != ""


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v2/models/fraud", {}),
        ("/v2/models/fraud/ready", {}),
        ("/v2/models/other/infer", {}),
        ("/v2/repository/index", {}),
        ("/v2/models/fraud/infer", {"content_encoding": "gzip"}),
        ("/v2/models/fraud/infer", {"x_envoy_auth_partial_body": "true"}),
    ],
    ids=range(6),
)
def test_what_is_not_checked(path: str, headers: dict[str, str]) -> None:
    assert verdict(b"nonsense", path, **headers) == ""


def test_a_body_that_was_cut_is_not_checked() -> None:
    assert verdict(b"{" * CHECK_BYTES) == ""
    assert verdict(b"{" * (CHECK_BYTES - 1)) != ""


def test_binary_tensors() -> None:
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}]}).encode()
    assert verdict(head + b"\x00" * 8, inference_header_content_length=str(len(head))) == ""
    assert "expected a number of bytes" in verdict(head, inference_header_content_length="many")


def test_several_versions_and_models_take_what_any_of_them_takes() -> None:
    versions = {"fraud": (SIGNATURE, WIDER)}
    assert verdict(body(3), signatures=versions) == ""
    assert verdict(body(4), signatures=versions) != ""
    split = "/v2/models/split/infer"
    assert verdict(body(4), split, signatures={"fraud": (SIGNATURE,), "next": (WIDER,)}) != ""
    assert verdict(body(3), split, signatures={"fraud": (SIGNATURE,), "next": (WIDER,)}) == ""
    assert verdict(body(4), split) == "", "one model is not known: nothing is checked"


@pytest.mark.parametrize(
    "found",
    [None, [], {}, {"inputs": [], "outputs": [7]}, {"inputs": [{"name": "x", "datatype": "FP32", "shape": ["a"]}], "outputs": []},
     {"inputs": [{"name": "x", "datatype": "FP32", "shape": [True]}], "outputs": []}],
    ids=range(6),
)  # fmt: skip
def test_what_is_no_metadata(found: object) -> None:
    assert not is_metadata(found)


class Backends:
    """Backends that tell what a test says."""

    def __init__(self) -> None:
        self.running = [Backend("eu-1", "fraud", "h", 1, "local", "eu", "1"), Backend("us-1", "fraud", "h", 2, "local", "us", "1")]
        self.says: dict[str, object] = {"fraud@eu-1": SIGNATURE, "fraud@us-1": SIGNATURE}
        self.asked: list[str] = []
        self.source = SignatureSource(self.ask, lambda: self.running)

    def ask(self, backend: str, path: str, **_: float) -> Reply:
        self.asked.append(backend)
        assert path == "/v2/models/fraud"
        says = self.says[backend]
        if isinstance(says, int):
            return Reply(says, b"")
        if isinstance(says, Exception):
            raise says
        return Reply(200, json.dumps(says).encode())


def test_each_version_is_asked_once() -> None:
    backends = Backends()
    assert backends.source() == backends.source() == {"fraud": (SIGNATURE,)}
    assert backends.asked == ["fraud@eu-1", "fraud@us-1"]
    backends.running[1] = Backend("us-1", "fraud", "h", 3, "local", "us", "2")
    backends.says["fraud@us-1"] = WIDER
    assert backends.source() == {"fraud": (SIGNATURE, WIDER)}
    assert len(backends.asked) == 3
    del backends.running[1]
    assert backends.source() == {"fraud": (SIGNATURE,)}


@pytest.mark.parametrize(
    ("says", "rounds"), [(503, SOON_ROUNDS), (Unavailable("gone"), SOON_ROUNDS), (404, RETRY_ROUNDS)], ids=["503", "gone", "404"]
)
def test_a_backend_that_does_not_tell_is_asked_again_later(says: object, rounds: int) -> None:
    backends = Backends()
    backends.says["fraud@us-1"] = says
    for _ in range(rounds):
        assert backends.source() == {}, "half of the versions are not known: nothing is checked"
    assert backends.asked.count("fraud@us-1") == 1
    backends.says["fraud@us-1"] = SIGNATURE
    assert backends.source() == {"fraud": (SIGNATURE,)}


def test_a_managed_endpoint_is_not_asked() -> None:
    backends = Backends()
    backends.running = [Backend("aws", "fraud", "h", 1, "aws", "eu", "1", infer_path="/endpoints/fraud/invocations")]
    assert backends.source() == {}
    assert backends.asked == []


# --- on a live Envoy

@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A router whose route `fraud` checks, and whose route `plain` does not."""
    routes = {"fraud": Route(validate_requests=True), "plain": Route(model="fraud")}
    with Rig(tmp_path_factory.mktemp("checked") / "route", [Upstream("eu-1"), Upstream("us-1")], routes=routes) as running:
        until(lambda: running.infer(body=body(3)).status == 400, 20, "the signature was not learnt")
        yield running


def refused(answer: Answer) -> str:
    assert answer.status == 400, answer.body
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert "x-mcml-backend" not in answer.headers or not answer.headers["x-mcml-backend"]
    return str(answer.json["error"])


def test_a_misfit_gets_the_v2_error_object_and_no_backend(checked: Rig) -> None:
    assert checked.infer(body=body(2)).status == 200
    assert refused(checked.infer(body=body(3))) == "inputs['x'].shape: expected [-1, 2] (-1: any size), got [1, 3]"
    assert refused(checked.infer(body=body(2, datatype="FP64"))) == "inputs['x'].datatype: expected 'FP32', got \"FP64\""
    assert refused(checked.infer(body=b"{}")).startswith("inputs: expected an array")
    assert refused(checked.infer(body=body(2, data=["\"<b>\\"] * 2))).startswith("inputs['x'].data[0]: expected a number (FP32)")


def test_other_routes_and_calls_are_as_ever(checked: Rig) -> None:
    assert checked.infer("plain", body=body(3)).status == 200
    assert ask(checked.running.port, "/v2/models/fraud").status == 200
    assert ask(checked.running.port, "/v2/models/fraud/infer", body(2), content_encoding="gzip").status == 200


def test_a_body_that_is_too_long_to_be_held_back_is_let_through(checked: Rig) -> None:
    long = b'{"inputs": 7, "x": "' + b"x" * 2_000_000 + b'"}'
    answer = checked.infer(body=long)
    assert (answer.status, answer.json.get("bytes")) == (200, len(long)), answer.body[:500]


def test_a_body_in_chunks_is_checked_and_arrives_whole(checked: Rig) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", checked.running.port, timeout=20)
    for columns, status in ((2, 200), (3, 400)):
        whole = body(columns)
        connection.request("POST", "/v2/models/fraud/infer", iter([whole[:10], whole[10:]]), encode_chunked=True)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_without_the_helper_requests_go_on_unchecked(tmp_path: Path) -> None:
    routes = {"fraud": Route(validate_requests=True)}
    with Rig(tmp_path / "route", [Upstream("eu-1")], routes=routes) as rig:
        until(lambda: rig.infer(body=body(3)).status == 400, 20, "the signature was not learnt")
        helper_of(rig).close()
        began = time.monotonic()
        assert rig.infer(body=body(3)).status == 200
        assert time.monotonic() - began < BUSY * 2.0
