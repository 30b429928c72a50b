"""What the versions that a deploy starts will cost by the hour, from the price catalogue."""

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import InvalidRequest

if TYPE_CHECKING:
    from mcml.core.plan import Plan
    from mcml.deploy.price import Price
    from mcml.providers.api.endpoint import ModelEndpoint
    from mcml.providers.api.endpoint_size import ReplicaSize


def prices(session: Session, plan: "Plan", endpoints: "Mapping[str, ModelEndpoint]") -> "dict[str, Price]":
    """Return what a new version costs on each target that gets one; what nobody knows says why."""
    from mcml.deploy.price import priced
    from mcml.store.catalogue import price_book
    from mcml.store.replica_prices import price_of_replica

    price_of = price_book(session.store)
    found = {}
    for step in plan.changes:
        if (step.kind, step.action) == ("version", "create"):
            place = session.settings.targets[step.target]
            endpoint = endpoints[step.target]
            size = _size(endpoint, session.settings.models[step.name].resources.get(step.target, {}))
            hosted = price_of_replica(session.store, endpoint, place.provider, place.region, session.clock)
            found[step.target] = priced(
                step.target, place.provider, place.region, size, price_of, now=session.clock(), price_of_replica=hosted
            )
    return found


def _size(endpoint: "ModelEndpoint", resources: Mapping[str, str]) -> "ReplicaSize":
    """Return what a version is given, as its provider tells it, or as its resources say where that is a machine."""
    from mcml.providers.api.endpoint_size import ReplicaSize, Sized

    if isinstance(endpoint, Sized):
        with suppress(InvalidRequest):  # it says so itself when it is started
            return endpoint.size(resources)
    said = resources.get("replicas", "1")
    replicas = int(said) if said.isdecimal() and said != "0" else 1
    vcpus = Decimal(resources["cpu"]) if resources.get("cpu", "").isdecimal() else None
    return ReplicaSize(machine=resources.get("machine", ""), replicas=replicas, vcpus=vcpus)
