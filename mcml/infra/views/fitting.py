"""How many lines rows take on the narrowest terminal that we draw for, so that a screen can be filled and not overflow (pure)."""

import textwrap
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from mcml.core.view import Column, State

WIDTH = 80
"""Characters of a line; on a wider terminal the same rows take fewer lines."""

GAP = 2
"""Characters between two columns of a table."""

Row = Mapping[str, object]


def fitting(rows: Sequence[Row], columns: Sequence[Column], lines: int) -> list[Row]:
    """Return the first rows, as many as go into so many lines: what is cut off does not widen its column."""
    shown = list(rows[: max(0, lines)])  # a row takes a line at least
    number = bisect_right(range(1, len(shown) + 1), lines, key=lambda end: sum(heights(shown[:end], columns)))
    return shown[:number]


def heights(rows: Sequence[Row], columns: Sequence[Column]) -> list[int]:
    """Return how many lines each row of a table takes: the widest columns give way first, and what is too long goes on below itself."""
    cells = [[_text(row.get(column.key)) for column in columns] for row in rows]
    natural = [max(map(len, texts)) for texts in zip([column.title for column in columns], *cells, strict=True)]
    widths = _widths(natural, WIDTH - GAP * len(columns))
    return [max(lines_of(text, width) for text, width in zip(row, widths, strict=True)) for row in cells]


def lines_of(text: str, width: int = WIDTH) -> int:
    """Return how many lines a text takes; a word that is longer than a line begins one of its own."""
    whole = 0
    for part in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        whole += -(-len(part) // width)
    return whole or 1


def _text(cell: object) -> str:
    return cell.text if isinstance(cell, State) else "" if cell is None else str(cell)


def _widths(natural: Sequence[int], room: int) -> list[int]:
    widths = list(natural)
    while (excess := sum(widths) - room) > 0 and max(widths) > 1:
        widest = max(widths)
        most = [index for index, width in enumerate(widths) if width == widest]
        next_to = max((width for width in widths if width < widest), default=1)
        cut = max(1, min(widest - next_to, -(-excess // len(most))))  # rounded up: which of them is one wider, nobody says
        for index in most:
            widths[index] -= cut
    return widths
