"""Spans of time that people name."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.cost.span import UNITS, Span, pair, read

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)
"""A Wednesday."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-W01", "2025-12-29", "2026-01-05"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("today", "2026-11-18", "2026-11-19"),
        ("yesterday", "2026-11-17", "2026-11-18"),
        ("this-week", "2026-11-16", "2026-11-23"),
        ("last-week", "2026-11-09", "2026-11-16"),
        ("last-day", "2026-11-17", "2026-11-18"),
        ("last-month", "2026-10-01", "2026-11-01"),
        ("last-quarter", "2026-07-01", "2026-10-01"),
        ("last-year", "2025-01-01", "2026-01-01"),
        ("7d", "2026-11-11", "2026-11-18"),
        ("2w", "2026-11-04", "2026-11-18"),
        ("2026-09-01..2026-09-15", "2026-09-01", "2026-09-16"),
        ("2026-09..2026-10", "2026-09-01", "2026-11-01"),
        (" LAST-WEEK ", "2026-11-09", "2026-11-16"),
    ],
)
def test_spans_are_read(text: str, start: str, end: str) -> None:
    assert (read(text, NOW).start, read(text, NOW).end) == (utc(start), utc(end))


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13", "2026-02-30", "2026-W60", "2026-Q5", "0d", "0000", "..", "2026-10..2026-09", "1969", "9999", "2026-09.."],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        read(text, NOW)


@pytest.mark.parametrize(
    ("text", "start"),
    [("2026-03", "2026-02-01"), ("2026-Q1", "2025-10-01"), ("2026", "2025-01-01"), ("last-week", "2026-11-02"), ("7d", "2026-11-04")],
)
def test_the_span_before_has_as_many_months_or_the_same_length(text: str, start: str) -> None:
    span = read(text, NOW)
    assert (span.before.start, span.before.end) == (utc(start), span.start)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.sampled_from(UNITS))
def test_last_and_this_meet_and_hold_now(moment: datetime, unit: str) -> None:
    now = moment.replace(tzinfo=UTC)
    last, this = read(f"last-{unit}", now), read(f"this-{unit}", now)
    assert last.end == this.start <= now < this.end
    assert this.before == last or (this.before.start, this.before.end) == (last.start, last.end)
    assert last.start < last.end


@given(st.dates(date(1971, 1, 1), date(2200, 1, 1)))
def test_a_day_is_read_as_it_is_written(day: date) -> None:
    span = read(day.isoformat(), NOW)
    assert (span.start.date(), span.end - span.start, span.days) == (day, timedelta(days=1), day.isoformat())


def test_a_month_that_is_not_over_is_compared_with_the_same_part_of_the_other() -> None:
    after, before = pair(read("this-month", NOW), "previous", NOW)
    assert (after.days, before.days) == ("2026-11-01 to 2026-11-17", "2026-10-01 to 2026-10-17")
    after, before = pair(read("last-month", NOW), "this-month", NOW)
    assert (after.days, before.days) == ("2026-10-01 to 2026-10-17", "2026-11-01 to 2026-11-17")
    after, before = pair(read("2026-10", NOW), "2026-08", NOW)
    assert (after.days, before.days) == ("2026-10-01 to 2026-10-31", "2026-08-01 to 2026-08-31")
    after, before = pair(read("today", NOW), "previous", NOW)
    assert (after.end, before.end - before.start) == (NOW, timedelta(hours=15, minutes=30))
    short = Span(utc("2026-11-01"), utc("2026-12-01"))
    assert pair(short, "2026-10-01..2026-10-03", NOW)[1].days == "2026-10-01 to 2026-10-03"


def test_what_was_known_then_is_compared_as_far_as_it_had_passed() -> None:
    """--as-of in the middle of a month: half of it was known, and is compared with half a month, though both are long over now."""
    october = read("2026-10", NOW)
    then = datetime(2026, 10, 15, 9, tzinfo=UTC)
    after, before = pair(october, "previous", NOW, then)
    assert (after.days, before.days) == ("2026-10-01 to 2026-10-14", "2026-09-01 to 2026-09-14")
    assert pair(october, "previous", NOW, datetime(2026, 11, 3, tzinfo=UTC))[0] == october
    assert pair(read("this-month", NOW), "previous", NOW, NOW + timedelta(days=3)) == pair(read("this-month", NOW), "previous", NOW)
    with pytest.raises(Usage, match="2026-11 had not begun"):
        pair(october, "2026-11", NOW, then)
    with pytest.raises(Usage, match="had not begun"):
        pair(october, "previous", NOW, october.start)


@pytest.mark.parametrize(("after", "before"), [("2027-01", "2026-11"), ("2026-11", "2027-01"), ("2026-11-19..2026-12-01", "previous")])
def test_what_has_not_begun_is_not_compared(after: str, before: str) -> None:
    with pytest.raises(Usage, match="has not begun"):
        pair(read(after, NOW), before, NOW)
