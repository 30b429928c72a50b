from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.core.when import duration, later, moment, offset, span

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1h 30m", 5400), ("250ms", 0.25), ("1.5h", 5400), (" 2H ", 7200)],
)
def test_a_span_is_read(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-3m", "3 m", "3y", "1h!", "nan", "1e9s", "٣m", "99999999999999d"])
def test_what_is_no_span_says_what_is(text: str) -> None:
    with pytest.raises(Usage) as refused:
        duration(text)
    assert repr(text) in refused.value.message
    assert "30m" in refused.value.next_step


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", datetime(2026, 11, 21, 9, 0, tzinfo=UTC)),
        ("now", NOW),
        ("today", datetime(2026, 11, 21, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-10-01", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-11-21T09:00:00Z", datetime(2026, 11, 21, 9, 0, tzinfo=UTC)),
        ("2026-11-21t10:00:00+01:00", datetime(2026, 11, 21, 9, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(text: str, expected: datetime) -> None:
    found = moment(text, NOW)
    assert found == expected
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "2026-13-01", "2026-11-21T09:00:00", "soon", "999999w", "2026", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_moment_says_what_is(text: str) -> None:
    with pytest.raises(Usage) as refused:
        moment(text, NOW)
    assert "2026-11-21" in refused.value.next_step


def test_a_span_ends_later() -> None:
    assert later(NOW, "1h30m") == NOW + timedelta(minutes=90)
    assert later(NOW, "365000d").year > 3000


@pytest.mark.parametrize("text", ["0d", "0s", "0.0h", "99999999d", "soon", ""])
def test_what_never_ends_or_is_over_at_once_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        later(NOW, text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.0004, "0s"), (0.12, "120ms"), (0.9996, "1s"),
        (2.13, "2.1s"), (9.96, "10s"), (40, "40s"), (59.7, "1m"), (200, "3m 20s"), (3599.6, "1h"),
        (7500, "2h 5m"), (86399, "1d"), (273600, "3d 4h"), (-40, "40s"), (400 * 86400.0, "400d"),
    ],
)  # fmt: skip
def test_a_span_is_written(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_a_written_span_reads_back_within_the_smaller_unit(seconds: float) -> None:
    back = duration(span(seconds)).total_seconds()
    assert abs(back - seconds) <= max(0.0005, seconds * 0.05)


@pytest.mark.parametrize(("seconds", "text"), [(-200, "T-3m20s"), (2.1, "T+2.1s"), (0, "T+0s"), (-0.0001, "T+0s")])
def test_an_offset_is_written(seconds: float, text: str) -> None:
    assert offset(seconds) == text
