"""Prices of Compute Engine machine types, put together from the Cloud Billing Catalog: so much a vCPU hour, a GiB hour, a GPU hour.

The catalog has no machine types, only their parts ("E2 Instance Core running in Belgium", per region, on demand and Spot, list prices):
https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list, https://cloud.google.com/compute/vm-instance-pricing.
Covered: the families of `FAMILIES`, custom types where the catalog prices them, and GPUs that belong to a machine type (a2, a3, g2). Not
covered, and so None: f1 and g1, the memory-optimized families (they carry a premium), types with local SSD built in, custom types with
extended memory ("-ext", at a rate of its own), TPUs. Sustained-use
and committed-use discounts are not in a list price.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from mcml.providers.gcp.machine_types import Traits, traits_of
from mcml.providers.gcp.rpc import rpc_pages
from mcml.providers.gcp.session import Session

COMPUTE_ENGINE = "services/6F81-5844-456A"
PAGE = 5000
FAMILIES = frozenset(
    ["e2", "n1", "n2", "n2d", "n4", "n4d", "t2d", "t2a", "c2", "c2d", "c3", "c3d", "c4", "c4a", "c4d", "h3", "a2", "a3", "g2"]
)
SHARED = {
    "e2-micro": Decimal("0.25"),
    "e2-small": Decimal("0.5"),
    "e2-medium": Decimal(1),
    "f1-micro": Decimal("0.2"),
    "g1-small": Decimal("0.5"),
}
"""How many vCPUs a shared-core type is given in the long run, of which its CPU utilization is a share; E2 is billed for so many."""
GPUS = {
    "nvidia-tesla-a100": "Nvidia Tesla A100 GPU",
    "nvidia-a100-80gb": "Nvidia Tesla A100 80GB GPU",
    "nvidia-l4": "Nvidia L4 GPU",
    "nvidia-h100-80gb": "Nvidia H100 80GB GPU",
    "nvidia-tesla-t4": "Nvidia Tesla T4 GPU",
    "nvidia-tesla-v100": "Nvidia Tesla V100 GPU",
}
_MARKETS: Mapping[str, "Market"] = {"OnDemand": "on demand", "Preemptible": "spot"}
_PART = re.compile(
    r"(?:Spot Preemptible |Preemptible )?"
    r"(?:(?P<family>[A-Z]\d+[A-Z]?)(?: AMD| Arm)?(?: Predefined)?(?P<custom> Custom)? Instance|(?P<n1>Custom) Instance"
    r"|(?P<c2>Compute [Oo]ptimized)(?: Instance)?)"
    r" (?P<part>Core|Ram) running in .+"
)
_GPU = re.compile(r"(?:Spot Preemptible |Preemptible )?(?P<gpu>Nvidia .+ GPU)(?: attached to (?:Spot )?Preemptible VMs)? running in .+")
_UNITS = {"core": "h", "ram": "GiBy.h", "gpu": "h"}

Market = Literal["on demand", "spot"]


@dataclass(frozen=True)
class Part:
    """A part of a machine: the family ("e2", "n2-custom") with "core" or "ram", or a GPU's name in the catalog with "gpu"."""

    of: str
    kind: Literal["core", "ram", "gpu"]
    market: Market


Rates = Mapping[Part, Decimal]
"""What an hour of a part costs: a vCPU, a GiB, a GPU."""


@dataclass(frozen=True)
class Shape:
    """What a machine type is made of; `family` as in `Part`; `priced` is False for a type with something that has no part here.

    `has` is what does not count for the price, or counts elsewhere.
    """

    family: str
    vcpus: Decimal
    memory_gib: Decimal
    gpus: tuple[tuple[str, int], ...] = ()
    priced: bool = True
    has: Traits = field(default_factory=Traits)


def read_rates(session: Session, region: str) -> dict[Part, Decimal]:
    """Return what the parts cost in a region, in US dollars. The catalog cannot be asked for one region: all of it is read."""
    return rates_of(_skus(session), region)


def rates_of(skus: Iterable[Any], region: str) -> dict[Part, Decimal]:
    """Pick the parts' prices in a region out of the catalog's entries (objects of the SDK)."""
    found: dict[Part, Decimal] = {}
    for sku in skus:
        part = part_of(sku.description, sku.category.usage_type) if region in sku.service_regions else None
        price = price_of(sku, _UNITS[part.kind]) if part else None
        if part is not None and price:  # a part of a family that is not sold yet may be listed at nothing
            found[part] = price
    return found


def part_of(description: str, usage_type: str) -> Part | None:
    """Tell which part an entry of the catalog is about; None for everything else (disks, commitments, sole tenancy, licences, ...)."""
    market = _MARKETS.get(usage_type)
    if market is None:
        return None
    if gpu := _GPU.fullmatch(description):
        return Part(gpu["gpu"], "gpu", market)
    found = _PART.fullmatch(description)
    if found is None:
        return None
    family = "c2" if found["c2"] else "n1-custom" if found["n1"] else found["family"].lower() + ("-custom" if found["custom"] else "")
    return Part(family, "core" if found["part"] == "Core" else "ram", market)


def shape_of(machine: Any) -> Shape:
    """Return what a machine type (an object of the SDK) is made of."""
    series = machine.name.partition("-")[0]
    custom = machine.name.startswith("custom-") or "-custom-" in machine.name
    family = "n1-custom" if machine.name.startswith("custom-") else f"{series}-custom" if custom else series
    gpus = tuple((GPUS.get(one.guest_accelerator_type, ""), one.guest_accelerator_count) for one in machine.accelerators)
    return Shape(
        family,
        SHARED.get(machine.name, Decimal(machine.guest_cpus)),
        Decimal(machine.memory_mb) / 1024,
        gpus,
        priced=family.partition("-")[0] in FAMILIES
        and not machine.name.endswith("-ext")
        and not machine.bundled_local_ssds.partition_count
        and all(name for name, _ in gpus),
        has=traits_of(machine),
    )


def hourly(shape: Shape, rates: Rates, market: Market) -> Decimal | None:
    """Return what an hour of a machine costs; None when one of its parts has no price."""
    family = shape.family
    if Part(family, "core", market) not in rates and family.startswith("e2"):
        family = "e2"  # custom types of e2 cost what predefined ones do
    parts = [(Part(family, "core", market), shape.vcpus), (Part(family, "ram", market), shape.memory_gib)]
    parts += [(Part(name, "gpu", market), Decimal(count)) for name, count in shape.gpus]
    if not shape.priced or any(part not in rates for part, _ in parts):
        return None
    return sum((rates[part] * amount for part, amount in parts), Decimal())


def _skus(session: Session) -> Iterator[Any]:
    from google.cloud import billing_v1

    request = {"parent": COMPUTE_ENGINE, "page_size": PAGE}
    return rpc_pages(session, "cannot read the price catalog", billing_v1.CloudCatalogClient, "list_skus", request, "skus")


def price_of(sku: Any, unit: str) -> Decimal | None:
    """Return the price of one unit; None for another unit, or none. Of several tiers the last counts: the first may be free."""
    expression = sku.pricing_info[-1].pricing_expression if sku.pricing_info else None
    if expression is None or expression.usage_unit != unit or not expression.tiered_rates:
        return None
    price = expression.tiered_rates[-1].unit_price
    return None if price.currency_code != "USD" else Decimal(price.units) + Decimal(price.nanos).scaleb(-9)
