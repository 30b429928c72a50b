"""Time as a dependency: everything that asks for the time is handed a `Clock`, so a test can hold it still."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def midnight(day: date) -> datetime:
    """Return the first moment of a day (UTC)."""
    return datetime.combine(day, time(), UTC)


def rfc3339(moment: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with microseconds and `Z`; the text sorts like the time. Raises ValueError for a naive one."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    # not strftime: its %Y drops the leading zeros of an early year, and the text would no longer sort
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 time. Raises ValueError for text without an offset: a naive time is a bug waiting."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)
