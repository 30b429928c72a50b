"""Custom jobs of Vertex AI, against the API as its discovery document has it, and their log over gRPC."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.jobs import Job, JobRequest
from mcml.providers.gcp.jobs import VertexJobs, open_jobs
from mcml.providers.resilience import Policy
from mcml.testing.contracts.jobs import JobsContract, Kind
from mcml.testing.stubs.faults import FaultProxy
from mcml.testing.stubs.google_discovery import DiscoveryStub, GoogleError
from mcml.testing.stubs.google_grpc import Fail, Garble, GrpcError, GrpcStub, Wait
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.disturb import SLOW, assert_undisturbed
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.jobs_stub import CustomJobs

REGION = "europe-west1"
IMAGE = "europe-west1-docker.pkg.dev/stub-project/images/train:1"


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("aiplatform.v1", accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def log(google: GoogleStub) -> Iterator[GrpcStub]:
    with GrpcStub(LoggingServiceV2Client, accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def custom(stub: DiscoveryStub, log: GrpcStub) -> CustomJobs:
    state = CustomJobs()
    state.serve(stub, log)
    return state


METRIC = "aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus"


def a_request(kind: Kind, token: str, **more: Any) -> JobRequest:
    return JobRequest(f"{kind}-job", token, ("python", "-m", "train", kind), image=IMAGE, **more)


@pytest.fixture
def jobs(stub: DiscoveryStub, log: GrpcStub, custom: CustomJobs, make_session: MakeSession) -> VertexJobs:
    return VertexJobs(make_session(endpoint=stub.url, grpc_endpoint=log.address), REGION)


class TestContract(JobsContract):
    @pytest.fixture
    def jobs(self, stub: DiscoveryStub, log: GrpcStub, custom: CustomJobs, make_session: MakeSession) -> VertexJobs:
        return VertexJobs(make_session(endpoint=stub.url, grpc_endpoint=log.address), REGION)

    @pytest.fixture
    def make_request(self) -> Callable[[Kind, str], JobRequest]:
        return a_request


def ended(jobs: VertexJobs, job: str) -> Job:
    for _ in range(3):
        jobs.status(job)
    return jobs.status(job)


def test_what_is_submitted(jobs: VertexJobs, custom: CustomJobs) -> None:
    resources = {"machine": "g2-standard-8", "spot": "true", "disk_gb": "200", "timeout_seconds": "3600", "service_account": "a@b"}
    jobs.submit(a_request("talks", "t1", environment={"EPOCHS": "3"}, resources=resources, tags={"team": "Fraud"}))
    (job,) = custom.jobs.values()
    assert job["labels"] == {"team": "fraud", "mcml_managed": "true", "mcml_token": job["labels"]["mcml_token"]}
    spec = job["jobSpec"]
    assert (spec["serviceAccount"], spec["scheduling"]["timeout"], spec["scheduling"]["disableRetries"]) == ("a@b", "3600s", True)
    (pool,) = spec["workerPoolSpecs"]
    assert pool["machineSpec"] == {"machineType": "g2-standard-8"}
    assert pool["diskSpec"] == {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200}
    command = ["python", "-m", "train", "talks"]
    assert pool["containerSpec"] == {"imageUri": IMAGE, "command": command, "env": [{"name": "EPOCHS", "value": "3"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": ""}, "it has no image; Vertex AI runs containers"),
        ({"resources": {"gpus": "1"}}, "Vertex AI has no resource 'gpus'"),
        ({"resources": {"disk_gb": "much"}}, "disk_gb = 'much' is no number from 1"),
    ],
)
def test_what_vertex_cannot_run_is_refused_first(jobs: VertexJobs, stub: DiscoveryStub, change: dict[str, Any], said: str) -> None:
    about: dict[str, Any] = {"name": "n", "token": "t", "command": ("true",), "image": IMAGE}
    with pytest.raises(InvalidRequest) as refused:
        jobs.submit(JobRequest(**{**about, **change}))
    assert refused.value.why.startswith(said)
    assert stub.requests == []


def test_an_accelerator_that_nobody_has(jobs: VertexJobs) -> None:
    with pytest.raises(NotFound) as unknown:
        jobs.submit(a_request("talks", "t", resources={"accelerator": "nvidia-l44"}))
    assert (unknown.value.message, unknown.value.why) == ("no accelerator of Vertex AI named 'nvidia-l44'", "did you mean 'nvidia-l4'?")


def test_of_two_that_were_made_at_once_the_first_stays(jobs: VertexJobs, custom: CustomJobs, stub: DiscoveryStub) -> None:
    """Another machine submits the same between our look and our call."""
    create = stub._handlers["aiplatform.projects.locations.customJobs.create"]

    def twice(call: Any) -> Any:
        create(call)
        return create(call)

    stub.on("aiplatform.projects.locations.customJobs.create", twice)
    assert jobs.submit(a_request("talks", "t1")).id == "7000"
    assert [job["state"] for job in custom.jobs.values()] == ["JOB_STATE_PENDING", "JOB_STATE_CANCELLING"]
    assert jobs.submit(a_request("talks", "t1")).id == "7000"


def test_the_words_of_vertex_about_a_job_are_not_its_output(jobs: VertexJobs, custom: CustomJobs) -> None:
    job = jobs.submit(a_request("talks", "t1")).id
    custom.write(next(iter(custom.jobs.values())), ["Job is preparing."], task="service")
    ended(jobs, job)
    assert list(jobs.logs(job)) == ["one", "two"]


def test_a_line_that_comes_late_is_still_followed(jobs: VertexJobs, custom: CustomJobs) -> None:
    job = jobs.submit(a_request("talks", "t1")).id
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if seconds == 10:
            custom.write(next(iter(custom.jobs.values())), ["late\nand later"])

    jobs._session.policy = type(jobs._session.policy)(sleep=wait)
    assert list(jobs.logs(job, follow=True)) == ["one", "two", "late", "and later"]
    assert waits == [5.0, 10.0]


def test_an_entry_that_arrives_after_a_newer_one_is_told(jobs: VertexJobs, custom: CustomJobs) -> None:
    job = jobs.submit(a_request("talks", "t1")).id

    def wait(seconds: float) -> None:
        if seconds == 10:
            custom.write(next(iter(custom.jobs.values())), ["overtaken"], late=timedelta(seconds=30))

    jobs._session.policy = type(jobs._session.policy)(sleep=wait)
    assert list(jobs.logs(job, follow=True)) == ["one", "two", "overtaken"]


def test_a_line_of_json_that_has_no_message_is_told_as_it_is(jobs: VertexJobs, custom: CustomJobs) -> None:
    job = jobs.submit(a_request("talks", "t1")).id
    ended(jobs, job)
    custom.write(next(iter(custom.jobs.values())), ['{"loss": 0.5}', '{"message": "done", "epoch": 2}'])
    assert list(jobs.logs(job)) == ["one", "two", '{"loss": 0.5}', "done"]


@pytest.mark.parametrize(("message", "code"), [("exited with a non-zero status of 137. See", 137), ("Machine was preempted", None)])
def test_the_exit_code_is_in_the_message_or_unknown(jobs: VertexJobs, custom: CustomJobs, message: str, code: int | None) -> None:
    job = ended(jobs, jobs.submit(a_request("fails", "t1")).id)
    next(iter(custom.jobs.values()))["error"]["message"] = message
    found = jobs.status(job.id)
    assert (found.state, found.exit_code, found.detail) == ("failed", code, message)


def test_a_job_that_ends_while_it_is_cancelled(jobs: VertexJobs, custom: CustomJobs, stub: DiscoveryStub) -> None:
    job = jobs.submit(a_request("sleeps", "t1")).id

    def too_late(call: Any) -> Any:
        custom.end(custom.jobs[call["name"]], "JOB_STATE_SUCCEEDED")
        return custom.cancel(call)

    stub.on("aiplatform.projects.locations.customJobs.cancel", too_late)
    assert jobs.cancel(job).state == "succeeded"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GoogleError(429, "Quota exceeded for custom_model_training_cpus", reason="quotaExceeded"), QuotaExceeded),
        (GoogleError(429, f"The following quota metrics exceed quota limits: {METRIC}"), QuotaExceeded),
        (GoogleError(400, "Image not found"), InvalidRequest),
        (GoogleError(403, "Permission denied", reason="forbidden"), NotAuthenticated),
    ],
)
def test_a_job_that_is_refused(jobs: VertexJobs, stub: DiscoveryStub, error: GoogleError, kind: type[McmlError]) -> None:
    def refuse(_: Any) -> None:
        raise error

    stub.on("aiplatform.projects.locations.customJobs.create", refuse)
    with pytest.raises(McmlError) as refused:
        jobs.submit(a_request("talks", "t1"))
    assert type(refused.value) is kind
    assert refused.value.message == "cannot submit job talks-job"
    if METRIC in refused.value.why:
        assert refused.value.next_step == (
            "gcloud alpha services quota list --service=aiplatform.googleapis.com --consumer=projects/stub-project"
        )


METHODS: dict[str, Callable[[VertexJobs], object]] = {
    "submit": lambda one: one.submit(a_request("talks", "t2")).name,
    "status": lambda one: one.status("7000").name,
    "logs": lambda one: list(one.logs("7000")),
    "cancel": lambda one: one.cancel("7000").name,
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, jobs: VertexJobs, custom: CustomJobs, stub: DiscoveryStub, log: GrpcStub, make_session: MakeSession
) -> None:
    jobs.submit(a_request("sleeps", "t1"))
    jobs.status("7000")
    before = custom.snapshot()
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, grpc_endpoint=log.address, timeout=2.0)

        def run() -> tuple[object, object]:
            vars(custom).update(vars(before.snapshot()))
            answer = METHODS[method](VertexJobs(session, REGION))
            return answer, sorted(custom.jobs)

        assert_undisturbed(proxy, session, run)


@pytest.mark.parametrize(
    "fault",
    [
        Fail(GrpcError("UNAVAILABLE", "try later")),
        Fail(GrpcError("RESOURCE_EXHAUSTED", "Quota exceeded for read requests per minute", reason="RATE_LIMIT_EXCEEDED", delay=2)),
        Fail(GrpcError("INTERNAL", "oops"), reaches_server=True),
        Wait(5.0),
        Garble(),
    ],
    ids=repr,
)
def test_the_log_gets_over_what_passes(jobs: VertexJobs, log: GrpcStub, fault: Any) -> None:
    job = ended(jobs, jobs.submit(a_request("talks", "t1")).id)
    jobs._session.timeout = (0.5, 0.5)
    for number in range(2):
        log.script(*[Fail(GrpcError("UNAVAILABLE", "again"))] * number, fault)
        assert list(jobs.logs(job.id)) == ["one", "two"]
        assert log.unused == []


def test_an_expired_token_a_slow_answer_and_a_log_that_may_not_be_read(
    jobs: VertexJobs, stub: DiscoveryStub, log: GrpcStub, google: GoogleStub, make_session: MakeSession
) -> None:
    job = ended(jobs, jobs.submit(a_request("talks", "t1")).id)
    google.tokens.clear()
    assert list(jobs.logs(job.id)) == ["one", "two"]
    log.script(Fail(GrpcError("PERMISSION_DENIED", "Permission 'logging.logEntries.list' denied.")))
    with pytest.raises(NotAuthenticated) as refused:
        list(jobs.logs(job.id))
    assert refused.value.message == "cannot read the log of job 7000"
    assert refused.value.next_step == "gcloud projects get-iam-policy stub-project"
    with FaultProxy(stub.url) as proxy:
        hurried = VertexJobs(session := make_session(endpoint=proxy.url, timeout=0.5), REGION)
        hurried.status(job.id)
        session.policy = Policy(attempts=1)
        proxy.script(SLOW)
        with pytest.raises(Unavailable) as late:
            hurried.status(job.id)
        assert late.value.why == "no answer in time"


def test_a_name_that_no_job_has(jobs: VertexJobs) -> None:
    with pytest.raises(NotFound) as missing:
        jobs.status("mcml-never-existed")
    assert missing.value.next_step == "gcloud ai custom-jobs list --region=europe-west1 --project=stub-project"
    with pytest.raises(NotFound):
        jobs.status("123")


def test_opening_needs_neither_credentials_nor_network(make_context: MakeContext) -> None:
    assert isinstance(open_jobs(make_context(region=REGION)), VertexJobs)
