"""The spans of time that people name: `2026-09`, `last-week`, `2026-Q3`, `2026-09-01..2026-09-15`. All of UTC, as the ledger's days."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from mcml.core.errors import Usage

UNITS = ("day", "week", "month", "quarter", "year")
MONTHS = {"month": 1, "quarter": 3, "year": 12}
"""How many months the units have that consist of months."""
EARLIEST = 1970
_DAY = timedelta(days=1)
_ADVICE = "write 2026-09, 2026-09-15, 2026-W38, 2026-Q3, 2026, 7d, last-week, this-month, or two of them: 2026-09-01..2026-09-15"


@dataclass(frozen=True)
class Span:
    """The time [start, end), midnights UTC as a rule. `months`: how many whole months it consists of, 0 when it is no such span."""

    start: datetime
    end: datetime
    name: str = ""
    months: int = 0

    def __str__(self) -> str:
        return self.name or self.days

    @property
    def days(self) -> str:
        """The first and the last day, both included."""
        first, last = self.start.date(), (self.end - timedelta(microseconds=1)).date()
        return first.isoformat() if first == last else f"{first} to {last}"

    @property
    def before(self) -> "Span":
        """The same span before it: as many months before months, else the same length."""
        if self.months:
            start = _months_later(self.start, -self.months)
            return Span(start, self.start, f"{start:%Y-%m}" if self.months == 1 else "", self.months)
        return Span(self.start - (self.end - self.start), self.start)

    def so_far(self, now: datetime) -> "Span":
        """What of it has passed: whole days, or all until now on its first day; the span itself when it is over or has not begun."""
        if not self.start < now < self.end:
            return self
        midnight = _midnight(now)
        return replace(self, end=midnight if midnight > self.start else now, name="", months=0)

    def first(self, length: timedelta) -> "Span":
        """Return its beginning of that length, itself when it is not longer."""
        return self if self.start + length >= self.end else replace(self, end=self.start + length, name="", months=0)


def read(text: str, now: datetime) -> Span:
    """Read a span. `A..B` goes from the start of A to the end of B; `7d` is the seven whole days before today. Raises Usage."""
    first, dots, last = text.strip().partition("..")
    try:
        if not dots:
            return _one(first, now)
        start, end = _one(first, now).start, _one(last, now).end
    except (ValueError, OverflowError):
        raise Usage(f"{text!r} is no span of time", next_step=_ADVICE) from None
    if end <= start:
        raise Usage(f"{text!r} ends before it begins", next_step=_ADVICE)
    return Span(start, end)


def month(text: str, now: datetime) -> Span:
    """Read a span that is one month: `2026-09`, `last-month`. Raises Usage."""
    try:
        found = read(text, now)
    except Usage:
        found = None
    if found is None or found.months != 1:
        raise Usage(f"{text!r} is no month", next_step="write it like 2026-10, or last-month")
    return found


def pair(since: Span, against: str, now: datetime, known: datetime | None = None) -> tuple[Span, Span]:
    """Return the span to compare and the one to compare it with: `previous`, or any that `read` reads.

    When one of them is not over yet, both are cut to the part of it that has passed, so that a half month is not compared with a whole
    one. `known`: when costs are asked for as they were at an earlier time (--as-of), that time, for no more had passed then. Raises Usage
    for a span that had not begun: beside it, everything would seem to be gone.
    """
    until = min(known or now, now)
    other = since.before if against == "previous" else read(against, now)
    for each in (since, other):
        if each.start >= until:
            raise Usage(f"{each} {'had' if until < now else 'has'} not begun", next_step="compare what has been: last-month, 2026-09")
    passed, gone = since.so_far(until), other.so_far(until)
    length = min((each.end - each.start for each, whole in ((passed, since), (gone, other)) if each != whole), default=None)
    return (passed, gone) if length is None else (passed.first(length), gone.first(length))


def _one(text: str, now: datetime) -> Span:
    word = text.strip().lower()
    for pattern, make in _FORMS:
        found = re.fullmatch(pattern, word)
        if found:
            made = make(*found.groups(), now)
            if made.start.year < EARLIEST:
                break
            return replace(made, name=text.strip())
    raise ValueError(text)


def _relative(which: str, unit: str, now: datetime) -> Span:
    this = _calendar(unit, now)
    return this if which == "this" else this.before


def _word(word: str, now: datetime) -> Span:
    start = _midnight(now) - (_DAY if word == "yesterday" else timedelta())
    return Span(start, start + _DAY)


def _calendar(unit: str, moment: datetime) -> Span:
    midnight = _midnight(moment)
    if unit in MONTHS:
        months = MONTHS[unit]
        start = midnight.replace(month=(midnight.month - 1) // months * months + 1, day=1)
        return Span(start, _months_later(start, months), months=months)
    start = midnight - midnight.weekday() * _DAY if unit == "week" else midnight
    return Span(start, start + (7 * _DAY if unit == "week" else _DAY))


def _days_back(count: str, unit: str, now: datetime) -> Span:
    end = _midnight(now)
    days = int(count) * (7 if unit == "w" else 1)
    if not days:
        raise ValueError(count)
    return Span(end - days * _DAY, end)


def _year(year: str, _: datetime) -> Span:
    return _calendar("year", _utc(int(year), 1, 1))


def _quarter(year: str, quarter: str, _: datetime) -> Span:
    return _calendar("quarter", _utc(int(year), 3 * int(quarter) - 2, 1))


def _month(year: str, month: str, _: datetime) -> Span:
    return _calendar("month", _utc(int(year), int(month), 1))


def _week(year: str, week: str, _: datetime) -> Span:
    monday = date.fromisocalendar(int(year), int(week), 1)
    return _calendar("week", _utc(monday.year, monday.month, monday.day))


def _date(year: str, month: str, day: str, _: datetime) -> Span:
    return _calendar("day", _utc(int(year), int(month), int(day)))


_FORMS: tuple[tuple[str, Callable[..., Span]], ...] = (
    (r"(\d{4})", _year),
    (r"(\d{4})-q([1-4])", _quarter),
    (r"(\d{4})-(\d\d)", _month),
    (r"(\d{4})-w(\d\d)", _week),
    (r"(\d{4})-(\d\d)-(\d\d)", _date),
    (r"(today|yesterday)", _word),
    (r"(this|last)-(day|week|month|quarter|year)", _relative),
    (r"(\d{1,5})([dw])", _days_back),
)


def _utc(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _months_later(first: datetime, months: int) -> datetime:
    count = first.year * 12 + first.month - 1 + months
    return first.replace(year=count // 12, month=count % 12 + 1)
