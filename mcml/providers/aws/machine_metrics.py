"""The machine metrics of `mcml.providers.api.metrics` as CloudWatch has them, and how its series become one.

CPU and network are of EC2 itself; memory, disks and GPUs are of the CloudWatch agent on Linux, in its own namespace. An agent with another
namespace, or on Windows, where it counts otherwise, is as none.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-collected-by-CloudWatch-agent.html and, for GPUs,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-Agent-NVIDIA-GPU.html.

The agent adds dimensions (type, image, device, GPU), so several series carry a machine's id, and others since a resize: in each step the
highest counts, also when it is an average. Where the agent does not write how large a GPU is, the type says it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MachineMetric, Statistic, Window
from mcml.providers.aws.paging import next_step, paged
from mcml.providers.aws.session import Session

INSTANCE, TYPE = "InstanceId", "InstanceType"
LOOK = "aws ec2 describe-instances   # in the target's region"
OF_EC2 = "AWS/EC2"
AGENT = "CWAgent"
NETWORK: MachineMetric = "machine.network"
GPU_MEMORY: MachineMetric = "machine.gpu_memory"
DISK: MachineMetric = "machine.disk"
SOURCES: Mapping[str, tuple[str, ...]] = {
    "machine.cpu": (f"{OF_EC2}:CPUUtilization",),
    "machine.memory": (f"{AGENT}:mem_used_percent",),
    "machine.gpu": (f"{AGENT}:nvidia_smi_utilization_gpu",),
    GPU_MEMORY: (f"{AGENT}:nvidia_smi_memory_used", f"{AGENT}:nvidia_smi_memory_total"),
    DISK: (f"{AGENT}:disk_used_percent",),
    NETWORK: (f"{OF_EC2}:NetworkIn", f"{OF_EC2}:NetworkOut"),
}
"""Percentages, but GPU memory in MiB and the network in bytes a sample."""
SAMPLED = 300
"""Basic monitoring of EC2 adds up bytes over so many seconds; detailed monitoring over a minute, which comes to the same."""
_NOT_STORED = {"autofs", "cgroup", "cgroup2", "devfs", "devtmpfs", "efivarfs", "iso9660", "nsfs", "overlay", "proc", "ramfs"}
_NOT_STORED |= {"squashfs", "sysfs", "tmpfs"}
"""Types of file systems that hold nothing on a disk of the machine, or are always full (squashfs: snaps)."""


def is_of_disk(dimensions: Mapping[str, str]) -> bool:
    """Tell whether the file system of a series is on a disk; one of which the type is not told counts."""
    return dimensions.get("fstype", "") not in _NOT_STORED


@dataclass(frozen=True)
class Machines:
    """What EC2 tells of machines that are measured: asked once of each machine and type."""

    session: Session
    _types: dict[str, str] = field(default_factory=dict, repr=False)
    _gpus: dict[str, float | None] = field(default_factory=dict, repr=False)

    def type_of(self, machine: str) -> str:
        """Return the type that a machine has now. Raises NotFound for one that EC2 does not know."""
        if machine not in self._types:
            doing = f"cannot measure instance {machine!r}"
            with next_step(NotFound, LOOK):
                asked = paged(self.session, doing, "ec2", "describe_instances", "Reservations", InstanceIds=[machine])
                known = [one["InstanceType"] for group in asked for one in group["Instances"]]
                if not known:
                    raise NotFound(doing, why="EC2 does not know it in this region")
            self._types[machine] = known[0]
        return self._types[machine]

    def gpu_mib(self, dimensions: Mapping[str, str]) -> float | None:
        """Return the memory of a GPU of the type that a series names, else of the machine's; None where EC2 does not tell.

        Raises NotFound for a machine that EC2 does not know.
        """
        type = dimensions.get(TYPE) or self.type_of(dimensions[INSTANCE])
        if type not in self._gpus:
            asked = paged(self.session, f"cannot describe {type}", "ec2", "describe_instance_types", "InstanceTypes", InstanceTypes=[type])
            try:
                gpus = [gpu for one in asked for gpu in one.get("GpuInfo", {}).get("Gpus", ())]
            except (InvalidRequest, NotFound):  # a type that is not offered any more
                gpus = []
            self._gpus[type] = next((gpu["MemoryInfo"]["SizeInMiB"] for gpu in gpus if "SizeInMiB" in gpu.get("MemoryInfo", {})), None)
        return self._gpus[type]


@dataclass(frozen=True)
class Periods:
    """The periods of `seconds`, from a multiple of them on, that cover a window."""

    window: Window
    seconds: int

    @property
    def covering(self) -> Window:
        """From the beginning of the first to the end of the last."""
        first, end = self.window.start.timestamp() // self.seconds, -(-self.window.end.timestamp() // self.seconds)
        moment = [datetime.fromtimestamp(number * self.seconds, UTC) for number in (first, end)]
        return Window(moment[0], moment[1], self.window.step)

    def rates(self, sums: Sequence[Mapping[int, float]]) -> dict[int, float]:
        """Return what all series (sums by period) come to a second, for the periods in which each of them has a sample."""
        known = set(sums[0]).intersection(*sums[1:]) if sums else set()
        return {at: math.fsum(one[at] for one in sums) / self.seconds for at in known}

    def fold(self, rates: Mapping[int, float], statistic: Statistic, steps: int) -> list[float | None]:
        """Fold rates into the window's steps: a period counts by as much of it as lies in the step. A count is of periods."""
        folded: list[float | None] = []
        for number in range(steps):
            start = (self.window.start + number * self.window.step).timestamp()
            end = min(start + self.window.step.total_seconds(), self.window.end.timestamp())
            within = range(int(start // self.seconds) * self.seconds, math.ceil(end), self.seconds)
            parts = [(rates[at], min(at + self.seconds, end) - max(at, start)) for at in within if at in rates]
            folded.append(_weighed(parts, statistic) if parts else None)
        return folded


def _weighed(parts: Sequence[tuple[float, float]], statistic: Statistic) -> float:
    values = sorted(value for value, _ in parts)
    if statistic == "average":
        return math.fsum(value * weight for value, weight in parts) / math.fsum(weight for _, weight in parts)
    if statistic.startswith("p"):
        return values[math.ceil(int(statistic[1:]) * len(values) / 100) - 1]
    return {"sum": math.fsum(values), "minimum": values[0], "maximum": values[-1]}.get(statistic, float(len(values)))
