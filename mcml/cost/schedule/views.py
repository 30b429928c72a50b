"""What schedules look like: values of this folder in, documents out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from mcml.core.plan import Plan, Step
from mcml.core.schema_cost import Schedule
from mcml.core.view import Block, Column, Document, State, Status, Table
from mcml.cost.schedule.hours import Calendar
from mcml.cost.schedule.plan import Keep, Stopped, of_none
from mcml.cost.schedule.run import Done

LISTED = (
    Column("name", "Schedule"), Column("now", "Now", "state"), Column("why", "Why"), Column("next_change", "Next change", "time"),
    Column("hours", "Hours"), Column("zone", "Zone"), Column("off", "Off by it", "number"), Column("kept_until", "Kept on until", "time"),
)  # fmt: skip
STEPS = (
    Column("what", "Does", "state"), Column("target", "Target"), Column("kind", "Kind"), Column("id", "Name"), Column("size", "Size"),
    Column("saved", "Saved", "money"), Column("reason", "Why"),
)  # fmt: skip


_AGAIN = "mcml cost schedule run gives back what no other schedule means"


def schedules(
    known: Mapping[str, Schedule],
    calendars: Mapping[str, Calendar],
    stopped: Mapping[str, Stopped],
    keeps: Sequence[Keep],
    now: datetime,
    profile: str = "",
) -> Document:
    """List the schedules: what each says now, until when, and how many things are off because of them, or of one that is no more."""
    rows = [_listed(name, known[name], calendar, stopped, keeps, now) for name, calendar in calendars.items()]
    table = Table(LISTED, rows, empty="no schedules; write one: [cost.schedules.office] in mcml.toml")
    return Document("CostSchedules", rows, (table, *_of_none(stopped, known, profile)))


def _of_none(stopped: Mapping[str, Stopped], known: Mapping[str, Schedule], profile: str) -> list[Block]:
    """Say what is off because of schedules that are no more."""
    counts = Counter(one.schedule for one in of_none(stopped, known, profile).values() if not (one.by or one.back))
    return [
        Status(State("still off", "warn"), f"{count} that {name} turned off, which mcml.toml has no more: {_AGAIN}")
        for name, count in sorted(counts.items())
    ]


def _listed(
    name: str, schedule: Schedule, calendar: Calendar, stopped: Mapping[str, Stopped], keeps: Sequence[Keep], now: datetime
) -> dict[str, object]:
    on = calendar.is_on(now)
    kept = max((one.until for one in keeps if one.schedule == name and not one.key and one.until > now), default=None)
    return {
        "name": name,
        "now": State("on", "ok") if on else State("off", "idle"),
        "why": calendar.why(now),
        "next_change": calendar.next_change(now),
        "hours": ", ".join(schedule.hours),
        "zone": schedule.zone,
        "holidays": schedule.holidays,
        "match": dict(schedule.match),
        "off": sum(one.schedule == name for one in stopped.values()),
        "kept_until": kept,
    }


def passed(plans: Mapping[str, Plan], done: Sequence[Done] = (), *, dry_run: bool = False) -> Document:
    """Show what a pass of the schedules did, or would do, to each thing."""
    results = {(one.step.target, one.step.kind, one.step.name): one for one in done}
    rows = [
        _step(name, step, results.get((step.target, step.kind, step.name)), dry_run=dry_run)
        for name, plan in plans.items()
        for step in plan.steps
    ]
    changes = sum(len(plan.changes) for plan in plans.values())
    failed = sum(one.error is not None for one in done)
    undone = sum(bool(one.left or one.error) for one in done if one.step.action == "update")  # other steps change nothing
    changed = changes - undone
    said = f"{changes} to change" if dry_run else f"{changed} changed" + (f", {failed} failed" if failed else "")
    blocks: list[Block] = [Table(STEPS, rows, empty="no machine or group carries the tags of a schedule")]
    if rows:
        blocks.append(Status(State("schedules", "bad" if failed else "ok"), f"{said}, {len(rows) - changed - failed} left as they are"))
    return Document("CostSchedulePass", rows, tuple(blocks))


def _step(schedule: str, step: Step, done: Done | None, *, dry_run: bool) -> dict[str, object]:
    left = done.left if done else ""
    change = step.action == "update" and not left
    error = done.error if done else None
    sizes = (step.values.get("from"), step.values.get("to"))
    return {
        "name": f"{step.target}/{step.name}",
        "schedule": schedule,
        "what": _verb(step, failed=error is not None, dry_run=dry_run) if change else State("leave", "idle"),
        "target": step.target,
        "kind": step.kind,
        "id": step.name,
        "size": f"{sizes[0]} -> {sizes[1]}" if change else "",
        "machine_hours": done.hours if done else None,
        "saved": done.saved if done else None,
        "currency": done.currency if done else "",
        "reason": f"{error.message}: {error.why}" if error else left or step.reason,
        "next_step": error.next_step if error else "",
    }


def _verb(step: Step, *, failed: bool, dry_run: bool) -> State:
    word = "on" if int(str(step.values["to"])) > int(str(step.values["from"])) else "off"
    return State("failed", "bad") if failed else State(f"would turn {word}" if dry_run else f"turned {word}", "warn" if dry_run else "ok")
