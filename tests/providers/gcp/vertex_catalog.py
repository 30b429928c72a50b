"""A piece of Vertex AI's part of the Cloud Billing Catalog, with names as Google writes them (https://cloud.google.com/skus).

Those of A3 and H100 are real, with their prices of August 2025: SKUs A002-4323-D900, 2424-9F04-82A8 and AE9C-DB60-DF46, which together were
$12.625919 for an hour of an a3-highgpu-1g in us-central1. The other prices are made up.
"""

from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub
from tests.providers.gcp import catalog_world
from tests.providers.gcp.catalog_world import sku
from tests.providers.gcp.compute_world import OTHER_REGION, REGION

Json = dict[str, Any]
VERTEX, COMPUTE = "services/C7E2-9256-1C43", "services/6F81-5844-456A"
KIND = "Vertex AI: Online/Batch Prediction"


def family(name: str, core: str, ram: str, *, region: str = REGION, place: str = "Belgium") -> list[Json]:
    return [
        sku(f"{KIND} {name} Instance Core running in {place}", core, region=region),
        sku(f"{KIND} {name} Instance Ram running in {place}", ram, unit="GiBy.h", region=region),
    ]


def fee(name: str, core: str, ram: str) -> list[Json]:
    return [
        sku(f"{KIND} management fee on {name} Instance Core in Belgium", core),
        sku(f"{KIND} management fee on {name} Instance RAM in Belgium", ram, unit="GiBy.h"),
    ]


SKUS: list[Json] = [
    *family("N1 Predefined", "0.0400", "0.0050"),
    *family("E2", "0.025", "0.0033"),
    *family("G2", "0.03", "0.0035"),
    *family("A3 Predefined", "0.0293227", "0.0025534", region=OTHER_REGION, place="Iowa"),
    *family("C2", "0.05", "0.006"),
    *fee("E2", "0.003", "0.0004"),
    *fee("G2", "0.004", "0.0005"),
    sku(f"{KIND} Nvidia H100 80gb GPU running in Iowa", "11.2660332", region=OTHER_REGION, group="GPU"),
    sku(f"{KIND} Nvidia Tesla T4 GPU running in Belgium", "0.44", group="GPU"),
    sku(f"{KIND} Nvidia L4 GPU running in Belgium", "0.64", group="GPU"),
    sku(f"{KIND} management fee on NVIDIA L4 in Belgium", "0.084", group="GPU"),
    sku(f"{KIND} C2 Instance Core running in Europe", "0.055"),  # two prices of one thing
    *family("E2", "9", "9", region=OTHER_REGION, place="Iowa"),
    sku("Vertex AI: Training/Pipelines on E2 Instance Core running in Belgium", "7"),
    sku("Vertex AI: Training/Pipelines management fee on E2 Instance Core in Belgium", "7"),
    sku(f"{KIND} E2 Instance Core running in Belgium", "0.01", usage="Commit1Yr"),
    sku("Gemini 2.5 Flash GA Text Output - Predictions", "0.0000025", unit="count"),
]


def serve_catalogs(stub: DiscoveryStub, page: int = 7) -> None:
    """Serve this, and Compute Engine's part."""

    def skus(call: Call) -> Json:
        known = {VERTEX: SKUS, COMPUTE: catalog_world.SKUS}[call["parent"]]
        start = int(call.get("pageToken") or 0)
        rest = {"nextPageToken": str(start + page)} if start + page < len(known) else {}
        return {"skus": known[start : start + page], **rest}

    stub.on("cloudbilling.services.skus.list", skus)
