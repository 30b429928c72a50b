"""`mcml infra bootstrap`: the stores of three clouds, made once, on their emulators; and what is said when one cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import Conflict, Usage
from mcml.core.schema import Settings
from mcml.infra.states import bootstrap as room
from mcml.infra.states.settings_file import parse
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.identity import Who
from mcml.testing.cli import Result, run
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]

INFRA = """
[infra]
team = "risk"
cost_centre = "4711"
[infra.clouds.aws]
region = "eu-west-1"
[infra.clouds.gcp]
[infra.clouds.azure]
"""
WHO = Who("123456789012", "ann", "a test")


def bootstrap(project: CloudProject, *args: str, code: int = 0) -> Result:
    said = run(["infra", "bootstrap", *args], cwd=project.folder)
    assert said.code == code, said.out + said.err
    return said


def items(said: Result) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(said.out)["items"]}


def files(project: CloudProject) -> dict[str, dict[str, object]]:
    return {path.stem: parse(path.read_text()) for path in (project.folder / "backends").glob("*.tfbackend")}


@pytest.fixture
def project(cloud_project: CloudProject) -> CloudProject:
    with (cloud_project.folder / "mcml.toml").open("a") as file:
        file.write(INFRA)
    return cloud_project


@pytest.mark.slow
def test_the_stores_of_three_clouds_are_made_once(project: CloudProject) -> None:
    planned = items(bootstrap(project, "--dry-run", "-o", "json"))
    assert set(planned) == {"aws", "gcp", "azure"}
    assert {item["result"] for item in planned.values()} == {"to make"}
    assert not (project.folder / "backends").exists()
    assert "cannot ask" in bootstrap(project, code=2).err
    made = items(bootstrap(project, "--yes", "-o", "json"))
    assert [made[cloud]["result"] for cloud in ("aws", "gcp", "azure")] == ["made"] * 3
    assert made["aws"]["versioning"] and made["aws"]["encryption"] and made["aws"]["block_public"]
    said = files(project)
    assert {cloud: said[cloud].get("bucket") or said[cloud]["container_name"] for cloud in said} == {
        cloud: made[cloud]["store"].partition("://")[2] for cloud in made
    }
    assert said["aws"] == {
        "bucket": made["aws"]["store"][5:], "region": "eu-west-1", "workspace_key_prefix": "environments", "encrypt": True,
        "use_lockfile": True,
    }  # fmt: skip
    assert said["gcp"]["prefix"] == "acme"
    assert said["azure"]["use_azuread_auth"] is True
    assert said["azure"]["storage_account_name"]
    text = "".join(path.read_text() for path in (project.folder / "backends").iterdir())
    again = items(bootstrap(project, "--yes", "-o", "json"))
    assert {item["result"] for item in again.values()} == {"as it was"}
    assert "".join(path.read_text() for path in (project.folder / "backends").iterdir()) == text
    kinds = [entry["kind"] for entry in json.loads(run(["journal", "list", "-o", "json"], cwd=project.folder).out)["items"]]
    assert kinds == ["infra.store_made"] * 3, "a second time nothing was done"


@pytest.mark.slow
def test_one_cloud_that_fails_leaves_the_others_done(project: CloudProject) -> None:
    project.connect(aws="http://127.0.0.1:9")
    with (project.folder / "mcml.toml").open("a") as file:
        file.write(INFRA.replace("[infra.clouds.azure]", ""))
    said = bootstrap(project, "--yes", code=7)
    assert "failed: aws; made: gcp" in said.err
    assert "mcml infra bootstrap    # continues" in said.err
    assert list(files(project)) == ["gcp"]


@pytest.mark.slow
def test_a_bucket_that_is_there_is_put_right_and_the_file_keeps_what_somebody_wrote(project: CloudProject) -> None:
    bucket = project.bucket("s3").partition("://")[2]
    project.buckets("s3").configure(bucket, BucketConfig(versioning=False, block_public=False))
    file = project.folder / "backends" / "aws.tfbackend"
    file.parent.mkdir()
    file.write_text(f'# ours\nbucket = "{bucket}"')
    made = items(bootstrap(project, "aws", "--yes", "-o", "json"))
    assert (made["aws"]["result"], made["aws"]["versioning"], made["aws"]["block_public"]) == ("there; file written", True, True)
    assert file.read_text().startswith(f'# ours\nbucket = "{bucket}"\nregion')
    assert parse(file.read_text())["use_lockfile"] is True


def test_without_a_cloud_there_is_nothing_to_make(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    said = run(["infra", "bootstrap"], cwd=tmp_path)
    assert said.code == 2
    assert "[infra.clouds]" in said.err


def settings(**providers: Any) -> Settings:
    return Settings.model_validate({"name": "acme", "providers": providers})


class Taken:
    """Buckets of which every name is somebody else's."""

    def create(self, bucket: str) -> bool:
        raise Conflict(f"cannot create bucket {bucket!r}", why="the name is taken by another account", next_step="choose another name")


class Bare:
    """A bucket that keeps no versions."""

    def create(self, bucket: str) -> bool:
        return False

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        return BucketConfig(versioning=False)


def test_a_name_that_is_taken_can_be_chosen_in_the_file(tmp_path: Path) -> None:
    store = room.design("aws", settings(), tmp_path, WHO, "eu-west-1", {})
    with pytest.raises(Conflict, match="cannot create bucket") as refused:
        room.make(store, Taken())  # type: ignore[arg-type]
    assert "ANOTHER-NAME" in refused.value.next_step
    assert not store.file.exists()
    store.file.parent.mkdir()
    store.file.write_text('bucket = "another-name"\n')
    assert room.design("aws", settings(), tmp_path, WHO, "eu-west-1", {}).bucket == "another-name"


def test_what_could_not_be_set_is_said(tmp_path: Path) -> None:
    store = room.design("azure", settings(azure={"storage_account": "acmestate"}), tmp_path, WHO, "westeurope", {})
    made = room.make(store, Bare())  # type: ignore[arg-type]
    assert "--account-name acmestate --enable-versioning true" in made.remarks[0]


def test_azure_needs_a_storage_account_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="no storage account is named") as missing:
        room.design("azure", settings(), tmp_path, WHO, "westeurope", {})
    assert "az storage account create --name NAME --resource-group GROUP --location westeurope" in missing.value.next_step
    named = room.design("azure", settings(), tmp_path, WHO, "westeurope", {"AZURE_STORAGE_ACCOUNT": "acmestate"})
    assert named.settings["storage_account_name"] == "acmestate"


def test_names_tell_accounts_and_projects_apart_and_fit() -> None:
    assert room.name_of("acme", "1") != room.name_of("acme", "2")
    assert room.name_of("acme", "1") == room.name_of("acme", "1")
    assert len(room.name_of("a" * 63, "1")) <= 63


def test_a_file_with_a_secret_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "aws.tfbackend").write_text('bucket = "b"\nsecret_key = "hunter2"\n')
    with pytest.raises(Usage, match="holds a secret") as refused:
        room.design("aws", settings(), tmp_path, WHO, "eu-west-1", {})
    assert "hunter2" not in f"{refused.value.message}{refused.value.why}"
