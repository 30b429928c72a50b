"""Nodes and pods are read from an API server over HTTP, all of one moment, and a pod requests what the scheduler keeps free for it."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, ProviderCannot, Unavailable
from mcml.core.secret import Secret
from mcml.kube.client import refused
from mcml.kube.pods import Amounts, amounts, node, pod, read, requests
from mcml.providers.api.cluster import ClusterAccess
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.faults import Answer, FaultProxy, HalfBody
from mcml.testing.stubs.kube_api import KubeApi
from tests.kube import objects
from tests.kube.objects import container

TOKEN = "k8s-aws-v1.secret"
GIB = 2**30


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with KubeApi(token=TOKEN) as stub:
        yield stub


def access(url: str, token: str = TOKEN, ca: str = "") -> ClusterAccess:
    return ClusterAccess(url, ca, Secret(token), None)


def patient(waits: list[float]) -> Policy:
    return Policy(attempts=3, budget=Budget(60), sleep=waits.append, jitter=lambda: 0.0)


def asked(cpu: str | float, memory: float = 0, gpus: int = 0) -> Amounts:
    return Amounts(Decimal(str(cpu)), Decimal(str(memory)) * GIB, Decimal(gpus))


def test_a_cluster_is_read_in_pages_of_one_moment(api: KubeApi) -> None:
    api.put(objects.node(), objects.node("n-2", provider_id="aws:///us-east-1b/i-0def"))
    api.put(*(objects.pod(f"p-{number}", requests={"cpu": "100m"}) for number in range(5)))
    api.put(objects.pod("done", phase="Succeeded"), objects.pod("waits", node="", phase="Pending", since=""))
    found = read(access(api.url), page=2)
    assert [each.name for each in found.nodes] == ["ip-10-0-1-7.ec2.internal", "n-2"]
    assert [each.name for each in found.pods] == [f"p-{number}" for number in range(5)]
    assert [path for path, _ in api.asked] == ["/api/v1/nodes", *["/api/v1/pods"] * 4]
    assert {query["limit"] for _, query in api.asked} == {"2"}


def test_what_is_read_of_a_node_and_a_pod() -> None:
    spot = objects.node(has={"nvidia.com/gpu": "4"}, labels={"eks.amazonaws.com/capacityType": "SPOT"})
    found = node(spot)
    assert (found.provider_id, found.machine, found.zone, found.spot) == ("aws:///us-east-1a/i-0abc", "m5.xlarge", "us-east-1a", True)
    assert found.allocatable == Amounts(Decimal("3.92"), Decimal(14_000_000 * 1024), Decimal(4))
    assert not node(objects.node(labels={"kubernetes.azure.com/scalesetpriority": "regular"})).spot
    one = pod(objects.pod(labels={"model": "fraud"}, requests={"cpu": "1", "memory": "512Mi", "nvidia.com/gpu": "1"}))
    assert one.requests == asked(1, 0.5, 1)
    assert (one.since, one.owner) == (datetime(2026, 11, 5, 9, 30, tzinfo=UTC), "ReplicaSet")
    assert (one.labels, one.namespace, one.node) == ({"model": "fraud"}, "models", "ip-10-0-1-7.ec2.internal")
    assert pod(objects.pod(since="", owner="")).since is None


SIDECAR = container("proxy", {"cpu": "200m", "memory": "1Gi"}, restartPolicy="Always")
LOADER = container("load", {"cpu": "2", "memory": "1Gi"})
SERVER = container("server", {"cpu": "500m", "memory": "4Gi"})


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"containers": [SERVER, SERVER]}, asked(1, 8)),
        ({"containers": [SERVER], "initContainers": [LOADER]}, asked(2, 4)),  # of each the larger
        ({"containers": [SERVER], "initContainers": [SIDECAR]}, asked("0.7", 5)),
        ({"containers": [SERVER], "initContainers": [SIDECAR, LOADER]}, asked("2.2", 5)),  # beside the sidecar
        ({"containers": [SERVER], "initContainers": [LOADER, SIDECAR]}, asked(2, 5)),  # before the sidecar
        ({"containers": [SERVER], "overhead": {"cpu": "250m", "memory": "128Mi"}}, asked("0.75", 4.125)),
        ({"containers": [SERVER], "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "1"}}, asked(4, 4)),
        ({"containers": [container()]}, Amounts()),
    ],
    ids=["sum", "init", "sidecar", "init after a sidecar", "init before a sidecar", "overhead", "of the pod", "none"],
)
def test_a_pod_requests_what_the_scheduler_keeps_free(spec: dict[str, Any], wanted: Amounts) -> None:
    assert requests(spec) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("100m", "0.1"), ("2", "2"), ("1e3", "1000"), ("1500000u", "1.5")])
def test_quantities(text: str, wanted: str) -> None:
    assert amounts({"cpu": text}).cpus == Decimal(wanted)


@pytest.mark.parametrize("text", ["", "much", "1Xi", "-1", "NaN"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        amounts({"cpu": text})


def test_an_expired_list_begins_again(api: KubeApi) -> None:
    api.put(*(objects.pod(f"p-{number}") for number in range(3)))
    api.fail("pods", 410)
    assert len(read(access(api.url), page=2).pods) == 3
    api.fail("pods", 410, times=3)
    with pytest.raises(Conflict, match="cannot list the pods"):
        read(access(api.url))


def test_a_continue_of_a_forgotten_moment_is_answered_410(api: KubeApi) -> None:
    api.put(objects.pod("a"), objects.pod("b"))
    _, _, first = api.answer("/api/v1/pods", {"limit": "1"}, f"Bearer {TOKEN}")
    api.expire()
    status, _, said = api.answer("/api/v1/pods", {"limit": "1", "continue": first["metadata"]["continue"]}, f"Bearer {TOKEN}")
    assert (status, said["reason"]) == (410, "Expired")


def test_a_busy_server_is_asked_again_when_it_says(api: KubeApi) -> None:
    waits: list[float] = []
    api.put(objects.node())
    api.fail("nodes", 429, headers={"Retry-After": "7"})
    api.fail("nodes", 500)
    assert len(read(access(api.url), policy=patient(waits)).nodes) == 1
    assert waits == [7.0, 0.0]
    api.fail("nodes", 500, "etcd is away", times=3)
    with pytest.raises(Unavailable) as failed:
        read(access(api.url), policy=patient(waits))
    assert failed.value.why == "etcd is away"


def test_who_may_not_read_is_told_so(api: KubeApi) -> None:
    with pytest.raises(NotAuthenticated) as stranger:
        read(access(api.url, "another"))
    assert stranger.value.why == "Unauthorized"
    api.fail("pods", 403, 'pods is forbidden: User "me" cannot list resource "pods"')
    with pytest.raises(NotAuthenticated, match="cannot list the pods") as forbidden:
        read(access(api.url))
    assert "cannot list resource" in forbidden.value.why
    assert TOKEN not in f"{stranger.value!r}{forbidden.value!r}"


def test_nobody_there() -> None:
    with KubeApi() as gone:
        url = gone.url
    with pytest.raises(Unavailable, match="cannot list the nodes") as failed:
        read(access(url), policy=patient([]))
    assert "Connection refused" in failed.value.why
    assert "object at" not in failed.value.why


def test_half_an_answer_is_asked_for_again(api: KubeApi) -> None:
    waits: list[float] = []
    api.put(objects.node(), objects.node("n-2"))
    with FaultProxy(api.url) as proxy:
        proxy.script(HalfBody())
        assert len(read(access(proxy.url), policy=patient(waits)).nodes) == 2
    assert waits == [0.0]


def test_an_answer_that_is_no_list_is_said(api: KubeApi) -> None:
    for body, why in ((b"<html>", "no JSON"), (b'{"kind": "Status"}', "no list")):
        with FaultProxy(api.url) as proxy:
            proxy.script(*[Answer(200, body=body)] * 3)
            with pytest.raises(Unavailable) as failed:
                read(access(proxy.url), policy=patient([]))
        assert why in failed.value.why


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    with pytest.raises(ProviderCannot) as failed:
        read(access("http://127.0.0.1:9"))
    assert "is not installed" in failed.value.why
    assert failed.value.next_step == "pip install 'mcml[kube]'"


def test_an_object_that_cannot_be_read_is_said() -> None:
    with KubeApi() as api:
        api.put(objects.pod(requests={"cpu": "lots"}))
        with pytest.raises(Unavailable, match="cannot read the pods") as failed:
            read(access(api.url))
    assert "lots" in failed.value.why


@pytest.mark.parametrize(
    ("status", "body", "kind", "why"),
    [
        (404, "404 page not found", NotFound, "HTTP 404"),
        (400, '{"message": "bad"}', InvalidRequest, "bad"),
        (503, "[]", Unavailable, "HTTP 503"),
        (403, '{"reason": "Forbidden"}', NotAuthenticated, "Forbidden"),
    ],
    ids=["not found", "bad", "away", "forbidden"],
)
def test_what_a_refusal_means(status: int, body: str, kind: type[McmlError], why: str) -> None:
    told = refused("cannot", status, body)
    assert (type(told), told.why) == (kind, why)


def test_the_stub_takes_nothing_that_kubernetes_does_not_know() -> None:
    with KubeApi() as api:
        for wrong in (objects.pod(nodename="n"), objects.pod(containers=3), {"kind": "Service"}):
            with pytest.raises(ValueError, match=r"no Pod|has no|not a pod"):
                api.put(wrong)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that certifies itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"


def test_a_cluster_is_known_by_its_certificate(certificate: tuple[Path, Path]) -> None:
    with KubeApi(token=TOKEN, tls=certificate) as api:
        api.put(objects.node())
        assert len(read(access(api.url, ca=certificate[0].read_text())).nodes) == 1
        asked_before = len(api.asked)
        with pytest.raises(Unavailable) as failed:
            read(access(api.url), policy=patient([]))
        assert "certificate" in failed.value.why.lower()
        with pytest.raises(Unavailable, match="cannot list the nodes"):
            read(access(api.url, ca="no certificate"), policy=patient([]))
        assert len(api.asked) == asked_before  # the token was sent to nobody
