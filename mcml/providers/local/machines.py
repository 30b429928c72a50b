"""What a machine is when the machine is a process: types with CPUs and memory, their price, and the limits a process gets.

Enforced by the kernel: a process and its children run on as many CPUs as the type has (affinity), and each of them can hold no more
private memory than the type has (RLIMIT_DATA). That limit is per process: one for all together needs control groups, and those root.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from mcml.core.errors import InvalidRequest, QuotaExceeded, did_you_mean
from mcml.providers.api.instances import Architecture
from mcml.providers.local.settings import Price

GIB = 1 << 30
_ARCHITECTURES: Mapping[str, Architecture] = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


@dataclass(frozen=True)
class Machine:
    """A machine type."""

    name: str
    vcpus: int
    memory_gib: int


CATALOGUE: Mapping[str, Machine] = {
    f"local-{vcpus}x{gib}": Machine(f"local-{vcpus}x{gib}", vcpus, gib)
    for vcpus, gib in ((1, 1), (1, 2), (1, 4), (2, 2), (2, 4), (2, 8), (4, 8), (4, 16), (8, 16), (8, 32), (16, 64), (32, 128))
}


def machine_named(name: str) -> Machine:
    """Return a machine type. Raises InvalidRequest with the nearest name."""
    if name not in CATALOGUE:
        raise InvalidRequest(f"no machine type named {name!r}", why=did_you_mean(name, CATALOGUE))
    return CATALOGUE[name]


def on_demand_price(machine: Machine, price: Price) -> Decimal:
    """Return what an hour costs: CPUs x price of a CPU + GiB x price of a GiB."""
    return machine.vcpus * price.vcpu_hour + machine.memory_gib * price.gib_hour


def spot_price(machine: Machine, price: Price, discount: Decimal) -> Decimal:
    """Return what an hour costs on the spot market: the on-demand price less the discount (0 to 1)."""
    return on_demand_price(machine, price) * (1 - discount)


def architecture() -> Architecture:
    """Return the instruction set of this machine; empty for one that has no name here."""
    return _ARCHITECTURES.get(os.uname().machine.lower(), "")  # platform.uname() may start a process


def available_cpus() -> list[int]:
    """Return the CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0))


def choose_cpus(available: Sequence[int], busy: Iterable[int], count: int) -> list[int]:
    """Return the `count` CPUs that the fewest others use (`busy` names a CPU once for each user), lowest number first among equals."""
    users = Counter(busy)
    return sorted(sorted(available, key=lambda cpu: (users[cpu], cpu))[:count])


def check_fits(what: str, vcpus: int, memory_bytes: int) -> None:
    """Raise QuotaExceeded when this machine has fewer CPUs or less memory than that in all."""
    import psutil

    cpus, memory = len(available_cpus()), psutil.virtual_memory().total
    if vcpus > cpus:
        raise QuotaExceeded(f"{what} does not fit on this machine", why=f"it wants {vcpus} CPUs, there are {cpus}")
    if memory_bytes > memory:
        why = f"it wants {memory_bytes / GIB:.1f} GiB of memory, there are {memory / GIB:.1f}"
        raise QuotaExceeded(f"{what} does not fit on this machine", why=why)


def parse_resources(resources: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return (CPUs, bytes of memory) of `{"cpu": "2", "memory": "4Gi"}` as Kubernetes writes them; parts of a CPU are rounded up.

    Raises InvalidRequest for another resource (this machine lends no other) and for text that is no quantity.
    """
    other = sorted(set(resources) - {"cpu", "memory"})
    if other:
        raise InvalidRequest(f"this machine lends no {other[0]!r}", why="a job may ask for cpu and memory")
    cpu = _quantity(resources["cpu"], "cpu") if "cpu" in resources else None
    memory = _quantity(resources["memory"], "memory") if "memory" in resources else None
    return (None if cpu is None else math.ceil(cpu)), (None if memory is None else int(memory))


def _quantity(text: str, what: str) -> Decimal:
    found = re.fullmatch(r"([0-9.]+)(m|[kMGT]|[KMGT]i)?", text)
    try:
        number = Decimal(found[1]) if found else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    if found is None or number <= 0:
        raise InvalidRequest(f"{text!r} is no amount of {what}", why='write it as "2", "500m", "512Mi" or "4Gi"')
    unit = found[2] or ""
    return number / 1000 if unit == "m" else number * _UNITS[unit]
