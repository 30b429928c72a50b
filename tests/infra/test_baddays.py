"""Bad days of several units, as they are typed: one fails, nobody to ask, secrets, wrong roots, Ctrl-C, kill -9, no time left."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mcml.core.errors import Conflict
from tests.infra.rig import Project
from tests.infra.test_fleet import own
from tests.terraform.stub_provider import mirror

FINE = 'resource "terraform_data" "x" {}\n'
SECOND = """
resource "terraform_data" "y" {
  depends_on = [terraform_data.x]
  provisioner "local-exec" { command = "COMMAND" }
}
"""
HIDDEN = 'output "password" {\n  value     = sensitive("hunter2-hunter2")\n  sensitive = true\n}\n'


def begin(project: Project, *args: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "mcml.cli.main", "infra", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        argv, cwd=project.folder, env=dict(project.environ), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def mcml(project: Project, *args: str) -> tuple[int, str, str]:
    process = begin(project, *args)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def write(project: Project, **roots: str) -> None:
    tables = []
    for name, text in roots.items():
        folder = project.folder / "roots" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.tf").write_text(text)
        tables.append(f'[infra.units.{name}]\nmodule = "roots/{name}"')
    (project.folder / "mcml.toml").write_text("\n".join(['name = "acme"', *tables]) + "\n")


def wait_for(marks: Path, name: str) -> str:
    """A root that makes one thing, then waits as long as the file `go` is not there."""
    command = f"touch {marks}/{name}.begun; until [ -e {marks}/go ]; do sleep 0.05; done"
    return FINE + SECOND.replace("COMMAND", command)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def orphans(project: Project) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(project.folder / "roots")) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


@pytest.mark.slow
def test_one_of_three_fails_and_the_next_run_continues(project: Project) -> None:
    broken = FINE + SECOND.replace("COMMAND", "exit 3")
    write(project, a=broken, b=FINE, c=FINE)
    code, _, err = mcml(project, "apply", "--yes")
    assert code == 7, err
    assert "failed: a; applied: b, c" in err
    assert "half-done: terraform_data.y" in err
    assert "mcml infra apply    # continues" in err
    write(project, a=broken.replace("exit 3", "true"), b=FINE, c=FINE)
    assert mcml(project, "apply", "--yes")[0] == 0
    assert mcml(project, "plan", "--detailed-exitcode")[0] == 0


def test_several_units_and_nobody_to_ask(project: Project) -> None:
    write(project, a=FINE, b=FINE)
    code, _, err = mcml(project, "apply")
    assert code == 2
    assert "--yes" in err
    assert not list((project.folder / ".mcml").rglob("*.tfstate"))


@pytest.mark.slow
def test_a_sensitive_output_is_never_printed(project: Project) -> None:
    write(project, a=FINE + HIDDEN)
    for args in (("plan",), ("apply", "--yes"), ("output",), ("output", "-o", "json"), ("status", "-o", "json"), ("plan", "-o", "json")):
        code, out, err = mcml(project, *args)
        assert code == 0, err
        assert "hunter2" not in out + err


def test_a_wrong_root_names_its_place(project: Project) -> None:
    write(project, a=FINE + "resource nonsense {\n")
    code, _, err = mcml(project, "plan")
    assert code == 1
    assert "main.tf:2" in err


def test_a_terraform_of_the_wrong_version_is_named(project: Project) -> None:
    write(project, a=FINE + 'terraform {\n  required_version = ">= 99.0"\n}\n')
    code, _, err = mcml(project, "plan")
    assert code == 1
    assert "a wants another version of Terraform" in err
    assert "next:" in err


def test_a_provider_that_cannot_be_had_is_named(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project.environ = {**project.environ, **mirror.environment(tmp_path / "empty", tmp_path)}
    needs = 'terraform {\n  required_providers {\n    acme = { source = "example/acme" }\n  }\n}\n'
    write(project, a=FINE + needs, b=FINE)
    code, out, err = mcml(project, "plan")
    assert code == 7, "the other unit is planned all the same"
    assert "example/acme" in err
    assert "next:" in err
    assert "terraform_data.x" in out


def test_a_plan_that_is_older_than_the_state_is_refused(project: Project) -> None:
    units = [own(project, name, FINE) for name in "ab"]
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        with project.fleet(*units, filters=["a"]) as other:
            assert other.apply(other.plan()).failed == {}
        results = fleet.apply(plans)
    assert list(results.done) == ["b"]
    assert isinstance(results.failed["a"], Conflict)
    assert "older than the state" in results.failed["a"].message


@pytest.mark.slow
@pytest.mark.parametrize("end", ["ctrl-c", "kill", "timeout"])
def test_three_units_are_ended_before_their_time(project: Project, tmp_path: Path, end: str) -> None:
    write(project, **{name: wait_for(tmp_path, name) for name in "abc"})
    process = begin(project, "apply", "--yes", *(("--timeout", "20") if end == "timeout" else ()))
    try:
        until(lambda: len(list(tmp_path.glob("*.begun"))) == 3)
        if end != "timeout":
            process.send_signal(signal.SIGINT if end == "ctrl-c" else signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == {"ctrl-c": 130, "kill": -signal.SIGKILL, "timeout": 8}[end], err
    until(lambda: orphans(project) == [])
    if end != "kill":
        assert err.count("1 of 2 changes done; half-done: terraform_data.y; the state is saved") == 3
        assert "stopped: a, b, c" in err
    assert mcml(project, "status")[0] == 0
    (tmp_path / "go").touch()
    code, out, err = mcml(project, "apply", "--yes", "-o", "json")
    assert code == 0, err
    assert len(json.loads(out)["items"]) == 3
    assert mcml(project, "plan", "--detailed-exitcode")[0] == 0
