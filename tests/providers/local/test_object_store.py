"""The local object store: the contract, and what happens when the process or the disk fails in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, ProviderCannot, QuotaExceeded
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.bucket_names import is_bucket_name
from mcml.providers.local.buckets import open_buckets
from mcml.providers.local.object_store import PAGE_OBJECTS, open_object_store
from mcml.testing.contracts.object_store import MIB, ObjectStoreContract, content
from tests.providers.local.conftest import MakeContext

PRELUDE = """
import os, resource, sys
from pathlib import Path
from mcml.core.errors import McmlError
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.object_store import open_object_store
from mcml.providers.local.settings import Settings
store = open_object_store(ProviderContext(Settings(), Path(sys.argv[1])))
"""


@pytest.fixture
def ctx(make_context: MakeContext) -> ProviderContext:
    return make_context()


@pytest.fixture
def object_store(ctx: ProviderContext) -> ObjectStore:
    return open_object_store(ctx)


@pytest.fixture
def bucket(ctx: ProviderContext) -> str:
    open_buckets(ctx).create("models")
    return "models"


class TestLocalObjectStore(ObjectStoreContract):
    more_than_a_page = PAGE_OBJECTS + 3

    @pytest.fixture
    def object_store(self, ctx: ProviderContext) -> ObjectStore:
        return open_object_store(ctx)

    @pytest.fixture
    def bucket(self, ctx: ProviderContext) -> str:
        open_buckets(ctx).create("contract")
        return "contract"


def child(code: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PRELUDE + code, str(root)], stdout=subprocess.PIPE, text=True)


def files_of(root: Path, bucket: str) -> tuple[list[str], list[str]]:
    """Return the names of the files in `incoming` and in `blobs`."""
    folder = root / "buckets" / bucket
    return sorted(path.name for path in (folder / "incoming").iterdir()), sorted(path.name for path in (folder / "blobs").iterdir())


@pytest.mark.parametrize("key", ["/etc/passwd", "..", "a/../../b", "./a", "a/.", "a\0b", "\udc80", "x" * 1025])
def test_no_key_leads_out_of_the_bucket(object_store: ObjectStore, bucket: str, root: Path, key: str) -> None:
    with pytest.raises(InvalidRequest):
        object_store.write(bucket, key, [b"x"])
    assert files_of(root, bucket) == ([], [])


def test_odd_keys_are_only_names(object_store: ObjectStore, bucket: str) -> None:
    names = ["a//b", "a/", "...", "~", "a b\n", "-rf", "con", ".hidden", "a/.git/x", "index.db", "\U0010ffff", "%2e%2e"]
    keys = sorted(names, key=str.encode)
    for key in keys:
        object_store.write(bucket, key, [key.encode()])
    assert [stat.key for stat in object_store.list(bucket)] == keys
    assert [content(object_store, bucket, key) for key in keys] == [key.encode() for key in keys]


@pytest.mark.parametrize("bucket", ["../targets", "..", "", "targets/eu-1", "UP"])
def test_a_bad_bucket_name_is_no_bucket(object_store: ObjectStore, bucket: str) -> None:
    with pytest.raises(NotFound):
        list(object_store.list(bucket))


def test_bucket_names() -> None:
    assert all(map(is_bucket_name, ["abc", "a-b.c", "a" * 63, "1-2"]))
    assert not any(map(is_bucket_name, ["ab", "a..b", "-ab", "ab-", "a_b", "Abc", "a" * 64, "a/b", "abc\n"]))


def test_the_same_bytes_have_another_etag(object_store: ObjectStore, bucket: str) -> None:
    first = object_store.write(bucket, "k", [b"same"])
    second = object_store.write(bucket, "k", [b"same"])
    assert first.checksum == second.checksum
    with pytest.raises(Conflict, match="changed underneath"):
        object_store.write(bucket, "k", [b"other"], if_match=first.etag)


def test_a_write_that_cannot_be_takes_no_bytes(object_store: ObjectStore, bucket: str) -> None:
    object_store.write(bucket, "k", [b"1"])

    def never() -> Iterator[bytes]:
        yield pytest.fail("the conflict was known before")

    with pytest.raises(Conflict):
        object_store.write(bucket, "k", never(), if_match="")


def test_there_are_no_signed_urls(object_store: ObjectStore, bucket: str) -> None:
    with pytest.raises(ProviderCannot) as caught:
        object_store.sign(bucket, "k", "PUT", timedelta(hours=1))
    assert "no server" in caught.value.why


def test_replaced_bytes_leave_the_disk(object_store: ObjectStore, bucket: str, root: Path) -> None:
    for number in range(5):
        object_store.write(bucket, "k", [b"x" * number])
    assert len(files_of(root, bucket)[1]) == 1
    object_store.delete(bucket, "k")
    assert files_of(root, bucket) == ([], [])


def test_a_reader_keeps_what_it_opened(object_store: ObjectStore, bucket: str) -> None:
    object_store.write(bucket, "k", [b"a" * 3 * MIB])
    reading = object_store.read(bucket, "k")
    begun = next(reading)
    object_store.write(bucket, "k", [b"b" * 10])
    assert begun + b"".join(reading) == b"a" * 3 * MIB


def test_a_reader_that_has_not_begun_gets_the_new_object(object_store: ObjectStore, bucket: str) -> None:
    object_store.write(bucket, "k", [b"old"])
    reading = object_store.read(bucket, "k")
    object_store.write(bucket, "k", [b"newer"])
    assert b"".join(reading) == b"newer"


def test_bytes_removed_from_outside_are_an_error_and_not_an_empty_object(object_store: ObjectStore, bucket: str, root: Path) -> None:
    object_store.write(bucket, "k", [b"x" * MIB])
    (blob,) = (root / "buckets" / bucket / "blobs").iterdir()
    os.truncate(blob, 10)
    with pytest.raises(McmlError, match="ends at byte 10"):
        content(object_store, bucket, "k")
    blob.unlink()
    with pytest.raises(McmlError, match="missing"):
        content(object_store, bucket, "k")


def test_a_broken_index_is_an_error_that_names_it(object_store: ObjectStore, bucket: str, root: Path) -> None:
    (root / "buckets" / bucket / "index.db").write_bytes(b"this is no database, and it is long enough to be looked at" * 20)
    with pytest.raises(McmlError, match="cannot read the index") as caught:
        object_store.write(bucket, "k", [b"1"])
    assert "index.db" in caught.value.next_step


def test_a_bucket_that_goes_during_a_write(ctx: ProviderContext, object_store: ObjectStore, bucket: str) -> None:
    def deleting() -> Iterator[bytes]:
        yield b"1"
        open_buckets(ctx).delete(bucket)

    with pytest.raises(NotFound):
        object_store.write(bucket, "k", deleting())


def test_kill_9_in_the_middle_of_a_write_leaves_the_old_object(object_store: ObjectStore, bucket: str, root: Path) -> None:
    old = object_store.write(bucket, "k", [b"old"])
    code = f"""
def chunks():
    for number in range(10 ** 9):
        yield b"x" * {MIB}
        print(number, flush=True)
store.write({bucket!r}, "k", chunks())
"""
    with child(code, root) as writer:
        assert writer.stdout is not None
        while writer.stdout.readline().strip() != "5":
            pass
        half = (root / "buckets" / bucket / "incoming").iterdir()
        assert [path.stat().st_size >= 5 * MIB for path in half] == [True]
        assert object_store.stat(bucket, "k") == old
        object_store.write(bucket, "other", [b"1"])
        assert len(files_of(root, bucket)[0]) == 1, "a living writer's file was taken for a dead one's"
        writer.send_signal(signal.SIGKILL)
    assert object_store.stat(bucket, "k") == old
    assert content(object_store, bucket, "k") == b"old"
    object_store.write(bucket, "k", [b"new"], if_match=old.etag)
    incoming, blobs = files_of(root, bucket)
    assert (incoming, len(blobs)) == ([], 2)


def test_kill_9_between_the_bytes_and_the_index_leaves_the_old_object(ctx: ProviderContext, object_store: ObjectStore, bucket: str) -> None:
    """The bytes are in place and their row is not committed: the worst moment there is."""
    object_store.write(bucket, "k", [b"old"])
    code = f"""
import mcml.providers.local.incoming as incoming
keep = incoming.Incoming.place
def place_and_die(self, path):
    keep(self, path)
    os.kill(os.getpid(), 9)
incoming.Incoming.place = place_and_die
store.write({bucket!r}, "k", [b"new"])
"""
    with child(code, ctx.state) as writer:
        assert writer.wait(30) == -signal.SIGKILL
    assert content(object_store, bucket, "k") == b"old"
    assert len(files_of(ctx.state, bucket)[1]) == 2
    open_buckets(ctx).configure(bucket, BucketConfig(versioning=False))
    assert len(files_of(ctx.state, bucket)[1]) == 1
    assert content(object_store, bucket, "k") == b"old"


def test_of_two_processes_exactly_one_creates(object_store: ObjectStore, bucket: str, root: Path) -> None:
    code = f"""
won = []
for number in range(20):
    try:
        store.write({bucket!r}, f"k{{number}}", [str(os.getpid()).encode()], if_match="")
        won.append(number)
    except McmlError as lost:
        assert type(lost).__name__ == "Conflict", lost
print(won)
"""
    writers = [child(code, root) for _ in range(3)]
    won = []
    for writer in writers:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        won += [(number, str(writer.pid)) for number in json.loads(out)]
    assert sorted(number for number, _ in won) == list(range(20))
    for number, pid in won:
        assert content(object_store, bucket, f"k{number}") == pid.encode()


def test_increments_by_two_processes_lose_nothing(object_store: ObjectStore, bucket: str, root: Path) -> None:
    object_store.write(bucket, "count", [b"0"])
    code = f"""
from mcml.core.errors import Conflict
for _ in range(15):
    while True:
        stat = store.stat({bucket!r}, "count")
        value = int(b"".join(store.read({bucket!r}, "count")))
        try:
            store.write({bucket!r}, "count", [str(value + 1).encode()], if_match=stat.etag)
            break
        except Conflict:
            pass
"""
    writers = [child(code, root) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    assert content(object_store, bucket, "count") == b"30"


def test_a_full_disk_leaves_nothing_half_written(object_store: ObjectStore, bucket: str, root: Path) -> None:
    """A limit on the size of a file stands for the end of the disk: the write stops in the middle, with EFBIG for ENOSPC."""
    object_store.write(bucket, "k", [b"old"])
    code = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * MIB}, {2 * MIB}))
try:
    store.write({bucket!r}, "k", (b"x" * 700_000 for _ in range(9)))
except McmlError as failed:
    print(type(failed).__name__, failed.why)
"""
    with child(code, root) as writer:
        out, _ = writer.communicate(timeout=30)
    assert out == f"{QuotaExceeded.__name__} File too large\n"
    assert content(object_store, bucket, "k") == b"old"
    incoming, blobs = files_of(root, bucket)
    assert (incoming, len(blobs)) == ([], 1)


def test_a_full_disk_under_the_index_leaves_the_old_object(object_store: ObjectStore, bucket: str, root: Path) -> None:
    for number in range(60):
        object_store.write(bucket, f"{'long' * 50}{number}", [b"."])
    size = (root / "buckets" / bucket / "index.db").stat().st_size
    code = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
written = 0
try:
    for number in range(100):
        store.write({bucket!r}, f"new{{'long' * 50}}{{number}}", [b"."])
        written += 1
except McmlError as failed:
    print(written, type(failed).__name__)
"""
    with child(code, root) as writer:
        out, _ = writer.communicate(timeout=60)
    written, error = out.split()
    assert error == QuotaExceeded.__name__
    keys = [stat.key for stat in object_store.list(bucket)]
    assert len(keys) == 60 + int(written)
    assert len(files_of(root, bucket)[1]) == len(keys)


@pytest.mark.slow
def test_large_objects_take_no_memory(bucket: str, root: Path) -> None:
    """512 MiB are written and read in a process whose memory grows by less than 32 MiB."""
    code = f"""
from mcml.testing.memory import peak_bytes
before = peak_bytes()
store.write({bucket!r}, "large", (b"x" * {MIB} for _ in range(512)))
size = sum(len(chunk) for chunk in store.read({bucket!r}, "large"))
print(size // {MIB}, (peak_bytes() - before) // {MIB})
"""
    with child(code, root) as writer:
        out, _ = writer.communicate(timeout=120)
    size, grown = map(int, out.split())
    assert size == 512
    assert grown < 32


def test_expired_objects_are_gone_from_listings(make_context: MakeContext) -> None:
    clock = SimpleNamespace(now=utc_now())
    ctx = make_context(clock=lambda: clock.now)
    store, buckets = open_object_store(ctx), open_buckets(ctx)
    buckets.create("logs")
    buckets.configure("logs", BucketConfig(versioning=False, expire_days=3))
    store.write("logs", "old", [b"1"])
    clock.now += timedelta(days=2)
    store.write("logs", "young", [b"2"])
    assert [stat.key for stat in store.list("logs")] == ["old", "young"]
    clock.now += timedelta(days=1)
    assert [stat.key for stat in store.list("logs")] == ["young"]
    assert len(files_of(ctx.state, "logs")[1]) == 1
