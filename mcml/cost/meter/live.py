"""What runs now and what it costs an hour: the providers are asked what is held, the price of each comes from them or the catalogue.

Three views may show the same machine: it is listed by itself, as a member of a group, and as a node of a cluster's pool; some clouds list
the members of groups as machines, others do not, or do not say whose they are. So a group counts beyond its members that are listed, and
beyond machines of its type that say nothing of a group; a pool beyond the machines and the groups of its type, whichever are more. Nothing
counts twice; where single machines run beside unlisted ones of the same type, the count is too low by at most as many.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from mcml.core.errors import McmlError, said
from mcml.cost.meter.prices import HOUR_OF_A_MACHINE
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.cluster import Cluster
from mcml.providers.api.endpoint import ModelEndpoint
from mcml.providers.api.endpoint_price import PriceOfReplica
from mcml.providers.api.groups import Groups
from mcml.providers.api.instances import Instances, MachinePrice
from mcml.providers.api.metrics import Metrics, SeriesQuery, Window
from mcml.store.ledger.exact import product, tidy, total
from mcml.store.ledger.schema import DIMENSIONS

Kind = Literal["machine", "group", "pool", "endpoint", "pod"]
PriceOf = Callable[[str, str, str], UnitPrice | None]
"""Returns the newest price of (provider, region, SKU) in the catalogue, None when there is none."""
SPOT = " spot"
"""Behind a machine type it is the SKU of its spot price, as in the catalogue."""
GIB = 1 << 30
WINDOW = timedelta(minutes=5)
UNTOLD = "its provider does not tell what machine it runs on, and no price of vCPU and memory by the hour is known"


@dataclass(frozen=True)
class Place:
    """A target: its provider, region and, where it has one, its cluster."""

    provider: str
    target: str
    region: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class Doors:
    """The capabilities of a target that tell what runs there; None where its provider does not offer one.

    `price_of_replica` tells what an hour of a replica behind its endpoints costs; None where that is the price of the plain machine.
    """

    instances: Instances | None = None
    groups: Groups | None = None
    cluster: Cluster | None = None
    endpoints: ModelEndpoint | None = None
    metrics: Metrics | None = None
    price_of_replica: PriceOfReplica | None = None


@dataclass(frozen=True)
class Share:
    """The `part` of its node that a pod requests, and the machine behind the node as the cluster writes it (`aws:///us-east-1a/i-0abc`)."""

    node: str
    provider_id: str
    part: Fraction


@dataclass(frozen=True)
class Held:
    """Something that is paid for by the hour: `count` machines of a type, an endpoint, or a pod's part of a machine.

    `price` is that of one of them for an hour; `given` is what pods pay of it, each of which is one of these itself and names it as `host`.

    `since` is None where nobody tells it; `target` is empty for what several targets list and no tag assigns; `why` says why there is no
    price; `use` is vCPUs and GiB of an endpoint that is priced by what it uses, `group` the one that a machine is a member of.
    """

    place: Place
    kind: Kind
    name: str
    machine: str = ""
    count: int = 1
    spot: bool = False
    zone: str = ""
    since: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    price: UnitPrice | None = None
    why: str = ""
    use: tuple[Decimal, Decimal] | None = None
    group: str = ""
    share: Share | None = None
    host: str = ""
    given: Decimal = Decimal(0)

    @property
    def sku(self) -> str:
        """What the catalogue calls it."""
        return f"{self.machine}{SPOT}" if self.spot else self.machine

    @property
    def target(self) -> str:
        """The target that its tags name, else the one that lists it."""
        return tagged(self.tags, "x_Target") or self.place.target

    @property
    def model(self) -> str:
        """The model that its tags name; empty for none."""
        return tagged(self.tags, "x_Model")

    @property
    def hourly(self) -> Decimal | None:
        """What an hour of all of them costs, in the price's currency, without what their pods pay."""
        return tidy(total((product(self.price.price, self.count), self.given.copy_negate()))) if self.price else None


def tagged(tags: Mapping[str, str], column: str) -> str:
    """Return the value of a dimension out of tags, by the rule of ingest (see `schema.DIMENSIONS`); empty for none."""
    plain = {key.lower().replace(":", "/").rpartition("/")[2].replace("-", "_").replace(" ", "_"): value for key, value in tags.items()}
    return next((plain[key] for key in DIMENSIONS[column] if plain.get(key)), "")


def look(place: Place, doors: Doors, price_of: PriceOf, now: datetime) -> list[Held]:
    """Return what runs on a target, priced where a price is known. Raises what the provider raises."""
    machines = [*_machines(place, doors), *_groups(place, doors), *_pools(place, doors)]
    listed = _listed(doors, sorted({each.machine for each in machines if each.machine}))
    return [*(_priced(each, listed, price_of) for each in machines), *_endpoints(place, doors, price_of, now)]


def merged(looks: Iterable[Sequence[Held]]) -> list[Held]:
    """Put the targets of several looks together, nothing twice (see the head of this file), by place, kind and name."""
    found: dict[tuple[str, str, str, str], Held] = {}
    for held in (each for one in looks for each in one):
        key = (held.place.provider, held.place.region, held.kind, held.name)
        other = found.get(key)
        found[key] = held if other is None or other.place == held.place else replace(held, place=replace(held.place, target=""))
    everything = [found[key] for key in sorted(found)]
    return [each for each in _beyond(everything) if each.count > 0 or each.kind == "pod"]


def _beyond(everything: Sequence[Held]) -> list[Held]:
    """Leave of groups and pools what the views before them do not show."""
    shown = {kind: Counter[tuple[str, str, str]]() for kind in ("machine", "group", "pool")}
    alone, members = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for each in everything:
        if each.kind in shown:
            shown[each.kind][_type(each)] += each.count
        if each.kind == "machine":
            (members if each.group else alone)[(*_type(each)[:2], each.group) if each.group else _type(each)] += each.count
    nodes = shown["machine"] | shown["group"]
    kept = []
    for each in everything:
        left = each.count
        if each.kind == "group":
            left = _take(_take(left, members, (*_type(each)[:2], each.name)), alone, _type(each))
        elif each.kind == "pool":
            left = _take(left, nodes, _type(each))
        kept.append(replace(each, count=left))
    return kept


def _take(count: int, known: Counter[tuple[str, str, str]], key: tuple[str, str, str]) -> int:
    """Return how many of `count` are not known, and forget those that are."""
    taken = min(count, known[key])
    known[key] -= taken
    return count - taken


def _type(held: Held) -> tuple[str, str, str]:
    return held.place.provider, held.place.region, held.machine


def _machines(place: Place, doors: Doors) -> list[Held]:
    found = doors.instances.list() if doors.instances else []
    return [
        Held(place, "machine", one.id, one.machine, spot=one.spot, zone=one.zone, since=one.launched, tags=one.tags, group=one.group)
        for one in found
        if one.state == "running"
    ]


def _groups(place: Place, doors: Doors) -> list[Held]:
    found = doors.groups.list() if doors.groups else []
    return [Held(place, "group", one.name, one.machine, one.running, tags=one.tags) for one in found if one.running]


def _pools(place: Place, doors: Doors) -> list[Held]:
    found = doors.cluster.pools(place.cluster) if doors.cluster and place.cluster else []
    return [Held(place, "pool", f"{place.cluster}/{one.name}", one.machine, one.size, one.spot) for one in found if one.size]


def _listed(doors: Doors, machines: Sequence[str]) -> dict[str, MachinePrice]:
    """Return the provider's own prices; none when it cannot tell them (no right to ask, an unknown type): then the catalogue is asked."""
    if doors.instances is None or not machines:
        return {}
    try:
        return {price.machine: price for price in doors.instances.prices(machines)}
    except McmlError:
        return {}


def _priced(held: Held, listed: Mapping[str, MachinePrice], price_of: PriceOf) -> Held:
    found = listed.get(held.machine)
    amount = (found.spot if held.spot else found.on_demand) if found else None
    if found is not None and amount is not None:
        source = f"price list of {held.place.provider}"
        return replace(held, price=UnitPrice(held.sku, found.region, "h", amount, found.currency, source, found.as_of))
    price = price_of(held.place.provider, held.place.region, held.sku)
    if price is None:
        return replace(held, why=f"no price of {held.sku or 'its machine'} in {held.place.region or 'its region'} is known")
    return replace(held, price=price)


def _endpoints(place: Place, doors: Doors, price_of: PriceOf, now: datetime) -> list[Held]:
    """Price what has machines of its own by these, as their provider sells them to endpoints; all else by its use."""
    described = doors.endpoints.describe() if doors.endpoints else []
    running = [(each, one) for each in described for one in each.variants if one.state in ("ready", "starting")]
    plain = set() if doors.price_of_replica else {one.machine for _, one in running if one.machine}
    listed = _listed(doors, sorted(plain))
    found = []
    for endpoint, variant in running:
        tags = {"target": place.target, "model": endpoint.name, "version": variant.version, **endpoint.tags}
        held = Held(place, "endpoint", f"{endpoint.name}@{place.target}/{variant.version}", tags=tags)
        if variant.machine:
            machine, spot = variant.machine.removesuffix(SPOT), variant.machine.endswith(SPOT)
            held = replace(held, machine=machine, spot=spot, count=max(variant.replicas, 1))
            found.append(_hosted(held, doors.price_of_replica) if doors.price_of_replica else _priced(held, listed, price_of))
        else:
            found.append(_used(held, endpoint.name, variant.version, doors.metrics, price_of, now))
    return found


def _hosted(held: Held, price_of_replica: PriceOfReplica) -> Held:
    told = price_of_replica(held.sku)
    return replace(held, price=told.price, why="" if told.price else told.why)


def _used(held: Held, model: str, version: str, metrics: Metrics | None, price_of: PriceOf, now: datetime) -> Held:
    """Price an endpoint by what it used in the last minutes, where its place sells CPU and memory by the hour and tells their use."""
    prices = [price_of(held.place.provider, held.place.region, sku) for sku in HOUR_OF_A_MACHINE]
    cpu, memory = prices
    if cpu is None or memory is None or metrics is None or cpu.currency != memory.currency:
        return replace(held, why=UNTOLD)
    window = Window(now - WINDOW, now, WINDOW)
    try:
        series = [SeriesQuery(name, {"model": model, "version": version}) for name in ("cpu_utilization", "memory_bytes")]
        cores, held_bytes = (metrics.query(one, window)[0].value for one in series)
    except McmlError as failed:
        return replace(held, why=f"its use cannot be read: {said(failed)}")
    if cores is None or held_bytes is None:
        return replace(held, why=f"it told nothing of its use in the last {WINDOW.seconds // 60} minutes")
    vcpus, gib = _measured(cores), _measured(held_bytes / GIB)
    amount = tidy(total((product(cpu.price, vcpus), product(memory.price, gib))))
    source = f"{vcpus} vCPU and {gib} GiB used x {cpu.source}"
    price = UnitPrice("use", held.place.region, "h", amount, cpu.currency, source, min(cpu.as_of, memory.as_of))
    return replace(held, price=price, use=(vcpus, gib))


def _measured(value: float) -> Decimal:
    """Return a measured number with three decimals: it is no money, and no more precise than that."""
    return tidy(Decimal(str(round(value, 3))))
