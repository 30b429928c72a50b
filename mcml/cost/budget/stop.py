"""Which machines and groups a budget stops, and which it gives back. Pure: values in, a plan out; schedules carry it out.

A machine that carries the tags, idles by signals that agree, and is no spot machine, is stopped; a group as far as its minimum allows. Not
one that somebody wants on (a tag, or `mcml cost schedule keep`), and not one that somebody turned on again since the budget stopped it in
this period. What has a schedule is stopped as if it had idled within its hours, so its next hours turn it on; anything else comes back by
`mcml cost budgets undo`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mcml.core.plan import Plan, Step
from mcml.core.schema_cost import Schedule
from mcml.cost.schedule.plan import Keep, Stopped, Thing, change, going_down, kept, kept_on, left_on, on_its_way, owner, restored, still_off

OWNER = "schedule"
"""The value of a step that says whose the machine is: its schedule, or the budget itself."""


def by(budget: str) -> str:
    """Return what a budget is called where it is written down who did something."""
    return f"budget:{budget}"


def undo(budget: str) -> str:
    """Return the command that takes back what a budget did."""
    return f"mcml cost budgets undo {budget}"


def stops(
    budget: str,
    things: Iterable[Thing],
    stopped: Mapping[str, Stopped],
    keeps: Sequence[Keep],
    schedules: Mapping[str, Schedule],
    began: datetime,
    now: datetime,
) -> Plan:
    """Return what the action does to each machine; `began` is when the period did."""
    found = {thing.key: thing for thing in things}
    owners = {key: owner(thing, schedules) or by(budget) for key, thing in found.items()}
    return Plan("cost", tuple(_stop(budget, found[key], stopped.get(key), keeps, owners[key], began, now) for key in sorted(found)))


def _stop(
    budget: str, thing: Thing, before: Stopped | None, keeps: Sequence[Keep], mine: str, began: datetime, now: datetime
) -> Step:
    if thing.size <= thing.floor:
        why = f"it is at its minimum of {thing.size}" if thing.size else "it is off"
        return still_off(thing, before, why) if before and before.by == by(budget) else kept(thing, why)
    if held := kept_on(thing, mine, keeps, now):
        return kept(thing, held)
    if thing.idle is None or not thing.idle.idle:
        return kept(thing, thing.idle.why if thing.idle else "nobody can tell whether it idles: its target has no metrics")
    if thing.spot:
        return kept(thing, "a spot machine that is stopped may not come back: it is left alone")
    if before and going_down(thing, before, now):
        return kept(thing, on_its_way(before))
    if before and before.done and before.by == by(budget) and before.at >= began:
        step = left_on(thing, before, "somebody turned it on since we turned it off: left alone until the next period", now)
        return replace(step, values={**step.values, OWNER: before.schedule})
    step = change(thing, thing.floor, f"{thing.idle.why}; budget {budget}", idle=True)
    return replace(step, values={**step.values, OWNER: mine, "undo": undo(budget)})


def returns(budget: str, things: Iterable[Thing], stopped: Mapping[str, Stopped], now: datetime) -> Plan:
    """Return what gives back, as it was, each machine that a budget stopped."""
    mine = {key: one for key, one in stopped.items() if one.by == by(budget)}
    found = {thing.key: thing for thing in things if thing.key in mine}
    steps = (restored(found[key], mine[key], f"budget {budget} is undone", now) for key in sorted(found))
    return Plan("cost", tuple(replace(step, values={**step.values, OWNER: mine[str(step.values["key"])].schedule}) for step in steps))
