"""Service environments of AWS Batch as computes, and SageMaker's training jobs on them: the contracts, and what goes wrong."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable, Usage
from mcml.providers.api.computes import ComputeRequest, Computes
from mcml.providers.api.jobs import JobRequest, Jobs
from mcml.providers.aws.computes import BatchComputes, open_computes
from mcml.providers.aws.jobs import SageMakerJobs
from mcml.providers.aws.session import Session
from mcml.providers.resilience import Budget, Policy
from mcml.testing.contracts.computes import ComputesContract
from mcml.testing.contracts.jobs import JobsContract, Kind
from mcml.testing.stubs.aws_batch import BatchStub
from mcml.testing.stubs.aws_jobs import JobsStub
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeContext

ROLE, STAGING = "arn:aws:iam::123456789012:role/sagemaker", "s3://bucket/ml"
POOL = ComputeRequest("cpu-pool", "t1", "ml.m5.large", 0, 2, tags={"team": "risk"})
SCRIPTS: dict[Kind, str] = {"talks": "echo one; echo two", "fails": "exit 3", "sleeps": "echo asleep; exec sleep 300"}
MakeSession = Callable[..., Session]


def job_on(compute: str, token: str, kind: Kind = "talks", **resources: str) -> JobRequest:
    command = ("sh", "-c", SCRIPTS[kind])
    return JobRequest(f"My {kind}", token, command, image="registry/job:1", resources={"compute": compute, **resources}, tags={"a": "b"})


@pytest.fixture
def aws() -> Iterator[AwsModel]:
    with AwsModel("sagemaker", "logs", "batch") as served:
        yield served


@pytest.fixture
def stub(aws: AwsModel) -> Iterator[BatchStub]:
    with JobsStub(aws) as runs:
        yield BatchStub(aws, runs)


@pytest.fixture
def session_on(make_context: MakeContext, aws: AwsModel, stub: BatchStub) -> Iterator[MakeSession]:
    made: list[Session] = []

    def opened(url: str = aws.url, *, timeout: tuple[float, float] = (5, 5), attempts: int = 9, **settings: Any) -> Session:
        context = make_context(endpoint_url=url, **{"sagemaker_role": ROLE, "staging": STAGING, **settings})
        policy = Policy(attempts, budget=Budget(60), sleep=lambda _: time.sleep(0.005), jitter=lambda: 1.0)
        made.append(Session(context, timeout, policy))
        return made[-1]

    yield opened
    for session in made:
        session.close()


@pytest.fixture
def computes(session_on: MakeSession) -> BatchComputes:
    return BatchComputes(session_on())


@pytest.fixture
def jobs(session_on: MakeSession) -> SageMakerJobs:
    return SageMakerJobs(session_on())


class TestComputes(ComputesContract):
    keeps = False

    @pytest.fixture
    def computes(self, session_on: MakeSession) -> Computes:
        return BatchComputes(session_on())

    @pytest.fixture
    def machine(self) -> str:
        return "ml.m5.large"

    @pytest.fixture
    def jobs(self, session_on: MakeSession) -> Jobs:
        return SageMakerJobs(session_on())

    @pytest.fixture
    def job_on(self) -> Callable[[str, str], JobRequest]:
        return job_on


class TestJobsOnACompute(JobsContract):
    @pytest.fixture
    def jobs(self, session_on: MakeSession, computes: BatchComputes) -> Jobs:
        computes.create(POOL)
        return SageMakerJobs(session_on())

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        return lambda kind, token: job_on("cpu-pool", token, kind)


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_computes(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_what_batch_and_sagemaker_are_told(computes: BatchComputes, jobs: SageMakerJobs, aws: AwsModel) -> None:
    computes.create(replace(POOL, spot=True))
    (environment,) = aws.requests("batch", "CreateServiceEnvironment")
    assert environment["capacityLimits"] == [{"maxCapacity": 2, "capacityUnit": "NUM_INSTANCES"}]
    assert environment["tags"].items() >= {"team": "risk", "managed-by": "mcml", "mcml-machine": "ml.m5.large", "mcml-spot": "true"}.items()
    (queue,) = aws.requests("batch", "CreateJobQueue")
    assert (queue["jobQueueType"], queue["serviceEnvironmentOrder"]) == (
        "SAGEMAKER_TRAINING", [{"order": 1, "serviceEnvironment": "cpu-pool"}],
    )  # fmt: skip
    jobs.submit(job_on("cpu-pool", "t1", hours="2", replicas="2"))
    (asked,) = aws.requests("batch", "SubmitServiceJob")
    told = json.loads(asked["serviceRequestPayload"])
    assert told["TrainingJobName"] == asked["jobName"]
    assert told["ResourceConfig"] == {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30}
    assert (told["StoppingCondition"], told["EnableManagedSpotTraining"]) == (
        {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 7200 + 86400}, True,
    )  # fmt: skip
    assert told["AlgorithmSpecification"]["ContainerEntrypoint"] == ["sh", "-c", SCRIPTS["talks"]]
    assert told["OutputDataConfig"] == {"S3OutputPath": "s3://bucket/ml/jobs"}
    assert (told["RoleArn"], told["Environment"]) == (ROLE, {"MCML_JOB_NAME": "My talks"})


def test_jobs_wait_for_room(computes: BatchComputes, jobs: SageMakerJobs) -> None:
    computes.create(replace(POOL, maximum=1))
    first, second = (jobs.submit(job_on("cpu-pool", token, "sleeps")) for token in ("t1", "t2"))
    assert [jobs.status(one.id).state for one in (first, second)] == ["running", "queued"]
    assert list(jobs.logs(second.id)) == []
    assert (computes.describe("cpu-pool").nodes, computes.describe("cpu-pool").busy) == (1, 1)
    with pytest.raises(Conflict) as busy:
        computes.delete("cpu-pool")
    assert busy.value.why == "2 of its jobs run or wait"
    computes.scale("cpu-pool", 0, 2)
    assert jobs.status(second.id).state == "running"
    assert computes.list()[0].busy == 2


def test_a_job_that_waits_is_cancelled(computes: BatchComputes, jobs: SageMakerJobs) -> None:
    computes.create(replace(POOL, maximum=1))
    _, second = (jobs.submit(job_on("cpu-pool", token, "sleeps")) for token in ("t1", "t2"))
    done = jobs.cancel(second.id)
    assert (done.state, done.exit_code, done.ended is not None) == ("cancelled", None, True)


def test_what_no_compute_can_be(computes: BatchComputes, aws: AwsModel) -> None:
    for change, why in (({"name": "my.pool"}, "63 letters"), ({"minimum": 1}, "SageMaker keeps no machine")):
        with pytest.raises(InvalidRequest) as refused:
            computes.create(replace(POOL, **change))
        assert why in refused.value.why
    assert not aws.calls


def test_what_no_job_on_a_compute_can_be(computes: BatchComputes, jobs: SageMakerJobs, session_on: MakeSession, stub: BatchStub) -> None:
    computes.create(POOL)
    for resources, why in (({"machine": "ml.c5.large"}, "machines of its own"), ({"replicas": "3"}, "at most 2")):
        with pytest.raises(InvalidRequest) as refused:
            jobs.submit(job_on("cpu-pool", "t", "talks", **resources))
        assert why in refused.value.why
    with pytest.raises(Usage):
        SageMakerJobs(session_on(staging="")).submit(job_on("cpu-pool", "t"))
    with pytest.raises(NotFound):
        jobs.status("00000000-0000-0000-0000-000000000000")
    assert stub.jobs == {}


def test_what_others_made_is_not_ours(computes: BatchComputes, stub: BatchStub) -> None:
    computes.create(POOL)
    stub.environments["cpu-pool"].about["tags"] = {"owner": "terraform"}
    assert computes.list() == []
    assert computes.delete("cpu-pool") is False
    with pytest.raises(Conflict):
        computes.create(POOL)
    assert set(stub.queues) == set(stub.environments) == {"cpu-pool"}


def test_one_that_was_half_made_or_half_deleted_is_taken_up(computes: BatchComputes, stub: BatchStub) -> None:
    computes.create(POOL)
    stub.queues.clear()
    assert computes.describe("cpu-pool").state == "creating"
    assert computes.create(POOL).state == "ready"
    stub.queues.clear()
    assert computes.delete("cpu-pool") is True
    assert stub.environments == {}


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps({"__type": code, "message": message}).encode())


METHODS: dict[str, Callable[[Session], object]] = {
    "create": lambda session: BatchComputes(session).create(replace(POOL, name="other")).state == "ready",
    "list": lambda session: [one.name for one in BatchComputes(session).list()] == ["cpu-pool"],
    "describe": lambda session: BatchComputes(session).describe("cpu-pool").maximum == 2,
    "scale": lambda session: BatchComputes(session).scale("cpu-pool", 0, 3).maximum == 3,
    "delete": lambda session: BatchComputes(session).delete("cpu-pool"),
    "submit": lambda session: SageMakerJobs(session).submit(job_on("cpu-pool", "t2")).name == "My talks",
}
WRITES = {
    "create": ("createserviceenvironment", "createjobqueue"),
    "scale": ("updateserviceenvironment",),
    "delete": ("updatejobqueue", "deletejobqueue", "updateserviceenvironment", "deleteserviceenvironment"),
    "submit": ("submitservicejob",),
}
FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(503, "ServerException")],
    "unanswered": [HalfBody(), Reset(reaches_server=True)],
    "slow": [Delay(30)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize(("method", "operation"), [(one, call) for one in METHODS for call in WRITES.get(one, ("describeserviceenv",))])
def test_goes_on_after_faults(
    method: str, operation: str, faults: str, computes: BatchComputes, session_on: MakeSession, aws: AwsModel, stub: BatchStub
) -> None:
    computes.create(POOL)
    with FaultProxy(aws.url) as proxy:
        proxy.script(*FAULTS[faults], only=lambda request: f"/{operation}" in request.path)
        assert METHODS[method](session_on(proxy.url, timeout=(5, 0.5)))
        assert proxy.unused == []
    there = {"create": {"cpu-pool", "other"}, "delete": set()}.get(method, {"cpu-pool"})
    assert set(stub.environments) == set(stub.queues) == there
    assert len(stub.jobs) == (1 if method == "submit" else 0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "ClientException", "Error executing request, Exception : Service environment limit exceeded"), InvalidRequest),
        (error(400, "LimitExceededException", "The account-level service limit is 0"), QuotaExceeded),
        (error(403, "AccessDeniedException", "is not authorized"), NotAuthenticated),
        (error(403, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(500, "ServerException"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(answer: Answer, kind: type[McmlError], session_on: MakeSession, aws: AwsModel) -> None:
    with FaultProxy(aws.url) as proxy:
        proxy.script(answer, only=lambda request: "/create" in request.path)
        with pytest.raises(kind) as told:
            BatchComputes(session_on(proxy.url, attempts=1)).create(POOL)
        assert told.value.message == "cannot make the compute 'cpu-pool'"


def test_no_credential_is_shown(computes: BatchComputes, session_on: MakeSession, aws: AwsModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    computes.create(POOL)
    with FaultProxy(aws.url) as proxy:
        session = session_on(proxy.url, attempts=1)
        seen = [repr(one) + repr(vars(one)) for one in (BatchComputes(session), SageMakerJobs(session), session)]
        for fault in (error(400, "ExpiredTokenException", f"expired {TOKEN}"), error(400, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")):
            for do in METHODS.values():
                proxy.script(fault)
                with pytest.raises(McmlError) as failed:
                    do(session)
                seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    for secret in CREDENTIALS:
        assert secret not in "\n".join(seen) + caplog.text
