"""Local buckets: the contract, expiry, and a bucket with versions against a model of it."""

import multiprocessing
import tempfile
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.buckets import open_buckets
from mcml.providers.local.object_store import open_object_store
from mcml.providers.local.settings import Settings
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.contracts.object_store import content
from tests.providers.local.conftest import MakeContext


@pytest.fixture
def ctx(make_context: MakeContext) -> ProviderContext:
    return make_context("eu-1", region="eu")


class TestLocalBuckets(BucketsContract):
    cannot = frozenset({"encryption"})

    @pytest.fixture
    def buckets(self, ctx: ProviderContext) -> Buckets:
        return open_buckets(ctx)

    @pytest.fixture
    def object_store(self, ctx: ProviderContext) -> ObjectStore:
        return open_object_store(ctx)

    @pytest.fixture
    def new_bucket(self) -> str:
        return "contract"


def test_encryption_is_never_promised(ctx: ProviderContext) -> None:
    buckets = open_buckets(ctx)
    buckets.create("secret")
    assert buckets.configure("secret", BucketConfig(encryption=True)) == BucketConfig(encryption=False)


def test_block_public_is_the_mode_of_the_folder(ctx: ProviderContext, root: Path) -> None:
    buckets, folder = open_buckets(ctx), root / "buckets" / "shared"
    buckets.create("shared")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not buckets.configure("shared", BucketConfig(block_public=False)).block_public
    assert folder.stat().st_mode & 0o777 == 0o755
    buckets.configure("shared", BucketConfig())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_somebody_else_is_not_taken(ctx: ProviderContext, root: Path) -> None:
    (root / "buckets" / "theirs").mkdir(parents=True)
    (root / "buckets" / "theirs" / "thesis.txt").write_text("mine")
    with pytest.raises(Conflict, match="theirs"):
        open_buckets(ctx).create("theirs")
    open_buckets(ctx).delete("theirs")
    assert (root / "buckets" / "theirs" / "thesis.txt").read_text() == "mine"


def test_a_bucket_is_one_for_all_targets(make_context: MakeContext) -> None:
    open_buckets(make_context("eu-1")).create("models")
    assert open_buckets(make_context("us-1")).create("models") is False


@pytest.mark.parametrize("days", [0, -1])
def test_expiry_below_a_day_is_refused(ctx: ProviderContext, days: int) -> None:
    buckets = open_buckets(ctx)
    buckets.create("logs")
    with pytest.raises(InvalidRequest):
        buckets.configure("logs", BucketConfig(expire_days=days))
    with pytest.raises(InvalidRequest):
        buckets.configure("logs", BucketConfig(expire_old_days=days))


def test_objects_expire_into_old_versions_and_those_expire_for_good(make_context: MakeContext, root: Path) -> None:
    clock = SimpleNamespace(now=utc_now())
    ctx = make_context(clock=lambda: clock.now)
    buckets, store = open_buckets(ctx), open_object_store(ctx)
    buckets.create("logs")
    buckets.configure("logs", BucketConfig(versioning=True, expire_days=10, expire_old_days=5))
    store.write("logs", "k", [b"1"])
    clock.now += timedelta(days=10)
    assert list(store.list("logs")) == []
    assert [stat.size for stat in buckets.versions("logs", "k")] == [1]
    clock.now += timedelta(days=4, hours=23)
    assert len(buckets.versions("logs", "k")) == 1
    clock.now += timedelta(hours=1)
    assert buckets.versions("logs", "k") == []
    assert list((root / "buckets" / "logs" / "blobs").iterdir()) == []


def test_a_shorter_life_is_applied_at_once(make_context: MakeContext) -> None:
    clock = SimpleNamespace(now=utc_now())
    ctx = make_context(clock=lambda: clock.now)
    buckets, store = open_buckets(ctx), open_object_store(ctx)
    buckets.create("logs")
    store.write("logs", "k", [b"1"])
    clock.now += timedelta(days=2)
    buckets.configure("logs", BucketConfig(versioning=False, expire_days=1))
    with pytest.raises(NotFound):
        store.stat("logs", "k")


def test_without_versioning_the_old_versions_that_are_there_stay(ctx: ProviderContext) -> None:
    buckets, store = open_buckets(ctx), open_object_store(ctx)
    buckets.create("b-1")
    buckets.configure("b-1", BucketConfig(versioning=True))
    first = store.write("b-1", "k", [b"one"])
    store.write("b-1", "k", [b"two"])
    buckets.configure("b-1", BucketConfig(versioning=False))
    assert store.write("b-1", "k", [b"three"]).version == ""
    assert [(stat.version, stat.size) for stat in buckets.versions("b-1", "k")] == [("", 5), (first.version, 3)]
    buckets.restore_version("b-1", "k", first.version)
    assert content(store, "b-1", "k") == b"one"


def _create(root: Path, start: "multiprocessing.synchronize.Barrier") -> None:
    ctx = ProviderContext(Settings(), root)
    start.wait(20)
    answers = [open_buckets(ctx).create(f"race-{number}") for number in range(10)]
    (root / f"{multiprocessing.current_process().pid}.answers").write_text("".join("1" if answer else "0" for answer in answers))


def test_two_processes_that_create_make_one(root: Path) -> None:
    root.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    children = [context.Process(target=_create, args=(root, start)) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join(60)
        assert process.exitcode == 0
        process.close()
    first, second = (path.read_text() for path in root.glob("*.answers"))
    assert [int(a) + int(b) for a, b in zip(first, second, strict=True)] == [1] * 10


KEYS = st.sampled_from(["a", "a/b", "a-b", "ab", "b/ü", "b//", "Z"])
BYTES = st.binary(max_size=20)


class BucketMachine(RuleBasedStateMachine):
    """A bucket beside a dict that says what must be in it: newest versions, and the old ones of each key, newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        ctx = ProviderContext(Settings(), Path(self.folder.name))
        self.store, self.buckets = open_object_store(ctx), open_buckets(ctx)
        self.buckets.create("bucket")
        self.versioning = False
        self.newest: dict[str, tuple[str, bytes]] = {}
        self.old: dict[str, list[tuple[str, bytes]]] = {}

    def retire(self, key: str) -> None:
        version, data = self.newest.pop(key, ("", b""))
        if version and self.versioning:
            self.old.setdefault(key, []).insert(0, (version, data))

    def become(self, key: str, data: bytes) -> None:
        """A write went through: the id is known from the etag, which begins with it."""
        self.retire(key)
        self.newest[key] = (f"{int(self.store.stat('bucket', key).etag.partition('-')[0], 16):012d}", data)

    @rule(key=KEYS, data=BYTES)
    def write(self, key: str, data: bytes) -> None:
        assert self.store.write("bucket", key, [data[:5], data[5:]]).size == len(data)
        self.become(key, data)

    @rule(key=KEYS, data=BYTES, fresh=st.booleans())
    def write_conditionally(self, key: str, data: bytes, fresh: bool) -> None:
        etag = "" if fresh or key not in self.newest else self.store.stat("bucket", key).etag
        if bool(etag) == (key in self.newest):
            self.store.write("bucket", key, [data], if_match=etag)
            self.become(key, data)
        else:
            with pytest.raises(Conflict):
                self.store.write("bucket", key, [data], if_match=etag)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete("bucket", key)
        self.retire(key)

    @rule(on=st.booleans())
    def configure(self, on: bool) -> None:
        self.buckets.configure("bucket", BucketConfig(versioning=on))
        self.versioning = on

    @precondition(lambda self: any(self.old.values()))
    @rule(choice=st.integers(0, 1000))
    def restore(self, choice: int) -> None:
        every = [(key, version, data) for key, versions in sorted(self.old.items()) for version, data in versions]
        key, version, data = every[choice % len(every)]
        self.buckets.restore_version("bucket", key, version)
        if self.newest.get(key, ("", None))[1] != data:
            self.become(key, data)

    @rule(versions=st.booleans())
    def empty(self, versions: bool) -> None:
        held = len(self.newest) + (sum(map(len, self.old.values())) if versions else 0)
        assert self.buckets.empty("bucket", versions=versions) == held
        for key in list(self.newest):
            self.retire(key)
        if versions:
            self.old.clear()

    @invariant()
    def is_as_the_model_says(self) -> None:
        listed = list(self.store.list("bucket"))
        assert [stat.key for stat in listed] == sorted(self.newest, key=str.encode)
        assert [stat.key for stat in self.store.list("bucket", "a")] == [stat.key for stat in listed if stat.key.startswith("a")]
        for key in {*self.newest, *self.old}:
            here = [self.newest[key]] if key in self.newest else []
            said = [*here, *self.old.get(key, [])]
            assert [content(self.store, "bucket", key, version=version) for version, _ in said] == [data for _, data in said]
            assert len(self.buckets.versions("bucket", key)) == len(said)
        blobs = Path(self.folder.name) / "buckets" / "bucket" / "blobs"
        assert len(list(blobs.iterdir())) == len(self.newest) + sum(map(len, self.old.values()))

    def teardown(self) -> None:
        self.folder.cleanup()


TestBucketMachine = BucketMachine.TestCase
TestBucketMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None, database=None)
