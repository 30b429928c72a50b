"""How the series of a machine become a machine metric of `mcml.providers.api.metrics`: for every provider that counts in percent."""

from collections.abc import Iterable, Sequence

from mcml.core.errors import InvalidRequest
from mcml.providers.api.metrics import MACHINE, SeriesQuery, Statistic

Column = Sequence[float | None]
"""A number a step; None where nothing was measured."""


def machine_of(series: SeriesQuery) -> str:
    """Return the machine that a machine metric is asked of. Raises InvalidRequest for other labels than that one."""
    machine = series.labels.get(MACHINE, "")
    if not machine or len(series.labels) > 1:
        why = f"told are the labels {', '.join(sorted(series.labels)) or 'none'}"
        raise InvalidRequest(f"of which machine is {series.metric}?", why=why, next_step=f"give the label {MACHINE!r} alone")
    return machine


def share(percent: float | None, statistic: Statistic) -> float | None:
    """Return a percentage as a share of 1, and no more than 1; a count stays what it is."""
    if percent is None or statistic == "count":
        return percent
    return percent / 100 if statistic == "sum" else min(percent / 100, 1.0)


def highest(columns: Iterable[Column], steps: int) -> list[float | None]:
    """Return the highest of several series in each step; None where none has a value."""
    listed = list(columns)
    known = ([column[step] for column in listed] for step in range(steps))
    return [max((value for value in row if value is not None), default=None) for row in known]


def ratio(part: Column, whole: Column, statistic: Statistic) -> list[float | None]:
    """Return the share of the whole in each step; None where one is not known, or the whole is nothing. A count is the part's."""
    if statistic == "count":
        return list(part)
    return [None if a is None or not b else share(100 * a / b, statistic) for a, b in zip(part, whole, strict=True)]
