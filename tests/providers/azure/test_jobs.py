"""Azure ML jobs: the contract and what is Azure's own, over the official SDK against a stub that runs them."""

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.jobs import JobRequest, Jobs
from mcml.providers.azure import run_history
from mcml.providers.azure.jobs import MlJobs, exit_code
from mcml.providers.azure.ml_workspace import Workspace
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Budget, Policy
from mcml.testing.contracts.jobs import JobsContract, Kind
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, HalfBody, Reset
from tests.providers.azure.conftest import PASSING, MakeSession, Waits, management_session
from tests.providers.azure.ml_jobs_stub import SIGNATURE, MlJobsStub
from tests.providers.azure.ml_stub import Ml

COMMANDS: dict[Kind, tuple[str, ...]] = {
    "talks": ("sh", "-c", "echo one; echo two"),
    "fails": ("sh", "-c", "echo one; exit 3"),
    "sleeps": ("sh", "-c", "echo asleep; exec sleep 300"),
}


def request(kind: Kind, token: str, **options: Any) -> JobRequest:
    return JobRequest(f"job-{kind}", token, COMMANDS[kind], **{"image": "acmeml.azurecr.io/train:1", "tags": {"team": "risk"}, **options})


def jobs_at(make_session: MakeSession, url: str, **options: Any) -> MlJobs:
    given = {"workspace": "ml", "compute": "cpu", **options}
    return MlJobs(Workspace(management_session(make_session, url, **given)), "az-weu", follow_seconds=0.02)


@pytest.fixture
def stub(arm: ArmStub, tmp_path: Path) -> Iterator[MlJobsStub]:
    served = MlJobsStub(Ml(arm).serve(), tmp_path).serve()
    yield served
    served.close()
    assert served.leaks == []


@pytest.fixture
def jobs(stub: MlJobsStub, arm: ArmStub, make_session: MakeSession) -> MlJobs:
    return jobs_at(make_session, arm.url, policy=Policy(budget=Budget(60.0), sleep=time.sleep))


class TestContract(JobsContract):
    @pytest.fixture
    def jobs(self, stub: MlJobsStub, arm: ArmStub, make_session: MakeSession) -> Jobs:
        return jobs_at(make_session, arm.url, policy=Policy(budget=Budget(60.0), sleep=lambda seconds: time.sleep(min(seconds, 0.05))))

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        return request


def over(jobs: MlJobs, job: str) -> Any:
    end = time.monotonic() + 20
    while (found := jobs.status(job)).ended is None and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_what_is_put(jobs: MlJobs, stub: MlJobsStub) -> None:
    made = jobs.submit(request("talks", "t1", environment={"LEVEL": "info"}, resources={"instances": "2"}))
    told = stub.runs[made.id].body["properties"]
    assert told["jobType"] == "Command"
    assert told["command"] == "sh -c 'echo one; echo two'"
    assert told["computeId"].endswith("/workspaces/ml/computes/cpu")
    assert (told["environmentVariables"], told["tags"], told["resources"]["instanceCount"]) == ({"LEVEL": "info"}, {"team": "risk"}, 2)
    assert stub.ml.assets[told["environmentId"]]["properties"]["image"] == "acmeml.azurecr.io/train:1"
    over(jobs, made.id)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"image": ""}, "names no image"),
        ({"resources": {"gpu": "1"}}, "no resource 'gpu'"),
        ({"resources": {"instances": "many"}}, "no number"),
    ],
)
def test_what_cannot_be_run(jobs: MlJobs, stub: MlJobsStub, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot submit job job-talks on az-weu") as caught:
        jobs.submit(request("talks", "t1", **options))
    assert why in caught.value.why
    with pytest.raises(InvalidRequest):
        jobs.submit(JobRequest("j", "t1", ("echo", "${{inputs.x}}"), image="a.io/b"))
    assert stub.starts == 0


def test_no_compute(stub: MlJobsStub, arm: ArmStub, make_session: MakeSession) -> None:
    with pytest.raises(InvalidRequest) as caught:
        jobs_at(make_session, arm.url, compute="").submit(request("talks", "t1"))
    assert "az ml compute list" in caught.value.next_step


def test_no_quota(jobs: MlJobs, stub: MlJobsStub) -> None:
    full = ArmError(400, "OutOfQuota", "0 of 4 cores are left.")
    stub.ml.arm.fail(full, only=lambda request: "/jobs/" in request.path and request.method == "PUT")
    with pytest.raises(QuotaExceeded):
        jobs.submit(request("talks", "t1"))


def test_no_such_workspace(stub: MlJobsStub, arm: ArmStub, make_session: MakeSession) -> None:
    with pytest.raises(NotFound) as caught:
        jobs_at(make_session, arm.url, workspace="gone").submit(request("talks", "t1"))
    assert "workspaces/gone" in caught.value.why


def test_a_long_log_comes_in_pieces(jobs: MlJobs, monkeypatch: pytest.MonkeyPatch, stub: MlJobsStub) -> None:
    monkeypatch.setattr(run_history, "PIECE_BYTES", 1000)
    job = jobs.submit(JobRequest("long", "t1", ("sh", "-c", "seq 1 2000; printf 'no end of line'"), image="a.io/b")).id
    assert list(jobs.logs(job, follow=True)) == [*map(str, range(1, 2001)), "no end of line"]
    assert len(stub.ml.arm.sent("GET", "/logs/")) > 5
    over(jobs, job)


def test_exit_codes_in_words() -> None:
    assert exit_code("Execution failed. User process 'python' exited with status code 137. Please check log file") == 137
    assert exit_code("AzureMLCompute job failed. exit code: 2") == 2
    assert exit_code("The compute was preempted.") is None


def test_it_ends_while_it_is_cancelled(jobs: MlJobs, stub: MlJobsStub) -> None:
    job = jobs.submit(request("talks", "t1")).id
    over(jobs, job)
    real, shown = stub.state, iter(["Running"])
    stub.state = lambda name: next(shown, "") or real(name)  # type: ignore[method-assign]
    assert jobs.cancel(job).state == "succeeded"


def test_no_signature_is_said(stub: MlJobsStub, arm: ArmStub, make_session: MakeSession, server_tls: Any) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        stub.ml.discovery = f"{proxy.url}/discovery"
        jobs = jobs_at(make_session, proxy.url, policy=Waits().policy(attempts=1))
        job = jobs.submit(request("talks", "t1")).id
        over(jobs, job)
        for fault in (Reset(), Answer(403), Answer(500), HalfBody()):
            proxy.script(fault, only=lambda request: request.path.startswith("/logs/"))
            with pytest.raises(Exception, match="cannot read the log") as caught:
                list(jobs.logs(job))
            assert SIGNATURE[12:] not in f"{caught.value!r} {vars(caught.value)}"
        proxy.refuse()
        with pytest.raises(Unavailable, match="cannot read the log") as refused:
            list(jobs._history.read("read the log", f"{proxy.url}/logs/j/std_log.txt?{SIGNATURE}", 0))
        assert SIGNATURE[12:] not in "".join(traceback.format_exception(refused.value))


METHODS: dict[str, Callable[[MlJobs, str], bool]] = {
    "submit": lambda jobs, job: bool(jobs.submit(request("talks", "t2")).id),
    "status": lambda jobs, job: jobs.status(job).state == "succeeded",
    "logs": lambda jobs, job: list(jobs.logs(job)) == ["one", "two"],
    "cancel": lambda jobs, job: jobs.cancel(jobs.submit(request("sleeps", "t3")).id).state == "cancelled",
}
ONCE: dict[str, tuple[Fault, ...]] = {
    **PASSING,
    "lost": (Reset(reaches_server=True),),
}
FIRST: dict[str, Callable[[Any], bool]] = {
    "submit": lambda request: request.method == "PUT" and "/jobs/" in request.path,
    "status": lambda request: "/history/" in request.path,
    "logs": lambda request: "/logs/" in request.path,
    "cancel": lambda request: request.path.partition("?")[0].endswith("/cancel"),
}


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    stub: MlJobsStub, jobs: MlJobs, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, fault: str
) -> None:
    job = jobs.submit(request("talks", "t1")).id
    over(jobs, job)
    with FaultProxy(arm.url, **server_tls) as proxy:
        stub.ml.discovery = f"{proxy.url}/discovery"
        slow = {"read_seconds": 0.6} if fault == "slow" else {}
        faulty = jobs_at(make_session, proxy.url, **slow)
        proxy.script(*ONCE[fault], only=FIRST[method])
        assert METHODS[method](faulty, job)
        assert proxy.unused == []
    assert stub.starts == (2 if method in ("submit", "cancel") else 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(stub: MlJobsStub, jobs: MlJobs, method: str) -> None:
    stub.ml.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        METHODS[method](jobs, "mcml-job-1")
    assert caught.value.next_step == "az login"


def test_the_session_is_shown_without_its_token(arm_session: Session) -> None:
    assert repr(arm_session.credential).count("eyJ") == 0
