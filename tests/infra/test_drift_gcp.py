"""`mcml infra drift` and what removes a stray on Google Cloud: the stub of Terraform's provider, and Google's documented API beside it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests import secrets_found
from tests.infra.aws_world import World
from tests.infra.rig import Project
from tests.providers.gcp.cloud_world import AssetWorld, BucketWorld, SqlWorld
from tests.providers.gcp.compute_world import PROJECT, ComputeWorld
from tests.providers.gcp.google_stub import ACCOUNT, GoogleStub
from tests.terraform.modules import SCHEMAS
from tests.terraform.stub_provider import mirror

pytestmark = pytest.mark.slow
REGION = "europe-west1"
APIS = ("compute.v1", "sqladmin.v1", "storage.v1", "cloudasset.v1")
HEAD = f"""
terraform {{
  required_providers {{
    google = {{ source = "hashicorp/google" }}
  }}
}}
provider "google" {{
  project = "{PROJECT}"
  region  = "{REGION}"
}}
"""


class GoogleWorld(World):
    """A project whose things carry its name as labels, and the account `at` a stub of Google's APIs."""

    def __post_init__(self) -> None:
        self.stub()
        mirror.install(self.folder / "mirror", "hashicorp/google", "7.12.0", SCHEMAS / "google.json", self.folder / "more.json")
        self.project.environ = {**self.project.environ, **mirror.environment(self.folder / "mirror", self.folder)}

    def stub(self, answers: Any = None, found: Any = None) -> None:
        """Say what the stub of the provider answers from now on."""
        told = json.loads((SCHEMAS / "google.more.json").read_text()) | {"found": found or {}}
        told["answers"] |= answers or {}
        (self.folder / "more.json").write_text(json.dumps(told))

    def write(self, endpoint: str = "", **roots: str) -> None:
        """Write mcml.toml and these roots of one's own."""
        tables = [f'name = "{self.name}"', f'[providers.gcp]\nproject = "{PROJECT}"\nendpoint = "{endpoint or self.url}"']
        for name, text in roots.items():
            folder = self.project.folder / "roots" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "main.tf").write_text(HEAD + 'variable "region" {}\n' + text)
            tables.append(f'[infra.units.{name}]\nmodule = "roots/{name}"\nclouds = ["gcp"]\nvariables = {{ region = "{REGION}" }}')
        (self.project.folder / "mcml.toml").write_text("\n".join(tables) + "\n")


@pytest.fixture
def google() -> Iterator[GoogleStub]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    stub = GoogleStub(key.public_key())
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    stub.key_text = key.private_bytes(kind, form, serialization.NoEncryption()).decode()  # type: ignore[attr-defined]
    yield stub
    stub.close()


@pytest.fixture
def apis(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub(*APIS, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def assets(apis: DiscoveryStub) -> AssetWorld:
    return AssetWorld(apis, ComputeWorld(apis), SqlWorld(apis), BucketWorld(apis))


@pytest.fixture
def world(project: Project, google: GoogleStub, apis: DiscoveryStub, tmp_path: Path) -> World:
    project.targets = {}
    key = str(getattr(google, "key_text"))  # noqa: B009
    secrets_found.register("a service account's private key", key.splitlines()[9])
    login = {"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "private_key": key, "project_id": PROJECT}
    (tmp_path / "login-robot.json").write_text(json.dumps({**login, "token_uri": f"{google.url}/token"}))
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "login-robot.json"), "CLOUDSDK_CONFIG": str(tmp_path / "none")}
    project.environ = {**project.environ, **environ, "NO_GCE_CHECK": "true"}
    return GoogleWorld(project, apis.url, tmp_path)


def bucket(world: World, name: str) -> str:
    labels = f'{{ project = "{world.name}", environment = "dev" }}'
    return f'resource "google_storage_bucket" "data" {{\n name = "{name}"\n location = "EU"\n labels = {labels}\n}}\n'


def test_what_was_changed_and_what_is_in_no_state(world: World, assets: AssetWorld) -> None:
    name, loose = f"{world.name}-data", f"{world.name}-loose"
    world.stub(answers={"google_storage_bucket.url": f"gs://{name}"})
    world.write(app=bucket(world, name))
    world.apply()
    for one in (name, loose):
        assets.buckets.add(one, world.tags)
    assets.compute.add_disk(f"{REGION}-b", "loose", b"x", labels=world.tags)
    assets.compute.add_disk(f"{REGION}-b", "others", b"x", labels={**world.tags, "environment": "prod"})
    world.stub(answers={"google_storage_bucket.url": f"gs://{name}"}, found={"google_storage_bucket": {"storage_class": "NEARLINE"}})
    told = {one["name"]: (one["drift"], one["fix"]) for one in world.items("drift", "--detailed-exitcode", code=3)}
    remove, disk = "remove: mcml infra destroy --unmanaged", f"{REGION}-b/loose"
    adopt = "adopt: mcml infra import"
    assert told == {
        "google_storage_bucket.data": ("changed", ["mcml infra apply app"]),
        disk: ("unmanaged", [f"{adopt} UNIT google_compute_disk.NAME {disk}", f"{remove} {disk}"]),
        loose: ("unmanaged", [f"{adopt} app google_storage_bucket.NAME {loose}", f"{remove} {loose}"]),
    }
    world.stub(answers={"google_storage_bucket.url": f"gs://{name}"})
    for one in (disk, loose):
        world.done("destroy", "--unmanaged", one, "--yes")
    assert world.items("drift", "--detailed-exitcode") == []
    assert list(assets.buckets.buckets) == [name]
    assert [fact["targets"] for fact in world.facts("infra.destroyed")] == [[disk], [loose]]
