"""Schedules at work: look at the targets, and carry out a plan so that it can be cut off anywhere and continued by the next run.

What is about to be stopped is written down first, with the size it had. So a run that dies in the middle has at worst written down a
stop that did not happen; the next one finds the machine still running, and stops it, or off, and tells the journal.

Of two runs at once one does: who writes second that it stops a machine, or that it has turned one on, leaves it to the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, McmlError, NotFound, Usage, said
from mcml.core.fact import Fact
from mcml.core.plan import Plan, Step
from mcml.core.price import STALE_AFTER
from mcml.core.schema_cost import Idle, Schedule
from mcml.core.when import duration
from mcml.cost.schedule.hours import Calendar, check_country, parse, zone_named
from mcml.cost.schedule.idle import Idleness, Signal, judge
from mcml.cost.schedule.plan import Keep, Stopped, Thing, off_until, saved
from mcml.providers.api.groups import Groups
from mcml.providers.api.instances import Instance, Instances, MachinePrice
from mcml.providers.api.metrics import Metrics, SeriesQuery, Window
from mcml.store import documents, journal
from mcml.store.db import Store

STOPPED, KEPT = "cost.stopped", "cost.kept-on"
"""The kinds of our documents: what is off because of us, by its key; and what is kept on, by schedule and key."""
STEPS = 12
"""How many points of a metric make its window."""
FASTER = "another run is at it"


@dataclass(frozen=True)
class Site:
    """A target, and what it can be asked for; None where its provider has no such thing."""

    target: str
    instances: Instances | None = None
    groups: Groups | None = None
    metrics: Metrics | None = None


def calendar_of(schedule: Schedule, name: str = "") -> Calendar:
    """Return the hours of a schedule. Raises Usage for what is no hours, zone or country, with its name if that is given."""
    try:
        zone_named(schedule.zone)
        check_country(schedule.holidays)
        return Calendar(tuple(parse(text) for text in schedule.hours), schedule.zone, schedule.holidays)
    except Usage as wrong:
        where = f"the schedule {name}: " if name else ""
        raise Usage(f"{where}{wrong.message}", why=wrong.why, next_step=wrong.next_step) from wrong


def look(site: Site, schedule: Schedule, now: datetime) -> list[Thing]:
    """Return the machines and groups of a target that a schedule means; within its hours with what their signals say.

    Raises what the provider raises when it lists them; prices and metrics that it does not tell stop nothing.
    """
    idle = schedule.idle if schedule.idle and calendar_of(schedule).is_on(now) else None
    found = groups(site, schedule.match, None, now) if "groups" in schedule.kinds else []
    return found + (machines(site, schedule.match, idle, now) if "instances" in schedule.kinds else [])


def all_of(site: Site, now: datetime) -> list[Thing]:
    """Return all machines and groups of a target. Raises what the provider raises."""
    return [*machines(site, {}, None, now), *groups(site, {}, None, now)]


def groups(site: Site, match: Mapping[str, str], idle: Idle | None, now: datetime) -> list[Thing]:
    """Return the groups of a target that carry tags, with what `idle` says of their machines."""
    known = site.groups.list(match) if site.groups is not None else []
    members = site.instances.list() if known and idle and site.instances is not None else []
    found, prices = list[Thing](), _prices(site, (group.machine for group in known), now)
    for group in known:
        mine = [one for one in members if one.group == group.name and one.state in ("pending", "running")]
        said = _all_idle(site, idle, mine, max(group.running, group.desired), now) if idle else None
        thing = Thing(site.target, "group", group.name, group.machine, group.desired, max(group.minimum, 0), group.tags, idle=said)
        found.append(_priced(thing, prices))
    return found


def _all_idle(site: Site, idle: Idle, members: Sequence[Instance], count: int, now: datetime) -> Idleness | None:
    """Return idle when each of so many machines is; None when nobody can tell."""
    if len(members) < count:
        return Idleness(False, f"{len(members)} of its {count} machines are listed: of the others nobody can tell whether they idle")
    if len(members) > count:  # another group of that name, in another zone or resource group, may be the one that idles
        return Idleness(False, f"{len(members)} machines say they are of it, and it has {count}: which are, nobody can tell")
    said = [_idleness(site, idle, one, now) for one in members]
    return next((one for one in said if one is None or not one.idle), said[0] if said else None)


def machines(site: Site, match: Mapping[str, str], idle: Idle | None, now: datetime) -> list[Thing]:
    """Return the machines of a target that carry tags and are no members of a group, with what `idle` says of them."""
    known = site.instances.list(match) if site.instances is not None else []
    running = [one for one in known if one.state in ("pending", "running", "stopped") and not one.group]
    prices = _prices(site, (one.machine for one in running), now)
    return [_priced(_instance(site, idle, one, now), prices) for one in running]


def _instance(site: Site, idle: Idle | None, one: Instance, now: datetime) -> Thing:
    on = one.state != "stopped"
    said = _idleness(site, idle, one, now) if on else None
    since = one.launched if on else None
    return Thing(site.target, "instance", one.id, one.machine, int(on), 0, one.tags, spot=one.spot, idle=said, since=since)


def _priced(thing: Thing, prices: Mapping[str, MachinePrice]) -> Thing:
    price = prices.get(thing.machine)
    return thing if price is None else replace(thing, hourly=price.on_demand, currency=price.currency)


def _prices(site: Site, machines: Iterable[str], now: datetime) -> dict[str, MachinePrice]:
    """Return the prices of machine types, without those that nobody tells (a stop must not fail for that), or too old to claim by."""
    found = {machine: _price(site, machine) for machine in dict.fromkeys(machines)}
    return {machine: price for machine, price in found.items() if price is not None and now - price.as_of <= STALE_AFTER}


def _price(site: Site, machine: str) -> MachinePrice | None:
    try:
        return next(iter(site.instances.prices([machine])), None) if site.instances is not None else None
    except McmlError:
        return None


def _idleness(site: Site, idle: Idle | None, instance: Instance, now: datetime) -> Idleness | None:
    """Ask the signals of a machine; None without any, or without a provider of metrics. What was before it was started says nothing."""
    if idle is None or site.metrics is None:
        return None
    length = duration(idle.lasts)
    if now - instance.launched < length:
        return Idleness(False, f"it was started at {instance.launched:%H:%M} UTC, less than {idle.lasts} ago")
    window = Window(now - length, now, max(length / STEPS, timedelta(minutes=1)))
    found = []
    for signal in idle.signals:
        try:
            which = instance.id if signal.value == "id" else instance.id.rpartition("/")[2]
            points = site.metrics.query(SeriesQuery(signal.metric, {signal.label: which}, "maximum"), window)
        except NotFound:
            return Idleness(False, f"there is no metric {signal.metric}")
        except McmlError as failed:
            return Idleness(False, f"{signal.metric} cannot be read: {said(failed)}", failed)
        found.append(Signal(signal.metric, signal.below, points))
    return judge(found, length)


def remembered(store: Store) -> tuple[dict[str, Stopped], list[Keep]]:
    """Return what is off because of us, by key, and what is kept on."""
    with store.reading() as connection:
        stopped = {kept.key: Stopped.of(kept.key, kept.content, kept.revision) for kept in documents.every(connection, STOPPED)}
        keeps = [_keep(kept.content) for kept in documents.every(connection, KEPT)]
    return stopped, keeps


def _keep(content: Mapping[str, object]) -> Keep:
    texts = {name: str(content[name]) for name in ("schedule", "key", "who", "reason")}
    return Keep(until=parse_rfc3339(str(content["until"])), **texts)


def keep(store: Store, wanted: Keep, now: datetime) -> None:
    """Keep a schedule's things on until a time."""
    content = {"schedule": wanted.schedule, "until": rfc3339(wanted.until), "key": wanted.key, "who": wanted.who, "reason": wanted.reason}
    with store.writing() as connection:
        documents.put(connection, KEPT, f"{wanted.schedule}/{wanted.key}", content, now)
        journal.append(connection, Fact("cost.kept_on", "cost", wanted.key.split("/")[0], facts=content))


def release(store: Store, schedule: str, key: str = "") -> bool:
    """Let a schedule have its way again; tells whether something was kept on."""
    with store.writing() as connection:
        found = documents.remove(connection, KEPT, f"{schedule}/{key}")
        if found:
            journal.append(connection, Fact("cost.released", "cost", key.split("/")[0], facts={"schedule": schedule, "key": key}))
    return found


@dataclass(frozen=True)
class Done:
    """How a step went: what it saved when something was turned on again, the error when it failed, why it was `left` to somebody else."""

    step: Step
    hours: Decimal | None = None
    saved: Decimal | None = None
    currency: str = ""
    error: McmlError | None = None
    left: str = ""


class _Faster(Conflict):
    """What is known of a thing is not what it was when we looked."""


@dataclass(frozen=True)
class Work:
    """What carrying out needs: the schedule's name, the targets, what we know of their things, the store, the clock; who else asks."""

    schedule: str
    sites: Mapping[str, Site]
    things: Mapping[str, Thing]
    stopped: Mapping[str, Stopped]
    store: Store
    clock: Callable[[], datetime]
    by: str = ""
    profile: str = ""

    def carry_out(self, plan: Plan) -> list[Done]:
        """Do what a plan says; a step that fails hides no other."""
        return [self._one(step) for step in plan.steps if step.action == "update" or {"forget", "back", "finish"} & step.values.keys()]

    def forget(self, keys: Iterable[str]) -> None:
        """Forget what is gone: it was deleted while it was off."""
        for key in keys:
            with suppress(_Faster):
                self._ended(self.stopped[key], "it is gone")

    def _one(self, step: Step) -> Done:
        before = self.stopped.get(str(step.values["key"]))
        try:
            if step.action == "keep":
                return self._kept(step, before)
            if int(str(step.values["to"])) > int(str(step.values["from"])):
                return self._start(step, before)
            return self._stop(step, before)
        except _Faster:
            return Done(step, left=FASTER)
        except McmlError as failed:
            return Done(step, error=failed)

    def _kept(self, step: Step, before: Stopped | None) -> Done:
        if before is not None and step.values.get("finish"):
            self._remember(replace(before, done=True), self._off(before, late=True))
            return Done(step)
        return self._told(step, before, "it was turned on", keep=bool(step.values.get("back")))

    def _start(self, step: Step, before: Stopped | None) -> Done:
        if before is not None:
            with self.store.reading() as connection:
                self._check(connection, before)
        self._set(step)
        return self._told(step, before, step.reason)

    def _stop(self, step: Step, before: Stopped | None) -> Done:
        thing = self.things[str(step.values["key"])]
        size, left = int(str(step.values["from"])), int(str(step.values["to"]))
        if before and before.done and not before.back:
            self._ended(before, "it was turned on")  # by somebody, since the last look
            before = None
        one = Stopped(
            thing.key, self.schedule, size, left, self.clock(), thing.hourly, thing.currency, done=False, idle=bool(step.values["idle"]),
            by=self.by, why=step.reason, undo=str(step.values.get("undo", "")), profile=self.profile,
            revision=before.revision if before else 0,
        )  # fmt: skip
        one = self._remember(one)
        self._set(step)
        with suppress(_Faster):  # a later run found it under way, and has told it
            self._remember(replace(one, done=True), self._off(one))
        return Done(step)

    def _off(self, one: Stopped, *, late: bool = False) -> Fact:
        """Return what the journal is told of a stop; `late`: by another run than the one that stopped it."""
        target, kind, identifier = one.key.split("/", 2)
        facts: dict[str, object] = {"schedule": one.schedule, "kind": kind, "id": identifier, "from": one.size, "to": one.left}
        facts |= {"reason": one.why, "hourly": None if one.hourly is None else str(one.hourly), "currency": one.currency}
        facts |= {"machine": self.things[one.key].machine} if one.key in self.things else {}
        facts |= {"by": one.by, "undo": one.undo} if one.by else {}
        facts |= {"since": rfc3339(one.at)} if late else {}
        return Fact("cost.turned_off", "cost", target, facts=facts, at=self.clock())

    def _remember(self, one: Stopped, *told: Fact) -> Stopped:
        """Keep what is off, and tell the journal; return it as it stands now. Raises _Faster when it stands otherwise than we read it."""
        with self.store.writing() as connection:
            self._check(connection, one)
            kept = documents.put(connection, STOPPED, one.key, one.document(), one.at)
            for fact in told:
                journal.append(connection, fact)
        return replace(one, revision=kept.revision)

    def _check(self, connection: Any, one: Stopped) -> None:
        """Raise _Faster when what is known of a thing is not what it was when we looked."""
        kept = documents.get(connection, STOPPED, one.key)
        if (kept.revision if kept else 0) != one.revision:
            raise _Faster(FASTER)

    def _set(self, step: Step) -> None:
        thing = self.things[str(step.values["key"])]
        site, size = self.sites[thing.target], int(str(step.values["to"]))
        if thing.kind == "group" and site.groups is not None:
            site.groups.resize(thing.id, size)
        elif site.instances is not None:
            (site.instances.start if size else site.instances.stop)(thing.id)

    def _told(self, step: Step, before: Stopped | None, why: str, *, keep: bool = False) -> Done:
        if before is None:
            return Done(step)
        hours, money = self._ended(before, why, keep=keep)
        return Done(step, hours, money, before.currency)

    def _ended(self, one: Stopped, why: str, *, keep: bool = False) -> tuple[Decimal, Decimal | None]:
        """Tell that something is on again, or gone, and what was saved until then; `keep`: remember that we had turned it off.

        Of a stop that was cut off, and came to nothing, there is nothing to tell. Raises _Faster when another run has told it.
        """
        now, thing = self.clock(), self.things.get(one.key)
        unheard = [] if one.done else [self._off(one, late=True)]
        until = off_until(one, thing, now)
        hours, money = saved(one, until)
        target, kind, identifier = one.key.split("/", 2)
        facts = {"schedule": one.schedule, "kind": kind, "id": identifier, "size": one.size, "reason": why, "machine_hours": str(hours)}
        facts |= {"saved": None if money is None else str(money), "currency": one.currency, **({"by": one.by} if one.by else {})}
        facts |= {"machine": self.things[one.key].machine} if one.key in self.things else {}
        since = one.back or until  # told before: it has been on from then, not from now
        facts |= {"since": rfc3339(since)} if since < now else {}
        told = [*unheard, Fact("cost.turned_on", "cost", target, facts=facts, at=now)]
        with self.store.writing() as connection:
            self._check(connection, one)
            if keep:
                documents.put(connection, STOPPED, one.key, replace(one, back=now).document(), now)
            else:
                documents.remove(connection, STOPPED, one.key)
            for fact in told if one.done or thing is None or thing.size <= one.left else ():
                journal.append(connection, fact)
        return hours, money


def targets_of(schedule: Schedule, known: Sequence[str]) -> list[str]:
    """Return the targets a schedule looks at: those it names, or all."""
    return list(schedule.targets) or list(known)
