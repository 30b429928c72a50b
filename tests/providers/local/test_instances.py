"""Local instances: the contract, the limits, the quota, and what is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from mcml.core.errors import InvalidRequest, NotFound, QuotaExceeded
from mcml.providers.api.instances import Instance, Instances, InstanceState, MachineRequest, Noticed
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.local.instances import LocalInstances, Slot, open_instances, state_of
from mcml.providers.local.machines import available_cpus
from mcml.providers.local.settings import Price
from mcml.providers.local.snapshots import open_snapshots
from mcml.providers.local.volumes import find_volume
from mcml.providers.local.worker import Run
from mcml.testing.contracts.instances import InstancesContract
from tests.providers.local.conftest import MakeContext, Processes

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def kill_command(root: Path, instance: str) -> None:
    """End what an instance runs with kill -9, as somebody outside would."""
    runner = psutil.Process(json.loads((root / "instances" / instance / "process.json").read_text())["pid"])
    end = time.monotonic() + 20
    while not (children := runner.children()):
        assert time.monotonic() < end
        time.sleep(0.01)
    children[0].kill()


@pytest.fixture
def instances(make_context: MakeContext, runs: Processes) -> LocalInstances:
    return LocalInstances(make_context("eu-1", region="eu"))


class TestLocalInstances(InstancesContract):
    @pytest.fixture
    def instances(self, make_context: MakeContext, runs: Processes) -> Instances:
        return open_instances(make_context("eu-1", region="eu"))

    @pytest.fixture
    def request_for_spot(self) -> MachineRequest:
        return MachineRequest("local-1x1", "t1", tags={"team": "risk"})

    @pytest.fixture
    def other_machine(self) -> str:
        return "local-1x2"

    @pytest.fixture
    def take_away(self, root: Path) -> Callable[[str], None]:
        return lambda instance: kill_command(root, instance)

    @pytest.fixture
    def snapshots(self, make_context: MakeContext) -> Snapshots:
        return open_snapshots(make_context("eu-1", region="eu"))


def wait(instances: Instances, instance: str, state: InstanceState) -> Instance:
    return InstancesContract().wait(instances, instance, state)


def test_machines_are_as_this_one_is(instances: LocalInstances) -> None:
    expected = {"x86_64": "x86_64", "aarch64": "arm64"}.get(os.uname().machine, "")
    assert {price.architecture for price in instances.prices()} == {expected}
    assert {price.gpus for price in instances.prices()} == {0}
    assert instances.launch("local-1x1", "t").architecture == expected


CHURN = """
import os, pathlib, shutil
pathlib.Path("kept").write_text("model")
number = 0
while True:
    number += 1
    os.makedirs(f"d{number % 7}/e", exist_ok=True)
    pathlib.Path(f"d{number % 7}/e/f{number}").write_text("x" * 5000)
    shutil.rmtree(f"d{(number + 3) % 7}", ignore_errors=True)
"""


def test_the_disk_of_a_machine_that_works_is_copied_and_restored(instances: LocalInstances, make_context: MakeContext, root: Path) -> None:
    """What is removed while it is copied is left out; the copy outlives the machine."""
    ctx = make_context("eu-1", region="eu")
    snapshots = open_snapshots(ctx)
    machine = instances.launch("local-1x1", "t", (sys.executable, "-c", CHURN))
    work = root / "instances" / machine.id / "work"
    end = time.monotonic() + 20
    while not (work / "kept").exists() or len(list(work.iterdir())) < 4:
        assert time.monotonic() < end
        time.sleep(0.01)
    (disk,) = machine.disks
    taken = [snapshots.create(disk, token=f"t{number}") for number in range(20)][-1]
    assert taken.complete
    instances.terminate(machine.id)
    assert find_volume(ctx, snapshots.restore(taken.id, "rescued")).source == "disk/rescued"
    assert (root / "disks" / "rescued" / "data" / "kept").read_text() == "model"
    with pytest.raises(NotFound):
        snapshots.create(disk, token="later")
    with pytest.raises(InvalidRequest, match="no name for a disk"):
        snapshots.restore(taken.id, disk)


def test_a_killed_runner_is_an_interruption_too(instances: LocalInstances, root: Path, runs: Processes) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    os.kill(json.loads((root / "instances" / spot.id / "process.json").read_text())["pid"], signal.SIGKILL)
    wait(instances, spot.id, "interrupted")
    assert instances.start(spot.id).state == "running"
    assert instances.stop(spot.id).state == "stopped"
    assert runs() == []


def test_a_spot_command_that_ends_is_terminated(instances: LocalInstances) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t", ("true",)))
    wait(instances, spot.id, "terminated")
    (ended,) = (one for one in instances.list() if one.id == spot.id)
    assert (ended.spot, ended.state) == (True, "terminated")


def test_one_on_demand_is_stopped_when_it_is_killed(instances: LocalInstances, root: Path) -> None:
    instance = instances.launch("local-1x1", "t")
    assert not instance.spot
    kill_command(root, instance.id)
    wait(instances, instance.id, "stopped")


def test_the_command_has_the_limits_of_its_type(instances: LocalInstances, root: Path) -> None:
    code = """
import os
print(len(os.sched_getaffinity(0)), flush=True)
try:
    bytearray(1100 * 2**20)
except MemoryError:
    print("too much", flush=True)
"""
    spot = instances.request(MachineRequest("local-1x1", "t", (sys.executable, "-c", code)))
    wait(instances, spot.id, "terminated")
    assert (root / "instances" / spot.id / "log").read_text().split("\n") == ["1", "too much", ""]


@pytest.mark.skipif(len(available_cpus()) < 2, reason="needs two CPUs")
def test_instances_share_the_cpus_evenly(instances: LocalInstances, root: Path) -> None:
    made = [instances.launch("local-1x1", f"t{number}").id for number in range(2)]
    cpus = [json.loads((root / "instances" / instance / "run.json").read_text())["cpus"] for instance in made]
    assert sorted(map(len, cpus)) == [1, 1]
    assert cpus[0] != cpus[1]


def test_the_quota_counts_what_runs(make_context: MakeContext, runs: Processes) -> None:
    instances = LocalInstances(make_context("eu-1", vcpu_quota=2))
    first, _ = instances.launch("local-1x1", "t1"), instances.launch("local-1x1", "t2")
    with pytest.raises(QuotaExceeded, match="no room"):
        instances.launch("local-1x1", "t3")
    with pytest.raises(QuotaExceeded, match="no room"):
        LocalInstances(make_context("us-1", vcpu_quota=2)).launch("local-1x1", "t3")
    assert len(instances.list()) == 2
    instances.stop(first.id)
    instances.launch("local-1x1", "t3")
    with pytest.raises(QuotaExceeded):
        instances.start(first.id)


def test_a_type_larger_than_the_machine_is_over_quota(instances: LocalInstances) -> None:
    with pytest.raises(QuotaExceeded, match="does not fit on this machine"):
        instances.request(MachineRequest("local-32x128", "t"))
    assert instances.list() == []


def test_unknown_types_are_refused(instances: LocalInstances) -> None:
    with pytest.raises(InvalidRequest):
        instances.request(MachineRequest("m5.large", "t"))
    with pytest.raises(InvalidRequest):
        instances.prices(["m5.large"])


def test_a_token_stands_for_one_request(instances: LocalInstances) -> None:
    instances.request(MachineRequest("local-1x1", "t"))
    with pytest.raises(InvalidRequest, match="cannot launch"):
        instances.request(MachineRequest("local-1x1", "t", ("sleep", "5")))
    with pytest.raises(InvalidRequest, match="cannot launch"):
        instances.launch("local-1x1", "t")
    assert len(instances.list()) == 1


def test_a_notice_is_told_until_it_is_started_again(instances: LocalInstances) -> None:
    assert isinstance(instances, Noticed)
    spot, calm = (instances.request(MachineRequest("local-1x1", token)).id for token in ("t1", "t2"))
    instances.warn(spot, NOW)
    assert instances.notices([spot, calm]) == {spot: NOW}
    assert instances.notices([calm]) == {}
    instances.stop(spot)
    instances.start(spot)
    assert instances.notices([spot]) == {}
    with pytest.raises(NotFound):
        instances.warn("none", NOW)


def test_a_token_of_a_stopped_one_does_not_start_it(instances: LocalInstances) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    instances.stop(spot.id)
    assert instances.request(MachineRequest("local-1x1", "t")).state == "stopped"


def test_prices_are_those_of_the_region(make_context: MakeContext) -> None:
    settings = {"prices": {"eu": Price(vcpu_hour=Decimal(1), gib_hour=Decimal("0.1"))}, "spot_discount": Decimal("0.25"), "currency": "EUR"}
    (price,) = open_instances(make_context("eu-1", region="eu", **settings)).prices(["local-2x4"])
    assert (price.on_demand, price.spot, price.currency, price.region) == (Decimal("2.4"), Decimal("1.8"), "EUR", "eu")
    (default,) = open_instances(make_context("us-1", region="us", **settings)).prices(["local-2x4"])
    assert default.on_demand == Decimal("0.10")


def test_each_target_has_its_own(instances: LocalInstances, make_context: MakeContext) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    assert open_instances(make_context("us-1")).list() == []
    assert [one.id for one in open_instances(make_context()).list()] == [spot.id]


def test_terminated_is_gone(instances: LocalInstances, root: Path, runs: Processes) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    instances.terminate(spot.id)
    instances.terminate(spot.id)
    instances.terminate("../targets")
    assert instances.list() == []
    assert runs() == []
    assert list((root / "instances").iterdir()) == []


def test_kill_9_between_making_and_starting_is_mended_by_the_token(instances: LocalInstances, root: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import instances, worker
from mcml.providers.local.settings import Settings
worker.start = lambda folder: os.kill(os.getpid(), 9)
instances.LocalInstances(ProviderContext(Settings(), Path(sys.argv[1]), "eu-1", "eu")).launch("local-1x1", "t")
"""
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False, timeout=30).returncode == -signal.SIGKILL
    (pending,) = instances.list()
    assert pending.state == "pending"
    assert instances.launch("local-1x1", "t").state == "running"
    assert [one.id for one in instances.list()] == [pending.id]


@pytest.mark.parametrize(
    ("running", "spot", "run", "state"),
    [
        (False, True, Run("running"), "stopped"),
        (True, True, Run("waiting"), "pending"),
        (True, True, Run("running"), "running"),
        (True, True, Run("lost"), "interrupted"),
        (True, True, Run("ended", 137, 9), "interrupted"),
        (True, True, Run("ended", 0), "terminated"),
        (True, False, Run("ended", 137, 9), "stopped"),
        (True, False, Run("lost"), "stopped"),
        (True, False, Run("ended", 1), "stopped"),
    ],
)
def test_state_of(running: bool, spot: bool, run: Run, state: InstanceState) -> None:
    assert state_of(Slot("local-1x1", ("true",), running, spot, NOW.isoformat()), run) == state
