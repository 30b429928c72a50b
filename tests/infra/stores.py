"""Stores of states for tests: buckets on moto and fake-gcs-server, a container on Azurite, and a small unit whose state is kept there."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from mcml.infra.units.backend import Backend
from mcml.infra.units.units import Unit
from tests.infra import azure_store
from tests.infra.azure_store import AzureStore
from tests.infra.rig import Project, terraform
from tests.providers.aws import moto_server
from tests.providers.azure.azurite_server import AzuriteMissing
from tests.providers.gcp import fake_gcs_server

REGION = "eu-west-1"
CLOUDS = {"s3": "aws", "gcs": "gcp", "azurerm": "azure"}
ROOT = """
variable "size" {
  type    = number
  default = 1
}
resource "terraform_data" "one" {
  input            = { size = var.size, password = sensitive("hunter2-in-state") }
  triggers_replace = var.size
  provisioner "local-exec" {
    command = "while [ -e ${path.root}/../../hold ]; do sleep 0.05; done"
  }
}
resource "terraform_data" "many" {
  count = var.size
  input = count.index
}
output "size" {
  value = terraform_data.one.output.size
}
"""


@dataclass(frozen=True)
class Stores:
    """Where the emulators listen; Azurite is started when it is asked for, and then the environment leads Terraform to it."""

    s3: str
    gcs: str
    folder: Path
    running: ExitStack

    @cached_property
    def azure(self) -> AzureStore:
        """Azurite; skips, with the reason, where it cannot be installed."""
        folder = self.folder / "azure"
        folder.mkdir()
        try:
            return self.running.enter_context(azure_store.running(folder))
        except AzuriteMissing as missing:
            pytest.skip(str(missing))

    def backend(self, kind: str, **more: Any) -> Backend:
        """Make a versioned bucket, and the backend in it of one unit."""
        if kind == "azurerm":
            return Backend("azurerm", self.azure.settings() | more)
        bucket = f"mcml-{uuid4().hex[:12]}"
        if kind == "s3":
            client = s3(self.s3)
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            return Backend("s3", self._s3(bucket, self.s3) | more)
        body = json.dumps({"name": bucket, "versioning": {"enabled": True}}).encode()
        headers = {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{self.gcs}/storage/v1/b?project=acme", body, headers)).close()
        place = {"bucket": bucket, "prefix": "acme/unit", "storage_custom_endpoint": f"{self.gcs}/storage/v1/", "access_token": "x"}
        return Backend("gcs", place | more)

    def _s3(self, bucket: str, url: str) -> dict[str, Any]:
        keys = self.folder / "keys"
        keys.write_text("[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
        return {
            "bucket": bucket, "key": "acme/unit.tfstate", "region": REGION, "workspace_key_prefix": "environments", "encrypt": True,
            "use_lockfile": True, "endpoints": {"s3": url}, "shared_credentials_files": [str(keys)], "use_path_style": True,
            "skip_credentials_validation": True, "skip_requesting_account_id": True, "skip_metadata_api_check": True, "max_retries": 1,
        }  # fmt: skip

    def away(self, made: Project, backend: Backend, url: str) -> tuple[Project, Backend]:
        """The same project and backend, but that the way to the store leads where nobody listens."""
        if backend.kind == "azurerm":
            return replace(made, environ={**made.environ, "HTTPS_PROXY": url}), backend
        at = {"endpoints": {"s3": url}} if backend.kind == "s3" else {"storage_custom_endpoint": f"{url}/storage/v1/"}
        return made, Backend(backend.kind, {**backend.settings, **at})


def s3(url: str) -> Any:
    """A client of the emulator."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("s3", region_name=REGION, endpoint_url=url, **keys)


def emptied(client: Any, bucket: str) -> dict[str, bytes]:
    """Take a bucket away, and return what was in it."""
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    found = {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    versions = client.list_object_versions(Bucket=bucket)
    for one in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    client.delete_bucket(Bucket=bucket)
    return found


def filled(client: Any, bucket: str, content: Mapping[str, bytes]) -> None:
    """Bring a bucket back, with its states and without their locks."""
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for key, body in content.items():
        if not key.endswith(".tflock"):
            client.put_object(Bucket=bucket, Key=key, Body=body)


def until(condition: Callable[[], object], seconds: float = 40) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@contextmanager
def running(folder: Path) -> Iterator[Stores]:
    """Run the emulators."""
    aws, gcp = folder / "aws", folder / "gcp"
    aws.mkdir()
    gcp.mkdir()
    with moto_server.running(aws) as first, fake_gcs_server.running(gcp) as second, ExitStack() as more:
        yield Stores(first, second, folder, more)


def project(tmp_path: Path) -> Project:
    """A project with a module of our own instead of the shipped ones."""
    folder, root = tmp_path / "project", tmp_path / "modules" / "root" / "unit"
    folder.mkdir()
    root.mkdir(parents=True)
    (root / "main.tf").write_text(ROOT)
    return Project(folder, {}, terraform(), modules=tmp_path / "modules")


def unit(backend: Backend | None, environment: str = "dev", size: int = 1) -> Unit:
    """The unit of that module."""
    cloud = CLOUDS.get(backend.kind, "aws") if backend else "aws"
    accounts = (cloud,) if cloud == "azure" else ()
    return Unit("unit", environment, variables={"size": size}, module="root/unit", cloud=cloud, accounts=accounts, backend=backend)


def apply(made: Project, one: Unit) -> None:
    """Plan and apply a unit; raises what went wrong."""
    with made.fleet(one) as fleet:
        plans = fleet.plan()
        plans.raise_failures("mcml infra apply")
        for error in fleet.apply(plans).failed.values():
            raise error


def pulled(made: Project, one: Unit) -> dict[str, Any]:
    """The whole state of a unit."""
    with made.fleet(one) as fleet:
        document: Mapping[str, Any] | None = fleet.at_desk(lambda desk: desk.pull())
    return dict(document or {})


def in_other_environment(one: Unit, environment: str) -> Unit:
    """The same unit in another environment."""
    return replace(one, environment=environment)
