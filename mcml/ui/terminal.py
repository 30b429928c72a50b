"""Blocks for a person at a terminal, drawn with rich.

A table that is too wide breaks its titles first, then its texts; where there is no room for that either, its rows stand one below the
other. A number is never cut: 1,234.56 without its end is another number.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText
from rich.tree import Tree as RichTree

from mcml.core.view import Block, Column, Kind, Level, Pairs, Section, Series, State, Status, Table, Text, Tree
from mcml.ui.values import bar, friendly, sparkline

STYLE: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "bad": "bold red", "idle": "dim"}
_RIGHT = {"money", "number", "percent", "share", "seconds", "bytes"}
_SHORT = {*_RIGHT, "time", "state", "spark"}
_GAP, _APART = 2, 3
_BAR = 10
"""Cells of a whole bar, beside a share where there is room for it."""
_NUMBER = int | float | Decimal
_TEXT, _WORD = 12, 24
"""How narrow a text may get, and a single word of it (an id, a path), before the rows stand one below the other."""


def draw(blocks: Sequence[Block], *, width: int, colour: bool, now: datetime) -> str:
    """Return the blocks as text for a terminal of this width."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, no_color=not colour, color_system="standard" if colour else None, highlight=False
    )
    for index, block in enumerate(blocks):
        if index and isinstance(block, Section | Table | Tree):
            console.print()
        console.print(_drawn(block, now), soft_wrap=isinstance(block, Text) and block.verbatim)
    return out.getvalue()


def _drawn(block: Block, now: datetime) -> RenderableType:
    match block:
        case Table():
            return _table(block, now)
        case Pairs():
            return _pairs(block, now)
        case Series():
            known = [point for point in block.points if point is not None]
            span = f"{min(known):g} .. {max(known):g} {block.unit}".rstrip() if known else "no data"
            return RichText.assemble(f"{block.label}  ", (sparkline(block.points), "cyan"), f"  {span}")
        case Tree():
            return _tree(block)
        case Status():
            return RichText.assemble(_state(block.state), f"  {block.text}")
        case Text():
            return RichText(block.text)
        case Section():
            grid = RichTable.grid()
            grid.add_column()
            grid.add_row(RichText(block.title, style="bold"))
            for inner in block.blocks:
                grid.add_row(Padding(_drawn(inner, now), (0, 0, 0, 2)))
            return grid


def _table(table: Table, now: datetime) -> RenderableType:
    if not table.rows:
        return RichText(table.empty, style="dim")
    return _Fitted(table, [[_cell(row.get(column.key), column, now) for column in table.columns] for row in table.rows])


@dataclass(frozen=True)
class _Fitted:
    """A table in the room that there is: with bars, in one line a row, with broken titles and texts, or as rows one below the other."""

    table: Table
    rows: Sequence[Sequence[RichText]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._drawn(options.max_width)._fitting(options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        drawn = self._drawn(options.max_width)
        width = min(drawn._width(drawn._whole()), options.max_width)
        return Measurement(width, width)

    def _drawn(self, room: int) -> "_Fitted":
        """Return the table with a bar beside each share, where there are shares to compare and room for all bars."""
        compared = [
            at
            for at, column in enumerate(self.table.columns)
            if column.kind == "share" and sum(isinstance(row.get(column.key), _NUMBER) for row in self.table.rows) > 1
        ]
        if not compared or self._width(self._whole()) + (_BAR + 1) * len(compared) > room:
            return self
        columns, rows = list(self.table.columns), [list(row) for row in self.rows]
        for at in compared:
            wide = max(cell_len(columns[at].title), self._longest(at))
            for row, told in zip(rows, self.table.rows, strict=True):
                row[at] = _barred(row[at].plain.rjust(wide), told.get(columns[at].key))
            columns[at] = replace(columns[at], title=columns[at].title.rjust(wide), kind="spark")  # these begin on the left
        return _Fitted(replace(self.table, columns=columns), rows)

    def _fitting(self, room: int) -> RenderableType:
        columns = self.table.columns
        titles = [column.title for column in columns]
        if self._width(self._whole()) <= room:
            return self._grid(titles)
        least = [max(_longest_word(title), self._least(at)) for at, title in enumerate(titles)]
        if self._width(least) > room and len(titles) > 1:
            return self._stacked(room)
        broken = [title.replace(" ", "\n") if column.kind in _SHORT else title for title, column in zip(titles, columns, strict=True)]
        return self._grid(broken)

    def _whole(self) -> list[int]:
        """How wide each column is when nothing is broken."""
        return [max(cell_len(column.title), self._longest(at)) for at, column in enumerate(self.table.columns)]

    def _width(self, columns: Sequence[int]) -> int:
        return sum(columns) + _GAP * len(columns)

    def _longest(self, at: int) -> int:
        return max(row[at].cell_len for row in self.rows)

    def _least(self, at: int) -> int:
        if self.table.columns[at].kind in _SHORT:
            return self._longest(at)
        word = max(_longest_word(row[at].plain) for row in self.rows)
        return min(self._longest(at), max(_TEXT, min(word, _WORD)))

    def _grid(self, titles: Sequence[str]) -> RichTable:
        drawn = RichTable(box=None, padding=(0, _GAP, 0, 0), header_style="bold", title=self.table.title or None, title_justify="left")
        for title, column in zip(titles, self.table.columns, strict=True):
            justify: Literal["left", "right"] = "right" if column.kind in _RIGHT else "left"
            drawn.add_column(title, justify=justify, no_wrap=column.kind in _SHORT, overflow="fold", vertical="top")
        for row in self.rows:
            drawn.add_row(*row)
        return drawn

    def _stacked(self, room: int) -> RichTable:
        """Draw each row as its first value, and below it the others that it has, each behind its title."""
        drawn = RichTable.grid()
        drawn.add_column(overflow="fold")
        if self.table.title:
            drawn.add_row(RichText(self.table.title, style="italic"))
        for head, *others in self.rows:
            drawn.add_row(RichText.assemble(head, style="bold"))
            named = zip(self.table.columns[1:], others, strict=True)
            told = [RichText.assemble((f"{column.title} ".lstrip(), "dim"), cell) for column, cell in named if cell.plain != "-"]
            for line in _lines(told, room - _GAP):
                drawn.add_row(Padding(line, (0, 0, 0, _GAP)))
        return drawn


def _lines(parts: Sequence[RichText], room: int) -> list[RichText]:
    """Put parts into lines, as many as fit into each."""
    lines: list[RichText] = []
    for part in parts:
        if lines and lines[-1].cell_len + _APART + part.cell_len <= room:
            lines[-1] = RichText.assemble(lines[-1], " " * _APART, part)
        else:
            lines.append(part)
    return lines


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _barred(shown: str, value: object) -> RichText:
    return RichText.assemble(f"{shown} ", (bar(value if isinstance(value, _NUMBER) else 0, _BAR), "cyan"))


def _cell(value: object, column: Column, now: datetime) -> RichText:
    return _state(value) if isinstance(value, State) else RichText(friendly(value, column.kind, now))


def _pairs(pairs: Pairs, now: datetime) -> RenderableType:
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.pairs:
        kind: Kind = "time" if isinstance(value, datetime) else "text"
        grid.add_row(RichText(name, style="bold"), _cell(value, Column("", "", kind), now))
    return grid


def _tree(tree: Tree) -> RichTree:
    label = RichText(tree.label)
    if tree.state:
        label = RichText.assemble(_state(tree.state), f"  {tree.label}")
    drawn = RichTree(label)
    for child in tree.children:
        drawn.children.append(_tree(child))
    return drawn


def _state(state: State) -> RichText:
    return RichText(state.text, style=STYLE[state.level])
