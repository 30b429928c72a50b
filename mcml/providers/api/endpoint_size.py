"""Sized: what each replica behind an endpoint is given, and which series of its target say what it uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from mcml.providers.api.metrics import MachineMetric, SeriesQuery


@dataclass(frozen=True)
class ReplicaSize:
    """What `resources` give each replica: a `machine` of its own, which Instances.prices of the target knows as `type`, or `vcpus` (and
    `memory_gib`) of a machine that others use, too.

    `vcpus` are asked for by the word "cpu", in multiples of `step`, memory by "memory" as "512Mi" (None: it is not limited there). There
    are `replicas`, and up to `most_replicas` of them where the place scales by itself: at `scales_at` percent of what a replica is given
    in CPU (None: not by CPU). `by_use` says that it is paid by what it uses, however much it is given.
    """

    vcpus: Decimal | None = None
    step: Decimal = Decimal("0.1")
    memory_gib: Decimal | None = None
    machine: str = ""
    type: str = ""
    replicas: int = 1
    most_replicas: int = 1
    scales_at: int | None = None
    by_use: bool = False


@dataclass(frozen=True)
class ReplicaSeries:
    """A series over the replicas of a version, for the statistics average and maximum, and what 1 of it is: a core, a byte, or all of
    what a replica has (`share`), times `times`."""

    query: SeriesQuery
    unit: Literal["cores", "bytes", "share"]
    times: float = 1.0


@runtime_checkable
class Sized(Protocol):
    """What a ModelEndpoint may have besides, so that its models can be right-sized."""

    def size(self, resources: Mapping[str, str]) -> ReplicaSize:
        """Return what a version with these resources has. Raises InvalidRequest for resources that it would not start with."""

    def machines(self) -> Mapping[str, str]:
        """Return the machines that a replica may have: the word for "machine" in its resources, by type; empty where it has none."""

    def series(self, name: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:
        """Return which series of the target's Metrics say what a replica of a version uses; empty where the place tells none."""
