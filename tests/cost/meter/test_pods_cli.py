"""Pods of a cluster, read over HTTP, in `mcml cost live`, `estimate` and `model`; the cloud is a provider plugin of this test."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.testing.cli import Result, run
from mcml.testing.stubs.kube_api import KubeApi
from tests.kube.objects import node, pod

TOKEN = "prod-token"
SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "acme"
region = "eu-west-1"
cluster = "prod"
[providers.acme]
endpoint = "{}"
"""
PLUGIN = '''
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel

from mcml.core.secret import Secret
from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.cluster import ClusterAccess
from mcml.providers.api.identity import Who
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.providers.api.spec import ProviderSpec

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


class Settings(BaseModel):
    endpoint: str


class Acme:
    def __init__(self, ctx):
        self.ctx = ctx

    def list(self, tags=None):
        return [Instance("i-0abc", "m5.xlarge", "us-east-1a", "running", HOUR - timedelta(hours=3))]

    def prices(self, machines=()):
        return [MachinePrice(name, "eu-west-1", Decimal(4), Decimal(16), Decimal("0.192"), None, "USD", HOUR) for name in machines]

    def pools(self, cluster):
        return []

    def access(self, cluster):
        return ClusterAccess(self.ctx.settings.endpoint, "", Secret("prod-token"), None)

    def whoami(self):
        return Who("4711", "me", "a key")


offers = {name: Offer(Support.FULL, "mcml_acme:Acme") for name in ("Instances", "Cluster", "Identity")}
spec = ProviderSpec("acme", "Acme cloud", "", "mcml_acme:Settings", offers, ("acme",))
'''


@pytest.fixture
def api() -> Iterator[KubeApi]:
    """A cluster of one node; half of it is a model's, from long ago."""
    with KubeApi(token=TOKEN) as stub:
        stub.put(node(has={"cpu": "4", "memory": "16Gi"}))
        labels = {"model": "fraud", "team": "risk"}
        stub.put(pod(requests={"cpu": "2", "memory": "8Gi"}, labels=labels, since="2026-01-05T09:30:00Z"))
        stub.put(pod("agent", namespace="kube-system", owner="DaemonSet", requests={"cpu": "100m"}))
        yield stub


@pytest.fixture
def project(tmp_path: Path, api: KubeApi) -> Path:
    info = tmp_path / "site/mcml_acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mcml-acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mcml.providers]\nacme = mcml_acme:spec\n")
    (tmp_path / "site/mcml_acme.py").write_text(PLUGIN)
    (tmp_path / "mcml.toml").write_text(SETTINGS.format(api.url))
    return tmp_path


def cost(project: Path, *words: str, terminal: bool = False) -> Result:
    return run(["cost", *words], cwd=project, terminal=terminal, env={"PYTHONPATH": str(project / "site")})


@pytest.mark.slow
def test_a_model_on_kubernetes_has_its_share_of_the_burn_and_of_the_ledger(project: Path) -> None:
    told = cost(project, "live", "-o", "json")
    assert told.code == 0, told.err
    items = {item["name"]: item for item in json.loads(told.out)["items"]}
    fraud = items.pop("prod/models/fraud-7c9d8-x2x")
    assert (fraud["kind"], fraud["model"], fraud["target"], fraud["hourly_cost"]) == ("pod", "fraud", "eu-1", "0.096")
    assert fraud["price_source"] == "0.5 of m5.xlarge 0.192 USD/h, price list of acme"
    assert {name: item["hourly_cost"] for name, item in items.items()} == {"i-0abc": "0.096"}

    piped = cost(project, "live", "-q")
    assert "acme\teu-1\tfraud\t1\t0.096\t2.304" in piped.out.splitlines()

    done = cost(project, "estimate", "-o", "json")
    assert done.code == 0, done.err
    estimated = Decimal(json.loads(done.out)["items"][0]["estimated_cost"])
    lines = json.loads(cost(project, "report", "--by", "model,team", "-o", "json").out)["items"]
    costs = {line["name"]: Decimal(line["effective_cost"]) for line in lines}
    assert len(costs) == 2
    assert sum(costs.values()) == estimated
    assert len(set(costs.values())) == 1  # half of every hour since the machine began: the pod says to be older than that


def test_a_cluster_that_refuses_leaves_its_nodes_whole(project: Path, api: KubeApi) -> None:
    api.fail("nodes", 403, "nodes is forbidden", times=2)
    told = cost(project, "live", "-o", "json")
    assert told.code == 0, told.err
    items = {item["name"]: item for item in json.loads(told.out)["items"]}
    assert items["i-0abc"]["hourly_cost"] == "0.192"
    assert "its pods cannot be read, so its nodes count whole" in items["prod/*"]["why_no_price"]
    assert "nodes is forbidden" in items["prod/*"]["why_no_price"]
    assert TOKEN not in told.out + told.err
    shown = cost(project, "live", "--once", terminal=True)
    assert "its pods cannot be read" in shown.out
