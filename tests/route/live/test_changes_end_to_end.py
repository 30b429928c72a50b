"""A person drains, pins and splits a deployed route: in force in a moment, shown, journaled, and over by itself."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcml.core.process import free_port
from mcml.testing.cli import Result, run
from tests.house.test_readme import processes_of
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
[models.twice]
source = "models/twice"
targets = ["us-1"]
[routes.double]
[router]
port = {port}
"""
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mcml.toml").write_text(TOML.format(port=free_port()))
    for name in ("double", "twice"):
        models.double(tmp_path / "models" / name)
    yield tmp_path
    run(["route", "stop"], cwd=tmp_path)
    for name in ("double", "twice"):
        run(["deploy", "delete", name, "--yes"], cwd=tmp_path)
    assert processes_of(tmp_path) == []


def mcml(project: Path, line: str) -> Result:
    result = run(line.split(), cwd=project, env={"MCML_ACTOR": "ann"})
    assert result.code == 0, f"{line}: {result.code}\n{result.out}\n{result.err}"
    return result


def served(project: Path) -> Counter[str]:
    port = int((project / "mcml.toml").read_text().split("port = ")[1])
    answers = [ask(port, "/v2/models/double/infer", BODY) for _ in range(60)]
    assert {answer.status for answer in answers} == {200}
    assert all(answer.json["outputs"][0]["data"] == [2, 4, 6] for answer in answers)
    return Counter(answer.backend for answer in answers)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("terraform") is None, reason="needs terraform")
def test_a_person_changes_a_route_that_serves(project: Path) -> None:
    for line in ("infra apply --yes", "deploy model double --yes", "deploy model twice --yes"):
        mcml(project, line)
    (project / "mcml.toml").write_text(TOML.format(port=free_port()))  # the one of before may be somebody's by now
    mcml(project, "route serve --detach")
    until(lambda: set(served(project)) == {"double@eu-1", "double@us-1"}, 20, "not both serve")
    assert "this would leave" not in mcml(project, "route drain eu-1 --for 1h --reason maintenance").err
    until(lambda: set(served(project)) == {"double@us-1"}, 10, "not drained")
    refused = run(["route", "drain", "us-1"], cwd=project)
    assert (refused.code, "without a backend" in refused.err) == (1, True)
    until(lambda: "eu-1: drained by ann" in mcml(project, "route status").out, 10, "the status does not say it")
    explained = mcml(project, "route explain double").out
    assert "eu-1 was drained by ann: maintenance" in explained
    mcml(project, "route undrain eu-1")
    mcml(project, "route pin double eu-1 --for 5s")
    until(lambda: set(served(project)) == {"double@eu-1"}, 10, "not pinned")
    until(lambda: set(served(project)) == {"double@eu-1", "double@us-1"}, 20, "the pin does not end")
    mcml(project, "route split double double=50 twice=50")
    until(lambda: served(project)["twice@us-1"] >= 10, 15, "the other model gets nothing")
    kinds = [entry["kind"] for entry in json.loads(mcml(project, "journal list --kind route. -o json").out)["items"]]
    changes = [kind for kind in kinds if kind not in ("route.started", "route.weights")]
    assert changes == ["route.drained", "route.undrained", "route.pinned", "route.unpinned", "route.split_changed"]
    mcml(project, "route split double --reset")
    until(lambda: "twice@us-1" not in served(project), 15, "it still does")
    print(explained)
