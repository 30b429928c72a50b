"""The screen of what an apply or a destroy did, of one unit or of many (pure)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcml.core.errors import said
from mcml.core.plan import Plan
from mcml.core.view import Block, Column, Document, State, Status, Table
from mcml.infra import outcome
from mcml.infra.plans.plan import Applied
from mcml.infra.views.fitting import Row
from mcml.infra.views.plan_views import UNIT, counts, first_line, step_item, unit_item

if TYPE_CHECKING:
    from mcml.infra.fleet import Plans
    from mcml.infra.units.schedule import Results

DONE = {"create": "created", "update": "changed", "replace": "replaced", "delete": "destroyed"}


def applied_document(plans: "Plans", results: "Results[Applied]") -> Document:
    """Show what an apply or a destroy did, of each unit what was made, and which failed or were not begun."""
    changed = [(one, step) for one in results.done.values() for step in one.planned.plan.changes]
    items = [step_item(one.planned.unit.name, step) | {"result": DONE[step.action]} for one, step in changed]
    for name, error in results.failed.items():
        items.append(unit_item(name, said(error)) | {"result": "failed"})
    for name, roots in results.skipped.items():
        items.append(unit_item(name, f"it needs {', '.join(roots)}") | {"result": "not begun"})
    if len(plans.graph.units) > 1 and items:
        return Document("InfraResult", items, _applied_blocks(plans, results))
    environment = plans.graph.units[0].environment
    if not changed and not results.failed:
        nothing = "nothing to destroy" if plans.destroys else "nothing to change: everything is as it should be"
        return Document("InfraResult", items, (Status(State("ok"), f"{environment}: {nothing}"),))
    return Document("InfraResult", items, [_done_line(one) for one in results.done.values()])


def _done_line(applied: Applied) -> Status:
    plan = applied.planned.plan
    where = outcome.place(applied.planned.unit)
    return Status(State("done"), f"{where}: {counts(plan, DONE)} in {applied.seconds:.1f} s; plan {plan.digest[:12]}")


def _applied_blocks(plans: "Plans", results: "Results[Applied]") -> list[Block]:
    columns = (UNIT, Column("state", "State", "state"), Column("what", "What was done"), Column("seconds", "Took", "seconds"))
    rows = [row for unit in plans.graph.units for row in _applied_row(unit.name, results)]
    same = len(plans.graph.units) - len(rows)
    done = Plan("infra", tuple(step for one in results.done.values() for step in one.planned.plan.steps))
    unchanged = f", {same} units as they were" if same else ""
    failed = [f"{len(found)} {word}" for word, found in (("failed", results.failed), ("not begun", results.skipped)) if found]
    state = State("partly", "bad") if failed else State("done")
    text = f"{plans.graph.units[0].environment}: {'; '.join([counts(done, DONE) + unchanged, *failed])}; plan {plans.digest[:12]}"
    return [Table(columns, rows), Status(state, text)]


def _applied_row(name: str, results: "Results[Applied]") -> Iterator[Row]:
    if name in results.failed:
        yield {"unit": name, "state": State("failed", "bad"), "what": first_line(results.failed[name]), "seconds": None}
    elif name in results.skipped:
        yield {"unit": name, "state": State("not begun", "warn"), "what": f"needs {', '.join(results.skipped[name])}", "seconds": None}
    elif name in results.done and results.done[name].planned.plan.changes:
        one = results.done[name]
        yield {"unit": name, "state": State("done"), "what": counts(one.planned.plan, DONE), "seconds": one.seconds}
