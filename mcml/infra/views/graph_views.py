"""The graph of units as a tree, as data, and in the language of Graphviz (pure)."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Document, Tree
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Unit


def graph_document(graph: Graph) -> Document:
    """Show what comes before what: each unit once, below the last of those that it waits for. `wave` counts the units before it."""
    waves = _waves(graph)
    below: dict[str, list[Unit]] = {}
    for unit in graph.units:
        needed = [name for name in unit.needs if name in waves]
        below.setdefault(max(needed, key=lambda name: waves[name]) if needed else "", []).append(unit)
    trees: list[Block] = [_tree(unit, "", below) for unit in below.get("", ())]
    items = [
        {
            "name": unit.name,
            "environment": unit.environment,
            "cloud": unit.cloud,
            "layer": unit.layer,
            "module": unit.module,
            "needs": list(unit.needs),
            "inputs": {name: given.name for name, given in unit.inputs.items()},
            "wave": waves[unit.name],
        }
        for unit in graph.units
    ]
    return Document("InfraGraph", items, trees)


def _waves(graph: Graph) -> dict[str, int]:
    """Return how many units lie before each on the longest way to it, of those that are shown."""
    waves: dict[str, int] = {}
    for unit in graph.units:
        waves[unit.name] = max((waves[name] + 1 for name in unit.needs if name in waves), default=0)
    return waves


def _tree(unit: Unit, parent: str, below: Mapping[str, Sequence[Unit]]) -> Tree:
    others = [name for name in unit.needs if name != parent]
    also = "also needs" if parent else "needs"
    label = f"{unit.name}  ({also} {', '.join(others)})" if others else unit.name
    return Tree(label, [_tree(child, unit.name, below) for child in below.get(unit.name, ())])


def dot(graph: Graph) -> str:
    """Write the graph for Graphviz, as `terraform graph` does: an arrow goes from a unit to what it needs.

    https://graphviz.org/doc/info/lang.html; what is needed and not among the units has a dashed line.
    """
    names = [unit.name for unit in graph.units]
    others = dict.fromkeys(name for unit in graph.units for name in unit.needs if name not in names)
    lines = ["digraph units {", '  rankdir = "RL";', '  node [shape = rect, fontname = "sans-serif"];']
    lines += [f"  {_quoted(name)};" for name in names]
    lines += [f"  {_quoted(name)} [style = dashed];" for name in others]
    lines += [f"  {_quoted(unit.name)} -> {_quoted(needed)};" for unit in graph.units for needed in unit.needs]
    return "\n".join([*lines, "}\n"])


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
