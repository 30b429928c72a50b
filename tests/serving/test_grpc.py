"""`python -m mcml.serving --grpc-port`: the same model, words, counters and end as over HTTP, asked by a client of gRPC itself."""

import concurrent.futures
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import orjson
import pytest

from mcml.core.open_inference import HEALTH_SERVICE, INFER, SERVICE, message
from mcml.core.process import free_port
from mcml.serving.codec import DATATYPES
from tests.serving import models
from tests.serving.process import Server, serving

X = np.array([[1, 2, 3]], np.float32)
HEALTH = f"/{HEALTH_SERVICE}/Check"


class Client:
    """Calls to one server; a refused one is its status and words."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)])

    def call(self, method: str, *, metadata: Any = (), **fields: Any) -> Any:
        return self.send(f"/{SERVICE}/{method}", message(f"{method}Request")(**fields), f"{method}Response", metadata)

    def send(self, path: str, asked: Any, answer: str, metadata: Any = ()) -> Any:
        body = asked if isinstance(asked, bytes) else asked.SerializeToString()
        try:
            return message(answer).FromString(self.channel.unary_unary(path)(body, timeout=30, metadata=metadata))
        except grpc.RpcError as failed:
            return failed.code().name, failed.details()

    def infer(self, array: Any = X, *, metadata: Any = (), **more: Any) -> Any:
        tensor = {"name": "x", "datatype": "FP32", "shape": array.shape}
        fields = {"model_name": "double", "inputs": [tensor], "raw_input_contents": [array.tobytes()], **more}
        return self.call("ModelInfer", metadata=metadata, **fields)


@contextmanager
def started(folder: Path, scratch: Path, *options: str) -> Iterator[Client]:
    port = free_port()
    with serving(folder, scratch, "--grpc-port", str(port), *options) as server:
        server.wait_for("/v2/health/ready", 200)  # gRPC is there before HTTP answers
        client = Client(server, port)
        try:
            yield client
        finally:
            client.channel.close()


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    scratch = tmp_path_factory.mktemp("double")
    with started(models.double(scratch / "double"), scratch, "--max-body", "100000", "--access-log") as client:
        yield client


def test_the_address_is_said(double: Client) -> None:
    assert f" and grpc://127.0.0.1:{double.port}\n" in double.server.said


def test_raw_and_typed_are_answered_alike(double: Client) -> None:
    answer = double.infer(id="q")
    assert (answer.model_name, answer.model_version, answer.id) == ("double", "7", "q")
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2, 4, 6]
    typed = [{"name": "x", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32_contents": [1, 2, 3]}}]
    (tensor,) = double.infer(inputs=typed, raw_input_contents=[], model_version="7", outputs=[{"name": "y"}]).outputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("y", "FP32", [1, 3])
    assert list(tensor.contents.fp32_contents) == [2, 4, 6]


def test_what_is_said_of_the_server_and_the_model(double: Client) -> None:
    assert double.call("ServerLive").live is True
    assert double.call("ServerReady").ready is True
    assert double.call("ServerMetadata").name == "mcml"
    assert double.call("ModelReady", name="double", version="7").ready is True
    found = double.call("ModelMetadata", name="double")
    assert (found.name, list(found.versions), found.platform) == ("double", ["7"], "onnxruntime_onnx")
    assert [(one.name, one.datatype, list(one.shape)) for one in (*found.inputs, *found.outputs)] == [
        ("x", "FP32", [-1, 3]),
        ("y", "FP32", [-1, 3]),
    ]


def test_every_status_has_https_words(double: Client) -> None:
    """What is wrong with a request is said in the same sentence on both roads."""
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    assert double.infer(X[:, :2]) == ("INVALID_ARGUMENT", double.server.infer(document).error)
    other = double.server.ask("POST", "/v2/models/other/infer", b"{}").error
    assert double.infer(model_name="other") == ("NOT_FOUND", other)
    assert double.call("ModelReady", name="other") == ("NOT_FOUND", other)
    version = double.server.ask("POST", "/v2/models/double/versions/8/infer", b"{}").error
    assert double.infer(model_version="8") == ("NOT_FOUND", version)
    large = double.server.ask("POST", "/v2/models/double/infer", b"0" * 100_001).error
    assert double.infer(np.zeros((9000, 3), np.float32)) == ("RESOURCE_EXHAUSTED", large)
    broken = "body: expected a message of type inference.ModelInferRequest"
    assert double.send(INFER, b"\xff", "ModelInferResponse") == ("INVALID_ARGUMENT", broken)
    assert double.infer(np.zeros((300_000, 3), np.float32))[0] == "RESOURCE_EXHAUSTED"  # by gRPC itself
    assert double.send(f"/{SERVICE}/Nothing", b"", "ModelInferResponse")[0] == "UNIMPLEMENTED"


def test_a_routes_name_passes_only_when_the_router_says_so(double: Client) -> None:
    """Our router adds both; a client who says only one of them, or another model, is refused."""
    chosen = [("x-mcml-route", "public"), ("x-mcml-model", "double")]
    assert double.infer(model_name="public", metadata=chosen).model_name == "double"
    for wrong in (chosen[:1], chosen[1:], [chosen[0], ("x-mcml-model", "other")]):
        assert double.infer(model_name="public", metadata=wrong) == ("NOT_FOUND", "model: expected 'double', got 'public'")
    assert double.infer(model_name="else", metadata=chosen)[0] == "NOT_FOUND"
    assert double.call("ModelMetadata", name="public", metadata=chosen).name == "double"
    assert double.call("ModelReady", name="public")[0] == "NOT_FOUND"


def test_a_model_that_fails_is_internal(tmp_path: Path) -> None:
    with started(models.pick(tmp_path / "pick"), tmp_path) as client:
        tensor = {"name": "i", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [7]}}
        code, words = client.call("ModelInfer", model_name="pick", inputs=[tensor])
        assert (code, words) == ("INTERNAL", "the model failed on this input; the server's log has the reason")
        assert "the model failed on a valid request" in client.server.said


def test_every_datatype_passes_through_a_real_model(tmp_path: Path) -> None:
    with started(models.echo(tmp_path / "echo"), tmp_path) as client:
        inputs, raw = [], []
        for datatype in models.ONNX_TYPES:
            inputs.append({"name": f"in_{datatype}", "datatype": datatype, "shape": [1, 2]})
            text = b"\x02\0\0\0" + "é".encode() + b"\0\0\0\0"
            raw.append(text if datatype == "BYTES" else np.array([0, 1], DATATYPES[datatype].dtype).tobytes())
        answer = client.call("ModelInfer", model_name="echo", inputs=inputs, raw_input_contents=raw)
        assert not isinstance(answer, tuple), answer
        assert [tensor.name for tensor in answer.outputs] == [f"out_{datatype}" for datatype in models.ONNX_TYPES]
        assert list(answer.raw_output_contents) == raw


def test_calls_are_counted_logged_and_billed_like_requests(tmp_path: Path) -> None:
    usage = tmp_path / "usage.jsonl"
    options = ("--access-log", "--usage-file", str(usage), "--usage-interval", "0.1")
    with started(models.double(tmp_path / "double"), tmp_path, *options) as client:
        client.infer()
        client.server.ask("POST", "/v2/models/double/infer", b"{}")
        client.infer(model_name="other")
        client.call("ServerReady")
        client.send(HEALTH, b"", "grpc.health.v1.HealthCheckResponse")
        page = client.server.ask("GET", "/metrics").body.decode()
        assert 'requests_total{outcome="success"} 1\n' in page
        assert 'requests_total{outcome="client_error"} 2\n' in page
        assert "mcml_serving_requests_in_flight 0\n" in page
        client.server.child.send_signal(signal.SIGTERM)
        assert client.server.child.wait(30) == 0
        last = orjson.loads(usage.read_bytes().splitlines()[-1])
        assert (last["requests"], last["client_errors"], last["errors"]) == (3, 2, 0)
        lines = [orjson.loads(line) for line in client.server.said_on_stdout.splitlines()]
        assert [(line["path"], line["status"], line["client"]) for line in lines if "Service" in line["path"]] == [
            (INFER, 200, "127.0.0.1"),
            (INFER, 404, "127.0.0.1"),
        ]


def test_tokens_are_counted_in_both_forms_and_written_down(tmp_path: Path) -> None:
    usage = tmp_path / "usage.jsonl"
    folder = models.words(tmp_path / "words", {"input": {"mask": "attention_mask"}, "output": {"ids": "sequences"}})
    with started(folder, tmp_path, "--usage-file", str(usage), "--usage-interval", "0.1") as client:
        ids, mask = np.array([[5, 6, 7]]), np.array([[1, 1, 0]])
        tensors = [{"name": name, "datatype": "INT64", "shape": [1, 3]} for name in ("input_ids", "attention_mask")]
        raw = client.call("ModelInfer", model_name="words", inputs=tensors, raw_input_contents=[ids.tobytes(), mask.tobytes()])
        assert np.frombuffer(raw.raw_output_contents[0], np.int64).tolist() == [5, 6, 0]
        typed = [
            {**tensor, "contents": {"int64_contents": array.ravel().tolist()}} for tensor, array in zip(tensors, (ids, mask), strict=True)
        ]
        (length,) = client.call("ModelInfer", model_name="words", inputs=typed, outputs=[{"name": "length"}]).outputs
        assert (length.name, list(length.contents.fp32_contents)) == ("length", [2])
        page = client.server.ask("GET", "/metrics").body.decode()
        assert 'tokens_total{kind="input"} 4\n' in page
        assert 'tokens_total{kind="output"} 6\n' in page
        client.server.child.send_signal(signal.SIGTERM)
        assert client.server.child.wait(30) == 0
    last = orjson.loads(usage.read_bytes().splitlines()[-1])
    assert (last["requests"], last["input_tokens"], last["output_tokens"], last["final"]) == (2, 4, 6, True)


def test_health_is_that_of_readiness_and_watchers_are_told(tmp_path: Path) -> None:
    """While it drains it says so and answers on; then the port closes, and the process ends."""
    with started(models.double(tmp_path / "double"), tmp_path) as client:
        kind = message("grpc.health.v1.HealthCheckRequest")
        for service in ("", SERVICE):
            answer = client.send(HEALTH, kind(service=service), "grpc.health.v1.HealthCheckResponse")
            assert not isinstance(answer, tuple), answer
            assert answer.status == 1
        assert client.send(HEALTH, kind(service="other"), "grpc.health.v1.HealthCheckResponse")[0] == "NOT_FOUND"
        told: list[bytes] = []
        watching = client.channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(b"", timeout=30)
        told.append(next(watching))
        stop = threading.Event()
        answers: list[Any] = []

        def keep_asking() -> None:
            while not stop.is_set():
                answers.append((client.infer(), client.call("ServerReady")))
                time.sleep(0.02)

        asker = threading.Thread(target=keep_asking)
        asker.start()
        time.sleep(0.2)
        client.server.child.send_signal(signal.SIGTERM)
        told.append(next(watching))
        assert client.server.child.wait(30) == 0
        stop.set()
        asker.join()
        assert told == [b"\x08\x01", b"\x08\x02"]
        assert any(not isinstance(ready, tuple) and not ready.ready for _, ready in answers)
        refused = {answer[0] for answer, _ in answers if isinstance(answer, tuple)}
        assert refused <= {"UNAVAILABLE", "CANCELLED"}, "both are tried elsewhere by the router"
        first = next((number for number, (_, ready) in enumerate(answers) if not isinstance(ready, tuple) and not ready.ready), 0)
        assert not isinstance(answers[first][0], tuple), "a call was refused as soon as it drained"


def slow_request(rounds: int) -> Any:
    tensor = {"name": "n", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [rounds]}}
    return message("ModelInferRequest")(model_name="slow", inputs=[tensor])


def rounds(client: Client, number: int) -> Any:
    return client.send(INFER, slow_request(number), "ModelInferResponse")


def test_a_call_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    with started(models.slow(tmp_path / "slow"), tmp_path) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(rounds, client, 400)
        time.sleep(0.2)
        client.server.child.send_signal(signal.SIGTERM)
        assert not isinstance(running.result(30), tuple)
        assert client.server.child.wait(30) == 0


def test_one_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    options = ("--drain", "0.5")
    with started(models.slow(tmp_path / "slow"), tmp_path, *options) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        rounds(client, 100)  # now it knows that this model may be slow
        running = pool.submit(rounds, client, 1_000_000)
        time.sleep(0.3)
        began = time.monotonic()
        client.server.child.send_signal(signal.SIGTERM)
        assert client.server.child.wait(30) == 0
        assert time.monotonic() - began < 20
        assert running.result(10)[0] in ("UNAVAILABLE", "CANCELLED")
        assert "cut off 1 requests" in client.server.said


def test_a_client_that_hangs_up_is_its_own_error(tmp_path: Path) -> None:
    with started(models.slow(tmp_path / "slow"), tmp_path) as client:
        rounds(client, 100)  # now it knows that this model may be slow
        with pytest.raises(grpc.RpcError):
            client.channel.unary_unary(INFER)(slow_request(1000).SerializeToString(), timeout=0.2)
        end = time.monotonic() + 10
        while 'requests_total{outcome="client_error"} 1\n' not in client.server.ask("GET", "/metrics").body.decode():
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_taken_port_is_said_before_anything_else(tmp_path: Path, double: Client) -> None:
    argv = [sys.executable, "-m", "mcml.serving", "--model", str(models.double(tmp_path / "double")), "--port", "0"]
    done = subprocess.run([*argv, "--grpc-port", str(double.port)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{double.port}; another program listens there" in done.stderr


def test_nothing_of_grpc_is_imported_without_the_port(tmp_path: Path) -> None:
    with serving(models.double(tmp_path / "double"), tmp_path) as server:
        mapped = Path(f"/proc/{server.child.pid}/maps").read_text()
        assert "cygrpc" not in mapped
        assert "google/_upb" not in mapped
