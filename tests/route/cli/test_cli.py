"""`mcml route` as a person types it: a detached router is found again, taken over, stopped, and leaves nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcml.core.process import free_port, is_alive
from mcml.route.records import read_engine, read_running
from mcml.testing.cli import Result, run
from tests.route.rig import ask, until

TOML = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu"
[models.fraud]
source = "models/fraud"
targets = ["eu-1"]
[routes.fraud]
[router]
port = {port}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project with one route and nothing deployed; no router is left behind."""
    (tmp_path / "mcml.toml").write_text(TOML.format(port=free_port()))
    yield tmp_path
    run(["route", "stop"], cwd=tmp_path)
    assert read_engine(folder(tmp_path)) is None


def folder(project: Path) -> Path:
    return project / ".mcml" / "route"


def items(result: Result) -> list[dict[str, object]]:
    assert result.code == 0, result.err
    return list(json.loads(result.out)["items"])


def test_before_anything_runs(project: Path) -> None:
    for arguments in (["stop"], ["status"]):
        result = run(["route", *arguments], cwd=project)
        assert result.code == 5, result.err
        assert "mcml route serve" in result.err
    unknown = run(["route", "explain", "frud"], cwd=project)
    assert (unknown.code, "did you mean 'fraud'?" in unknown.err) == (5, True)
    neither = run(["route", "drill", "fraud"], cwd=project)
    assert (neither.code, "either --kill TARGET, or --target with --mode, or --load-only" in neither.err) == (2, True)
    half = run(["route", "drill", "fraud", "--load-only", "--cert", "client.pem"], cwd=project)
    assert (half.code, "--cert and --key go together" in half.err) == (2, True)


def test_mcml_toml_is_read_again_while_the_router_runs_and_a_broken_one_is_not_taken(project: Path) -> None:
    config = project / "mcml.toml"
    served = items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))[0]
    port = int(str(served["url"]).rsplit(":", 1)[1])
    good = config.read_text()

    def said(path: str) -> str:
        return str(ask(port, path).json["error"])

    config.write_text(good.replace("[router]", '[routes.public]\nmodel = "fraud"\n[router]'))
    until(lambda: "no backend serves" in said("/v2/models/public/infer"), 10, "the new route is not served")
    assert items(run(["route", "status", "-o", "json"], cwd=project)) == []
    running = read_running(folder(project))
    assert running is not None
    assert running.routes == ("fraud", "public")

    without = good.replace("[routes.fraud]", "")
    for broken, why in (("[routes.fraud\n", "line"), (without, "no routes any more"), ("bogus = 1\n" + good, "bogus")):
        config.write_text(broken)
        until(lambda why=why: why in (folder(project) / "serve.log").read_text(), 10, f"nothing was said of {why}")  # type: ignore[misc]
        assert "no backend serves" in said("/v2/models/public/infer")
    config.write_text(good)
    until(lambda: "no route serves this path" in said("/v2/models/public/infer"), 10, "the route is still served")
    facts = [entry for entry in items(run(["journal", "list", "-o", "json"], cwd=project)) if str(entry["kind"]).startswith("route.")]
    kinds = [entry["kind"] for entry in facts]
    assert kinds.count("route.reloaded") == 2
    assert kinds.count("route.settings_refused") == 3


@pytest.mark.slow
def test_a_router_moves_to_the_port_that_mcml_toml_says_now_unless_it_is_taken(project: Path) -> None:
    config = project / "mcml.toml"
    items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))
    good = config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(good.split("[router]")[0] + f"[router]\nport = {taken.getsockname()[1]}\n")
        until(lambda: "the router stays where it listens" in (folder(project) / "serve.log").read_text(), 10, "nothing was said")
    port, admin = free_port(), free_port()
    config.write_text(good.split("[router]")[0] + f"[router]\nport = {port}\nadmin_port = {admin}\n")
    until(lambda: (found := read_running(folder(project))) is not None and found.port == port, 20, "it did not move")
    moved = read_running(folder(project))
    assert moved is not None
    assert moved.admin_port == admin
    assert ask(port, "/v2/health/live").status == 200
    assert ask(admin, "/ready").status == 200
    assert "a new proxy has taken over there" in (folder(project) / "serve.log").read_text()


@pytest.mark.slow
def test_a_detached_router_from_start_to_end(project: Path) -> None:
    planned = items(run(["route", "serve", "--dry-run", "-o", "json"], cwd=project))
    assert planned[0]["name"] == "fraud"
    assert read_running(folder(project)) is None

    began = time.monotonic()
    served = items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))[0]
    print(f"detached router serves after {time.monotonic() - began:.2f} s")
    running = read_running(folder(project))
    assert running is not None
    assert (served["pid"], served["url"]) == (running.process.pid, running.url)
    assert ask(running.port, "/v2/models/fraud/infer", b"{}").status == 503

    for again in (["serve"], ["serve", "--detach"]):
        refused = run(["route", *again], cwd=project)
        assert refused.code == 1
        assert f"pid {running.process.pid} serves fraud on {running.url}" in refused.err

    until(lambda: run(["route", "status"], cwd=project).code == 0, 5, "no status")
    assert running.url in run(["route", "status"], cwd=project).out
    journal = items(run(["journal", "list", "--kind", "route", "-o", "json"], cwd=project))
    assert [entry["kind"] for entry in journal] == ["route.weights", "route.started"]

    engine = read_engine(folder(project))
    assert engine is not None
    assert items(run(["route", "stop", "-o", "json"], cwd=project))[0]["pid"] == running.process.pid
    assert not is_alive(running.process)
    assert not is_alive(engine)
    assert run(["route", "stop"], cwd=project).code == 5
    assert "no router runs" in run(["route", "status"], cwd=project).out


@pytest.mark.slow
def test_traffic_outlives_a_killed_router_and_the_next_takes_over(project: Path) -> None:
    items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))
    running, engine = read_running(folder(project)), read_engine(folder(project))
    assert running is not None
    assert engine is not None
    os.kill(running.process.pid, signal.SIGKILL)
    until(lambda: not is_alive(running.process), 5, "the router did not die")
    assert ask(running.port, "/v2/health/live").status == 200
    assert "serves on with its last weights" in run(["route", "status"], cwd=project).out
    items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))
    assert read_engine(folder(project)) == engine
    again = read_running(folder(project))
    assert again is not None
    assert again.port == running.port
    os.kill(again.process.pid, signal.SIGKILL)
    until(lambda: not is_alive(again.process), 5, "the router did not die")
    assert items(run(["route", "stop", "-o", "json"], cwd=project))[0]["pid"] == engine.pid
    assert not is_alive(engine)


@pytest.mark.slow
def test_in_the_foreground_sigterm_ends_it_in_order(project: Path) -> None:
    child = subprocess.Popen([sys.executable, "-m", "mcml", "route", "serve"], cwd=project, stderr=subprocess.PIPE, text=True)
    try:
        running = until(lambda: read_running(folder(project)), 20, "it does not serve")
        assert ask(running.port, "/v2/health/live").status == 200
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert f"serving fraud on {running.url}" in said
    assert "the router has stopped" in said
    assert not (folder(project) / "serve.json").exists()


@pytest.mark.slow
def test_a_detached_router_that_cannot_start_says_why(project: Path) -> None:
    (project / "mcml.toml").write_text(TOML.format(port=0).replace('[routes.fraud]', ""))
    refused = run(["route", "serve", "--detach"], cwd=project)
    assert refused.code != 0
    assert "there is no route to serve" in refused.err
