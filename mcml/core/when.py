"""The times that people type (`30m`, `2h`, `today`, RFC 3339), and spans of time written for people (`3m 20s`)."""

import re
from datetime import UTC, datetime, timedelta

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import Usage

UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds in each unit that a duration may have; a month has no fixed length, so there is none."""

LONGEST = 1000 * 365 * UNITS["d"]
"""Seconds of the longest span: any moment of ours, and one so much before or after it, is in the calendar of datetime."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])")
_ADVICE = "write a span like 30m, 2h or 7d, or a time like today, 2026-11-21 or 2026-11-21T09:00:00Z"


def duration(text: str) -> timedelta:
    """Read a span of time: one or more of `90s`, `30m`, `2h`, `7d`, `1w`, `250ms` in a row (`1h30m`, `1h 30m`). Raises Usage."""
    compact = re.sub(r"(?<=[a-z])\s+(?=[0-9])", "", text.strip().lower())
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise Usage(f"{text!r} is no span of time", next_step=_ADVICE)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds > LONGEST:
        raise Usage(f"{text!r} is too long a span of time", next_step=_ADVICE)
    return timedelta(seconds=seconds)


def moment(text: str, now: datetime) -> datetime:
    """Read a point in time, aware and in UTC.

    A span means that long before `now`; `now`, `today` and `yesterday` are words (days begin at midnight UTC); a date alone is its
    midnight UTC; anything else is RFC 3339 with an offset. Raises Usage.
    """
    word = text.strip().lower()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now.astimezone(UTC), "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word in words:
        return words[word]
    if re.fullmatch(r"[0-9.]+[a-z][0-9a-z.]*", word):
        return _before(now.astimezone(UTC), word)
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word):
            return datetime.fromisoformat(word).replace(tzinfo=UTC)
        return parse_rfc3339(text.strip().upper())
    except (ValueError, OverflowError) as wrong:
        raise Usage(f"{text!r} is no time", why=str(wrong), next_step=_ADVICE) from None


def _before(now: datetime, span_text: str) -> datetime:
    length = duration(span_text)
    try:
        return now - length
    except OverflowError:
        raise Usage(f"{span_text!r} is too long a span of time", next_step=_ADVICE) from None


def later(now: datetime, text: str) -> datetime:
    """Return the moment a span (`30m`) after `now`. Raises Usage, also for a span of nothing (`0d`)."""
    length = duration(text)
    if not length:
        raise Usage(f"{text!r} would be over at once", next_step="write a span like 30m, 2h or 7d")
    return now + length


def span(seconds: float) -> str:
    """Write a length of time in at most two units: `120ms`, `2.1s`, `40s`, `3m 20s`, `2h 5m`, `3d 4h`; `duration` reads it back.

    A negative length is written as its absolute value: who calls says `before` or `after`.
    """
    length = abs(seconds)
    if length < 0.0005:
        return "0s"
    if length < 0.9995:
        return f"{round(length * 1000)}ms"
    if length < 9.95:
        return f"{length:.1f}".removesuffix(".0") + "s"
    # The limits lie half a smaller unit below the whole hour and day, where rounding would carry.
    below, above = ("s", "m") if length < 3599.5 else ("m", "h") if length < 86370 else ("h", "d")
    count = round(length / UNITS[below])
    big, small = divmod(count, round(UNITS[above] / UNITS[below]))
    return " ".join(f"{number}{unit}" for number, unit in ((big, above), (small, below)) if number)


def offset(seconds: float) -> str:
    """Write a distance from a moment called T: `T-3m20s`, `T+2.1s`, `T+0s`."""
    text = span(seconds).replace(" ", "")
    return f"T{'-' if seconds < 0 and text != '0s' else '+'}{text}"
