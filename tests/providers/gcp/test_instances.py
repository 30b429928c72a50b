"""Instances over Google's own client against the small Compute Engine, and prices out of the piece of a catalog."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.api.instances import Instance, Instances, MachineRequest, Noticed
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.instances import RATES_HOLD, GcpInstances, open_instances
from mcml.providers.gcp.snapshots import GcpSnapshots
from mcml.store.db import Store
from mcml.testing.contracts.instances import InstancesContract
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.cost.spot.on_stub import Job, check
from tests.providers.gcp.catalog_world import SKUS, serve_catalog
from tests.providers.gcp.compute_world import MACHINES, REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.google_stub import GoogleStub

SPOT = MachineRequest("e2-medium", "token-1", ("python", "-m", "train it"), tags={"team": "risk"})


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("compute.v1", "cloudbilling.v1", accepts=lambda token: token in google.tokens) as stub:
        serve_catalog(stub)
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> ComputeWorld:
    return ComputeWorld(stub)


@pytest.fixture
def make(stub: DiscoveryStub, world: ComputeWorld, make_session: MakeSession) -> Callable[..., GcpInstances]:
    def make(region: str = REGION, **settings: Any) -> GcpInstances:
        return GcpInstances(Compute(make_session(endpoint=stub.url, region=region, **settings), region))

    return make


class TestInstances(InstancesContract):
    @pytest.fixture
    def instances(self, make: Callable[..., GcpInstances]) -> Instances:
        return make()

    @pytest.fixture
    def request_for_spot(self) -> MachineRequest:
        return SPOT

    @pytest.fixture
    def other_machine(self) -> str:
        return "n2-standard-8"

    @pytest.fixture
    def take_away(self, world: ComputeWorld) -> Callable[[str], None]:
        return world.preempt

    @pytest.fixture
    def snapshots(self, make: Callable[..., GcpInstances]) -> Snapshots:
        return GcpSnapshots(make()._compute)


def test_opened_from_a_context(stub: DiscoveryStub, world: ComputeWorld, make_context: MakeContext) -> None:
    world.add_instance("europe-west1-c", "web", labels={"team": "risk"})
    world.add_instance("us-central1-a", "far")
    (found,) = open_instances(make_context(endpoint=stub.url, region=REGION)).list()
    assert (found.id, found.machine, found.zone, found.tags) == ("europe-west1-c/web", "e2-medium", "europe-west1-c", {"team": "risk"})
    assert found.launched.utcoffset() is not None


def test_a_member_of_a_managed_group_says_so(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    maker = "projects/7/zones/europe-west1-c/instanceGroupManagers/workers"
    for name, value in (("member", maker), ("single", "projects/7/zones/europe-west1-c/somethingElse/x")):
        world.add_instance("europe-west1-c", name, metadata={"items": [{"key": "created-by", "value": value}]})
    assert {one.id: one.group for one in make().list()} == {"europe-west1-c/member": "workers", "europe-west1-c/single": ""}


def test_listed_over_all_zones_and_pages(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    for number in range(7):
        world.add_instance(("europe-west1-b", "us-central1-a")[number % 2], f"m{number}")
    world.page = 3
    assert [one.id.partition("/")[2] for one in make(region="").list()] == [f"m{number}" for number in range(7)]
    assert len(make().list()) == 4


def test_a_name_alone_must_be_one_machines(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    for zone in ("europe-west1-b", "us-central1-a"):
        world.add_instance(zone, "twin", status="TERMINATED")
    with pytest.raises(InvalidRequest) as two:
        make(region="").start("twin")
    assert (two.value.message, two.value.why) == ("which instance 'twin'?", "there is one in europe-west1-b, us-central1-a")
    assert make(region="").start("us-central1-a/twin").state == "running"
    assert make().start("twin").id == "europe-west1-b/twin"


def test_what_a_spot_machine_is_made_of(stub: DiscoveryStub, world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    make(zone="europe-west1-c", service_account="runner@stub-project.iam.gserviceaccount.com").request(SPOT)
    (call,) = stub.calls("instances.insert")
    body = call.body
    assert call["zone"] == "europe-west1-c"
    assert body["scheduling"] == {
        "provisioningModel": "SPOT", "instanceTerminationAction": "STOP", "automaticRestart": False, "onHostMaintenance": "TERMINATE",
    }  # fmt: skip
    assert body["metadata"]["items"] == [{"key": "startup-script", "value": "#!/bin/sh\npython -m 'train it'\nshutdown -h now\n"}]
    assert body["serviceAccounts"][0]["email"].startswith("runner@")
    assert body["networkInterfaces"] == [{"network": "global/networks/default"}]


@pytest.mark.parametrize(("machine", "more"), [("e2-medium", {}), ("g2-standard-4", {"onHostMaintenance": "TERMINATE"})])
def test_what_a_machine_on_demand_is_made_of(
    stub: DiscoveryStub, make: Callable[..., GcpInstances], machine: str, more: dict[str, str]
) -> None:
    """Google moves it while it runs, unless it has GPUs."""
    made = make().request(replace(SPOT, machine=machine, spot=False))
    (call,) = stub.calls("instances.insert")
    assert call.body["scheduling"] == {"provisioningModel": "STANDARD", "automaticRestart": True, **more}
    assert call.body["metadata"]["items"][0]["key"] == "startup-script"
    assert (made.spot, made.state, made.account) == (False, "running", "stub-project"), "two projects may have machines of one name"


def test_a_spot_machine_that_is_stopping_has_half_a_minute(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    """Google tells nothing before that from outside; one on demand that is stopped has nothing to do with it."""
    instances = make()
    assert isinstance(instances, Noticed)
    spot, calm = (instances.request(replace(SPOT, token=token)).id for token in ("a", "b"))
    world.add_instance("europe-west1-b", "web", status="STOPPING")
    asked = [spot, calm, "europe-west1-b/web"]
    assert instances.notices(asked) == {}
    zone, _, name = spot.partition("/")
    world.kinds["instances"][f"zones/{zone}", name]["status"] = "STOPPING"
    now = instances._compute.session.ctx.clock()
    (told,) = instances.notices(asked).items()
    assert (told[0], abs((told[1] - now).total_seconds() - 30) < 5) == (spot, True)
    assert instances.notices([calm]) == {}


def test_a_spot_job_falls_back_on_demand_and_leaves_nothing_running(
    world: ComputeWorld, make: Callable[..., GcpInstances], tmp_path: Path
) -> None:
    def preempt(one: Instance) -> None:
        world.preempt(one.id)
        world.no_spot = True

    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        check(Job(make(), "e2-medium", preempt), store)
    assert {one["status"] for one in world.kinds["instances"].values()} == {"TERMINATED"}


def test_the_next_zone_when_one_has_none(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.broken["europe-west1-b"] = "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert make().request(SPOT).zone == "europe-west1-c"
    world.broken["europe-west1-c"] = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    with pytest.raises(QuotaExceeded) as full:
        make().request(replace(SPOT, token="token-2"))
    assert full.value.message == "cannot start spot e2-medium in europe-west1-c"
    assert full.value.why.startswith("Google answered ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: The zone does not have enough")
    assert full.value.next_step == "try another zone, machine type or time"


@pytest.mark.parametrize(
    ("code", "kind", "step"),
    [
        ("QUOTA_EXCEEDED", QuotaExceeded, "gcloud compute project-info describe --project=stub-project"),
        ("RESOURCE_NOT_READY", Conflict, ""),
        ("RESOURCE_OPERATION_RATE_EXCEEDED", Unavailable, "mcml doctor"),
        ("IP_SPACE_EXHAUSTED", QuotaExceeded, "gcloud compute networks subnets list --project=stub-project"),
        ("SOMETHING_NEW", InvalidRequest, ""),
    ],
)
def test_what_the_error_of_an_operation_means(
    world: ComputeWorld, make: Callable[..., GcpInstances], code: str, kind: type[Exception], step: str
) -> None:
    world.add_instance("europe-west1-b", "web", status="TERMINATED")
    world.broken["europe-west1-b"] = code
    with pytest.raises(kind) as told:
        make().start("web")
    assert str(told.value) == "cannot start instance 'web'"
    assert told.value.next_step == step  # type: ignore[attr-defined]


def test_an_operation_is_waited_for_and_not_for_ever(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.add_instance("europe-west1-b", "web")
    world.polls = 5
    instances = make()
    assert instances.stop("web").state == "stopped"
    world.polls = 10_000
    with pytest.raises(StillRunning) as slow:
        instances.start("web")
    assert slow.value.message.startswith("start instance 'web': still under way after 6")
    assert slow.value.next_step.startswith("gcloud compute operations describe operation-")


def test_a_machine_that_sleeps_wakes_up(stub: DiscoveryStub, world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.add_instance("europe-west1-b", "web", status="SUSPENDED")
    assert make().start("web").state == "running"
    assert len(stub.calls("instances.resume")) == 1


def test_without_a_region_there_is_no_place_and_no_price(make: Callable[..., GcpInstances]) -> None:
    for act in (lambda: make(region="").request(SPOT), lambda: make(region="").prices()):
        with pytest.raises(InvalidRequest) as nowhere:
            act()
        assert nowhere.value.why == "neither the target has a region nor [providers.gcp] a zone"


def test_a_type_that_is_nowhere_has_a_near_one(make: Callable[..., GcpInstances]) -> None:
    with pytest.raises(InvalidRequest) as typo:
        make().prices(["e2-mediun"])
    assert typo.value.why == "did you mean 'e2-medium'?"


def test_prices_are_composed(make: Callable[..., GcpInstances]) -> None:
    found = {price.machine: price for price in make().prices()}
    assert set(found) == set(MACHINES)
    told = {name: (price.vcpus, price.memory_gib, price.on_demand, price.spot) for name, price in found.items()}
    some = Decimal
    assert told["e2-medium"] == (some(1), some(4), some("0.032"), some("0.008"))  # 1 x 0.02 + 4 x 0.003
    assert told["e2-standard-4"][2:] == (some("0.128"), some("0.032"))
    assert told["n2-standard-8"][2:] == (some("0.368"), some("0.092"))
    assert told["c2-standard-4"][2:] == (some("0.232"), some("0.058"))
    assert told["g2-standard-4"][2:] == (some("0.7064"), some("0.2366"))  # with its GPU: 0.56, Spot 0.2
    assert told["m1-megamem-96"][2:] == (None, None)
    assert told["c3-standard-4-lssd"][2:] == (None, None)
    assert {(price.region, price.currency) for price in found.values()} == {(REGION, "USD")}


def test_the_catalog_is_read_once_and_anew_when_it_may_have_changed(stub: DiscoveryStub, make: Callable[..., GcpInstances]) -> None:
    """The price says when it was read, not when it was asked for."""
    instances, pages, began = make(), -(-len(SKUS) // 10), utc_now()
    session = instances._compute.session
    read = []
    for later in (timedelta(0), RATES_HOLD / 2, RATES_HOLD, RATES_HOLD * 1.5, timedelta(hours=-1)):
        session.ctx = replace(session.ctx, clock=lambda: began + later)  # noqa: B023 - asked at once
        read.append((instances.prices(["e2-medium"])[0].as_of - began, len(stub.calls("skus.list")) // pages))
    assert read == [(timedelta(0), 1), (timedelta(0), 1), (RATES_HOLD, 2), (RATES_HOLD, 2), (timedelta(hours=-1), 3)]


def test_a_listing_that_turns_in_a_circle_ends(stub: DiscoveryStub, make: Callable[..., GcpInstances]) -> None:
    instances = make()
    stub.on("cloudbilling.services.skus.list", lambda _: {"skus": [], "nextPageToken": "2"})
    with pytest.raises(Unavailable, match="cannot read the price catalog") as prices:
        instances.prices(["e2-medium"])
    stub.on("compute.instances.aggregatedList", lambda _: {"items": {}, "nextPageToken": "2"})
    with pytest.raises(Unavailable, match="cannot list the instances") as listing:
        instances.list()
    assert {one.value.why for one in (prices, listing)} == {"Google gives the same page of the listing again and again"}
    assert [len(stub.calls(name)) for name in ("skus.list", "instances.aggregatedList")] == [2, 2]


def test_one_type_is_looked_for_by_its_name(stub: DiscoveryStub, make: Callable[..., GcpInstances]) -> None:
    """There are tens of thousands over all zones."""
    make().prices(["e2-medium"])
    (call,) = stub.calls("machineTypes.aggregatedList")
    assert call["filter"] == 'name = "e2-medium"'


def test_extended_memory_has_a_rate_that_is_not_known(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    for name in ("n2-custom-4-8192", "n2-custom-4-65536-ext"):
        about = {"guestCpus": 4, "memoryMb": int(name.split("-")[3])}
        world.kinds["machineTypes"]["zones/europe-west1-b", name] = {"name": name, "zone": "europe-west1-b", "id": "1", **about}
    plain, extended = make().prices(["n2-custom-4-8192", "n2-custom-4-65536-ext"])
    assert plain.on_demand == Decimal("0.1596")  # 4 x 0.0315 + 8 x 0.0042
    assert (extended.on_demand, extended.spot) == (None, None)


def test_a_custom_type_where_no_zone_is_up(make: Callable[..., GcpInstances]) -> None:
    with pytest.raises(InvalidRequest) as nowhere:
        make(region="mars-north1").prices(["n2-custom-4-8192"])
    assert nowhere.value.message == "no machine type 'n2-custom-4-8192' in mars-north1"


def test_a_zone_that_does_not_answer_is_not_an_empty_one(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.add_instance("europe-west1-b", "web")
    world.silent = {"europe-west1-b"}
    for ask in (lambda: make().list(), lambda: make().stop("web")):
        with pytest.raises(Unavailable) as silent:
            ask()
        assert silent.value.why == "Google does not tell about europe-west1-b"
    world.silent = {"us-central1-a"}
    assert [one.id for one in make().list()] == ["europe-west1-b/web"]


def test_one_that_is_being_stopped_is_not_started(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.add_instance("europe-west1-b", "web", status="STOPPING")
    with pytest.raises(Conflict) as early:
        make().start("web")
    assert (early.value.why, early.value.next_step) == ("it is stopping", "try again when it has stopped")


def test_a_conflict_that_is_not_about_the_name_is_told(world: ComputeWorld, make: Callable[..., GcpInstances]) -> None:
    world.broken["europe-west1-b"] = "RESOURCE_NOT_READY"
    with pytest.raises(Conflict) as told:
        make().request(SPOT)
    assert told.value.why.startswith("Google answered RESOURCE_NOT_READY")


def test_no_bid_without_a_price(make: Callable[..., GcpInstances]) -> None:
    with pytest.raises(QuotaExceeded) as unknown:
        make().request(MachineRequest("m1-megamem-96", "token-3", max_price=Decimal(100)))
    assert unknown.value.why == "its price in europe-west1 is not known, at most 100 was offered"
