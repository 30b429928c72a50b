"""Managed instance groups, zonal and regional, against the small Compute Engine."""

from collections.abc import Callable, Iterator

import pytest

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.groups import Group, Groups
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.groups import GcpGroups
from mcml.testing.contracts.groups import GroupsContract
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.compute_world import REGION, ComputeWorld, add_group
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub

Make = Callable[..., GcpGroups]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("compute.v1", accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> ComputeWorld:
    return ComputeWorld(stub)


@pytest.fixture
def make(stub: DiscoveryStub, world: ComputeWorld, make_session: MakeSession) -> Make:
    return lambda region=REGION: GcpGroups(Compute(make_session(endpoint=stub.url), region))


class TestZonalGroups(GroupsContract):
    SCOPE = "zones/europe-west1-b"

    @pytest.fixture
    def groups(self, make: Make) -> Groups:
        return make()

    @pytest.fixture
    def group(self, world: ComputeWorld) -> str:
        add_group(world, self.SCOPE, "workers")
        return "workers"


class TestRegionalGroups(TestZonalGroups):
    SCOPE = f"regions/{REGION}"


def test_listed_over_zones_regions_and_pages(world: ComputeWorld, make: Make) -> None:
    for number, scope in enumerate(["zones/europe-west1-b", f"regions/{REGION}", "zones/us-central1-a"] * 2):
        add_group(world, scope, f"g{number}")
    world.page = 2
    assert [group.name for group in make("").list()] == [f"g{number}" for number in range(6)]
    assert [group.name for group in make().list({"team": "risk"})] == ["g0", "g1", "g3", "g4"]


def test_groups_of_one_name_are_told_apart(world: ComputeWorld, make: Make) -> None:
    for scope in ("zones/europe-west1-b", f"regions/{REGION}"):
        add_group(world, scope, "twin")
    assert [group.name for group in make().list()] == ["europe-west1-b/twin", "europe-west1/twin"]
    assert make().resize("europe-west1/twin", 2).desired == 2
    assert [group.desired for group in make().list()] == [1, 2]
    with pytest.raises(InvalidRequest):
        make().size("twin")


def test_without_an_autoscaler_googles_own_limits_hold(world: ComputeWorld, make: Make) -> None:
    add_group(world, "zones/europe-west1-b", "a", mode="", allInstancesConfig={"properties": {"labels": {"stage": "prod"}}})
    assert make().size("a") == Group("a", "e2-medium", 1, 1, 0, 1000, {"team": "risk", "stage": "prod"})
    with pytest.raises(InvalidRequest) as many:
        make().resize("a", 1001)
    assert many.value.why == "its limits are 0 and 1000"


def test_an_autoscaler_that_is_on_decides(world: ComputeWorld, make: Make) -> None:
    add_group(world, f"regions/{REGION}", "a", mode="ON")
    with pytest.raises(Conflict) as scaled:
        make().resize("a", 2)
    assert scaled.value.why == "its autoscaler is on and decides its size"
    assert scaled.value.next_step == "gcloud compute instance-groups managed update-autoscaling a --mode=off --region=europe-west1"
    assert world.applied.total() == 0


def test_a_group_of_versions_has_the_first_ones_template(world: ComputeWorld, make: Make) -> None:
    add_group(world, "zones/europe-west1-b", "a")
    (manager,) = world.kinds["instanceGroupManagers"].values()
    manager["versions"] = [{"name": "1", "instanceTemplate": manager.pop("instanceTemplate")}]
    assert make().size("a").machine == "e2-medium"
    del manager["versions"]
    assert (make().size("a").machine, make().size("a").tags) == ("", {})
