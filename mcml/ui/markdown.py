"""Blocks as Markdown, for documents that people keep."""

from collections.abc import Iterable, Sequence

from mcml.core.view import Block, Pairs, Section, Series, Status, Table, Text, Tree
from mcml.ui.values import exact, sparkline


def render(blocks: Sequence[Block], *, level: int = 1) -> str:
    """Return the blocks as Markdown (tables as GitHub draws them); a section's heading has `level`, one more for each inside it."""
    return "\n\n".join(part for block in blocks for part in _parts(block, level)) + "\n"


def _parts(block: Block, level: int) -> Iterable[str]:
    match block:
        case Section():
            yield f"{'#' * level} {block.title}"
            for inner in block.blocks:
                yield from _parts(inner, level + 1)
        case Table():
            yield _table(block)
        case Pairs():
            yield "\n".join(f"- **{name}**: {_text(value)}" for name, value in block.pairs)
        case Series():
            yield f"{block.label}: `{sparkline(block.points)}` {block.unit}".rstrip()
        case Tree():
            yield "\n".join(_tree(block, 0))
        case Status():
            yield f"**{block.state.text}** {block.text}"
        case Text():
            yield f"```\n{block.text}\n```" if block.verbatim else block.text


def _table(table: Table) -> str:
    if not table.rows:
        return f"*{table.empty}*"
    lines = [
        "| " + " | ".join(_text(column.title) for column in table.columns) + " |",
        "|" + "|".join(" --- " for _ in table.columns) + "|",
    ]
    lines += ["| " + " | ".join(_text(row.get(column.key)) for column in table.columns) + " |" for row in table.rows]
    return "\n".join([f"**{table.title}**\n", *lines] if table.title else lines)


def _tree(tree: Tree, depth: int) -> Iterable[str]:
    state = f" ({tree.state.text})" if tree.state else ""
    yield f"{'  ' * depth}- {tree.label}{state}"
    for child in tree.children:
        yield from _tree(child, depth + 1)


def _text(value: object) -> str:
    return exact(value).replace("<", "&lt;").replace("|", "\\|")
