"""What machine types of Compute Engine have, as Google's pages say it, and the disks and the image of an instance."""

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.instances import GcpInstances
from mcml.providers.gcp.machine_types import EGRESS_GBPS, Traits, architecture_of, traits_of
from mcml.providers.gcp.prices import Part, Shape, hourly, rates_of
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.catalog_world import serve_catalog, sku
from tests.providers.gcp.compute_world import BASE, REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub

ZONE = "europe-west1-b"
EGRESS = {
    "e2-standard-2": 4, "e2-highmem-4": 8, "e2-highcpu-32": 16, "e2-micro": 1, "e2-medium": 2, "f1-micro": 1,
    "n1-standard-1": 2, "n1-highcpu-4": 10, "n1-standard-96": 32, "custom-6-8192": 10,
    "n2-standard-2": 10, "n2-highmem-8": 16, "n2-standard-128": 32, "n2-custom-6-8192": 10, "n4-standard-64": 45, "n4a-standard-64": 50,
    "t2d-standard-60": 32, "t2a-standard-1": 10, "c2-standard-4": 10, "c2-standard-60": 32, "c2d-highmem-112": 32,
    "c3-standard-22": 23, "c3-standard-44": 32, "c3-standard-88-lssd": 62, "c3-highmem-192-metal": 100, "c3d-standard-30": 20,
    "c3d-standard-360": 100, "c4-standard-2": 10, "c4-standard-24": 23, "c4-standard-288-metal": 100, "c4a-standard-72": 50,
    "c4d-standard-64": 45, "c4d-standard-384": 100, "h3-standard-88": 200, "a2-highgpu-1g": 24, "a2-ultragpu-8g": 100,
    "a2-megagpu-16g": 100, "g2-standard-12": 16, "g2-standard-24": 32, "g2-standard-96": 100, "g4-standard-24": 20, "g4-standard-48": 50,
    "a3-highgpu-4g": 100, "a3-highgpu-8g": None, "a3-megagpu-8g": None, "a4-highgpu-8g": None, "m1-megamem-96": None,
}  # fmt: skip
"""Gbit/s by type, as the tables of the machine families have them."""
VCPUS = {
    "e2-micro": 2, "e2-medium": 2, "f1-micro": 1, "a2-highgpu-1g": 12, "a2-ultragpu-8g": 96, "a2-megagpu-16g": 96, "a3-highgpu-4g": 104,
    "a3-highgpu-8g": 208, "a3-megagpu-8g": 208, "a4-highgpu-8g": 224,
}  # fmt: skip


def machine(name: str, vcpus: int = 4, gpus: Mapping[str, int] | None = None, **about: Any) -> Any:
    from google.cloud import compute_v1

    attached = [{"guest_accelerator_type": kind, "guest_accelerator_count": count} for kind, count in (gpus or {}).items()]
    return compute_v1.MachineType(name=name, guest_cpus=vcpus, memory_mb=4096, accelerators=attached, **about)


def test_bandwidth_as_the_tables_have_it() -> None:
    for name, gbps in EGRESS.items():
        vcpus = VCPUS.get(name) or next(int(part) for part in name.split("-") if part.isdigit())
        assert traits_of(machine(name, vcpus)).network_gbps == gbps, name
    for series, sizes in EGRESS_GBPS.items():
        assert list(sizes) == sorted(sizes), series
        assert traits_of(machine(f"{series}-small-0", sizes[0][0] - 1)).network_gbps is None, series


@pytest.mark.parametrize(
    ("name", "gpus", "wanted"),
    [
        ("g2-standard-24", {"nvidia-l4": 2}, (2, "nvidia-l4", 48)),
        ("a2-highgpu-8g", {"nvidia-tesla-a100": 8}, (8, "nvidia-tesla-a100", 320)),
        ("a2-ultragpu-1g", {"nvidia-a100-80gb": 1}, (1, "nvidia-a100-80gb", 80)),
        ("a3-megagpu-8g", {"nvidia-h100-mega-80gb": 8}, (8, "nvidia-h100-mega-80gb", 640)),
        ("a3-ultragpu-8g", {"nvidia-h200-141gb": 8}, (8, "nvidia-h200-141gb", 1128)),
        ("g4-standard-6", {}, (Decimal("0.125"), "nvidia-rtx-pro-6000", 12)),
        ("g4-standard-24", {"nvidia-rtx-pro-6000": 1}, (Decimal("0.5"), "nvidia-rtx-pro-6000", 48)),
        ("g4-standard-384", {"nvidia-rtx-pro-6000": 8}, (8, "nvidia-rtx-pro-6000", 768)),
        ("a4-highgpu-8g", {"nvidia-b200": 8}, (8, "nvidia-b200", None)),
        ("ct5lp-hightpu-4t", {"ct5lp": 4}, (4, "ct5lp", None)),
        ("n1-standard-8", {}, (0, "", None)),
    ],
)
def test_gpus_that_belong_to_a_type(name: str, gpus: dict[str, int], wanted: tuple[Any, ...]) -> None:
    """Their memory as the pages say it; where they do not, None."""
    found = traits_of(machine(name, gpus=gpus))
    assert (found.gpus, found.gpu, found.gpu_memory_gib) == wanted


def test_a_type_of_which_little_is_told() -> None:
    assert traits_of(machine("x9-standard-4")) == Traits(local_disk_gb=Decimal(0))
    shared = traits_of(machine("e2-small", 2, is_shared_cpu=True, architecture="X86_64"))
    assert shared == Traits("x86_64", network_gbps=Decimal(1), burstable=True, local_disk_gb=Decimal(0))
    ssds = machine("c9-standard-4-lssd", bundled_local_ssds={"partition_count": 2})
    assert traits_of(ssds).local_disk_gb == 2 * Decimal("402.653184")
    assert [architecture_of(told) for told in ("ARM64", "ARCHITECTURE_UNSPECIFIED", "")] == ["arm64", "", ""]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("compute.v1", "cloudbilling.v1", accepts=lambda token: token in google.tokens) as stub:
        serve_catalog(stub)
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> ComputeWorld:
    return ComputeWorld(stub)


@pytest.fixture
def instances(stub: DiscoveryStub, world: ComputeWorld, make_session: MakeSession) -> Callable[[], GcpInstances]:
    return lambda: GcpInstances(Compute(make_session(endpoint=stub.url, region=REGION), REGION))


def test_prices_tell_what_a_type_has(instances: Callable[[], GcpInstances]) -> None:
    medium, g2 = instances().prices(["e2-medium", "g2-standard-4"])
    assert (medium.architecture, medium.burstable, medium.network_gbps, medium.gpus) == ("x86_64", True, Decimal(2), Decimal(0))
    assert (g2.gpus, g2.gpu, g2.gpu_memory_gib, g2.burstable) == (Decimal(1), "nvidia-l4", Decimal(24), False)


def test_attached_gpus_do_not_go_along(world: ComputeWorld, instances: Callable[[], GcpInstances]) -> None:
    """Google would refuse it too; an L4 belongs to its type, and a type without is another machine."""
    gpus = [{"acceleratorType": f"{BASE}/zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}]
    for name, kind in (("old", "n1-standard-8"), ("new", "g2-standard-4")):
        world.add_instance(ZONE, name, kind, status="TERMINATED", guestAccelerators=gpus)
    with pytest.raises(InvalidRequest) as refused:
        instances().resize("old", "n2-standard-8")
    assert (refused.value.why, refused.value.next_step) == ("GPUs are attached to it, and only N1 machines have such", "take an N1 type")
    assert world.applied["instances.setMachineType"] == 0
    about = {"guestCpus": 4, "memoryMb": 15360}
    world.kinds["machineTypes"][f"zones/{ZONE}", "n1-standard-4"] = {"name": "n1-standard-4", "zone": ZONE, "id": "1", **about}
    assert instances().resize("old", "n1-standard-4").machine == "n1-standard-4"
    assert instances().resize("new", "e2-standard-4").machine == "e2-standard-4"


def test_the_boot_disk_is_the_first(world: ComputeWorld, instances: Callable[[], GcpInstances]) -> None:
    """A regional disk is named by its region, and a local SSD not at all."""
    disks = [
        {"source": f"{BASE}/zones/{ZONE}/disks/data", "architecture": "X86_64"},
        {"type": "SCRATCH", "interface": "NVME"},
        {"source": f"{BASE}/regions/{REGION}/disks/shared"},
        {"source": f"{BASE}/zones/{ZONE}/disks/web", "boot": True, "architecture": "ARM64"},
    ]
    world.add_instance(ZONE, "web", disks=disks)
    world.add_instance(ZONE, "bare")
    bare, web = sorted(instances().list(), key=lambda one: one.id)
    assert web.disks == (f"{ZONE}/web", f"{ZONE}/data", f"{REGION}/shared")
    assert web.architecture == "arm64"
    assert (bare.disks, bare.architecture) == ((), "")


def test_a_part_that_is_listed_at_nothing_has_no_price() -> None:
    """A family that is not sold yet would be the cheapest of all."""
    from google.cloud import billing_v1

    said = [sku("N4 Instance Core running in Belgium", "0"), sku("N4 Instance Ram running in Belgium", "0.004", unit="GiBy.h")]
    rates = rates_of([billing_v1.Sku.from_json(json.dumps(one)) for one in said], REGION)
    assert rates == {Part("n4", "ram", "on demand"): Decimal("0.004")}
    assert hourly(Shape("n4", Decimal(2), Decimal(8)), rates, "on demand") is None
