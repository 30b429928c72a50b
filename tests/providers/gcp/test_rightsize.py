"""A change of a machine's type on Compute Engine: on our small one."""

from pathlib import Path

import pytest

from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.instances import GcpInstances
from mcml.providers.gcp.snapshots import GcpSnapshots
from mcml.store.db import Store
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.cost.rightsize.on_stub import check
from tests.providers.gcp.compute_world import BASE, REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub


@pytest.mark.slow
def test_a_machine_gets_another_type_and_goes_back(google: GoogleStub, make_session: MakeSession, tmp_path: Path) -> None:
    with DiscoveryStub("compute.v1", accepts=lambda token: token in google.tokens) as stub, Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        world, zone = ComputeWorld(stub), "europe-west1-c"
        for disk in ("web", "data"):
            world.add_disk(zone, disk, disk.encode())
        disks = [{"source": f"{BASE}/zones/{zone}/disks/{disk}", "boot": disk == "web"} for disk in ("data", "web")]
        world.add_instance(zone, "web", disks=disks)
        compute = Compute(make_session(endpoint=stub.url, region=REGION), REGION)
        (machine,) = GcpInstances(compute).list()
        assert len(machine.disks) == 2
        check(store, GcpInstances(compute), GcpSnapshots(compute), machine, "n2-standard-8")
