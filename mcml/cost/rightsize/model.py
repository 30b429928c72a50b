"""What a model should be given on a target: a pure function of what its replicas have and what they use.

CPU: the percentile of the averages of all steps, with the headroom on top, in whole steps of its place; one that uses all it has gets
more, as nobody knows what it would use. Memory: the highest sample with the headroom on top, in steps of 64 MiB; unknown memory is never
made less. Averages are over all replicas, the highest sample is that of the busiest, so the advice is for each of them: it changes neither
their number nor their GPUs. A place that starts more replicas when they use a share of their CPU would do so at once if they had less:
there CPU is not made less (https://github.com/robusta-dev/krr/pull/80).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from mcml.core.price import STALE_AFTER
from mcml.core.schema_cost import Rightsizing
from mcml.core.sizes import size_text
from mcml.core.when import duration, span
from mcml.cost.rightsize.judge import percentile
from mcml.cost.rightsize.saving import HOURS
from mcml.cost.rightsize.values import Action, Reason, Step
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_size import ReplicaSize
from mcml.store.ledger.exact import product, tidy, total

GIB = 1 << 30
MEMORY_STEP = Decimal("0.0625")
"""64 MiB, in GiB."""
MIB = 1024
PINNED = 0.95
"""Above this share of its CPU, a replica may want more than it gets: so nothing smaller is proposed either."""
NOISE = 1e-9
"""What is less is no difference between measured numbers."""


@dataclass(frozen=True)
class Running:
    """The version of a model that serves on a target: its `resources` in mcml.toml, and what they give each replica."""

    model: str
    target: str
    provider: str
    region: str
    version: str = ""
    resources: Mapping[str, str] = field(default_factory=dict)
    size: ReplicaSize = field(default_factory=ReplicaSize)

    @property
    def key(self) -> str:
        """MODEL@TARGET: what people name it by."""
        return f"{self.model}@{self.target}"


@dataclass(frozen=True)
class ReplicaUse:
    """What replicas used from the first sample in the window to its end: cores, and bytes of memory. A step without a sample is not there;
    a measure without any is unknown."""

    start: datetime
    end: datetime
    step: timedelta
    cpu: tuple[Step, ...] = ()
    memory: tuple[Step, ...] = ()

    @property
    def coverage(self) -> float:
        """How many percent of the steps have a sample of CPU."""
        return 100 * len(self.cpu) / max(-((self.start - self.end) // self.step), 1)


@dataclass(frozen=True)
class Advice:
    """What a model should be given: `vcpus` and `memory_gib` where they should change (those of the `machine` where it should have another
    one), and all `resources` as mcml.toml should say them.

    `saving` is per month of 730 hours of all its replicas by the price list, negative when it costs more; None where it is not known, and
    `unsaid` says why. `price` is that of an hour of the `machine`, as its place sells it to endpoints.
    """

    running: Running
    action: Action
    reasons: tuple[Reason, ...]
    use: ReplicaUse | None = None
    vcpus: Decimal | None = None
    memory_gib: Decimal | None = None
    machine: str = ""
    saving: Decimal | None = None
    currency: str = ""
    unsaid: str = ""
    price: UnitPrice | None = None

    @property
    def changes(self) -> bool:
        """Whether something should change."""
        return self.action in ("shrink", "grow", "change")

    @property
    def resources(self) -> dict[str, str]:
        """What mcml.toml should give it on that target."""
        if self.machine:
            return {**self.running.resources, "machine": self.machine}
        cpu = {"cpu": f"{self.vcpus:f}"} if self.vcpus is not None else {}
        memory = {"memory": f"{product(self.memory_gib, MIB):.0f}Mi"} if self.memory_gib is not None else {}
        return {**self.running.resources, **cpu, **memory}


def unknown(running: Running, code: str, why: str, use: ReplicaUse | None = None) -> Advice:
    """Return that nothing can be said, and why."""
    return Advice(running, "unknown", (Reason(code, why),), use)


def advise(running: Running, use: ReplicaUse, rules: Rightsizing, prices: Sequence[UnitPrice | None], now: datetime) -> Advice:
    """Return what a model should be given. `prices` are those of an hour of a vCPU and of a GiB where it runs, None where not known."""
    if running.size.vcpus is None:
        return unknown(running, "SizeUnknown", "its provider does not tell how much CPU a replica has", use)
    if few := too_few(use, rules):
        return unknown(running, "TooFewSamples", few, use)
    vcpus, cpu_reasons = _vcpus(running.size, running.size.vcpus, use, rules)
    memory, memory_reasons = _memory(running.size, use, rules)
    action = _action((running.size.vcpus, vcpus), (running.size.memory_gib, memory))
    reasons = (*cpu_reasons, *memory_reasons)
    if action == "keep":
        return Advice(running, "keep", reasons or (Reason("Optimized", "what it is given fits what it uses"),), use)
    saving, currency, unsaid = _saving(running.size, vcpus, memory, prices, now)
    return Advice(running, action, reasons, use, vcpus, memory, "", saving, currency, unsaid)


def too_few(use: ReplicaUse, rules: Rightsizing) -> str:
    """Return why there are too few samples to say anything; empty when there are enough."""
    if not use.cpu:
        return "no use of its CPU was measured"
    measured = use.end - use.start
    if measured < duration(rules.minimum):
        return f"this version was measured for {span(measured.total_seconds())}, and at least {rules.minimum} are wanted"
    if use.coverage < rules.coverage:
        return f"only {use.coverage:.0f} % of the time has a sample, and {rules.coverage:g} % are wanted"
    return ""


def used_cpu(use: ReplicaUse, rules: Rightsizing) -> float:
    """Return what counts of the CPU that was used, in cores."""
    return percentile([each.average for each in use.cpu], rules.percentile)


def highest(steps: Iterable[Step]) -> float | None:
    """Return the highest sample; None without any."""
    return max((each.highest for each in steps), default=None)


def _vcpus(size: ReplicaSize, has: Decimal, use: ReplicaUse, rules: Rightsizing) -> tuple[Decimal | None, tuple[Reason, ...]]:
    used = used_cpu(use, rules)
    wanted = max(_up(used * max(1 + rules.headroom / 100, 1 / PINNED), size.step), size.step)
    told = f"{rules.percentile:g} % of the time each replica uses up to {used:.2f} of {has:f} vCPU"
    if used > PINNED * float(has) + NOISE:
        more = max(wanted, _up(float(has) + 2 * NOISE, size.step))
        return more, (Reason("CPUUnderprovisioned", f"{told}: that is all it has, and it may want more than {more:f}"),)
    if wanted > has:
        return wanted, (Reason("CPUUnderprovisioned", f"{told}, too close to what it has"),)
    if float(has - wanted) * 100 < rules.saving * float(has) or wanted == has:
        return None, ()
    if size.scales_at is not None and size.most_replicas > size.replicas:
        return None, (Reason("ScalesOnCPU", _scaled(size.scales_at, has, wanted, told)),)
    return wanted, (Reason("CPUOverprovisioned", told),)


def _scaled(at: int, has: Decimal, wanted: Decimal, told: str) -> str:
    other = math.ceil(at * has / wanted)
    how = f"raise that to {other} % with it" if other <= 100 else "no share up to 100 % would keep their number: start with fewer replicas"
    return f"{told}; but more replicas start when {at} % of it are used, so with {wanted:f} vCPU there would be more of them: {how}"


def _memory(size: ReplicaSize, use: ReplicaUse, rules: Rightsizing) -> tuple[Decimal | None, tuple[Reason, ...]]:
    has, most = size.memory_gib, highest(use.memory)
    if has is None:
        return None, ()
    if most is None:
        return None, (Reason("MemoryUnknown", "no use of its memory was measured: it is not made less"),)
    wanted = max(_up(most / GIB * (1 + rules.headroom / 100), MEMORY_STEP), MEMORY_STEP)
    told = f"a replica used up to {size_text(most)} of {size_text(float(has) * GIB)}"
    if wanted > has:
        return wanted, (Reason("MemoryUnderprovisioned", told),)
    if float(has - wanted) * 100 < rules.saving * float(has) or wanted == has:
        return None, ()
    return wanted, (Reason("MemoryOverprovisioned", told),)


def _up(amount: float, step: Decimal) -> Decimal:
    """Round up to whole steps; noise makes none: 0.8 x 1.25 is one step of 1."""
    steps = (Decimal(f"{amount:.9f}") / step).to_integral_value(ROUND_CEILING)
    return tidy(product(steps, step))


def _action(*changes: tuple[Decimal | None, Decimal | None]) -> Action:
    changed = [(has, wanted) for has, wanted in changes if has is not None and wanted is not None]
    if not changed:
        return "keep"
    return "grow" if any(wanted > has for has, wanted in changed) else "shrink"


def _saving(
    size: ReplicaSize, vcpus: Decimal | None, memory: Decimal | None, prices: Sequence[UnitPrice | None], now: datetime
) -> tuple[Decimal | None, str, str]:
    """Return what is saved in a month and in which currency, or why that cannot be said."""
    if size.by_use:
        return None, "", "it is paid by what it uses, however much it is given"
    less = (_less(size.vcpus, vcpus), _less(size.memory_gib, memory))
    return monthly(less, prices, size.replicas, now, "no price of a vCPU and a GiB by the hour is known there")


def monthly(
    less: Sequence[Decimal], prices: Sequence[UnitPrice | None], replicas: int, now: datetime, unknown: str
) -> tuple[Decimal | None, str, str]:
    """Return what it saves in a month to have so much `less` of what has these prices by the hour, in which currency, or why that is not
    said: some price is `unknown`, or too old."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices) or len({price.currency for price in known}) != 1:
        return None, "", unknown
    if now - min(price.as_of for price in known) > STALE_AFTER:
        return None, "", "the prices are too old to say what is saved: see mcml cost prices"
    hour = total(product(price.price, amount) for price, amount in zip(known, less, strict=True))
    return tidy(product(hour, HOURS * replicas)), known[0].currency, ""


def _less(has: Decimal | None, wanted: Decimal | None) -> Decimal:
    return has - wanted if has is not None and wanted is not None else Decimal(0)
