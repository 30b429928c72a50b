"""Hours: what is on when, over weekends, midnights, holidays and the nights in which clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.cost.schedule.hours import DAYS, Calendar, check_country, holiday, parse, zone_named

OFFICE = Calendar((parse("mon-fri 08:00-18:00"),), "Europe/Berlin", "DE-BY")


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("moment", "on", "why"),
    [
        ("2026-11-20 07:59", False, "outside its hours"),
        ("2026-11-20 08:00", True, "in its hours"),
        ("2026-11-20 17:59", True, "in its hours"),
        ("2026-11-20 18:00", False, "outside its hours"),
        ("2026-11-21 12:00", False, "outside its hours"),
        ("2026-01-06 12:00", False, "Epiphany is a holiday"),  # in Bavaria, not in Berlin
        ("2026-12-25 12:00", False, "Christmas Day is a holiday"),
    ],
)
def test_office_hours(moment: str, on: bool, why: str) -> None:
    assert (OFFICE.is_on(berlin(moment)), OFFICE.why(berlin(moment))) == (on, why)


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    assert not Calendar(OFFICE.hours, OFFICE.zone, "DE-BY").is_on(berlin("2026-01-06 12:00"))
    assert Calendar(OFFICE.hours, OFFICE.zone, "DE-BE").is_on(berlin("2026-01-06 12:00"))
    assert holiday("US", datetime(2026, 7, 4, tzinfo=UTC).date()) == "Independence Day"


@pytest.mark.parametrize(
    ("moment", "on"), [("2026-11-20 23:00", True), ("2026-11-21 05:59", True), ("2026-11-21 06:00", False), ("2026-11-20 05:00", False)]
)
def test_hours_over_midnight_belong_to_the_day_they_begin_on(moment: str, on: bool) -> None:
    assert Calendar((parse("fri 22:00-06:00"),), "Europe/Berlin").is_on(berlin(moment)) == on


def test_the_next_change_skips_the_weekend_and_the_holidays() -> None:
    assert OFFICE.next_change(berlin("2026-11-20 18:00")) == berlin("2026-11-23 08:00")
    assert OFFICE.next_change(berlin("2026-12-23 18:30")) == berlin("2026-12-24 08:00")
    assert OFFICE.next_change(berlin("2026-12-24 18:00")) == berlin("2026-12-28 08:00")
    assert Calendar((parse("daily 00:00-24:00"),), "UTC").next_change(berlin("2026-11-20 18:00")) is None


@pytest.mark.parametrize(
    ("hours", "night", "on"),
    [
        ("sun 02:30-03:30", "2026-03-29", [("01:00", "01:30")]),  # 02:30 does not exist: the clock jumps to 03:00, half an hour is left
        ("sun 02:30-05:00", "2026-03-29", [("01:00", "03:00")]),
        ("sun 02:30-03:30", "2026-10-25", [("00:30", "01:00"), ("01:30", "02:30")]),  # 02:30 comes twice
        ("sun 00:00-06:00", "2026-10-25", [("-02:00", "05:00")]),  # seven hours long
    ],
)
def test_nights_in_which_the_clock_changes(hours: str, night: str, on: list[tuple[str, str]]) -> None:
    calendar = Calendar((parse(hours),), "Europe/Berlin")
    midnight = datetime.fromisoformat(night).replace(tzinfo=UTC)
    at, changes = midnight - timedelta(hours=3), []
    while (change := calendar.next_change(at)) and change < midnight + timedelta(hours=12):
        changes.append(change - midnight)
        at = change
    wanted = [_span(edge) for pair in on for edge in pair]
    assert changes == wanted


def _span(text: str) -> timedelta:
    hours, minutes = text.removeprefix("-").split(":")
    length = timedelta(hours=int(hours), minutes=int(minutes))
    return -length if text.startswith("-") else length


ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "Africa/Casablanca"])
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@settings(max_examples=60, deadline=None)
@given(
    ZONES, st.sampled_from(DAYS), st.sampled_from(DAYS), MINUTES, MINUTES,
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
)  # fmt: skip
def test_nothing_changes_before_the_next_change(zone: str, first: str, last: str, start: str, end: str, moment: datetime) -> None:
    if start == end:
        return
    calendar = Calendar((parse(f"{first}-{last} {start}-{end}"),), zone)
    change = calendar.next_change(moment)
    until = change or moment + timedelta(days=9)
    step = max((until - moment) / 300, timedelta(minutes=1))
    at = moment
    while at < until:
        assert calendar.is_on(at) == calendar.is_on(moment), at
        at += step
    if change:
        assert calendar.is_on(change) != calendar.is_on(moment)
        assert calendar.is_on(change - timedelta(seconds=1)) == calendar.is_on(moment)
    else:
        assert calendar.hours[0].length >= 24 * 60 - 1 or len(calendar.hours[0].days) in (0, 7)


@pytest.mark.parametrize(
    "text", ["", "mon", "08:00-18:00", "mon-fry 08:00-18:00", "mon 25:00-26:00", "mon 08:60-09:00", "mon 08:00-08:00", "mon 24:00-08:00"]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="are no hours"):
        parse(text)


@pytest.mark.parametrize("name", ["CET", "EST", "Europe/Berlyn", "", "../etc/passwd", "Europe/"])
def test_a_zone_is_one_of_the_iana_database(name: str) -> None:
    with pytest.raises(Usage, match="time zone"):
        zone_named(name)


@pytest.mark.parametrize("code", ["XX", "DE-XX", "Germany!"])
def test_a_country_that_nobody_knows_is_refused(code: str) -> None:
    with pytest.raises(Usage, match="no public holidays are known"):
        check_country(code)
