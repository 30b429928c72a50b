"""Who looks after a job: one at a time, found while it lives, woken and not killed; and how that is shown."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, McmlError, StillRunning
from mcml.core.process import is_alive
from mcml.cost.spot import views
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import Candidate, Fallback, Order, Place, Record
from mcml.cost.spot.watch import detach, wake, watcher, watching

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WAITS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from mcml.cost.spot.watch import watching
with watching(Path(sys.argv[1]), "train", datetime(2026, 5, 1, 12, tzinfo=UTC)) as stop:
    print("here", file=sys.stderr, flush=True)
    stop.wait(60)
"""


def argv(folder: Path, code: str = WAITS) -> list[str]:
    return [sys.executable, "-c", code, str(folder)]


@contextmanager
def another(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that looks after the job."""
    with subprocess.Popen(argv(folder), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == "here\n"
            yield process
        finally:
            process.kill()


def test_one_looks_after_a_job_at_a_time_and_the_next_one_when_it_is_killed(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        found = watcher(tmp_path, "train")
        assert found is not None
        assert (found.process.pid, found.since, found.log) == (process.pid, NOON, "")
        with pytest.raises(Conflict, match="somebody looks after") as held, watching(tmp_path, "train", NOON):
            pass
        assert held.value.why.startswith(f"pid {process.pid} does, since 2026-05-01T12:00:00")
        assert held.value.next_step == "mcml cost spot status train"
        with watching(tmp_path, "other", NOON):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert (tmp_path / "train.json").exists()
        assert watcher(tmp_path, "train") is None
        with watching(tmp_path, "train", NOON):
            mine = watcher(tmp_path, "train")
            assert mine is not None
            assert mine.process.pid == os.getpid()
    assert not (tmp_path / "train.json").exists()


def test_one_who_is_woken_leaves_off_by_itself(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        found = watcher(tmp_path, "train")
        assert found is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert wake(found), "twice is as once"


def test_sigterm_is_as_before_when_nobody_looks_after_a_job_any_more(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with watching(tmp_path, "train", NOON) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_detached_one_says_where_its_log_is_and_outlives_whoever_started_it(tmp_path: Path) -> None:
    found = detach(tmp_path, "train", argv(tmp_path), cwd=tmp_path, seconds=30)
    assert found is not None
    assert (found.log, is_alive(found.process)) == (str(tmp_path / "train.log"), True)
    with pytest.raises(Conflict, match="somebody looks after"):
        detach(tmp_path, "train", argv(tmp_path), cwd=tmp_path, seconds=30)
    assert wake(found)
    assert watcher(tmp_path, "train") is None
    assert (tmp_path / "train.log").read_text() == "here\n"


def test_a_detached_one_that_fails_or_is_slow_is_told_and_one_that_is_done_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("error: of last week\n")
    fails = "import sys; print('error: no credentials\\n  next: mcml doctor', file=sys.stderr); sys.exit(4)"
    with pytest.raises(McmlError, match="nobody looks after the spot job 'train'") as failed:
        detach(tmp_path, "train", argv(tmp_path, fails), cwd=tmp_path, seconds=30)
    assert failed.value.why == "error: no credentials\n  next: mcml doctor"
    assert detach(tmp_path, "train", argv(tmp_path, "print('done')"), cwd=tmp_path, seconds=30) is None
    with pytest.raises(StillRunning):
        detach(tmp_path, "train", argv(tmp_path, "import time; time.sleep(2)"), cwd=tmp_path, seconds=0.1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}', '{"pid": -1, "started": 0, "since": "2026-05-01T12:00:00Z", "log": ""}'])
def test_a_broken_file_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    assert watcher(tmp_path, "train") is None


FIELDS = [
    "name", "state", "late", "place", "instance", "done_percent", "started_at", "due_at", "ended_at", "cost", "on_demand_cost", "saved",
    "currency", "spot_seconds", "on_demand_seconds", "interruptions", "switches", "noticed_at", "leaving",
    "supervisor",
]  # fmt: skip


def test_the_fields_of_a_job_are_these(tmp_path: Path) -> None:
    order = Order(("train",), (Candidate("eu-1", "m1"),), Fallback("eu-1", machine="m1"), 3600, 7200, 60, 120, 60, "progress")
    place = Place(Choice.ON_DEMAND, "eu-1", "m1", "i-1", "train-1", Decimal(3), NOON)
    record = Record("train", order, NOON, NOON, place=place, on_demand=Decimal(3), currency="USD")
    with another(tmp_path) as process:
        found = watcher(tmp_path, "train")
        shown = views.jobs([record, replace(record, name="left")], {}, {"train": found, "left": None})
        assert [item["looked_after"] for item in shown.blocks[0].rows] == [f"pid {process.pid}", "nobody here"]  # type: ignore[union-attr]
    first, second = shown.items
    assert list(first) == FIELDS
    assert (first["place"], first["noticed_at"]) == ("on-demand eu-1/m1", None)
    assert first["supervisor"] == {"pid": process.pid, "since": NOON, "log": ""}
    assert second["supervisor"] is None
    warned = replace(record, place=replace(place, choice=Choice.SPOT, noticed=NOON + timedelta(minutes=2)))
    (item,) = views.jobs([warned], {}, {}).items
    assert (item["place"], item["noticed_at"]) == ("spot eu-1/m1", NOON + timedelta(minutes=2))
