"""`mcml cost rightsize models` as a person types it: a model is served, measured, given what it needs and deployed again."""

import json
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcml.core import exits
from mcml.testing.cli import run
from tests.deploy.test_deploy import answer, listed, mcml, write_model
from tests.house.test_readme import processes_of

SETTINGS = """
name = "shop"
[targets.eu-1]
provider = "local"
region = "eu"
[models.fraud]
source = "models/fraud"
targets = ["eu-1"]
[cost.rightsizing]
window = "1h"
minimum = "1s"
"""
FOUR = '[models.fraud.resources.eu-1]\ncpu = "4"\n'
ONE = '[models.fraud.resources.eu-1]\ncpu = "1"'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mcml.toml").write_text(SETTINGS + FOUR)
    write_model(tmp_path, 1.0)
    yield tmp_path
    run(["deploy", "delete", "fraud", "--yes"], cwd=tmp_path)
    assert processes_of(tmp_path) == []


def advice(project: Path) -> dict[str, Any]:
    (item,) = json.loads(mcml(project, "cost rightsize models fraud -o json").out)["items"]
    return dict(item)


def test_what_does_not_run_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(SETTINGS + FOUR)
    (item,) = json.loads(run(["cost", "rightsize", "models", "-o", "json"], cwd=tmp_path).out)["items"]
    assert (item["name"], item["action"], item["reasons"]) == (
        "fraud@eu-1",
        "unknown",
        [{"code": "NotRunning", "said": "no version of it runs there"}],
    )
    piped = run(["cost", "rightsize", "models", "-q"], cwd=tmp_path)
    assert piped.out.splitlines()[0].split("\t")[:2] == ["fraud@eu-1", "unknown"]
    shown = run(["cost", "rightsize", "models", "fraud"], cwd=tmp_path, terminal=True)
    assert "fraud@eu-1: no version of it runs there" in shown.out
    wrong = run(["cost", "rightsize", "models", "fruad"], cwd=tmp_path)
    assert (wrong.code, "did you mean 'fraud'" in wrong.err) == (exits.NOT_FOUND, True)


def test_resources_of_a_target_that_is_not_the_models(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(SETTINGS + FOUR.replace("eu-1", "eu1"))
    wrong = run(["cost", "rightsize", "models"], cwd=tmp_path)
    assert wrong.code == exits.USAGE
    assert "models.fraud.resources names the target of this model 'eu1', which is not defined (did you mean 'eu-1'?)" in wrong.err


@pytest.mark.slow
def test_a_model_is_given_what_it_needs(project: Path) -> None:
    mcml(project, "infra apply --yes")
    mcml(project, "deploy model fraud")
    first = listed(project)["eu-1"]
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert answer(first) == 3.0
        time.sleep(0.01)
    item = advice(project)
    assert (item["action"], item["vcpus"], item["proposed_vcpus"], item["memory_gib"]) == ("shrink", "4", "1", None)
    assert 0 < float(item["used_vcpus"]) < 0.75
    assert 0.01 < float(item["highest_memory_gib"]) < 2
    assert (item["saving_per_month"], item["why_no_saving"]) == (None, "it is paid by what it uses, however much it is given")
    assert item["toml"] == ONE
    assert tomllib.loads(item["toml"])["models"]["fraud"]["resources"] == {"eu-1": item["resources"]}

    shown = run(["cost", "rightsize", "models"], cwd=project, terminal=True)
    assert shown.code == 0
    for part in ("shrink", "of 4 vCPU", ONE.splitlines()[0], 'cpu = "1"', "then: mcml deploy model fraud"):
        assert part in shown.out, part

    (project / "mcml.toml").write_text(SETTINGS + item["toml"])
    mcml(project, "deploy model fraud")
    second = listed(project)["eu-1"]
    assert (second["version"] != first["version"], second["digest"]) == (True, first["digest"])
    assert answer(second) == 3.0
    after = advice(project)
    assert (after["vcpus"], after["proposed_vcpus"], after["version"]) == ("1", None, second["version"])
    assert after["action"] in ("keep", "unknown"), "its first samples may not be there yet"
