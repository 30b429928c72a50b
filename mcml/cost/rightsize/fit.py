"""Which types a machine may have, and how what it needs fits them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fnmatch import fnmatchcase

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.values import Fit, Need, Reason, Subject
from mcml.providers.api.instances import Architecture, MachinePrice
from mcml.providers.api.metrics import MachineMetric

EVERY = "*"
BITS = 8 / 1e9
"""Bytes a second x this are gigabits a second."""
UNITS: Mapping[MachineMetric, str] = {
    "machine.cpu": "vCPU",
    "machine.memory": "GiB",
    "machine.gpu": "GPU",
    "machine.gpu_memory": "GiB",
    "machine.network": "Gbit/s",
}
"""What types are measured in; the file system is no part of a type."""


def capacity(measure: MachineMetric, type: MachinePrice) -> float | None:
    """Return what a type has of a measure, in UNITS; None where its provider does not tell."""
    told: Mapping[MachineMetric, Decimal | None] = {
        "machine.cpu": type.vcpus,
        "machine.memory": type.memory_gib,
        "machine.gpu": type.gpus,
        "machine.gpu_memory": type.gpu_memory_gib if type.gpus else Decimal(0),
        "machine.network": type.network_gbps,
    }
    found = told[measure]
    return None if found is None else float(found)


def fits(present: MachinePrice, needs: Mapping[MachineMetric, Need], type: MachinePrice) -> tuple[Fit, ...]:
    """Return how each measure of a machine that has the type `present` fits another: the certificate, in the order of UNITS.

    GPUs are left out for a machine without any, and the network where the provider tells no bandwidth of either type.
    """
    measures = [measure for measure in UNITS if present.gpus or not measure.startswith("machine.gpu")]
    found = (_fit(measure, present, needs.get(measure), type) for measure in measures)
    return tuple(fit for fit in found if fit is not None)


def _fit(measure: MachineMetric, present: MachinePrice, need: Need | None, type: MachinePrice) -> Fit | None:
    mine, has, unit = capacity(measure, present), capacity(measure, type), UNITS[measure]
    if measure == "machine.gpu_memory" and None in (mine, has) and same_gpu(present, type):
        mine, has, unit = float(present.gpus), float(type.gpus), "GPU"  # each of one model has the same memory
    if need is None:
        if mine is None and measure == "machine.gpu_memory":  # of another model, whatever it has may be less
            return Fit(measure, 0.0, 0.0, None, unit, measured=False)
        return None if mine is None else Fit(measure, mine, mine, has, unit, mine, measured=False)
    if measure == "machine.network":
        if mine is None:
            return None if has is None else _scaled(need, BITS, has, unit)
        fit = _scaled(need, BITS, has, unit)
        return replace(fit, highest=min(fit.highest, mine))  # what it gave beyond its bandwidth was borrowed: as much is wanted, not more
    if mine is None:
        return Fit(measure, 0.0, 0.0, None, unit)
    fit = _scaled(need, mine, has, unit)
    return replace(fit, needed=max(fit.needed, mine + 1)) if need.pinned else fit


def _scaled(need: Need, whole: float, has: float | None, unit: str) -> Fit:
    return Fit(need.measure, _round(need.needed * whole), _round(need.highest * whole), has, unit, _round(need.used * whole))


def _round(amount: float) -> float:
    """Drop the last digits of a float: 0.1 x 1.25 x 16 must fit where 2 does."""
    return round(amount, 9)


def same_gpu(one: MachinePrice, other: MachinePrice) -> bool:
    """Tell whether two types have GPUs of one model."""
    return one.gpu.casefold() == other.gpu.casefold() and bool(one.gpus) == bool(other.gpus)


def architecture(subject: Subject) -> Architecture:
    """Return the instruction set that a machine's image runs on; empty where nobody tells."""
    return subject.instance.architecture or subject.type.architecture


def candidates(present: MachinePrice, catalogue: Iterable[MachinePrice], settings: Rightsizing) -> list[MachinePrice]:
    """Return the other types that the settings name, priced on demand in the same region and currency, cheapest first, then by name."""
    found = [
        type
        for type in catalogue
        if type.on_demand is not None
        and type.machine != present.machine
        and (type.currency, type.region) == (present.currency, present.region)
        and any(fnmatchcase(type.machine, pattern) for pattern in settings.machines)
    ]
    return sorted(found, key=lambda type: (type.on_demand or Decimal(0), type.machine))


def newly_required(subject: Subject, type: MachinePrice) -> list[str]:
    """Return the drivers that a type needs and the present one does not: one that runs where they are needed has them."""
    return [name for name in type.requires if name not in subject.type.requires]


def barred(subject: Subject, type: MachinePrice, settings: Rightsizing) -> Reason | None:
    """Return why a type is not proposed though the settings name it: another architecture or GPU model, or CPU that does not last.

    GPUs of another model, and types whose CPU does not last, are proposed where a pattern other than "*" names them.
    """
    runs_on = architecture(subject)
    if type.architecture != runs_on and (not type.architecture or type.architecture not in settings.architectures):
        how = f'allow it with [cost.rightsizing] architectures = ["{type.architecture}"], if its image runs there'
        return Reason("ArchitectureNotAllowed", f"it is {type.architecture or 'unknown'}, not {runs_on or 'unknown'}: {how}")
    if missing := [name for name in newly_required(subject, type) if name in subject.instance.lacks]:
        return Reason("DriverMissing", f"it needs the driver {' and '.join(missing)}, which its provider says this machine does not have")
    if any(pattern != EVERY and fnmatchcase(type.machine, pattern) for pattern in settings.machines):
        return None
    how = "allow it by a pattern in [cost.rightsizing] machines"
    mine, has = subject.type.local_disk_gb, type.local_disk_gb
    if mine is not None and has is not None and (bool(mine) != bool(has) or has < mine):
        return Reason("LocalDiskDiffers", f"it has {has:.0f} GB of local disks, not {mine:.0f}: {how}")
    if not same_gpu(subject.type, type):
        return Reason("GPUModelDiffers", f"its GPU is {type.gpu or 'none'}, not {subject.type.gpu or 'none'}: {how}")
    if type.burstable:
        return Reason("BurstableNotProposed", f"it is burstable, and how much CPU it has in the long run is not known: {how}")
    return None
