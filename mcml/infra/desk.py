"""Plan, apply and drift of one unit: the one place of this room that changes something."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.core.errors import McmlError, Usage
from mcml.core.fact import Fact
from mcml.core.files import read_json, write_json
from mcml.core.report import Reporter
from mcml.infra import outcome, workcopy
from mcml.infra.packages import Packages
from mcml.infra.plans import durations, policy, pricing
from mcml.infra.plans.plan import Applied, Planned, actions_of, gone_or_changed, read_plan
from mcml.infra.plans.policy import RuleFile
from mcml.infra.plans.pricing import PriceOf
from mcml.infra.plans.resources import resources_of
from mcml.infra.residue import adopt
from mcml.infra.residue.drift import Drift, find_changes, find_drift
from mcml.infra.residue.residue import Held, held_in, kept_at
from mcml.infra.states import backends, history
from mcml.infra.states.keeper import Keeper, not_saved, store_failure
from mcml.infra.states.state import Lock, State, parse_state, read_document, read_state
from mcml.infra.terraform.binary import Binary
from mcml.infra.terraform.complaints import place_of
from mcml.infra.terraform.events import Event, Tally, to_error
from mcml.infra.terraform.runner import Control, Ended, Runner, environment
from mcml.infra.units import wiring
from mcml.infra.units.units import Folders, Unit
from mcml.infra.units.wiring import Value
from mcml.providers.api.inventory import Inventory

Record = Callable[[Fact], object]

LOCK_SECONDS = 10
"""How long an apply waits for somebody else's lock before it says who holds it: longer than a plan, shorter than patience."""


@dataclass(frozen=True)
class Tools:
    """What every run needs: Terraform, the modules, the environment of this process, where progress and facts go, and time.

    `time_left` gives the seconds that are left of `--timeout`, or None without one. `price_of` answers from the price catalogue, `rules`
    are the policies, and `monthly_budget` is in US dollars. `filters` are the units that were named on the
    command line. `soon` prepares what comes after the first plan (`Control`).
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
    filters: Sequence[str] = ()
    soon: Callable[[], object] | None = None

    def command(self, verb: str) -> str:
        """Return the command line that continues, as it would be typed."""
        return " ".join(("mcml infra", verb, *self.filters))


@dataclass(frozen=True)
class Desk:
    """One unit in one environment; `run` is the folder of this run's files, `label` goes before what is told of it.

    Every method raises Conflict for a held lock, Interrupted, StillRunning at the time-out, McmlError.
    """

    unit: Unit
    folders: Folders
    tools: Tools
    run: Path
    control: Control
    label: str = ""

    @property
    def work(self) -> Path:
        """The folder in which Terraform runs."""
        return self.folders.work(self.unit)

    @property
    def keeper(self) -> Keeper:
        """What reads and writes the state as a whole."""
        return Keeper(self.unit, self.folders, self.run, self._runner, self._check)

    async def init(self, *, always: bool = True) -> None:
        """Prepare the root for Terraform; with `always` whether or not that was done before.

        One unit after the other: they share what they download.
        """
        marker = self.folders.data(self.unit) / "mcml.json"
        async with self.control.preparing:
            wanted = {"sources": workcopy.digest(self.unit, self.folders, self.tools.modules), "binary": self.tools.binary.name}
            await self.keeper.knock()
            packages = Packages(self.unit, self.folders)
            if not always and read_json(marker) == wanted and packages.whole() and not self.keeper.left_behind:
                return
            backends.refuse_another(self.unit, self.folders)
            await self.keeper.point()
            if not self.unit.own and read_json(marker) != wanted:  # a newer root may want newer providers than the last one chose
                (self.work / ".terraform.lock.hcl").unlink(missing_ok=True)
            runner = self.keeper.preparer()
            async with packages.given(self.tools.environ, lambda: not self.control.reason) as more:
                ended = await replace(runner, env={**runner.env, **more}).stream("init", "-input=false")
                self._check(ended, "preparing the module")
            await self.keeper.carry()
            write_json(marker, wanted, durable=False)

    async def read(self) -> State:
        """Return the state, from wherever it is kept."""
        if not self.unit.backend and not self.unit.own:
            return read_state(self.unit, self.folders)
        await self.init(always=False)
        return parse_state(await self.keeper.pull(), self.unit, f"of {self.unit.name}")

    async def pull(self) -> Mapping[str, Any] | None:
        """Return the state's whole document, with what is secret in it; None before the first apply."""
        await self.init(always=False)
        return await self.keeper.pull()

    async def lock(self) -> Lock | None:
        """Return who holds the lock of the state now."""
        await self.init(always=False)
        return await self.keeper.lock()

    async def unlock(self, lock: Lock) -> None:
        """Break a lock whose holder is no more, and append the fact."""
        await self.keeper.unlock(lock)
        self.record("infra.unlocked", {"lock": lock.id, "holder": lock.who, "operation": lock.operation, "since": lock.created})

    async def restore(self, old: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        """Make an old version of the state the newest one, with a higher serial, and append the fact; return it. Raises Conflict."""
        await self.init(always=False)
        current = await self.keeper.pull()
        wanted = history.restored(old, current)
        await self.keeper.push(wanted)
        history.keep(self.unit, self.folders, self.tools.clock())
        facts = {"version": version, "serial": wanted["serial"], "was": (current or {}).get("serial", 0), "of": old.get("serial", 0)}
        self.record("infra.state_restored", facts | {"resources": len(history.instances(wanted))})
        return wanted

    async def plan(self, inputs: Mapping[str, Value] | None = None, *, destroy: bool = False, lock: bool = True) -> Planned:
        """Make a plan. What Terraform thinks is there but is gone or changed, is replaced.

        `inputs` are what other units' outputs are or will be. `lock=False` is for looking only: it neither waits for somebody who applies
        nor keeps anybody waiting.
        """
        label, inputs = self.label.rstrip(": ") or f"infra {self.unit.environment}", dict(inputs or {})
        self.tools.reporter.start(label, "planning")
        try:
            await self.init(always=False)
            options = ["-destroy"] * destroy + [f"-lock-timeout={LOCK_SECONDS}s" if lock else "-lock=false"]
            if wiring.is_known(inputs):
                made = await self._plan_known(inputs, options, destroy=destroy)
            else:
                made = await self._plan_ahead(inputs, options, destroy=destroy)
        except BaseException:
            self.tools.reporter.finish(label, "no plan", ok=False)
            raise
        self.tools.reporter.finish(label, outcome.promised(made))
        return made

    async def apply(self, planned: Planned) -> Applied:
        """Apply exactly this plan, and append the fact. A plan without changes does nothing.

        Raises Conflict when a policy denies it and that was not accepted; PartlyDone when a part is done: running the same command again
        continues.
        """
        if planned.waits_for or not planned.shown:
            raise McmlError(f"the plan of {self.unit.name} waits for {', '.join(planned.waits_for)}, so it is not applied")
        if not planned.plan.changes:
            return Applied(planned)
        again = self.tools.command("destroy" if planned.destroys else "apply")
        policy.refuse(planned.verdicts, [verdict.rule for verdict in planned.accepted], again)
        began = time.monotonic()
        tally = Tally({address: list(actions) for address, actions in planned.wanted.items()})
        learned = durations.load(self.folders.infra / durations.FILE)

        def on_event(event: Event) -> None:
            tally.count(event)
            learned.count(event)
            outcome.tell(event, self.tools.reporter, self.unit, self.label, learned.expected)

        if planned.inputs and not planned.destroys:
            write_json(self.folders.inputs(self.unit), dict(planned.inputs), mode=0o600)
        options = ("-input=false", f"-lock-timeout={LOCK_SECONDS}s", str(planned.file))
        with outcome.shown(planned, tally, self.tools.reporter, self.label):
            ended = await self._runner().stream("apply", *options, on_event=on_event)
        learned.keep()
        history.keep(self.unit, self.folders, self.tools.clock())
        seconds = time.monotonic() - began
        failed = outcome.failure(ended, self.control.reason, planned, tally, again)
        if unsaved := history.rescue(self.unit, self.folders):
            failed = not_saved(self.unit, unsaved, failed, again)
        if not failed or tally.begun:
            verb = "destroyed" if planned.destroys else "applied"
            self.record(f"infra.{verb}", outcome.facts(planned, tally, seconds, failed))
        if failed:
            raise failed
        return Applied(planned, seconds)

    async def drift(self, inventory: Inventory) -> Drift:
        """Compare the state with what is there, and append a fact when they differ. Changes nothing."""
        found = await self.compare(inventory)
        self._tell_drift(found)
        return found

    async def compare(self, inventory: Inventory) -> Drift:
        """Compare the state with what is there, and tell nobody."""
        await self.init(always=False)
        document = await self._plan_file({}, ["-refresh-only", "-lock=false"])
        return find_drift(self.unit, document, inventory.find_by_tag({}))

    async def changes(self, inputs: Mapping[str, Value]) -> Drift:
        """Let Terraform look at all that is in the state, and append a fact when something is not as it left it. Changes nothing."""
        if not (await self.read()).resources:
            return Drift(self.unit.environment, unit=self.unit.name)
        await self.init(always=False)
        options = ["-refresh-only", "-lock=false"]
        with self._standing_in(inputs) as (known, folder):
            found = find_changes(self.unit, await self._plan_file(known, options, folder))
        self._tell_drift(found)
        return found

    async def held(self) -> tuple[Held, ...]:
        """Return what is in the state, and the store in which it is kept."""
        if not self.unit.backend and not self.unit.own:
            return held_in(self.unit.name, read_document(self.unit, self.folders))
        await self.init(always=False)
        return (*kept_at(self.unit), *held_in(self.unit.name, await self.keeper.pull()))

    async def plan_import(self, inputs: Mapping[str, Value], address: str, identifier: str) -> Planned:
        """Plan to adopt what is there into the state. The import block is in a copy of the root: nothing of it stays. See `plan`."""
        await self.init(always=False)
        with workcopy.preview_folder(self.unit, self.folders, adopt.block(address, identifier)) as folder:
            document = await self._plan_file(inputs, [f"-lock-timeout={LOCK_SECONDS}s"], folder)
        made = Planned(self.unit, read_plan(document), self.run / "plan", wanted=actions_of(document), inputs=inputs)
        return self._judged(made, document)

    @contextmanager
    def _standing_in(self, inputs: Mapping[str, Value]) -> Iterator[tuple[dict[str, Value], Path | None]]:
        """Yield inputs that Terraform can be given, and the folder in which the rest has stand-ins; None where all is known."""
        unknown_ones = {name: value for name, value in inputs.items() if not wiring.is_known(value)}
        if not unknown_ones:
            yield dict(inputs), None
            return
        with workcopy.preview_folder(self.unit, self.folders, wiring.stand_ins(unknown_ones)) as folder:
            yield {name: None if name in unknown_ones else value for name, value in inputs.items()}, folder

    async def _plan_known(self, inputs: Mapping[str, Value], options: Sequence[str], *, destroy: bool) -> Planned:
        document = await self._plan_file(inputs, options)
        gone = () if destroy else gone_or_changed(document, self.unit.healed_by)
        if gone:
            document = await self._plan_file(inputs, [*options, *(f"-replace={address}" for address in gone)])
        wiring.refuse_stand_in(document)
        made = Planned(self.unit, read_plan(document), self.run / "plan", destroy, actions_of(document), inputs=inputs)
        return self._judged(made, document)

    async def _plan_ahead(self, inputs: Mapping[str, Value], options: Sequence[str], *, destroy: bool) -> Planned:
        """Plan with values that are not known yet: in a copy, so that nothing of it can get into an apply."""
        unknown_ones = {name: value for name, value in inputs.items() if not wiring.is_known(value)}
        waits = tuple(sorted({self.unit.inputs[name].unit for name in unknown_ones}))
        nothing = Planned(self.unit, read_plan({"format_version": "1.0"}), self.run / "none", destroy, inputs=inputs, waits_for=waits)
        if not all(self._reads_by_local(name) for name in unknown_ones):
            return replace(nothing, shown=False, outputs=wiring.UNKNOWN)
        with self._standing_in(inputs) as (known, folder):
            document = wiring.without_stand_in(await self._plan_file(known, options, folder))
        if destroy:  # what is destroyed does not depend on what it was made with: this plan is whole
            nothing = replace(nothing, file=self.run / "plan", waits_for=())
        return self._judged(replace(nothing, plan=read_plan(document), wanted=actions_of(document)), document)

    def _reads_by_local(self, name: str) -> bool:
        """Tell whether a root reads a variable through a local of its name, which a preview can replace."""
        reads = re.compile(rf"^\s*{re.escape(name)}\s*=\s*var\.{re.escape(name)}\s*$", re.MULTILINE)
        return any(reads.search(path.read_text()) for path in self.work.glob("*.tf"))

    def _judged(self, planned: Planned, document: Mapping[str, Any]) -> Planned:
        """Return the plan with its price, what the policies say, and the outputs that it promises."""
        region = str(self.unit.variables.get("region") or self.unit.variables.get("location") or "")
        resources = resources_of(document, region)
        estimate = pricing.estimate(self.unit.name, resources, self.tools.price_of)
        about = policy.Circumstances(self.unit.name, self.unit.environment, resources, estimate, self.tools.monthly_budget)
        verdicts = policy.evaluate(self.tools.rules, document, about)
        expected = durations.load(self.folders.infra / durations.FILE).of_plan(resources)
        judged = replace(planned, estimate=estimate, verdicts=verdicts, outputs=wiring.promised(document))
        return replace(judged, expected=expected, resources=tuple(resources))

    async def _plan_file(self, inputs: Mapping[str, Value], options: Sequence[str], folder: Path | None = None) -> Mapping[str, Any]:
        file, variables, runner = self.run / "plan", self.run / "plan.tfvars.json", self._runner(folder)
        write_json(variables, {**self.unit.variables, **inputs}, mode=0o600, durable=False)
        made = await runner.stream("plan", "-input=false", f"-var-file={variables}", f"-out={file}", *options)
        self._check(made, "planning")
        shown = await runner.capture("show", "-json", str(file))
        self._check(shown, "reading the plan")
        document: Mapping[str, Any] = json.loads(shown.stdout)
        return document

    def _runner(self, folder: Path | None = None) -> Runner:
        python, _ = workcopy.python_name()
        env = environment(self.tools.environ, self.unit.environment, python, self.unit.accounts) | self._secrets()
        env["TF_DATA_DIR"] = str(self.folders.data(self.unit).absolute())
        return Runner(self.tools.binary, folder or self.work, env, self.run, self.control)

    def _secrets(self) -> dict[str, str]:
        """Return the secret variables as Terraform takes them from its environment, so that they are in no file and no argv."""
        found = {f"TF_VAR_{name}": self.tools.environ.get(source, "") for name, source in self.unit.secrets.items()}
        if missing := [source for name, source in self.unit.secrets.items() if not found[f"TF_VAR_{name}"]]:
            why = f"infra.secrets.{self.unit.name} of mcml.toml takes {', '.join(self.unit.secrets)} from there"
            step = f"export {missing[0]}=...    # then run the same command again"
            raise Usage(f"the environment variable {missing[0]} is not set", why=why, next_step=step)
        return found

    def _check(self, ended: Ended, doing: str) -> None:
        """Raise the error of a run that changes nothing, if it has one."""
        what = f"{doing} ({self.unit.name})" if self.label else doing
        if self.control.reason:
            raise outcome.stopped(self.control.reason, f"{what} was stopped", "nothing was changed", "run the same command again")
        if ended.code != 0:
            if unreached := store_failure(self.unit, ended):
                raise unreached
            raise to_error(ended.diagnostics, what, text=ended.text, next_step="mcml doctor", place=place_of(self.unit))

    def _tell_drift(self, found: Drift) -> None:
        if found.drifted:
            self.record("infra.drift_found", found.facts)

    def record(self, kind: str, facts: Mapping[str, object]) -> None:
        """Append a fact about this unit to the journal."""
        about = {"environment": self.unit.environment, "unit": self.unit.name}
        self.tools.record(Fact(kind, "infra", facts=about | dict(facts), at=self.tools.clock()))
