"""No token is in a message, a repr or a log of clusters, the services of Vertex AI and the registry, even where Google repeats it."""

import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.providers.api.computes import ComputeRequest
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.jobs import JobRequest
from mcml.providers.gcp.cluster import GkeCluster
from mcml.providers.gcp.computes import VertexComputes
from mcml.providers.gcp.data_assets import VertexDataAssets
from mcml.providers.gcp.endpoint import VertexEndpoint
from mcml.providers.gcp.jobs import VertexJobs
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.registry import GcpRegistry
from mcml.providers.gcp.session import Session
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, HalfBody, Reset
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.gke_stub import Gke
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_assets_stub import VertexAssets
from tests.providers.gcp.vertex_stub import Vertex

REGION = "europe-west1"
IMAGE = "europe-west1-docker.pkg.dev/stub-project/models/fraud:1"


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("container.v1", "compute.v1", "aiplatform.v1", accepts=lambda token: token in google.tokens) as standing:
        Gke("").serve(standing)
        Vertex().serve(standing)
        VertexAssets().serve(standing)
        yield standing


def attempts(session: Session, url: str, source: Path, traces: bool) -> Iterator[object]:
    cluster, jobs = GkeCluster(session, REGION), VertexJobs(session, REGION)
    endpoint = VertexEndpoint(session, REGION, "t", GcsObjectStore(session))
    registry = GcpRegistry(session, REGION, url)
    assets, computes = VertexDataAssets(session, REGION), VertexComputes(session, REGION)
    for do in (
        lambda: cluster.access("ml"),
        lambda: cluster.scale_pool("ml", "gpu", 3),
        lambda: endpoint.create(EndpointRequest("fraud", "1", "d", IMAGE)),
        lambda: endpoint.invoke_target("fraud"),
        lambda: endpoint.delete("fraud"),
        lambda: jobs.submit(JobRequest("job", "the same", ("true",), image=IMAGE)),
        lambda: assets.register("fraud", "gs://lake/train/", token="t"),
        lambda: assets.list(),
        lambda: computes.create(ComputeRequest("pool", "t", "n2-standard-8", 1)),
        lambda: computes.delete("pool"),
        lambda: registry.push("models/fraud", source, "v1"),
        lambda: registry.list(),
    ):
        try:
            yield do()
        except McmlError as failed:
            yield "".join(traceback.format_exception(failed)) if traces else ""
            yield (failed, failed.message, failed.why, failed.next_step)
    yield (made := (cluster, endpoint, jobs, registry, assets, computes)), *map(vars, (*made, session))


@pytest.mark.parametrize("echoes", [False, True])
def test_no_token_is_told(
    echoes: bool, google: GoogleStub, stub: DiscoveryStub, make_session: MakeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback shows what the server said, and so is not looked at where the server repeats the token."""
    caplog.set_level(logging.DEBUG)
    source = tmp_path / "model.onnx"
    source.write_text("m")
    told: list[str] = []
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, attempts=2)
        session.call("log in", lambda: session.found.credentials.refresh(session.ask_for_token))
        body = json.dumps({"error": {"code": 403, "message": f"bad token {google.given[-1]}"}}).encode()
        faults: list[Fault] = [Answer(403, {"Content-Type": "application/json"}, body)] if echoes else [Reset(), HalfBody(), Answer(401)]
        for fault in (*faults, None):
            proxy.script(*[fault] * 60 if fault else [])
            told += [repr(one) + str(one) for one in attempts(session, proxy.url, source, not echoes)]
    stub.problems.clear()  # what the stub has no handler for: jobs, and a registry
    text = "\n".join([*told, caplog.text])
    assert "cannot submit job job" in text
    assert ("bad token [hidden]" in text) == echoes
    assert [token for token in google.given if token in text] == []
