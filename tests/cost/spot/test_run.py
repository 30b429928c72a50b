"""`mcml cost spot` as a person runs it: simulated, and for real on this machine, where spot machines are processes that get killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from mcml.core.clock import parse_rfc3339, utc_now
from mcml.core.process import is_alive, reference
from mcml.cost.spot.watch import watcher
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.settings import Settings
from mcml.store.db import Store
from mcml.testing.cli import Result, run
from tests.cost.spot import trainer

STEPS, SECONDS, EVERY = 100, 0.05, 8
LONG = 4000
"""Steps of a training that nobody waits for."""
WAIT_SECONDS = 60.0


@dataclass
class Project:
    """A project with one local target, a stopped on-demand machine that trains, and the folder where the training saves."""

    folder: Path
    instances: LocalInstances
    fallback: str

    def training(self, steps: int = STEPS) -> list[str]:
        """The command that trains, or goes on with it."""
        return [sys.executable, trainer.__file__, str(self.folder / "saved"), str(steps), str(SECONDS), str(EVERY)]

    def order(self, *, work: str = "5s", deadline: str = "60s", fallback: str = "") -> list[str]:
        """The command that runs it on spot; without another fallback, the stopped machine is it."""
        places = ["--on", "eu-1/local-1x2", "--on", "eu-1/local-1x1", "--fallback", f"eu-1/{fallback or self.fallback}"]
        times = ["--work", work, "--deadline", deadline, "--restart", "2s", "--checkpoint", "1s", "--tick", "1s"]
        return ["cost", "spot", "run", "train", *places, *times, "--progress", "saved/progress"]

    def mcml(self, *argv: str, **more: bool) -> Result:
        """Run mcml in the project."""
        return run(list(argv), cwd=self.folder, **more)  # type: ignore[arg-type]

    def items(self, *argv: str) -> list[dict[str, object]]:
        """Run mcml and return the items of its JSON."""
        done = self.mcml(*argv, "-o", "json")
        assert done.code == 0, done.err
        found: list[dict[str, object]] = json.loads(done.out)["items"]
        return found

    def step(self) -> int:
        """The step that the checkpoint holds."""
        with suppress(FileNotFoundError):
            return int(json.loads((self.folder / "saved" / "checkpoint.json").read_text())["step"])
        return 0

    def starts(self) -> list[int]:
        """At which step each start of the training went on."""
        return [int(line.split()[1]) for line in (self.folder / "saved" / "starts").read_text().splitlines()]

    def take_away(self) -> None:
        """Kill what the spot machine runs, as its cloud would."""
        for one in self.instances.list({"mcml-spot-job": "train"}):
            if one.state == "running":
                runner = json.loads((self.folder / ".mcml/local/instances" / one.id / "process.json").read_text())["pid"]
                for child in psutil.Process(runner).children():
                    with suppress(psutil.NoSuchProcess):  # gone between the list and the kill
                        child.kill()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[targets.eu-1]\nprovider = "local"\nregion = "eu"\n')
    (tmp_path / "saved").mkdir()
    root = tmp_path / ".mcml" / "local"
    made = Project(tmp_path, LocalInstances(ProviderContext(Settings(), root, "eu-1", "eu", utc_now)), "")
    machine = made.instances.launch("local-1x1", "fallback", made.training(LONG))
    made.instances.stop(machine.id)
    made.fallback = machine.id
    for left in (tmp_path / "saved").iterdir():
        left.unlink()
    yield made
    for one in made.instances.list():
        made.instances.terminate(one.id)


def until(told: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not told():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_training_that_is_taken_away_goes_on_from_its_checkpoint_though_mcml_is_killed(project: Project) -> None:
    """A third of the way its machine is killed, and later mcml itself with kill -9; the same name goes on, and it is done in time."""
    argv = [sys.executable, "-m", "mcml", *project.order(), "--", *project.training()]
    first = subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: project.step() >= STEPS // 4)
    project.take_away()
    until(lambda: len(project.starts()) > 1 and project.step() >= STEPS // 2)
    os.kill(first.pid, signal.SIGKILL)
    assert "interrupted eu-1/local-1x1" in first.communicate()[1]

    (record,) = project.items("cost", "spot", "status", "train")
    assert (record["state"], record["interruptions"], record["place"]) == ("running", 1, "spot eu-1/local-1x1")
    done = project.mcml("cost", "spot", "run", "train", "-o", "json")
    assert done.code == 0, done.err
    (ended,) = json.loads(done.out)["items"]
    assert (ended["state"], ended["late"], ended["done_percent"], project.step()) == ("done", False, "100.0", STEPS)
    assert parse_rfc3339(ended["ended_at"]) < parse_rfc3339(ended["due_at"])
    first_start, second_start, *more = project.starts()
    assert (first_start, more) == (0, [])
    assert STEPS // 4 <= second_start < STEPS // 2, "it goes on from a checkpoint"
    assert [one.state for one in project.instances.list() if one.state in ("running", "pending")] == []

    tags = {"mcml-spot-job": "train"}
    kept = [f"eu-1/{one.id}" for one in project.instances.list(tags) if one.state != "terminated"]
    assert kept
    assert f"{len(kept)} stopped machine" in done.err
    asks = project.mcml("cost", "spot", "clean", "train")
    assert (asks.code, f"Delete {', '.join(kept)}, stopped by train, and what is on the disks?" in asks.err) == (2, True)
    assert {one["name"] for one in project.items("cost", "spot", "clean", "train", "--yes")} == set(kept)
    assert [one.id for one in project.instances.list(tags) if one.state != "terminated"] == []
    assert project.items("cost", "spot", "clean", "train", "--dry-run") == []

    places = {place["name"]: place for place in project.items("cost", "spot", "prices")}
    assert list(places) == ["eu-1/local-1x1", "eu-1/local-1x2"]
    assert [place["interruptions"] for place in places.values()] == [1, 0]
    assert places["eu-1/local-1x1"]["price"] == "0.0135"
    assert "eu-1/local-1x1" in project.mcml("cost", "spot", "prices", terminal=True).out

    with Store(f"sqlite:///{project.folder / '.mcml' / 'mcml.db'}") as store:
        facts = {entry.kind: entry.facts for entry in store.entries()}
    assert list(facts) == [f"cost.spot_{event}" for event in ("started", "moved", "interrupted", "ended", "deleted")]
    end = facts["cost.spot_ended"]
    saved, dear, cost = (Decimal(str(end[key])) for key in ("saved", "on_demand_cost", "cost"))
    assert (end["state"], end["interruptions"]) == ("done", 1)
    assert saved == dear - cost
    # a third of the price of an hour on demand (0.045), for all seconds that the two machines ran
    assert cost == pytest.approx(Decimal("0.0135") * Decimal(str(ended["spot_seconds"])) / 3600, rel=Decimal("0.01"))


@pytest.mark.slow
def test_without_slack_it_runs_on_demand_and_a_stop_ends_it(project: Project) -> None:
    argv = [sys.executable, "-m", "mcml", *project.order(work="200s", deadline="204s"), "--", *project.training(LONG)]
    with subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        until(lambda: project.step() >= EVERY)
        (record,) = project.items("cost", "spot", "status")
        assert record["place"] == f"on-demand eu-1/{project.fallback}"
        refused = project.mcml("cost", "spot", "stop", "train")
        assert refused.code == 2, "nobody is there to answer"
        (kept,) = project.items("cost", "spot", "stop", "train", "--dry-run")
        assert kept["state"] == "running"
        (stopped,) = project.items("cost", "spot", "stop", "train", "--yes")
        assert stopped["state"] == "stopped"
        said = running.communicate(timeout=30)[1]
        assert running.returncode == 0, said
        assert [one.state for one in project.instances.list()] == ["stopped"]
        assert 0 < project.step() < LONG


@pytest.mark.slow
def test_a_detached_job_falls_back_on_a_machine_that_is_launched_and_is_taken_over_when_its_supervisor_dies(project: Project) -> None:
    """It has no slack, so it runs on demand; its supervisor is killed with -9, another one takes over, and a stop ends both."""
    order = [*project.order(work="200s", deadline="204s", fallback="local-1x2"), "--detach", "-o", "json", "--", *project.training(LONG)]
    begun = project.mcml(*order)
    assert begun.code == 0, begun.err
    (job,) = json.loads(begun.out)["items"]
    first = job["supervisor"]
    assert (set(first), first["log"]) == ({"pid", "since", "log"}, str(project.folder / ".mcml" / "spot" / "train.log"))
    until(lambda: project.step() >= EVERY)
    (launched,) = [one for one in project.instances.list({"mcml-spot-job": "train"}) if one.state == "running"]
    assert (launched.machine, launched.spot) == ("local-1x2", False)

    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: reference(first["pid"]) is None)
    alone = project.mcml("cost", "spot", "status", terminal=True).out
    assert ("nobody here" in alone, "mcml cost spot run train --detach" in alone) == (True, True)
    (taken_over,) = project.items("cost", "spot", "run", "train", "--detach")
    second = watcher(project.folder / ".mcml" / "spot", "train")
    assert second is not None
    assert second.process.pid != first["pid"]
    assert (taken_over["place"], taken_over["supervisor"]["pid"]) == ("on-demand eu-1/local-1x2", second.process.pid)  # type: ignore[index]
    assert f"pid {second.process.pid}" in project.mcml("cost", "spot", "status").out
    (stopped,) = project.items("cost", "spot", "stop", "train", "--yes")
    assert (stopped["state"], stopped["supervisor"]) == ("stopped", None)
    assert not is_alive(second.process)
    assert {one.state for one in project.instances.list()} == {"stopped"}
    assert project.starts() == [project.starts()[0]], "nobody has started it again"
    said = (project.folder / ".mcml" / "spot" / "train.log").read_text()
    assert "train: moved eu-1/local-1x2" in said


@pytest.mark.slow
def test_a_notice_moves_a_real_training_and_sigterm_leaves_it_as_it_is(project: Project) -> None:
    argv = [sys.executable, "-m", "mcml", *project.order(work="200s", deadline="400s"), "--", *project.training(LONG)]
    with subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        until(lambda: project.step() >= EVERY)
        (first,) = project.instances.list({"mcml-spot-job": "train"})
        project.instances.warn(first.id, utc_now() + timedelta(minutes=2))
        until(lambda: len(project.starts()) > 1)
        until(lambda: [one.state for one in project.instances.list({"mcml-spot-job": "train"})] == ["stopped", "running"])
        running.terminate()
        out, said = running.communicate(timeout=30)
    assert (running.returncode, "running" in out) == (0, True), said
    assert "train: noticed eu-1/local-1x1" in said
    assert project.starts()[1] >= EVERY, "it goes on from a checkpoint"
    (left,) = project.items("cost", "spot", "stop", "train", "--yes")
    assert (left["state"], left["supervisor"], left["interruptions"]) == ("stopped", None, 1)
    assert {one.state for one in project.instances.list()} == {"stopped"}


@pytest.mark.slow
def test_a_plan_is_shown_and_nothing_is_started(project: Project) -> None:
    planned = project.mcml(*project.order(), "--dry-run", "-o", "json", "--", *project.training())
    items = json.loads(planned.out)["items"]
    assert [(item["place"], item["spot_price"]) for item in items] == [("eu-1/local-1x1", "0.0135"), ("eu-1/local-1x2", "0.0150")]
    assert [one.state for one in project.instances.list()] == ["stopped"]
    assert project.items("cost", "spot", "status") == []
    on_terminal = project.mcml(*project.order(), "--dry-run", "--", *project.training(), terminal=True)
    assert "it starts with spot" in on_terminal.out


@pytest.mark.slow
def test_what_is_missing_or_wrong_is_said_with_the_next_command(project: Project) -> None:
    cases = {
        ("cost", "spot", "run", "train", "--", "true"): (2, "a spot job needs --work, --deadline, --on, --fallback, --progress"),
        (*project.order(deadline="5s"), "--", "true"): (1, "the deadline cannot be kept"),
        (*project.order(), "--on", "local-1x1", "--", "true"): (2, "names no machine of a target"),
        (*project.order(), "--on", "us-1/local-1x1", "--", "true"): (5, "us-1"),
        (*project.order(fallback="local-1x3"), "--", "true"): (5, "neither a machine nor a machine type of eu-1"),
        ("cost", "spot", "stop", "train"): (5, "no spot job"),
        ("cost", "spot", "run", "train", "--deadline", "5h", "--tick", "3s"): (2, "--deadline, --tick of a spot job needs its command"),
    }
    for argv, (code, said) in cases.items():
        done = project.mcml(*argv)
        assert (done.code, said in done.err) == (code, True), (argv, done.err)
        assert "next:" in done.err
    assert project.items("cost", "spot", "status") == []


def test_a_simulation_shows_all_four_policies_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    short = ["cost", "spot", "simulate", "--work", "10h", "--deadline", "14h", "--windows", "20"]
    done = run([*short, "-o", "json"], cwd=tmp_path)
    items = json.loads(done.out)["items"]
    assert [item["policy"] for item in items] == ["planned", "greedy", "uniform progress", "never wait"] * 2
    first = ["name", "series", "policy", "windows", "score", "mean_cost", "on_demand_cost", "saving_percent", "late"]
    assert list(items[0]) == [*first, "spot_hours", "on_demand_hours", "starts", "interruptions"]
    assert [item["late"] for item in items] == [0] * 8
    assert {item["on_demand_cost"] for item in items} == {"31.110000"}
    assert all(0 <= float(item["score"]) <= 100 for item in items if item["policy"] == "planned")
    shown = run(short, cwd=tmp_path, terminal=True).out
    assert "drawn, rough" in shown
    assert "uniform progress" in shown


def test_when_to_checkpoint(tmp_path: Path) -> None:
    done = run(["cost", "spot", "checkpoint", "--takes", "30s", "--takes", "50s", "--between", "6h", "-o", "json"], cwd=tmp_path)
    (item,) = json.loads(done.out)["items"]
    assert (item["every_seconds"], item["checkpoint_seconds"], item["lost_percent"]) == (1288.003, 40.0, 6.7)
    assert run(["cost", "spot", "checkpoint", "--takes", "30s", "--between", "soon"], cwd=tmp_path).code == 2
