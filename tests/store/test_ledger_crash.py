"""Two processes ingest at once and lose nothing; one that is killed in the middle leaves the ledger as it was before."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from filelock import FileLock

from mcml.core.errors import Conflict
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from tests.cost.focus import row, text_row, write_csv

STOPS = """
import sys, time
from pathlib import Path
from mcml.store.ledger import intake, manifest

place, folder, path = sys.argv[1:]
module = manifest if place == "save" else intake
original = getattr(module, place)
calls = 0

def stop(*arguments):
    global calls
    calls += 1
    if place == "_export" and calls == 1:
        return original(*arguments)
    print("here", flush=True)
    time.sleep(60)

setattr(module, place, stop)
intake.Intake(Path(folder)).files([Path(path)])
"""

INGESTS = """
import sys
from pathlib import Path
from mcml.store.ledger.intake import Intake

for path in sys.argv[2:]:
    Intake(Path(sys.argv[1])).files([Path(path)])
"""


FULL = """
import resource, sys
from pathlib import Path
from mcml.core.errors import McmlError
from mcml.store.ledger.intake import Intake

resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # no file may grow beyond it: for the writer the same as a full disk
try:
    Intake(Path(sys.argv[1])).files([Path(sys.argv[2])])
except McmlError as failed:
    print(failed.message, failed.why, failed.next_step, sep="|")
"""


def billed(folder: Path) -> Decimal:
    (group,) = Ledger(folder).totals(())
    return group.billed


@pytest.mark.parametrize("place", ["_staged", "_export", "save"])
def test_kill_9_in_the_middle_leaves_the_old_version(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    Intake(folder).rows([row("1"), row("2", ServiceProviderName="Other")], origin="acme")
    rows = [text_row(BilledCost="10"), text_row(BilledCost="20", ServiceProviderName="Other"), text_row(BilledCost="x")]
    path = write_csv(tmp_path / "new.csv", rows)
    with subprocess.Popen([sys.executable, "-c", STOPS, place, str(folder), str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        assert billed(folder) == 3
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert billed(folder) == 3
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    done = Intake(folder).files([path])
    assert (done.delivery.rows, done.delivery.quarantined) == (2, 1)
    assert billed(folder) == 30
    ledger = Ledger(folder)
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert on_disk == ledger.manifest.referenced
    assert len(on_disk) == 5
    assert (len(left) > 2) == (place != "_staged")
    assert list((folder / "scratch").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_the_old_version(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    Intake(folder).rows([row("3")], origin="acme")
    path = write_csv(tmp_path / "new.csv", [text_row(BilledCost="10"), text_row(BilledCost="20", ServiceProviderName="Other")])
    ended = subprocess.run([sys.executable, "-c", FULL, str(folder), str(path)], capture_output=True, text=True, check=True, timeout=60)
    message, _, next_step = ended.stdout.strip().split("|")
    assert message == "cannot ingest new.csv"
    assert next_step == "free some space, then try again"
    assert billed(folder) == 3
    Intake(folder).files([path])
    assert billed(folder) == 30


def test_processes_that_ingest_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    shared = write_csv(tmp_path / "shared.csv", [text_row(BilledCost="100")])
    children = []
    for number in range(2):
        own = write_csv(tmp_path / f"{number}.csv", [text_row(BilledCost=str(number + 1), BillingAccountId=f"account-{number}")])
        children.append(subprocess.Popen([sys.executable, "-c", INGESTS, str(folder), str(own), str(shared)]))
    assert [child.wait(60) for child in children] == [0, 0]
    assert billed(folder) == 103
    assert len(Ledger(folder).manifest.deliveries) == 3


def test_an_ingest_that_waits_too_long_says_who_holds_the_ledger(tmp_path: Path) -> None:
    with FileLock(tmp_path / "ingest.lock"), pytest.raises(Conflict, match="another ingest is writing"):
        Intake(tmp_path, lock_seconds=0.1).rows([row()], origin="acme")
    Intake(tmp_path).rows([row()], origin="acme")
    assert billed(tmp_path) == 1
