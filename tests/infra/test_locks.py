"""Locks of states in a store: who holds one, and how one is broken whose holder is no more."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mcml.core.errors import Conflict
from mcml.infra.states.keeper import lock_of, refuse_living
from mcml.infra.states.state import Lock
from mcml.infra.units.units import Unit
from mcml.testing.cli import run
from tests.infra import stores
from tests.infra.rig import Project
from tests.infra.stores import Stores, apply, pulled, unit

TOLD = """
Error: Error acquiring the state lock

Error message: writing "gs://b/acme/unit/dev.tflock" failed: googleapi: Error 412: Precondition failed
Lock Info:
  ID:        1795320541158765
  Path:      gs://b/acme/unit/dev.tflock
  Operation: OperationTypeApply
  Who:       ann@build-7
  Version:   1.11.4
  Created:   2026-11-22 04:09:01.152075127 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
"""
HERE = os.uname().nodename
APPLY = """
import sys
from pathlib import Path
from mcml.infra.units.backend import Backend
from tests.infra import stores
from tests.infra.rig import Project, terraform
folder, modules, kind, settings = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], eval(sys.argv[4])
stores.apply(Project(folder, {}, terraform(), modules=modules), stores.unit(Backend(kind, settings), size=2))
"""


def test_the_holder_is_read_from_what_terraform_says() -> None:
    assert lock_of(TOLD) == Lock("ann@build-7", "apply", "2026-11-22 04:09:01.152075127 +0000 UTC", "1795320541158765")
    assert lock_of("Error: something else\n  ID: 7\n") is None


LOCK = Lock(f"ann@{HERE}", "apply", "noon", "7")


@pytest.mark.parametrize(
    ("lock", "pid", "wanted", "said"),
    [
        (LOCK, 12, "", "process 12 on this machine holds the lock of unit"),
        (Lock(f"ann@{HERE}", "apply", "noon"), 0, "", "a process on this machine holds the lock"),
        (LOCK, 0, "8", "the lock of unit is not 8 but 7"),
    ],
    ids=["living", "of-the-kernel", "another"],
)
def test_a_lock_that_may_be_needed_is_not_broken(lock: Lock, pid: int, wanted: str, said: str) -> None:
    with pytest.raises(Conflict, match=said) as refused:
        refuse_living("unit", lock, pid, wanted)
    assert refused.value.next_step


def test_a_lock_of_another_machine_or_of_nobody_may_be_broken() -> None:
    refuse_living("unit", Lock("ann@build-7", "apply", "noon", "7"), 12, "7")
    refuse_living("unit", LOCK, 0)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with stores.running(tmp_path_factory.mktemp("stores")) as found:
        yield found


@contextmanager
def applying(made: Project, one: Unit, hold: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Apply in another process that waits in the middle as long as `hold` is there."""
    assert one.backend
    hold.touch()
    argv = [sys.executable, "-c", APPLY, str(made.folder), str(made.modules), one.backend.kind, repr(dict(one.backend.settings))]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 40
            while not any('"provision_start"' in log.read_text() for log in made.folders.runs(one).glob(f"{process.pid}-*/apply.jsonl")):
                assert process.poll() is None
                assert time.monotonic() < end, "it did not begin"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
            hold.unlink(missing_ok=True)


def hold_of(made: Project) -> Path:
    return made.folders.infra / "hold"


KIND = pytest.mark.parametrize("kind", ["s3", "gcs", "azurerm"])


@KIND
@pytest.mark.slow
def test_a_second_apply_says_who_holds_the_lock(both: Stores, tmp_path: Path, kind: str) -> None:
    one = unit(both.backend(kind), size=2)
    made = stores.project(tmp_path)
    pulled(made, one)
    with applying(made, one, hold_of(made)) as first:
        with pytest.raises(Conflict, match=rf"@{HERE} is changing this environment \(apply\) since 20") as refused:
            apply(made, one)
        assert "lock " in refused.value.why
        with made.fleet(one) as fleet:
            lock = fleet.at_desk(lambda desk: desk.lock())
            assert lock
            assert fleet.at_work("unit") == first.pid
            with pytest.raises(Conflict, match=f"process {first.pid} on this machine holds the lock"):
                refuse_living("unit", lock, fleet.at_work("unit"))
        hold_of(made).unlink()
        assert first.wait(40) == 0
    with made.fleet(one) as fleet:
        assert fleet.at_desk(lambda desk: desk.lock()) is None
        assert fleet.at_work("unit") == 0


def applies_in(folder: Path) -> list[psutil.Process]:
    """The `terraform apply` at work in a folder: beside it there may be a question (`terraform show`) that is just ending."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.cmdline()[1:2] == ["apply"] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


@KIND
@pytest.mark.slow
def test_the_lock_of_a_terraform_that_was_killed_is_broken_and_the_next_apply_goes_on(both: Stores, tmp_path: Path, kind: str) -> None:
    one = unit(both.backend(kind), size=2)
    made = stores.project(tmp_path)
    pulled(made, one)
    with applying(made, one, hold_of(made)) as first:
        (terraform,) = applies_in(made.folders.work(one))
        terraform.kill()
        first.wait(40)
    with made.fleet(one) as fleet:
        lock = fleet.at_desk(lambda desk: desk.lock())
        assert lock
        assert lock.operation == "apply"
        refuse_living("unit", lock, fleet.at_work("unit"), lock.id)
        fleet.at_desk(lambda desk: desk.unlock(lock))
        assert fleet.at_desk(lambda desk: desk.lock()) is None
    (fact,) = made.facts
    assert (fact.kind, fact.facts["lock"], fact.facts["holder"]) == ("infra.unlocked", lock.id, lock.who)
    apply(made, one)
    assert len(pulled(made, one)["resources"]) == 2


@pytest.mark.slow
def test_kill_9_of_mcml_saves_the_state_in_the_store_and_gives_the_lock_back(both: Stores, tmp_path: Path) -> None:
    made, one = stores.project(tmp_path), unit(both.backend("s3"), size=2)
    pulled(made, one)
    with applying(made, one, hold_of(made)) as first:
        (terraform,) = applies_in(made.folders.work(one))
        terraform.suspend()  # so that it is still there when we look
        first.send_signal(signal.SIGKILL)
        first.wait()
        with made.fleet(one) as fleet:
            assert fleet.at_work("unit") == terraform.pid, "mcml is gone, and its Terraform still at work"
        terraform.resume()
        hold_of(made).unlink()
        end = time.monotonic() + 40
        while applies_in(made.folders.work(one)):
            assert time.monotonic() < end
            time.sleep(0.05)
    with made.fleet(one) as fleet:
        assert fleet.at_desk(lambda desk: desk.lock()) is None
        (state,) = fleet.states().done.values()
        assert state.resources, "what was made is known"
    apply(made, one)
    with made.fleet(one) as fleet:
        plans = fleet.plan()
        plans.raise_failures("")
        assert plans.changing == ()


def test_without_a_lock_the_verb_says_so(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[targets.eu]\nprovider = "local"\nregion = "eu-1"\n')
    said = run(["infra", "unlock", "local"], cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert "nobody holds the lock of local in dev" in said.out
    said = run(["infra", "unlock", "lokal"], cwd=tmp_path)
    assert said.code == 5
    assert "did you mean 'local'?" in said.err
