"""Times as text: in UTC, to the microsecond, sorting like the times themselves."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import parse_rfc3339, rfc3339, utc_now

TIMES = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.timezones())


def test_now_is_aware_and_in_utc() -> None:
    assert utc_now().tzinfo is UTC
    assert abs(utc_now() - datetime.now(timezone(timedelta(hours=3)))) < timedelta(seconds=5)


def test_the_form_is_pinned() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
    assert rfc3339(datetime(2026, 1, 1, 0, 30, 0, 7, timezone(timedelta(hours=1)))) == "2025-12-31T23:30:00.000007Z"
    assert rfc3339(datetime(33, 4, 3, tzinfo=UTC)) == "0033-04-03T00:00:00.000000Z"


@given(TIMES, TIMES)
def test_the_text_comes_back_and_sorts(one: datetime, other: datetime) -> None:
    assert parse_rfc3339(rfc3339(one)) == one.astimezone(UTC)
    assert parse_rfc3339(rfc3339(one)).tzinfo is UTC
    assert (rfc3339(one) < rfc3339(other)) == (one.astimezone(UTC) < other.astimezone(UTC))


def test_other_spellings_are_read() -> None:
    assert parse_rfc3339("2026-01-01T02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_rfc3339("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-01-01T00:00:00 has no time zone"):
        rfc3339(datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="'2026-01-01T00:00:00' has no time zone"):
        parse_rfc3339("2026-01-01T00:00:00")
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_rfc3339("yesterday")
