"""Checksums that can be computed are, and those that cannot are never compared by mistake."""

import hashlib
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.data.checksum import Digests, comparable, kind_of


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_several_kinds_at_once_over_any_chunks(chunks: Sequence[bytes]) -> None:
    digests, whole = Digests(["sha256", "md5", "crc32", "", "unheard"]), b"".join(chunks)
    for chunk in chunks:
        digests.update(chunk)
    assert digests.of("sha256") == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    assert digests.of("md5") == f"md5:{hashlib.md5(whole, usedforsecurity=False).hexdigest()}"
    assert digests.of("crc32") == f"crc32:{zlib.crc32(whole):08x}"
    assert digests.of("sha1") == digests.of("unheard") == ""


def test_crc32c_of_the_published_check_value() -> None:
    """RFC 3720, B.4: 32 bytes of zero."""
    pytest.importorskip("google_crc32c")
    digests = Digests(["crc32c"])
    digests.update(bytes(20))
    digests.update(bytes(12))
    assert digests.of("crc32c") == "crc32c:8a9136aa"


@pytest.mark.parametrize("checksum", ["", "md5", "md5:", "md5:zz", f"md5:{'0' * 31}", f"sha256:{'0' * 64}-3", "crc64nvme:0000000000000000"])
def test_what_cannot_be_computed(checksum: str) -> None:
    assert kind_of(checksum) == ""


def test_only_the_same_kind_is_compared() -> None:
    assert comparable("crc64nvme:00", "crc64nvme:01")
    assert not comparable("md5:00", "sha256:00")
    assert not comparable("md5:00", "")
    assert not comparable("", "")
    assert not comparable("md5:00-2", "md5:00-2")
