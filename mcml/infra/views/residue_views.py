"""Documents of what differs, of what a destroy would meet, and of what is left after it (pure)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mcml.core.errors import McmlError, said
from mcml.core.view import Block, Column, Document, Level, State, Status, Table, Text, listing
from mcml.infra.residue.drift import Drift, Drifted
from mcml.infra.views.applied_views import DONE, applied_document
from mcml.infra.views.plan_views import plan_document
from mcml.providers.api.inventory import Resource

if TYPE_CHECKING:
    from mcml.infra.plans.plan import Applied
    from mcml.infra.residue.residue import Remains
    from mcml.infra.teardown import Teardown
    from mcml.infra.units.schedule import Results

LEVELS: Mapping[str, Level] = {"missing": "bad", "changed": "warn", "unmanaged": "warn"}
REMOVE = "mcml infra destroy --unmanaged"
ABOUT = (Column("kind", "Kind"), Column("region", "Region"), Column("name", "Name"))


def drift_document(environment: str, units: "Results[Drift]", strays: "Results[Drift]") -> Document:
    """Show what differs, each with the command or step that mends it; and where nobody could look.

    `units` are what Terraform found, `strays` what is at each place of a cloud and in no state.
    """
    drifts = [*units.done.values(), *strays.done.values()]
    rows = [_drift_row(drift, one) for drift in drifts for one in drift.drifted]
    several = len(drifts) > 1 or any(drift.unit != "local" for drift in drifts)
    failures = _not_seen({**units.failed, **strays.failed})
    if not rows:
        return Document("InfraDrift", [], (*([] if failures else [_no_drift(environment, units, several)]), *failures))
    what = (Column("name", "Resource" if several else "Target"), Column("drift", "Drift", "state"), Column("region", "Region"))
    columns = [*([Column("unit", "Unit")] if several else []), *what, Column("detail", "What")]
    steps = [Text(f"{one.target}: {step}") for drift in drifts for one in drift.drifted for step in one.fix]
    return Document("InfraDrift", rows, (Table(columns, rows), *steps, *failures))


def _drift_row(drift: Drift, one: Drifted) -> dict[str, object]:
    return {
        "name": one.target,
        "unit": drift.unit,
        "drift": State(one.kind, LEVELS[one.kind]),
        "region": one.region,
        "detail": one.detail,
        "changed": dict(one.changed),
        "fix": list(one.fix),
    }


def _no_drift(environment: str, units: "Results[Drift]", several: bool) -> Status:
    number = sum(len(drift.looked_at) for drift in units.done.values())
    what = f"{number} resources in {len(units.done)} units" if several else f"{number} targets"
    return Status(State("ok"), f"{environment}: no drift; {what} are as Terraform left them")


def _not_seen(failed: Mapping[str, McmlError]) -> list[Status]:
    return [Status(State("not seen", "bad"), f"{name}: {said(error)}") for name, error in failed.items()]


def teardown_document(found: "Teardown") -> Document:
    """Show the plans of a destroy, and before them what else goes with it: what the clusters made, what is emptied and unprotected."""
    shown = [one for one in found.made if one.holds_data or one.resource.kind.endswith(":loadbalancer")]
    plan = plan_document(found.plans)
    rows = [
        {
            "name": one.resource.id,
            "unit": one.place.name,
            "action": "delete",
            "kind": one.resource.kind,
            "region": one.resource.region,
            "reason": "made by the cluster" + (", loses its data" if one.holds_data else ""),
        }
        for one in shown
    ]
    blocks: list[Block] = [Table((*ABOUT, Column("reason", "Why")), rows, title="also destroyed")] if rows else []
    blocks += [Status(State("emptied", "bad"), f"{one.unit}: {one.name}: {one.reason}") for one in found.full]
    blocks += [Status(State("unprotected", "bad"), f"{one.unit}: {one.address}: {one.reason}") for one in found.guarded]
    return Document(plan.kind, [*plan.items, *rows], (*blocks, *plan.blocks, *_not_seen(found.not_seen)))


def destroyed_document(found: "Teardown", results: "Results[Applied]", swept: "Results[Remains]") -> Document:
    """Show what a destroy did, and what is left of the environment: one line for nothing, else each with the command that removes it."""
    applied = applied_document(found.plans, results)
    left = [_left_row(one) for name in swept.done for one in swept.done[name].left]
    going = sum(len(one.going) for one in swept.done.values())
    blocks: list[Block] = []
    if left:
        blocks = [Table((*ABOUT, Column("fix", "Remove it by")), left, title="left behind")]
    elif swept.done and not swept.failed:
        blocks = [Status(State("clean"), f"nothing with the environment's tags is left: {', '.join(swept.done)}")]
    if going:
        blocks.append(Text(f"{going} more are destroyed and still listed: the cloud's index is behind, or keeps them for some days"))
    return Document(applied.kind, [*applied.items, *left], (*applied.blocks, *blocks, *_not_seen(swept.failed)))


def _left_row(one: Resource) -> dict[str, object]:
    return {"name": one.id, "kind": one.kind, "region": one.region, "result": State("left", "bad"), "fix": f"{REMOVE} {one.id}"}


def removed_document(resource: Resource, *, removed: bool) -> Document:
    """Show that something unmanaged was removed, or in a dry run that it would be."""
    row = {"name": resource.id, "kind": resource.kind, "region": resource.region, "result": DONE["delete"] if removed else "to destroy"}
    columns: Sequence[Column] = [Column("name", "Name"), *ABOUT[:2], Column("result", "Result")]
    return listing("InfraResult", columns, [row])
