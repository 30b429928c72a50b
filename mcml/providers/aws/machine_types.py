"""What a machine type of EC2 has, from DescribeInstanceTypes.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceTypeInfo.html

An accelerator that is no GPU (Inferentia, Trainium, AI100, an FPGA, a media card) counts as one under its own name: a machine that looked
as if it had none would be exchanged for one without.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mcml.providers.api.instances import Architecture

_ACCELERATORS = (
    ("GpuInfo", "Gpus", "TotalGpuMemoryInMiB"),
    ("NeuronInfo", "NeuronDevices", "TotalNeuronDeviceMemoryInMiB"),
    ("InferenceAcceleratorInfo", "Accelerators", "TotalInferenceMemoryInMiB"),  # inf1 and inf2 are here too: NeuronInfo counts
    ("FpgaInfo", "Fpgas", "TotalFpgaMemoryInMiB"),
    ("MediaAcceleratorInfo", "Accelerators", "TotalMediaMemoryInMiB"),
)

ENA = "ENA"
DRIVERS = {ENA: ("NetworkInfo", "EnaSupport"), "NVMe": ("EbsInfo", "NvmeSupport")}
"""The drivers of the network and of the disks that types on Nitro need, and older images may not have:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resize-limitations.html"""


@dataclass(frozen=True)
class MachineType:
    """Its share of a MachinePrice, in the units of that."""

    vcpus: Decimal
    memory_gib: Decimal
    architecture: Architecture = ""
    gpus: Decimal = Decimal(0)
    gpu: str = ""
    gpu_memory_gib: Decimal | None = None
    network_gbps: Decimal | None = None
    burstable: bool = False
    local_disk_gb: Decimal | None = None
    requires: tuple[str, ...] = ()


def machine_type_of(said: Mapping[str, Any]) -> MachineType:
    """Return what a type has. `network_gbps` is the bandwidth that it always has, of all its network cards, not the peak."""
    gpus, gpu, gpu_memory = _accelerators(said)
    return MachineType(
        Decimal(said["VCpuInfo"]["DefaultVCpus"]),
        Decimal(said["MemoryInfo"]["SizeInMiB"]) / 1024,
        architecture_of(said.get("ProcessorInfo", {}).get("SupportedArchitectures", ())),
        gpus,
        gpu,
        gpu_memory,
        _network(said.get("NetworkInfo", {}).get("NetworkCards", ())),
        bool(said.get("BurstablePerformanceSupported")),
        _local_disk(said),
        tuple(name for name, (info, support) in DRIVERS.items() if said.get(info, {}).get(support) == "required"),
    )


def architecture_of(names: Iterable[str]) -> Architecture:
    """Return the one of ours; none for Macs and for 32 bits alone, whose images run on no other machine of that instruction set."""
    known = set(names)
    return "x86_64" if "x86_64" in known else "arm64" if "arm64" in known else ""


def _accelerators(said: Mapping[str, Any]) -> tuple[Decimal, str, Decimal | None]:
    for info, devices, total in _ACCELERATORS:
        found = said.get(info, {}).get(devices)
        if found:
            memory = said[info].get(total)
            names = " + ".join(dict.fromkeys(one.get("Name", "") for one in found))
            return sum((_count(one) for one in found), Decimal()), names, Decimal(memory) / 1024 if memory else None
    return Decimal(0), "", None


def _local_disk(said: Mapping[str, Any]) -> Decimal | None:
    size = said.get("InstanceStorageInfo", {}).get("TotalSizeInGB")
    return Decimal(size) if size is not None else None if said.get("InstanceStorageSupported") is not False else Decimal(0)


def _count(device: Mapping[str, Any]) -> Decimal:
    """Return how many there are: of a part of a GPU, Count is zero, LogicalGpuCount how many parts, and GpuPartitionSize how large each."""
    whole = Decimal(device.get("Count", 0))
    return whole or Decimal(device.get("LogicalGpuCount", 0)) * Decimal(str(device.get("GpuPartitionSize", 0)))


def _network(cards: Iterable[Mapping[str, Any]]) -> Decimal | None:
    known = [Decimal(str(card["BaselineBandwidthInGbps"])) for card in cards if card.get("BaselineBandwidthInGbps")]
    return sum(known, Decimal()) if known else None
