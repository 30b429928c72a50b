"""gRPC as a person sets it up: a line in mcml.toml, deploy, serve, and a client that asks over gRPC."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcml.core import exits
from mcml.core.process import free_port
from mcml.route.records import read_engine, read_running, read_status
from mcml.testing.cli import Result, run
from tests.house.test_readme import processes_of
from tests.route.grpc_rig import Call, Client
from tests.route.rig import ask, until
from tests.serving import models

TOML = """
name = "shop"
[targets.eu-1]
provider = "local"
region = "eu"
[targets.us-1]
provider = "local"
region = "us"
[models.double]
source = "models/double"
targets = ["eu-1", "us-1"]
[routes.public]
model = "double"
protocol = "both"
[router]
port = {port}
"""
X = np.array([[1, 2, 3]], np.float32)


pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("terraform") is None, reason="needs terraform")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose model is deployed and routed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "mcml.toml").write_text(TOML.format(port=free_port()))
    models.double(folder / "models" / "double")
    try:
        for line in ("infra apply --yes", "deploy model double --yes", "route serve --detach"):
            mcml(folder, line)
        yield folder
    finally:
        run(["route", "stop"], cwd=folder)
        run(["deploy", "delete", "double", "--yes"], cwd=folder)
    assert processes_of(folder) == []


@pytest.fixture
def client(project: Path) -> Iterator[Client]:
    with Client(port_of(project)) as found:
        until(lambda: infer(found, "public").code == "OK", 20, "no call is answered")
        yield found


def mcml(project: Path, line: str) -> Result:
    result = run(line.split(), cwd=project)
    assert result.code == 0, f"{line}: {result.code}\n{result.out}\n{result.err}"
    return result


def port_of(project: Path) -> int:
    return int((project / "mcml.toml").read_text().split("port = ")[1])


def infer(client: Client, name: str) -> Call:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
    return client.call("ModelInfer", model_name=name, inputs=[tensor], raw_input_contents=[X.tobytes()], id="q")


def test_the_routes_name_and_the_models_name_will_both_do(client: Client) -> None:
    for name in ("public", "double"):
        answer = infer(client, name)
        assert np.frombuffer(answer.message.raw_output_contents[0], np.float32).tolist() == [2, 4, 6]
        assert (answer.message.model_name, answer.message.id) == ("double", "q")
        assert answer.metadata["x-mcml-backend"] in ("double@eu-1", "double@us-1")
        assert client.call("ModelMetadata", name=name).message.name == "double"
    wrong = infer(client, "else")
    assert (wrong.code, wrong.words) == ("NOT_FOUND", "model: expected 'double', got 'else'")


def test_http_is_served_beside_it(project: Path, client: Client) -> None:
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}'
    assert ask(port_of(project), "/v2/models/public/infer", body).json["outputs"][0]["data"] == [2, 4, 6]


def test_a_drill_over_grpc_loses_no_call_and_is_a_gate(project: Path, client: Client) -> None:
    for target in ("eu-1", "us-1"):
        until(lambda target=target: state_of(project, target) == "up", 20, f"{target} is not up")  # type: ignore[misc]
    drill = "route drill public --protocol grpc --requests 400 --concurrency 4 --yes -o json"
    drilled = run([*drill.split(), "--target", "eu-1", "--mode", "stop", "--max-errors", "0", "--max-eject", "0.001"], cwd=project)
    (found,) = json.loads(drilled.out)["items"]
    assert (found["protocol"], found["failed"], found["errors"]) == ("grpc", 0, {})
    assert found["seconds_to_zero"] < 10
    assert found["seconds_to_recover"] is not None
    assert sum(found["served"].values()) >= 400
    assert (drilled.code, found["passed"]) == (exits.FAILED, False), "nothing is out within a millisecond"
    assert [words.endswith("until its weight was 0, 0.001 s allowed") for words in found["broken"]] == [True]
    unknown = run([*drill.split(), "--target", "us-1", "--mode", "429"], cwd=project)
    assert (unknown.code, "gRPC has no 429" in unknown.err) == (exits.USAGE, True)
    planned = mcml(project, "route drill public --protocol grpc --load-only --dry-run")
    assert "400" not in planned.out
    assert "gRPC calls" in planned.out


def test_a_drill_speaks_what_the_route_speaks(project: Path, client: Client) -> None:
    toml = project / "mcml.toml"
    toml.write_text(toml.read_text().replace('protocol = "both"', 'protocol = "http"'))
    try:
        refused = run(["route", "drill", "public", "--protocol", "grpc", "--load-only"], cwd=project)
    finally:
        toml.write_text(toml.read_text().replace('protocol = "http"', 'protocol = "both"'))
    assert (refused.code, "it speaks http" in refused.err) == (exits.USAGE, True)


def state_of(project: Path, target: str) -> str:
    routes = read_status(project / ".mcml" / "route")["routes"]
    return next((str(one["state"]) for route in routes for one in route["backends"] if one["target"] == target), "")


def test_calls_outlive_a_killed_router_and_the_next_takes_over(project: Path, client: Client) -> None:
    folder = project / ".mcml" / "route"
    running, envoy = read_running(folder), read_engine(folder)
    assert running is not None
    codes: list[str] = []
    stop = threading.Event()

    def drive() -> None:
        while not stop.is_set():
            call = infer(client, "public")
            codes.append(call.code + call.words)
            time.sleep(0.01)

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        os.kill(running.process.pid, signal.SIGKILL)
        time.sleep(0.5)
        mcml(project, "route serve --detach")
        time.sleep(2.0)
    finally:
        stop.set()
        driver.join()
    assert [code for code in codes if code != "OK"] == []
    assert read_engine(folder) == envoy
