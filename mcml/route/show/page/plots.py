"""Lines over time as SVG, with a grid, an axis and a legend; pure."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

WIDTH, HEIGHT = 400, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
SLOTS = 8
"""Colours that are told apart; further lines share the last, grey one."""

LEAST_SECONDS = 60.0


@dataclass(frozen=True)
class Line:
    """One line: its name in the legend, its colour (a place among SLOTS), a value for every time (None: a gap); `second`: dashed."""

    label: str
    slot: int
    points: Sequence[float | None]
    second: bool = False


def plot(title: str, unit: str, at: Sequence[float], lines: Sequence[Line], *, top: float | None = None) -> str:
    """Return a figure; `at` are seconds since 1970, `top` the end of the vertical axis (None: what the values need)."""
    known = [value for line in lines for value in line.points if value is not None]
    if not at or not known:
        return f'<figure class="plot"><figcaption>{escape(title)}</figcaption><p class="empty">nothing measured yet</p></figure>'
    ceiling = top or nice(max(known))
    end = at[-1]
    begin = min(at[0], end - LEAST_SECONDS)
    xs = [round(LEFT + (one - begin) / (end - begin) * (WIDTH - LEFT - RIGHT), 1) for one in at]
    body = "".join([*_grid(ceiling), *_clock(begin, end), *(_line(line, xs, ceiling) for line in lines)])
    data = {"x": xs, "t": [round(one) for one in at], "unit": unit, "lines": [[line.label, line.slot, list(line.points)] for line in lines]}
    spoken = f"{title} in {unit}: " + "; ".join(f"{line.label} {_last(line.points)}" for line in lines)
    return (
        f'<figure class="plot"><figcaption>{escape(title)} <span class="unit">{escape(unit)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(spoken)}" data-points="{escape(json.dumps(data))}">'
        f'{body}<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></svg>{legend(lines)}</figure>'
    )


def nice(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten that is not below `value`; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def legend(lines: Sequence[Line]) -> str:
    """Return the legend: a name once, even where a backend has two lines."""
    named = {line.label.removesuffix(" p50").removesuffix(" p99"): line.slot for line in lines}
    dashed = " <li>dashed: p50, solid: p99</li>" if any(line.second for line in lines) else ""
    items = "".join(f'<li><i class="key s{slot}"></i>{escape(name)}</li>' for name, slot in named.items())
    return f'<ul class="legend">{items}{dashed}</ul>'


def _y(value: float, ceiling: float) -> float:
    return round(HEIGHT - BOTTOM - min(1.0, value / ceiling) * (HEIGHT - TOP - BOTTOM), 1)


def _grid(ceiling: float) -> Iterator[str]:
    for share in (0.0, 0.5, 1.0):
        y = _y(share * ceiling, ceiling)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{share * ceiling:,.4g}</text>'


def _clock(begin: float, end: float) -> Iterator[str]:
    right = WIDTH - RIGHT
    for x, moment, anchor in ((LEFT, begin, "start"), ((LEFT + right) / 2, (begin + end) / 2, "middle"), (right, end, "end")):
        text = datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")
        yield f'<text class="tick" x="{x:g}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'


def _line(line: Line, xs: Sequence[float], ceiling: float) -> str:
    path, pen = "", "M"
    for x, value in zip(xs, line.points, strict=True):
        if value is None:
            pen = "M"
        else:
            path += f"{pen}{x:g} {_y(value, ceiling):g}"
            pen = "L"
    dots = "".join(_dot(x, value, ceiling, line.slot) for x, value in _alone(xs, line.points))
    return f'<path class="line s{line.slot}{" second" if line.second else ""}" d="{path}"/>{dots}'


def _alone(xs: Sequence[float], points: Sequence[float | None]) -> Iterator[tuple[float, float]]:
    """Find values without a neighbour: a line of one point is not seen."""
    padded = [None, *points, None]
    for place, (x, value) in enumerate(zip(xs, points, strict=True), start=1):
        if value is not None and padded[place - 1] is None and padded[place + 1] is None:
            yield x, value


def _dot(x: float, value: float, ceiling: float, slot: int) -> str:
    return f'<circle class="dot s{slot}" cx="{x:g}" cy="{_y(value, ceiling):g}" r="2.5"/>'


def _last(points: Sequence[float | None]) -> str:
    return next((f"{value:g}" for value in reversed(points) if value is not None), "unknown")
