"""Blocks for a person at a terminal, drawn with rich."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText
from rich.tree import Tree as RichTree

from mcml.core.view import Block, Column, Kind, Level, Pairs, Section, Series, State, Status, Table, Text, Tree
from mcml.ui.values import friendly, sparkline

STYLE: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "bad": "bold red", "idle": "dim"}
_RIGHT = {"money", "number", "percent", "seconds", "bytes"}


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
    drawn = RichTable(box=None, padding=(0, 2, 0, 0), header_style="bold", title=table.title or None, title_justify="left")
    for column in table.columns:
        right = column.kind in _RIGHT
        short = right or column.kind in ("time", "state", "spark")
        drawn.add_column(column.title, justify="right" if right else "left", no_wrap=short, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(_cell(row.get(column.key), column, now) for column in table.columns))
    return drawn


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
