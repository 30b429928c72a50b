"""Local snapshots: the contract on disks and on databases, and copies that are cut off."""

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded
from mcml.core.package import folder_digest
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.snapshots import open_snapshots
from mcml.providers.local.volumes import define_database, define_disk, find_volume
from mcml.testing.contracts.snapshots import SnapshotsContract
from tests.providers.local.conftest import MakeContext


@pytest.fixture
def ctx(make_context: MakeContext) -> ProviderContext:
    return make_context("eu-1", region="eu")


def make_disk(ctx: ProviderContext, name: str, text: str) -> Path:
    disk = define_disk(ctx, name, {"team": "risk"})
    (disk / "sub").mkdir(exist_ok=True)
    (disk / "sub" / "file.txt").write_text(text)
    return disk


def make_database(ctx: ProviderContext, name: str, rows: int) -> Path:
    path = define_database(ctx, name)
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table numbers (number integer)")
        db.executemany("insert into numbers values (?)", [(number,) for number in range(rows)])
        db.commit()
    return path


def rows_of(path: Path) -> list[tuple[int]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("select number from numbers order by number").fetchall()


class TestSnapshotsOfDisks(SnapshotsContract):
    @pytest.fixture
    def snapshots(self, ctx: ProviderContext) -> Snapshots:
        return open_snapshots(ctx)

    @pytest.fixture
    def sources(self, ctx: ProviderContext) -> tuple[str, str]:
        make_disk(ctx, "models", "one")
        make_disk(ctx, "other", "two")
        return "models", "other"

    @pytest.fixture
    def new_name(self) -> str:
        return "restored"

    @pytest.fixture
    def fingerprint(self, ctx: ProviderContext) -> Callable[[str], object]:
        return lambda name: folder_digest(find_volume(ctx, name).content)


class TestSnapshotsOfDatabases(TestSnapshotsOfDisks):
    @pytest.fixture
    def sources(self, ctx: ProviderContext) -> tuple[str, str]:
        make_database(ctx, "journal", 3)
        make_database(ctx, "other", 5)
        return "journal", "other"

    @pytest.fixture
    def fingerprint(self, ctx: ProviderContext) -> Callable[[str], object]:
        return lambda name: rows_of(find_volume(ctx, name).content)


def test_a_name_that_is_both_needs_its_kind(ctx: ProviderContext) -> None:
    make_disk(ctx, "main", "text")
    make_database(ctx, "main", 2)
    snapshots = open_snapshots(ctx)
    with pytest.raises(InvalidRequest) as caught:
        snapshots.create("main", token="t1")
    assert caught.value.next_step == "say disk/main or database/main"
    disk, database = snapshots.create("disk/main", token="t1"), snapshots.create("database/main", token="t2")
    assert (disk.source, database.source) == ("disk/main", "database/main")
    assert [one.id for one in snapshots.list("disk/main")] == [disk.id]
    assert len(snapshots.list("main")) == 2
    assert snapshots.restore(database.id, "database/copy") == "copy"
    assert rows_of(find_volume(ctx, "copy").content) == [(0,), (1,)]


def test_a_database_is_copied_as_of_one_instant_while_it_is_written(ctx: ProviderContext) -> None:
    """The writer's open transaction is not in the copy, what it committed is; WAL or not."""
    path = make_database(ctx, "busy", 1000)
    snapshots = open_snapshots(ctx)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("insert into numbers values (1000)")
        writer.commit()
        writer.execute("insert into numbers values (5000)")
        taken = snapshots.create("busy", token="t")
        writer.commit()
    snapshots.restore(taken.id, "copy")
    assert rows_of(find_volume(ctx, "copy").content) == [(number,) for number in range(1001)]
    assert len(rows_of(path)) == 1002


def test_links_and_modes_are_kept_and_sockets_left_out(ctx: ProviderContext, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = make_disk(ctx, "models", "x")
    (disk / "script").write_text("#!/bin/sh\n")
    (disk / "script").chmod(0o750)
    (disk / "link").symlink_to("script")
    (disk / "dangling").symlink_to("/nowhere/at/all")
    os.mkfifo(disk / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(disk)  # the address of a socket is a short path
        listener.bind("socket")
        taken = open_snapshots(ctx).create("models", token="t")
    open_snapshots(ctx).restore(taken.id, "copy")
    copy = find_volume(ctx, "copy").content
    assert sorted(path.name for path in copy.iterdir()) == ["dangling", "link", "script", "sub"]
    assert (copy / "link").readlink() == Path("script")
    assert (copy / "script").stat().st_mode & 0o777 == 0o750


def test_a_restored_volume_has_the_tags_of_the_snapshot(ctx: ProviderContext) -> None:
    make_disk(ctx, "models", "x")
    taken = open_snapshots(ctx).create("models", token="t", tags={"team": "fraud"})
    open_snapshots(ctx).restore(taken.id, "copy")
    assert find_volume(ctx, "copy").about.tags == {"team": "fraud"}


def test_a_token_stands_for_one_source(ctx: ProviderContext) -> None:
    make_disk(ctx, "models", "x")
    make_disk(ctx, "other", "y")
    open_snapshots(ctx).create("models", token="t")
    with pytest.raises(InvalidRequest, match="cannot take a snapshot"):
        open_snapshots(ctx).create("other", token="t")


def test_the_token_finds_the_snapshot_when_the_source_is_gone(ctx: ProviderContext, root: Path) -> None:
    make_disk(ctx, "models", "x")
    taken = open_snapshots(ctx).create("models", token="t")
    (root / "disks" / "models").rename(root / "gone")
    assert open_snapshots(ctx).create("models", token="t") == taken


def test_a_damaged_database_is_not_copied(ctx: ProviderContext) -> None:
    path = make_database(ctx, "journal", 5000)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(3 * 4096))
    with pytest.raises(McmlError, match="cannot take a snapshot of database/journal") as caught:
        open_snapshots(ctx).create("journal", token="t")
    assert "damaged" in caught.value.why
    (left,) = open_snapshots(ctx).list()
    assert not left.complete


@pytest.mark.parametrize("into", ["", "..", "a/b", ".hidden"])
def test_a_bad_name_to_restore_into_is_refused(ctx: ProviderContext, into: str) -> None:
    make_disk(ctx, "models", "x")
    taken = open_snapshots(ctx).create("models", token="t")
    with pytest.raises(InvalidRequest):
        open_snapshots(ctx).restore(taken.id, into)


def test_each_target_has_its_own(ctx: ProviderContext, make_context: MakeContext) -> None:
    make_disk(ctx, "models", "x")
    taken = open_snapshots(ctx).create("models", token="t")
    us = open_snapshots(make_context("us-1"))
    assert us.list() == []
    with pytest.raises(NotFound):
        us.create("models", token="t")
    with pytest.raises(NotFound):
        us.restore(taken.id, "copy")
    us.delete(taken.id)
    assert [one.id for one in open_snapshots(make_context()).list()] == [taken.id]
    with pytest.raises(Conflict, match="models"):
        define_disk(make_context("us-1"), "models")


CUT_OFF = """
import os, sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import snapshots
from mcml.providers.local.settings import Settings
def cut(*args):
    copy(*args)
    os.kill(os.getpid(), 9)
copy, snapshots._copy = snapshots._copy, cut
there = snapshots.open_snapshots(ProviderContext(Settings(), Path(sys.argv[1]), "eu-1", "eu"))
{act}
"""


def cut_off(act: str, root: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", CUT_OFF.format(act=act), str(root)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL


def test_kill_9_in_the_middle_leaves_an_incomplete_one_that_the_token_finishes(ctx: ProviderContext, root: Path) -> None:
    make_disk(ctx, "models", "x" * 1000)
    cut_off('there.create("models", token="t")', root)
    snapshots = open_snapshots(ctx)
    (half,) = snapshots.list()
    assert (half.complete, half.size_bytes) == (False, 0)
    with pytest.raises(Conflict, match="cannot restore"):
        snapshots.restore(half.id, "copy")
    whole = snapshots.create("models", token="t")
    assert (whole.id, whole.complete, whole.size_bytes) == (half.id, True, 1000)
    assert list((root / "snapshots" / whole.id).glob(".*")) == []


def test_kill_9_in_the_middle_of_a_restore_leaves_no_volume(ctx: ProviderContext, root: Path) -> None:
    make_database(ctx, "journal", 10)
    taken = open_snapshots(ctx).create("journal", token="t")
    cut_off(f'there.restore("{taken.id}", "copy")', root)
    with pytest.raises(NotFound):
        find_volume(ctx, "copy")
    assert open_snapshots(ctx).restore(taken.id, "copy") == "copy"
    assert len(rows_of(find_volume(ctx, "copy").content)) == 10
    assert list((root / "databases").glob(".*")) == []


def test_a_name_may_be_long(ctx: ProviderContext) -> None:
    make_disk(ctx, "d" * 128, "x")
    make_disk(ctx, "d" * 127 + "e", "x")
    assert find_volume(ctx, "d" * 128).source == f"disk/{'d' * 128}"


@pytest.mark.parametrize("kind", ["disk", "database"])
def test_a_full_disk_leaves_nothing_half_restored(ctx: ProviderContext, root: Path, kind: str) -> None:
    """A limit on the size of a file stands for the end of the disk."""
    if kind == "disk":
        make_disk(ctx, "large", "x" * 200_000)
    else:
        make_database(ctx, "large", 20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(McmlError) as caught:
            open_snapshots(ctx).create("large", token="t")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(caught.value, QuotaExceeded), caught.value.why
    assert not open_snapshots(ctx).list()[0].complete
    assert open_snapshots(ctx).create("large", token="t").complete
