"""Several units as one: planned, judged, applied and destroyed, each as soon as those before it are ready."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from mcml.core.errors import Conflict, Interrupted, McmlError, NotFound, PartlyDone, StillRunning, said
from mcml.core.fact import Fact
from mcml.core.files import read_json
from mcml.infra import chores, outcome, workcopy
from mcml.infra.chores import Around
from mcml.infra.desk import Desk, Tools
from mcml.infra.plans import policy
from mcml.infra.plans.plan import Applied, Planned
from mcml.infra.plans.policy import Circumstances, Verdict
from mcml.infra.plans.pricing import Estimate, merged
from mcml.infra.residue import adopt
from mcml.infra.residue.drift import Drift
from mcml.infra.residue.residue import Held
from mcml.infra.states.state import State
from mcml.infra.terraform.runner import Control
from mcml.infra.units import wiring
from mcml.infra.units.graph import Graph
from mcml.infra.units.schedule import Results, each
from mcml.infra.units.units import Folders, Unit
from mcml.infra.units.wiring import Value
from mcml.providers.api.inventory import Inventory

T = TypeVar("T")


@dataclass(frozen=True)
class Plans:
    """The plans of all units that were asked for, and of those that have none, why. `verdicts` are about all of them together."""

    graph: Graph
    results: Results[Planned]
    destroys: bool = False
    verdicts: tuple[Verdict, ...] = ()
    accepted: tuple[str, ...] = ()

    @property
    def planned(self) -> tuple[Planned, ...]:
        """The plans, each after those that it builds on."""
        return tuple(self.results.done.values())

    @property
    def changing(self) -> tuple[Planned, ...]:
        """The plans that change something, or may do so once more is known."""
        return tuple(one for one in self.planned if one.plan.changes or not one.shown)

    @cached_property
    def estimate(self) -> Estimate:
        """What all of it costs."""
        return merged(one.estimate for one in self.planned)

    @property
    def digest(self) -> str:
        """One digest of all plans; of a single plan it is its own."""
        digests = [one.plan.digest for one in self.planned]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def raise_failures(self, again: str) -> None:
        """Raise what the units without a plan amount to. `again` is the command to try when it is mended."""
        if error := combined(self.results, "planned", again):
            raise error


@contextmanager
def open_fleet(
    whole: Graph, graph: Graph, folders: Folders, tools: Tools, *, at_once: int = 8, seeing: bool = False
) -> Iterator["Fleet"]:
    """Yield the fleet of the units of `graph`, which is a part of the `whole`: working copies are up to date. Raises McmlError.

    One that is `seeing` knows the states of all others besides; where one of those has no root, that is only known as `unseen`.
    """
    with ExitStack() as stack:
        runs: dict[str, Path] = {}
        unseen: dict[str, McmlError] = {}
        near = {unit.name: unit for unit in _with_their_neighbours(whole, graph)}
        for unit in {**near, **({unit.name: unit for unit in whole.units} if seeing else {})}.values():
            try:
                workcopy.prepare(unit, folders, tools.modules)
                runs[unit.name] = stack.enter_context(workcopy.run_folder(unit, folders))
            except OSError as refused:
                where = folders.work(unit)
                raise McmlError(f"cannot write the working copy {where}", why=str(refused), next_step="mcml doctor") from refused
            except McmlError as missing:
                if unit.name in near:
                    raise
                unseen[unit.name] = missing
        yield Fleet(whole, graph, folders, tools, runs, at_once, unseen)


def _with_their_neighbours(whole: Graph, graph: Graph) -> Iterator[Unit]:
    for unit in graph.units:
        yield from (whole[name] for name in unit.needs)
        yield unit
        yield from (whole[name] for name in whole.needing(unit.name))


@dataclass(frozen=True)
class Fleet:
    """The units of one environment that were asked for. Every method raises what the desks raise, and PartlyDone when a part is done."""

    whole: Graph
    graph: Graph
    folders: Folders
    tools: Tools
    runs: Mapping[str, Path]
    at_once: int = 8
    unseen: Mapping[str, McmlError] = field(default_factory=dict)

    def init(self) -> Results[None]:
        """Prepare all roots, whether or not that was done before."""
        return self._each(lambda desk, _: desk.init())

    def states(self) -> Results[State]:
        """Return the state of every unit."""
        return self._each(lambda desk, _: desk.read())

    def only(self, filters: Sequence[str]) -> "Fleet":
        """Return the fleet of those units that the filters mean. Raises NotFound for one that means none."""
        return replace(self, graph=self.whole.select(filters), tools=replace(self.tools, filters=tuple(filters)))

    def rewritten(self, change: Callable[[Unit], Unit]) -> "Fleet":
        """Return a fleet whose units are changed."""
        whole, graph = (Graph(tuple(change(unit) for unit in one.units)) for one in (self.whole, self.graph))
        return replace(self, whole=whole, graph=graph)

    def held(self) -> Results[tuple[Held, ...]]:
        """Return what is in the states of all units that this fleet can see, also those that were not asked for."""
        seen = Graph(tuple(unit for unit in self.whole.units if unit.name in self.runs))
        found = replace(self, graph=seen)._each(lambda desk, _: desk.held(), independent=True)
        return replace(found, failed={**found.failed, **self.unseen})

    def drift(self, local: Inventory | None = None) -> Results[Drift]:
        """Compare the state of every unit with what is there; `local` tells what is on this machine. Changes nothing, and takes no lock."""

        async def one(desk: Desk, _: Mapping[str, Drift]) -> Drift:
            if desk.unit.healed_by and local is not None:
                return await desk.drift(local)
            return await desk.changes(await self._inputs(desk, {}, destroy=True))

        return self._each(one, independent=True)

    def plan_import(self, address: str, identifier: str) -> Plans:
        """Plan to adopt a resource into the only unit. Raises Usage, Conflict for an address that cannot be."""

        async def one(desk: Desk, _: Mapping[str, Planned]) -> Planned:
            adopt.check(desk.unit.name, address, await desk.held())
            return await desk.plan_import(await self._inputs(desk, {}), address, identifier)

        return Plans(self.graph, self._each(one, soon=self.tools.soon))

    def adopt(self, plans: Plans, address: str, identifier: str) -> Results[Applied]:
        """Apply the plan of an import, and append the fact."""
        results = self.apply(plans)
        for name, applied in results.done.items():
            about = {"environment": applied.planned.unit.environment, "unit": name, "address": address, "id": identifier}
            facts = {**about, "digest": applied.planned.plan.digest}
            self.tools.record(Fact("infra.imported", "infra", facts=facts, at=self.tools.clock()))
        return results

    def at_desk(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        """Do something at the desk of the only unit, and return what it gives. Raises its error as it is."""
        results = self._each(lambda desk, _: work(desk))
        for error in results.failed.values():
            raise error
        (found,) = results.done.values()
        return found

    def at_work(self, name: str) -> int:
        """Return the process on this machine, besides us, that works on a unit; 0 without one."""
        return self._desk(self.graph[name], Control(self.tools.reporter)).keeper.at_work()

    def plan(self, *, destroy: bool = False, lock: bool = True) -> Plans:
        """Plan every unit, with what the units before it promise; the policies look at each and at all together."""

        async def one(desk: Desk, before: Mapping[str, Planned]) -> Planned:
            if destroy:
                await self._must_carry_nothing(desk)
            known = {name: planned.outputs for name, planned in before.items()}
            inputs = await self._inputs(desk, known, destroy=destroy)
            return await desk.plan(inputs, destroy=destroy, lock=lock)

        plans = Plans(self.graph, self._each(one, independent=destroy, soon=self.tools.soon), destroy)
        if not self._several:
            return plans
        about = Circumstances("", self.graph.units[0].environment, (), plans.estimate, self.tools.monthly_budget)
        return replace(plans, verdicts=policy.evaluate(self.tools.rules, {}, about))

    def gate(self, plans: Plans, accepted: Sequence[str] = ()) -> Plans:
        """Return the plans with what was accepted (ids of policies). Raises Conflict when a policy denies one that is not.

        A plan without changes passes: nothing would be done. Says which of the accepted rules denied nothing.
        """
        verdicts = [self._named(one, verdict) for one in plans.planned if one.plan.changes for verdict in one.verdicts]
        verdicts += plans.verdicts if plans.changing else ()
        policy.refuse(verdicts, accepted, self.tools.command("destroy" if plans.destroys else "apply"))
        needed = {verdict.rule for verdict in policy.denied(verdicts)}
        if idle := [rule for rule in accepted if rule not in needed]:
            self.tools.reporter.note(f"--accept {', '.join(idle)}: no such policy denies this")
        results = replace(plans.results, done={name: _accepting(one, accepted) for name, one in plans.results.done.items()})
        return replace(plans, results=results, accepted=tuple(accepted))

    def apply(self, plans: Plans, around: Around | None = None) -> Results[Applied]:
        """Apply these plans, and where a plan waited for values that are known now, the one that is made with them.

        Such a second plan is applied when it does nothing but what the first one showed, and the policies let it pass. What fails stops
        only what needs it: the results say which. A destroy goes backwards. `around` gives what is to be done before and after a unit.
        """

        async def one(desk: Desk, before: Mapping[str, Applied]) -> Applied:
            planned = plans.results.done[desk.unit.name]
            if not plans.destroys and desk.unit.inputs:
                inputs = await self._inputs(desk, {name: applied.outputs for name, applied in before.items()})
                if planned.waits_for or not wiring.same(inputs, planned.inputs):
                    planned = await self._planned_again(desk, planned, inputs, plans.accepted)
            await chores.see_to(around, "before", desk)
            applied = await desk.apply(planned)
            await chores.see_to(around, "after", desk)
            if plans.destroys or not any(desk.unit.name in unit.needs for unit in self.graph.units):
                return applied
            return replace(applied, outputs=(await desk.read()).outputs)

        return self._each(one, backwards=plans.destroys, within=plans.results.done)

    async def _planned_again(self, desk: Desk, shown: Planned, inputs: Mapping[str, Value], accepted: Sequence[str]) -> Planned:
        name, command = desk.unit.name, self.tools.command("apply")
        made = await desk.plan(inputs)
        if not shown.shown:
            why = f"it could not be planned before {', '.join(shown.waits_for)}"
            raise Conflict(f"the plan of {name} was not shown yet", why=why, next_step=f"{command}    # shows it, then continues")
        if surprises := shown.surprises(made):
            what = "; ".join(f"{step.action} {step.name}" for step in surprises[:6])
            more = f" and {len(surprises) - 6} more" if len(surprises) > 6 else ""
            raise Conflict(f"the plan of {name} is not the one that was shown", why=f"now also: {what}{more}", next_step=command)
        policy.refuse([self._named(made, verdict) for verdict in made.verdicts], accepted if made.plan.changes else (), command)
        return _accepting(made, accepted)

    async def _inputs(self, desk: Desk, before: Mapping[str, Value], *, destroy: bool = False) -> dict[str, Value]:
        """Return a unit's inputs: of units that are worked on, what those promise or have given; of others, what is applied."""
        found: dict[str, Value] = {}
        for name, given in desk.unit.inputs.items():
            outputs = before.get(given.unit)
            if outputs is None:
                state = await self._desk(self.whole[given.unit], desk.control).read()
                outputs = state.outputs
                if not outputs:
                    if not destroy:
                        raise _not_applied(desk.unit.name, given.unit)
                    return self._last_inputs(desk.unit)
            found[name] = wiring.take(desk.unit.name, given, outputs)
        return found

    async def _must_carry_nothing(self, desk: Desk) -> None:
        """Raise Conflict when a unit is to be destroyed under another one that stays."""
        name = desk.unit.name
        for other in sorted(self.whole.needing(name) - {unit.name for unit in self.graph.units}):
            left = (await self._desk(self.whole[other], desk.control).read()).resources
            if left:
                why = f"{other} needs it, and has {left} resources"
                step = f"mcml infra destroy {name}...    # with all that needs it"
                raise Conflict(f"{name} cannot be destroyed", why=why, next_step=step)

    def _last_inputs(self, unit: Unit) -> dict[str, Value]:
        """Return what a unit was applied with, to destroy it when what gave it is gone; not known where another machine applied it."""
        kept = read_json(self.folders.inputs(unit)) or {}
        return {name: kept.get(name, wiring.UNKNOWN) for name in unit.inputs}

    @property
    def _several(self) -> bool:
        return len(self.graph.units) > 1

    def _named(self, planned: Planned, verdict: Verdict) -> Verdict:
        if not self._several:
            return verdict
        return replace(verdict, address=f"{planned.unit.name}: {verdict.address}" if verdict.address else planned.unit.name)

    def _desk(self, unit: Unit, control: Control) -> Desk:
        tools = replace(self.tools, monthly_budget=None) if self._several else self.tools
        return Desk(unit, self.folders, tools, self.runs[unit.name], control, f"{unit.name}: " if self._several else "")

    def _each(
        self,
        work: Callable[[Desk, Mapping[str, T]], Awaitable[T]],
        *,
        backwards: bool = False,
        independent: bool = False,
        within: Mapping[str, object] | None = None,
        soon: Callable[[], object] | None = None,
    ) -> Results[T]:
        """Work on every unit (of those `within`), in the order of the graph unless they are `independent`, watching for Ctrl-C."""
        control = Control(self.tools.reporter, self.tools.time_left(), soon=soon)
        units = tuple(unit for unit in self.graph.units if within is None or unit.name in within)
        graph = Graph(units)

        async def one(unit: Unit, before: Mapping[str, T]) -> T:
            if control.reason:
                raise outcome.stopped(control.reason, f"{unit.name} was not begun", "", "")
            return await work(self._desk(unit, control), before)

        async def watched() -> Results[T]:
            with control.watching():
                return await each(graph, one, at_once=self.at_once, backwards=backwards, independent=independent)

        return asyncio.run(watched())


def _accepting(planned: Planned, accepted: Sequence[str]) -> Planned:
    return replace(planned, accepted=tuple(verdict for verdict in policy.denied(planned.verdicts) if verdict.rule in accepted))


def _not_applied(unit: str, needed: str) -> NotFound:
    step = f"mcml infra apply ...{unit}    # with all that it needs"
    return NotFound(f"{unit} takes outputs of {needed}, which is not applied", why="its state has none", next_step=step)


def combined(results: Results[T], word: str, again: str) -> McmlError | None:
    """Return what failed units amount to: nothing, the one error, or PartlyDone (exit 7) when others are `word` ("applied").

    An interruption, or the time that was up, stays one; when all failed, the error is of the kind of the first.
    """
    if not results.failed:
        return None
    first = next(iter(results.failed.values()))
    if len(results.failed) == 1 and not results.done and not results.skipped:
        return first
    ends = [error for error in results.failed.values() if isinstance(error, Interrupted | StillRunning)]
    partly = bool(results.done) or any(isinstance(error, PartlyDone) for error in results.failed.values())
    kind = type(ends[0]) if ends else PartlyDone if partly else type(first)
    parts = [f"failed: {', '.join(results.failed)}"] if not ends else [f"stopped: {', '.join(results.failed)}"]
    parts += [f"{word}: {', '.join(results.done)}"] if results.done else []
    parts += [f"not begun: {', '.join(results.skipped)}"] if results.skipped else []
    why = "\n".join(f"{name}: {said(error)}" for name, error in results.failed.items())
    steps = [step for error in results.failed.values() for step in error.next_step.splitlines() if step]
    steps = [step for step in dict.fromkeys(steps) if step.partition("    #")[0] != again]
    return kind("; ".join(parts), why=why, next_step="\n".join([*steps, f"{again}    # continues"]))
