"""`mcml route top` and `mcml route shadow` as a person types them."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mcml.core.process import free_port
from mcml.route.records import read_running
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
[models.fraud-next]
source = "models/fraud-next"
targets = ["eu-1"]
[routes.fraud]
[routes.fixed]
model = "fraud"
[routes.fixed.shadow]
model = "fraud-next"
percent = 2
[routes.binary]
model = "fraud"
[router]
port = {port}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project with three routes and nothing deployed; no router is left behind."""
    (tmp_path / "mcml.toml").write_text(TOML.format(port=free_port()))
    yield tmp_path
    run(["route", "stop"], cwd=tmp_path)


def items(result: Result) -> list[dict[str, object]]:
    assert result.code == 0, result.err
    return list(json.loads(result.out)["items"])


def journal(project: Path) -> list[tuple[str, object]]:
    found = items(run(["journal", "list", "--kind", "route", "-o", "json"], cwd=project))
    return [(str(one["kind"]), one["facts"]) for one in found if "shadow" in str(one["kind"])]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["top"], 5, "no router of this project runs"),
        (["top", "frud"], 5, "did you mean 'fraud'?"),
        (["shadow", "frud"], 5, "did you mean 'fraud'?"),
        (["shadow", "fraud", "fraud-nex"], 5, "did you mean 'fraud-next'?"),
        (["shadow", "fraud", "fraud"], 2, "fraud answers this route already"),
        (["shadow", "fraud", "fraud-next", "--off"], 2, "exclude each other"),
        (["shadow", "fraud", "--off", "--for", "2h"], 2, "--off ends it at once"),
        (["shadow", "--off"], 2, "exclude each other"),
        (["shadow", "fraud", "fraud-next", "--percent", "0"], 2, "--percent"),
        (["shadow", "fraud", "fraud-next", "--for", "soon"], 2, "soon"),
    ],
    ids=range(10),
)
def test_what_is_refused(project: Path, arguments: list[str], code: int, said: str) -> None:
    result = run(["route", *arguments], cwd=project)
    assert (result.code, said in result.err) == (code, True), result.err


def test_a_shadow_is_switched_in_the_store_and_journaled(project: Path) -> None:
    on = ["route", "shadow", "fraud", "fraud-next", "--percent", "5", "--reason", "try it"]
    planned = items(run([*on, "--dry-run", "-o", "json"], cwd=project))
    assert (planned[0]["shadow"], planned[0]["percent"], planned[0]["dry_run"]) == ("fraud-next", "5", True)
    assert journal(project) == []
    result = run(on, cwd=project)
    assert "5% of the requests of fraud are copied to fraud-next" in result.out
    assert "no router runs" in result.out
    kind, facts = journal(project)[-1]
    assert kind == "route.shadow_started"
    assert isinstance(facts, dict)
    assert (facts["value"]["shadow"]["model"], facts["reason"]) == ("fraud-next", "try it")
    assert "fraud has no shadow" in run(["route", "shadow", "fraud", "--off"], cwd=project).out
    run(["route", "shadow", "fraud", "--off"], cwd=project)
    assert [kind for kind, _ in journal(project)] == ["route.shadow_started", "route.shadow_ended"], "off twice is off"
    assert run(["route", "shadow", "fixed", "--off"], cwd=project).code == 0, "mcml.toml's own can be switched off, too"
    assert journal(project)[-1][0] == "route.shadow_ended"
    assert "no route has had a shadow yet" in run(["route", "shadow"], cwd=project).out
    assert items(run(["route", "shadow", "fraud", "--report", "-o", "json"], cwd=project)) == []


@pytest.mark.slow
def test_top_and_shadow_of_a_running_router(project: Path) -> None:
    items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))
    running = until(lambda: read_running(project / ".mcml" / "route"), 5, "it does not serve")
    until(lambda: run(["route", "status"], cwd=project).code == 0, 10, "no status")
    piped = run(["route", "top"], cwd=project)
    assert (piped.code, running.url in piped.out) == (0, True)
    assert items(run(["route", "top", "-o", "json"], cwd=project)) == items(run(["route", "status", "-o", "json"], cwd=project))
    live = run(["route", "top", "fraud", "--every", "0.3", "--timeout", "2"], cwd=project, terminal=True)
    assert live.code == 0, live.out
    assert "no route has a backend yet" in live.out
    assert live.out.index("\x1b[?1049h") < live.out.rindex("\x1b[?1049l"), "the terminal is as it was"
    until(lambda: items(run(["route", "shadow", "-o", "json"], cwd=project)), 10, "mcml.toml's own shadow did not begin")
    assert [one["name"] for one in items(run(["route", "shadow", "-o", "json"], cwd=project))] == ["fixed"]
    run(["route", "shadow", "fraud", "fraud-next", "--percent", "5"], cwd=project)
    until(lambda: len(items(run(["route", "shadow", "-o", "json"], cwd=project))) == 2, 15, "the router did not follow")
    assert "5% of the requests" in run(["route", "shadow", "fraud"], cwd=project).out
    page = ask(running.control_port, "/")
    assert (page.status, running.url in page.body.decode()) == (200, True)


@pytest.mark.slow
def test_one_leaves_top_with_ctrl_c(project: Path) -> None:
    items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))
    until(lambda: run(["route", "status"], cwd=project).code == 0, 10, "no status")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 150))
    argv = [sys.executable, "-m", "mcml", "route", "top"]
    child = subprocess.Popen(argv, cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    try:
        said = b""
        while b"serving" not in said:
            said += os.read(ours, 4096)
        child.send_signal(signal.SIGINT)
        with suppress(OSError):  # what it still says is read: a terminal that nobody reads holds up who writes on it
            while os.read(ours, 4096):
                pass
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
