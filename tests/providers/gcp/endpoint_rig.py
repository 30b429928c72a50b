"""Vertex AI's stub, and endpoints on it, for the tests of Vertex endpoints."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.gcp.endpoint import VertexEndpoint
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.session import Session
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_stub import Vertex

REGION, TARGET = "europe-west1", "gcp-euw1"
IMAGE = "europe-west1-docker.pkg.dev/stub-project/models/fraud"
AIPLATFORM_QUOTAS = "gcloud alpha services quota list --service=aiplatform.googleapis.com --consumer=projects/stub-project"
TAGS = {"mcml:project": "acme-ml", "team": "Fraud & Risk"}


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("aiplatform.v1", accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def vertex(stub: DiscoveryStub) -> Vertex:
    made = Vertex()
    made.serve(stub)
    return made


def a_request(name: str, version: str, *, content: int = 1, **more: Any) -> EndpointRequest:
    digest = hashlib.sha256(str(content).encode()).hexdigest()
    return EndpointRequest(name, version, digest, **{"source": f"{IMAGE}:{content}", "tags": TAGS, **more})


def opened(session: Session, region: str, target: str) -> VertexEndpoint:
    return VertexEndpoint(session, region, target, GcsObjectStore(session))


@pytest.fixture
def endpoints(stub: DiscoveryStub, vertex: Vertex, make_session: MakeSession) -> VertexEndpoint:
    return opened(make_session(endpoint=stub.url), REGION, TARGET)
