"""When things run: weekly hours in a time zone, without public holidays. Pure, but for the calendars that `holidays` ships.

    mon-fri 08:00-18:00       sat 10:00-14:00       fri 22:00-06:00 (until Saturday)       daily 00:00-24:00       mon,wed 9:00-12:30

The question is always "is it on at this moment", never "is this the moment of a change": a run that was missed is made good by the next.
So a clock that jumps for daylight saving needs no rule of its own: each moment has one wall time, and that is in the hours or not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mcml.core.errors import Usage

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = 24 * 60
LOOK_AHEAD_DAYS = 40
_TEXT = re.compile(r"(?P<days>[a-z,\- ]+?)\s+(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})")
_ADVICE = "write hours as `mon-fri 08:00-18:00`, `sat,sun 10:00-14:00` or `daily 22:00-06:00`"


@dataclass(frozen=True)
class Hours:
    """Hours of some days of the week (0 is Monday), in minutes of the day; `end` up to `start` means the next day."""

    days: frozenset[int]
    start: int
    end: int

    @property
    def length(self) -> int:
        """How many minutes it lasts on the wall clock."""
        return self.end - self.start if self.end > self.start else self.end + MIDNIGHT - self.start


@dataclass(frozen=True)
class Calendar:
    """When something is on: `hours` in `zone`, but not when they begin on a holiday of `country` (`DE`, `US-CA`; empty: none)."""

    hours: tuple[Hours, ...]
    zone: str
    country: str = ""

    def is_on(self, moment: datetime) -> bool:
        """Tell whether it is on at a moment (aware)."""
        wall = moment.astimezone(ZoneInfo(self.zone))
        minute = wall.hour * 60 + wall.minute
        today, yesterday = wall.date(), wall.date() - timedelta(days=1)
        for one in self.hours:
            if one.start <= minute < one.start + one.length and self._begins(one, today):
                return True
            if minute + MIDNIGHT < one.start + one.length and self._begins(one, yesterday):
                return True
        return False

    def next_change(self, moment: datetime) -> datetime | None:
        """Return when it goes on or off next, in UTC; None when it stays as it is for the next 40 days."""
        now = self.is_on(moment)
        for at in sorted({at for at in self._edges(moment) if at > moment}):
            if self.is_on(at) != now:
                return at
        return None

    def why(self, moment: datetime) -> str:
        """Say why it is on or off at a moment, for a person."""
        wall = moment.astimezone(ZoneInfo(self.zone))
        if self.is_on(moment):
            return "in its hours"
        name = holiday(self.country, wall.date())
        return f"{name} is a holiday" if name and any(wall.weekday() in one.days for one in self.hours) else "outside its hours"

    def _begins(self, one: Hours, day: date) -> bool:
        return day.weekday() in one.days and not holiday(self.country, day)

    def _edges(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments, in UTC, at which hours may begin or end."""
        zone = ZoneInfo(self.zone)
        first = moment.astimezone(zone).date() - timedelta(days=1)
        for offset in range(LOOK_AHEAD_DAYS + 2):
            day = first + timedelta(days=offset)
            for one in self.hours:
                for minute in (one.start, one.start + one.length):
                    yield from _moments(day, minute, zone)


def _moments(day: date, minute: int, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moments at which a wall clock shows a minute of a day: two when it is set back; where it is set forward, that moment."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    for fold in (0, 1):
        at = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        yield at
        shown = at.astimezone(zone).replace(tzinfo=None)
        if shown != wall:  # a wall time that does not exist: the clock jumps over it, at the turn of the offset
            yield _jump(at, zone)
    if zone.utcoffset(wall.replace(tzinfo=None)) != zone.utcoffset(wall + timedelta(hours=3)):
        yield _jump((wall + timedelta(hours=3)).replace(tzinfo=zone).astimezone(UTC), zone)


def _jump(near: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment within four hours before `near` at which the offset of a zone changes, or `near`."""
    low, high = near - timedelta(hours=4), near
    before = low.astimezone(zone).utcoffset()
    if before == high.astimezone(zone).utcoffset():
        return near
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)


def parse(text: str) -> Hours:
    """Read `mon-fri 08:00-18:00`. Raises Usage for anything else."""
    found = _TEXT.fullmatch(" ".join(text.strip().lower().split()))
    if not found:
        raise Usage(f"{text!r} are no hours", next_step=_ADVICE)
    start, end = (_minute(found[side], text) for side in ("start", "end"))
    if start in (MIDNIGHT, end):
        raise Usage(f"{text!r} are no hours", why="they begin when they end", next_step=_ADVICE)
    return Hours(frozenset(_days(found["days"], text)), start, end)


def _minute(text: str, whole: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour * 60 + minute > MIDNIGHT:
        raise Usage(f"{whole!r} are no hours", why=f"{text} is no time of day", next_step=_ADVICE)
    return hour * 60 + minute


def _days(text: str, whole: str) -> Iterator[int]:
    for part in text.replace(" ", "").split(","):
        if part in ("daily", "always"):
            yield from range(7)
            continue
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            wrong = first if first not in DAYS else last
            raise Usage(f"{whole!r} are no hours", why=f"{wrong!r} is no day: {', '.join(DAYS)}, daily", next_step=_ADVICE)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        yield from ((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def zone_named(name: str) -> ZoneInfo:
    """Return a zone of the IANA database. Raises Usage: `CET` and the like are refused, for they do not know daylight saving or places."""
    if "/" not in name and name != "UTC":
        raise Usage(f"{name!r} is no time zone", next_step="write a name of the IANA database: Europe/Berlin, America/New_York, UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Usage(f"there is no time zone {name!r}", next_step="write a name of the IANA database: Europe/Berlin, UTC") from None


def check_country(code: str) -> None:
    """Raise Usage for a country or a part of one that `holidays` does not know."""
    if code:
        holiday(code, date(2026, 1, 1))


def holiday(code: str, day: date) -> str:
    """Return the name of the public holiday of a country (`DE`) or a part of it (`DE-BY`) on a day; empty for none. Raises Usage."""
    return _holidays(code, day.year).get(day, "") if code else ""


@lru_cache(maxsize=64)
def _holidays(code: str, year: int) -> dict[date, str]:
    import holidays

    country, _, part = code.partition("-")
    try:
        return dict(holidays.country_holidays(country, subdiv=part or None, years=year, language="en_US"))
    except NotImplementedError:
        why = "expected a country as in ISO 3166, and a part of it where holidays differ: DE, DE-BY, US-CA"
        raise Usage(f"no public holidays are known of {code!r}", why=why, next_step="correct `holidays` of the schedule") from None
