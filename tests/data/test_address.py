"""Addresses are read and written back the same, and no key becomes a path that leads out of its folder."""

import os
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.data.address import (
    ObjectAddress,
    PathAddress,
    StreamAddress,
    as_prefix,
    is_inside,
    is_partial,
    key_fault,
    parse,
    partial_name,
    path_fault,
)

KEYS = st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
NASTY = st.lists(st.sampled_from(["..", ".", "", "a", "b c", "é", "\n", "~", "C:", "\\", "..."]), max_size=6).map("/".join)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("s3://models/fraud/1.onnx", ObjectAddress("s3", "models", "fraud/1.onnx")),
        ("S3://models", ObjectAddress("s3", "models", "")),
        ("gs://b/a%20b?c#d", ObjectAddress("gs", "b", "a%20b?c#d")),
        ("az://b//x", ObjectAddress("az", "b", "/x")),
        ("local://b/two\nlines ", ObjectAddress("local", "b", "two\nlines ")),
        ("./s3://models", PathAddress("./s3://models")),
        ("a:b", PathAddress("a:b")),
        ("-", StreamAddress()),
        ("./-", PathAddress("./-")),
    ],
)
def test_what_an_address_means(text: str, wanted: object) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize("text", ["", "s3://", "s3:///key", "a\0b", "s3://b/\0"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(Usage):
        parse(text)


@given(st.sampled_from(["s3", "gs", "x-y.z+1"]), st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), KEYS)
def test_an_address_is_written_and_read_back(scheme: str, bucket: str, key: str) -> None:
    address = ObjectAddress(scheme, bucket, key)
    assert parse(str(address)) == address


@pytest.mark.parametrize(("key", "prefix"), [("", ""), ("a", "a/"), ("a/", "a/"), ("a//", "a//"), ("/", "/")])
def test_the_prefix_of_a_folder(key: str, prefix: str) -> None:
    assert as_prefix(key) == prefix


def test_inside_is_by_folders_not_by_letters() -> None:
    outer = ObjectAddress("s3", "b", "a")
    assert is_inside(ObjectAddress("s3", "b", "a/c"), outer)
    assert is_inside(outer, ObjectAddress("s3", "b"))
    assert not is_inside(ObjectAddress("s3", "b", "ab"), outer)
    assert not is_inside(ObjectAddress("s3", "b", "a/"), outer)
    assert not is_inside(ObjectAddress("gs", "b", "a/c"), outer)


@pytest.mark.parametrize("key", ["../x", "/abs", "a/../../x", "..", ".", "a/./b", "a//b", "", "x/", "a\0b", "é" * 128, ".x.mcml-partial"])
def test_keys_that_are_no_paths(key: str) -> None:
    assert path_fault(key)


@pytest.mark.parametrize("key", ["a", "a/b", "two words", "two\nlines", "日本", "...", "a/..b", "~", "C:\\x", "é" * 127])
def test_keys_that_are_paths(key: str) -> None:
    assert path_fault(key) == ""


@given(KEYS | NASTY)
def test_a_key_without_a_fault_stays_below_its_folder_and_is_its_path_alone(key: str) -> None:
    if not path_fault(key):
        assert os.path.normpath(f"/folder/{key}") == f"/folder/{key}"
        assert PurePosixPath("/folder", key).is_relative_to("/folder")


@given(st.text(min_size=1, max_size=300).filter(lambda name: "/" not in name))
def test_a_partial_name_fits_and_is_known_again(name: str) -> None:
    if not path_fault(name):
        assert len(f".{partial_name(name)}.json.12345678.tmp".encode()) <= 255
        assert is_partial(partial_name(name))
        assert is_partial(f"{partial_name(name)}.json")


def test_a_name_that_is_no_unicode_is_no_key() -> None:
    assert key_fault(os.fsdecode(b"\xff"))
    assert key_fault("é") == ""


@pytest.mark.parametrize("text", ["s3:/bucket/key", "az:/b"])
def test_a_url_with_one_slash_is_no_path(text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse(text)
    assert text.replace(":/", "://") in caught.value.next_step
    assert parse(f"./{text}") == PathAddress(f"./{text}")
    assert parse("C:/data") == PathAddress("C:/data")
