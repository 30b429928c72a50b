"""A large object that was cut off on its way to a file goes on where it stopped, and only when it is still the same object."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, Unavailable
from mcml.data.address import partial_name
from mcml.data.partial import Partial
from mcml.data.stream import Damaged
from mcml.providers.api.object_store import ObjectStore
from tests.data.world import MIB, Store, copied, files, project

SIZE = 12 * MIB


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return project(tmp_path, "first")


@pytest.fixture
def data(store: ObjectStore) -> bytes:
    made = os.urandom(SIZE)
    store.write("first", "big", [made])
    return made


def cut(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Three chunks, then the connection is gone."""
    for number, chunk in enumerate(chunks):
        if number == 3:
            raise Unavailable("connection reset")
        yield chunk


def test_it_goes_on_where_it_stopped(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out" / "big"
    for stopped_at in (3, 6):
        (outcome,) = copied(Store(store, on_read=cut), "local://first/big", str(target))
        assert isinstance(outcome.error, Unavailable)
        assert not target.exists()
        assert target.with_name(".big.mcml-partial").stat().st_size == stopped_at * MIB
    watched = Store(store)
    (outcome,) = copied(watched, "local://first/big", str(target))
    assert watched.reads == [("big", 6 * MIB)]
    assert outcome.detail == f"verified by sha256 at the source; went on at byte {6 * MIB}"
    assert files(target.parent) == {"big": data}


def test_a_changed_source_starts_over(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    copied(Store(store, on_read=cut), "local://first/big", f"{tmp_path}/big")
    other = os.urandom(SIZE)
    store.write("first", "big", [other])
    watched = Store(store)
    copied(watched, "local://first/big", f"{tmp_path}/big")
    assert watched.reads == [("big", 0)]
    assert (tmp_path / "big").read_bytes() == other


@pytest.mark.parametrize("record", [None, "no json", "[]", '{"source": "something else"}'])
def test_without_a_good_record_it_starts_over(record: str | None, store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    (tmp_path / ".big.mcml-partial").write_bytes(b"x" * MIB)
    if record is not None:
        (tmp_path / ".big.mcml-partial.json").write_text(record)
    watched = Store(store)
    copied(watched, "local://first/big", f"{tmp_path}/big")
    assert watched.reads == [("big", 0)]
    assert (tmp_path / "big").read_bytes() == data
    assert not list(tmp_path.glob(".big*"))


@pytest.mark.parametrize("length", [MIB, SIZE, SIZE + 1])
def test_a_partial_file_with_other_bytes_is_found_out_and_goes(length: int, store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    copied(Store(store, on_read=cut), "local://first/big", f"{tmp_path}/big")
    (tmp_path / ".big.mcml-partial").write_bytes(b"x" * length)
    (outcome,) = copied(store, "local://first/big", f"{tmp_path}/big")
    assert isinstance(outcome.error, Damaged)
    assert not list(tmp_path.glob("*big*"))
    copied(store, "local://first/big", f"{tmp_path}/big")
    assert (tmp_path / "big").read_bytes() == data


def test_a_source_that_changes_while_it_goes_on_is_a_conflict(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    copied(Store(store, on_read=cut), "local://first/big", f"{tmp_path}/big")

    def change(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        store.write("first", key, [os.urandom(SIZE)])
        yield from chunks

    nameless = Store(store, on_read=change, hide_checksum=lambda stat: replace(stat, checksum=""))
    copied(Store(store, on_read=cut, hide_checksum=nameless.hide_checksum), "local://first/big", f"{tmp_path}/big")
    (outcome,) = copied(nameless, "local://first/big", f"{tmp_path}/big")
    assert isinstance(outcome.error, Conflict)
    assert not list(tmp_path.glob("*big*"))


def test_two_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    with Partial(tmp_path / "f", "one") as first:
        first.write(b"mine")
        with pytest.raises(Conflict, match="another process is writing"), Partial(tmp_path / "f", "one"):
            pass
        first.place(clobber=True)
        with Partial(tmp_path / "f", "") as second:
            second.write(b"next")
            second.place(clobber=True)
    assert files(tmp_path) == {"f": b"next"}


def test_names_that_leave_no_room_for_the_partials_are_no_trouble(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    name = "ü" * 127
    store.write("first", name, [data])
    copied(Store(store, on_read=cut), f"local://first/{name}", f"{tmp_path}/out/")
    assert (tmp_path / "out" / partial_name(name)).stat().st_size == 3 * MIB
    copied(store, f"local://first/{name}", f"{tmp_path}/out/")
    assert files(tmp_path / "out") == {name: data}


SLOW = """
import sys, time
from pathlib import Path
from tests.data.world import Store, copied, project
def slowly(key, start, chunks):
    for chunk in chunks:
        yield chunk
        time.sleep(0.1)
folder = Path(sys.argv[1])
copied(Store(project(folder), on_read=slowly), sys.argv[2], sys.argv[3], recursive=True)
"""


def killed(folder: Path, source: str, destination: str, when: Path) -> None:
    """Copy in a process of its own, and kill it when there are some bytes in a file of a folder."""
    argv = [sys.executable, "-c", SLOW, str(folder), source, destination]
    child = subprocess.Popen(argv, cwd=Path(__file__).parents[2])
    end = time.monotonic() + 60
    while not any(path.is_file() and path.stat().st_size >= 2 * MIB for path in when.glob("*")):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL


def test_killed_on_the_way_down_it_goes_on(store: ObjectStore, data: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(tmp_path, "local://first", str(out), out)
    assert set(files(out)) == {".big.mcml-partial", ".big.mcml-partial.json"}
    watched = Store(store)
    copied(watched, "local://first", str(out), recursive=True)
    assert watched.reads[0][1] >= 2 * MIB
    assert files(out) == {"big": data}


def test_killed_on_the_way_up_nothing_is_half_there(store: ObjectStore, tmp_path: Path) -> None:
    source, made = tmp_path / "source", os.urandom(SIZE)
    source.mkdir()
    (source / "new").write_bytes(made)
    up = SLOW.replace("on_read=slowly", "on_write=lambda key, chunks: slowly(key, 0, chunks)")
    incoming = tmp_path / ".mcml/local/buckets/first/incoming"
    child = subprocess.Popen([sys.executable, "-c", up, str(tmp_path), str(source), "local://first"], cwd=Path(__file__).parents[2])
    end = time.monotonic() + 60
    while not any(path.stat().st_size >= 2 * MIB for path in incoming.iterdir()):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    child.kill()
    child.wait(30)
    assert list(store.list("first")) == []
    copied(store, str(source), "local://first", recursive=True)
    assert b"".join(store.read("first", "new")) == made
