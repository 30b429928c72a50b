"""A document as one HTML file that needs nothing else: no script, no address of elsewhere, light and dark, printable."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from importlib.resources import files

from mcml.core.view import Block, Column, Document, Pairs, Section, Series, State, Status, Table, Text, Tree
from mcml.ui.values import exact, friendly

NUMBERS = {"money", "number", "percent", "share", "seconds", "bytes"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 820, 150, 52, 16, 8
SPARK_WIDTH, SPARK_HEIGHT = 120, 22


def write(document: Document, now: datetime, command: str = "") -> str:
    """Return the whole page. Times are written out in UTC, for a page is read later than it was made.

    `command`: what was typed to make it. Whoever is given the page sees by it which span and conditions its numbers have.
    """
    title = escape(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", document.kind).capitalize())
    style = files("mcml.ui").joinpath("html.css").read_text()
    body = "".join(part for block in document.blocks for part in _block(block, 2, now))
    made = f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    typed = f" <code>{escape(command)}</code>" if command else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}, {made}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>\n'
        f"<body><header><h1>{title}</h1><p>{made}{typed}</p></header>\n<main>{body}</main>\n"
        f"<footer>made by mcml; the same data: -o json</footer></body></html>\n"
    )


def _block(block: Block, level: int, now: datetime) -> Iterator[str]:
    match block:
        case Section():
            inner = "".join(part for each in block.blocks for part in _block(each, level + 1, now))
            yield f"<section><h{min(level, 6)}>{escape(block.title)}</h{min(level, 6)}>{inner}</section>\n"
        case Table():
            yield _table(block, now)
        case Pairs():
            lines = (f"<dt>{escape(name)}</dt><dd>{_value(value, Column('', ''), now)}</dd>" for name, value in block.pairs)
            yield f"<dl>{''.join(lines)}</dl>"
        case Series():
            yield _series(block)
        case Tree():
            yield f"<ul>{_tree(block)}</ul>"
        case Status():
            yield f"<p>{_state(block.state)} {escape(block.text)}</p>"
        case Text():
            yield f"<pre>{escape(block.text)}</pre>" if block.verbatim else f"<p>{escape(block.text)}</p>"


def _table(table: Table, now: datetime) -> str:
    if not table.rows:
        return f'<p class="empty">{escape(table.empty)}</p>'
    head = "".join(f'<th scope="col"{_class(column)}>{escape(column.title)}</th>' for column in table.columns)
    rows = "".join(f"<tr>{''.join(_cell(row, column, now) for column in table.columns)}</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n'


def _class(column: Column, more: str = "") -> str:
    names = " ".join(name for name in ("n" if column.kind in NUMBERS else "", more) if name)
    return f' class="{names}"' if names else ""


def _cell(row: Mapping[str, object], column: Column, now: datetime) -> str:
    value = row.get(column.key)
    shown = _value(value, column, now)
    if column.kind in ("percent", "share") and isinstance(value, int | float | Decimal) and value >= 0:
        return f'<td{_class(column, "bar")} style="--p:{min(float(value), 100):.1f}%">{shown}</td>'
    full = exact(value) if isinstance(value, Decimal) else ""
    return f"<td{_class(column)}{f' title={chr(34)}{escape(full)}{chr(34)}' if full else ''}>{shown}</td>"


def _value(value: object, column: Column, now: datetime) -> str:
    if isinstance(value, State):
        return _state(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if column.kind == "spark" and isinstance(value, list | tuple):
        return _spark(value)
    return escape(friendly(value, column.kind, now))


def _state(state: State) -> str:
    return f'<span class="state {state.level}">{escape(state.text)}</span>'


def _tree(tree: Tree) -> str:
    inner = f"<ul>{''.join(_tree(child) for child in tree.children)}</ul>" if tree.children else ""
    state = f"{_state(tree.state)} " if tree.state else ""
    return f"<li>{state}{escape(tree.label)}{inner}</li>"


def _series(series: Series) -> str:
    """Draw columns over a common base line at zero, with the values of the line and the largest."""
    known = [point for point in series.points if point is not None]
    unit = f" <span>{escape(series.unit)}</span>" if series.unit else ""
    caption = f"<figcaption>{escape(series.label)}{unit}</figcaption>"
    if not known:
        return f'<figure>{caption}<p class="empty">nothing measured</p></figure>'
    high, low = max(*known, 0.0), min(*known, 0.0)
    scale = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1.0)
    zero = TOP + high * scale
    step = (WIDTH - LEFT) / len(series.points)
    measured = [(place, point) for place, point in enumerate(series.points) if point is not None]
    columns = "".join(_column(point, LEFT + place * step, step, zero, scale, series.unit) for place, point in measured)
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{zero - value * scale + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
        for value in dict.fromkeys((high, 0.0, low))
    )
    spoken = escape(f"{series.label}: {min(known):g} to {max(known):g} {series.unit}".rstrip())
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
    return (
        f'<figure>{caption}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{spoken}">{axis}{columns}{ticks}</svg></figure>\n'
    )


def _column(point: float, x: float, step: float, zero: float, scale: float, unit: str) -> str:
    top, height = (zero - point * scale, point * scale) if point >= 0 else (zero, -point * scale)
    where = f'x="{x + step * 0.1:.1f}" y="{top:.1f}" width="{max(step * 0.8, 0.5):.1f}" height="{max(height, 0.5):.1f}"'
    return f'<rect class="column" {where}><title>{escape(f"{point:g} {unit}".rstrip())}</title></rect>'


def _spark(points: Sequence[float | None]) -> str:
    known = [point for point in points if point is not None]
    if not known:
        return ""
    low, scale = min(known), (SPARK_HEIGHT - 4) / ((max(known) - min(known)) or 1.0)
    step = SPARK_WIDTH / max(len(points) - 1, 1)
    path, pen = "", "M"
    for place, point in enumerate(points):
        path += "" if point is None else f"{pen}{place * step:.1f} {SPARK_HEIGHT - 2 - (point - low) * scale:.1f}"
        pen = "M" if point is None else "L"
    return f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" aria-hidden="true"><path class="trace" d="{path}"/></svg>'
