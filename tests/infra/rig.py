"""What the tests of the infra room share: settings, a desk on a real Terraform, and a reporter that remembers."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from mcml.core.fact import Fact
from mcml.core.paths import shipped
from mcml.core.schema import Settings
from mcml.infra import workcopy
from mcml.infra.desk import Desk, Tools
from mcml.infra.fleet import Fleet, open_fleet
from mcml.infra.plans.plan import Applied, Planned
from mcml.infra.residue.drift import Drift
from mcml.infra.terraform.binary import Binary, find_binary
from mcml.infra.terraform.runner import Control
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Folders, Unit, units_of
from mcml.providers.api.inventory import Inventory
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.inventory import LocalInventory, open_inventory
from mcml.providers.local.settings import Settings as LocalSettings

T = TypeVar("T")


@dataclass
class Recorder:
    """A reporter that keeps what it was told, as `(verb, key, text)`."""

    told: list[tuple[str, str, str]] = field(default_factory=list)

    def start(self, key: str, text: str) -> None:
        self.told.append(("start", key, text))

    def update(self, key: str, text: str) -> None:
        self.told.append(("update", key, text))

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        self.told.append(("finish" if ok else "failed", key, text))

    def note(self, text: str) -> None:
        self.told.append(("note", "", text))


@dataclass(frozen=True)
class Seated:
    """A desk whose methods are waited for, each with a control of its own, as a command would."""

    desk: Desk

    @property
    def unit(self) -> Unit:
        return self.desk.unit

    def init(self) -> None:
        self._wait(lambda desk: desk.init())

    def plan(self, *, destroy: bool = False, lock: bool = True) -> Planned:
        return self._wait(lambda desk: desk.plan(destroy=destroy, lock=lock))

    def apply(self, planned: Planned) -> Applied:
        return self._wait(lambda desk: desk.apply(planned))

    def drift(self, inventory: Inventory) -> Drift:
        return self._wait(lambda desk: desk.drift(inventory))

    def _wait(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        control = Control(self.desk.tools.reporter, self.desk.tools.time_left())

        async def watched() -> T:
            with control.watching():
                return await work(replace(self.desk, control=control))

        return asyncio.run(watched())


@dataclass
class Project:
    """A project folder with local targets, and everything that a desk needs."""

    folder: Path
    targets: dict[str, str]
    binary: Binary
    modules: Path = field(default_factory=lambda: shipped("terraform"))
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    environment: str = "dev"
    reporter: Recorder = field(default_factory=Recorder)
    facts: list[Fact] = field(default_factory=list)
    time_left: float | None = None

    @property
    def state(self) -> Path:
        return self.folder / ".mcml"

    @property
    def folders(self) -> Folders:
        return Folders(self.state)

    @property
    def root(self) -> Path:
        """The local provider's root."""
        return self.state / "local"

    @property
    def unit(self) -> Unit:
        targets = {name: {"provider": "local", "region": region} for name, region in self.targets.items()}
        infra = {"environment": self.environment}
        providers = {"local": {"ports_per_target": 2}}
        settings = Settings.model_validate({"name": "acme", "targets": targets, "infra": infra, "providers": providers})
        (unit,) = units_of(settings, self.folder, self.state)
        return unit

    @property
    def inventory(self) -> LocalInventory:
        return open_inventory(ProviderContext(LocalSettings(), self.state / "local"))

    @contextmanager
    def desk(self, **changed: Any) -> Iterator[Seated]:
        tools = replace(self.tools, **changed)
        workcopy.prepare(self.unit, self.folders, tools.modules)
        with workcopy.run_folder(self.unit, self.folders) as run:
            yield Seated(Desk(self.unit, self.folders, tools, run, Control(tools.reporter)))

    @property
    def tools(self) -> Tools:
        return Tools(self.binary, self.modules, self.environ, self.reporter, self.facts.append, time_left=lambda: self.time_left)

    @contextmanager
    def fleet(self, *units: Unit, filters: Sequence[str] = (), **changed: Any) -> Iterator[Fleet]:
        whole = Graph(units or (self.unit,))
        with open_fleet(whole, whole.select(filters), self.folders, replace(self.tools, filters=filters, **changed)) as fleet:
            yield fleet

    def apply(self) -> list[str]:
        """Plan and apply; return what was done as `action target`."""
        with self.desk() as desk:
            applied = desk.apply(desk.plan())
            return [f"{step.action} {step.target or step.name}" for step in applied.planned.plan.changes]

    def existing(self) -> set[str]:
        """The targets whose folder is there."""
        return {folder.name for folder in (self.root / "targets").glob("[!.]*")}


def terraform() -> Binary:
    """The Terraform that mcml itself would take on this machine."""
    return find_binary("", Path.cwd(), os.environ)


def module_copy(tmp_path: Path) -> Path:
    """A copy of all modules, for a test that breaks one."""
    return Path(shutil.copytree(shipped("terraform"), tmp_path / "modules"))


def hooked(folder: Path, name: str, then: str) -> dict[str, str]:
    """An environment in which creating one target does something else first: Python reads sitecustomize before anything."""
    folder.mkdir()
    condition = f"'create' in sys.orig_argv and {name!r} in sys.orig_argv"
    (folder / "sitecustomize.py").write_text(f"import os, sys, time\nif {condition}:\n    {then}\n")
    return dict(os.environ) | {"PYTHONPATH": str(folder)}


def waiting(folder: Path, name: str, go: Path) -> dict[str, str]:
    """An environment in which one target is not created before the file `go` is there."""
    return hooked(folder, name, f"while not os.path.exists({str(go)!r}): time.sleep(0.02)")
