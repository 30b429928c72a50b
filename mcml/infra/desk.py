"""Plan, apply, destroy and drift of one unit: the one place of this room that changes something."""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from mcml.core.clock import Clock, utc_now
from mcml.core.errors import Conflict, Interrupted, McmlError, PartlyDone, StillRunning, unknown
from mcml.core.fact import Fact
from mcml.core.files import read_json, write_json
from mcml.core.package import folder_digest
from mcml.core.report import Reporter
from mcml.infra import policy, pricing, workcopy
from mcml.infra.binary import Binary
from mcml.infra.drift import Drift, find_drift
from mcml.infra.events import Event, Tally, to_error
from mcml.infra.plan import Applied, Planned, actions_of, gone_or_changed, read_plan
from mcml.infra.policy import RuleFile
from mcml.infra.pricing import PriceOf
from mcml.infra.resources import resources_of
from mcml.infra.runner import Control, Ended, Runner, environment
from mcml.infra.units import Folders, Unit
from mcml.providers.api.inventory import Inventory, Resource

T = TypeVar("T")
Record = Callable[[Fact], object]

LOCK_SECONDS = 10
"""How long an apply waits for somebody else's lock before it says who holds it: longer than a plan, shorter than patience."""

DOING = {"create": "creating", "update": "changing", "delete": "destroying", "read": "reading"}
DID = {"create": "created", "update": "changed", "delete": "destroyed", "read": "read"}


@dataclass(frozen=True)
class Tools:
    """What every run needs: Terraform, the modules, the environment of this process, where progress and facts go, and time.

    `time_left` gives the seconds that are left of `--timeout`, or None without one. `price_of` answers from the price catalogue, `rules`
    are the policies, and `monthly_budget` is in US dollars.
    """

    binary: Binary
    modules: Path
    environ: Mapping[str, str]
    reporter: Reporter
    record: Record
    clock: Clock = utc_now
    time_left: Callable[[], float | None] = lambda: None
    price_of: PriceOf = lambda _cloud, _region, _sku: None
    rules: Sequence[RuleFile] = ()
    monthly_budget: Decimal | None = None


@contextmanager
def open_unit(unit: Unit, folders: Folders, tools: Tools) -> Iterator["Desk"]:
    """Yield the desk of a unit: its working copy is up to date, and plan files live until the block ends. Raises McmlError."""
    try:
        work = workcopy.prepare(unit, folders, tools.modules)
    except OSError as refused:
        raise McmlError(f"cannot write the working copy {folders.work(unit.name)}", why=str(refused), next_step="mcml doctor") from refused
    with workcopy.run_folder(unit, folders) as run:
        yield Desk(unit, folders, tools, work, run)


@dataclass(frozen=True)
class Desk:
    """One unit in one environment. Every method raises Conflict for a held lock, Interrupted, StillRunning at the time-out, McmlError."""

    unit: Unit
    folders: Folders
    tools: Tools
    work: Path
    run: Path

    def init(self) -> None:
        """Prepare the working copy for Terraform, whether or not that was done before."""
        self._go(lambda runner: self._init(runner, always=True))

    def plan(self, *, destroy: bool = False, lock: bool = True) -> Planned:
        """Make a plan. What Terraform thinks is there but is gone or changed, is replaced.

        `lock=False` is for looking only: it neither waits for somebody who applies nor keeps anybody waiting.
        """
        return self._go(lambda runner: self._plan(runner, destroy=destroy, lock=lock))

    def gate(self, planned: Planned, accepted: Sequence[str] = ()) -> Planned:
        """Return the plan with what was accepted (`accepted` are ids of policies). Raises Conflict when a policy denies it that is not.

        A plan without changes passes: nothing would be done.
        """
        if planned.plan.changes:
            policy.refuse(planned.verdicts, accepted, self._again(planned))
        kept = tuple(verdict for verdict in policy.denied(planned.verdicts) if verdict.rule in accepted)
        return replace(planned, accepted=kept)

    def apply(self, planned: Planned) -> Applied:
        """Apply exactly this plan, and append the fact. A plan without changes does nothing.

        Raises Conflict when a policy denies it and `gate` was not told to accept that; PartlyDone when a part is done: running the same
        command again continues.
        """
        if not planned.plan.changes:
            return Applied(planned)
        policy.refuse(planned.verdicts, [verdict.rule for verdict in planned.accepted], self._again(planned))
        return self._go(lambda runner: self._apply(runner, planned))

    def drift(self, inventory: Inventory) -> Drift:
        """Compare the state with what is there, and append a fact when they differ. Changes nothing."""
        found = self._compare(inventory)
        if found.drifted:
            facts = {kind: found.named(kind) for kind in ("missing", "changed", "unmanaged")}
            targets = [one.target for one in found.drifted]
            digest = hashlib.sha256(found.text.encode()).hexdigest()
            self._record("infra.drift_found", facts | {"targets": targets, "digest": digest})
        return found

    def unmanaged(self, inventory: Inventory, name: str) -> Resource:
        """Return one target that is there and in no state. Raises NotFound with the nearest name."""
        found = {resource.id: resource for resource in self._compare(inventory).unmanaged}
        if name not in found:
            raise unknown("unmanaged target", name, found, next_step="mcml infra drift")
        return found[name]

    def remove_unmanaged(self, inventory: Inventory, resource: Resource) -> None:
        """Remove what is in no state, and append the fact. Raises Conflict when it is in use."""
        inventory.delete(resource)
        self._record("infra.destroyed", {"create": 0, "update": 0, "delete": 1, "targets": [resource.id], "unmanaged": True})

    def _compare(self, inventory: Inventory) -> Drift:
        return self._go(lambda runner: self._drift(runner, inventory))

    def _go(self, work: Callable[[Runner], Awaitable[T]]) -> T:
        control = Control(self.tools.reporter, self.tools.time_left())
        python, _ = workcopy.python_name()
        env = environment(self.tools.environ, self.unit.environment, python)
        runner = Runner(self.tools.binary, self.work, env, self.run, control)

        async def watched() -> T:
            with control.watching():
                return await work(runner)

        return asyncio.run(watched())

    async def _init(self, runner: Runner, *, always: bool = False) -> None:
        marker = self.work / ".terraform" / "mcml.json"
        wanted = {"module": folder_digest(self.tools.modules / self.unit.name), "binary": self.tools.binary.name}
        if not always and read_json(marker) == wanted:
            return
        self._check(runner, await runner.stream("init", "-input=false"), "preparing the module")
        write_json(marker, wanted, durable=False)

    async def _plan(self, runner: Runner, *, destroy: bool, lock: bool) -> Planned:
        label = f"infra {self.unit.environment}"
        self.tools.reporter.start(label, "planning")
        try:
            await self._init(runner)
            options = ["-destroy"] * destroy + [f"-lock-timeout={LOCK_SECONDS}s" if lock else "-lock=false"]
            document = await self._plan_file(runner, *options)
            gone = () if destroy else gone_or_changed(document, self.unit.healed_by)
            if gone:
                document = await self._plan_file(runner, *options, *(f"-replace={address}" for address in gone))
            plan = read_plan(document)
            made = Planned(self.unit, plan, self.run / "plan", destroy, actions_of(document))
            judged = self._judged(made, document)
        except BaseException:
            self.tools.reporter.finish(label, "no plan", ok=False)
            raise
        self.tools.reporter.finish(label, f"{len(plan.changes)} to change" if plan.changes else "nothing to change")
        return judged

    def _judged(self, planned: Planned, document: Mapping[str, Any]) -> Planned:
        """Return the plan with its price and what the policies say."""
        resources = resources_of(document, str(self.unit.variables.get("region", "")))
        estimate = pricing.estimate(self.unit.name, resources, self.tools.price_of)
        about = policy.Circumstances(self.unit.name, self.unit.environment, resources, estimate, self.tools.monthly_budget)
        return replace(planned, estimate=estimate, verdicts=policy.evaluate(self.tools.rules, document, about))

    async def _plan_file(self, runner: Runner, *options: str) -> Mapping[str, Any]:
        file = self.run / "plan"
        variables = self.folders.tfvars(self.unit.name, self.unit.environment)
        made = await runner.stream("plan", "-input=false", f"-var-file={variables.name}", f"-out={file}", *options)
        self._check(runner, made, "planning")
        shown = await runner.capture("show", "-json", str(file))
        self._check(runner, shown, "reading the plan")
        document: Mapping[str, Any] = json.loads(shown.stdout)
        return document

    async def _drift(self, runner: Runner, inventory: Inventory) -> Drift:
        await self._init(runner)
        document = await self._plan_file(runner, "-refresh-only", "-lock=false")
        return find_drift(self.unit, document, inventory.find_by_tag({}))

    async def _apply(self, runner: Runner, planned: Planned) -> Applied:
        began = time.monotonic()
        tally = Tally({address: list(actions) for address, actions in planned.wanted.items()})

        def on_event(event: Event) -> None:
            tally.count(event)
            self._tell(event)

        ended = await runner.stream("apply", "-input=false", f"-lock-timeout={LOCK_SECONDS}s", str(planned.file), on_event=on_event)
        seconds = time.monotonic() - began
        failed = self._failure(runner, ended, planned, tally)
        if not failed or tally.begun:
            self._record_apply(planned, tally, seconds, failed)
        if failed:
            raise failed
        return Applied(planned, seconds)

    def _tell(self, event: Event) -> None:
        name = event.key or event.address
        match event.type:
            case "apply_start":
                self.tools.reporter.start(name, DOING.get(event.action, event.action))
            case "apply_progress":
                self.tools.reporter.update(name, f"still {DOING.get(event.action, event.action)}")
            case "apply_complete":
                self.tools.reporter.finish(name, DID.get(event.action, event.action))
            case "apply_errored":
                self.tools.reporter.finish(name, f"{DOING.get(event.action, event.action)} failed", ok=False)

    def _check(self, runner: Runner, ended: Ended, doing: str) -> None:
        """Raise the error of a run that changes nothing, if it has one."""
        if runner.control.reason:
            raise _stopped(runner.control, f"{doing} was stopped", "nothing was changed", "run the same command again")
        if ended.code != 0:
            raise to_error(ended.diagnostics, doing, text=ended.text, next_step="mcml doctor")

    def _failure(self, runner: Runner, ended: Ended, planned: Planned, tally: Tally) -> McmlError | None:
        again = self._again(planned)
        what = f"{'destroying' if planned.destroys else 'applying'} {self.unit.environment}"
        if ended.code == 0:
            return None
        if runner.control.reason:
            why = f"{self._progress(tally)}; the state is saved"
            return _stopped(runner.control, f"{what} was stopped", why, f"{again}    # continues")
        error = to_error(ended.diagnostics, what, text=ended.text, next_step=again)
        if not tally.done or isinstance(error, Conflict):
            return error
        return PartlyDone(
            f"{what} is partly done: {self._progress(tally)}",
            why=f"{error.message}\n{error.why}".strip(),
            next_step=f"{error.next_step}\n{again}    # continues" if error.next_step not in ("", again) else f"{again}    # continues",
        )

    def _again(self, planned: Planned) -> str:
        return f"mcml infra {'destroy' if planned.destroys else 'apply'}"

    def _progress(self, tally: Tally) -> str:
        """Say what of an apply is done, half-done and not begun; a target by its name."""

        def named(addresses: Sequence[str]) -> str:
            return ", ".join(address.removeprefix(f'{self.unit.healed_by}["').removesuffix('"]') for address in addresses)

        said = [f"{len(tally.done)} of {len(tally.wanted)} changes done"]
        said += [f"half-done: {named(tally.half_done)}"] if tally.half_done else []
        said += [f"not begun: {named(tally.untouched)}"] if tally.untouched else []
        return "; ".join(said)

    def _record_apply(self, planned: Planned, tally: Tally, seconds: float, failed: McmlError | None) -> None:
        done = [step for step in planned.plan.changes if not failed or step.name in tally.done]
        count = {action: sum(step.action in (action, "replace") for step in done) for action in ("create", "delete")}
        facts = count | {
            "update": sum(step.action == "update" for step in done),
            "targets": [step.target for step in done if step.target],
            "digest": planned.plan.digest,
            "duration_s": round(seconds, 3),
            "complete": failed is None,
        }
        if planned.estimate.lines:
            facts |= {"monthly_cost": str(planned.estimate.after), "monthly_before": str(planned.estimate.before)}
        if planned.accepted:
            facts["accepted"] = [{"rule": one.rule, "address": one.address, "message": one.message} for one in planned.accepted]
        self._record(f"infra.{'destroyed' if planned.destroys else 'applied'}", facts | ({"reason": failed.message} if failed else {}))

    def _record(self, kind: str, facts: Mapping[str, object]) -> None:
        about = {"environment": self.unit.environment, "unit": self.unit.name}
        self.tools.record(Fact(kind, "infra", facts=about | dict(facts), at=self.tools.clock()))


def _stopped(control: Control, message: str, why: str, next_step: str) -> McmlError:
    if control.reason == "timeout":
        return StillRunning(f"{message}: --timeout ran out", why=why, next_step=next_step)
    return Interrupted(message, why=why, next_step=next_step)
