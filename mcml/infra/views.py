"""Documents of the infra room (pure)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mcml.core.plan import Plan, Step
from mcml.core.schema import Target
from mcml.core.view import Block, Column, Document, Level, Pairs, State, Status, Table, Text, listing
from mcml.infra.drift import Drift
from mcml.infra.plan import ORDER, Applied, Planned
from mcml.infra.state import State as TerraformState
from mcml.infra.state import applied_targets
from mcml.infra.units import Unit
from mcml.providers.api.inventory import Resource

if TYPE_CHECKING:
    from mcml.infra.binary import Binary

MOST_ROWS = 50
"""A plan fits on one screen and into one comment of a review: 60 lines with heading and verdict."""

DONE = {"create": "created", "update": "changed", "replace": "replaced", "delete": "destroyed"}
ABOUT = (Column("name", "Target"), Column("provider", "Provider"), Column("region", "Region"), Column("ports", "Ports"))
LEVELS: Mapping[str, Level] = {"applied": "ok", "not applied": "idle", "half-made": "bad", "missing": "bad", "to be removed": "warn"}


def plan_document(planned: Planned) -> Document:
    """Show a plan, what loses something first; what stays as it is, is data but no line."""
    changes = planned.plan.changes
    rows = [{"action": step.action, "name": _short(step), "why": _why(step)} for step in changes[:MOST_ROWS]]
    more = [Text(f"... and {len(changes) - MOST_ROWS} more: -o json shows all")] if len(changes) > MOST_ROWS else []
    verdict = f"{counts(planned.plan)} in {planned.unit.environment}; plan {planned.plan.digest[:12]}"
    table = [Table([Column("action", "Action"), Column("name", "What"), Column("why", "Why")], rows)] if rows else []
    return Document("InfraPlan", [_item(step) for step in planned.plan.steps], (*table, *more, Text(verdict)))


def applied_document(applied: Applied) -> Document:
    """Show what an apply or a destroy did."""
    plan = applied.planned.plan
    rows = [_item(step) | {"result": DONE[step.action]} for step in plan.changes]
    if not rows:
        nothing = "nothing to destroy" if applied.planned.destroys else "nothing to change: everything is as it should be"
        return Document("InfraResult", [], (Status(State("ok"), f"{applied.planned.unit.environment}: {nothing}"),))
    text = f"{applied.planned.unit.environment}: {counts(plan, DONE)} in {applied.seconds:.1f} s; plan {plan.digest[:12]}"
    return Document("InfraResult", rows, (Status(State("done"), text),))


def counts(plan: Plan, words: Mapping[str, str] | None = None) -> str:
    """Say how many changes of each kind a plan has, as in '1 to delete, 3 to create'."""
    numbers = {action: sum(step.action == action for step in plan.changes) for action in ORDER if action != "keep"}
    said = [f"{number} {words[action] if words else f'to {action}'}" for action, number in numbers.items() if number]
    return ", ".join(said) or "nothing to change"


def _item(step: Step) -> dict[str, object]:
    return {key: getattr(step, key) for key in ("name", "action", "kind", "target", "reason", "values")}


def _short(step: Step) -> str:
    return f"target {step.target}" if step.kind == "terraform_data" and step.target else step.name


def _why(step: Step) -> str:
    changed = step.values.get("changed")
    said = [f"{path}: {_value(old)} -> {_value(new)}" for path, (old, new) in changed.items()] if isinstance(changed, Mapping) else []
    causes = [text for text in said if not text.startswith("triggers_replace")] or said
    return "; ".join([part for part in (step.reason, ", ".join(causes[:3])) if part])


def _value(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def output_document(state: TerraformState) -> Document:
    """Show the outputs: the targets as a table, whatever else there is as it is. A sensitive one is named, never shown."""
    rows = [
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
    columns = [*ABOUT, Column("folder", "Folder")]
    others: list[tuple[str, object]] = [(name, value) for name, value in state.outputs.items() if name != "targets"]
    others += [(name, "(sensitive)") for name in state.sensitive]
    blocks: list[Block] = [Table(columns, rows, empty="nothing is applied; next: mcml infra apply")]
    return Document("InfraOutput", rows, [*blocks, *([Pairs(others)] if others else [])])


def _ports(ports: Sequence[int]) -> str:
    """Write ports briefly: runs of neighbours as `first-last`."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def status_document(unit: Unit, state: TerraformState, wanted: Mapping[str, Target]) -> Document:
    """Show every target of mcml.toml and of the state, and whether somebody is at work."""
    applied = applied_targets(state)
    rows = []
    for name in sorted({*wanted, *state.made, *applied}):
        about = wanted.get(name) or applied.get(name)
        word = _word(name, state, wanted, name in applied)
        ports = _ports(applied[name].ports) if name in applied else ""
        provider, region = (about.provider, about.region) if about else ("", "")
        rows.append({"name": name, "state": State(word, LEVELS[word]), "provider": provider, "region": region, "ports": ports})
    columns = [ABOUT[0], Column("state", "State", "state"), *ABOUT[1:]]
    table = Table(columns, rows, title=f"environment {unit.environment}", empty="no target is defined; next: mcml config example")
    return Document("InfraStatus", rows, (table, *_lock(state), *_advice(rows)))


def _word(name: str, state: TerraformState, wanted: Mapping[str, object], there: bool) -> str:
    if name in state.made and not state.made[name]:
        return "half-made"
    if name in state.made and name not in wanted:
        return "to be removed"
    if there:
        return "applied"
    return "missing" if (state.outputs.get("targets") or {}).get(name) else "not applied"


def _lock(state: TerraformState) -> list[Status]:
    if not state.lock:
        return []
    return [Status(State("locked", "warn"), f"{state.lock.who} holds the state ({state.lock.operation}) since {state.lock.created}")]


def _advice(rows: Sequence[Mapping[str, object]]) -> list[Text]:
    off = [row for row in rows if str(getattr(row["state"], "text", "")) != "applied"]
    return [Text(f"{len(off)} of {len(rows)} not as they should be; next: mcml infra apply")] if off else []


def drift_document(drift: Drift) -> Document:
    """Show what differs, each with the command or step that mends it."""
    levels: Mapping[str, Level] = {"missing": "bad", "changed": "warn", "unmanaged": "warn"}
    rows = [
        {"name": one.target, "drift": State(one.kind, levels[one.kind]), "region": one.region, "detail": one.detail, "fix": list(one.fix)}
        for one in drift.drifted
    ]
    if not rows:
        text = f"{drift.environment}: no drift; {len(drift.looked_at)} targets are as Terraform left them"
        return Document("InfraDrift", [], (Status(State("ok"), text),))
    columns = [Column("name", "Target"), Column("drift", "Drift", "state"), Column("region", "Region"), Column("detail", "What")]
    steps = [Text(f"{one.target}: {step}") for one in drift.drifted for step in one.fix]
    return Document("InfraDrift", rows, (Table(columns, rows), *steps))


def init_document(binary: "Binary", unit: Unit, folder: str) -> Document:
    """Show which Terraform is used and where it works."""
    row = {"name": unit.name, "environment": unit.environment, "terraform": binary.name, "folder": folder}
    return Document("InfraInit", [row], (Pairs([("terraform", binary.name), ("environment", unit.environment), ("folder", folder)]),))


def removed_document(resource: Resource, *, removed: bool) -> Document:
    """Show that something unmanaged was removed, or in a dry run that it would be."""
    row = {"name": resource.id, "kind": resource.kind, "region": resource.region, "result": DONE["delete"] if removed else "to destroy"}
    columns = [Column("name", "Name"), Column("kind", "Kind"), Column("region", "Region"), Column("result", "Result")]
    return listing("InfraResult", columns, [row])
