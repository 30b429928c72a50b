"""Snapshots of managed disks against the ARM stub."""

from collections.abc import Callable

import pytest

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.azure.session import Session
from mcml.providers.azure.snapshots import AzureSnapshots
from mcml.testing.contracts.snapshots import SnapshotsContract
from mcml.testing.stubs.azure_arm import ArmStub, missing
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.fleet_world import DisksWorld


@pytest.fixture
def world(arm: ArmStub) -> DisksWorld:
    return DisksWorld(arm)


class TestSnapshots(SnapshotsContract):
    """The contract."""

    @pytest.fixture
    def snapshots(self, arm_session: Session, world: DisksWorld) -> Snapshots:
        return AzureSnapshots(arm_session, "westeurope", "az-weu")

    @pytest.fixture
    def sources(self, world: DisksWorld) -> tuple[str, str]:
        world.add("d1", "one")
        world.add("d2", "two")
        return "d1", "d2"

    @pytest.fixture
    def new_name(self) -> str:
        return "restored"

    @pytest.fixture
    def fingerprint(self, world: DisksWorld) -> Callable[[str], object]:
        return lambda disk: world.content[(disk if disk.startswith("/") else id_of("Microsoft.Compute/disks", disk)).lower()]


def test_a_snapshot_is_incremental_and_marked(arm: ArmStub, arm_session: Session, world: DisksWorld) -> None:
    at = world.add("d1", "one")
    taken = AzureSnapshots(arm_session).create(at, token="t", tags={"team": "risk"})
    (put,) = arm.sent("PUT")
    assert put.body["properties"] == {"creationData": {"createOption": "Copy", "sourceResourceId": at}, "incremental": True}
    assert put.body["tags"] == {"team": "risk", "managed-by": "mcml"}
    assert (taken.size_bytes, taken.source) == (32 << 30, at)


def test_a_restored_disk_is_of_the_same_kind_and_in_the_same_zone(arm: ArmStub, arm_session: Session, world: DisksWorld) -> None:
    """Azure by itself would make a Standard HDD of it, which no machine of that zone could take."""
    world.add("d1", "one")
    world.disks["d1"] |= {"sku": {"name": "Premium_LRS", "tier": "Premium"}, "zones": ["2"]}
    snapshots = AzureSnapshots(arm_session)
    taken = snapshots.create("d1", token="t", tags={"team": "risk"})
    del world.disks["d1"]
    snapshots.restore(taken.id, "new")
    put = arm.sent("PUT", "/disks/new")[0].body
    assert (put["sku"], put["zones"]) == ({"name": "Premium_LRS"}, ["2"])
    assert put["tags"] == {"team": "risk", "managed-by": "mcml"}


def test_a_token_stands_for_one_disk(arm_session: Session, world: DisksWorld) -> None:
    world.add("d1", "one")
    world.add("d2", "two")
    snapshots = AzureSnapshots(arm_session)
    snapshots.create("d1", token="t")
    with pytest.raises(InvalidRequest) as caught:
        snapshots.create("d2", token="t")
    assert caught.value.next_step == "use a new token for a new snapshot"


def test_a_background_copy_is_not_complete(arm_session: Session, world: DisksWorld) -> None:
    world.add("d1", "one")
    snapshots = AzureSnapshots(arm_session)
    taken = snapshots.create("d1", token="t")
    assert taken.complete
    world.snapshots[taken.id.rpartition("/")[2]]["properties"]["completionPercent"] = 40.0
    assert [one.complete for one in snapshots.list()] == [False]


def test_a_disk_that_appears_meanwhile_is_not_overwritten(arm: ArmStub, arm_session: Session, world: DisksWorld) -> None:
    world.add("d1", "one")
    snapshots = AzureSnapshots(arm_session)
    taken = snapshots.create("d1", token="t")
    world.add("new", "theirs")
    arm.fail(missing("disks/new"), only=lambda request: request.method == "GET" and request.path.endswith("/disks/new"))
    with pytest.raises(Conflict) as caught:
        snapshots.restore(taken.id, "new")
    assert "PropertyChangeNotAllowed" in caught.value.why
    assert world.content[id_of("Microsoft.Compute/disks", "new").lower()] == "theirs"
