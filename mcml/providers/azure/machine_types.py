"""What a virtual machine size has, from its name and its Resource SKU.

https://learn.microsoft.com/rest/api/compute/resource-skus/list tells vCPUs, memory, the instruction set and a count of GPUs, and neither
their model nor their memory; of a size with a part of a GPU it says one. Those are from the tables "Accelerators" of the pages below
https://learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/ (nvadsa10v5-series and so on) and .../fpga-accelerated/, which
write GB and mean GiB. An accelerator that is no GPU counts as one under its own name: a machine that looked as if it had none would be
exchanged for one without. The bandwidth of a network is on those pages alone, size by size: unknown here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from mcml.providers.api.instances import Architecture

_ARCHITECTURES: Mapping[str, Architecture] = {"x64": "x86_64", "arm64": "arm64"}
_NAME = re.compile(r"Standard_[A-Z]+\d+(?:-\d+)?(?P<features>[a-z]*)(?P<rest>(?:_\w+)?)")
_SERIES: tuple[tuple[re.Pattern[str], str, int], ...] = tuple(
    (re.compile(f"Standard_{sizes}"), model, gib)
    for sizes, model, gib in (
        (r"NC\d+as_T4_v3", "Nvidia Tesla T4", 16),
        (r"NC\d+r?s_v3", "Nvidia Tesla V100", 16),
        (r"NC\d+ads_A100_v4", "Nvidia PCIe A100", 80),
        (r"NC\d+adi?s_H100_v5", "Nvidia PCIe H100", 94),
        (r"NCC\d+ads_H100_v5", "Nvidia H100", 94),
        (r"NC\d+l?ds_xl_RTXPRO6000BSE_v6", "Nvidia RTX PRO 6000 Blackwell Server Edition", 96),
        (r"ND40rs_v2", "Nvidia Tesla V100", 32),
        (r"ND96asr_v4", "Nvidia A100", 40),
        (r"ND96amsr_A100_v4", "Nvidia A100", 80),
        (r"ND96isr_H100_v5", "Nvidia H100", 80),
        (r"ND96isr_H200_v5", "Nvidia H200", 141),
        (r"ND96isr_MI300X_v5", "AMD Instinct MI300X", 192),
        (r"ND128isr_NDR_GB200_v6", "Nvidia Blackwell", 192),
        (r"NV\d+s_v3", "Nvidia Tesla M60", 8),
        (r"NV\d+as_v4", "AMD Instinct MI25", 16),
        (r"NV\d+adm?s_A10_v5", "Nvidia A10", 24),
        (r"NV\d+adm?s_V710_v5", "AMD Radeon Pro V710", 24),
        (r"NG\d+adm?s_V620_v1", "AMD Radeon PRO V620", 32),
        (r"NP\d+s", "Xilinx U250", 64),
        (r"NM16ads_MA35D", "AMD Alveo MA35D", 8),
    )
)
_COUNTS: Mapping[str, Fraction] = {
    f"Standard_{size}": Fraction(count)
    for count, sizes in {
        "1/8": "NV4as_v4",
        "1/6": "NV6ads_A10_v5 NV4ads_V710_v5",
        "1/4": "NV8as_v4 NG8ads_V620_v1 NC24lds_xl_RTXPRO6000BSE_v6 NC36lds_xl_RTXPRO6000BSE_v6 NC36ds_xl_RTXPRO6000BSE_v6",
        "1/3": "NV12ads_A10_v5 NV8ads_V710_v5",
        "1/2": "NV16as_v4 NV18ads_A10_v5 NV12ads_V710_v5 NG16ads_V620_v1 NC72lds_xl_RTXPRO6000BSE_v6 NC72ds_xl_RTXPRO6000BSE_v6",
        "1": "NP10s NM16ads_MA35D",
        "2": "NP20s",
        "4": "NP40s",
    }.items()
    for size in sizes.split()
}
"""Of sizes with parts of a GPU, and of those whose accelerators are no GPUs to the Resource SKUs."""
_OF_UNKNOWN_PARTS = re.compile(r"Standard_NC(8|16|32|64)l?ds_xl_RTXPRO6000BSE_v6")
"""Sizes of a series with parts of a GPU that no page tells the part of."""


_LOCAL_DISKS = ("MaxResourceVolumeMB", "NvmeDiskSizeInMiB")
"""MiB of the temporary disk, and of NVMe disks in the host."""


@dataclass(frozen=True)
class MachineType:
    """Its share of a MachinePrice, in the units of that."""

    vcpus: Decimal
    memory_gib: Decimal
    architecture: Architecture
    gpus: Decimal
    gpu: str
    gpu_memory_gib: Decimal | None
    burstable: bool
    local_disk_gb: Decimal


def machine_type_of(name: str, has: Mapping[str, str]) -> MachineType:
    """Return what a size has, from the capabilities of its Resource SKU. Of one with constrained vCPUs only those that it may use count."""
    count = _COUNTS.get(name, Fraction(has.get("GPUs") or "0"))
    model, gib = next(((model, gib) for sizes, model, gib in _SERIES if count and sizes.fullmatch(name)), ("", None))
    known = gib is not None and not _OF_UNKNOWN_PARTS.fullmatch(name)
    return MachineType(
        Decimal(has.get("vCPUsAvailable") or has.get("vCPUs", "0")),
        Decimal(has.get("MemoryGB", "0")),
        _ARCHITECTURES.get(has.get("CpuArchitectureType", "").lower(), ""),
        _decimal(count),
        model,
        Decimal(int(count * gib)) if gib is not None and known else None,
        is_burstable(name),
        Decimal(sum(int(has.get(disk) or 0) for disk in _LOCAL_DISKS) * 2**20) / 10**9,
    )


def _decimal(count: Fraction) -> Decimal:
    """Return a count with at most four decimals."""
    return Decimal(count.numerator) if count.denominator == 1 else round(Decimal(count.numerator) / count.denominator, 4).normalize()


def is_burstable(name: str) -> bool:
    """Tell whether a size earns and spends CPU credits: the B family. https://learn.microsoft.com/azure/virtual-machines/sizes/b-family"""
    return re.match(r"Standard_B\d", name) is not None


def architecture_of(name: str) -> Architecture:
    """Return the instruction set of a size from its name; empty for a name of another form.

    https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions: the feature "p" is ARM. Grace, the CPU beside a GB200 or
    GB300, is too, and its sizes do not say so.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return ""
    return "arm64" if "p" in found["features"] or re.search(r"_GB\d+_", found["rest"]) else "x86_64"
