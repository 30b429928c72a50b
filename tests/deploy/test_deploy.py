"""`mcml deploy` as a person types it, on local targets that a real Terraform made, with real model servers."""

import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from mcml.core import exits
from mcml.testing.cli import Result, run
from tests.house.test_readme import processes_of
from tests.serving import models

SETTINGS = """
name = "shop"
[targets.eu-1]
provider = "local"
region = "eu"
[targets.us-1]
provider = "local"
region = "us"
[models.fraud]
source = "models/fraud"
targets = ["eu-1", "us-1"]
team = "risk"
[providers.local]
ports_per_target = 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    write_model(tmp_path, 1.0)
    yield tmp_path
    run(["deploy", "delete", "fraud", "--yes"], cwd=tmp_path)
    assert processes_of(tmp_path) == []


def write_model(project: Path, factor: float) -> None:
    folder = project / "models" / "fraud"
    shutil.rmtree(folder, ignore_errors=True)
    x, y = (models.value(name, "FP32", [None, 1]) for name in ("x", "y"))
    models.package(folder, [x], [y], [helper.make_node("Mul", ["x", "factor"], ["y"])], {"factor": np.float32(factor)})


def mcml(project: Path, line: str, code: int = 0) -> Result:
    result = run(line.split(), cwd=project)
    assert result.code == code, f"{line}: {result.code}\n{result.out}\n{result.err}"
    return result


def listed(project: Path) -> dict[str, dict[str, Any]]:
    items = json.loads(mcml(project, "deploy list -o json").out)["items"]
    assert len(items) == len({item["target"] for item in items}), "one version a target"
    return {item["target"]: item for item in items}


def answer(item: dict[str, Any]) -> float:
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [3.0]}]}).encode()
    with urllib.request.urlopen(f"http://{item['address']}/v2/models/fraud/infer", body, timeout=10) as response:
        return float(json.load(response)["outputs"][0]["data"][0])


def test_a_target_that_is_not_applied_is_refused(project: Path) -> None:
    result = mcml(project, "deploy model fraud", exits.NOT_FOUND)
    assert "not applied: eu-1, us-1" in result.err
    assert "next: mcml infra apply" in result.err
    assert mcml(project, "deploy list").out == ""


@pytest.mark.slow
def test_the_life_of_a_deployment(project: Path) -> None:
    mcml(project, "infra apply --yes")
    planned = json.loads(mcml(project, "deploy model fraud --dry-run -o json").out)["items"]
    assert [(step["target"], step["action"]) for step in planned] == [("eu-1", "create"), ("us-1", "create")]
    assert [(step["size"], step["hourly_price"]) for step in planned] == [("1 vCPU", None)] * 2
    assert "no price of vcpu-hour in eu is known" in planned[0]["price_note"]
    mcml(project, "cost ingest --provider local")
    again = json.loads(mcml(project, "deploy model fraud --dry-run -o json").out)["items"]
    assert [(step["hourly_price"], step["currency"]) for step in again] == [("0.04", "USD")] * 2
    assert mcml(project, "deploy list").out == ""

    mcml(project, "deploy model fraud")
    first = listed(project)
    assert {target: (item["state"], item["weight"]) for target, item in first.items()} == {"eu-1": ("ready", 100), "us-1": ("ready", 100)}
    assert answer(first["eu-1"]) == answer(first["us-1"]) == 3.0
    fields = {"name", "model", "target", "version", "state", "weight", "address", "digest", "detail"}
    assert set(first["eu-1"]) == fields

    assert "nothing to change" in mcml(project, "deploy model fraud --dry-run").out
    os.kill(pid_of(project, first["eu-1"]), signal.SIGKILL)
    dead = listed(project)
    assert (dead["eu-1"]["state"], dead["us-1"]["state"]) == ("stopped", "ready") or dead["eu-1"]["state"] == "failed"
    mcml(project, "deploy model fraud")
    healed = listed(project)
    assert healed["eu-1"]["state"] == "ready"
    assert healed["us-1"]["address"] == first["us-1"]["address"], "what runs is left alone"

    write_model(project, 2.0)
    mcml(project, "deploy model fraud")
    second = listed(project)
    assert second["eu-1"]["version"] != first["eu-1"]["version"]
    assert answer(second["eu-1"]) == answer(second["us-1"]) == 6.0

    mcml(project, "deploy delete fraud --target eu-1 --yes")
    assert list(listed(project)) == ["us-1"]
    mcml(project, "deploy delete fraud --yes")
    assert processes_of(project) == []
    kinds = [row["kind"] for row in json.loads(mcml(project, "journal list --kind deploy. -o json").out)["items"]]
    assert kinds.count("deploy.finished") == 5
    assert kinds.count("deploy.deleted") == 2


def pid_of(project: Path, item: dict[str, Any]) -> int:
    import psutil

    port = item["address"].rpartition(":")[2]
    (pid,) = (
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if "mcml.serving" in (words := process.info["cmdline"] or []) and port in words and any(str(project) in word for word in words)
    )
    return int(pid)


@pytest.mark.slow
def test_one_target_that_fails_hides_no_other_and_opens_an_incident(project: Path) -> None:
    mcml(project, "infra apply --yes")
    ports = json.loads((project / ".mcml" / "local" / "targets" / "us-1" / "target.json").read_text())["ports"]
    with ExitStack() as strangers:
        for port in ports:
            taken = strangers.enter_context(socket.socket())
            taken.bind(("127.0.0.1", port))
            taken.listen()
        result = mcml(project, "deploy model fraud", exits.PARTLY_DONE)
        assert "fraud is deployed on eu-1, not on us-1" in result.err
        assert "next: mcml deploy model fraud" in result.err
        assert list(listed(project)) == ["eu-1"]
    (incident,) = json.loads(mcml(project, "incident list -o json").out)["items"]
    assert incident["target"] == "us-1"
    mcml(project, "deploy model fraud")
    assert sorted(listed(project)) == ["eu-1", "us-1"]


@pytest.mark.slow
def test_a_model_that_does_not_load_leaves_nothing(project: Path) -> None:
    mcml(project, "infra apply --yes")
    (project / "models" / "fraud" / "model.onnx").write_bytes(b"no network at all")
    result = mcml(project, "deploy model fraud", exits.PARTLY_DONE)
    assert "fraud is deployed on no target, not on eu-1, us-1" in result.err
    assert "model.onnx" in result.err
    assert mcml(project, "deploy list").out == ""
    assert processes_of(project) == []


def test_a_folder_without_a_model_is_refused_before_anything_starts(project: Path) -> None:
    (project / "models" / "fraud" / "model.onnx").unlink()
    result = mcml(project, "deploy model fraud", exits.NOT_FOUND)
    assert "is not a model package" in result.err
    assert "next: export the model to ONNX" in result.err


def test_wrong_names_get_the_nearest(project: Path) -> None:
    assert "did you mean 'fraud'?" in mcml(project, "deploy model fruad", exits.NOT_FOUND).err
    assert "did you mean 'eu-1'?" in mcml(project, "deploy model fraud --target eu1", exits.NOT_FOUND).err


def test_deleting_asks(project: Path) -> None:
    assert mcml(project, "deploy delete fraud").out.count("keep") == 2, "nothing runs: nothing to ask"
