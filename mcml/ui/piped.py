"""Blocks for a pipe: tables as tab-separated lines without a heading, everything exact, nothing cut, no colour."""

from collections.abc import Iterable, Sequence

from mcml.core.view import Block, Pairs, Section, Series, Status, Table, Text, Tree
from mcml.ui.values import exact


def write(blocks: Sequence[Block]) -> str:
    """Return the blocks as lines."""
    return "".join(f"{line}\n" for block in blocks for line in _lines(block))


def _lines(block: Block) -> Iterable[str]:
    match block:
        case Table():
            for row in block.rows:
                yield "\t".join(exact(row.get(column.key)) for column in block.columns)
        case Pairs():
            for name, value in block.pairs:
                yield f"{name}\t{exact(value)}"
        case Series():
            yield f"{block.label}\t" + "\t".join(exact(point) for point in block.points)
        case Tree():
            yield from _tree(block, 0)
        case Status():
            yield f"{block.state.text}\t{block.text}"
        case Text():
            yield from block.text.splitlines()
        case Section():
            yield f"# {block.title}"
            for inner in block.blocks:
                yield from _lines(inner)


def _tree(tree: Tree, depth: int) -> Iterable[str]:
    state = f"\t{tree.state.text}" if tree.state else ""
    yield f"{'  ' * depth}{tree.label}{state}"
    for child in tree.children:
        yield from _tree(child, depth + 1)
