"""Schedules at work: look at the targets, and carry out a plan so that it can be cut off anywhere and continued by the next run.

What is about to be stopped is written down first, with the size it had. So a run that dies in the middle has at worst written down a
stop that did not happen; the next one finds the machine still running, and stops it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest, McmlError, NotFound, ProviderCannot
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


@dataclass(frozen=True)
class Site:
    """A target, and what it can be asked for; None where its provider has no such thing."""

    target: str
    instances: Instances | None = None
    groups: Groups | None = None
    metrics: Metrics | None = None


def calendar_of(schedule: Schedule) -> Calendar:
    """Return the hours of a schedule. Raises Usage for what is no hours, zone, country or span."""
    zone_named(schedule.zone)
    if schedule.idle:
        duration(schedule.idle.lasts)
    check_country(schedule.holidays)
    return Calendar(tuple(parse(text) for text in schedule.hours), schedule.zone, schedule.holidays)


def look(site: Site, schedule: Schedule, now: datetime) -> list[Thing]:
    """Return the machines and groups of a target that a schedule means. Raises what the provider raises."""
    found = groups(site, schedule.match, None, now) if "groups" in schedule.kinds else []
    return found + (machines(site, schedule.match, schedule.idle, now) if "instances" in schedule.kinds else [])


def groups(site: Site, match: Mapping[str, str], idle: Idle | None, now: datetime) -> list[Thing]:
    """Return the groups of a target that carry tags, with what `idle` says of their machines."""
    known = site.groups.list(match) if site.groups is not None else []
    members = site.instances.list() if known and idle and site.instances is not None else []
    found = []
    for group in known:
        mine = [one for one in members if one.group == group.name and one.state in ("pending", "running")]
        said = _all_idle(site, idle, mine, max(group.running, group.desired), now) if idle else None
        thing = Thing(site.target, "group", group.name, group.machine, group.desired, max(group.minimum, 0), group.tags, idle=said)
        found.append(_priced(thing, _price(site, group.machine, now)))
    return found


def _all_idle(site: Site, idle: Idle, members: Sequence[Instance], count: int, now: datetime) -> Idleness | None:
    """Return idle when each of so many machines is; None when nobody can tell."""
    if len(members) < count:
        return Idleness(False, f"{len(members)} of its {count} machines are listed: of the others nobody can tell whether they idle")
    if len(members) > count:  # another group of that name, in another zone or resource group, may be the one that idles
        return Idleness(False, f"{len(members)} machines say they are of it, and it has {count}: which are, nobody can tell")
    said = [_idleness(site, idle, one.id, now) for one in members]
    return next((one for one in said if one is None or not one.idle), said[0] if said else None)


def machines(site: Site, match: Mapping[str, str], idle: Idle | None, now: datetime) -> list[Thing]:
    """Return the machines of a target that carry tags and are no members of a group, with what `idle` says of them."""
    known = site.instances.list(match) if site.instances is not None else []
    running = [one for one in known if one.state in ("pending", "running", "stopped") and not one.group]
    return [_priced(_instance(site, idle, one, now), _price(site, one.machine, now)) for one in running]


def _instance(site: Site, idle: Idle | None, one: Instance, now: datetime) -> Thing:
    on = one.state != "stopped"
    said = _idleness(site, idle, one.id, now) if on else None
    since = one.launched if on else None
    return Thing(site.target, "instance", one.id, one.machine, int(on), 0, one.tags, spot=one.spot, idle=said, since=since)


def _priced(thing: Thing, price: MachinePrice | None) -> Thing:
    return thing if price is None else replace(thing, hourly=price.on_demand, currency=price.currency)


def _price(site: Site, machine: str, now: datetime) -> MachinePrice | None:
    """Return the price of a machine type; None where nobody tells it (a stop must not fail for that), or it is too old to claim by."""
    if site.instances is None:
        return None
    with suppress(InvalidRequest, NotFound, ProviderCannot):
        return next((price for price in site.instances.prices([machine]) if now - price.as_of <= STALE_AFTER), None)
    return None


def _idleness(site: Site, idle: Idle | None, instance: str, now: datetime) -> Idleness | None:
    """Ask the signals of a machine; None without any, or without a provider of metrics."""
    if idle is None or site.metrics is None:
        return None
    length = duration(idle.lasts)
    window = Window(now - length, now, max(length / STEPS, timedelta(minutes=1)))
    found = []
    for signal in idle.signals:
        try:
            which = instance if signal.value == "id" else instance.rpartition("/")[2]
            points = site.metrics.query(SeriesQuery(signal.metric, {signal.label: which}, "maximum"), window)
        except NotFound:
            return Idleness(False, f"there is no metric {signal.metric}")
        found.append(Signal(signal.metric, signal.below, points))
    return judge(found, length)


def remembered(store: Store) -> tuple[dict[str, Stopped], list[Keep]]:
    """Return what is off because of us, by key, and what is kept on."""
    with store.reading() as connection:
        stopped = {kept.key: Stopped.of(kept.key, kept.content) for kept in documents.every(connection, STOPPED)}
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
    """How a step went: what it saved when something was turned on again, the error when it failed."""

    step: Step
    hours: Decimal | None = None
    saved: Decimal | None = None
    currency: str = ""
    error: McmlError | None = None


@dataclass(frozen=True)
class Work:
    """What carrying out needs: the schedule's name, the targets, what we know of their things, the store and the clock; who else asks."""

    schedule: str
    sites: Mapping[str, Site]
    things: Mapping[str, Thing]
    stopped: Mapping[str, Stopped]
    store: Store
    clock: Callable[[], datetime]
    by: str = ""

    def carry_out(self, plan: Plan) -> list[Done]:
        """Do what a plan says; a step that fails hides no other."""
        return [self._one(step) for step in plan.steps if step.action == "update" or {"forget", "back"} & step.values.keys()]

    def forget(self, keys: Iterable[str]) -> None:
        """Forget what is gone: it was deleted while it was off."""
        for key in keys:
            self._ended(self.stopped[key], "it is gone")

    def _one(self, step: Step) -> Done:
        key = str(step.values["key"])
        before = self.stopped.get(key)
        try:
            if step.action == "keep":
                return self._told(step, before, "it was turned on", keep=bool(step.values.get("back")))
            if int(str(step.values["to"])) > int(str(step.values["from"])):
                self._set(step)
                return self._told(step, before, step.reason)
            self._stop(step)
        except McmlError as failed:
            return Done(step, error=failed)
        return Done(step)

    def _stop(self, step: Step) -> None:
        thing = self.things[str(step.values["key"])]
        size, left = int(str(step.values["from"])), int(str(step.values["to"]))
        idle = bool(step.values["idle"])
        if (before := self.stopped.get(thing.key)) and before.done and not before.back:
            self._ended(before, "it was turned on")  # by somebody, since the last look
        one = Stopped(thing.key, self.schedule, size, left, self.clock(), thing.hourly, thing.currency, done=False, idle=idle, by=self.by)
        self._remember(one)
        self._set(step)
        hourly = None if thing.hourly is None else str(thing.hourly)
        facts = {"schedule": self.schedule, "kind": thing.kind, "id": thing.id, "from": size, "to": left, "reason": step.reason}
        facts["machine"] = thing.machine
        facts |= {"hourly": hourly, "currency": thing.currency, **({"by": self.by, "undo": step.values["undo"]} if self.by else {})}
        told = Fact("cost.turned_off", "cost", thing.target, facts=facts, at=self.clock())
        self._remember(replace(one, done=True), told)

    def _remember(self, one: Stopped, *told: Fact) -> None:
        with self.store.writing() as connection:
            documents.put(connection, STOPPED, one.key, one.document(), one.at)
            for fact in told:
                journal.append(connection, fact)

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
        """Tell that something is on again, or gone, and what was saved until then; `keep`: remember that we had turned it off."""
        now = self.clock()
        until = off_until(one, self.things.get(one.key), now)
        hours, money = saved(one, until)
        target, kind, identifier = one.key.split("/", 2)
        facts = {"schedule": one.schedule, "kind": kind, "id": identifier, "size": one.size, "reason": why, "machine_hours": str(hours)}
        facts |= {"saved": None if money is None else str(money), "currency": one.currency, **({"by": one.by} if one.by else {})}
        facts |= {"machine": self.things[one.key].machine} if one.key in self.things else {}
        since = one.back or until  # told before: it has been on from then, not from now
        facts |= {"since": rfc3339(since)} if since < now else {}
        with self.store.writing() as connection:
            if keep:
                documents.put(connection, STOPPED, one.key, replace(one, back=now).document(), now)
            else:
                documents.remove(connection, STOPPED, one.key)
            journal.append(connection, Fact("cost.turned_on", "cost", target, facts=facts, at=now))
        return hours, money


def targets_of(schedule: Schedule, known: Sequence[str]) -> list[str]:
    """Return the targets a schedule looks at: those it names, or all."""
    return list(schedule.targets) or list(known)
