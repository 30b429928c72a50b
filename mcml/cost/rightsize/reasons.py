"""Why a machine should have another type, or stay as it is, in codes and sentences with numbers. Pure.

The codes are the finding reasons of Compute Optimizer where it has one (CPUOverprovisioned, MemoryUnderprovisioned, ...:
https://docs.aws.amazon.com/compute-optimizer/latest/APIReference/API_InstanceRecommendation.html).
"""

from collections.abc import Mapping, Sequence

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.fit import architecture, capacity, fits
from mcml.cost.rightsize.values import Fit, Need, Reason, Subject
from mcml.providers.api.instances import MachinePrice
from mcml.providers.api.metrics import MachineMetric

CODES: Mapping[MachineMetric, str] = {
    "machine.cpu": "CPU",
    "machine.memory": "Memory",
    "machine.gpu": "GPU",
    "machine.gpu_memory": "GPUMemory",
    "machine.disk": "Disk",
    "machine.network": "NetworkBandwidth",
}
NAMES: Mapping[MachineMetric, str] = {
    "machine.cpu": "CPU",
    "machine.memory": "memory",
    "machine.gpu": "GPU",
    "machine.gpu_memory": "GPU memory",
    "machine.disk": "disk",
    "machine.network": "network",
}
PEAKS: tuple[MachineMetric, ...] = ("machine.memory", "machine.gpu_memory", "machine.disk")
"""What is held, not used for a while: of these the highest sample counts, not a percentile."""


def changed(subject: Subject, needs: Mapping[MachineMetric, Need], proposed: MachinePrice, settings: Rightsizing) -> list[Reason]:
    """Say why a type that fits is too large: each measure that the proposed one has less of, another architecture, else the price alone."""
    present = subject.type
    found = []
    for fit in fits(present, needs, present):
        less = capacity(fit.measure, proposed)
        if fit.measured and fit.has is not None and less is not None and less < fit.has:
            found.append(Reason(f"{CODES[fit.measure]}Overprovisioned", _needs(fit, settings)))
    if proposed.architecture != architecture(subject):
        said = f"{proposed.machine} is {proposed.architecture}: its image must run there"
        found.append(Reason("MigrateArchitecture", said))
    return found or [Reason("CheaperType", f"{proposed.machine} has what is needed and costs less than {present.machine}")]


def too_small(misfits: Sequence[Fit], needs: Mapping[MachineMetric, Need], settings: Rightsizing) -> list[Reason]:
    """Say which measures the present type is too small for; of one that hit the ceiling the true need is not known."""
    found = []
    for fit in misfits:
        said = _needs(fit, settings)
        if needs[fit.measure].pinned:
            said = f"{NAMES[fit.measure]} was at its limit, so what is needed is not known: at least one size up"
        found.append(Reason(f"{CODES[fit.measure]}Underprovisioned", said))
    return found


def unmeasured(certificate: Sequence[Fit], needs: Mapping[MachineMetric, Need]) -> list[Reason]:
    """Say which measures are unknown, and what follows."""
    found = []
    for fit in certificate:
        if not fit.measured:
            said = f"{NAMES[fit.measure]} is not measured, so nothing with less than {number(fit.needed)} {fit.unit} is proposed"
            found.append(Reason(f"{CODES[fit.measure]}Unknown", said))
    if "machine.network" in needs and all(fit.measure != "machine.network" for fit in certificate):
        found.append(Reason("BandwidthUnknown", "the provider tells no network bandwidth of these types: it was not compared"))
    return found


def burstable(subject: Subject) -> list[Reason]:
    """Say that the present type holds CPU back when its credits are gone."""
    said = f"{subject.type.machine} is burstable: what CPU it would have used without being held back is not known"
    return [Reason("BurstableNow", said)] if subject.type.burstable else []


def disk(needs: Mapping[MachineMetric, Need]) -> list[Reason]:
    """Say that a file system is short of room: a type does not change that."""
    need = needs.get("machine.disk")
    if need is None or need.needed <= 1:
        return []
    return [Reason("DiskUnderprovisioned", f"its fullest file system was {need.highest:.0%} full: another type does not change that")]


def idle_gpu(subject: Subject, needs: Mapping[MachineMetric, Need]) -> list[Reason]:
    """Say that GPUs were never used: a type without any is another model, which is not proposed unasked."""
    need = needs.get("machine.gpu")
    if not subject.type.gpus or need is None or need.highest > 0:
        return []
    return [Reason("GPUIdle", "no GPU of it was ever used: name types without one in [cost.rightsizing] machines to have them proposed")]


def misfit(fit: Fit) -> str:
    """Say why a type does not fit."""
    has = "an unknown amount" if fit.has is None else f"{number(fit.has)} {fit.unit}"
    if fit.has is not None and fit.needed <= fit.has:
        return f"{NAMES[fit.measure]}: the highest sample was {number(fit.highest)} {fit.unit}, it has {has}"
    unknown = "" if fit.measured else " (not measured)"
    return f"{NAMES[fit.measure]}: {number(fit.needed)} {fit.unit} are needed{unknown}, it has {has}"


def number(amount: float) -> str:
    """Write an amount of a measure: three digits, no exponent."""
    if 0 < abs(amount) < 0.01:
        return "<0.01"
    return f"{amount:,.0f}" if abs(amount) >= 100 else f"{amount:.3g}"


def _needs(fit: Fit, settings: Rightsizing) -> str:
    held = fit.measure in PEAKS
    used = f"highest {number(fit.highest)}" if held else f"P{settings.percentile:g} {number(fit.used)}, highest {number(fit.highest)}"
    has = number(fit.has or 0.0)
    return f"{NAMES[fit.measure]}: {number(fit.needed)} of {has} {fit.unit} are needed ({used}; {settings.headroom:g} % headroom)"
