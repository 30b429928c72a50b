"""Single values as a person or a program reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum
from pathlib import PurePath

from mcml.core.clock import rfc3339
from mcml.core.sizes import size_text
from mcml.core.view import Kind, State
from mcml.core.when import span

NOISE = Decimal("1e-9")
"""Bills round to ten decimals and more: an amount below this is no cost, and no price of anything is so small."""
_SPARKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = "▏▎▍▌▋▊▉█"


def plain(value: object) -> object:
    """Turn a value into what JSON and YAML can hold: Decimal as exact text, times as RFC 3339, durations in seconds, State as its word."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type) and not isinstance(value, State):
        return plain(asdict(value))
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, State):
        return value.text
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be shown")


def exact(value: object) -> str:
    """One value for a pipe: nothing shortened, one line."""
    shown = plain(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    if isinstance(shown, list):
        return ",".join(exact(entry) for entry in shown)
    if isinstance(shown, dict):
        return ",".join(f"{key}={exact(entry)}" for key, entry in shown.items())
    return " ".join(str(shown).split())


def friendly(value: object, kind: Kind, now: datetime) -> str:
    """One value for a person: times as ages, money rounded, bytes in units; `-` for what is not known."""
    if value is None or value == "":
        return "-"
    if kind == "time" and isinstance(value, datetime):
        return ago(value, now)
    if kind == "spark" and isinstance(value, list | tuple):
        return sparkline(value)
    if kind == "money" and isinstance(value, Decimal):
        return money(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _number(Decimal(str(value)), kind)
    if isinstance(value, list | tuple):
        return ", ".join(friendly(entry, kind, now) for entry in value)
    return exact(value)


def _number(value: Decimal, kind: Kind) -> str:
    if kind in ("percent", "share"):
        return f"{value:.0f}%" if value == value.to_integral() or abs(value) >= 10 else f"{value:.1f}%"
    if kind == "seconds":
        return span(float(value))
    if kind == "bytes":
        return size_text(float(value))
    if kind == "number" and value != value.to_integral():
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if kind == "number" else format(value, "f")


def money(value: Decimal) -> str:
    """Round money for reading: two places from 1 up, four significant digits below; what is left of others' rounding is `~0`."""
    if 0 < abs(value) < NOISE:
        return "~0"
    if abs(value) >= 1 or value == 0:
        return f"{value.quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"
    places = -value.adjusted() + 3
    return format(round(value, min(places, 12)), "f")


def ago(moment: datetime, now: datetime) -> str:
    """Say how long ago a time was, `in 5m` for one to come, and the date beyond 30 days."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) > 30 * 86400:
        return moment.astimezone(UTC).strftime("%Y-%m-%d")
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def sparkline(points: Sequence[float | None]) -> str:
    """Draw numbers as a line of blocks between their smallest and largest; a space where nothing was measured."""
    known = [point for point in points if point is not None]
    if not known:
        return " " * len(points)
    low, high = min(known), max(known)
    scale = (len(_SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if point is None else _SPARKS[round((point - low) * scale)] for point in points)


def bar(percent: float | Decimal, width: int) -> str:
    """Draw a share of 100 as a bar, in eighths of a cell; what is below 0 or above 100 as if it were those."""
    eighths = round(min(max(float(percent), 0.0), 100.0) / 100 * width * len(_EIGHTHS))
    whole, rest = divmod(eighths, len(_EIGHTHS))
    return (_EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")).ljust(width)
