"""A kubeconfig as kubectl reads it, and nothing of what was in it lost."""

import base64
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest, McmlError, ProviderCannot
from mcml.core.secret import Secret
from mcml.providers.api.cluster import ClusterAccess, ExecLogin
from mcml.providers.kubeconfig import entry, merged, parse, write

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TOKEN = "k8s-aws-v1.that-no-file-may-hold"
EKS = ExecLogin(("aws", "eks", "get-token", "--cluster-name", "prod", "--region", "eu-west-1"), "https://docs.aws.amazon.com/cli/")
GKE = ExecLogin(("gke-gcloud-auth-plugin",), "gcloud components install gke-gcloud-auth-plugin")
AKS = ExecLogin(("kubelogin", "get-token", "--login", "azurecli", "--server-id", "6dae42f8"), "az aks install-cli")
OTHERS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "kind", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True}}],
    "users": [{"name": "kind", "user": {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}}],
    "contexts": [{"name": "kind", "context": {"cluster": "kind", "user": "kind", "namespace": "ml"}}],
    "current-context": "kind",
    "extensions": [{"name": "tool", "extension": {"kept": [1, 2]}}],
}


def access(login: ExecLogin | None = EKS, endpoint: str = "https://1.eks.amazonaws.com") -> ClusterAccess:
    return ClusterAccess(endpoint, CA, Secret(TOKEN), datetime(2026, 5, 1, tzinfo=UTC), login)


def kubectl(path: Path, *argv: str) -> Any:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl on PATH")
    environment = {**os.environ, "KUBECONFIG": str(path), "HOME": str(path.parent)}
    done = subprocess.run([program, *argv], capture_output=True, env=environment, timeout=60, check=True)
    return json.loads(done.stdout) if "json" in argv else done.stdout.decode().strip()


@pytest.mark.parametrize("login", [EKS, GKE, AKS], ids=["eks", "gke", "aks"])
def test_kubectl_reads_it(login: ExecLogin, tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert write(path, access(login), "prod") is True
    read = kubectl(path, "config", "view", "--raw", "-o", "json")
    assert read["current-context"] == "prod"
    ca = base64.b64encode(CA.encode()).decode()
    assert read["clusters"] == [{"name": "prod", "cluster": {"server": "https://1.eks.amazonaws.com", "certificate-authority-data": ca}}]
    (user,) = read["users"]
    assert [user["user"]["exec"]["command"], *(user["user"]["exec"]["args"] or [])] == list(login.argv)
    assert user["user"]["exec"]["provideClusterInfo"] is True
    assert login.install in user["user"]["exec"]["installHint"]


def test_kubectl_runs_the_program(tmp_path: Path) -> None:
    """kubectl takes the entry for what it is: it runs the program, and says its name when it is not there."""
    ca, login = (Path(__file__).parent / "aws" / "cluster_ca.pem").read_text(), ExecLogin(("mcml-no-such-plugin",), "install it")
    write(tmp_path / "config", replace(access(login, "https://127.0.0.1:9"), ca=ca), "prod")
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl on PATH")
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)}
    done = subprocess.run([program, "get", "--raw", "/version"], capture_output=True, env=environment, timeout=60)
    assert b"mcml-no-such-plugin" in done.stderr
    assert b"install it" in done.stderr


def test_no_token_in_the_file(tmp_path: Path) -> None:
    write(tmp_path / "config", access(), "prod")
    assert TOKEN not in (tmp_path / "config").read_text()
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o600


def test_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS, sort_keys=False))
    assert write(path, access(), "prod") is True
    read = yaml.safe_load(path.read_text())
    assert list(read) == list(OTHERS)
    assert {**read, **{key: read[key][:1] for key in ("clusters", "users", "contexts")}, "current-context": "kind"} == OTHERS
    assert kubectl(path, "config", "current-context") == "prod"
    assert kubectl(path, "config", "get-contexts", "-o", "name") == "kind\nprod"


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS))
    write(path, access(), "prod")
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert write(path, access(), "prod") is False
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert write(path, access(endpoint="https://2.eks.amazonaws.com"), "prod") is True
    assert [one["cluster"]["server"] for one in yaml.safe_load(path.read_text())["clusters"]] == [
        "https://127.0.0.1:6443",
        "https://2.eks.amazonaws.com",
    ]


def test_a_namespace_that_somebody_chose_stays(tmp_path: Path) -> None:
    path = tmp_path / "config"
    write(path, access(), "prod")
    read = yaml.safe_load(path.read_text())
    read["contexts"][0]["context"]["namespace"] = "models"
    path.write_text(yaml.safe_dump(read))
    write(path, access(endpoint="https://2"), "prod")
    assert yaml.safe_load(path.read_text())["contexts"][0]["context"] == {"cluster": "prod", "user": "prod", "namespace": "models"}


def test_the_context_is_switched_only_when_wanted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS))
    write(path, access(), "prod", switch=False)
    assert yaml.safe_load(path.read_text())["current-context"] == "kind"
    write(tmp_path / "new", access(), "prod", switch=False)
    assert yaml.safe_load((tmp_path / "new").read_text())["current-context"] == "prod"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(yaml.safe_dump(OTHERS))
    (tmp_path / "real").chmod(0o400)
    (tmp_path / "config").symlink_to("real")
    write(tmp_path / "config", access(), "prod")
    assert (tmp_path / "config").is_symlink()
    assert len(yaml.safe_load((tmp_path / "real").read_text())["clusters"]) == 2
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o400


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("users: [secret-in-the-file", "in line 1"), ("- a list", "no v1 Config"), ("kind: Pod\napiVersion: v1", "no v1 Config"),
        ("apiVersion: v2", "no v1 Config"), ("clusters: {}", ""), ("clusters: {a: b}", "clusters is not"), ("users: [1]", "users is not"),
        ("contexts: [{context: {}}]", "contexts is not"), ("a: !!python/object:os.system x", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_is_no_kubeconfig_stays_as_it_is(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    if not why:
        assert write(path, access(), "prod") is True
        return
    with pytest.raises(InvalidRequest) as refused:
        write(path, access(), "prod")
    assert why in refused.value.why
    assert "secret-in-the-file" not in refused.value.why
    assert str(path) in refused.value.message
    assert path.read_text() == text


def test_without_a_login_program_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ProviderCannot, match="cannot write a kubeconfig for 'prod'"):
        write(tmp_path / "config", access(None), "prod")
    assert not (tmp_path / "config").exists()


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Neither of each other's nor of kubectl's, whose lock is kept."""
    path = tmp_path / "config"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write(path, access(), f"c{number}"), range(12)))
    assert sorted(one["name"] for one in yaml.safe_load(path.read_text())["clusters"]) == sorted(f"c{number}" for number in range(12))
    (tmp_path / "config.lock").touch()
    with pytest.raises(Conflict) as held:
        write(path, access(), "prod")
    assert held.value.next_step == f"when nobody does: rm {path}.lock"
    (tmp_path / "config.lock").unlink()
    assert kubectl(path, "config", "use-context", "c3") == 'Switched to context "c3".'
    assert sorted(one.name for one in tmp_path.iterdir()) == ["config"]


def test_readers_never_see_a_half(tmp_path: Path) -> None:
    path = tmp_path / "config"
    write(path, access(), "prod")
    stop = threading.Event()
    seen: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                assert len(parse(path.read_text(), "config")["clusters"]) >= 1
            except (McmlError, AssertionError, OSError) as failed:
                seen.append(failed)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write(path, access(endpoint=f"https://{number}"), f"c{number % 3}")
    stop.set()
    reader.join()
    assert seen == []


NAMES = st.sampled_from(["prod", "kind", "other"])
ENTRIES = st.lists(NAMES, unique=True)
CONFIGS = st.builds(
    lambda clusters, users, contexts, more: {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}} for name in clusters],
        "users": [{"name": name, "user": {"token": name}} for name in users],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in contexts],
        **more,
    },
    ENTRIES, ENTRIES, ENTRIES, st.dictionaries(st.sampled_from(["preferences", "extensions", "current-context"]), st.text(), max_size=3),
)  # fmt: skip


@given(CONFIGS)
def test_merging_keeps_all_others_and_is_the_same_twice(there: Mapping[str, Any]) -> None:
    added = entry(access(), "prod")
    whole = merged(there, added)
    assert merged(whole, added) == whole
    for key in ("clusters", "users", "contexts"):
        assert [one for one in whole[key] if one["name"] != "prod"] == [one for one in there[key] if one["name"] != "prod"]
        assert [one for one in whole[key] if one["name"] == "prod"] == added[key]
    assert {key: value for key, value in there.items() if key not in (*added, "current-context")}.items() <= whole.items()
