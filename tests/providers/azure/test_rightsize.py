"""A change of a machine's size on Azure: against the ARM stub."""

from pathlib import Path

import pytest

from mcml.providers.api.instances import MachineRequest
from mcml.providers.azure.instances import AzureInstances
from mcml.providers.azure.snapshots import AzureSnapshots
from mcml.store.db import Store
from mcml.testing.stubs.azure_arm import ArmStub
from tests.cost.rightsize.on_stub import check
from tests.providers.azure.compute_world import IMAGE, SUBNET, ComputeWorld
from tests.providers.azure.conftest import MakeSession, management_session
from tests.providers.azure.fleet_world import DisksWorld


@pytest.mark.slow
def test_a_machine_gets_another_size_and_goes_back(arm: ArmStub, make_session: MakeSession, tmp_path: Path) -> None:
    ComputeWorld(arm)
    session = management_session(make_session, arm.url, subnet=SUBNET, image=IMAGE)
    instances = AzureInstances(session, "westeurope", "az-weu")
    made = instances.request(MachineRequest("Standard_D2s_v3", "t-1", spot=False))
    world = DisksWorld(arm)
    for disk in made.disks:
        world.add(disk.rpartition("/")[2], "root")
    (machine,) = instances.list()
    with Store(f"sqlite:///{tmp_path / 'mcml.db'}") as store:
        check(store, instances, AzureSnapshots(session, "westeurope", "az-weu"), machine, "Standard_D4s_v3")
