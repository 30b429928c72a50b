"""Priced: what a replica behind an endpoint costs, where that is not the price of the plain machine it runs on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mcml.providers.api.billing import UnitPrice


@dataclass(frozen=True)
class ReplicaPrice:
    """The list price of an hour of one replica, or `why` none is known; `elsewhere` are those of other regions that came with it."""

    price: UnitPrice | None = None
    why: str = ""
    elsewhere: tuple[UnitPrice, ...] = ()


PriceOfReplica = Callable[[str], ReplicaPrice]
"""Returns what an hour of a replica costs, by the `machine` of a Variant or a ReplicaSize."""


@runtime_checkable
class Priced(Protocol):
    """What a ModelEndpoint may have besides. One that has not is paid as the machines are that its replicas have."""

    def replica_price(self, machine: str) -> ReplicaPrice:
        """Return what an hour of a replica costs, by the `machine` of a Variant or a ReplicaSize: the SKU of its price, too.

        Raises NotAuthenticated (no right to read the price list), Unavailable.
        """
