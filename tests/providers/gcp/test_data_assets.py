"""Data assets as artifacts of Vertex ML Metadata, against the API as its discovery document has it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, QuotaExceeded, Usage
from mcml.providers.gcp.data_assets import VertexDataAssets, open_data_assets
from mcml.testing.contracts.data_assets import DataAssetsContract
from mcml.testing.stubs.faults import FaultProxy
from mcml.testing.stubs.google_discovery import DiscoveryStub, GoogleError
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.disturb import assert_undisturbed
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_assets_stub import VertexAssets

REGION, PLACE = "europe-west1", "gs://lake/train/"
STORE = "projects/stub-project/locations/europe-west1/metadataStores/default"


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
def assets(stub: DiscoveryStub, vertex: VertexAssets, make_session: MakeSession) -> VertexDataAssets:
    return VertexDataAssets(make_session(endpoint=stub.url), REGION)


class TestContract(DataAssetsContract):
    @pytest.fixture
    def assets(self, stub: DiscoveryStub, vertex: VertexAssets, make_session: MakeSession) -> VertexDataAssets:
        return VertexDataAssets(make_session(endpoint=stub.url), REGION)

    @pytest.fixture
    def place(self) -> str:
        return PLACE


def test_what_is_made(assets: VertexDataAssets, vertex: VertexAssets) -> None:
    """Tags that no label can hold come back as they were."""
    tags = {"mcml:project": "acme-ml", "team": "Fraud & Risk"}
    made = assets.register("Fraud_train", PLACE, token="t", tags=tags)
    ((path, artifact),) = vertex.artifacts.items()
    assert path.startswith(f"{STORE}/artifacts/mcml-fraud-train-")
    assert (artifact["displayName"], artifact["uri"], artifact["schemaTitle"]) == ("Fraud_train", PLACE, "system.Dataset")
    assert artifact["labels"] == {"mcml_project": "acme-ml", "team": "fraud___risk", "mcml_managed": "true"}
    assert (artifact["metadata"]["mcml_version"], json.loads(artifact["metadata"]["mcml_tags"])) == (made.version, tags)
    assert assets.describe("Fraud_train").tags == tags
    assert list(vertex.stores) == [STORE]


def test_what_others_made_is_not_ours(assets: VertexDataAssets, vertex: VertexAssets) -> None:
    made = assets.register("fraud", PLACE, token="t")
    (artifact,) = vertex.artifacts.values()
    vertex.artifacts[f"{STORE}/artifacts/dataset-1"] = {**artifact, "name": f"{STORE}/artifacts/dataset-1", "metadata": {}}
    assert assets.list() == assets.list("fraud") == [made]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GoogleError(429, "Quota exceeded for metadata writes", reason="quotaExceeded"), QuotaExceeded),
        (GoogleError(400, "Invalid artifact"), InvalidRequest),
        (GoogleError(403, "Permission denied", reason="forbidden"), NotAuthenticated),
    ],
)
def test_one_that_is_refused(assets: VertexDataAssets, stub: DiscoveryStub, error: GoogleError, kind: type[McmlError]) -> None:
    def refuse(_: Any) -> None:
        raise error

    stub.on("aiplatform.projects.locations.metadataStores.artifacts.create", refuse)
    with pytest.raises(McmlError) as refused:
        assets.register("fraud", PLACE, token="t")
    assert type(refused.value) is kind
    assert refused.value.message == "cannot register the data set fraud"


METHODS: dict[str, Callable[[VertexDataAssets], object]] = {
    "register": lambda one: one.register("fraud", PLACE, token="t2").version,
    "list": lambda one: [found.version for found in one.list()],
    "describe": lambda one: one.describe("fraud").version,
    "delete": lambda one: one.delete("fraud", one.list()[0].version),
}


@pytest.mark.parametrize("method", [*METHODS, "register the first"])
def test_every_method_gets_over_what_passes(
    method: str, assets: VertexDataAssets, vertex: VertexAssets, stub: DiscoveryStub, make_session: MakeSession
) -> None:
    if method != "register the first":
        assets.register("fraud", PLACE, token="t1")
    before = vertex.snapshot()
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=2.0)

        def run() -> tuple[object, ...]:
            vars(vertex).update(vars(before.snapshot()))
            answer = METHODS[method.partition(" ")[0]](VertexDataAssets(session, REGION))
            return answer, sorted(vertex.artifacts), sorted(vertex.stores), sorted(effect for effect, _ in vertex.effects.values())

        assert_undisturbed(proxy, session, run)


def test_a_target_without_a_region(make_context: MakeContext) -> None:
    """Opening needs neither credentials nor network."""
    with pytest.raises(Usage):
        open_data_assets(make_context()).list()
