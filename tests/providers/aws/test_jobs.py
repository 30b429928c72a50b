"""Jobs on a stub of SageMaker Processing and CloudWatch Logs that runs them as processes: the contract, and what goes wrong."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, QuotaExceeded, Unavailable, Usage
from mcml.providers.api.jobs import JobRequest, Jobs
from mcml.providers.aws.jobs import SageMakerJobs, open_jobs
from mcml.providers.aws.session import Session
from mcml.providers.resilience import Budget, Policy
from mcml.testing.contracts.jobs import JobsContract, Kind
from mcml.testing.stubs.aws_jobs import JobsStub
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeContext

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
SCRIPTS: dict[str, str] = {"talks": "echo one; echo two", "fails": "exit 3", "sleeps": "echo asleep; exec sleep 300"}
Open = Callable[..., SageMakerJobs]


def request_for(kind: Kind, token: str) -> JobRequest:
    return JobRequest(f"My {kind}", token, ("sh", "-c", SCRIPTS[kind]), image="registry/job:1", tags={"team": "risk"})


@pytest.fixture
def aws() -> Iterator[AwsModel]:
    with AwsModel("sagemaker", "logs") as served:
        yield served


@pytest.fixture
def stub(aws: AwsModel) -> Iterator[JobsStub]:
    with JobsStub(aws) as served:
        yield served


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def open_on(make_context: MakeContext, aws: AwsModel, stub: JobsStub, slept: list[float]) -> Iterator[Open]:
    made: list[Session] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(0.01)

    def opened(url: str = aws.url, *, timeout: tuple[float, float] = (5, 5), attempts: int = 9, **settings: Any) -> SageMakerJobs:
        context = make_context(endpoint_url=url, **{"sagemaker_role": ROLE, **settings})
        made.append(Session(context, timeout, Policy(attempts, budget=Budget(60), sleep=sleep, jitter=lambda: 1.0)))
        return SageMakerJobs(made[-1])

    yield opened
    for session in made:
        session.close()


class TestJobs(JobsContract):
    @pytest.fixture
    def jobs(self, open_on: Open) -> Jobs:
        return open_on()

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        return request_for


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_jobs(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_what_sagemaker_is_told(open_on: Open, aws: AwsModel) -> None:
    request = replace(request_for("talks", "t1"), resources={"machine": "ml.c5.xlarge", "hours": "2"}, environment={"A": "b"})
    job = open_on(staging="s3://bucket/ml/").submit(request)
    assert job.id.startswith("mcml-my-talks-")
    (asked,) = aws.requests("sagemaker", "CreateProcessingJob")
    assert asked["ProcessingResources"]["ClusterConfig"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200}
    assert asked["AppSpecification"] == {"ImageUri": "registry/job:1", "ContainerEntrypoint": list(request.command)}
    assert asked["Environment"] == {"A": "b", "MCML_JOB_NAME": "My talks"}
    assert asked["RoleArn"] == ROLE
    assert asked["Tags"] == [{"Key": "managed-by", "Value": "mcml"}, {"Key": "team", "Value": "risk"}]
    (output,) = asked["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri"] == f"s3://bucket/ml/jobs/{job.id}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": ""},
        {"resources": {"gpu": "1"}},
        {"resources": {"hours": "0"}},
        {"resources": {"disk_gib": "x"}},
        {"command": ("x" * 257,)},
    ],
)
def test_what_sagemaker_could_not_run_is_refused(wrong: dict[str, Any], open_on: Open, aws: AwsModel) -> None:
    with pytest.raises(InvalidRequest) as refused:
        open_on().submit(replace(request_for("talks", "t1"), **wrong))
    assert refused.value.why
    assert not aws.calls


def test_without_a_role_nothing_is_asked(open_on: Open, aws: AwsModel) -> None:
    with pytest.raises(Usage):
        open_on(sagemaker_role="").submit(request_for("talks", "t1"))
    assert not aws.calls


def test_following_waits_for_the_last_lines(open_on: Open, slept: list[float]) -> None:
    """CloudWatch is late: after the end of a job there is one more look."""
    jobs = open_on()
    job = jobs.submit(request_for("talks", "t1")).id
    while jobs.status(job).ended is None:
        time.sleep(0.01)
    assert list(jobs.logs(job)) == ["one", "two"]
    assert slept == []
    assert list(jobs.logs(job, follow=True)) == ["one", "two"]
    assert slept == [5.0]


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message}).encode())


FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(503, "ServiceUnavailable")],
    "unanswered": [Delay(30), HalfBody(), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}


def submits(jobs: SageMakerJobs, job: str) -> None:
    assert jobs.submit(request_for("sleeps", "t2")).id != job


def states(jobs: SageMakerJobs, job: str) -> None:
    assert jobs.status(job).state == "running"


def reads(jobs: SageMakerJobs, job: str) -> None:
    assert next(jobs.logs(job, follow=True)) == "asleep"


def cancels(jobs: SageMakerJobs, job: str) -> None:
    jobs.cancel(job)
    while (now := jobs.status(job)).ended is None:
        time.sleep(0.01)
    assert now.state == "cancelled"


@pytest.fixture
def world(open_on: Open, aws: AwsModel) -> Iterator[tuple[SageMakerJobs, str, FaultProxy]]:
    """A job that sleeps, and jobs that are seen through a proxy that fails."""
    job = open_on().submit(request_for("sleeps", "t1")).id
    with FaultProxy(aws.url) as proxy:
        yield open_on(proxy.url, timeout=(5, 0.5)), job, proxy


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("does", [submits, states, reads, cancels])
def test_goes_on_after_faults(
    does: Callable[[SageMakerJobs, str], None],
    faults: str,
    world: tuple[SageMakerJobs, str, FaultProxy],
    slept: list[float],
    stub: JobsStub,
) -> None:
    jobs, job, proxy = world
    proxy.script(*FAULTS[faults])
    does(jobs, job)
    assert proxy.unused == []
    assert faults != "unheard" or 7.0 in slept
    assert len(stub.jobs) == (2 if does is submits else 1)


@pytest.mark.parametrize("operation", ["CreateProcessingJob", "StopProcessingJob"])
def test_a_write_whose_answer_is_lost_is_one_write(operation: str, world: tuple[SageMakerJobs, str, FaultProxy], stub: JobsStub) -> None:
    jobs, job, proxy = world
    lost: list[Fault] = [Answer(500, reaches_server=True), Reset(reaches_server=True)]
    proxy.script(*lost, only=lambda request: request.headers["X-Amz-Target"].endswith(operation))
    submits(jobs, job) if operation.startswith("Create") else cancels(jobs, job)
    assert proxy.unused == []
    assert len(stub.jobs) == (2 if operation.startswith("Create") else 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "ResourceLimitExceeded", "The account-level service limit is 0"), QuotaExceeded),
        (error(400, "AccessDeniedException", "is not authorized"), NotAuthenticated),
        (error(400, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(400, "ValidationException", "1 validation error detected"), InvalidRequest),
        (error(500, "InternalFailure"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(answer: Answer, kind: type[McmlError], open_on: Open, aws: AwsModel) -> None:
    with FaultProxy(aws.url) as proxy:
        proxy.script(answer)
        with pytest.raises(kind) as told:
            open_on(proxy.url, attempts=1).submit(request_for("talks", "t1"))
        assert told.value.message == "cannot submit the job 'My talks'"
        said = error(400, "InvalidSignatureException", "Signature expired")
        proxy.script(Answer(400, {**said.headers, "Date": "Wed, 01 Jan 2020 00:00:00 GMT"}, said.body))
        with pytest.raises(NotAuthenticated, match="cannot find the job") as wrong:
            open_on(proxy.url, attempts=1).status("x")
        assert "ahead of that of AWS" in wrong.value.why


def test_no_credential_is_shown(world: tuple[SageMakerJobs, str, FaultProxy], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    jobs, job, proxy = world
    seen = [repr(jobs), repr(vars(jobs)), repr(jobs.status(job))]
    for fault in (error(400, "ExpiredTokenException", f"expired {TOKEN}"), error(400, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")):
        proxy.script(fault)
        with pytest.raises(McmlError) as failed:
            jobs.cancel(job)
        seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    for secret in CREDENTIALS:
        assert secret not in "\n".join(seen) + caplog.text
