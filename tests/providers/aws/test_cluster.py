"""Clusters on moto's EKS (with a real certificate for a CA), and what only the token's own bytes can tell."""

import base64
import json
import logging
import subprocess
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.cluster import Cluster, Pool
from mcml.providers.aws.cluster import EksCluster, open_cluster
from mcml.providers.aws.session import Session
from mcml.testing.contracts.cluster import ClusterContract
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeContext, MakeSession, Waits

ROLE = "arn:aws:iam::123456789012:role/eks"
CA = Path(__file__).with_name("cluster_ca.pem").read_text()
SIZES = {"minSize": 0, "desiredSize": 1, "maxSize": 3}
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def name(session: Session) -> Iterator[str]:
    """A cluster with three pools: on demand, spot, and one with GPUs."""
    eks, name = session.client("eks"), f"ml-{uuid4().hex[:12]}"
    eks.create_cluster(name=name, roleArn=ROLE, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
    for pool, machine in (("general", "m5.large"), ("spare", "m5.xlarge"), ("gpu", "g5.xlarge")):
        capacity = "SPOT" if pool == "spare" else "ON_DEMAND"
        about: dict[str, Any] = {"scalingConfig": SIZES, "instanceTypes": [machine], "capacityType": capacity}
        eks.create_nodegroup(clusterName=name, nodegroupName=pool, subnets=["subnet-1"], nodeRole=ROLE, **about)
    yield name
    for pool in eks.list_nodegroups(clusterName=name)["nodegroups"]:
        eks.delete_nodegroup(clusterName=name, nodegroupName=pool)
    eks.delete_cluster(name=name)


class TestCluster(ClusterContract):
    @pytest.fixture
    def cluster(self, session: Session) -> Cluster:
        return EksCluster(session)

    @pytest.fixture
    def name(self, name: str) -> str:
        return name


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_cluster(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_pools_come_in_pages(session: Session, name: str) -> None:
    pools = EksCluster(session, page=1).pools(name)
    assert sorted(pools, key=lambda pool: pool.name) == [
        Pool("general", "m5.large", 1, 0, 3),
        Pool("gpu", "g5.xlarge", 1, 0, 3),
        Pool("spare", "m5.xlarge", 1, 0, 3, spot=True),
    ]


def test_traits(session: Session, name: str) -> None:
    traits = EksCluster(session).traits(name)
    assert traits.gpu_labels == {"node.kubernetes.io/instance-type": "g5.xlarge"}
    assert traits.storage_class == "gp3"
    assert traits.load_balancer_annotations["service.beta.kubernetes.io/aws-load-balancer-type"] == "external"
    with pytest.raises(NotFound):
        EksCluster(session).traits("nobody")


def test_the_token_is_a_signed_question_to_sts(make_session: MakeSession, name: str) -> None:
    """Decoded, it is a URL; sent with the cluster's name in the header that is signed, STS says who we are."""
    session = make_session(clock=lambda: NOW)
    access = EksCluster(session).access(name)
    assert (access.ca, access.expires) == (CA, NOW + timedelta(minutes=14))
    assert access.endpoint.endswith(".eu-west-1.eks.amazonaws.com")
    token = access.token.reveal()
    assert token.startswith("k8s-aws-v1.")
    assert "=" not in token
    text = token.removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    asked = {key: value for key, (value,) in parse_qs(url.query).items()}
    assert (asked["Action"], asked["Version"], asked["X-Amz-Expires"]) == ("GetCallerIdentity", "2011-06-15", "60")
    assert asked["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert asked["X-Amz-Credential"].split("/")[::2] == [KEY_ID, "eu-west-1", "aws4_request"]
    assert asked["X-Amz-Security-Token"] == TOKEN


def test_the_token_is_that_of_the_aws_command(make_session: MakeSession, name: str) -> None:
    """The same URL but for time and signature as `aws eks get-token` makes, where that program is there."""
    access = EksCluster(make_session(region="eu-west-1")).access(name)
    assert access.exec is not None
    try:
        said = subprocess.run([*access.exec.argv], capture_output=True, timeout=60, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as absent:
        pytest.skip(f"no aws command that works here: {absent}")
    theirs = json.loads(said)["status"]["token"]

    def parts(token: str) -> dict[str, list[str]]:
        text = token.removeprefix("k8s-aws-v1.")
        found = parse_qs(urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()).query)
        return {key: value for key, value in found.items() if key not in ("X-Amz-Date", "X-Amz-Signature")}

    assert parts(access.token.reveal()) == parts(theirs)


def test_how_kubectl_logs_in(make_session: MakeSession, name: str, tmp_path: Path) -> None:
    keys = f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}"
    (tmp_path / "aws-config").write_text(f"[profile work]\nregion = us-west-2\n{keys}\n")
    access = EksCluster(make_session(profile="work")).access(name)
    assert access.exec is not None
    argv = ("aws", "eks", "get-token", "--cluster-name", name, "--output", "json", "--region", "eu-west-1", "--profile", "work")
    assert access.exec.argv == argv


def test_without_credentials_there_is_no_token(make_session: MakeSession, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable)
    with pytest.raises(NotAuthenticated) as refused:
        EksCluster(make_session()).access(name)
    assert "aws configure" in refused.value.next_step


def error(status: int, code: str, message: str = "said") -> Answer:
    body = json.dumps({"message": message}).encode()
    return Answer(status, {"Content-Type": "application/json", "x-amzn-ErrorType": code}, body)


FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(503, "ServiceUnavailableException")],
    "unanswered": [Delay(30), HalfBody(), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}


def accesses(cluster: EksCluster, name: str) -> None:
    assert cluster.access(name).ca == CA


def pools(cluster: EksCluster, name: str) -> None:
    assert len(cluster.pools(name)) == 3


def traits(cluster: EksCluster, name: str) -> None:
    assert cluster.traits(name).gpu_labels


def scales(cluster: EksCluster, name: str) -> None:
    assert cluster.scale_pool(name, "spare", 2).size == 2


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("does", [accesses, pools, traits, scales])
def test_goes_on_after_faults(
    does: Callable[[EksCluster, str], None], faults: str, make_session: MakeSession, proxy: FaultProxy, name: str, waits: Waits
) -> None:
    cluster = EksCluster(make_session(endpoint_url=proxy.url, timeout=(5, 0.5), attempts=9))
    proxy.script(*FAULTS[faults])
    does(cluster, name)
    assert proxy.unused == []
    assert faults != "unheard" or 7.0 in waits.seconds


def test_a_repeated_update_carries_the_same_token(make_session: MakeSession, proxy: FaultProxy, session: Session, name: str) -> None:
    cluster = EksCluster(make_session(endpoint_url=proxy.url))
    proxy.script(Answer(500, reaches_server=True), only=lambda request: request.method == "POST")
    assert cluster.scale_pool(name, "general", 3).size == 3
    assert [request.reached for request in proxy.requests if request.method == "POST"] == [True, True]
    found = session.client("eks").describe_nodegroup(clusterName=name, nodegroupName="general")["nodegroup"]
    assert found["scalingConfig"]["desiredSize"] == 3
    proxy.script()
    cluster.scale_pool(name, "general", 3)
    assert [request for request in proxy.requests if request.method == "POST"] == []  # there already: nothing to ask for


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(409, "ResourceInUseException", "Nodegroup update in progress"), Conflict),
        (error(400, "InvalidParameterException", "wrong"), InvalidRequest),
        (error(400, "ResourceLimitExceededException", "no more"), QuotaExceeded),
        (error(403, "AccessDeniedException", "not authorized"), NotAuthenticated),
        (error(403, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(500, "ServerException"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(answer: Answer, kind: type[McmlError], make_session: MakeSession, proxy: FaultProxy, name: str) -> None:
    cluster = EksCluster(make_session(endpoint_url=proxy.url, attempts=1))
    proxy.script(answer, only=lambda request: request.method == "POST")
    with pytest.raises(kind) as told:
        cluster.scale_pool(name, "general", 2)
    assert type(told.value) is kind
    assert told.value.message == f"cannot scale pool 'general' of cluster {name!r} to 2"


def test_a_wrong_clock_is_named(make_session: MakeSession, proxy: FaultProxy, name: str) -> None:
    cluster = EksCluster(make_session(endpoint_url=proxy.url, clock=lambda: NOW, attempts=1))
    said = error(403, "InvalidSignatureException", "Signature expired: 20260501T120000Z is now earlier than 20260501T130000Z")
    proxy.script(Answer(said.status, {**said.headers, "Date": "Fri, 01 May 2026 13:05:00 GMT"}, said.body))
    with pytest.raises(NotAuthenticated) as told:
        cluster.access(name)
    assert "65 minutes behind" in told.value.why
    assert told.value.next_step == "sudo timedatectl set-ntp true"


def test_a_cluster_in_the_making(make_session: MakeSession, proxy: FaultProxy) -> None:
    cluster = EksCluster(make_session(endpoint_url=proxy.url))
    proxy.script(Answer(200, {"Content-Type": "application/json"}, b'{"cluster": {"name": "new", "status": "CREATING"}}'))
    with pytest.raises(Conflict) as told:
        cluster.access("new")
    assert "CREATING" in told.value.why
    assert told.value.next_step == "aws eks wait cluster-active --name new"
    broken = b'{"cluster": {"name": "new", "status": "ACTIVE", "endpoint": "https://x", "certificateAuthority": {"data": "??"}}}'
    proxy.script(Answer(200, {"Content-Type": "application/json"}, broken))
    with pytest.raises(Unavailable, match="cannot reach"):
        cluster.access("new")


def test_no_credential_is_shown(make_session: MakeSession, proxy: FaultProxy, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cluster = EksCluster(make_session(endpoint_url=proxy.url, attempts=1))
    access = cluster.access(name)
    seen = [repr(cluster), repr(access), repr(vars(cluster))]
    wrong = error(403, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")
    for fault in (Reset(), error(403, "ExpiredTokenException", f"expired {TOKEN}"), wrong):
        proxy.script(fault)
        with pytest.raises(McmlError) as failed:
            cluster.pools(name)
        seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    for secret in (*CREDENTIALS, access.token.reveal()):
        assert secret not in "\n".join([*seen, caplog.text])
