"""One pass of the actions of budgets: look at the machines that they mean, write down what becomes of them, stop what idles."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import Conflict, McmlError, PartlyDone, said, unknown
from mcml.core.fanout import Answers, ask_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcml.core.plan import Plan, Step
    from mcml.core.view import Document
    from mcml.cost.budget.act import Due
    from mcml.cost.budget.standing import Standing
    from mcml.cost.schedule.plan import Keep, Stopped, Thing
    from mcml.cost.schedule.run import Done, Site

AGAIN = "mcml cost budgets check"


@dataclass
class Pass:
    """What a pass does: the actions, how the steps of their machines went, which targets did not answer, of what none knows if it idles."""

    due: "list[Due]"
    done: "list[Done]" = field(default_factory=list)
    failed: "Mapping[str, McmlError]" = field(default_factory=dict)
    unread: "Mapping[str, McmlError]" = field(default_factory=dict)

    def ended(self, session: Session, document: "Document", next_step: str = AGAIN) -> "Document":
        """Return the document; a pass that failed in part is shown first, and raises PartlyDone (exit 7)."""
        errors = {**self.unread, **{f"{one.step.target}/{one.step.name}": one.error for one in self.done if one.error}}
        if not errors and not self.failed:
            return document
        session.show(document)
        why = "\n".join(f"{name}: {said(error)}" for name, error in {**self.failed, **errors}.items())
        raise PartlyDone("not everything was done", why=why, next_step=next_step)


def check(session: Session, standings: "Sequence[Standing]", *, act: bool) -> Pass:
    """Bring the actions of all budgets to where they should be. What only `--act` asks for is asked about once more."""
    from mcml.cost.budget import act as acts
    from mcml.cost.schedule.run import remembered

    budgets = session.settings.cost.budgets
    acting = [name for name, budget in budgets.items() if budget.act or act]
    due = acts.due(session.store, standings, budgets, acting, session.config.profile)
    sites: dict[str, Site] = {}
    stopped, keeps = remembered(session.store)  # before the machines are listed: what another check stops meanwhile was not turned on since
    asked = _look(session, sorted(due, key=lambda one: one.turn.budget not in acting), sites)
    due = _planned(session, due, asked, stopped, keeps)
    things = {thing.key: thing for answer in asked.given.values() for several in answer.values() for thing in several}
    unread = {f"{one.target}/{one.id}": one.idle.error for one in things.values() if one.idle and one.idle.error}
    found = Pass(due, failed=asked.failed, unread=unread)
    if session.dry_run:
        return found
    mine = [each for each in due if each.turn.move in ("begin", "hold") and each.turn.budget in acting]
    count = sum(_count(step) for each in mine if not budgets[each.turn.budget].act for step in each.machines.changes)
    if count:
        session.confirm(f"Stop {count} idle machine{'' if count == 1 else 's'}?")
    settled = acts.settle(session.store, due, session.clock(), session.config.profile)
    for each in settled:
        if each in mine:
            found.done += _carry_out(session, each.turn.budget, each.machines, sites, things, stopped)
    return found


def _look(session: Session, due: "Sequence[Due]", sites: "dict[str, Site]") -> "Answers[dict[str, list[Thing]]]":
    """Ask every target that an action means for its machines, all at once, by action; a machine is the first action's that means it,
    those that are carried out before those that are told."""
    from mcml.cost.budget.act import STOP

    wanted: dict[str, list[Due]] = {}
    for each in due:
        if each.turn.do == STOP and each.turn.action and each.turn.move in ("begin", "hold", "announce", "announced"):
            for target in each.turn.action.targets or session.settings.targets:
                wanted.setdefault(target, []).append(each)
    return ask_all({target: partial(_machines, session, target, sites, several) for target, several in wanted.items()})


def _machines(session: Session, target: str, sites: "dict[str, Site]", due: "Sequence[Due]") -> "dict[str, list[Thing]]":
    from mcml.cli.cost.schedule_pass import open_site
    from mcml.cost.schedule.run import groups, machines

    site = sites[target] = open_site(session, target)
    taken: set[str] = set()
    found: dict[str, list[Thing]] = {}
    for each in due:
        if each.turn.action:
            action, now = each.turn.action, session.clock()
            seen = machines(site, action.match, action.idle, now) if "instances" in action.kinds else []
            seen += groups(site, action.match, action.idle, now) if "groups" in action.kinds else []
            found[each.turn.key] = [thing for thing in seen if thing.key not in taken]
            taken |= {thing.key for thing in seen}
    return found


def _planned(
    session: Session,
    due: "Sequence[Due]",
    asked: "Answers[dict[str, list[Thing]]]",
    stopped: "Mapping[str, Stopped]",
    keeps: "Sequence[Keep]",
) -> "list[Due]":
    """Return the actions with what each does to its machines."""
    from mcml.core.clock import midnight
    from mcml.cost.budget.stop import stops

    schedules, now = session.settings.cost.schedules, session.clock()
    found = []
    for each in due:
        things = [thing for answer in asked.given.values() for thing in answer.get(each.turn.key, ())]
        if things and each.standing:
            began = midnight(each.standing.start)
            each = replace(each, machines=stops(each.turn.budget, things, stopped, keeps, schedules, began, now))
        found.append(each)
    return found


def _carry_out(
    session: Session,
    budget: str,
    plan: "Plan",
    sites: "Mapping[str, Site]",
    things: "Mapping[str, Thing]",
    stopped: "Mapping[str, Stopped]",
) -> "list[Done]":
    """Carry out the steps of machines, each in the name of whose it is; `stopped` is what the plan was made from."""
    from mcml.core.plan import Plan
    from mcml.cost.budget.stop import OWNER, by
    from mcml.cost.schedule.run import Work

    done: list[Done] = []
    for mine in dict.fromkeys(str(step.values.get(OWNER, "")) for step in plan.steps):
        steps = tuple(step for step in plan.steps if str(step.values.get(OWNER, "")) == mine)
        work = Work(mine, sites, things, stopped, session.store, session.clock, by(budget), session.config.profile)
        done += work.carry_out(Plan("cost", steps))
    return done


def undo(session: Session, budget: str) -> Pass:
    """Lift what a budget's actions hold, and give back the machines that they stopped, as they were."""
    from mcml.cost.budget import act as acts
    from mcml.cost.budget.actions import Turn
    from mcml.cost.budget.stop import by, returns
    from mcml.cost.schedule.run import Work, remembered

    mine = {key: one for key, one in remembered(session.store)[0].items() if one.by == by(budget)}
    targets = list(dict.fromkeys(key.split("/")[0] for key in mine))
    known = [target for target in targets if target in session.settings.targets]
    sites: dict[str, Site] = {}
    asked = ask_all({target: partial(_all_machines, session, target, sites) for target in known})
    things = {thing.key: thing for answer in asked.given.values() for thing in answer}
    lost = {target: unknown("target", target, session.settings.targets) for target in targets if target not in known}
    plan = returns(budget, things.values(), mine, session.clock())
    going = {f"{step.target}/{step.name}": Conflict(step.reason) for step in plan.steps if step.values.get("later")}
    found = Pass([acts.Due(Turn(f"{budget}/{acts.STOP}@", "lifted", ""), machines=plan)], failed={**asked.failed, **lost, **going})
    if session.dry_run:
        return found
    if plan.changes:
        count = sum(map(_count, plan.changes))
        session.confirm(f"Start {count} machine{'' if count == 1 else 's'}?")
    acts.lift(session.store, budget, session.clock())
    found.done = _carry_out(session, budget, plan, sites, things, mine)
    gone: Mapping[str, Stopped] = {key: one for key, one in mine.items() if key not in things and _was_asked(key, asked.given, sites)}
    Work("", sites, things, gone, session.store, session.clock).forget(gone)
    return found


def _count(step: "Step") -> int:
    """Return how many machines a step starts or stops: a group is as many as it changes by."""
    return abs(int(str(step.values["to"])) - int(str(step.values["from"])))


def _was_asked(key: str, given: "Mapping[str, object]", sites: "Mapping[str, Site]") -> bool:
    """Tell whether a target has answered for things of that kind: only then one that is not there is gone."""
    target, kind, _ = key.split("/", 2)
    return target in given and (sites[target].groups if kind == "group" else sites[target].instances) is not None


def _all_machines(session: Session, target: str, sites: "dict[str, Site]") -> "list[Thing]":
    from mcml.cli.cost.schedule_pass import open_site
    from mcml.cost.schedule.run import all_of

    site = sites[target] = open_site(session, target)
    return all_of(site, session.clock())
