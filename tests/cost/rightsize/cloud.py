"""A cloud for tests of changes: one machine, its disks and what it measures; time moves when somebody sleeps, and mcml can be killed."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, Unavailable
from mcml.providers.api.instances import Instance, MachinePrice, MachineRequest
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.providers.api.snapshots import Snapshot

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
MACHINE = Instance("i-1", "m4", "z", "running", BEGAN, disks=("disk/root", "disk/data"))
TYPES = {"m1": (1, 4), "m2": (2, 8), "m4": (4, 16)}


class Killed(BaseException):
    """The process of mcml is killed here; nothing catches it."""


def price(machine: str) -> MachinePrice:
    """1 an hour for each vCPU."""
    vcpus, memory = TYPES[machine]
    return MachinePrice(machine, "r", Decimal(vcpus), Decimal(memory), Decimal(vcpus), None, "USD", BEGAN, "x86_64")


@dataclass
class Cloud:
    """`kill`: at which moment (every call has one before and one after it, and every look at the clock one) mcml is killed; 0: never.

    `refuses` says why a call like `start m2` fails, `loses` which are done and not answered, once each, `dies` which types do not hold the
    machine's command, `measures` what a metric says.
    """

    kill: int = 0
    machine: Instance = MACHINE
    refuses: dict[str, McmlError] = field(default_factory=dict)
    loses: frozenset[str] = frozenset()
    dies: frozenset[str] = frozenset()
    measures: Mapping[str, Callable[[str, datetime], float | None]] = field(default_factory=dict)
    now: datetime = BEGAN
    moments: int = 0
    copies: dict[str, Snapshot] = field(default_factory=dict)
    calls: builtins.list[str] = field(default_factory=list)
    labels: builtins.list[str] = field(default_factory=list)
    asleep: Callable[["Cloud"], None] = lambda _: None

    def clock(self) -> datetime:
        """The time."""
        self._moment()
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.asleep(self)
        self._moment()

    def _moment(self, label: str = "") -> None:
        self.moments += 1
        self.labels.append(label)
        if self.moments == self.kill:
            raise Killed

    def _called(self, what: str) -> None:
        self._moment()
        self.calls.append(what)
        if what in self.refuses:
            raise self.refuses[what]

    def _answered(self, what: str, label: str = "") -> None:
        self._moment(label)
        if what in self.loses:
            self.loses -= {what}
            raise Unavailable("no answer came")

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """The machine; a command that its type does not hold has ended."""
        if "list" in self.refuses:
            raise self.refuses["list"]
        if self.machine.machine in self.dies and self.machine.state == "running":
            self.machine = replace(self.machine, state="stopped")
        return [self.machine]

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """1 an hour for each vCPU."""
        return [price(name) for name in machines or TYPES]

    def start(self, instance: str) -> Instance:
        """Start it: it is pending until somebody looks again."""
        self._called(f"start {self.machine.machine}")
        self.machine = replace(self.machine, state="running", launched=self.now)
        self._answered(f"start {self.machine.machine}", f"start {self.machine.machine} done")
        return replace(self.machine, state="pending")

    def stop(self, instance: str) -> Instance:
        """Stop it."""
        self._called(f"stop {self.machine.machine}")
        self.machine = replace(self.machine, state="stopped")
        self._answered(f"stop {self.machine.machine}")
        return self.machine

    def resize(self, instance: str, machine: str) -> Instance:
        """Change its type."""
        self._called(f"resize {machine}")
        if self.machine.state != "stopped":
            raise Conflict("it runs")
        if machine not in TYPES:
            raise InvalidRequest("no such type")
        self.machine = replace(self.machine, machine=machine)
        self._answered(f"resize {machine}")
        return self.machine

    def request(self, request: MachineRequest) -> Instance:
        """Not asked for."""
        raise NotImplementedError


@dataclass
class Disks:
    """Its snapshots: one is complete a second after it was asked for."""

    cloud: Cloud

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Copy a disk; the same token gives the same copy."""
        self.cloud._called(f"snapshot {source}")
        if source not in MACHINE.disks:
            raise NotFound("no such disk")
        made = Snapshot(f"snap-{len(self.cloud.copies)}", source, self.cloud.now, 1000, complete=False, tags=dict(tags or {}))
        made = self.cloud.copies.setdefault(token, made)
        self.cloud._answered(f"snapshot {source}")
        return self._seen(made)

    def list(self, source: str = "") -> builtins.list[Snapshot]:
        """The copies of a disk."""
        return [self._seen(one) for one in self.cloud.copies.values() if source in ("", one.source)]

    def _seen(self, made: Snapshot) -> Snapshot:
        return replace(made, complete=self.cloud.now - made.created >= timedelta(seconds=1))

    def restore(self, snapshot: str, into: str) -> str:
        """Not asked for."""
        raise NotImplementedError

    def delete(self, snapshot: str) -> None:
        """Delete a copy."""
        self.cloud.copies = {token: one for token, one in self.cloud.copies.items() if one.id != snapshot}


@dataclass
class Meter:
    """Its metrics: `measures` of the cloud by name, of the type that the machine has and the start of the step."""

    cloud: Cloud

    def query(self, series: SeriesQuery, window: Window) -> builtins.list[Point]:
        """One point a step."""
        if series.metric not in self.cloud.measures:
            raise NotFound("no such metric")
        said = self.cloud.measures[series.metric]
        count = -((window.start - window.end) // window.step)
        starts = [window.start + number * window.step for number in range(count)]
        return [Point(at, said(self.cloud.machine.machine, at)) for at in starts]

    def names(self) -> builtins.list[str]:
        """What it knows."""
        return sorted(self.cloud.measures)
