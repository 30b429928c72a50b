"""Delete objects and files: plan what goes, and do it, several at once."""

from mcml.core.plan import Plan, Step
from mcml.data.ends import End, existing
from mcml.data.folder import FolderPlace
from mcml.data.place import Place
from mcml.data.plan import plan_delete, planned_size
from mcml.data.work import Outcome, Run


def look(end: End) -> Plan:
    """Plan the deletion of one name, or of everything in a place. Raises NotFound for a name that is not there."""
    if end.name is None:
        return plan_delete((entry, end.place.address(entry.name)) for entry in end.place.entries())
    return plan_delete([(existing(end), end.place.address(end.name))])


def run(end: End, work: Run) -> list[Outcome]:
    """Delete what the plan says; return how each deletion ended. Raises Interrupted or StillRunning, saying how far it got."""

    def delete(step: Step) -> tuple[str, int | None]:
        end.place.delete(str(step.values["from"]))
        size = planned_size(step)
        work.progress.moved(size or 0)
        return "", size

    outcomes = work.carry_out(delete)
    if end.name is None and isinstance(end.place, FolderPlace):
        end.place.prune()
    elif end.name is None:
        _look_again(end.place, {str(outcome.step.values["from"]) for outcome in outcomes if outcome.state == "done"})
    return outcomes


def _look_again(place: Place, gone: set[str]) -> None:
    """Delete `a/` where `a` was listed: a fast listing takes the slash off a key that ends in one, and deleting nothing fails nowhere."""
    if gone:
        for name in [entry.name for entry in place.entries() if entry.name in gone]:
            if place.find(name) is None:
                place.delete(f"{name}/")
