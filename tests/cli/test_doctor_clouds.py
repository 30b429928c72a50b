"""`mcml doctor` in a project on three clouds: who we are on each, and what is missing; one that fails hides no other."""

import json
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from mcml.core import exits
from mcml.testing.cli import Result, run
from mcml.testing.stubs.azure_arm import ArmStub
from mcml.testing.stubs.faults import FaultProxy, Pass
from tests.cli.incidents import typed
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody
from tests.providers.azure.azurite_server import Server
from tests.providers.azure.conftest import SUBSCRIPTION, arm, azurite_tls, certificate, trusted
from tests.providers.azure.subscriptions_world import SubscriptionsWorld
from tests.providers.azure.test_identity import MetadataService, metadata
from tests.providers.gcp.conftest import Login, google, login, private_key, signing_key
from tests.providers.gcp.google_stub import GoogleStub

__all__ = ["arm", "aws_environment", "azurite_tls", "certificate", "cloud_project", "clouds", "google", "login", "metadata"]
__all__ += ["no_credentials", "nobody", "private_key", "signing_key", "trusted"]
pytestmark = pytest.mark.cloud
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def checks(ended: Result) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(ended.out)["items"]}


def failed(ended: Result) -> dict[str, str]:
    """Return the fix of each check that failed."""
    return {name: check["fix"] for name, check in checks(ended).items() if not check["ok"]}


def test_who_we_are_on_three_clouds(
    cloud_project: CloudProject,
    google: GoogleStub,
    login: Login,
    azurite_tls: Server,
    arm: ArmStub,
    metadata: MetadataService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a login of each cloud's own kind: keys in the environment, a service account's key file, a machine's identity."""
    for name in ("STORAGE_EMULATOR_HOST", "AZURE_STORAGE_KEY"):
        monkeypatch.delenv(name)
    login()
    cloud_project.connect(gcp=google.url, azure=azurite_tls.origin)
    SubscriptionsWorld(arm).add()
    settings = cloud_project.folder / "mcml.toml"
    settings.write_text(settings.read_text().replace("[providers.azure]", f'[providers.azure]\nmanagement = "{arm.url}"'))
    ended = run(["doctor", "-o", "json"], cwd=cloud_project.folder)
    seen = {name: check["detail"] for name, check in checks(ended).items() if name.startswith("provider ")}
    assert ended.code == exits.DONE, failed(ended)
    assert seen == {
        "provider aws": "arn:aws:sts::123456789012:user/moto in 123456789012 (env)",
        "provider azure": f"system in {SUBSCRIPTION} (ML) (Microsoft Entra token of a managed identity)",
        "provider gcp": "robot@stub-project.iam.gserviceaccount.com in stub-project (service account key)",
    }
    assert checks(ended)["azure: subscription"]["detail"] == f"{SUBSCRIPTION} (ML) is enabled"
    assert checks(ended)["gcp: storage"]["detail"] == "buckets of project stub-project can be listed"
    assert checks(ended)["aws: region"]["detail"] == "eu-west-1"


def test_what_is_missing_without_a_login(cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On each cloud in turn; its line has the command that logs in, what else is missing there is said too, the others are shown."""
    monkeypatch.setenv("HOME", str(tmp_path))
    whole = set(checks(typed(["doctor", "-o", "json"], cwd=cloud_project.folder)))
    without = {
        "aws": (AWS_KEYS, {"provider aws": "aws configure sso"}, {"aws: region"}),
        "gcp": (("STORAGE_EMULATOR_HOST",), {"provider gcp": "gcloud auth application-default login"}, set()),
        "azure": (("AZURE_STORAGE_KEY",), {"provider azure": "az login"}, {"azure: subscription"}),
    }
    for cloud, (names, fixes, still_said) in without.items():
        with pytest.MonkeyPatch.context() as environment:
            for name in names:
                environment.delenv(name)
            ended = typed(["doctor", "-o", "json"], cwd=cloud_project.folder)
        assert (ended.code, failed(ended)) == (exits.FAILED, fixes)
        assert {name for name in checks(ended) if name.startswith(cloud)} == still_said
        assert set(checks(ended)) >= {name for name in whole if not name.startswith(f"{cloud}:")}


def test_everything_that_is_missing_is_said_at_once(cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*AWS_KEYS, "STORAGE_EMULATOR_HOST", "AZURE_STORAGE_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (cloud_project.folder / "mcml.toml").write_text("[providers.aws]\n[providers.gcp]\n[providers.azure]\n")
    ended = run(["doctor"], cwd=cloud_project.folder, terminal=True, env={"NO_COLOR": "1"})
    lines = [line for line in ended.out.splitlines() if " failed " in line]
    assert ended.code == exits.FAILED
    assert [line.split("  ")[0] for line in lines] == [
        "provider aws", "aws: region", "provider azure", "azure: subscription", "provider gcp",
    ]  # fmt: skip
    asked = typed(["doctor", "-o", "json"], cwd=cloud_project.folder)
    assert failed(asked)["aws: region"].startswith("aws configure set region REGION")
    assert failed(asked)["azure: subscription"].startswith("set subscription in [providers.azure]")


def test_a_cloud_that_is_down_hides_no_other(cloud_project: CloudProject) -> None:
    with FaultProxy(cloud_project.clouds.aws) as proxy:
        cloud_project.connect(aws=proxy.url)
        proxy.refuse()
        ended = typed(["doctor", "-o", "json"], cwd=cloud_project.folder)
    assert (ended.code, failed(ended)) == (
        exits.FAILED,
        {"provider aws": "look at the network and the proxy settings, then: mcml doctor"},
    )
    assert {"provider azure", "azure: storage account", "provider gcp", "gcp: storage", "store"} <= set(checks(ended))


def test_all_clouds_are_asked_at_once(cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request to each waits until the other two have come: one after the other would never end."""
    all_there = Barrier(3, timeout=60)
    with ExitStack() as standing:
        aws, azure, gcp = (
            standing.enter_context(FaultProxy(url))
            for url in (cloud_project.clouds.aws, cloud_project.clouds.azure, cloud_project.clouds.gcp)
        )
        for proxy in (aws, azure, gcp):
            proxy.script(Pass(), only=lambda _: all_there.wait() >= 0)
        cloud_project.connect(aws=aws.url, azure=azure.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcp.url)
        ended = typed(["doctor", "-o", "json"], cwd=cloud_project.folder)
        assert [proxy.unused for proxy in (aws, azure, gcp)] == [[], [], []]
    assert (ended.code, failed(ended)) == (exits.DONE, {})
