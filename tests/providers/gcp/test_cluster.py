"""Clusters of Kubernetes Engine, against the API as its discovery document has it."""

import base64
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.api.cluster import Pool
from mcml.providers.gcp.cluster import GPU_LABEL, GkeCluster, google_roots, open_cluster
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy
from mcml.testing.contracts.cluster import ClusterContract
from mcml.testing.stubs.faults import FaultProxy
from mcml.testing.stubs.google_discovery import DiscoveryStub, GoogleError
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.disturb import SLOW, assert_undisturbed
from tests.providers.gcp.gke_stub import REGION, Gke
from tests.providers.gcp.google_stub import GoogleStub

CPU = Pool("cpu", "e2-standard-4", 2, 2, 6)


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("container.v1", "compute.v1", accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def gke(stub: DiscoveryStub) -> Gke:
    """The CA is any certificate: one of those that this machine trusts."""
    text = Path(certifi.where()).read_text()
    begin, end = text.index("-----BEGIN"), text.index("-----END") + len("-----END CERTIFICATE-----\n")
    engine = Gke(base64.b64encode(text[begin:end].encode()).decode())
    engine.serve(stub)
    return engine


@pytest.fixture
def cluster(stub: DiscoveryStub, gke: Gke, make_session: MakeSession) -> GkeCluster:
    return GkeCluster(make_session(endpoint=stub.url), REGION)


class TestContract(ClusterContract):
    @pytest.fixture
    def cluster(self, stub: DiscoveryStub, gke: Gke, make_session: MakeSession) -> GkeCluster:
        gke.sizes["cpu"] = [2, 2]
        gke.cluster["nodePools"][0]["autoscaling"] = {"enabled": True, "minNodeCount": 1, "maxNodeCount": 3}
        return GkeCluster(make_session(endpoint=stub.url), REGION)

    @pytest.fixture
    def name(self) -> str:
        return "ml"


def test_access_by_address(cluster: GkeCluster, google: GoogleStub) -> None:
    access = cluster.access("ml")
    assert access.endpoint == "https://34.76.1.2"
    assert access.ca.startswith("-----BEGIN CERTIFICATE-----")
    assert access.token.reveal() == google.given[-1]
    assert access.expires is not None
    assert timedelta(minutes=50) < access.expires - datetime.now(UTC) < timedelta(minutes=61)
    assert access.exec is not None
    assert access.exec.argv == ("gke-gcloud-auth-plugin",)
    assert google.given[-1] not in repr(access)


def test_access_by_name_where_it_takes_calls_from_outside(cluster: GkeCluster, gke: Gke) -> None:
    """Its certificate is not of the cluster's own CA."""
    by_name = {"endpoint": "gke-0a1b-123.europe-west1.gke.goog", "allowExternalTraffic": False}
    gke.cluster["controlPlaneEndpointsConfig"] = {"dnsEndpointConfig": by_name}
    assert cluster.access("ml").endpoint == "https://34.76.1.2"
    by_name["allowExternalTraffic"] = True
    access = cluster.access("ml")
    assert (access.endpoint, access.ca) == ("https://gke-0a1b-123.europe-west1.gke.goog", google_roots())


def test_googles_roots_are_among_those_of_certifi() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=google_roots())
    names = {dict(part[0] for part in one["subject"]).get("organizationName") for one in context.get_ca_certs()}  # type: ignore[misc]
    assert "Google Trust Services LLC" in names
    assert len(names) < 6


def test_a_token_that_is_about_to_end_is_renewed(cluster: GkeCluster, google: GoogleStub) -> None:
    first = cluster.access("ml").token
    assert cluster.access("ml").token == first
    cluster._session.found.credentials.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=2)
    assert cluster.access("ml").token != first


def test_a_cluster_that_is_being_made_has_no_endpoint_yet(cluster: GkeCluster, gke: Gke) -> None:
    gke.cluster |= {"status": "PROVISIONING", "endpoint": ""}
    with pytest.raises(Unavailable, match="cannot be reached") as early:
        cluster.access("ml")
    assert early.value.why == "it has no endpoint: it is PROVISIONING"


def test_traits(cluster: GkeCluster, gke: Gke) -> None:
    traits = cluster.traits("ml")
    assert dict(traits.gpu_labels) == {GPU_LABEL: "nvidia-l4"}
    assert (traits.storage_class, dict(traits.load_balancer_annotations)) == ("standard-rwo", {"cloud.google.com/l4-rbs": "enabled"})
    gke.cluster["addonsConfig"] = {}
    del gke.cluster["nodePools"][1]
    bare = cluster.traits("ml")
    assert (dict(bare.gpu_labels), bare.storage_class) == ({}, "standard")


def test_pools_have_the_sizes_and_limits_of_all_their_zones(cluster: GkeCluster, stub: DiscoveryStub) -> None:
    assert cluster.pools("ml") == [CPU, Pool("gpu", "g2-standard-8", 0, 0, 4, spot=True), Pool("fixed", "e2-small", 4, 0, 2000, spot=True)]
    assert len(stub.calls("instanceGroupManagers.get")) == 5


def test_scaling_sets_every_zone_and_waits(cluster: GkeCluster, gke: Gke, stub: DiscoveryStub) -> None:
    assert cluster.scale_pool("ml", "cpu", 4).size == 4
    assert gke.resized == [("cpu", 2)]
    assert len(stub.calls("operations.get")) == 3
    assert cluster.scale_pool("ml", "cpu", 4).size == 4
    assert gke.resized == [("cpu", 2)]
    with pytest.raises(InvalidRequest) as odd:
        cluster.scale_pool("ml", "cpu", 5)
    assert odd.value.why == "it is in 2 zones, each with as many nodes: the size must be a multiple of 2"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 8, "message": "Insufficient quota to satisfy the request"}, QuotaExceeded),
        ({"code": 13, "message": "Google Compute Engine: ZONE_RESOURCE_POOL_EXHAUSTED"}, QuotaExceeded),
        ({"code": 14, "message": "try later"}, Unavailable),
        ({"code": 9, "message": "the subnetwork is full"}, InvalidRequest),
    ],
)
def test_a_resize_that_fails_says_why(cluster: GkeCluster, gke: Gke, error: dict[str, Any], kind: type[McmlError]) -> None:
    gke.error = error
    with pytest.raises(McmlError) as failed:
        cluster.scale_pool("ml", "gpu", 3)
    assert type(failed.value) is kind
    assert (failed.value.message, failed.value.why) == ("cannot scale pool 'gpu' of cluster 'ml' to 3", error["message"])


def test_a_busy_cluster_is_waited_for(cluster: GkeCluster, gke: Gke) -> None:
    gke.operations["operation-99-upgrade"] = {"name": "operation-99-upgrade", "operationType": "UPGRADE_NODES", "status": "RUNNING"}
    gke._polls = 0
    assert cluster.scale_pool("ml", "gpu", 3).size == 3
    assert gke.resized == [("gpu", 3)]


def test_the_failure_of_what_somebody_else_does_is_not_ours(cluster: GkeCluster, gke: Gke, stub: DiscoveryStub) -> None:
    upgrade = {"name": "operation-99-upgrade", "operationType": "UPGRADE_NODES", "status": "RUNNING"}
    gke.operations["operation-99-upgrade"], gke._polls = upgrade, 0
    operation = stub._handlers["container.projects.locations.operations.get"]

    def fail(call: Any) -> Any:
        gke.error = {"code": 13, "message": "the upgrade failed"} if call["name"].endswith("upgrade") else {}
        return operation(call)

    stub.on("container.projects.locations.operations.get", fail)
    assert cluster.scale_pool("ml", "gpu", 3).size == 3


def test_what_somebody_else_changes_again_and_again(cluster: GkeCluster, gke: Gke, stub: DiscoveryStub) -> None:
    operation = stub._handlers["container.projects.locations.operations.get"]

    def meddle(call: Any) -> Any:
        answer = operation(call)
        gke.sizes["gpu"] = [1]
        return answer

    stub.on("container.projects.locations.operations.get", meddle)
    with pytest.raises(Conflict) as changed:
        cluster.scale_pool("ml", "gpu", 3)
    assert changed.value.why == "somebody else changes it too: it has 1 nodes"
    assert changed.value.next_step == "gcloud container operations list --project=stub-project"


def test_a_resize_that_takes_too_long_goes_on(cluster: GkeCluster, gke: Gke) -> None:
    gke.slow = 10_000
    with pytest.raises(StillRunning) as running:
        cluster.scale_pool("ml", "gpu", 3)
    assert running.value.why == "it is not over after 1200 s, and goes on"


def test_a_cluster_is_looked_for_in_the_region_and_its_zones(
    cluster: GkeCluster, gke: Gke, make_session: MakeSession, stub: DiscoveryStub
) -> None:
    assert cluster._path("zonal") == "projects/stub-project/locations/europe-west1-b/clusters/zonal"
    for name in ("far", "ml2"):
        with pytest.raises(NotFound) as missing:
            cluster.access(name)
        assert missing.value.next_step == "gcloud container clusters list --project=stub-project"
    anywhere = GkeCluster(make_session(endpoint=stub.url), "")
    assert anywhere._path("far").endswith("/us-east1/clusters/far")
    gke.others.append({"name": "far", "location": "us-west1"})
    with pytest.raises(InvalidRequest, match="which cluster"):
        GkeCluster(make_session(endpoint=stub.url), "").access("far")


def test_a_zone_that_does_not_tell_is_no_proof_of_absence(cluster: GkeCluster, gke: Gke) -> None:
    gke.missing_zones = ["europe-west1-d"]
    with pytest.raises(Unavailable, match="cannot find cluster 'nobody'"):
        cluster.access("nobody")


def test_without_the_right_to_see_it(cluster: GkeCluster, stub: DiscoveryStub) -> None:
    def forbidden(_: Any) -> None:
        raise GoogleError(403, 'Required "container.clusters.list" permission(s) for "projects/stub-project".', reason="forbidden")

    stub.on("container.projects.locations.clusters.list", forbidden)
    with pytest.raises(NotAuthenticated) as refused:
        cluster.access("ml")
    assert refused.value.why == 'Google answered 403: Required "container.clusters.list" permission(s) for "projects/stub-project".'
    assert refused.value.next_step == "gcloud projects get-iam-policy stub-project"


METHODS = {
    "access": lambda one: one.access("ml").endpoint,
    "traits": lambda one: one.traits("ml"),
    "pools": lambda one: one.pools("ml"),
    "scale_pool": lambda one: one.scale_pool("ml", "gpu", 3),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, gke: Gke, stub: DiscoveryStub, make_session: MakeSession
) -> None:
    before = gke.snapshot()
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=1.0)

        def run() -> tuple[object, object]:
            vars(gke).update(vars(before.snapshot()))
            return METHODS[method](GkeCluster(session, REGION)), (gke.sizes, gke.resized)

        assert_undisturbed(proxy, session, run)


def test_slow_answers_and_a_wrong_clock(gke: Gke, stub: DiscoveryStub, google: GoogleStub, make_session: MakeSession) -> None:
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=0.3)
        assert GkeCluster(session, REGION).traits("ml").gpu_labels
        proxy.script(SLOW)
        assert GkeCluster(session, REGION).traits("ml").gpu_labels
        session.policy = Policy(attempts=2)
        proxy.script(SLOW, SLOW)
        with pytest.raises(Unavailable) as late:
            GkeCluster(session, REGION).traits("ml")
        assert late.value.why == "no answer in time"
    google.tokens.clear()
    stub.ahead = timedelta(hours=-2)
    session = make_session(endpoint=stub.url)
    session.call("log in", lambda: session.found.credentials.refresh(session.ask_for_token))
    google.tokens.clear()
    stub.accepts = lambda _: False
    with pytest.raises(NotAuthenticated) as wrong:
        GkeCluster(session, REGION).traits("ml")
    assert wrong.value.why.startswith("this machine's clock is 120 minutes ahead of Google's; Google answered 401")


def test_an_expired_token_is_renewed(cluster: GkeCluster, google: GoogleStub) -> None:
    cluster.traits("ml")
    google.tokens.clear()
    assert cluster.traits("ml").storage_class == "standard-rwo"


def test_opening_needs_neither_credentials_nor_network(make_context: MakeContext) -> None:
    opened = open_cluster(make_context(region=REGION))
    assert isinstance(opened, GkeCluster)
    assert isinstance(opened._session, Session)
