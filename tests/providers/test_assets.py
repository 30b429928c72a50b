"""What data assets and computes have in common: safe names, versions that follow from tokens, limits that make sense."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers import assets as rules
from mcml.providers.api.data_assets import DataAsset

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@given(st.text(max_size=80))
def test_a_name_that_is_taken_is_one_part_of_any_path(name: str) -> None:
    if rules.is_name(name):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
        rules.check_asset(name, "s3://bucket/key", "t")
    else:
        with pytest.raises(InvalidRequest):
            rules.check_asset(name, "s3://bucket/key", "t")


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_version_is_its_token(one: str, other: str) -> None:
    assert rules.is_version(rules.version_of(one))
    assert (rules.version_of(one) == rules.version_of(other)) == (one == other)


@given(st.integers(-3, 6), st.integers(-3, 6), st.integers(0, 2))
def test_limits_are_taken_when_they_make_sense(minimum: int, maximum: int, least: int) -> None:
    if least <= minimum <= maximum and maximum >= 1:
        rules.check_limits("do it", minimum, maximum, least=least)
    else:
        with pytest.raises(InvalidRequest) as refused:
            rules.check_limits("do it", minimum, maximum, least=least)
        assert refused.value.why


@pytest.mark.parametrize("uri", ["", "bucket/key", "s3:/x", "s3://", "s3:///key", "s3://b/k?sig=x", "s3://b/k#x", "s3://b/a b", "s3://b/\n"])
def test_what_is_no_address(uri: str) -> None:
    """An address with a query could carry a signature, and is kept for good: it is refused."""
    with pytest.raises(InvalidRequest):
        rules.check_asset("fraud", uri, "t")


def test_the_newest_and_the_nearest() -> None:
    found = [DataAsset("fraud", f"{number:016x}", "s3://b/k", NOW + timedelta(seconds=number)) for number in range(3)]
    assert rules.newest("fraud", found) == found[2]
    assert rules.newest_first(found) == found[::-1]
    assert rules.no_version("fraud", "1", found).why == "its newest of 3 is 0000000000000002"
    assert rules.no_version("fraud", "1", []).why == "no version of it is registered here"
    with pytest.raises(NotFound):
        rules.newest("fraud", [])
