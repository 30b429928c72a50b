"""What runs on the project's targets, for the verbs that price it: all targets are asked at once."""

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mcml.cli.session import Session
from mcml.core.fanout import Answers, ask_all

if TYPE_CHECKING:
    from mcml.cost.meter.live import Doors, Held, Place, PriceOf
    from mcml.kube.pods import Running
    from mcml.providers.api.billing import UnitPrice
    from mcml.providers.api.capability import Capability
    from mcml.providers.api.cluster import Cluster

T = TypeVar("T")


def ask(session: Session, provider: str = "", *, pods: bool = False) -> "Answers[list[Held]]":
    """Ask every target (of one provider) what runs there, its clusters also for their `pods`: those are split off by `cost.meter.pods`.

    Raises Usage for a wrong setting; what a cloud cannot do is in the answers.
    """
    from mcml.store.catalogue import price_book

    price_of = price_book(session.store)
    places = [place for place in _places(session) if provider in ("", place.provider)]
    return ask_all({place.target: partial(_ask, session, place, price_of, pods=pods) for place in places})


def everywhere(session: Session, sku: str) -> "list[tuple[str, UnitPrice]]":
    """Return the newest price of a SKU in every region where one is known, with its provider."""
    from mcml.store import catalogue

    return [(each.provider, each.price) for each in catalogue.everywhere(session.store, sku)]


def _ask(session: Session, place: "Place", price_of: "PriceOf", *, pods: bool) -> "list[Held]":
    from mcml.cost.meter import pods as of_pods
    from mcml.cost.meter.live import look

    doors = _doors(session, place)
    found = look(place, doors, price_of, session.clock())
    cluster = doors.cluster if pods else None
    return [*found, *of_pods.look(place, lambda: _running(cluster, place))] if cluster is not None else found


def _running(cluster: "Cluster", place: "Place") -> "Running":
    from mcml.kube import pods

    return pods.read(cluster.access(place.cluster))


def _places(session: Session) -> "list[Place]":
    from mcml.cost.meter.live import Place

    return [Place(target.provider, name, target.region, target.cluster) for name, target in session.settings.targets.items()]


def _doors(session: Session, place: "Place") -> "Doors":
    from mcml.cost.meter.live import Doors
    from mcml.providers.api import capability
    from mcml.store.replica_prices import price_of_replica

    endpoints = _door(session, capability.MODEL_ENDPOINT, place)
    return Doors(
        instances=_door(session, capability.INSTANCES, place),
        groups=_door(session, capability.GROUPS, place),
        cluster=_door(session, capability.CLUSTER, place) if place.cluster else None,
        endpoints=endpoints,
        metrics=_door(session, capability.METRICS, place),
        price_of_replica=price_of_replica(session.store, endpoints, place.provider, place.region, session.clock),
    )


def _door(session: Session, capability: "Capability[T]", place: "Place") -> T | None:
    from mcml.providers import discovery

    offered = discovery.spec(place.provider).offer(capability).support.usable
    return session.open(capability, place.target) if offered else None
