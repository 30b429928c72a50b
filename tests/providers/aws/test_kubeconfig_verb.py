"""`mcml infra kubeconfig` as a person runs it, on moto's EKS: kubectl's own login, and never a token in the file."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from mcml.providers.aws.session import Session
from mcml.testing.cli import run
from tests.providers.aws.conftest import CREDENTIALS

OWN = """apiVersion: v1
kind: Config
clusters:
- name: mine
  cluster:
    server: https://mine
contexts: []
users: []
current-context: mine
"""


@pytest.fixture
def project(tmp_path: Path, session: Session, moto_url: str) -> Path:
    """A project with a target on a cluster, one without, and one whose cluster is gone."""
    name = f"ml-{uuid4().hex[:8]}"
    session.client("eks").create_cluster(name=name, roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={"subnetIds": ["s"]})
    target = '[targets.{}]\nprovider = "aws"\nregion = "eu-west-1"\ncluster = "{}"\n'
    targets = target.format("eks-1", name) + target.format("gone", "no-such-cluster") + target.format("bare", "")
    (tmp_path / "mcml.toml").write_text(f'name = "acme"\n{targets}[providers.aws]\nendpoint_url = "{moto_url}"\n')
    return tmp_path


def test_it_writes_what_kubectl_reads_and_no_token(project: Path) -> None:
    file = project / "config"
    file.write_text(OWN)
    written = run(["infra", "kubeconfig", "eks-1", "--kubeconfig", str(file), "-o", "json"], cwd=project)
    assert written.code == 0, written.err
    (item,) = json.loads(written.out)["items"]
    assert (item["name"], item["state"], item["login"], item["file"]) == ("eks-1", "written", "aws", str(file))
    found = yaml.safe_load(file.read_text())
    assert [cluster["name"] for cluster in found["clusters"]] == ["mine", "eks-1"]
    assert found["current-context"] == "eks-1"
    (user,) = found["users"]
    assert user["user"]["exec"]["args"][:2] == ["eks", "get-token"]
    assert not any(secret in file.read_text() for secret in (*CREDENTIALS, "k8s-aws-v1"))
    again = run(["infra", "kubeconfig", "eks-1", "--kubeconfig", str(file), "-o", "json"], cwd=project)
    assert json.loads(again.out)["items"][0]["state"] == "as it was"


def test_a_dry_run_writes_nothing_and_the_current_context_can_stay(project: Path) -> None:
    file = project / "config"
    file.write_text(OWN)
    command = ["infra", "kubeconfig", "eks-1", "--kubeconfig", str(file), "--context", "prod", "--keep-context"]
    tried = run([*command, "--dry-run", "-o", "json"], cwd=project)
    assert json.loads(tried.out)["items"][0]["state"] == "would be written"
    assert file.read_text() == OWN
    assert run(command, cwd=project, env={"KUBECONFIG": "/nowhere"}).code == 0
    found = yaml.safe_load(file.read_text())
    assert (found["current-context"], found["contexts"][-1]["name"]) == ("mine", "prod")


def test_the_file_is_kubectls(project: Path) -> None:
    """The first of $KUBECONFIG."""
    file = project / "kube" / "first"
    assert run(["infra", "kubeconfig", "eks-1"], cwd=project, env={"KUBECONFIG": f"{file}:/nowhere/else"}).code == 0
    assert yaml.safe_load(file.read_text())["current-context"] == "eks-1"


@pytest.mark.parametrize(
    ("target", "code", "said"), [("gone", 5, "no-such-cluster"), ("bare", 2, 'set cluster = "NAME"'), ("nope", 5, "nope")]
)
def test_what_cannot_be_is_said(project: Path, target: str, code: int, said: str) -> None:
    refused = run(["infra", "kubeconfig", target, "--kubeconfig", str(project / "config")], cwd=project)
    assert refused.code == code
    assert said in refused.err
    assert not (project / "config").exists()
