"""What a schedule makes of what is there: stop, start, resize, or leave alone, and why. Pure: values in, a plan out.

It is level-triggered: the plan follows from what is wanted now, what is there and what we stopped. Nothing is started that we did not
stop, and a group gets back the size that it had. What somebody starts by hand while it is off stays on until the hours come and go again.
A thing belongs to the first schedule that means it, also what another one has stopped; what none means any more is given back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.plan import Plan, Step
from mcml.core.schema_cost import Schedule
from mcml.cost.schedule.hours import Calendar
from mcml.cost.schedule.idle import Idleness
from mcml.store.ledger.exact import product, quotient

STOPPING = timedelta(minutes=10)
"""So long a machine may take to stop."""
KEEP_TAG = "mcml-keep-until"
"""The tag of a machine or group that says until when it is not to be stopped: `2026-12-01`, or a time as in RFC 3339."""
Kind = Literal["instance", "group"]


@dataclass(frozen=True)
class Thing:
    """A machine or a group on a target: whether it runs, how large it is (1 or 0 for a machine), how small it may be made.

    `hourly` is what one machine costs an hour, None when nobody knows; `idle` what its signals say, None when nobody asked them; `since`
    when it was started last, None where that is not told.
    """

    target: str
    kind: Kind
    id: str
    machine: str
    size: int
    floor: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    hourly: Decimal | None = None
    currency: str = ""
    spot: bool = False
    idle: Idleness | None = None
    since: datetime | None = None

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return f"{self.target}/{self.kind}/{self.id}"


@dataclass(frozen=True)
class Stopped:
    """What we stopped: its size before and after, when, by which schedule, and what an hour of it cost.

    `done` is False while the stop is under way, and the journal has not heard of it; `idle`: it was stopped within its hours, and stays off
    until the next ones begin. `by` is who else stopped it: a budget, as `budget:NAME`, and `undo` what takes that back. `back`: when we saw
    that somebody had turned it on again, and said so. `profile` is the one of mcml.toml that named the schedule (None: it was written
    before that was kept). `revision` is that of the document it was read from (0: of none).
    """

    key: str
    schedule: str
    size: int
    left: int
    at: datetime
    hourly: Decimal | None = None
    currency: str = ""
    done: bool = True
    idle: bool = False
    by: str = ""
    back: datetime | None = None
    why: str = ""
    undo: str = ""
    profile: str | None = ""
    revision: int = field(default=0, compare=False)

    def document(self) -> dict[str, object]:
        """Return it as it is kept."""
        hourly = None if self.hourly is None else str(self.hourly)
        return {
            "schedule": self.schedule, "size": self.size, "left": self.left, "at": rfc3339(self.at), "hourly": hourly,
            "currency": self.currency, "done": self.done, "idle": self.idle, "by": self.by,
            "back": rfc3339(self.back) if self.back else None, "why": self.why, "undo": self.undo,
            "profile": self.profile,
        }  # fmt: skip

    @staticmethod
    def of(key: str, content: Mapping[str, object], revision: int = 0) -> "Stopped":
        """Read it back."""
        hourly, profile = content["hourly"], content.get("profile")
        return Stopped(
            key, str(content["schedule"]), int(str(content["size"])), int(str(content["left"])), parse_rfc3339(str(content["at"])),
            None if hourly is None else Decimal(str(hourly)), str(content["currency"]), bool(content["done"]), bool(content["idle"]),
            str(content.get("by", "")), parse_rfc3339(str(content["back"])) if content.get("back") else None,
            str(content.get("why", "")), str(content.get("undo", "")), None if profile is None else str(profile), revision,
        )  # fmt: skip


@dataclass(frozen=True)
class Keep:
    """Somebody wants things on until a time: all of a schedule (`key` empty) or one."""

    schedule: str
    until: datetime
    key: str = ""
    who: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Moment:
    """What a schedule says now: whether it is on, why, since when, and what is kept."""

    schedule: str
    now: datetime
    on: bool
    why: str
    since: datetime
    keeps: tuple[Keep, ...]


def plan(
    name: str, calendar: Calendar, things: Iterable[Thing], stopped: Mapping[str, Stopped], keeps: Sequence[Keep], now: datetime
) -> Plan:
    """Return what a schedule does now, a step for each thing: `update` with the size wanted, or `keep` with the reason."""
    moment = _Moment(name, now, calendar.is_on(now), calendar.why(now), _changed(calendar, now), tuple(keeps))
    mine = {key: one for key, one in stopped.items() if one.schedule == name}
    found = {thing.key: thing for thing in things}
    return Plan("cost", tuple(_step(moment, found[key], mine.get(key)) for key in sorted(found)))


def owner(thing: Thing, schedules: Mapping[str, Schedule]) -> str:
    """Return the first schedule that means a thing; empty when none does."""
    return next((name for name, schedule in schedules.items() if _means(schedule, thing)), "")


def _means(schedule: Schedule, thing: Thing) -> bool:
    here = thing.target in (schedule.targets or (thing.target,)) and f"{thing.kind}s" in schedule.kinds
    return here and all(thing.tags.get(key) == value for key, value in schedule.match.items())


def adopted(stopped: Mapping[str, Stopped], owners: Mapping[str, str], profile: str) -> dict[str, Stopped]:
    """Return what is off as that of the schedule which means each thing now (`owners`, by key), where that is another by now.

    What another profile's schedule has stopped stays that one's.
    """
    ours = {key for key, one in stopped.items() if one.profile == profile}
    return {key: replace(one, schedule=owners.get(key) or one.schedule) if key in ours else one for key, one in stopped.items()}


def of_none(stopped: Mapping[str, Stopped], schedules: Iterable[str], profile: str) -> dict[str, Stopped]:
    """Return what is off because of a schedule that is none of `schedules`, the profile's own: it is no more, or has another name now."""
    known = set(schedules)
    return {key: one for key, one in stopped.items() if one.profile == profile and one.schedule not in known and one.schedule != one.by}


def given_back(thing: Thing, before: Stopped, schedules: Mapping[str, Schedule], now: datetime) -> Step:
    """Return the step of a thing that is off because of a schedule, and that this schedule does not mean any more."""
    if name := owner(thing, schedules):
        return kept(thing, f"the schedule {name} means it now: run that")
    if before.by:
        return kept(thing, f"{before.by.replace(':', ' ')} stopped it: {before.undo or 'undo that'}")
    no_more = f"the schedule {before.schedule} is no more"
    return restored(thing, before, f"{before.schedule} does not mean it any more" if before.schedule in schedules else no_more, now)


def _step(moment: _Moment, thing: Thing, before: Stopped | None) -> Step:
    held = kept_on(thing, moment.schedule, moment.keeps, moment.now)
    if held:
        return restored(thing, before, held, moment.now)
    return _within(moment, thing, before) if moment.on else _without(moment, thing, before)


def _within(moment: _Moment, thing: Thing, before: Stopped | None) -> Step:
    """Within its hours it is on, unless it idles."""
    idle = thing.idle if thing.size > thing.floor and not thing.spot else None
    if idle is not None and idle.idle and not going_down(thing, before, moment.now):
        if before and before.done and before.at > moment.now - idle.window:
            return left_on(thing, before, "somebody turned it on since we turned it off: its signals are from before that", moment.now)
        return change(thing, thing.floor, idle.why, idle=True)
    if before and before.idle and before.at >= moment.since and thing.size <= before.left:
        return still_off(thing, before, f"it was idle at {before.at:%H:%M} UTC: off until its next hours begin")
    unknown = f"; whether it idles, nobody can tell: {idle.why}" if idle is not None and idle.error else ""
    return restored(thing, before, f"{moment.why}{unknown}", moment.now)


def _without(moment: _Moment, thing: Thing, before: Stopped | None) -> Step:
    """Outside its hours it is off, unless somebody wants it on."""
    if thing.size <= thing.floor:
        why = f"{moment.why}; it is off" if not thing.size else f"{moment.why}; it is at its minimum of {thing.size}"
        return still_off(thing, before, why)
    if thing.spot:
        return kept(thing, f"{moment.why}; a spot machine that is stopped may not come back: it is left alone")
    if before and going_down(thing, before, moment.now):
        return kept(thing, f"{moment.why}; {on_its_way(before)}")
    if before and before.done and before.at >= moment.since:
        said = f"{moment.why}; somebody turned it on since we turned it off: left alone until the next hours"
        return left_on(thing, before, said, moment.now)
    return change(thing, thing.floor, moment.why)


def still_off(thing: Thing, before: Stopped | None, why: str) -> Step:
    """Return the step that leaves off what is off; a stop that was cut off before the journal heard of it is told now (`finish`)."""
    step = kept(thing, why)
    cut_off = before is not None and not before.done and thing.size <= before.left
    return replace(step, values={**step.values, "finish": True}) if cut_off else step


def left_on(thing: Thing, before: Stopped, why: str, now: datetime) -> Step:
    """Return the step that leaves a thing on which somebody has turned on since we turned it off: that is told once (`back`)."""
    step = kept(thing, why)
    if before.back or thing.size <= before.left or _may_be_stopping(thing, before, now):
        return step
    return replace(step, values={**step.values, "back": True})


def going_down(thing: Thing, before: Stopped | None, now: datetime) -> bool:
    """Tell whether a machine that runs may be on its way down: we stopped it shortly before (EC2 says so of one that is stopping)."""
    return bool(before and before.done and not before.back and thing.size > before.left and _may_be_stopping(thing, before, now))


def _may_be_stopping(thing: Thing, before: Stopped, now: datetime) -> bool:
    started = thing.since is not None and thing.since > before.at
    return thing.kind == "instance" and not started and abs(now - before.at) < STOPPING


def on_its_way(before: Stopped) -> str:
    """Say that a machine which runs was stopped shortly before."""
    return f"it was turned off at {before.at:%H:%M} UTC and may be on its way down: the next run looks again"


def restored(thing: Thing, before: Stopped | None, why: str, now: datetime) -> Step:
    """Return the step that gives a thing back what we took from it: `update` to its size, or `keep` where nothing is to be done.

    A machine that runs so shortly after we stopped it may still be on its way down: it is not forgotten yet, but looked at again by the
    next run (`later`).
    """
    if before is None:
        return kept(thing, f"{why}; we did not turn it off" if thing.size <= thing.floor else why)
    if thing.size > before.left and _may_be_stopping(thing, before, now):
        return replace(kept(thing, f"{why}; {on_its_way(before)}"), values={"key": thing.key, "later": True})
    if thing.size > before.left or thing.size >= before.size:
        return replace(kept(thing, f"{why}; it is on again"), values={"key": thing.key, "forget": True})
    return change(thing, before.size, why)


def change(thing: Thing, size: int, why: str, *, idle: bool = False) -> Step:
    """Return the step that gives a thing another size."""
    values = {"key": thing.key, "from": thing.size, "to": size, "machine": thing.machine, "idle": idle}
    return Step("update", thing.kind, thing.id, thing.target, why, values)


def kept(thing: Thing, why: str) -> Step:
    """Return the step that leaves a thing as it is."""
    return Step("keep", thing.kind, thing.id, thing.target, why, {"key": thing.key})


def kept_on(thing: Thing, schedule: str, keeps: Iterable[Keep], now: datetime) -> str:
    """Say why a thing is to stay on although its hours are over; empty when it is not."""
    for one in keeps:
        if one.schedule == schedule and one.key in ("", thing.key) and one.until > now:
            said = "".join((f" by {one.who}" if one.who else "", f": {one.reason}" if one.reason else ""))
            return f"kept on until {one.until:%Y-%m-%d %H:%M} UTC{said}"
    said = next((value for key, value in thing.tags.items() if key.lower() == KEEP_TAG), "")
    if not said:
        return ""
    until = keep_until(said)
    if until is None:
        return f"its tag {KEEP_TAG} says {said!r}, which is no time: it is not stopped"
    return f"kept on until {until:%Y-%m-%d %H:%M} UTC by its tag {KEEP_TAG}" if until > now else ""


def keep_until(text: str) -> datetime | None:
    """Read the tag of a thing that is kept: a day counts to its end (UTC); None for what is no time."""
    try:
        if len(text.strip()) == 10:
            return datetime.combine(date.fromisoformat(text.strip()), time(tzinfo=UTC)) + timedelta(days=1)
        return parse_rfc3339(text.strip().upper())
    except ValueError:
        return None


def _changed(calendar: Calendar, now: datetime) -> datetime:
    """Return when the hours began or ended last, at most 16 days ago: longer than any row of holidays."""
    at = now - timedelta(days=16)
    while (change := calendar.next_change(at)) and change <= now:
        at = change
    return at


def saved(one: Stopped, now: datetime) -> tuple[Decimal, Decimal | None]:
    """Return the machine-hours that were not run, and what they would have cost at the price of when it was stopped."""
    seconds = max(int((now - one.at).total_seconds()), 0) * (one.size - one.left)
    hours = quotient(Decimal(seconds), 3600, places=4)
    return hours, None if one.hourly is None else quotient(product(one.hourly, seconds), 3600, places=6)


def off_until(one: Stopped, thing: Thing | None, now: datetime) -> datetime:
    """Return until when something was off because of us, as far as anybody knows: what was claimed once is not claimed again.

    `thing` is how it was found (None: it is gone); one that is on by itself was turned on when it says it started, if it says so.
    """
    if one.back:
        return one.at
    if thing is None or thing.size <= one.left:
        return now
    return min(thing.since, now) if thing.since and thing.since > one.at else one.at
