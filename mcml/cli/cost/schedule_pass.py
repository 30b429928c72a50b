"""One pass of the schedules: look at all targets at once, plan, carry out."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mcml.cli.session import Session
from mcml.core.errors import McmlError, PartlyDone, ProviderCannot, said
from mcml.core.fanout import Answers, ask_all
from mcml.core.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.core.view import Document
    from mcml.cost.schedule.plan import Stopped, Thing
    from mcml.cost.schedule.run import Done, Site
    from mcml.providers.api.capability import Capability

T = TypeVar("T")
AGAIN = "mcml cost schedule run"


@dataclass(frozen=True)
class Seen:
    """What a target holds: the things of each schedule, what is off and of none of them any more, and the keys of what is gone."""

    things: "Mapping[str, list[Thing]]"
    left_over: "list[Thing]"
    gone: "list[str]"


@dataclass(frozen=True)
class Found:
    """What a pass saw: the targets, their things by schedule, what is off because of us, the plans, and who did not answer."""

    sites: "Mapping[str, Site]"
    things: "Mapping[str, list[Thing]]"
    stopped: "Mapping[str, Stopped]"
    plans: "Mapping[str, Plan]"
    asked: "Answers[Seen]"

    def counted(self) -> str:
        """Say how much goes on and off: `3 off, 1 on`."""
        steps = [step for plan in self.plans.values() for step in plan.changes]
        up = sum(int(str(step.values["to"])) > int(str(step.values["from"])) for step in steps)
        return ", ".join(f"{count} {word}" for count, word in ((len(steps) - up, "off"), (up, "on")) if count)

    def carry_out(self, session: Session) -> "list[Done]":
        """Do what the plans say, and forget what is gone."""
        from mcml.cost.schedule.run import Work

        done: list[Done] = []
        for name, plan in self.plans.items():
            things = {thing.key: thing for thing in self.things[name]}
            work = Work(name, self.sites, things, self.stopped, session.store, session.clock, profile=session.config.profile)
            done += work.carry_out(plan)
        gone = [key for seen in self.asked.given.values() for key in seen.gone]
        Work("", self.sites, {}, self.stopped, session.store, session.clock).forget(gone)
        return done

    def unread(self) -> "dict[str, McmlError]":
        """Return why nobody can tell whether things idle, by what they are called."""
        every = (thing for several in self.things.values() for thing in several)
        return {f"{thing.target}/{thing.id}": thing.idle.error for thing in every if thing.idle and thing.idle.error}


def look(session: Session, names: "Sequence[str]" = ()) -> Found:
    """Look at every target that the schedules `names` mean (none: all of them), all at once, and plan.

    A thing belongs to the first schedule of mcml.toml that means it. What is off because of one of them, and of none any more, is looked
    for on its target, too.
    """
    from mcml.cost.schedule.plan import adopted, given_back, of_none, plan
    from mcml.cost.schedule.run import calendar_of, remembered, targets_of

    schedules, now = session.settings.cost.schedules, session.clock()
    calendars = {name: calendar_of(schedules[name], name) for name in schedules if not names or name in names}
    stopped, keeps = remembered(session.store)
    profile = session.config.profile
    off = {key: one for key, one in stopped.items() if one.schedule in calendars and one.profile in (profile, None)}
    off |= {} if names else of_none(stopped, schedules, profile)
    targets = dict.fromkeys(target for name in calendars for target in targets_of(schedules[name], list(session.settings.targets)))
    targets |= dict.fromkeys(_known(session, off))
    sites: dict[str, Site] = {}
    asked = ask_all({target: partial(_things, session, target, sites, list(calendars), off) for target in targets})
    things = {name: [thing for seen in asked.given.values() for thing in seen.things[name]] for name in calendars}
    stopped = adopted(stopped, {thing.key: name for name, several in things.items() for thing in several}, profile)
    plans = {name: plan(name, calendar, things[name], stopped, keeps, now) for name, calendar in calendars.items()}
    for thing in (thing for seen in asked.given.values() for thing in seen.left_over):
        before = stopped[thing.key]
        things.setdefault(before.schedule, []).append(thing)
        known = plans.get(before.schedule, Plan("cost"))
        plans[before.schedule] = replace(known, steps=(*known.steps, given_back(thing, before, schedules, now)))
    return Found(sites, things, stopped, plans, asked)


def _known(session: Session, off: "Mapping[str, Stopped]") -> list[str]:
    """Return the targets of what is off; says so of one that mcml.toml has no more."""
    counts = Counter(key.split("/")[0] for key in off)
    for target in sorted(counts.keys() - session.settings.targets.keys()):
        session.note(f"{counts[target]} that schedules have turned off are on target {target}, which mcml.toml has no more: they stay off")
    return [target for target in counts if target in session.settings.targets]


def _things(session: Session, target: str, sites: "dict[str, Site]", names: "Sequence[str]", off: "Mapping[str, Stopped]") -> Seen:
    from mcml.cost.schedule import run
    from mcml.cost.schedule.plan import owner

    schedules, now = session.settings.cost.schedules, session.clock()
    site = sites[target] = open_site(session, target)
    taken: set[str] = set()
    found: dict[str, list[Thing]] = {}
    for name in names:
        wanted = site.target in run.targets_of(schedules[name], list(session.settings.targets))
        seen = [thing for thing in run.look(site, schedules[name], now) if thing.key not in taken] if wanted else []
        before = {other: schedules[other] for other in list(schedules)[: list(schedules).index(name)] if other not in names}
        found[name] = [thing for thing in seen if not owner(thing, before)]
        taken |= {thing.key for thing in seen}
    missing = [key for key in off if key.split("/")[0] == target and key not in taken]
    every = {thing.key: thing for thing in run.all_of(site, now)} if missing else {}
    gone = [key for key in missing if key not in every and (site.groups if "/group/" in key else site.instances) is not None]
    return Seen(found, [every[key] for key in missing if key in every], gone)


def open_site(session: Session, target: str) -> "Site":
    """Open what a target can be asked for of machines and groups."""
    from mcml.cost.schedule.run import Site
    from mcml.providers.api.capability import GROUPS, INSTANCES, METRICS

    return Site(target, _open(session, INSTANCES, target), _open(session, GROUPS, target), _open(session, METRICS, target))


def _open(session: Session, capability: "Capability[T]", target: str) -> "T | None":
    """Open what a provider offers on a target; None for what it does not have. Raises ProviderCannot when its extra is not installed."""
    from mcml.providers import discovery

    if not discovery.spec(session.settings.targets[target].provider).offer(capability).support.usable:
        return None
    try:
        return session.open(capability, target)
    except ProviderCannot as cannot:
        if cannot.next_step.startswith("pip install"):
            raise
        return None


def ended(session: Session, found: Found, document: "Document", done: "Sequence[Done]") -> "Document":
    """Return the document of a pass; one that failed in part is shown, and raises PartlyDone (exit 7) or the one error."""
    errors = {**found.unread(), **{f"{one.step.target}/{one.step.name}": one.error for one in done if one.error}}
    if not errors and not found.asked.failed:
        return document
    session.show(document)
    if not errors:
        found.asked.raise_failures("the schedules on", next_step=AGAIN)
    why = "\n".join(f"{name}: {said(error)}" for name, error in {**found.asked.failed, **errors}.items())
    raise PartlyDone("not everything was turned on or off, or could be looked at", why=why, next_step=AGAIN)
