"""Instances: machines that can be listed, priced, started, stopped, resized and asked for, on the spot market or on demand."""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from mcml.core.errors import InvalidRequest

InstanceState = Literal["pending", "running", "stopped", "interrupted", "terminated"]
Architecture = Literal["x86_64", "arm64", ""]
"""The instruction set, as `uname -m` says it on Linux (aarch64 is arm64 here); empty where the provider does not tell."""


@dataclass(frozen=True)
class Instance:
    """A machine: its type, where it is, what it does, since when, whether it is spot, and the group it is a member of (empty: none).

    A member is its group's: stopped alone, it would be replaced. `disks` are the sources of its disks for Snapshots.create, its boot disk
    first; `architecture` is that of the image it runs, empty where the provider does not tell. `attached` names what it has besides its
    type that another type may not take, or that a stop empties: the GPUs of an N1, a local SSD. `lacks` names the drivers of which the
    provider says that the image has none; `account` is whose it is as the bill writes it, where ids are unique in that only (a project).
    """

    id: str
    machine: str
    zone: str
    state: InstanceState
    launched: datetime
    spot: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    disks: tuple[str, ...] = ()
    architecture: Architecture = ""
    attached: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    account: str = ""


@dataclass(frozen=True)
class MachinePrice:
    """What an hour of a machine type costs, on demand and spot (None where there is no such offer), and what the machine has.

    `gpu` is the model of its `gpus` as the provider writes it (some sell parts of one, so the count has decimals), `gpu_memory_gib` the
    memory of all of them together. None is for what the provider does not tell, never for zero. A `burstable` type has less CPU in the
    long run than `vcpus` says. `local_disk_gb` (10^9 bytes) is on disks in the machine itself, which a stop empties. `requires` names the
    drivers without which no image starts on it.
    """

    machine: str
    region: str
    vcpus: Decimal
    memory_gib: Decimal
    on_demand: Decimal | None
    spot: Decimal | None
    currency: str
    as_of: datetime
    architecture: Architecture = ""
    gpus: Decimal = Decimal(0)
    gpu: str = ""
    gpu_memory_gib: Decimal | None = None
    network_gbps: Decimal | None = None
    burstable: bool = False
    local_disk_gb: Decimal | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineRequest:
    """A machine wanted on the spot market, or on demand. The same `token` asks for the same machine, not for a second one.

    `max_price` is for an hour of spot; on demand has a price that is not asked for: with one this raises InvalidRequest.
    """

    machine: str
    token: str
    command: Sequence[str] = ()
    max_price: Decimal | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    spot: bool = True

    def __post_init__(self) -> None:
        if self.max_price is not None and not self.spot:
            why = "a machine on demand has one price, which nobody bids for"
            raise InvalidRequest(f"no highest price for {self.machine} on demand", why=why, next_step="leave it out, or ask for spot")

    @property
    def words(self) -> str:
        """The machine in a sentence: "spot m5.large", "m5.large on demand"."""
        return f"spot {self.machine}" if self.spot else f"{self.machine} on demand"


class Instances(Protocol):
    """Machines of the target."""

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """Return the machines that carry all these tags."""

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """Return the prices of the named machine types, or of all."""

    def start(self, instance: str) -> Instance:
        """Start a stopped machine. Raises NotFound, QuotaExceeded."""

    def stop(self, instance: str) -> Instance:
        """Stop a machine; one that is stopped stays so. Raises NotFound."""

    def resize(self, instance: str, machine: str) -> Instance:
        """Change a stopped machine's type. Raises NotFound, Conflict when it runs, InvalidRequest for an unknown type."""

    def request(self, request: MachineRequest) -> Instance:
        """Start a new machine; the same token gives the one that is there.

        Raises QuotaExceeded when none is to be had (at that price), InvalidRequest for an unknown type, and for a token that stands for
        another command or another market.
        """


@runtime_checkable
class Noticed(Protocol):
    """What Instances may have besides, where the provider tells from outside that it is about to take a spot machine away."""

    def notices(self, instances: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each of these machines is to be taken away, as far as that is known; those that are to stay are not in it."""
