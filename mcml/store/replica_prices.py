"""What replicas behind an endpoint cost: from the catalogue, for a day after the provider was asked; then it is asked again."""

from datetime import timedelta

from mcml.core.clock import Clock
from mcml.core.errors import McmlError, said
from mcml.providers.api.endpoint import ModelEndpoint
from mcml.providers.api.endpoint_price import Priced, PriceOfReplica, ReplicaPrice
from mcml.store import prices
from mcml.store.db import Store

FRESH = timedelta(days=1)
"""Price lists change a few times a year."""


def price_of_replica(store: Store, endpoints: ModelEndpoint | None, provider: str, region: str, clock: Clock) -> PriceOfReplica | None:
    """Return what tells the price of a replica on a target of a provider and region; None where it is that of the plain machine.

    What the provider says is kept in the catalogue, of other regions, too. One that cannot be asked leaves the last price it said (whose
    `as_of` tells its age); without one, why it could not be asked.
    """
    if endpoints is None or not isinstance(endpoints, Priced):
        return None

    unknown: dict[str, ReplicaPrice] = {}

    def price(machine: str) -> ReplicaPrice:
        if machine in unknown:
            return unknown[machine]
        with store.reading() as connection:
            known = prices.latest(connection, provider, region, machine)
        if known is not None and timedelta(0) <= clock() - known.as_of < FRESH:
            return ReplicaPrice(known)
        try:
            told = endpoints.replica_price(machine)
        except McmlError as failed:
            told = ReplicaPrice(why=said(failed))
        _keep(store, provider, told)
        if told.price is None:
            told = unknown[machine] = ReplicaPrice(known, told.why, told.elsewhere)
        return told

    return price


def _keep(store: Store, provider: str, told: ReplicaPrice) -> None:
    found = [price for price in (told.price, *told.elsewhere) if price is not None]
    if found:
        with store.writing() as connection:
            prices.record(connection, provider, found)
