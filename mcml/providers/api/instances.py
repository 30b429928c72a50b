"""Instances: machines that can be listed, priced, started, stopped, resized and asked for on the spot market."""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

InstanceState = Literal["pending", "running", "stopped", "interrupted", "terminated"]


@dataclass(frozen=True)
class Instance:
    """A machine: its type, where it is, what it does, since when, whether it is spot, and the group it is a member of (empty: none).

    A member is its group's: stopped alone, it would be replaced.
    """

    id: str
    machine: str
    zone: str
    state: InstanceState
    launched: datetime
    spot: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class MachinePrice:
    """What an hour of a machine type costs, on demand and spot (None where there is no such offer)."""

    machine: str
    region: str
    vcpus: Decimal
    memory_gib: Decimal
    on_demand: Decimal | None
    spot: Decimal | None
    currency: str
    as_of: datetime


@dataclass(frozen=True)
class SpotRequest:
    """A machine wanted at no more than `max_price` an hour. The same `token` asks for the same machine, not for a second one."""

    machine: str
    token: str
    command: Sequence[str] = ()
    max_price: Decimal | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


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

    def request_spot(self, request: SpotRequest) -> Instance:
        """Start a spot machine. Raises QuotaExceeded when none is to be had at that price."""
