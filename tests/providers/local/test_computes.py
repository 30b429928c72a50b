"""Local computes: the contract, and jobs that wait in line for a machine, whatever is killed meanwhile."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, QuotaExceeded
from mcml.providers.api.computes import ComputeRequest, Computes
from mcml.providers.api.jobs import JobRequest, Jobs
from mcml.providers.local.computes import open_computes
from mcml.providers.local.inventory import open_inventory
from mcml.providers.local.jobs import open_jobs
from mcml.testing.contracts.computes import ComputesContract
from tests.providers.local.conftest import MakeContext, Processes

ONE = ComputeRequest("pool", "t", "local-1x1", maximum=1)


def job_on(compute: str, token: str, script: str = "echo hello") -> JobRequest:
    return JobRequest("job", token, ("sh", "-c", script), resources={"compute": compute})


@pytest.fixture
def computes(make_context: MakeContext) -> Computes:
    return open_computes(make_context("eu-1"))


@pytest.fixture
def jobs(make_context: MakeContext, runs: Processes) -> Jobs:
    return open_jobs(make_context("eu-1"))


class TestComputes(ComputesContract):
    @pytest.fixture
    def computes(self, make_context: MakeContext) -> Computes:
        return open_computes(make_context("eu-1"))

    @pytest.fixture
    def machine(self) -> str:
        return "local-1x1"

    @pytest.fixture
    def jobs(self, make_context: MakeContext, runs: Processes) -> Jobs:
        return open_jobs(make_context("eu-1"))

    @pytest.fixture
    def job_on(self) -> Callable[[str, str], JobRequest]:
        return job_on


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_no_more_jobs_run_than_there_are_machines_and_in_the_order_of_their_submission(
    computes: Computes, jobs: Jobs, tmp_path: Path
) -> None:
    computes.create(ONE)
    order, go = tmp_path / "order", tmp_path / "go"
    script = f"until [ -e {go} ]; do sleep 0.01; done; echo $NAME >> {order}"
    made = [jobs.submit(replace(job_on("pool", f"t{one}", script), environment={"NAME": f"{one}"})) for one in range(4)]
    wait_for(lambda: jobs.status(made[0].id).state == "running")
    assert [jobs.status(one.id).state for one in made] == ["running", "queued", "queued", "queued"]
    assert (computes.describe("pool").nodes, computes.describe("pool").busy) == (1, 1)
    go.touch()
    wait_for(lambda: all(jobs.status(one.id).state == "succeeded" for one in made))
    assert order.read_text().split() == ["0", "1", "2", "3"]
    assert computes.describe("pool").busy == 0
    assert list((tmp_path / "project/.mcml/local/computes/pool/queue").iterdir()) == []


def test_a_larger_pool_takes_those_that_wait(computes: Computes, jobs: Jobs) -> None:
    computes.create(ONE)
    made = [jobs.submit(job_on("pool", f"t{one}", "exec sleep 300")) for one in range(3)]
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["running", "queued", "queued"])
    computes.scale("pool", 0, 2)
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["running", "running", "queued"])
    assert computes.describe("pool").busy == 2


def test_the_dead_neither_hold_a_machine_nor_a_place_in_the_line(computes: Computes, jobs: Jobs, root: Path) -> None:
    computes.create(ONE)
    made = [jobs.submit(job_on("pool", f"t{one}", "exec sleep 300")) for one in range(3)]
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["running", "queued", "queued"])
    pids = [json.loads((root / "jobs" / one.id / "process.json").read_text())["pid"] for one in made]
    for pid in pids[1::-1]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["failed", "failed", "running"])
    assert (len(set(pids)), Path(f"/proc/{pids[2]}").exists()) == (3, True)


def test_a_job_that_waits_can_be_cancelled(computes: Computes, jobs: Jobs) -> None:
    computes.create(ONE)
    first, second, third = (jobs.submit(job_on("pool", f"t{one}", "echo ran; exec sleep 300")) for one in range(3))
    wait_for(lambda: jobs.status(first.id).state == "running")
    done = jobs.cancel(second.id)
    assert (done.state, done.ended is not None, list(jobs.logs(second.id, follow=True))) == ("cancelled", True, [])
    jobs.cancel(first.id)
    wait_for(lambda: jobs.status(third.id).state == "running")


def test_a_pool_in_use_is_not_deleted(computes: Computes, jobs: Jobs, make_context: MakeContext) -> None:
    computes.create(ONE)
    made = [jobs.submit(job_on("pool", f"t{one}", "exec sleep 300")) for one in range(2)]
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["running", "queued"])
    with pytest.raises(Conflict) as busy:
        computes.delete("pool")
    assert busy.value.why == "2 of its jobs run or wait"
    inventory = open_inventory(make_context())
    (found,) = [one for one in inventory.find_by_tag({}) if one.kind == "compute"]
    with pytest.raises(Conflict):
        inventory.delete(found)
    for one in made[::-1]:
        jobs.cancel(one.id)
    wait_for(lambda: computes.describe("pool").busy == 0)
    assert inventory.delete(found) is True
    assert computes.list() == []


def test_a_job_whose_pool_vanishes_fails_and_says_so(computes: Computes, jobs: Jobs, root: Path) -> None:
    computes.create(ONE)
    made = [jobs.submit(job_on("pool", f"t{one}", "exec sleep 300")) for one in range(2)]
    wait_for(lambda: [jobs.status(one.id).state for one in made] == ["running", "queued"])
    (root / "computes" / "pool").rename(root / "computes" / ".pool")
    wait_for(lambda: jobs.status(made[1].id).state == "failed")
    assert jobs.status(made[1].id).detail == "it was not started: its compute pool is deleted"
    assert jobs.status(made[0].id).state == "running"


def test_a_job_gets_the_machine(computes: Computes, jobs: Jobs) -> None:
    computes.create(ONE)
    code = "echo $(python3 -c 'import os; print(len(os.sched_getaffinity(0)))') $(ulimit -d)"
    job = jobs.submit(job_on("pool", "t", code))
    wait_for(lambda: jobs.status(job.id).ended)
    assert list(jobs.logs(job.id)) == [f"1 {1 << 20}"]
    with pytest.raises(InvalidRequest) as refused:
        jobs.submit(JobRequest("j", "t2", ("true",), resources={"compute": "pool", "memory": "2Gi"}))
    assert refused.value.why == "it asks for more than the 1 CPUs and 1 GiB of a local-1x1"


def test_the_quota_holds(make_context: MakeContext) -> None:
    computes = open_computes(make_context(vcpu_quota=2))
    with pytest.raises(QuotaExceeded):
        computes.create(ComputeRequest("pool", "t", "local-1x1", maximum=3))
    computes.create(ComputeRequest("pool", "t", "local-1x1", maximum=2))
    with pytest.raises(QuotaExceeded):
        computes.scale("pool", 0, 3)
    with pytest.raises(InvalidRequest, match="no machine type"):
        computes.create(ComputeRequest("other", "t", "local-1x1000"))
