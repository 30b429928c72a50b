"""A piece of the Cloud Billing Catalog: entries as Google writes them, among others that are not prices of machines."""

from decimal import Decimal
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub
from tests.providers.gcp.compute_world import OTHER_REGION, REGION

Json = dict[str, Any]


def sku(description: str, price: str, *, usage: str = "OnDemand", unit: str = "h", region: str = REGION, group: str = "CPU") -> Json:
    units, _, rest = price.partition(".")
    expression = {
        "usageUnit": unit,
        "displayQuantity": 1,
        "tieredRates": [
            {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": units, "nanos": int(Decimal(f"0.{rest or 0}") * 10**9)}}
        ],
    }
    return {
        "name": f"services/6F81-5844-456A/skus/{abs(hash((description, region)))}",
        "description": description,
        "category": {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "resourceGroup": group, "usageType": usage},
        "serviceRegions": [region],
        "pricingInfo": [{"effectiveTime": "2026-11-01T00:00:00Z", "pricingExpression": expression}],
    }


def machine(family: str, core: str, ram: str, *, region: str = REGION, place: str = "Belgium") -> list[Json]:
    """On demand, and Spot at a quarter of it."""
    found = []
    for prefix, usage, share in (("", "OnDemand", Decimal(1)), ("Spot Preemptible ", "Preemptible", Decimal("0.25"))):
        for part, price, unit in (("Core", core, "h"), ("Ram", ram, "GiBy.h")):
            told = f"{prefix}{family} {part} running in {place}"
            found.append(sku(told, str(Decimal(price) * share), usage=usage, unit=unit, region=region))
    return found


SKUS: list[Json] = [
    *machine("E2 Instance", "0.02", "0.003"),
    *machine("N2 Instance", "0.03", "0.004"),
    *machine("N2 Custom Instance", "0.0315", "0.0042"),
    *machine("Compute optimized", "0.04", "0.0045"),
    *machine("G2 Instance", "0.025", "0.0029"),
    *machine("Memory-optimized Instance", "0.0348", "0.0051"),
    *machine("C3 Instance", "0.034", "0.0046"),
    *machine("E2 Instance", "9.0", "9.0", region=OTHER_REGION, place="Iowa"),
    sku("Nvidia L4 GPU running in Belgium", "0.56", group="GPU"),
    sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Belgium", "0.2", usage="Preemptible", group="GPU"),
    sku("N2 Sole Tenancy Instance Core running in Belgium", "7.0"),
    sku("Commitment v1: E2 Cpu in Belgium for 1 Year", "0.01", usage="Commit1Yr"),
    sku("Commitment: Compute optimized Core running in Belgium for 1 Year", "0.01", usage="Commit1Yr"),
    sku("E2 Instance Core running in Belgium", "8.0", unit="s"),
    sku("Balanced PD Capacity in Belgium", "0.1", unit="GiBy.mo", group="SSD"),
    {"name": "services/6F81-5844-456A/skus/none", "description": "E2 Instance Core running in Nowhere", "category": {}},
]


def serve_catalog(stub: DiscoveryStub, page: int = 10) -> None:
    def skus(call: Call) -> Json:
        assert call["parent"] == "services/6F81-5844-456A"
        start = int(call.get("pageToken") or 0)
        rest = {"nextPageToken": str(start + page)} if start + page < len(SKUS) else {}
        return {"skus": SKUS[start : start + page], **rest}

    stub.on("cloudbilling.services.skus.list", skus)
