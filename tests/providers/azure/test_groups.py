"""Scale sets against the ARM stub."""

import pytest

from mcml.core.errors import InvalidRequest, QuotaExceeded
from mcml.providers.api.groups import Groups
from mcml.providers.azure.groups import AzureGroups
from mcml.providers.azure.session import Session
from mcml.testing.contracts.groups import GroupsContract
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.fleet_world import GroupsWorld


@pytest.fixture
def world(arm: ArmStub) -> GroupsWorld:
    return GroupsWorld(arm)


@pytest.fixture
def groups(arm_session: Session) -> AzureGroups:
    return AzureGroups(arm_session, "West Europe")


class TestUniform(GroupsContract):
    """The contract, for a uniform scale set."""

    mode = "Uniform"

    @pytest.fixture
    def groups(self, arm_session: Session, world: GroupsWorld) -> Groups:
        return AzureGroups(arm_session, "westeurope")

    @pytest.fixture
    def group(self, world: GroupsWorld) -> str:
        world.add("workers", 1, mode=self.mode)
        world.limit("workers", 0, 3)
        world.add("other", 2)
        world.limit("other", 1, 2)
        return "workers"


class TestFlexible(TestUniform):
    """The contract, for a flexible one."""

    mode = "Flexible"


def test_without_autoscale_the_limits_are_azures(groups: AzureGroups, world: GroupsWorld) -> None:
    world.add("wide", 2)
    world.add("narrow", 2, singlePlacementGroup=True)
    world.add("off", 2)
    world.limit("off", 1, 5, enabled=False)
    assert [(group.name, group.minimum, group.maximum) for group in groups.list()] == [
        ("narrow", 0, 100), ("off", 0, 1000), ("wide", 0, 1000),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest) as caught:
        groups.resize("narrow", 101)
    assert caught.value.why == "its limits are 0 to 100"
    assert world.writes == 0


def test_a_machine_type_without_a_tier(groups: AzureGroups, world: GroupsWorld, arm: ArmStub) -> None:
    world.add("wide", 2)
    del world.sets["wide"]["sku"]["tier"]
    assert groups.resize("wide", 3).desired == 3
    assert arm.sent("PATCH")[0].body == {"sku": {"name": "Standard_D2s_v3", "capacity": 3}}


def test_no_quota(groups: AzureGroups, world: GroupsWorld) -> None:
    world.add("wide", 2)
    with pytest.raises(QuotaExceeded, match="cannot set the size of scale set wide to 600") as caught:
        groups.resize("wide", 600)
    assert "az vm list-usage" in caught.value.next_step
    assert groups.size("wide").desired == 2


def test_one_of_another_resource_group_is_named_by_its_id(groups: AzureGroups, world: GroupsWorld) -> None:
    world.add("far", 1, group="elsewhere")
    (found,) = groups.list()
    assert found.name == id_of("Microsoft.Compute/virtualMachineScaleSets", "far", "elsewhere")
    assert groups.resize(found.name, 2).desired == 2


def test_one_without_a_machine_type(groups: AzureGroups, world: GroupsWorld) -> None:
    world.add("mixed", 1, mode="Flexible")
    del world.sets["mixed"]["sku"]
    assert (groups.size("mixed").machine, groups.size("mixed").desired) == ("", 0)
    with pytest.raises(InvalidRequest, match="cannot set the size"):
        groups.resize("mixed", 2)
