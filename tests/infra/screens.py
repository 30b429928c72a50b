"""Plans of units made up for a test, and what a document looks like."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mcml.core.clock import utc_now
from mcml.core.errors import McmlError
from mcml.core.plan import Plan, Step
from mcml.core.view import Block, Document, Pairs, Section, Status, Table, Text
from mcml.infra.fleet import Plans
from mcml.infra.plans.plan import Planned
from mcml.infra.units.graph import Graph
from mcml.infra.units.schedule import Results
from mcml.infra.units.units import Input, Unit
from mcml.ui import render
from tests.ui.streams import out_of, streams

LOCAL = Unit("local", "dev", ("eu", "us"), healed_by="terraform_data.target", module="local", cloud="local")


def unit(name: str, *needs: str) -> Unit:
    """A unit of a cloud, `<cloud>-<layer>`, that takes outputs of others."""
    cloud, _, layer = name.partition("-")
    inputs = {needed.partition("-")[2]: Input(needed, (needed.partition("-")[2],)) for needed in needs}
    return Unit(name, "dev", module=f"root/{name}", cloud=cloud, layer=layer, inputs=inputs)


def cloud(name: str) -> tuple[Unit, ...]:
    """The four units of a cloud."""
    network, cluster, data = f"{name}-network", f"{name}-cluster", f"{name}-data"
    return unit(network), unit(cluster, network), unit(data, network, cluster), unit(f"{name}-ml", network, cluster, data)


def planned(of: Unit, *steps: Step, destroys: bool = False) -> Planned:
    return Planned(of, Plan("infra", steps), Path("plan"), destroys)


def plans_of(*made: Planned, failed: Mapping[str, McmlError] | None = None, more: tuple[Unit, ...] = ()) -> Plans:
    """Plans of their units; those of `more` that did not fail were not begun because a unit that they need failed."""
    graph = Graph((*(one.unit for one in made), *more))
    errors = dict(failed or {})
    skipped = {one.name: tuple(name for name in one.needs if name in errors) for one in more if one.name not in errors}
    return Plans(graph, Results({one.unit.name: one for one in made}, errors, skipped), any(one.destroys for one in made))


def lines(document: Document) -> list[str]:
    """All that a terminal would show, each row of a table on one line."""
    return [line for block in document.blocks for line in _lines(block)]


def _lines(block: Block) -> list[str]:
    if isinstance(block, Table):
        keys = [column.key for column in block.columns]
        return [" | ".join(str(getattr(row.get(key), "text", row.get(key))) for key in keys) for row in block.rows] or [block.empty]
    if isinstance(block, Section):
        return [block.title, *(line for inner in block.blocks for line in _lines(inner))]
    if isinstance(block, Pairs):
        return [f"{name}: {value}" for name, value in block.pairs]
    if isinstance(block, Status):
        return [f"{block.state.text}: {block.text}"]
    return [block.text] if isinstance(block, Text) else [str(block)]


def screen(document: Document, width: int = 120) -> list[str]:
    """The lines on a terminal of this width."""
    told = replace(streams(terminal=True), width=width)
    render.show(document, "table", told, utc_now())
    return out_of(told).splitlines()
