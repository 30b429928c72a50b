"""Virtual machines against the ARM stub and a stub of the price list: the contract, faults, and what Azure has of its own."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.compute.models import VirtualMachine

from mcml.core.errors import InvalidRequest, NotFound, QuotaExceeded, Unavailable, Usage
from mcml.providers.api.instances import Instance, Instances, MachineRequest
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.azure.instance_states import (
    first_boot,
    image_reference,
    last_change_is_eviction,
    offered_price,
    state_of,
    to_instance,
)
from mcml.providers.azure.instances import AzureInstances
from mcml.providers.azure.prices import newest, to_price
from mcml.providers.azure.session import Session
from mcml.providers.azure.snapshots import AzureSnapshots
from mcml.store.db import Store
from mcml.testing.contracts.instances import InstancesContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, missing, throttled
from mcml.testing.stubs.faults import Answer, FaultProxy, HalfBody, Reset
from tests.cost.spot.on_stub import Job, check
from tests.providers.azure import prices_stub
from tests.providers.azure.compute_world import IMAGE, SUBNET, ComputeWorld, id_of
from tests.providers.azure.conftest import MakeSession, Waits, management_session
from tests.providers.azure.fleet_world import DisksWorld
from tests.providers.azure.prices_stub import row

REQUEST = MachineRequest("Standard_D2s_v3", "t-1", ("python", "train.py", "--name", "a b"), tags={"team": "risk"})


@pytest.fixture(scope="module")
def price_list() -> Iterator[str]:
    with prices_stub.serving() as url:
        yield url


@pytest.fixture
def session(arm: ArmStub, make_session: MakeSession, price_list: str) -> Session:
    return management_session(make_session, arm.url, prices=price_list, subnet=SUBNET, image=IMAGE)


@pytest.fixture
def world(arm: ArmStub) -> ComputeWorld:
    return ComputeWorld(arm)


@pytest.fixture
def instances(session: Session, world: ComputeWorld) -> AzureInstances:
    return AzureInstances(session, "westeurope", "az-weu")


class TestInstances(InstancesContract):
    """The contract."""

    @pytest.fixture
    def instances(self, session: Session, world: ComputeWorld) -> Instances:
        return AzureInstances(session, "westeurope", "az-weu")

    @pytest.fixture
    def request_for_spot(self) -> MachineRequest:
        return REQUEST

    @pytest.fixture
    def other_machine(self, arm: ArmStub) -> Iterator[str]:
        yield "Standard_D4s_v3"
        arm.problems[:] = [told for told in arm.problems if "'mcml-no-such-machine' is none of" not in told]

    @pytest.fixture
    def take_away(self, world: ComputeWorld) -> Callable[[str], None]:
        return world.evict

    @pytest.fixture
    def snapshots(self, arm: ArmStub, session: Session, spot: Instance) -> Snapshots:
        world = DisksWorld(arm)
        for disk in spot.disks:
            world.add(disk.rpartition("/")[2], "models")
        return AzureSnapshots(session, "westeurope", "az-weu")


def test_what_is_asked_for_a_spot_machine(instances: AzureInstances, arm: ArmStub) -> None:
    instances.request(replace(REQUEST, max_price=Decimal("0.1234567")))
    (put,) = arm.sent("PUT")
    said = put.body["properties"]
    assert (said["priority"], said["evictionPolicy"], said["billingProfile"]) == ("Spot", "Deallocate", {"maxPrice": 0.12345})
    (card,) = said["networkProfile"]["networkInterfaceConfigurations"]
    assert said["networkProfile"]["networkApiVersion"] == "2020-11-01"
    assert card["properties"]["ipConfigurations"][0]["properties"] == {"primary": True, "subnet": {"id": SUBNET}}
    assert "publicIPAddressConfiguration" not in json.dumps(put.body)
    login = said["osProfile"]
    assert "adminPassword" not in login
    assert login["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")
    assert "python train.py --name 'a b'\\nshutdown -h now" in base64.b64decode(login["customData"]).decode()
    assert put.headers["if-none-match"] == "*"
    assert put.body["tags"]["managed-by"] == "mcml"


def test_what_is_asked_for_a_machine_on_demand(instances: AzureInstances, arm: ArmStub) -> None:
    made = instances.request(replace(REQUEST, spot=False))
    (put,) = arm.sent("PUT")
    said = put.body["properties"]
    assert (said["priority"], said.get("evictionPolicy"), said.get("billingProfile")) == ("Regular", None, None)
    assert "\\npython train.py" in base64.b64decode(said["osProfile"]["customData"]).decode()
    assert (made.spot, made.state) == (False, "running")


def test_a_spot_job_falls_back_on_demand_and_leaves_nothing_running(
    instances: AzureInstances, world: ComputeWorld, tmp_path: Path
) -> None:
    def evict(one: Instance) -> None:
        world.evict(one.id)
        world.no_spot = True

    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        check(Job(instances, "Standard_D2s_v3", evict), store)
    assert set(world.power.values()) == {"deallocated"}


def test_the_name_comes_of_the_token_and_the_target(instances: AzureInstances, session: Session) -> None:
    one = instances.request(REQUEST)
    assert one.id.startswith(id_of("Microsoft.Compute/virtualMachines", "mcml-machine-"))
    assert AzureInstances(session, "westeurope", "other").request(REQUEST).id != one.id
    with pytest.raises(InvalidRequest) as caught:
        instances.request(replace(REQUEST, command=("rm",)))
    assert "another command" in caught.value.why
    with pytest.raises(InvalidRequest):
        instances.request(replace(REQUEST, token=""))


def test_a_machine_that_gets_no_place_is_removed(instances: AzureInstances, world: ComputeWorld) -> None:
    world.no_capacity = True
    with pytest.raises(QuotaExceeded, match="cannot start spot Standard_D2s_v3") as caught:
        instances.request(REQUEST)
    assert "none of these machines free" in caught.value.why
    assert "az vm list-skus" in caught.value.next_step
    assert world.machines == {}


def test_a_refusal_for_quota_does_not_remove_the_machine_that_is_there(
    session: Session, instances: AzureInstances, world: ComputeWorld, arm: ArmStub
) -> None:
    """Somebody else with the same token was faster, and took the last of the quota."""
    spot = instances.request(REQUEST)
    arm.fail(missing("m"), ArmError(409, "QuotaExceeded", "no more"), only=lambda one: one.path.endswith(spot.id.rpartition("/")[2]))
    assert instances.request(REQUEST).id == spot.id
    assert len(world.machines) == 1
    assert len([one for one in world.writes if not one.startswith("create")]) == 0


def test_a_machine_without_a_view_yet_is_pending(instances: AzureInstances, world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    at = world.add("m1", power="")
    view = world._view

    def none_yet(machine: dict[str, Any]) -> Any:
        return view(machine) if machine["name"] != "m1" else None

    monkeypatch.setattr(world, "_view", none_yet)
    assert instances.stop(at).state == "pending"


def test_no_capacity_at_a_start(instances: AzureInstances, world: ComputeWorld) -> None:
    at = world.add("m1", power="deallocated")
    world.no_capacity = True
    with pytest.raises(QuotaExceeded, match="cannot start machine m1"):
        instances.start(at)


def test_a_stop_deallocates_also_what_was_shut_down_inside(instances: AzureInstances, world: ComputeWorld) -> None:
    at = world.add("m1", power="stopped")
    assert instances.list()[0].state == "stopped"
    assert instances.stop(at).state == "stopped"
    assert world.power["m1"] == "deallocated"


def test_a_stopped_spot_machine_was_not_taken_away(instances: AzureInstances, world: ComputeWorld) -> None:
    spot = instances.request(REQUEST)
    world.evict(spot.id)
    assert instances.list()[0].state == "interrupted"
    instances.start(spot.id)
    assert instances.stop(spot.id).state == "stopped"


def test_listed_of_its_region_page_by_page(instances: AzureInstances, world: ComputeWorld, session: Session) -> None:
    for number in range(3):
        world.add(f"m{number}", zones=["2"], tags={"Team": "risk"})
    world.add("far", location="brazilsouth")
    found = instances.list({"team": "risk"})
    assert [one.id for one in found] == [id_of("Microsoft.Compute/virtualMachines", f"m{number}") for number in range(3)]
    assert {one.zone for one in found} == {"westeurope-2"}
    assert len(AzureInstances(session).list()) == 4


def test_named_by_its_name_alone(instances: AzureInstances, world: ComputeWorld, make_session: MakeSession, arm: ArmStub) -> None:
    world.add("m1")
    assert instances.stop("m1").id == id_of("Microsoft.Compute/virtualMachines", "m1")
    for wrong in ("", "a/b", "../x", id_of("Microsoft.Compute/disks", "m1")):
        with pytest.raises(NotFound):
            instances.stop(wrong)
    nowhere = AzureInstances(management_session(make_session, arm.url, resource_group=""))
    with pytest.raises(Usage) as caught:
        nowhere.stop("m1")
    assert "resource_group" in caught.value.next_step


@pytest.mark.parametrize("lacking", ["subnet", "image"])
def test_settings_that_a_machine_needs(make_session: MakeSession, arm: ArmStub, world: ComputeWorld, lacking: str) -> None:
    given = {"subnet": SUBNET, "image": IMAGE, lacking: ""}
    with pytest.raises(Usage) as caught:
        AzureInstances(management_session(make_session, arm.url, **given), "westeurope").request(REQUEST)
    assert f"set {lacking} in [providers.azure]" in caught.value.next_step


def test_prices_are_of_linux_and_of_today(instances: AzureInstances) -> None:
    small, large, without = instances.prices()
    assert (small.on_demand, small.spot, small.currency, small.region) == (Decimal("0.12"), Decimal("0.024"), "USD", "westeurope")
    assert (large.machine, large.vcpus, large.memory_gib) == ("Standard_D4s_v3", Decimal(4), Decimal(16))
    assert (without.on_demand, without.spot) == (None, None)
    with pytest.raises(InvalidRequest) as caught:
        instances.prices(["Standard_D2s_v4"])
    assert "did you mean" in caught.value.why
    with pytest.raises(Usage):
        AzureInstances(instances.session).prices()


@pytest.mark.parametrize("fault", [Reset(), Answer(500), Answer(429, {"Retry-After": "3"}), HalfBody()], ids=str)
def test_the_price_list_is_asked_again(make_session: MakeSession, arm: ArmStub, world: ComputeWorld, price_list: str, fault: Any) -> None:
    waits = Waits()
    with FaultProxy(price_list) as proxy:
        session = management_session(make_session, arm.url, prices=proxy.url, policy=waits.policy())
        proxy.script(fault)
        assert AzureInstances(session, "westeurope").prices(["Standard_D2s_v3"])[0].spot == Decimal("0.024")
        assert len(waits.seconds) == 1
        assert waits.seconds[0] >= (3 if isinstance(fault, Answer) and fault.status == 429 else 0)


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (Answer(503), Unavailable, "answers 503"),
        (Answer(400), InvalidRequest, "answers 400"),
        (Answer(200, {}, b"<html>hotel</html>"), Unavailable, "not the price list"),
        (Reset(), Unavailable, "no whole answer came"),
    ],
)
def test_a_price_list_that_fails(
    make_session: MakeSession, arm: ArmStub, world: ComputeWorld, price_list: str, fault: Any, kind: type[Exception], why: str
) -> None:
    with FaultProxy(price_list) as proxy:
        session = management_session(make_session, arm.url, prices=proxy.url)
        proxy.script(*[fault] * 9)
        with pytest.raises(kind, match="cannot read Azure's prices") as caught:
            AzureInstances(session, "westeurope").prices(["Standard_D2s_v3"])
        assert why in caught.value.why  # type: ignore[attr-defined]
        assert caught.value.next_step  # type: ignore[attr-defined]


def test_throttled_with_a_wait(world: ComputeWorld, arm: ArmStub, make_session: MakeSession) -> None:
    waits, at = Waits(), world.add("m1")
    arm.fail(throttled(7))
    AzureInstances(management_session(make_session, arm.url, policy=waits.policy())).stop(at)
    assert waits.seconds[0] >= 7


@pytest.mark.parametrize(
    ("provisioning", "power", "evicted", "state"),
    [
        ("Succeeded", "running", False, "running"), ("Creating", "", False, "pending"), ("Updating", "starting", False, "pending"),
        ("Succeeded", "deallocating", True, "running"), ("Succeeded", "deallocated", False, "stopped"),
        ("Succeeded", "deallocated", True, "interrupted"), ("Succeeded", "stopped", True, "stopped"), ("Failed", "", True, "stopped"),
        ("Deleting", "running", False, "terminated"), ("Succeeded", "unknown", False, "pending"),
    ],
)  # fmt: skip
def test_states(provisioning: str, power: str, evicted: bool, state: str) -> None:
    assert state_of(provisioning, power, lambda: evicted) == state


def test_the_last_change_counts() -> None:
    at = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    evict, start = "Microsoft.Compute/virtualMachines/evictSpotVM/action", "Microsoft.Compute/virtualMachines/start/action"
    assert last_change_is_eviction([(at[1], evict), (at[0], start)])
    assert not last_change_is_eviction([(at[1], evict), (at[2], start)])
    assert last_change_is_eviction([(at[1], evict), (at[2], "Microsoft.Compute/virtualMachines/write")])  # of a tag, or of its type
    assert last_change_is_eviction([(at[0], "MICROSOFT.COMPUTE/VIRTUALMACHINES/SIMULATEEVICTION/ACTION"), (at[1], "Microsoft.Tags/write")])
    assert not last_change_is_eviction([])


def test_small_things() -> None:
    assert [offered_price(price) for price in (None, Decimal("0.5"), Decimal("0.000019"), Decimal("0.000009"))] == [-1, 0.5, 0.00001, None]
    assert image_reference("/subscriptions/x/y") == {"id": "/subscriptions/x/y"}
    assert image_reference(IMAGE)["sku"] == "server"
    config = json.loads(base64.b64decode(first_boot(["sleep", "1"])).decode().partition("\n")[2])
    assert config["write_files"][0]["path"].startswith("/var/lib/cloud/scripts/per-boot/")
    assert config["write_files"][0]["content"] == "#!/bin/sh\nsleep 1\nshutdown -h now\n", "what has ended does not go on to cost"


def test_rows_of_other_units_and_currencies_do_not_count() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert newest([row("m", 5.0, unitOfMeasure="1 Month")], now) is None
    assert newest([row("m", 5.0, effectiveStartDate=(now + timedelta(days=1)).isoformat())], now) is None
    assert to_price("m", "r", {"vCPUs": "2"}, [row("m", 5.0, currencyCode="EUR")], now).on_demand is None


def test_a_price_of_zero_is_none() -> None:
    """A size that is listed before it is sold would be the cheapest of all."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert newest([row("m", 0.0)], now) is None
    assert newest([row("m", 5.0, effectiveStartDate="2020-06-01T00:00:00Z"), row("m", 0.0)], now) is None
    assert to_price("m", "r", {"vCPUs": "2"}, [row("m", 0.0), row("m", 0.5, spot=True)], now).spot == Decimal("0.5")


def test_a_machine_of_a_scale_set_says_so_as_groups_name_it() -> None:
    """Sets of one name in two resource groups are two: by its name in ours, by its id elsewhere."""
    at = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/workers"
    said = {"properties": {"virtualMachineScaleSet": {"id": at.replace("/g/", "/G/")}}, "location": "westeurope"}
    assert to_instance("one", VirtualMachine(said), "running", "G").group == "workers"
    assert to_instance("one", VirtualMachine(said), "running", "other").group == at
    assert to_instance("one", VirtualMachine({"properties": {}, "location": "x"}), "running").group == ""


def test_its_disks_are_named_as_snapshots_name_them_the_system_first() -> None:
    def disk(name: str, **has: Any) -> dict[str, Any]:
        return {**has, "createOption": "Attach", "managedDisk": {"id": id_of("MICROSOFT.COMPUTE/DISKS", name, "ML")}}

    unmanaged = {"lun": 9, "createOption": "Attach", "vhd": {"uri": "https://a.blob.core.windows.net/vhds/d.vhd"}}
    attached = [disk("later", lun=3), disk("first", lun=0), unmanaged]

    def disks(**system: Any) -> list[str]:
        said = {"location": "x", "properties": {"storageProfile": {"osDisk": system, "dataDisks": attached}}}
        return list(to_instance("one", VirtualMachine(said), "running").disks)

    system, first, later = (id_of("Microsoft.Compute/disks", name) for name in ("system", "first", "later"))
    assert disks(**disk("system")) == [system, first, later]
    assert disks(**disk("system"), diffDiskSettings={"option": "Local"}) == [first, later]
