"""How a run ended: as words on the way, as an error that says how to continue, and as facts for the journal (pure)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mcml.core.errors import Interrupted, McmlError, PartlyDone, StillRunning
from mcml.core.report import Expecting, Listening, Reporter
from mcml.infra.plans.durations import kind_of
from mcml.infra.plans.plan import Planned
from mcml.infra.stream import handed_on
from mcml.infra.terraform.complaints import place_of
from mcml.infra.terraform.events import Event, Tally, to_error
from mcml.infra.terraform.runner import Ended, Reason
from mcml.infra.units.units import Unit

DOING = {"create": "creating", "update": "changing", "delete": "destroying", "read": "reading"}
DID = {"create": "created", "update": "changed", "delete": "destroyed", "read": "read"}


def tell(event: Event, reporter: Reporter, unit: Unit, label: str, expected: Callable[[str, str], float | None]) -> None:
    """Hand an event on to whoever watches: as it is to a program, else as a step that has the resource's name, or the target's.

    `label` goes before it where several units are worked on; `expected` returns how many seconds an action on a kind takes.
    """
    if isinstance(reporter, Listening):
        fields = handed_on(event.said)
        if fields is not None:
            reporter.event(unit.name, fields)
        return
    of_target = unit.healed_by and event.address.startswith(f"{unit.healed_by}[")
    name, doing = label + (event.key if of_target else event.address), DOING.get(event.action, event.action)
    match event.type:
        case "apply_start":
            reporter.start(name, doing)
            seconds = expected(kind_of(event.address), event.action)
            if seconds is not None and isinstance(reporter, Expecting):
                reporter.expect(name, seconds)
        case "apply_progress":
            reporter.update(name, f"still {doing}")
        case "apply_complete":
            reporter.finish(name, DID.get(event.action, event.action))
        case "apply_errored":
            reporter.finish(name, f"{doing} failed", ok=False)


def promised(made: Planned) -> str:
    """Say how many changes a plan has, and what it waits for."""
    before = ", ".join(made.waits_for)
    if not made.shown:
        return f"no plan before {before} is applied"
    waiting = f", as far as it is known before {before} is applied" if before else ""
    return f"{len(made.plan.changes)} to change{waiting}" if made.plan.changes or before else "nothing to change"


@contextmanager
def shown(planned: Planned, tally: Tally, reporter: Reporter, label: str) -> Iterator[None]:
    """Show the work on one of several units as a step of its own, of which its resources are the parts."""
    step = label.rstrip(": ")
    if not step:
        yield
        return
    reporter.start(step, "destroying" if planned.destroys else "applying")
    if planned.expected is not None and isinstance(reporter, Expecting):
        reporter.expect(step, planned.expected)
    try:
        yield
    finally:
        reporter.finish(step, f"{len(tally.done)} of {len(tally.wanted)} changes done", ok=len(tally.done) == len(tally.wanted))


def stopped(reason: Reason, message: str, why: str, next_step: str) -> McmlError:
    """Return the error of a run that a person, or the time that was up, has ended."""
    if reason == "timeout":
        return StillRunning(f"{message}: --timeout ran out", why=why, next_step=next_step)
    return Interrupted(message, why=why, next_step=next_step)


def failure(ended: Ended, reason: Reason, planned: Planned, tally: Tally, again: str) -> McmlError | None:
    """Return the error of an apply, or None; `again` is the command that continues."""
    if ended.code == 0:
        return None
    what = f"{'destroying' if planned.destroys else 'applying'} {place(planned.unit)}"
    if reason:
        return stopped(reason, f"{what} was stopped", f"{progress(planned.unit, tally)}; the state is saved", f"{again}    # continues")
    error = to_error(ended.diagnostics, what, text=ended.text, next_step=again, place=place_of(planned.unit))
    if not tally.done:
        return error
    return PartlyDone(
        f"{what} is partly done: {progress(planned.unit, tally)}",
        why=f"{error.message}\n{error.why}".strip(),
        next_step=f"{error.next_step}\n{again}    # continues" if error.next_step not in ("", again) else f"{again}    # continues",
    )


def place(unit: Unit) -> str:
    """Name an environment, or a unit of it that is not the local one."""
    return unit.environment if unit.healed_by else f"{unit.name} in {unit.environment}"


def progress(unit: Unit, tally: Tally) -> str:
    """Say what of an apply is done, half-done and not begun; a target by its name."""

    def named(addresses: Sequence[str]) -> str:
        shown = [address.removeprefix(f'{unit.healed_by}["').removesuffix('"]') for address in addresses]
        return ", ".join(shown) if len(shown) <= 12 else f"{', '.join(shown[:12])} and {len(shown) - 12} more"

    said = [f"{len(tally.done)} of {len(tally.wanted)} changes done"]
    said += [f"half-done: {named(tally.half_done)}"] if tally.half_done else []
    said += [f"not begun: {named(tally.untouched)}"] if tally.untouched else []
    return "; ".join(said)


def facts(planned: Planned, tally: Tally, seconds: float, failed: McmlError | None) -> Mapping[str, object]:
    """Return what the journal keeps of an apply or a destroy: counts, targets, the plan's digest, what it costs, what was accepted."""
    done = [step for step in planned.plan.changes if not failed or step.name in tally.done]
    found: dict[str, object] = {
        "create": sum(step.action in ("create", "replace") for step in done),
        "delete": sum(step.action in ("delete", "replace") for step in done),
        "update": sum(step.action == "update" for step in done),
        "targets": [step.target for step in done if step.target],
        "digest": planned.plan.digest,
        "duration_s": round(seconds, 3),
        "complete": failed is None,
    }
    if planned.estimate.lines:
        found |= {"monthly_cost": str(planned.estimate.after), "monthly_before": str(planned.estimate.before)}
    if planned.accepted:
        found["accepted"] = [{"rule": one.rule, "address": one.address, "message": one.message} for one in planned.accepted]
    return found | ({"reason": failed.message} if failed else {})
