"""What Vertex AI takes for a replica: its own SKUs added up for a machine type and its GPUs, over HTTP."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, NotAuthenticated, Unavailable
from mcml.cost.meter.live import Doors, Place, look
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import Priced
from mcml.providers.api.endpoint_size import Sized
from mcml.providers.gcp.endpoint import VertexEndpoint
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.vertex_prices import Part, Replica, VertexPrices, model_of, part_of, read_replica
from mcml.store.db import Store
from mcml.store.replica_prices import price_of_replica
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp import compute_world
from tests.providers.gcp.compute_world import OTHER_REGION, REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.endpoint_rig import a_request
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_catalog import KIND, serve_catalogs
from tests.providers.gcp.vertex_stub import Vertex

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
TYPES: dict[str, dict[str, Any]] = {
    "n1-standard-4": {"guestCpus": 4, "memoryMb": 15360},
    "e2-standard-2": {"guestCpus": 2, "memoryMb": 8192},
    "a3-highgpu-1g": {
        "guestCpus": 26,
        "memoryMb": 234 * 1024,
        "accelerators": [{"guestAcceleratorType": "nvidia-h100-80gb", "guestAcceleratorCount": 1}],
        "bundledLocalSsds": {"partitionCount": 2},
    },
}
Prices = Callable[..., VertexPrices]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("aiplatform.v1", "compute.v1", "cloudbilling.v1", accepts=lambda token: token in google.tokens) as stub:
        serve_catalogs(stub)
        world = ComputeWorld(stub)
        for zone in compute_world.ZONES:
            for number, (name, about) in enumerate(TYPES.items()):
                world.kinds["machineTypes"][f"zones/{zone}", name] = {"name": name, "zone": zone, "id": str(900 + number), **about}
        yield stub


@pytest.fixture
def prices(stub: DiscoveryStub, make_session: MakeSession) -> Prices:
    def make(region: str = REGION, **more: Any) -> VertexPrices:
        session = make_session(endpoint=stub.url, region=region, **more)
        session.ctx = replace(session.ctx, clock=lambda: NOON)
        return VertexPrices(session, region)

    return make


@pytest.mark.parametrize(
    ("replica", "region", "amount"),
    [
        ("vertex e2-standard-2", REGION, "0.0764"),  # 2 x 0.025 + 8 x 0.0033
        ("vertex n1-standard-4", REGION, "0.235"),  # 4 x 0.04 + 15 x 0.005
        ("vertex n1-standard-4 + 2 nvidia-tesla-t4", REGION, "1.115"),  # and 2 x 0.44
        ("vertex g2-standard-4", REGION, "0.816"),  # 4 x 0.03 + 16 x 0.0035 + 0.64: its own GPU
        ("vertex a3-highgpu-1g", OTHER_REGION, "12.625919"),  # as it was billed
        ("vertex e2-standard-2 spot", REGION, "0.0252"),  # a quarter of Compute Engine's 2 x 0.02 + 8 x 0.003, and 2 x 0.003 + 8 x 0.0004
    ],
)
def test_a_replica_costs_what_its_parts_do(prices: Prices, replica: str, region: str, amount: str) -> None:
    told = prices(region).price(replica)
    assert told.price is not None, told.why
    assert told.price.price == Decimal(amount)
    assert (told.price.sku, told.price.region, told.price.unit, told.price.currency) == (replica, region, "h", "USD")
    assert (told.price.source, told.price.as_of) == ("Cloud Billing Catalog, Vertex AI prediction", NOON)


def test_the_same_replica_in_other_regions_comes_along(prices: Prices) -> None:
    told = prices().price("vertex e2-standard-2")
    assert [(price.sku, price.region, price.price) for price in told.elsewhere] == [("vertex e2-standard-2", OTHER_REGION, Decimal(90))]
    here = prices().price("vertex a3-highgpu-1g")
    assert (here.price, here.why) == (None, "the catalog of Vertex AI has no price for A3 CORE in europe-west1")
    assert [price.price for price in here.elsewhere] == [Decimal("12.625919")]


def test_spot_with_a_gpu_is_compute_engines_and_the_fee(prices: Prices) -> None:
    told = prices().price("vertex g2-standard-4 spot")
    spot = (4 * Decimal("0.025") + 16 * Decimal("0.0029")) / 4 + Decimal("0.2")
    fee = 4 * Decimal("0.004") + 16 * Decimal("0.0005") + Decimal("0.084")
    assert told.price is not None, told.why
    assert told.price.price == spot + fee


@pytest.mark.parametrize(
    ("replica", "why"),
    [
        ("vertex n2-standard-8", "the catalog of Vertex AI has no price for N2 CORE in europe-west1"),
        ("vertex c2-standard-4", "the catalog of Vertex AI has several prices for C2 CORE in europe-west1"),
        ("vertex n1-standard-4 + 1 nvidia-tesla-p4", "the catalog of Vertex AI has no price for P4 GPU in europe-west1"),
        ("vertex n1-standard-4 spot", "no Spot price of n1-standard-4 in europe-west1 is known"),
        ("vertex n2-standard-8 spot", "the catalog of Vertex AI has no price of the management fee for N2 CORE in europe-west1"),
        ("vertex c3-standard-4-lssd", "what the local SSD of c3-standard-4-lssd costs on Vertex AI is not known"),
        ("vertex x9-standard-4", "Compute Engine has no machine type x9-standard-4 in europe-west1"),
        ("e2-standard-2", "Compute Engine has no machine type e2-standard-2 in europe-west1"),
    ],
)
def test_what_has_no_price_says_why(prices: Prices, replica: str, why: str) -> None:
    told = prices().price(replica)
    assert (told.price, told.why) == (None, why)


def test_the_catalog_is_read_once(prices: Prices, stub: DiscoveryStub) -> None:
    one = prices()
    for machine in ("vertex e2-standard-2", "vertex n1-standard-4", "vertex e2-standard-2"):
        one.price(machine)
    asked = [call["parent"] for call in stub.requests if call.method == "cloudbilling.services.skus.list"]
    assert asked == ["services/C7E2-9256-1C43"] * 4, "four pages"


def test_a_catalog_that_is_busy_is_asked_again_and_one_that_is_closed_says_so(prices: Prices, stub: DiscoveryStub) -> None:
    failures = [GoogleError(429, "Quota exceeded", reason="RATE_LIMIT_EXCEEDED"), GoogleError(503, "busy"), GoogleError(500, "oops")]

    def flaky(call: Call) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {"skus": []}

    stub.on("cloudbilling.services.skus.list", flaky)
    assert prices().price("vertex e2-standard-2").why == "the catalog of Vertex AI has no price for E2 CORE in europe-west1"
    assert not failures

    def closed(call: Call) -> dict[str, Any]:
        raise GoogleError(403, "Cloud Billing API has not been used in project 1 before or it is disabled", reason="SERVICE_DISABLED")

    stub.on("cloudbilling.services.skus.list", closed)
    with pytest.raises((NotAuthenticated, InvalidRequest), match="cannot read the price catalog"):
        prices().price("vertex e2-standard-2")

    def down(call: Call) -> dict[str, Any]:
        raise GoogleError(503, "busy")

    stub.on("cloudbilling.services.skus.list", down)
    with pytest.raises(Unavailable):
        prices().price("vertex e2-standard-2")


def test_what_is_deployed_is_priced_as_its_resources_are(stub: DiscoveryStub, make_session: MakeSession, tmp_path: Path) -> None:
    """So the price of a plan, and of what runs, is one price."""
    Vertex().serve(stub)
    session = make_session(endpoint=stub.url, region=REGION)
    endpoints = VertexEndpoint(session, REGION, "gcp-1", GcsObjectStore(session))
    assert isinstance(endpoints, Sized)
    assert isinstance(endpoints, Priced)
    for number, resources in enumerate(
        (
            {"machine": "n1-standard-4", "accelerator": "NVIDIA_TESLA_T4", "accelerator_count": "2", "replicas": "3", "max_replicas": "5"},
            {"machine": "g2-standard-4", "accelerator": "nvidia-l4", "spot": "true"},
        )
    ):
        size = endpoints.size(resources)
        endpoints.create(a_request("fraud", str(number), content=number + 1, resources=resources))
        made = next(one for one in endpoints.describe("fraud")[0].variants if one.version == str(number))
        assert (made.machine, made.replicas) == (size.machine, size.replicas)
    assert endpoints.size({}).machine == "vertex e2-standard-2"
    assert (size.machine, size.type, size.most_replicas) == ("vertex g2-standard-4 spot", "g2-standard-4", 1)
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        hosted = price_of_replica(store, endpoints, "gcp", REGION, lambda: NOON)
        gpu, spot = look(Place("gcp", "gcp-1", REGION), Doors(endpoints=endpoints, price_of_replica=hosted), no_price, NOON)
    assert (gpu.machine, gpu.count, gpu.hourly, gpu.spot) == ("vertex n1-standard-4 + 2 nvidia-tesla-t4", 3, Decimal("3.345"), False)
    assert (spot.machine, spot.sku, spot.spot) == ("vertex g2-standard-4", "vertex g2-standard-4 spot", True)
    assert spot.hourly == Decimal("0.3446")


def no_price(provider: str, region: str, sku: str) -> UnitPrice | None:
    raise AssertionError(f"the price of the plain machine is asked for: {sku}")


@pytest.mark.parametrize(
    ("description", "part"),
    [
        (f"{KIND} N1 Predefined Instance Core running in Americas", Part("n1", "core", "on demand")),
        (f"{KIND} A2 Instance Ram running in Americas", Part("a2", "ram", "on demand")),
        (f"{KIND} N2D AMD Instance Core running in Tokyo", Part("n2d", "core", "on demand")),
        (f"{KIND} Nvidia A100 80gb GPU running in Iowa", Part("a100 80gb", "gpu", "on demand")),
        (f"{KIND} management fee on A2 Instance RAM in Iowa", Part("a2", "ram", "fee")),
        (f"{KIND} management fee on NVIDIA H100 80GB in Iowa", Part("h100 80gb", "gpu", "fee")),
        ("Vertex AI: Training/Pipelines on A3 Instance Core in Iowa", None),
        ("Vertex AI: Training/Pipelines management fee on NVIDIA H100 80GB in Iowa", None),
        ("E2 Instance Core running in Belgium", None),
        ("", None),
    ],
)
def test_which_part_an_entry_is_about(description: str, part: Part | None) -> None:
    assert part_of(description) == part


def test_names_of_one_gpu() -> None:
    assert {model_of(name) for name in ("nvidia-tesla-t4", "NVIDIA_TESLA_T4", "Nvidia Tesla T4 GPU", "NVIDIA T4")} == {"t4"}
    assert model_of("nvidia-tesla-a100") != model_of("nvidia-a100-80gb") == model_of("Nvidia A100 80gb")


@given(st.text("az09-", max_size=9), st.sampled_from(["", "nvidia-tesla-t4"]), st.integers(1, 8), st.booleans())
def test_a_name_is_read_back(rest: str, gpu: str, count: int, spot: bool) -> None:
    replica = Replica(f"n1-{rest}", gpu, count if gpu else 0, spot)
    assert read_replica(str(replica)) == replica
