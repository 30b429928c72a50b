"""Endpoints of Vertex AI, against the API as its discovery document has it."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import (
    Conflict,
    InvalidRequest,
    McmlError,
    QuotaExceeded,
    Unavailable,
)
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.gcp import endpoint_parts as parts
from mcml.providers.gcp.endpoint import PIECE, VertexEndpoint, open_model_endpoint
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.vertex import labels, stable_id, stable_number
from mcml.testing.contracts.endpoint import EndpointContract, MakeRequest
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.endpoint_rig import AIPLATFORM_QUOTAS, IMAGE, REGION, TAGS, TARGET, a_request, endpoints, opened, stub, vertex
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_stub import BROKEN, NEVER_READY, Vertex

__all__ = ["endpoints", "stub", "vertex"]


class TestContract(EndpointContract):
    @pytest.fixture
    def endpoints(self, stub: DiscoveryStub, vertex: Vertex, make_session: MakeSession) -> VertexEndpoint:
        return opened(make_session(endpoint=stub.url), REGION, TARGET)

    @pytest.fixture
    def make_request(self) -> MakeRequest:
        return a_request

    @pytest.fixture
    def broken_request(self) -> EndpointRequest:
        return EndpointRequest("fraud", "1", "d1", BROKEN, tags=TAGS)


def test_what_is_made(endpoints: VertexEndpoint, vertex: Vertex) -> None:
    resources = {"machine": "g2-standard-8", "accelerator": "nvidia-l4", "replicas": "2", "max_replicas": "5", "spot": "true"}
    from google.cloud.aiplatform_v1 import AcceleratorType

    l4 = AcceleratorType.NVIDIA_L4.value  # the clients send numbers
    endpoints.create(a_request("fraud", "2024.1", environment={"THREADS": "4"}, resources=resources))
    ((path, endpoint),) = vertex.endpoints.items()
    ((model_path, model),) = vertex.models.items()
    assert path.startswith("projects/stub-project/locations/europe-west1/endpoints/mcml-fraud-")
    assert endpoint["labels"] == {"mcml_project": "acme-ml", "team": "fraud___risk", "mcml_managed": "true"}
    assert json.loads(endpoint["description"]) == {"mcml": {"model": "fraud", "target": TARGET, "tags": TAGS}}
    (deployed,) = endpoint["deployedModels"]
    assert deployed["model"] == model_path
    assert deployed["displayName"] == "2024.1 " + a_request("fraud", "1").digest
    assert deployed["dedicatedResources"] == {
        "machineSpec": {"machineType": "g2-standard-8", "acceleratorType": l4, "acceleratorCount": 1},
        "minReplicaCount": 2,
        "maxReplicaCount": 5,
        "spot": True,
    }
    assert model["containerSpec"] == {
        "imageUri": f"{IMAGE}:1",
        "env": [{"name": "THREADS", "value": "4"}],
        "ports": [{"containerPort": 8080}],
        "predictRoute": "/v2/models/fraud/infer",
        "healthRoute": "/v2/health/ready",
    }


def test_where_requests_go(
    endpoints: VertexEndpoint, vertex: Vertex, google: GoogleStub, stub: DiscoveryStub, make_session: MakeSession
) -> None:
    endpoints.create(a_request("fraud", "1"))
    where = endpoints.invoke_target("fraud", "1")
    (path,) = vertex.endpoints
    assert (where.url, where.infer_path, where.health_path) == (stub.url, f"/v1/{path}:rawPredict", f"/v1/{path}")
    assert where.auth == "bearer"
    assert where.token is not None
    assert where.token.reveal() == google.given[-1]
    assert google.given[-1] not in repr(where)
    at_google = opened(make_session(endpoint=""), REGION, TARGET)
    assert at_google._vertex.url == "https://europe-west1-aiplatform.googleapis.com"
    (told,) = endpoints.describe("fraud")[0].variants
    assert (told.address, told.machine, told.replicas) == (f"{stub.url}/v1/{path}", "vertex e2-standard-2", 1)


def test_the_client_goes_to_the_regions_host(make_session: MakeSession) -> None:
    """No request: only where it would go."""
    at_google = opened(make_session(endpoint=""), REGION, TARGET)
    from mcml.providers.gcp.vertex import client

    made = at_google._session.service(client("EndpointServiceClient"), at_google._vertex.host)
    assert made.transport._host == "https://europe-west1-aiplatform.googleapis.com"
    assert at_google._session.service(client("EndpointServiceClient"), at_google._vertex.host) is made
    assert at_google._session.service(client("EndpointServiceClient"), "us-east1-aiplatform.googleapis.com") is not made


def test_endpoints_of_other_targets_are_not_ours(
    endpoints: VertexEndpoint, vertex: Vertex, stub: DiscoveryStub, make_session: MakeSession
) -> None:
    """More of them than fit on a page."""
    other = opened(make_session(endpoint=stub.url), REGION, "staging")
    for name in ("a", "b", "c"):
        endpoints.create(a_request(name, "1"))
        other.create(a_request(name, "1"))
    vertex.endpoints["foreign"] = {"name": "foreign", "displayName": "fraud", "labels": {"mcml_managed": "true"}, "deployedModels": []}
    assert [one.name for one in endpoints.describe()] == ["a", "b", "c"]
    assert {one.target for one in other.describe()} == {"staging"}
    assert len(stub.calls("endpoints.list")) == 8
    assert endpoints.delete("a")
    assert [one.name for one in other.describe()] == ["a", "b", "c"]


def test_new_tags_of_a_version_that_runs(endpoints: VertexEndpoint) -> None:
    endpoints.create(a_request("fraud", "1"))
    assert endpoints.create(a_request("fraud", "1", tags={"team": "other"})).tags == {"team": "other"}
    assert endpoints.describe("fraud")[0].tags == {"team": "other"}


def test_traffic_of_a_deleted_version_goes_to_the_others(endpoints: VertexEndpoint, vertex: Vertex) -> None:
    for number in ("1", "2", "3"):
        endpoints.create(a_request("fraud", number, content=int(number)))
    endpoints.shift_traffic("fraud", {"1": 50, "2": 30, "3": 20})
    assert endpoints.delete("fraud", "1") is True
    assert {one.version: one.weight for one in endpoints.describe("fraud")[0].variants} == {"2": 60, "3": 40}
    assert len(vertex.models) == 2
    assert endpoints.delete("fraud") is True
    assert (vertex.models, vertex.endpoints) == ({}, {})


def test_a_model_that_does_not_come_up(endpoints: VertexEndpoint, vertex: Vertex) -> None:
    """Another version that runs is not disturbed; nothing of the broken one is left."""
    before = endpoints.create(a_request("fraud", "1"))
    with pytest.raises(InvalidRequest) as broken:
        endpoints.create(EndpointRequest("fraud", "2", "d2", BROKEN, tags=TAGS))
    assert broken.value.message == "cannot deploy fraud version 2 on gcp-euw1"
    assert broken.value.why == NEVER_READY
    assert broken.value.next_step.startswith("gcloud logging read 'resource.type=\"aiplatform.googleapis.com/Endpoint\"")
    assert endpoints.describe("fraud") == [before]
    assert len(vertex.models) == 1


@pytest.mark.parametrize(
    ("error", "kind", "step"),
    [
        ({"code": 8, "message": "Quota exceeded for custom_model_serving_nvidia_l4_gpus"}, QuotaExceeded, AIPLATFORM_QUOTAS),
        ({"code": 13, "message": "Machine type unavailable: stockout"}, QuotaExceeded, "try another zone, machine type or time"),
        ({"code": 14, "message": "try later"}, Unavailable, "mcml doctor"),
        ({"code": 10, "message": "changed meanwhile"}, Conflict, ""),
    ],
)
def test_a_deployment_that_fails_says_why(
    endpoints: VertexEndpoint, vertex: Vertex, error: dict[str, Any], kind: type[McmlError], step: str
) -> None:
    vertex.error = error
    with pytest.raises(McmlError) as failed:
        endpoints.create(a_request("fraud", "1"))
    assert (type(failed.value), failed.value.why, failed.value.next_step) == (kind, error["message"], step)
    assert endpoints.describe() == []
    vertex.error = {}
    assert endpoints.create(a_request("fraud", "1")).variants[0].state == "ready"


def test_a_version_that_no_longer_answers(endpoints: VertexEndpoint, vertex: Vertex) -> None:
    endpoints.create(a_request("fraud", "1"))
    (endpoint,) = vertex.endpoints.values()
    endpoint["deployedModels"][0]["status"] = {"message": "container exited", "availableReplicaCount": 0}
    (variant,) = endpoints.describe("fraud")[0].variants
    assert (variant.state, variant.detail) == ("failed", "container exited")


@pytest.mark.parametrize("weights", [{"1": 100}, {"1": 70, "2": 30}, {"1": 100, "2": 0}, {"1": 0, "2": 100}])
def test_a_dead_version_is_started_again(endpoints: VertexEndpoint, vertex: Vertex, stub: DiscoveryStub, weights: dict[str, int]) -> None:
    """With the traffic that it had; the one beside it keeps running."""
    for version in weights:
        endpoints.create(a_request("fraud", version, content=int(version)))
    endpoints.shift_traffic("fraud", weights)
    (endpoint,) = vertex.endpoints.values()
    endpoint["deployedModels"][0]["status"] = {"message": "container exited", "availableReplicaCount": 0}
    again = endpoints.create(a_request("fraud", "1"))
    assert {one.version: (one.state, one.weight) for one in again.variants} == {
        version: ("ready", weight) for version, weight in weights.items()
    }
    assert len(stub.calls("endpoints.undeployModel")) == 1
    assert len(vertex.models) == len(weights)


def test_a_folder_is_copied_to_the_bucket_and_served_by_the_image(
    vertex: Vertex, stub: DiscoveryStub, google: GoogleStub, make_session: MakeSession, tmp_path: Path
) -> None:
    folder = tmp_path / "fraud"
    for name in ("model.onnx", "sub/vocabulary.txt", ".git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    google.storage.create_bucket("stub-project", {"name": "models-bucket"})
    request = a_request("fraud", "1", source=str(folder))
    with pytest.raises(InvalidRequest) as unset:
        opened(make_session(endpoint=stub.url), REGION, TARGET).create(request)
    assert unset.value.next_step == "set serving_image and staging_bucket in [providers.gcp] of mcml.toml"
    session = make_session(endpoint=stub.url, serving_image=f"{IMAGE}-server:3", staging_bucket="models-bucket")
    VertexEndpoint(session, REGION, TARGET, GcsObjectStore(make_session())).create(request)  # Cloud Storage is another server here
    (model,) = vertex.models.values()
    assert model["artifactUri"] == f"gs://models-bucket/mcml/models/fraud/{request.digest}"
    assert model["containerSpec"]["imageUri"] == f"{IMAGE}-server:3"
    keys = {key.removeprefix(f"mcml/models/fraud/{request.digest}/") for key in google.storage.objects["models-bucket"]}
    assert keys == {"model.onnx", "sub/vocabulary.txt"}


def test_a_large_file_is_never_held_whole(
    vertex: Vertex, stub: DiscoveryStub, google: GoogleStub, make_session: MakeSession, tmp_path: Path
) -> None:
    folder = tmp_path / "fraud"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"x" * (PIECE * 2 + 1))
    google.storage.create_bucket("stub-project", {"name": "models-bucket"})
    sizes: list[int] = []

    def watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            sizes.append(len(chunk))
            yield chunk

    class Watched(GcsObjectStore):
        def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
            return super().write(bucket, key, watched(chunks), if_match=if_match)

    session = make_session(endpoint=stub.url, serving_image=f"{IMAGE}-server:3", staging_bucket="models-bucket")
    VertexEndpoint(session, REGION, TARGET, Watched(make_session())).create(a_request("fraud", "1", source=str(folder)))
    assert sizes == [PIECE, PIECE, 1]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100)), st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
def test_the_shares_always_add_up(stored: dict[str, int], ids: list[str]) -> None:
    shares = parts.spread(stored, ids)
    assert sum(shares.values()) == 100
    assert list(shares) == ids


@given(st.dictionaries(st.text(max_size=80), st.text(max_size=80)))
def test_tags_come_back_exactly_and_labels_are_valid(tags: dict[str, str]) -> None:
    about = parts.About("fraud", "t", tags)
    assert parts.read_about(about.text()) == about
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for pair in labels(tags).items() for text in pair)


def test_ids_are_stable_and_differ() -> None:
    assert re.fullmatch("mcml-fraud-model-v2-[0-9a-f]{12}", stable_id("Fraud_Model.v2", "t"))
    assert len(stable_id("long" * 30, "t")) <= 40
    assert stable_id("a", "bc") != stable_id("ab", "c")
    assert stable_number("1", "d").isdigit()
    assert len(stable_number("1", "d")) == 10


def test_opening_needs_neither_credentials_nor_network(make_context: MakeContext) -> None:
    assert isinstance(open_model_endpoint(make_context(region=REGION)), VertexEndpoint)
