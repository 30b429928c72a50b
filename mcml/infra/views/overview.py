"""The screens of what is applied: targets, units, outputs; and the names of all that a command shows (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mcml.core.errors import said
from mcml.core.schema import Target
from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.infra.states.state import State as TerraformState
from mcml.infra.states.state import applied_targets
from mcml.infra.units.units import Folders, Unit
from mcml.infra.views.applied_views import applied_document
from mcml.infra.views.cost_views import cost_document
from mcml.infra.views.graph_views import graph_document
from mcml.infra.views.plan_views import plan_document

if TYPE_CHECKING:
    from mcml.infra.terraform.binary import Binary
    from mcml.infra.units.graph import Graph
    from mcml.infra.units.schedule import Results

__all__ = [
    "applied_document", "cost_document", "graph_document", "init_document", "output_document", "plan_document", "status_document",
]  # fmt: skip

ABOUT = (Column("name", "Target"), Column("provider", "Provider"), Column("region", "Region"), Column("ports", "Ports"))
LEVELS: Mapping[str, Level] = {
    "applied": "ok", "not applied": "idle", "half-made": "bad", "missing": "bad", "to be removed": "warn", "as it is": "idle",
    "locked": "warn", "unreadable": "bad",
}  # fmt: skip
AS_SHOULD_BE = ("applied", "as it is")
HERE = "this machine"
"""Where a state is that has no backend."""


def output_document(graph: "Graph", results: "Results[TerraformState]") -> Document:
    """Show the outputs: the targets as a table, whatever else there is as it is. A sensitive one is named, never shown.

    Of the local unit alone the items are its targets; else they are outputs, each `{"unit", "name", "value", "sensitive"}`.
    """
    states = [(unit, results.done[unit.name]) for unit in graph.units if unit.name in results.done]
    if len(graph.units) == 1 and graph.units[0].healed_by and states:
        return _local_outputs(states[0][1])
    items = [item for unit, state in states for item in _outputs(unit, state)]
    blocks: list[Block] = [Section(unit.name, _output_blocks(unit, state)) for unit, state in states if state.outputs or state.sensitive]
    empty = [(unit.name, state.resources) for unit, state in states if not state.outputs and not state.sensitive]
    for there, text in ((False, "not applied: {}; next: mcml infra apply"), (True, "no outputs: {}")):
        names = [name for name, resources in empty if bool(resources) is there]
        blocks += [Text(text.format(", ".join(names)))] if names else []
    return Document("InfraUnitOutput", items, blocks)


def _local_outputs(state: TerraformState) -> Document:
    rows = _target_rows(state)
    table = Table([*ABOUT, Column("folder", "Folder")], rows, empty="nothing is applied; next: mcml infra apply")
    others = _pairs(state)
    return Document("InfraOutput", rows, [table, *([Pairs(others)] if others else [])])


def _target_rows(state: TerraformState) -> list[dict[str, object]]:
    return [
        {
            "name": target.name,
            "provider": target.provider,
            "region": target.region,
            "ports": _ports(target.ports),
            "folder": target.folder,
            "tags": dict(target.tags),
        }
        for target in applied_targets(state).values()
    ]


def _outputs(unit: Unit, state: TerraformState) -> Iterator[dict[str, object]]:
    for name, value in state.outputs.items():
        yield {"unit": unit.name, "name": name, "value": value, "sensitive": False}
    for name in state.sensitive:
        yield {"unit": unit.name, "name": name, "value": None, "sensitive": True}


def _output_blocks(unit: Unit, state: TerraformState) -> list[Block]:
    targets: list[Block] = [Table([*ABOUT, Column("folder", "Folder")], _target_rows(state))] if unit.healed_by else []
    others = _pairs(state, without="targets" if unit.healed_by else "")
    return [*targets, *([Pairs(others)] if others else [])]


def _pairs(state: TerraformState, without: str = "targets") -> list[tuple[str, object]]:
    told = [pair for name, value in state.outputs.items() if name != without for pair in _flat(name, value)]
    return [*told, *((name, "(sensitive)") for name in state.sensitive)]


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield a value as pairs of a path and what lies there; a list of plain values is one."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for index, below in enumerate(value):
            yield from _flat(f"{name}[{index}]", below)
    else:
        yield name, value


def _ports(ports: Sequence[int]) -> str:
    """Write ports briefly: runs of neighbours as `first-last`."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def status_document(graph: "Graph", results: "Results[TerraformState]", wanted: Mapping[str, Target]) -> Document:
    """Show every target of mcml.toml and of the states; the units, when there are others than the local one; and who is at work."""
    units = [_unit_row(unit, results) for unit in graph.units]
    several = any(not unit.healed_by for unit in graph.units)
    applied_clouds = {cloud: all(_said(row) == "applied" for row in units if row["provider"] == cloud) for cloud in _clouds(graph)}
    local = next((results.done[unit.name] for unit in graph.units if unit.healed_by and unit.name in results.done), TerraformState())
    targets = _target_states(local, wanted, applied_clouds)
    environment = graph.units[0].environment
    columns = [ABOUT[0], Column("state", "State", "state"), *ABOUT[1:]]
    empty = "no target is defined; next: mcml config example"
    blocks: list[Block] = [Table(columns, targets, title=f"environment {environment}", empty=empty)] if targets or not several else []
    if several:
        blocks.append(Table(UNIT_COLUMNS, units))
    locks = [line for unit in graph.units if unit.name in results.done for line in _lock(unit, results.done[unit.name], several)]
    failures = [Status(State("unreadable", "bad"), f"{name}: {said(error)}") for name, error in results.failed.items()]
    return Document("InfraStatus", [*targets, *(units if several else ())], (*blocks, *locks, *failures, *_advice(targets, units, several)))


UNIT_COLUMNS = (
    Column("name", "Unit"), Column("state", "State", "state"), Column("resources", "Resources", "number"),
    Column("serial", "Serial", "number"), Column("kept", "State kept in"), Column("needs", "Needs"),
)  # fmt: skip


def _clouds(graph: "Graph") -> set[str]:
    return {unit.cloud for unit in graph.units if unit.layer}


def _unit_row(unit: Unit, results: "Results[TerraformState]") -> dict[str, object]:
    state = results.done.get(unit.name)
    word = _unit_word(state)
    return {
        "name": unit.name,
        "kind": "unit",
        "state": State(word, LEVELS[word]),
        "provider": unit.cloud,
        "layer": unit.layer,
        "resources": state.resources if state else None,
        "serial": state.serial if state else None,
        "kept": unit.backend.kind if unit.backend else HERE,
        "needs": list(unit.needs),
    }


def _unit_word(state: TerraformState | None) -> str:
    if state is None:
        return "unreadable"
    if state.lock:
        return "locked"
    if state.tainted:
        return "half-made"
    return "applied" if state.resources else "not applied"


def _target_states(state: TerraformState, wanted: Mapping[str, Target], applied_clouds: Mapping[str, bool]) -> list[dict[str, object]]:
    applied = applied_targets(state)
    rows: list[dict[str, object]] = []
    for name in sorted({*wanted, *state.made, *applied}):
        about = wanted.get(name) or applied.get(name)
        provider, region = (about.provider, about.region) if about else ("", "")
        if name in wanted and provider != "local":
            made = applied_clouds.get(provider)
            word = "as it is" if made is None else "applied" if made else "not applied"
        else:
            word = _word(name, state, wanted, name in applied)
        ports = _ports(applied[name].ports) if name in applied else ""
        state_word = State(word, LEVELS[word])
        rows.append({"name": name, "kind": "target", "state": state_word, "provider": provider, "region": region, "ports": ports})
    return rows


def _word(name: str, state: TerraformState, wanted: Mapping[str, object], there: bool) -> str:
    if name in state.made and not state.made[name]:
        return "half-made"
    if name in state.made and name not in wanted:
        return "to be removed"
    if there:
        return "applied"
    return "missing" if (state.outputs.get("targets") or {}).get(name) else "not applied"


def _lock(unit: Unit, state: TerraformState, several: bool) -> list[Status]:
    if not state.lock:
        return []
    what = f"the state of {unit.name}" if several else "the state"
    return [Status(State("locked", "warn"), f"{state.lock.who} holds {what} ({state.lock.operation}) since {state.lock.created}")]


def _advice(targets: Sequence[Mapping[str, object]], units: Sequence[Mapping[str, object]], several: bool) -> list[Text]:
    off = [row for row in targets if _said(row) not in AS_SHOULD_BE]
    if off:
        return [Text(f"{len(off)} of {len(targets)} not as they should be; next: mcml infra apply")]
    off = [row for row in units if _said(row) in ("half-made", "not applied") and row["provider"] != "local"] if several else []
    return [Text(f"{len(off)} of {len(units)} units not as they should be; next: mcml infra apply")] if off else []


def _said(row: Mapping[str, object]) -> str:
    return str(getattr(row["state"], "text", ""))


def init_document(binary: "Binary", graph: "Graph", folders: Folders, results: "Results[None]") -> Document:
    """Show which Terraform is used, and where it works."""
    rows = [
        {
            "name": unit.name,
            "environment": unit.environment,
            "terraform": binary.name,
            "folder": str(folders.work(unit)),
            "state": State("ready") if unit.name in results.done else State("failed", "bad"),
        }
        for unit in graph.units
    ]
    about: list[tuple[str, object]] = [("terraform", binary.name), ("environment", graph.units[0].environment)]
    if len(rows) == 1:
        return Document("InfraInit", rows, (Pairs([*about, ("folder", rows[0]["folder"])]),))
    columns = (Column("name", "Unit"), Column("state", "State", "state"), Column("folder", "Folder"))
    return Document("InfraInit", rows, (Pairs(about), Table(columns, rows)))
