"""One pass of the schedules: look at all targets at once, plan, carry out."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mcml.cli.session import Session
from mcml.core.errors import McmlError, PartlyDone, ProviderCannot, said
from mcml.core.fanout import Answers, ask_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.core.plan import Plan
    from mcml.core.view import Document
    from mcml.cost.schedule.plan import Stopped, Thing
    from mcml.cost.schedule.run import Done, Site
    from mcml.providers.api.capability import Capability

T = TypeVar("T")
AGAIN = "mcml cost schedule run"


@dataclass(frozen=True)
class Found:
    """What a pass saw: the targets, their things by schedule, what is off because of us, the plans, and who did not answer."""

    sites: "Mapping[str, Site]"
    things: "Mapping[str, list[Thing]]"
    stopped: "Mapping[str, Stopped]"
    plans: "Mapping[str, Plan]"
    asked: "Answers[dict[str, list[Thing]]]"

    def counted(self) -> str:
        """Say how much goes on and off: `3 off, 1 on`."""
        steps = [step for plan in self.plans.values() for step in plan.changes]
        up = sum(int(str(step.values["to"])) > int(str(step.values["from"])) for step in steps)
        return ", ".join(f"{count} {word}" for count, word in ((len(steps) - up, "off"), (up, "on")) if count)

    def carry_out(self, session: Session) -> "list[Done]":
        """Do what the plans say, and forget what is gone."""
        from mcml.cost.schedule.plan import gone
        from mcml.cost.schedule.run import Work

        done: list[Done] = []
        for name, plan in self.plans.items():
            things = self.things[name]
            work = Work(name, self.sites, {thing.key: thing for thing in things}, self.stopped, session.store, session.clock)
            done += work.carry_out(plan)
            work.forget([key for key in gone(name, things, self.stopped, self.asked.given) if self._was_asked(key)])
        return done

    def _was_asked(self, key: str) -> bool:
        """Tell whether a target has answered for things of that kind: only then one that is not there is gone."""
        target, kind, _ = key.split("/", 2)
        return (self.sites[target].groups if kind == "group" else self.sites[target].instances) is not None


def look(session: Session, names: "Sequence[str]") -> Found:
    """Look at every target that the schedules mean, all at once, and plan. A thing belongs to the first schedule that means it."""
    from mcml.cost.schedule.plan import plan
    from mcml.cost.schedule.run import calendar_of, remembered, targets_of

    schedules = {name: session.settings.cost.schedules[name] for name in names}
    calendars = {name: calendar_of(one) for name, one in schedules.items()}
    targets = dict.fromkeys(target for one in schedules.values() for target in targets_of(one, list(session.settings.targets)))
    sites: dict[str, Site] = {}
    now = session.clock()
    asked = ask_all({target: partial(_things, session, target, sites, names) for target in targets})
    things = {name: [thing for answer in asked.given.values() for thing in answer[name]] for name in names}
    stopped, keeps = remembered(session.store)
    plans = {name: plan(name, calendars[name], things[name], stopped, keeps, now) for name in names}
    return Found(sites, things, stopped, plans, asked)


def _things(session: Session, target: str, sites: "dict[str, Site]", names: "Sequence[str]") -> "dict[str, list[Thing]]":
    from mcml.cost.schedule import run

    site = sites[target] = open_site(session, target)
    taken: set[str] = set()
    found: dict[str, list[Thing]] = {}
    for name in names:
        schedule = session.settings.cost.schedules[name]
        wanted = site.target in run.targets_of(schedule, list(session.settings.targets))
        seen = run.look(site, schedule, session.clock()) if wanted else []
        found[name] = [thing for thing in seen if thing.key not in taken]
        taken |= {thing.key for thing in seen}
    return found


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
    errors: dict[str, McmlError] = {f"{one.step.target}/{one.step.name}": one.error for one in done if one.error}
    if not errors and not found.asked.failed:
        return document
    session.show(document)
    if not errors:
        found.asked.raise_failures("the schedules on", next_step=AGAIN)
    why = "\n".join(f"{name}: {said(error)}" for name, error in {**found.asked.failed, **errors}.items())
    raise PartlyDone("not everything was turned on or off", why=why, next_step=AGAIN)
