"""What a machine type of Compute Engine has, beside vCPUs and memory: from the API where it tells, else from Google's tables.

The API tells the architecture, a shared core, and the GPUs that belong to the type. How much memory a GPU has is documented only
(https://cloud.google.com/compute/docs/gpus, https://cloud.google.com/compute/docs/accelerator-optimized-machines), and so is the bandwidth:
"default" or "maximum egress bandwidth" in https://cloud.google.com/compute/docs/general-purpose-machines and
https://cloud.google.com/compute/docs/compute-optimized-machines. What those pages do not say is None.

GPUs that are attached to an N1 machine belong to the machine and not to its type: of those types there are none here. A TPU counts as a GPU
under its own name, its memory is not told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mcml.providers.api.instances import Architecture

GPU_MEMORY_GIB = {
    "nvidia-l4": 24,
    "nvidia-tesla-a100": 40,
    "nvidia-a100-80gb": 80,
    "nvidia-h100-80gb": 80,
    "nvidia-h100-mega-80gb": 80,
    "nvidia-h200-141gb": 141,
    "nvidia-rtx-pro-6000": 96,
}
"""Of one GPU. Google writes GB, as NVIDIA does of memory that is counted in GiB."""
RTX_PRO_6000 = "nvidia-rtx-pro-6000"
GPU_PARTS = {"g4-standard-6": Decimal("0.125"), "g4-standard-12": Decimal("0.25"), "g4-standard-24": Decimal("0.5")}
"""The types that have a part of a GPU."""
EGRESS_GBPS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "e2": ((2, 4), (4, 8), (8, 16)),
    "n1": ((1, 2), (2, 10), (8, 16), (16, 32)),
    "n2": ((2, 10), (8, 16), (16, 32)),
    "n2d": ((2, 10), (8, 16), (16, 32)),
    "n4": ((2, 10), (8, 16), (16, 32), (64, 45), (80, 50)),
    "n4a": ((1, 10), (8, 16), (16, 32), (64, 50)),
    "n4d": ((2, 10), (8, 16), (16, 32), (64, 45), (80, 50)),
    "t2a": ((1, 10), (8, 16), (16, 32)),
    "t2d": ((1, 10), (8, 16), (16, 32)),
    "c2": ((4, 10), (8, 16), (16, 32)),
    "c2d": ((2, 10), (8, 16), (16, 32)),
    "c3": ((4, 23), (44, 32), (88, 62), (176, 100)),
    "c3d": ((4, 20), (60, 40), (90, 60), (180, 100)),
    "c4": ((2, 10), (4, 23), (48, 34), (96, 67), (144, 100)),
    "c4a": ((1, 10), (4, 23), (48, 34), (64, 45), (72, 50)),
    "c4d": ((2, 10), (4, 20), (32, 23), (48, 34), (64, 45), (96, 67), (192, 100)),
    "h3": ((88, 200),),
    "h4d": ((192, 200),),
    "a2": ((12, 24), (24, 32), (48, 50), (96, 100)),
    "g2": ((4, 10), (8, 16), (16, 32), (48, 50), (96, 100)),
    "g4": ((6, 20), (48, 50), (96, 100), (192, 200), (384, 400)),
}
"""By series: from so many vCPUs on, so many Gbit/s at most (N1: on Skylake or later). A custom type counts as the predefined one below."""
LOCAL_SSD_GB = Decimal(375 * 2**30) / 10**9
"""A partition: https://cloud.google.com/compute/docs/disks/local-ssd."""
EGRESS_OF_TYPES = {
    "e2-micro": 1,
    "e2-small": 1,
    "e2-medium": 2,
    "f1-micro": 1,
    "g1-small": 1,
    "a3-highgpu-1g": 25,
    "a3-highgpu-2g": 50,
    "a3-highgpu-4g": 100,
}
"""Those of which the number of vCPUs says nothing. Larger A3 types have network cards that only their GPUs use: None."""
_ARCHITECTURES: Mapping[str, Architecture] = {"X86_64": "x86_64", "ARM64": "arm64"}


@dataclass(frozen=True)
class Traits:
    """Its share of a MachinePrice, in the units of that; `network_gbps` is what it can send."""

    architecture: Architecture = ""
    gpus: Decimal = Decimal(0)
    gpu: str = ""
    gpu_memory_gib: Decimal | None = None
    network_gbps: Decimal | None = None
    burstable: bool = False
    local_disk_gb: Decimal | None = None


def traits_of(machine: Any) -> Traits:
    """Return what a machine type (an object of the SDK) has."""
    gpus, gpu = _gpus(machine)
    each = GPU_MEMORY_GIB.get(gpu.removesuffix("-vws"))
    return Traits(
        architecture_of(machine.architecture),
        gpus,
        gpu,
        gpus * each if gpus and each else None,
        _egress(machine.name, machine.guest_cpus),
        bool(machine.is_shared_cpu),
        machine.bundled_local_ssds.partition_count * LOCAL_SSD_GB,
    )


def is_n1(name: str) -> bool:
    """Tell whether a type is one of N1, to whose machines GPUs can be attached; the oldest custom types have no series in their name."""
    return name.startswith(("n1-", "custom-"))


def architecture_of(told: str) -> Architecture:
    """Return ours for Google's; none for one that is not told."""
    return _ARCHITECTURES.get(told, "")


def _gpus(machine: Any) -> tuple[Decimal, str]:
    if machine.name in GPU_PARTS:
        return GPU_PARTS[machine.name], RTX_PRO_6000
    names = dict.fromkeys(one.guest_accelerator_type for one in machine.accelerators)
    return Decimal(sum(one.guest_accelerator_count for one in machine.accelerators)), " + ".join(names)


def _egress(name: str, vcpus: int) -> Decimal | None:
    series = "n1" if is_n1(name) else name.partition("-")[0]
    sizes = [gbps for least, gbps in EGRESS_GBPS.get(series, ()) if least <= vcpus]
    known = EGRESS_OF_TYPES.get(name, sizes[-1] if sizes else None)
    return None if known is None else Decimal(known)
