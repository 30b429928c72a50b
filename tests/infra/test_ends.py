"""How a run of the command line ends before its time: Ctrl-C, kill -9."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mcml.infra.states.state import read_state
from tests.infra.rig import Project, waiting

MCML = (sys.executable, "-m", "mcml.cli.main", "infra")


@pytest.fixture
def written(project: Project) -> Project:
    """The project with its mcml.toml."""
    tables = [f'[targets.{name}]\nprovider = "local"\nregion = "{region}"' for name, region in project.targets.items()]
    (project.folder / "mcml.toml").write_text("\n".join(['name = "acme"', *tables]))
    return project


def mcml(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*MCML, *args], cwd=project.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@contextmanager
def applying(project: Project, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start an apply that waits in the middle: `eu` is made, `us` is not."""
    with subprocess.Popen(
        [*MCML, "apply", "--yes"], cwd=project.folder, env=dict(environ), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            until(lambda: '"apply_complete"' in begun(project) and "us" in begun(project))
            yield process
        finally:
            process.kill()


def begun(project: Project) -> str:
    """What Terraform said so far."""
    return "".join(log.read_text() for log in project.folders.runs(project.unit).glob("*/apply.jsonl"))


def until(condition: object, seconds: float = 40) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def terraforms(project: Project) -> list[int]:
    """The processes that run in the project's working copy."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.folders.work(project.unit)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


@pytest.mark.slow
def test_ctrl_c_saves_the_state_and_says_how_to_go_on(written: Project, tmp_path: Path) -> None:
    environ = waiting(tmp_path / "slow", "us", tmp_path / "never")
    with applying(written, environ) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "error: applying dev was stopped" in said
    assert "1 of 2 changes done; half-done: us; the state is saved" in said
    assert "mcml infra apply" in said
    assert "Traceback" not in said
    assert terraforms(written) == []
    state = read_state(written.unit, written.folders)
    assert (state.made, state.lock) == ({"eu": True, "us": False}, None)
    again = mcml(written, "apply", "--yes", "-o", "json")
    assert again.returncode == 0, again.stderr
    assert [(item["action"], item["target"], item["reason"]) for item in json.loads(again.stdout)["items"]] == [
        ("replace", "us", "half-made by an earlier run")
    ]
    assert written.existing() == {"eu", "us"}


@pytest.mark.slow
def test_kill_9_of_mcml_leaves_a_state_that_a_second_run_completes(written: Project, tmp_path: Path) -> None:
    environ = waiting(tmp_path / "slow", "us", tmp_path / "never")
    with applying(written, environ) as process:
        assert terraforms(written)
        process.kill()
        process.communicate()
        until(lambda: terraforms(written) == [])
    assert '"summary":"execution halted"' in begun(written), "Terraform was asked to stop and could say so"
    status = mcml(written, "status", "-o", "json")
    assert {item["name"]: item["state"] for item in json.loads(status.stdout)["items"]}["us"] == "half-made"
    again = mcml(written, "apply", "--yes")
    assert again.returncode == 0, again.stderr
    assert {item["name"]: item["state"] for item in json.loads(mcml(written, "status", "-o", "json").stdout)["items"]} == {
        "eu": "applied",
        "us": "applied",
    }
    assert list(written.folders.runs(written.unit).iterdir()) == [], "the killed run was swept"
