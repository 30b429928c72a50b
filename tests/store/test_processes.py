"""More than one process at the same store: nothing is lost when they write at once, open a new database at once, or are killed."""

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mcml.core.fact import Fact
from mcml.store.db import Store
from mcml.store.journal import Verdict
from tests.postgres import Server
from tests.store.writers import Writers


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    with Writers() as started:
        yield started


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_write_at_once_lose_nothing(store_url: str, writers: Writers, processes: int) -> None:
    assert writers.together(store_url, processes, 50) == ["done"] * processes
    with Store(store_url) as store:
        entries = store.entries()
        assert store.verify().broken_at == 0
    assert [entry.seq for entry in entries] == list(range(1, processes * 50 + 1))
    by_writer: dict[object, list[object]] = {}
    for entry in entries:
        by_writer.setdefault(entry.facts["pid"], []).append(entry.facts["number"])
    assert len(by_writer) == processes
    assert all(numbers == list(range(50)) for numbers in by_writer.values())
    acknowledged = {seq for pid in by_writer for seq in writers.acknowledged[int(str(pid))]}
    assert acknowledged == {entry.seq for entry in entries}


def test_threads_that_share_a_store_lose_nothing(store: Store) -> None:
    with ThreadPoolExecutor(4) as threads:
        appended = list(threads.map(lambda n: store.append(Fact("test.written", "test", facts={"n": n}))[0], range(80)))
    assert sorted(entry.seq for entry in appended) == list(range(1, 81))
    assert store.verify() == Verdict(80, max(appended, key=lambda entry: entry.seq).hash)


def open_at_once(url: str, writers: Writers, processes: int) -> None:
    assert writers.together(url, processes, 1) == ["done"] * processes
    with Store(url) as store:
        verdict = store.verify()
    assert (verdict.rows, verdict.broken_at) == (processes, 0)


def test_a_new_database_is_opened_by_two_at_once(tmp_path: Path, postgres_server: Server, writers: Writers) -> None:
    for attempt in range(8):
        open_at_once(f"sqlite:///{tmp_path}/{attempt}/mcml.db", writers, 2)
    for _ in range(3):
        with postgres_server.database() as name:
            open_at_once(postgres_server.url(name), writers, 2)


@pytest.mark.slow
def test_a_new_database_is_opened_by_four_at_once_again_and_again(tmp_path: Path, postgres_server: Server, writers: Writers) -> None:
    for attempt in range(60):
        open_at_once(f"sqlite:///{tmp_path}/{attempt}/mcml.db", writers, 4)
    for _ in range(10):
        with postgres_server.database() as name:
            open_at_once(postgres_server.url(name), writers, 4)


def kill_in_the_middle(url: str, writers: Writers, delay: float) -> int:
    """Kill a writer after `delay` seconds: what it acknowledged is there, the chain holds, and the store goes on. Returns the rows."""
    pid = writers.start(url)
    time.sleep(delay)
    acknowledged = writers.kill(pid)
    with Store(url) as store:
        entries = store.entries()
        verdict = store.verify()
        assert verdict.broken_at == 0, verdict.reason
        assert acknowledged == list(range(1, len(acknowledged) + 1))
        assert verdict.rows - len(acknowledged) in (0, 1)  # one may be written whose acknowledgement was cut off
        assert [entry.facts["number"] for entry in entries] == list(range(len(entries)))
        assert writers.together(url, 1, 1) == ["done"]
        assert store.verify().rows == verdict.rows + 1
    return verdict.rows


def test_kill_9_loses_no_acknowledged_row(tmp_path: Path, postgres_server: Server, writers: Writers) -> None:
    chance = random.Random(2)
    rows = [kill_in_the_middle(f"sqlite:///{tmp_path}/{n}/mcml.db", writers, chance.uniform(0, 0.25)) for n in range(10)]
    patience = 0.5
    while max(rows) <= 1:  # the machine is busy: none of them came to write
        assert patience < 20, "no writer was killed in the middle of its writes"
        rows.append(kill_in_the_middle(f"sqlite:///{tmp_path}/{patience}/mcml.db", writers, patience))
        patience *= 2
    for _ in range(3):
        with postgres_server.database() as name:
            kill_in_the_middle(postgres_server.url(name), writers, chance.uniform(0, 0.3))


@pytest.mark.slow
def test_kill_9_again_and_again(tmp_path: Path, postgres_server: Server, writers: Writers) -> None:
    chance = random.Random(3)
    for n in range(25):
        kill_in_the_middle(f"sqlite:///{tmp_path}/{n}/mcml.db", writers, chance.uniform(0, 0.5))
    for _ in range(10):
        with postgres_server.database() as name:
            kill_in_the_middle(postgres_server.url(name), writers, chance.uniform(0, 0.8))


def test_one_of_four_writers_is_killed_and_the_others_go_on(store_url: str, writers: Writers) -> None:
    victim = writers.start(store_url)
    at = time.monotonic() + 0.1
    others = [writers.start(store_url, count=30, at=at) for _ in range(3)]
    time.sleep(0.2)
    acknowledged = writers.kill(victim)
    assert [writers.wait(pid) for pid in others] == ["done"] * 3
    with Store(store_url) as store:
        verdict, entries = store.verify(), store.entries()
    assert verdict.broken_at == 0
    assert sum(entry.facts["pid"] in others for entry in entries) == 90
    assert set(acknowledged) <= {entry.seq for entry in entries if entry.facts["pid"] == victim}


def test_a_database_that_may_only_be_read_is_unavailable(writers: Writers) -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path: its parents are closed to others, and root may write everything
    file = folder / "mcml.db"
    try:
        with Store(f"sqlite:///{file}") as store:
            store.append()
        file.chmod(0o444)
        folder.chmod(0o555)
        before = file.read_bytes()
        said = writers.wait(writers.start(f"sqlite:///{file}", count=1, nobody=True))
        assert said.startswith(f"Unavailable: cannot use the store sqlite:///{file} | ")
        assert said.endswith(" | mcml doctor")
        assert file.read_bytes() == before
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_made_is_unavailable(writers: Writers) -> None:
    closed = Path(tempfile.mkdtemp())
    try:
        closed.chmod(0o555)
        said = writers.wait(writers.start(f"sqlite:///{closed}/state/mcml.db", count=1, nobody=True))
        assert said.startswith(f"Unavailable: cannot make the store's folder {closed}/state | ")
        assert "Permission denied" in said
    finally:
        closed.rmdir()
