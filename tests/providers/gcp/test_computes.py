"""Persistent resources of Vertex AI, and custom jobs on them, against the API as its discovery document has it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Usage
from mcml.providers.api.computes import ComputeRequest
from mcml.providers.api.jobs import JobRequest
from mcml.providers.gcp.computes import VertexComputes, open_computes
from mcml.providers.gcp.jobs import VertexJobs
from mcml.testing.contracts.computes import ComputesContract
from mcml.testing.stubs.faults import FaultProxy
from mcml.testing.stubs.google_discovery import DiscoveryStub, GoogleError
from mcml.testing.stubs.google_grpc import GrpcStub
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.disturb import assert_undisturbed
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.jobs_stub import CustomJobs
from tests.providers.gcp.vertex_assets_stub import NEVER_THERE, POOLS, VertexAssets

REGION, MACHINE = "europe-west1", "n2-standard-8"
POOL = ComputeRequest("cpu-pool", "t1", MACHINE, 1, 2, tags={"team": "risk"})
IMAGE = "europe-west1-docker.pkg.dev/stub-project/images/train:1"


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("aiplatform.v1", accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def vertex(stub: DiscoveryStub) -> VertexAssets:
    made = VertexAssets()
    made.serve(stub)
    return made


@pytest.fixture
def computes(stub: DiscoveryStub, vertex: VertexAssets, make_session: MakeSession) -> VertexComputes:
    return VertexComputes(make_session(endpoint=stub.url), REGION)


def job_on(compute: str, token: str, **resources: str) -> JobRequest:
    return JobRequest("job", token, ("python", "-m", "train", "talks"), image=IMAGE, resources={"compute": compute, **resources})


@pytest.fixture
def jobs(stub: DiscoveryStub, vertex: VertexAssets, google: GoogleStub, make_session: MakeSession) -> Iterator[VertexJobs]:
    with GrpcStub(LoggingServiceV2Client, accepts=lambda token: token in google.tokens) as log:
        CustomJobs(vertex.pools).serve(stub, log)
        yield VertexJobs(make_session(endpoint=stub.url, grpc_endpoint=log.address), REGION)


class TestContract(ComputesContract):
    least = 1
    has_spot = False

    @pytest.fixture
    def computes(self, stub: DiscoveryStub, vertex: VertexAssets, make_session: MakeSession) -> VertexComputes:
        return VertexComputes(make_session(endpoint=stub.url), REGION)

    @pytest.fixture
    def machine(self) -> str:
        return MACHINE

    @pytest.fixture
    def jobs(self, jobs: VertexJobs) -> VertexJobs:
        return jobs

    @pytest.fixture
    def job_on(self) -> Callable[[str, str], JobRequest]:
        return job_on


def test_what_is_made(computes: VertexComputes, vertex: VertexAssets) -> None:
    from google.cloud.aiplatform_v1 import AcceleratorType

    made = computes.create(replace(POOL, machine="g2-standard-24+nvidia-l4:2", maximum=3))
    ((path, found),) = vertex.pools.items()
    assert path == "projects/stub-project/locations/europe-west1/persistentResources/cpu-pool"
    assert found["labels"] == {"team": "risk", "mcml_managed": "true", "mcml_token": found["labels"]["mcml_token"]}
    (pool,) = found["resourcePools"]
    l4 = AcceleratorType.NVIDIA_L4.value  # the clients send numbers
    assert pool["machineSpec"] == {"machineType": "g2-standard-24", "acceleratorType": l4, "acceleratorCount": 2}
    assert (pool["replicaCount"], pool["autoscalingSpec"]) == ("1", {"minReplicaCount": "1", "maxReplicaCount": "3"})
    assert made.machine == "g2-standard-24+nvidia-l4:2"
    assert "autoscalingSpec" not in (computes.scale("cpu-pool", 2, 2), vertex.pools[path]["resourcePools"][0])[1]


def test_what_vertex_does_not_have(computes: VertexComputes, stub: DiscoveryStub) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"spot": True}, "no persistent resources of spot machines"),
        ({"minimum": 0}, "its minimum is 0, and cannot be below 1"),
        ({"name": "My_pool"}, "63 small letters"),
        ({"machine": "n2 standard"}, "is no machine type"),
    )
    for change, why in wrong:
        with pytest.raises(InvalidRequest) as refused:
            computes.create(replace(POOL, **change))
        assert why in refused.value.why
    with pytest.raises(NotFound, match="no accelerator of Vertex AI named 'nvidia-l44'"):
        computes.create(replace(POOL, machine="g2-standard-8+nvidia-l44"))
    assert stub.requests == []


def test_machines_that_are_not_to_be_had_leave_nothing(computes: VertexComputes, vertex: VertexAssets) -> None:
    with pytest.raises(QuotaExceeded) as none:
        computes.create(replace(POOL, machine=NEVER_THERE))
    assert "Resources are insufficient" in none.value.why
    assert vertex.pools == {}


def test_one_that_is_broken_is_made_again_with_the_same_token(computes: VertexComputes, vertex: VertexAssets) -> None:
    computes.create(POOL)
    (found,) = vertex.pools.values()
    found |= {"state": "ERROR", "error": {"code": 13, "message": "Internal error."}}
    assert (computes.describe("cpu-pool").state, computes.describe("cpu-pool").detail) == ("failed", "Internal error.")
    assert computes.create(POOL).state == "ready"
    assert [effect for effect, _ in vertex.effects.values()] == ["pool", "delete_pool", "pool"]


def test_what_others_made(computes: VertexComputes, vertex: VertexAssets) -> None:
    """It is a pool like ours, and its name is taken; one of several pools is listed and not scaled."""
    computes.create(POOL)
    (found,) = vertex.pools.values()
    found["labels"] = {"owner": "terraform"}
    assert [one.tags for one in computes.list()] == [{"owner": "terraform"}]
    with pytest.raises(Conflict) as taken:
        computes.create(POOL)
    assert taken.value.why == "there is a compute cpu-pool, which another request made"
    found["resourcePools"].append({**found["resourcePools"][0], "id": "pool-1"})
    assert (computes.describe("cpu-pool").minimum, computes.describe("cpu-pool").maximum, computes.describe("cpu-pool").nodes) == (2, 4, 2)
    with pytest.raises(InvalidRequest) as several:
        computes.scale("cpu-pool", 1, 3)
    assert several.value.why == "it has several pools"


def test_a_pool_in_use_is_not_deleted(computes: VertexComputes, vertex: VertexAssets) -> None:
    computes.create(POOL)
    (found,) = vertex.pools.values()
    found["resourcePools"][0]["usedReplicaCount"] = "1"
    assert computes.describe("cpu-pool").busy == 1
    with pytest.raises(Conflict) as busy:
        computes.delete("cpu-pool")
    assert busy.value.why == "1 of its machines run jobs"
    assert len(vertex.pools) == 1


def test_a_job_brings_no_machine_to_a_compute(computes: VertexComputes, jobs: VertexJobs) -> None:
    computes.create(POOL)
    with pytest.raises(InvalidRequest) as both:
        jobs.submit(job_on("cpu-pool", "t", machine="e2-standard-4"))
    assert both.value.why == "it names a compute, whose machines have a machine of their own"


def test_a_job_is_still_there_when_its_compute_is_gone(computes: VertexComputes, jobs: VertexJobs) -> None:
    computes.create(POOL)
    job = jobs.submit(job_on("cpu-pool", "t"))
    assert computes.delete("cpu-pool") is True
    assert jobs.submit(job_on("cpu-pool", "t")).id == job.id


def test_it_takes_too_long(computes: VertexComputes, stub: DiscoveryStub) -> None:
    name = "projects/stub-project/locations/europe-west1/persistentResources/cpu-pool/operations/1"
    stub.on(f"{POOLS}.create", lambda call: {"name": name})
    stub.on(f"{POOLS}.operations.get", lambda call: {"name": name})
    with pytest.raises(StillRunning) as late:
        computes.create(POOL)
    assert late.value.message == "cannot make the compute cpu-pool"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GoogleError(429, "Quota exceeded for custom_model_training_cpus", reason="quotaExceeded"), QuotaExceeded),
        (GoogleError(400, "Machine type is not supported"), InvalidRequest),
        (GoogleError(403, "Permission denied", reason="forbidden"), NotAuthenticated),
    ],
)
def test_one_that_is_refused(computes: VertexComputes, stub: DiscoveryStub, error: GoogleError, kind: type[McmlError]) -> None:
    def refuse(_: Any) -> None:
        raise error

    stub.on(f"{POOLS}.create", refuse)
    with pytest.raises(McmlError) as refused:
        computes.create(POOL)
    assert (type(refused.value), refused.value.message) == (kind, "cannot make the compute cpu-pool")


METHODS: dict[str, Callable[[VertexComputes], object]] = {
    "create": lambda one: one.create(replace(POOL, name="other")),
    "list": lambda one: one.list(),
    "describe": lambda one: one.describe("cpu-pool"),
    "scale": lambda one: one.scale("cpu-pool", 2, 4),
    "delete": lambda one: one.delete("cpu-pool"),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, computes: VertexComputes, vertex: VertexAssets, stub: DiscoveryStub, make_session: MakeSession
) -> None:
    computes.create(POOL)
    before = vertex.snapshot()
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=2.0)

        def run() -> tuple[object, ...]:
            vars(vertex).update(vars(before.snapshot()))
            answer = METHODS[method](VertexComputes(session, REGION))
            return answer, sorted(vertex.pools), sorted(effect for effect, _ in vertex.effects.values())

        assert_undisturbed(proxy, session, run)


def test_a_target_without_a_region(make_context: MakeContext) -> None:
    """Opening needs neither credentials nor network."""
    with pytest.raises(Usage):
        open_computes(make_context()).list()
