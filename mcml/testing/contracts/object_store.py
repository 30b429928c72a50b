"""What every ObjectStore promises."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound, ProviderCannot
from mcml.providers.api.object_store import ObjectStat, ObjectStore

KIB, MIB = 1 << 10, 1 << 20


def content(store: ObjectStore, bucket: str, key: str, *, version: str = "") -> bytes:
    """Return the whole of a (small) object."""
    return b"".join(store.read(bucket, key, version=version))


class ObjectStoreContract:
    """Give `object_store`, `bucket`: the name of an empty one of its own for each test, and `missing_bucket`: a name that none has.

    `more_than_a_page` is how many objects the provider does not list in one answer.
    """

    more_than_a_page = 1003

    @pytest.fixture
    def object_store(self) -> ObjectStore:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self) -> str:
        """Return the name of an empty bucket."""
        raise NotImplementedError

    @pytest.fixture
    def missing_bucket(self) -> str:
        """Return a good name that no bucket has."""
        return "mcml-no-such-bucket-1b1c"

    def test_reads_what_was_written(self, object_store: ObjectStore, bucket: str) -> None:
        """In chunks of any size; write and stat say the same of it."""
        written = object_store.write(bucket, "a/b.bin", [b"he", b"", b"llo"])
        assert (written.bucket, written.key, written.size) == (bucket, "a/b.bin", 5)
        assert written.etag
        assert abs(datetime.now(UTC) - written.modified) < timedelta(minutes=5)
        assert content(object_store, bucket, "a/b.bin") == b"hello"
        stat = object_store.stat(bucket, "a/b.bin")
        assert replace(stat, modified=written.modified) == written
        assert abs(stat.modified - written.modified) < timedelta(minutes=5)

    def test_an_empty_object_is_an_object(self, object_store: ObjectStore, bucket: str) -> None:
        """It has size 0 and no bytes."""
        assert object_store.write(bucket, "empty", []).size == 0
        assert content(object_store, bucket, "empty") == b""
        assert [stat.key for stat in object_store.list(bucket)] == ["empty"]

    def test_the_checksum_is_of_the_bytes(self, object_store: ObjectStore, bucket: str) -> None:
        """`algorithm:hex`; where Python knows the algorithm, the digest is right."""
        stat = object_store.write(bucket, "k", [b"some ", b"bytes"])
        algorithm, _, digest = stat.checksum.partition(":")
        assert algorithm
        assert int(digest, 16) >= 0
        if algorithm in hashlib.algorithms_available:
            assert digest == hashlib.new(algorithm, b"some bytes", usedforsecurity=False).hexdigest()
        assert object_store.write(bucket, "k2", [b"some bytes"]).checksum == stat.checksum

    def test_a_large_object_streams(self, object_store: ObjectStore, bucket: str) -> None:
        """9 MiB and a byte, written in odd chunks, come back the same and in more than one chunk."""
        parts = [bytes([number]) * (KIB * 999) for number in range(9)] + [b"x" * (9 * MIB + 1 - 9 * KIB * 999)]
        assert object_store.write(bucket, "large", iter(parts)).size == 9 * MIB + 1
        digest, chunks = hashlib.sha256(), 0
        for chunk in object_store.read(bucket, "large"):
            digest.update(chunk)
            chunks += 1
        assert digest.digest() == hashlib.sha256(b"".join(parts)).digest()
        assert chunks > 1

    def test_reads_a_range(self, object_store: ObjectStore, bucket: str) -> None:
        """From `start` up to, not including, `end`; a range that reaches outside is refused."""
        object_store.write(bucket, "k", [b"0123456789"])
        assert b"".join(object_store.read(bucket, "k", start=3, end=7)) == b"3456"
        assert b"".join(object_store.read(bucket, "k", start=8)) == b"89"
        assert b"".join(object_store.read(bucket, "k", end=1)) == b"0"
        for start, end in ((11, None), (0, 11), (-1, None), (5, 4)):
            with pytest.raises(InvalidRequest):
                b"".join(object_store.read(bucket, "k", start=start, end=end))

    def test_a_new_write_replaces(self, object_store: ObjectStore, bucket: str) -> None:
        """Readers get the new bytes, the etag changes, and there is one object."""
        first = object_store.write(bucket, "k", [b"one"])
        second = object_store.write(bucket, "k", [b"three"])
        assert first.etag != second.etag
        assert content(object_store, bucket, "k") == b"three"
        assert [(stat.key, stat.size) for stat in object_store.list(bucket)] == [("k", 5)]

    def test_a_failed_source_leaves_the_old_object(self, object_store: ObjectStore, bucket: str) -> None:
        """The chunks stop with an error after a megabyte: nothing is written, and the error comes through."""
        object_store.write(bucket, "k", [b"old"])

        def broken() -> Iterator[bytes]:
            yield b"x" * MIB
            raise ZeroDivisionError

        for key in ("k", "new"):
            with pytest.raises(ZeroDivisionError):
                object_store.write(bucket, key, broken())
        assert content(object_store, bucket, "k") == b"old"
        assert [stat.key for stat in object_store.list(bucket)] == ["k"]

    def test_if_match_holds_an_etag(self, object_store: ObjectStore, bucket: str) -> None:
        """With the etag that stands the write goes through, with an old one it is refused and changes nothing."""
        first = object_store.write(bucket, "k", [b"1"])
        second = object_store.write(bucket, "k", [b"22"], if_match=first.etag)
        with pytest.raises(Conflict):
            object_store.write(bucket, "k", [b"333"], if_match=first.etag)
        with pytest.raises(Conflict):
            object_store.write(bucket, "absent", [b"333"], if_match=first.etag)
        assert object_store.stat(bucket, "k").etag == second.etag
        assert [stat.key for stat in object_store.list(bucket)] == ["k"]

    def test_if_match_empty_means_only_if_there_is_none(self, object_store: ObjectStore, bucket: str) -> None:
        """The first goes through, the second does not, and after a delete one does again."""
        object_store.write(bucket, "k", [b"1"], if_match="")
        with pytest.raises(Conflict):
            object_store.write(bucket, "k", [b"2"], if_match="")
        assert content(object_store, bucket, "k") == b"1"
        object_store.delete(bucket, "k")
        object_store.write(bucket, "k", [b"3"], if_match="")
        assert content(object_store, bucket, "k") == b"3"

    def test_of_many_writers_one_is_first(self, object_store: ObjectStore, bucket: str) -> None:
        """Eight write the same key at once, each only if there is none: one wins, seven get Conflict, the object is the winner's."""

        def write(number: int) -> ObjectStat | None:
            try:
                return object_store.write(bucket, "k", [bytes([number]) * KIB], if_match="")
            except Conflict:
                return None

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(write, range(8)))
        (winner,) = (number for number, answer in enumerate(answers) if answer is not None)
        assert content(object_store, bucket, "k") == bytes([winner]) * KIB

    def test_lists_in_key_order(self, object_store: ObjectStore, bucket: str) -> None:
        """By the bytes of the keys; a key may lie 'inside' another; the prefix is text, not a folder."""
        keys = ["a", "a/b", "a-b", "a/b/c", "ab", "b", "Ä", "z z", "a+%2F?#&", "a/b.", "ü/ö"]
        for key in keys:
            object_store.write(bucket, key, [key.encode()])
        in_order = sorted(keys, key=str.encode)
        assert [stat.key for stat in object_store.list(bucket)] == in_order
        for prefix in ("a", "a/", "a/b", "Ä", "zz"):
            assert [stat.key for stat in object_store.list(bucket, prefix)] == [key for key in in_order if key.startswith(prefix)]
        for key in keys:
            assert content(object_store, bucket, key) == key.encode()

    def test_a_listing_says_what_stat_says(self, object_store: ObjectStore, bucket: str) -> None:
        """Size and etag of each object; a listing may know no checksum and no version."""
        for number in range(3):
            object_store.write(bucket, f"k{number}", [b"x" * number])
        for listed in object_store.list(bucket):
            stat = object_store.stat(bucket, listed.key)
            assert (listed.bucket, listed.size, listed.etag) == (bucket, stat.size, stat.etag)

    def test_a_listing_goes_on_after_a_page(self, object_store: ObjectStore, bucket: str) -> None:
        """All objects come, each once and in order."""
        keys = [f"p/{number:05d}" for number in range(self.more_than_a_page)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: object_store.write(bucket, key, [b"."]), keys))
        assert [stat.key for stat in object_store.list(bucket, "p/")] == keys

    def test_deleted_is_gone(self, object_store: ObjectStore, bucket: str) -> None:
        """And may be deleted again; its neighbours stay."""
        object_store.write(bucket, "k", [b"1"])
        object_store.write(bucket, "k/l", [b"2"])
        object_store.delete(bucket, "k")
        object_store.delete(bucket, "k")
        object_store.delete(bucket, "never-was")
        assert [stat.key for stat in object_store.list(bucket)] == ["k/l"]
        with pytest.raises(NotFound):
            object_store.stat(bucket, "k")
        with pytest.raises(NotFound):
            content(object_store, bucket, "k")

    def test_what_is_not_there_is_not_found(self, object_store: ObjectStore, bucket: str, missing_bucket: str) -> None:
        """An object, a version, a bucket: NotFound from every method, and a listing of nothing is empty."""
        object_store.write(bucket, "k", [b"1"])
        assert list(object_store.list(bucket, "other/")) == []
        with pytest.raises(NotFound):
            object_store.stat(bucket, "k/l")
        with pytest.raises(NotFound):
            object_store.stat(bucket, "k", version="000000000099")
        with pytest.raises(NotFound):
            object_store.stat(missing_bucket, "k")
        with pytest.raises(NotFound):
            b"".join(object_store.read(missing_bucket, "k"))
        with pytest.raises(NotFound):
            list(object_store.list(missing_bucket))
        with pytest.raises(NotFound):
            object_store.write(missing_bucket, "k", [b"1"])
        with pytest.raises(NotFound):
            object_store.delete(missing_bucket, "k")

    def test_keys_that_cannot_be_are_refused(self, object_store: ObjectStore, bucket: str) -> None:
        """Empty, and longer than 1,024 bytes; one of just 1,024 is fine."""
        for key in ("", "x" * 1025, "ä" * 513):
            with pytest.raises(InvalidRequest):
                object_store.write(bucket, key, [b"1"])
        longest = "/".join(["x" * 127] * 8) + "y"
        object_store.write(bucket, longest, [b"1"])
        assert [stat.key for stat in object_store.list(bucket)] == [longest]

    def test_signs_or_says_that_it_cannot(self, object_store: ObjectStore, bucket: str) -> None:
        """A URL with a scheme, or ProviderCannot with the reason."""
        object_store.write(bucket, "k", [b"1"])
        try:
            url = object_store.sign(bucket, "k", "GET", timedelta(minutes=5))
        except ProviderCannot as cannot:
            assert cannot.why
        else:
            assert url.startswith(("http://", "https://"))
