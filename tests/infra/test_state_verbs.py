"""A unit of a cloud from a state on this machine to one in a store, by the command line alone: on a stub of its provider and moto's S3."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcml.testing.cli import Result, run
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody
from tests.terraform.roots import PROVIDERS, merged_schemas
from tests.terraform.stub_provider import mirror

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]

INFRA = """
[infra]
team = "risk"
cost_centre = "4711"
[infra.clouds.aws]
region = "eu-west-1"
layers = ["network", "cluster"]
[infra.clouds.aws.settings.network]
log_retention_days = 30
"""
EMULATOR = """
endpoints = {{ s3 = "{url}" }}
use_path_style = true
skip_credentials_validation = true
skip_requesting_account_id = true
skip_metadata_api_check = true
shared_credentials_files = ["{keys}"]
"""
UNIT = "aws-network"


@pytest.fixture
def terraform(tmp_path: Path) -> dict[str, str]:
    """An environment whose Terraform finds stubs of AWS's providers."""
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    merged_schemas(schemas)
    for source, version in PROVIDERS["aws"].items():
        name = source.rpartition("/")[2]
        more = schemas / f"{name}.more.json"
        mirror.install(tmp_path / "mirror", source, version, schemas / f"{name}.json", more if more.exists() else None)
    return dict(mirror.environment(tmp_path / "mirror", tmp_path))


class Typed:
    """Types commands in a project."""

    def __init__(self, project: CloudProject, env: dict[str, str]) -> None:
        self.project, self.env = project, env

    def __call__(self, *args: str, code: int = 0) -> Result:
        said = run(["infra", *args], cwd=self.project.folder, env=self.env, timeout=120)
        assert said.code == code, said.out + said.err
        return said

    def items(self, *args: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self(*args, "-o", "json").out)["items"]
        return found

    def with_retention(self, days: int) -> None:
        """Change the project."""
        file = self.project.folder / "mcml.toml"
        file.write_text(file.read_text().replace("log_retention_days = 30", f"log_retention_days = {days}"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_this_machine_into_a_store_and_back_in_time(cloud_project: CloudProject, terraform: dict[str, str], tmp_path: Path) -> None:
    project = cloud_project
    with (project.folder / "mcml.toml").open("a") as file:
        file.write(INFRA)
    mcml = Typed(project, terraform)
    mcml("apply", UNIT, "--yes")
    (store,) = mcml.items("bootstrap", "aws", "--yes")
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    with (project.folder / "backends" / "aws.tfbackend").open("a") as backend:
        backend.write(EMULATOR.format(url=project.clouds.aws, keys=keys))
    mcml("plan", UNIT, "--detailed-exitcode")
    key = "environments/dev/acme/aws-network.tfstate"
    moved = project.store("s3").stat(store["store"][5:], key)
    assert moved.size > 5000, "the state is in the store"
    mcml.with_retention(60)
    mcml("apply", UNIT, "--yes")
    versions = mcml.items("state", "log", UNIT)
    assert versions[0]["serial"] > versions[1]["serial"]
    assert versions[0]["digest"], "the journal knows which plan it was"
    old = versions[1]["name"]
    assert any("retention_in_days" in change["attributes"] for change in mcml.items("state", "diff", UNIT, old))
    mcml("state", "restore", UNIT, old, "--yes")
    after = mcml.items("state", "log", UNIT, "-n", "1")
    assert after[0]["serial"] > versions[0]["serial"]
    assert mcml.items("state", "diff", UNIT, old) == []
    lock = {"ID": "0f0f0f0f-1111-2222-3333-444444444444", "Operation": "OperationTypeApply", "Who": "ann@gone"}
    lock["Created"] = "2026-11-22T03:00:00Z"
    project.store("s3").write(store["store"][5:], f"{key}.tflock", [json.dumps(lock).encode()])
    assert "ann@gone is changing this environment (apply)" in mcml("apply", UNIT, "--yes", code=1).err
    assert "is not 7 but 0f0f0f0f" in mcml("unlock", UNIT, "7", "--yes", code=1).err
    (shown,) = mcml.items("unlock", UNIT, "--dry-run")
    assert (shown["who"], shown["state"]) == ("ann@gone", "held")
    (broken,) = mcml.items("unlock", UNIT, lock["ID"], "--yes")
    assert broken["state"] == "broken"
    assert "nobody holds the lock" in mcml("unlock", UNIT).out
    mcml("apply", "aws", "--yes")
    assert {item["state"] for item in mcml.items("status", "aws")} == {"applied"}, "one takes the outputs of the other"
    assert [one.key for one in project.store("s3").list(store["store"][5:])] == [key.replace("network", "cluster"), key]
    assert not list(project.folder.rglob("terraform.tfstate.d/*/terraform.tfstate"))
