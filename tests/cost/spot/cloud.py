"""A cloud for tests: spot comes and goes by a script, machines do the work of one job, and time moves when somebody sleeps."""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mcml.core.errors import InvalidRequest, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.instances import Instance, MachinePrice, MachineRequest

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
FALLBACK = "od-1"
DELAY = 150


class Killed(BaseException):
    """The process of mcml is killed here; nothing catches it."""


@dataclass
class Cloud:
    """`up[minute]` says whether spot is to be had. The job needs `work` seconds, a machine `restart` before it works, and it saves after
    every `checkpoint` seconds; asking for a machine takes `launch` seconds, whether there is one or not. `calls` counts what was asked for:
    the call whose number is in `kills` is done, and kills who asked; in `silent`, it is not answered; in `lost`, it is done unheard; in
    `delayed`, a machine is made `DELAY` seconds after the caller has given up. A machine is listed `lag` seconds after it was made, and not
    in the listings whose number is in `blind`; the fallback always is."""

    up: Sequence[bool]
    work: int
    restart: int
    checkpoint: int
    kills: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    delayed: frozenset[int] = frozenset()
    launch: int = 0
    lag: int = 0
    blind: frozenset[int] = frozenset()
    listings: int = 0
    now: datetime = BEGAN
    saved: float = 0.0
    calls: int = 0
    machines: dict[str, Instance] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    paid: Decimal = Decimal(0)
    most: int = 0
    asked: builtins.list[str] = field(default_factory=list)
    queue: builtins.list[tuple[datetime, MachineRequest]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machines[FALLBACK] = Instance(FALLBACK, "m1", "z", "stopped", BEGAN)

    def clock(self) -> datetime:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, a second after the other."""
        for _ in range(max(1, round(seconds))):
            self._second()

    def there(self) -> bool:
        """Is spot to be had now?"""
        minute = int((self.now - BEGAN).total_seconds() // 60)
        return self.up[min(minute, len(self.up) - 1)]

    def has(self, _machine: str) -> bool:
        """Is spot of this type to be had now?"""
        return self.there()

    def running(self) -> builtins.list[Instance]:
        """The machines that run."""
        return [one for one in self.machines.values() if one.state == "running"]

    def _second(self) -> None:
        self.now += timedelta(seconds=1)
        for at, request in [each for each in self.queue if each[0] <= self.now]:
            self.queue.remove((at, request))
            if not request.spot or self.has(request.machine):
                self._made(request)
        for one in self.running():
            if one.spot and not self.has(one.machine):
                self.machines[one.id] = replace(one, state="interrupted")
                continue
            self.paid += Decimal(3 if not one.spot else 1)
            self.busy[one.id] = self.busy.get(one.id, -self.restart) + 1
            done = self.busy[one.id]
            if done > 0 and (done % self.checkpoint == 0 or self.saved * self.work + done % self.checkpoint >= self.work):
                self.saved = min(1.0, self.saved + (done % self.checkpoint or self.checkpoint) / self.work)
            if self.saved >= 1 - 1e-9:
                self.saved = 1.0
                self.machines[one.id] = replace(one, state="terminated" if one.spot else "stopped")

    def _called(self, *, before: bool) -> None:
        if before:
            self.calls += 1
            if self.calls in self.silent:
                raise Unavailable("the cloud does not answer")
        elif self.calls in self.kills:
            raise Killed
        elif self.calls in self.lost:
            raise Unavailable("the answer was lost")

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """The machines with these tags."""
        self.listings += 1
        age = timedelta.max if self.listings in self.blind else timedelta(seconds=self.lag)
        seen = [one for one in self.machines.values() if one.id == FALLBACK or self.now - one.launched >= age]
        return [one for one in seen if (tags or {}).items() <= one.tags.items()]

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """3600 and 10800 an hour: 1 and 3 a second."""
        if not set(machines) <= {"m1", "m2"}:
            raise InvalidRequest("no such machine type", why="did you mean 'm1'?")
        spot, on_demand = Decimal(3600), Decimal(10800)
        return [MachinePrice(name, "r", Decimal(1), Decimal(1), on_demand, spot, "USD", self.now) for name in machines]

    def request(self, request: MachineRequest) -> Instance:
        """Start one, or return that of the token."""
        self._called(before=True)
        for _ in range(self.launch):
            self._second()
        if self.calls in self.delayed:
            self.queue.append((self.now + timedelta(seconds=DELAY), request))
            raise Unavailable("the answer takes too long")
        if request.token not in self.tokens and request.spot and not self.has(request.machine):
            raise QuotaExceeded("no spot is to be had")
        self._made(request)
        self.most = max(self.most, len(self.running()))
        self.asked.append(self.tokens[request.token])
        self._called(before=False)
        return self.machines[self.tokens[request.token]]

    def _made(self, request: MachineRequest) -> None:
        if request.token not in self.tokens:
            name = f"{'spot' if request.spot else 'launched'}-{len(self.tokens)}"
            self.tokens[request.token] = name
            self.machines[name] = Instance(name, request.machine, "z", "running", self.now, request.spot, dict(request.tags))

    def start(self, instance: str) -> Instance:
        """Start the fallback."""
        self._called(before=True)
        for _ in range(self.launch):
            self._second()
        if self.machines[instance].state != "running":
            self.busy.pop(instance, None)
            self.machines[instance] = replace(self.machines[instance], state="running", launched=self.now)
        self.most = max(self.most, len(self.running()))
        self._called(before=False)
        return self.machines[instance]

    def stop(self, instance: str) -> Instance:
        """Stop one."""
        self._called(before=True)
        if instance not in self.machines:
            raise NotFound(instance)
        self.machines[instance] = replace(self.machines[instance], state="stopped")
        self._called(before=False)
        return self.machines[instance]

    def resize(self, instance: str, machine: str) -> Instance:
        """Not asked for."""
        raise NotImplementedError


@dataclass
class Warned(Cloud):
    """A cloud where spot of the type m1 ends after `until` minutes for good, of which there are two minutes of notice."""

    until: float = 1e9

    @property
    def end(self) -> datetime:
        """When it ends."""
        return BEGAN + timedelta(minutes=self.until)

    def has(self, machine: str) -> bool:
        """With notice there is none to be had."""
        return super().has(machine) and (machine != "m1" or self.now < self.end)

    def request(self, request: MachineRequest) -> Instance:
        """Refuse spot that would be taken away at once."""
        if request.spot and request.machine == "m1" and self.now >= self.end - timedelta(minutes=2):
            raise QuotaExceeded("no spot is to be had")
        return super().request(request)

    def notices(self, instances: Sequence[str]) -> Mapping[str, datetime]:
        """As EC2 gives it."""
        if self.now < self.end - timedelta(minutes=2):
            return {}
        return {one.id: self.end for one in self.running() if one.spot and one.machine == "m1" and one.id in instances}
