"""The inventory of a subscription against the ARM stub."""

import pytest

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.inventory import Inventory, Resource
from mcml.providers.azure.inventory import GROUP, AzureInventory, newest, to_resource
from mcml.providers.azure.locks import Lock
from mcml.providers.azure.session import Session
from mcml.testing.contracts.inventory import InventoryContract
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.conftest import SUBSCRIPTION
from tests.providers.azure.resources_world import ResourcesWorld

OURS = {"managed-by": "mcml", "team": "risk"}
DISK, MACHINE, ACCOUNT = "Microsoft.Compute/disks", "Microsoft.Compute/virtualMachines", "Microsoft.Storage/storageAccounts"


@pytest.fixture
def world(arm: ArmStub) -> ResourcesWorld:
    world = ResourcesWorld(arm)
    world.add(MACHINE, "m1", {"someone": "else"})
    world.add_group("ml", {})
    return world


@pytest.fixture
def inventory(arm_session: Session) -> AzureInventory:
    return AzureInventory(arm_session)


def named(inventory: AzureInventory, name: str) -> Resource:
    (found,) = (one for one in inventory.find_by_tag({}) if one.id.endswith(f"/{name}"))
    return found


class TestLocked(InventoryContract):
    """The contract, for a disk and a locked one."""

    @pytest.fixture
    def inventory(self, arm_session: Session, world: ResourcesWorld) -> Inventory:
        return AzureInventory(arm_session)

    @pytest.fixture
    def tagged(self, arm_session: Session, world: ResourcesWorld) -> Resource:
        world.add(DISK, "d1", OURS)
        return named(AzureInventory(arm_session), "d1")

    @pytest.fixture
    def blocked(self, arm_session: Session, world: ResourcesWorld) -> Resource:
        world.lock(world.add(DISK, "d2", OURS))
        world.lock(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/other")
        return named(AzureInventory(arm_session), "d2")


class TestGroups(TestLocked):
    """The contract, for an empty resource group and one that is not."""

    @pytest.fixture
    def tagged(self, arm_session: Session, world: ResourcesWorld) -> Resource:
        world.add_group("empty", OURS)
        return named(AzureInventory(arm_session), "empty")

    @pytest.fixture
    def blocked(self, arm_session: Session, world: ResourcesWorld) -> Resource:
        world.add_group("full", OURS)
        world.add(DISK, "d3", group="full")
        return named(AzureInventory(arm_session), "full")


def test_an_attached_disk(inventory: AzureInventory, world: ResourcesWorld) -> None:
    machine = world.add(MACHINE, "m2", OURS)
    world.add(DISK, "d1", OURS, managedBy=machine)
    disk = named(inventory, "d1")
    (blocker,) = inventory.blockers([disk])
    assert blocker.reason == "it is attached to machine m2"
    assert "--vm-name m2 --disk-ids" in blocker.fix
    assert inventory.blockers([disk, named(inventory, "m2")]) == []
    with pytest.raises(Conflict) as caught:
        inventory.delete(disk)
    assert caught.value.why == "it is attached to machine m2"
    assert world.deletes == 0


def test_a_storage_account_with_containers(inventory: AzureInventory, world: ResourcesWorld) -> None:
    world.add(ACCOUNT, "acct", OURS)
    world.containers["acct"] = ["models", "data", "logs"]
    (blocker,) = inventory.blockers([named(inventory, "acct")])
    assert blocker.reason == "it holds 3 containers: models, data, logs"
    world.containers.clear()
    assert inventory.delete(named(inventory, "acct")) is True


def test_a_storage_account_with_shares_but_without_containers(inventory: AzureInventory, world: ResourcesWorld) -> None:
    """Azure would delete their files too."""
    world.add(ACCOUNT, "acct", OURS)
    world.shares["acct"] = ["home", "work"]
    world.unsupported = {"containers", "tables"}
    with pytest.raises(Conflict) as caught:
        inventory.delete(named(inventory, "acct"))
    assert caught.value.why == "it holds 2 shares: home, work"
    shares = f"{id_of(ACCOUNT, 'acct')}/fileServices/default/shares"
    assert caught.value.next_step == f"az resource delete --ids {shares}/home\naz resource delete --ids {shares}/work"
    assert world.deletes == 0


def test_what_the_listing_lacks_yet_is_looked_at_all_the_same(inventory: AzureInventory, world: ResourcesWorld) -> None:
    account = world.add(ACCOUNT, "acct", OURS)
    resource = named(inventory, "acct")
    world.unlisted.add(account.lower())
    world.containers["acct"] = ["models"]
    with pytest.raises(Conflict):
        inventory.delete(resource)
    assert world.deletes == 0


def test_one_of_another_subscription_is_not_ours_of_the_same_name(inventory: AzureInventory, world: ResourcesWorld) -> None:
    world.add_group("empty", OURS)
    for kind, path in ((GROUP, "resourceGroups/empty"), (DISK, f"resourceGroups/ml/providers/{DISK}/d1")):
        with pytest.raises(InvalidRequest) as caught:
            inventory.delete(Resource(kind, f"/subscriptions/another/{path}", ""))
        assert caught.value.why == f"it is in subscription another, and {SUBSCRIPTION} is set"
    assert world.groups.keys() == {"ml", "empty"}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (DISK, f"resourceGroups/ml/providers/{DISK}/../../../../empty"),
        (DISK, f"resourceGroups/ml/providers/{DISK}/.."),
        (DISK, f"resourceGroups/ml/providers/{DISK}/d1?x"),
        (DISK, "resourceGroups/empty"),
        (GROUP, "resourceGroups/ml/../empty"),
        (GROUP, "resourceGroups/.."),
    ],
)
def test_an_id_that_leads_elsewhere(inventory: AzureInventory, world: ResourcesWorld, arm: ArmStub, kind: str, path: str) -> None:
    world.add_group("empty", OURS)
    resource = Resource(kind, f"/subscriptions/{SUBSCRIPTION}/{path}", "")
    assert inventory.delete(resource) is False
    assert inventory.blockers([resource]) == []
    assert arm.requests == []


def test_what_is_of_the_subscription_itself_is_no_group() -> None:
    class Found:
        id, type = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Odd/things/t", "Microsoft.Odd/things"
        location, tags = None, OURS

    assert to_resource(Found()) == Resource("Microsoft.Odd/things", Found.id, "", OURS)


def test_a_sql_server_with_databases(inventory: AzureInventory, world: ResourcesWorld) -> None:
    server = world.add("Microsoft.Sql/servers", "sql1", OURS)
    for name in ("master", "orders"):
        key = f"{server}/databases/{name}"
        said = {"id": key, "name": f"sql1/{name}", "type": "Microsoft.Sql/servers/databases", "location": "westeurope"}
        world.resources[key.lower()] = said
    (blocker,) = inventory.blockers([named(inventory, "sql1")])
    assert blocker.reason == "it holds 1 resources: sql1/orders"
    assert inventory.delete(Resource("Microsoft.Sql/servers/databases", f"{server}/databases/orders", "westeurope")) is True
    assert inventory.delete(named(inventory, "sql1")) is True


def test_a_lock_above_or_inside_blocks_too(inventory: AzureInventory, world: ResourcesWorld) -> None:
    world.add(DISK, "d1", OURS)
    world.lock(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ML", "whole group")
    (blocker,) = inventory.blockers([named(inventory, "d1")])
    assert "whole group" in blocker.reason
    assert blocker.fix.startswith("az lock delete --ids ")
    lock = Lock("/x/locks/l", "/subscriptions/s/resourceGroups/g/providers/N/t/deep", "ReadOnly")
    assert lock.blocks("/subscriptions/s/resourceGroups/G")
    assert not lock.covers("/subscriptions/s/resourceGroups/G")
    assert not lock.blocks("/subscriptions/s/resourceGroups/g/providers/N/t/deeper")


def test_a_type_that_its_provider_does_not_list(inventory: AzureInventory, world: ResourcesWorld) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot reach Microsoft\.Compute/odd") as caught:
        inventory.delete(Resource("Microsoft.Compute/odd", id_of("Microsoft.Compute/odd", "x"), ""))
    assert caught.value.next_step == "az provider show --namespace Microsoft.Compute"


def test_the_newest_version_that_is_no_preview() -> None:
    assert newest(["2025-01-01-preview", "2024-03-02", "2023-10-02"]) == "2024-03-02"
    assert newest(["2025-01-01-preview"]) == "2025-01-01-preview"
    assert newest([]) == ""


def test_ids_are_written_in_one_way() -> None:
    class Found:
        id, type, location, tags = f"/SUBSCRIPTIONS/{SUBSCRIPTION.upper()}/resourcegroups/ML/providers/{DISK}/d1", DISK, "westeurope", None

    assert to_resource(Found()).id == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ml/providers/{DISK}/d1"
