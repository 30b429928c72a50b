"""`mcml cost rightsize apply|status|undo|clean` as a person runs them, on machines that are processes of this one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.providers.api.instances import Instance
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.settings import Settings
from mcml.providers.local.snapshots import LocalSnapshots
from mcml.store.db import Store
from mcml.testing.cli import Result, run

SETTINGS = 'name = "acme"\n[targets.eu-1]\nprovider = "local"\nregion = "eu"\n'
NEEDS = "import sys, time\nopen('starts', 'a').write('x')\nheld = bytearray(int(sys.argv[1]) << 20)\nprint('up', flush=True)\n"
BUSY, QUIET = "while True: pass", "time.sleep(600)"
FIELDS = [
    "name", "change", "target", "id", "from", "to", "state", "saving", "list_saving", "currency", "risk", "reason", "problem", "undoes",
    "started_at", "stopped_at", "resized_at", "watched_since", "watch_seconds", "ended_at", "signals_answered", "signals", "restarts",
    "kept", "disks", "snapshots",
]  # fmt: skip


@dataclass
class Project:
    """A project with one local target and a machine."""

    folder: Path
    instances: LocalInstances
    snapshots: LocalSnapshots
    machine: Instance

    @property
    def key(self) -> str:
        return f"eu-1/{self.machine.id}"

    def mcml(self, *argv: str, **more: bool) -> Result:
        return run(["cost", "rightsize", *argv], cwd=self.folder, **more)  # type: ignore[arg-type]

    def item(self, *argv: str, code: int = 0) -> dict[str, object]:
        done = self.mcml(*argv, "-o", "json")
        assert done.code == code, done.err
        (found,) = json.loads(done.out)["items"]
        assert isinstance(found, dict)
        return found

    def now(self) -> tuple[str, str]:
        found = next(one for one in self.instances.list() if one.id == self.machine.id)
        return found.machine, found.state

    def kinds(self) -> list[str]:
        with Store(f"sqlite:///{self.folder / '.mcml' / 'mcml.db'}") as store:
            return [entry.kind.removeprefix("cost.rightsize_") for entry in store.entries()]

    def facts(self, place: int) -> dict[str, object]:
        with Store(f"sqlite:///{self.folder / '.mcml' / 'mcml.db'}") as store:
            return dict(store.entries()[place].facts)

    def launch(self, machine: str, mebibytes: int, then: str = QUIET) -> None:
        command = [sys.executable, "-c", NEEDS + then, str(mebibytes)]
        self.machine = self.instances.launch(machine, "one", command, {"team": "risk"})
        until(lambda: self.starts() == 1)

    def starts(self) -> int:
        found = list((self.folder / ".mcml" / "local" / "instances" / self.machine.id).rglob("starts"))
        return len(found[0].read_text()) if found else 0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    ctx = ProviderContext(Settings(), tmp_path / ".mcml" / "local", "eu-1", "eu", utc_now)
    made = Project(tmp_path, LocalInstances(ctx), LocalSnapshots(ctx), Instance("", "", "", "stopped", utc_now()))
    yield made
    for one in made.instances.list():
        made.instances.terminate(one.id)


def until(told: "object") -> None:
    end = time.monotonic() + 30
    while not told():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_busy_machine_gets_more_memory_and_runs_again_and_can_be_put_back(project: Project) -> None:
    project.launch("local-1x1", 1, BUSY)
    planned = project.item("apply", project.key, "--to", "local-1x2", "--watch", "1500ms", "--dry-run")
    assert list(planned) == [*FIELDS, "steps", "fits", "notes", "digest"]
    assert (planned["from"], planned["to"], planned["disks"]) == ("local-1x1", "local-1x2", list(project.machine.disks))
    assert [(step["does"], step["what"]) for step in planned["steps"]] == [  # type: ignore[attr-defined]
        ("create", f"snapshot {project.machine.disks[0]}"),
        ("update", f"instance {project.machine.id}"),
        ("keep", f"watch {project.machine.id}"),
    ]
    assert (project.kinds(), project.now()) == ([], ("local-1x1", "running")), "a dry run changes nothing"

    left = project.item("apply", project.key, "--to", "local-1x2", "--watch", "1500ms", "--yes", "--no-wait", code=8)
    assert (left["state"], project.now()) == ("watch", ("local-1x2", "running"))
    asked = project.mcml("keep", project.key)
    assert (asked.code, f"Keep {project.key} as local-1x2?" in asked.err) == (2, True)
    done = project.item("apply", project.key, "--yes")
    assert list(done) == FIELDS
    assert (done["state"], done["signals"], done["currency"]) == ("done", 1, "USD"), "its CPU is no smaller, so it is not watched"
    assert done["saving"] == planned["saving"]
    until(lambda: project.starts() == 2)
    (copy,) = project.snapshots.list()
    assert copy.tags == {"mcml-rightsize": done["change"]}
    assert project.kinds() == ["planned", "snapshot", "resized", "watched", "done"]
    assert project.facts(0)["plan"] == planned["digest"], "the dry run has shown the same plan"

    back = project.item("undo", project.key, "--no-snapshot", "--watch", "1s", "--yes")
    assert (back["state"], back["undoes"], back["from"], back["to"]) == ("done", done["change"], "local-1x2", "local-1x1")
    assert project.now() == ("local-1x1", "running")
    shown = project.mcml("status", terminal=True).out
    assert "1 snapshot is kept, 1 bytes" in shown
    assert project.item("clean", project.key, "--yes")["snapshot"] == copy.id
    assert project.snapshots.list() == []


@pytest.mark.slow
def test_a_command_that_dies_of_memory_after_a_shrink_goes_back_and_runs_again(project: Project) -> None:
    project.launch("local-1x2", 1300)
    refused = project.mcml("apply", project.key, "--to", "local-1x1", "--yes")
    assert refused.code == 1
    assert f"local-1x1 does not fit what {project.key} needs" in refused.err
    assert "--to local-1x1 --force" in refused.err
    done = project.mcml("apply", project.key, "--to", "local-1x1", "--force", "--watch", "2s", "--yes", "-o", "json")
    (item,) = json.loads(done.out)["items"]
    assert (done.code, item["state"], item["risk"]) == (1, "rolled back", "high")
    assert "stopped" in item["reason"]
    assert project.now() == ("local-1x2", "running")
    until(lambda: project.starts() == 3)
    assert project.kinds()[-2:] == ["resized", "rolled_back"]
    assert len(project.snapshots.list()) == 1
    nothing = project.mcml("undo", project.key, "--yes")
    assert "there is nothing to undo" in nothing.err


@pytest.mark.slow
def test_no_room_for_the_new_type_goes_back(project: Project) -> None:
    (project.folder / "mcml.toml").write_text(SETTINGS + "[providers.local]\nvcpu_quota = 2\n")
    project.instances.launch("local-1x1", "two", ["sleep", "600"])
    project.launch("local-1x1", 1)
    done = project.mcml("apply", project.key, "--to", "local-2x2", "--yes", "--no-snapshot", "--watch", "1s", terminal=True)
    assert done.code == 1
    assert "the quota leaves no room for local-2x2" in done.out
    assert project.now() == ("local-1x1", "running")
    assert project.kinds() == ["planned", "resized", "resized", "rolled_back"]


@pytest.mark.slow
def test_a_health_signal_that_is_measured_for_real_leads_back(project: Project) -> None:
    health = '[[cost.rightsizing.health]]\nmetric = "machine.memory"\nabove = 0.0001\n'
    (project.folder / "mcml.toml").write_text(SETTINGS + health)
    project.launch("local-1x1", 8, BUSY)
    done = project.item("apply", project.key, "--to", "local-1x2", "--yes", "--no-snapshot", "--watch", "30s", code=1)
    assert (done["state"], project.now()) == ("rolled back", ("local-1x1", "running"))
    assert str(done["reason"]).startswith("machine.memory was 0.0")
    assert project.kinds() == ["planned", "resized", "watched", "resized", "rolled_back"]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["snapshot", "resized"])
def test_kill_9_and_the_same_command_goes_on(project: Project, at: str) -> None:
    project.launch("local-1x1", 1)
    argv = [sys.executable, "-m", "mcml", "cost", "rightsize", "apply", project.key, "--to", "local-1x2", "--yes", "--watch", "1s"]
    first = subprocess.Popen(argv, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: at in project.kinds())
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = project.item("apply", project.key, "--yes")
    assert (done["state"], project.now()) == ("done", ("local-1x2", "running"))
    assert project.kinds() == ["planned", "snapshot", "resized", "watched", "done"]
    assert len(project.snapshots.list()) == 1


@pytest.mark.slow
def test_what_is_wrong_is_said_with_the_next_command(project: Project) -> None:
    project.launch("local-1x1", 1)
    cases = {
        ("apply", "eu-1/i-none"): (5, "i-none"),
        ("apply", project.key, "--yes"): (1, "nothing is recommended"),
        ("apply", project.key, "--to", "local-9x9"): (1, "no machine type named"),
        ("apply", project.key, "--to", "local-1x2"): (2, f"Change {project.key} from local-1x1 to local-1x2?"),
        ("undo", project.key): (5, "no change of a machine named"),
        ("keep", project.key): (5, "no change of a machine named"),
    }
    for argv, (code, said) in cases.items():
        done = project.mcml(*argv)
        assert (done.code, said in done.err, "next:" in done.err) == (code, True, True), (argv, done.err)
    assert (project.now(), project.kinds()) == (("local-1x1", "running"), [])
