"""What an hour of a replica on Vertex AI costs, put together from the Cloud Billing Catalog as Vertex AI bills it.

On demand, from the SKUs of Vertex AI itself, dearer than those of Compute Engine ("Vertex AI: Online/Batch Prediction N1 Predefined
Instance Core running in Belgium", "... Ram ...", "... Nvidia L4 GPU ..."): so much a vCPU hour, a GiB hour and a GPU hour. On Spot, the
Spot SKUs of Compute Engine and a management fee ("Vertex AI: Online/Batch Prediction management fee on A3 Instance Core in Iowa"):
https://cloud.google.com/vertex-ai/pricing#custom-trained_models, https://cloud.google.com/skus/sku-groups/vertex-prediction,
https://cloud.google.com/skus/sku-groups/vertex-management-fee. What a machine type has, Compute Engine tells.

No price is known, and why is said, where one of the parts has no SKU, or several prices, and of a type with a local SSD, but for A2 and A3:
their bills have no line for it on demand.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.gcp import prices
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.rpc import rpc_pages
from mcml.providers.gcp.session import Session

SERVICE = "services/C7E2-9256-1C43"
PAGE = 5000
CURRENCY = "USD"
SOURCE = "Cloud Billing Catalog, Vertex AI prediction"
PREFIX, SPOT = "vertex ", " spot"
_WORDS = re.compile(r"vertex (?P<type>[a-z][a-z0-9-]*)(?: \+ (?P<count>\d+) (?P<gpu>[a-z0-9-]+))?(?P<spot> spot)?")
_KIND = r"Vertex AI: Online/Batch Prediction "
_FAMILY = r"(?P<family>[A-Z]\d+[A-Z]?)(?: AMD| Arm)?(?: Predefined)? Instance (?P<part>Core|Ram)"
_PATTERNS: Mapping["Market", tuple[re.Pattern[str], ...]] = {
    "on demand": (
        re.compile(rf"{_KIND}{_FAMILY} running in .+", re.IGNORECASE),
        re.compile(rf"{_KIND}(?P<gpu>Nvidia .+?) GPU running in .+", re.IGNORECASE),
    ),
    "fee": (
        re.compile(rf"{_KIND}management fee on {_FAMILY} (?:running )?in .+", re.IGNORECASE),
        re.compile(rf"{_KIND}management fee on (?P<gpu>Nvidia .+?)(?: GPU)? (?:running )?in .+", re.IGNORECASE),
    ),
}
_UNITS = {"core": "h", "ram": "GiBy.h", "gpu": "h"}
_WITH_SSD = ("a2", "a3")

Market = Literal["on demand", "fee"]


@dataclass(frozen=True)
class Replica:
    """What a replica runs on: a machine type, with GPUs attached to it (those of a type that has its own are the type's), and on Spot."""

    type: str
    gpu: str = ""
    count: int = 0
    spot: bool = False

    def __str__(self) -> str:
        """Write it as the SKU of its price, which is none of Compute Engine's."""
        gpus = f" + {self.count} {self.gpu}" if self.gpu and self.count and self.type.startswith("n1-") else ""
        return f"{PREFIX}{self.type}{gpus}{SPOT if self.spot else ''}"


@dataclass(frozen=True)
class Part:
    """What has a price of its own: "core" or "ram" of a family ("e2"), or a "gpu" by its model ("t4", "a100 80gb")."""

    of: str
    kind: Literal["core", "ram", "gpu"]
    market: Market


Rates = Mapping[Part, frozenset[Decimal]]
"""What an hour of a vCPU, a GiB or a GPU costs in a region; several prices are as good as none."""


def read_replica(text: str) -> Replica | None:
    """Read what `str(Replica)` wrote; None for anything else."""
    found = _WORDS.fullmatch(text)
    return Replica(found["type"], found["gpu"] or "", int(found["count"] or 0), bool(found["spot"])) if found else None


class VertexPrices:
    """Prices of one region, and of the others as far as they come with it; the catalog is read at the first question, all of it."""

    def __init__(self, session: Session, region: str) -> None:
        self._session, self._region = session, region
        self._rates: Mapping[str, Rates] | None = None
        self._compute: prices.Rates | None = None

    def price(self, machine: str) -> ReplicaPrice:
        """Return the list price of an hour of a replica, in US dollars. Raises as every call."""
        replica = read_replica(machine)
        type = self._type(replica.type) if replica else None
        if replica is None or type is None:
            return ReplicaPrice(why=f"Compute Engine has no machine type {replica.type if replica else machine} in {self._region}")
        if replica.spot:
            amount, why = self._spot(replica, type)
            return ReplicaPrice(self._told(machine, self._region, amount), why)
        if type.bundled_local_ssds.partition_count and not type.name.startswith(_WITH_SSD):
            return ReplicaPrice(why=f"what the local SSD of {type.name} costs on Vertex AI is not known")
        parts = parts_of(replica, type, "on demand")
        amount, why = self._sum(parts, self._region)
        others = (self._told(machine, region, self._sum(parts, region)[0]) for region in sorted(self._known()) if region != self._region)
        return ReplicaPrice(self._told(machine, self._region, amount), why, tuple(price for price in others if price is not None))

    def _told(self, machine: str, region: str, amount: Decimal | None) -> UnitPrice | None:
        now = self._session.ctx.clock()
        return None if amount is None else UnitPrice(machine, region, "h", amount, CURRENCY, SOURCE, now)

    def _type(self, name: str) -> Any:
        compute = Compute(self._session, self._region)
        found = compute.everywhere("look for the machine type", "MachineTypes", "machine_types", filter=f'name = "{name}"')
        return next((one for _, one in found if one.name == name), None)

    def _spot(self, replica: Replica, type: Any) -> tuple[Decimal | None, str]:
        shape = prices.shape_of(type)
        if not type.accelerators and replica.count:
            shape = replace(shape, gpus=((prices.GPUS.get(replica.gpu, ""), replica.count),))
        if self._compute is None:
            self._compute = prices.read_rates(self._session, self._region)
        machine = prices.hourly(shape, self._compute, "spot")
        if machine is None:
            return None, f"no Spot price of {replica.type} in {self._region} is known"
        fee, why = self._sum(parts_of(replica, type, "fee"), self._region)
        return (None, why) if fee is None else (machine + fee, "")

    def _sum(self, parts: Mapping[Part, Decimal], region: str) -> tuple[Decimal | None, str]:
        rates, amount = self._known().get(region, {}), Decimal()
        for part, count in parts.items():
            known = rates.get(part, frozenset())
            if len(known) != 1:
                said = "several prices" if known else "no price"
                fee = "of the management fee " if part.market == "fee" else ""
                return None, f"the catalog of Vertex AI has {said} {fee}for {part.of.upper()} {part.kind.upper()} in {region}"
            amount += next(iter(known)) * count
        return amount, ""

    def _known(self) -> Mapping[str, Rates]:
        if self._rates is None:
            self._rates = rates_of(_skus(self._session))
        return self._rates


def parts_of(replica: Replica, type: Any, market: Market) -> dict[Part, Decimal]:
    """Return how many vCPUs, GiB and GPUs a replica on a machine type (an object of the SDK) is billed for."""
    shape, family = prices.shape_of(type), type.name.partition("-")[0]
    gpus = [(one.guest_accelerator_type, one.guest_accelerator_count) for one in type.accelerators]
    gpus = gpus or ([(replica.gpu, replica.count)] if replica.count else [])
    found = {Part(family, "core", market): shape.vcpus, Part(family, "ram", market): shape.memory_gib}
    return found | {Part(model_of(name), "gpu", market): Decimal(count) for name, count in gpus}


def rates_of(skus: Iterable[Any]) -> dict[str, dict[Part, frozenset[Decimal]]]:
    """Pick the parts' prices out of the catalog's entries (objects of the SDK), by region."""
    found: dict[str, dict[Part, frozenset[Decimal]]] = {}
    for sku in skus:
        part = part_of(sku.description) if sku.category.usage_type == "OnDemand" else None
        price = prices.price_of(sku, _UNITS[part.kind]) if part else None
        if part is None or price is None:
            continue
        for region in sku.service_regions:
            rates = found.setdefault(region, {})
            rates[part] = rates.get(part, frozenset()) | {price}
    return found


def part_of(description: str) -> Part | None:
    """Tell which part an entry of the catalog is about; None for all else (training, pipelines, tokens, other hardware ...)."""
    for market, (machine, gpu) in _PATTERNS.items():
        if found := machine.fullmatch(description):
            return Part(found["family"].lower(), "core" if found["part"].lower() == "core" else "ram", market)
        if found := gpu.fullmatch(description):
            return Part(model_of(found["gpu"]), "gpu", market)
    return None


def model_of(gpu: str) -> str:
    """Return the model of a GPU: "Nvidia Tesla T4", "nvidia-tesla-t4" and "NVIDIA_TESLA_T4" are "t4", "Nvidia A100 80gb" is "a100 80gb"."""
    words = re.findall(r"[a-z0-9]+", gpu.lower())
    return " ".join(word for word in words if word not in ("nvidia", "tesla", "gpu"))


def _skus(session: Session) -> Iterator[Any]:
    from google.cloud import billing_v1

    request = {"parent": SERVICE, "page_size": PAGE}
    return rpc_pages(session, "cannot read the price catalog", billing_v1.CloudCatalogClient, "list_skus", request, "skus")
