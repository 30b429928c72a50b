"""Copies between real buckets and folders: what is copied, what is refused, and that nothing bad is left when bytes or sources change."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, PartlyDone, QuotaExceeded, Unavailable, Usage
from mcml.core.report import Silent
from mcml.data import remove
from mcml.data.address import parse
from mcml.data.copy import checked
from mcml.data.ends import one, several
from mcml.data.plan import Rules
from mcml.data.stream import Damaged
from mcml.data.work import Run, raise_failures
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from tests.data.world import MIB, Store, content, copied, files, keys, planned, project

TREE = {"a": b"one", "sub/b c": b"two", "sub/zwei\nzeilen": b"", "日本/ü": b"\0\xff" * 1000}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return project(tmp_path, "first", "second")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, data in TREE.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    return tmp_path / "tree"


def test_a_tree_goes_up_across_and_down_and_is_the_same(store: ObjectStore, tree: Path, tmp_path: Path) -> None:
    ways = [(str(tree), "local://first/x"), ("local://first/x", "local://second"), ("local://second/", str(tmp_path / "out"))]
    for source, destination in ways:
        assert [outcome.state for outcome in copied(store, source, destination, recursive=True)] == ["done"] * 4
        assert {action for action, _ in planned(store, source, destination, recursive=True).values()} == {"keep"}
    assert keys(store, "second") == sorted(TREE, key=str.encode)
    assert files(tmp_path / "out") == TREE


def test_only_what_differs_is_copied(store: ObjectStore, tree: Path) -> None:
    copied(store, str(tree), "local://first/x", recursive=True)
    before = {stat.key: stat.etag for stat in store.list("first")}
    (tree / "a").write_bytes(b"ONE")
    (tree / "new").write_bytes(b"new")
    assert {name: action for name, (action, _) in planned(store, str(tree), "local://first/x", recursive=True).items()} == {
        "local://first/x/a": "update",
        "local://first/x/new": "create",
        "local://first/x/sub/b c": "keep",
        "local://first/x/sub/zwei\nzeilen": "keep",
        "local://first/x/日本/ü": "keep",
    }
    copied(store, str(tree), "local://first/x", recursive=True)
    after = {stat.key: stat.etag for stat in store.list("first")}
    assert {key for key in after if after[key] != before.get(key)} == {"x/a", "x/new"}


@pytest.mark.parametrize(
    ("destination", "key"),
    [("local://first", "a"), ("local://first/", "a"), ("local://first/x/", "x/a"), ("local://first/x", "x"), ("local://first/x/y", "x/y")],
)
def test_where_one_file_goes(destination: str, key: str, store: ObjectStore, tree: Path) -> None:
    copied(store, str(tree / "a"), destination)
    assert keys(store, "first") == [key]


def test_where_one_object_goes(store: ObjectStore, tmp_path: Path) -> None:
    store.write("first", "deep/a", [b"1"])
    (tmp_path / "there").mkdir()
    for destination in ("there", "new/", "as"):
        copied(store, "local://first/deep/a", f"{tmp_path}/{destination}")
    assert (tmp_path / "there/a").read_bytes() == (tmp_path / "new/a").read_bytes() == (tmp_path / "as").read_bytes() == b"1"


def test_recursive_means_below_the_folder_not_every_key_that_begins_so(store: ObjectStore, tmp_path: Path) -> None:
    for key in ("a", "a/1", "ab/1"):
        store.write("first", key, [b"1"])
    copied(store, "local://first/a", str(tmp_path / "out"), recursive=True)
    assert files(tmp_path / "out") == {"1": b"1"}


@pytest.mark.parametrize(
    ("source", "destination", "recursive", "kind"),
    [
        ("local://first/none", "out", False, NotFound),
        ("local://first/none", "out", True, NotFound),
        ("local://first/none/", "out", True, NotFound),
        ("local://nowhere/a", "out", True, NotFound),
        ("none", "local://first/a", False, NotFound),
        ("local://first/", "out", False, Usage),
        ("tree", "local://first/a", False, Usage),
        ("-", "local://first/", False, Usage),
        ("local://first/a", "-", True, Usage),
        ("local://first", "local://first/inside", True, Usage),
        ("tree", "tree/sub", True, Usage),
        ("tree", "tree/a", True, McmlError),
    ],
)
def test_what_cannot_be_asked(
    source: str, destination: str, recursive: bool, kind: type[McmlError], store: ObjectStore, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.parent)
    with pytest.raises(kind):
        copied(store, source, destination, recursive=recursive)
    assert keys(store, "first") == []
    assert files(tree) == TREE


def any_key(real: ObjectStore, *names: str) -> Store:
    """A store as others have it: with keys that the local one refuses."""

    class Anything(Store):
        def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
            return (replace(real.stat("first", "safe"), key=name) for name in names)

        def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
            return replace(real.stat("first", "safe"), key=key)

        def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
            return real.read("first", "safe")

    return Anything(real)


def test_keys_that_lead_out_of_the_folder_are_refused_and_the_others_copied(store: ObjectStore, tmp_path: Path) -> None:
    store.write("first", "safe", [b"1"])
    wild = any_key(store, "../x", "/abs", "a/../../y", "good", "good/and/folder", "a//b")
    outcomes = copied(wild, "local://first/", f"{tmp_path}/deep/out", recursive=True)
    assert {outcome.step.values["from"]: outcome.state for outcome in outcomes} == {
        "../x": "failed", "/abs": "failed", "a/../../y": "failed", "good": "done", "good/and/folder": "failed", "a//b": "failed",
    }  # fmt: skip
    assert files(tmp_path / "deep") == {"out/good": b"1"}
    with pytest.raises(PartlyDone) as partly:
        raise_failures(outcomes, "copied", "again")
    assert (partly.value.message, partly.value.next_step) == ("1 copied, 0 kept as they were, 5 failed", "again")
    with pytest.raises(InvalidRequest):
        raise_failures(copied(wild, "local://first/..", f"{tmp_path}/deep/out/"), "copied", "again")


def test_a_link_in_the_destination_leads_nowhere_else(store: ObjectStore, tmp_path: Path) -> None:
    store.write("first", "link/passwd", [b"1"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "elsewhere")
    (outcome,) = copied(store, "local://first", f"{tmp_path}/out", recursive=True)
    assert (outcome.state, isinstance(outcome.error, InvalidRequest)) == ("failed", True)
    assert files(tmp_path / "elsewhere") == {}


def test_links_and_pipes_are_not_copied_silently(store: ObjectStore, tree: Path) -> None:
    (tree / "folder-link").symlink_to(tree / "sub")
    (tree / "broken").symlink_to(tree / "none")
    (tree / "file-link").symlink_to(tree / "a")
    os.mkfifo(tree / "pipe")
    (tree / os.fsdecode(b"\xff")).write_bytes(b"")
    outcomes = copied(store, str(tree), "local://first", recursive=True)
    failed = {str(outcome.step.values["from"]): outcome.detail for outcome in outcomes if outcome.state == "failed"}
    assert failed == {
        "folder-link": "a link to a folder, which is not followed",
        "broken": "a link that leads nowhere",
        "pipe": "neither a file nor a folder",
        "\udcff": "its name is not valid Unicode",
    }
    assert content(store, "first", "file-link") == b"one"


def test_no_clobber_keeps_what_is_there_and_what_appears_meanwhile(store: ObjectStore, tree: Path, tmp_path: Path) -> None:
    store.write("first", "a", [b"theirs"])
    rules = Rules(clobber=False)
    assert [outcome.state for outcome in copied(store, f"{tree}/a", "local://first/a", rules=rules)] == ["kept"]

    def race(key: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        store.write("first", key, [b"theirs"])
        return chunks

    (outcome,) = copied(Store(store, on_write=race), f"{tree}/a", "local://first/b", rules=rules)
    assert isinstance(outcome.error, Conflict)
    assert content(store, "first", "a") == content(store, "first", "b") == b"theirs"

    def local_race(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        (tmp_path / "out").write_bytes(b"mine")
        return chunks

    (outcome,) = copied(Store(store, on_read=local_race), "local://first/a", f"{tmp_path}/out", rules=rules)
    assert isinstance(outcome.error, Conflict)
    assert (tmp_path / "out").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".out*"))


def without_checksum(stat: ObjectStat) -> ObjectStat:
    return replace(stat, checksum="")


def composite(stat: ObjectStat) -> ObjectStat:
    return replace(stat, checksum=f"{stat.checksum}-3")


def corrupt(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        yield bytes([chunk[0] ^ 1]) + chunk[1:] if number == 1 else chunk


def test_a_chunk_damaged_on_the_way_down_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    store.write("first", "big", [os.urandom(9 * MIB)])
    bad = Store(store, on_read=lambda key, start, chunks: corrupt(chunks))
    (outcome,) = copied(bad, "local://first/big", f"{tmp_path}/out/")
    assert isinstance(outcome.error, Damaged)
    assert "sha256" in outcome.error.why
    assert files(tmp_path / "out") == {}
    with pytest.raises(Damaged):
        end = one(parse("local://first/big"), lambda scheme: bad)
        list(checked(end.place, end.place.find("big") or pytest.fail("not there")))


def test_a_chunk_damaged_on_the_way_across_leaves_no_object(store: ObjectStore) -> None:
    store.write("first", "big", [os.urandom(3 * MIB)])
    reading = Store(store, on_read=lambda key, start, chunks: corrupt(chunks))
    writing = Store(store, on_write=lambda key, chunks: corrupt(chunks))
    for bad in (reading, writing):
        (outcome,) = copied(bad, "local://first/big", "local://second/big")
        assert isinstance(outcome.error, Damaged)
        assert keys(store, "second") == []


def test_a_destination_that_swallows_the_error_is_cleaned_up(store: ObjectStore) -> None:
    store.write("first", "big", [os.urandom(3 * MIB)])

    def swallow(key: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except McmlError:
            return

    bad = Store(store, on_read=lambda key, start, chunks: corrupt(chunks), on_write=swallow)
    (outcome,) = copied(bad, "local://first/big", "local://second/big")
    assert isinstance(outcome.error, Damaged)
    assert keys(store, "second") == []


@pytest.mark.parametrize("hide", [without_checksum, composite, lambda stat: stat])
def test_a_source_that_changes_meanwhile_is_a_conflict_and_nothing_is_left(
    hide: Callable[[ObjectStat], ObjectStat], store: ObjectStore, tmp_path: Path
) -> None:
    def change(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        store.write("first", key, [b"x" * 3 * MIB])  # the real store opens it with the first chunk: after this
        yield from chunks

    for destination in ("local://second/big", f"{tmp_path}/out/"):
        store.write("first", "big", [os.urandom(3 * MIB)])
        (outcome,) = copied(Store(store, on_read=change, hide_checksum=hide), "local://first/big", destination)
        assert isinstance(outcome.error, Conflict), outcome
    assert keys(store, "second") == []
    assert files(tmp_path / "out") == {}


def test_a_file_that_grows_meanwhile_is_a_conflict(store: ObjectStore, tree: Path) -> None:
    def grow(key: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with (tree / "a").open("ab") as file:
                file.write(b"more")
            yield chunk

    (outcome,) = copied(Store(store, on_write=grow), str(tree / "a"), "local://first/a")
    assert isinstance(outcome.error, Conflict)
    assert keys(store, "first") == []


def test_without_a_checksum_of_a_known_kind_the_size_is_what_was_verified(store: ObjectStore, tmp_path: Path) -> None:
    store.write("first", "a", [b"1"])
    odd = Store(store, hide_checksum=composite)
    assert [outcome.detail for outcome in copied(odd, "local://first/a", f"{tmp_path}/out")] == ["verified by size"]
    assert planned(odd, "local://first/a", f"{tmp_path}/out") == {
        f"{tmp_path}/out": ("keep", "same size and not older; checksums cannot be compared")
    }
    assert [outcome.detail for outcome in copied(store, "local://first/a", "local://second/a")] == [
        "verified by sha256 at the source, sha256 at the destination"
    ]


def test_a_listing_without_checksums_is_asked_again_one_by_one(store: ObjectStore, tree: Path) -> None:
    class Bare(Store):
        def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
            return (without_checksum(stat) for stat in self.real.list(bucket, prefix))

    copied(store, str(tree), "local://first", recursive=True)
    assert {reason for _, reason in planned(Bare(store), str(tree), "local://first", recursive=True).values()} == {"same sha256"}


def test_what_fails_hides_no_other_and_a_rerun_makes_up_for_it(store: ObjectStore, tree: Path) -> None:
    def refuse(key: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        if key == "a":
            raise Unavailable("the other side is tired")
        return chunks

    outcomes = copied(Store(store, on_write=refuse), str(tree), "local://first", recursive=True)
    assert [outcome.state for outcome in outcomes] == ["failed", "done", "done", "done"]
    with pytest.raises(PartlyDone) as partly:
        raise_failures(outcomes, "copied", "again")
    assert partly.value.why == "local://first/a: the other side is tired"
    again = copied(store, str(tree), "local://first", recursive=True)
    assert [outcome.state for outcome in again] == ["done", "kept", "kept", "kept"]


def test_when_all_fail_the_error_is_theirs(store: ObjectStore, tree: Path) -> None:
    def full(key: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        raise QuotaExceeded("full")

    outcomes = copied(Store(store, on_write=full), str(tree), "local://first", recursive=True)
    with pytest.raises(QuotaExceeded, match="0 copied, 0 kept as they were, 4 failed"):
        raise_failures(outcomes, "copied", "again")


def test_pinned_to_a_version_a_change_meanwhile_does_no_harm(store: ObjectStore, tmp_path: Path) -> None:
    from mcml.providers import discovery
    from mcml.providers.api.buckets import BucketConfig
    from mcml.providers.api.capability import BUCKETS
    from tests.data.world import context

    discovery.open_capability(discovery.spec("local"), BUCKETS, context(tmp_path)).configure("first", BucketConfig(versioning=True))
    store.write("first", "a", [b"old"])

    def change(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        store.write("first", key, [b"new"])
        yield from chunks

    copied(Store(store, on_read=change), "local://first/a", f"{tmp_path}/out")
    assert (tmp_path / "out").read_bytes() == b"old"
    copied(store, "local://first/a", f"{tmp_path}/out")
    assert (tmp_path / "out").read_bytes() == b"new"


def test_deleting(store: ObjectStore, tree: Path) -> None:
    def deleted(address: str, *, recursive: bool = True) -> int:
        end = (several if recursive else one)(parse(address), lambda scheme: store)
        return len(remove.run(end, Run(remove.look(end), "deleted", Silent())))

    copied(store, str(tree), "local://first/x", recursive=True)
    store.write("first", "xy", [b"1"])
    assert deleted("local://first/x/a", recursive=False) == 1
    assert deleted("local://first/x") == 3
    assert keys(store, "first") == ["xy"]
    with pytest.raises(NotFound):
        deleted("local://first/x/a", recursive=False)
    (tree / "out").symlink_to(tree.parent)
    assert deleted(str(tree)) == 5
    assert not tree.exists()
    assert tree.parent.exists()


def test_many_at_once_are_each_themselves(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(80):
        (tmp_path / "many" / str(number)).write_bytes(hashlib.sha256(str(number).encode()).digest())
    outcomes = copied(store, f"{tmp_path}/many", "local://first", recursive=True, jobs=16)
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert copied(store, "local://first", f"{tmp_path}/back", recursive=True, jobs=16)
    assert files(tmp_path / "back") == files(tmp_path / "many")
