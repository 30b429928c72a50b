"""Which variables of the shell reach Terraform: a unit's own cloud's, and nobody else's."""

import json
import os
import sys
from pathlib import Path

import pytest

from mcml.infra.terraform.binary import Binary
from mcml.infra.terraform.credentials import NAMES, credentials
from mcml.infra.terraform.runner import environment
from mcml.infra.units.units import Unit
from tests.infra.rig import Project

OF = {
    "aws": {"AWS_PROFILE": "risk", "AWS_SESSION_TOKEN": "a", "AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_S3": "http://y"},
    "gcp": {"GOOGLE_APPLICATION_CREDENTIALS": "/k.json", "GOOGLE_STORAGE_CUSTOM_ENDPOINT": "http://z", "CLOUDSDK_CONFIG": "/c"},
    "azure": {"ARM_CLIENT_SECRET": "s", "AZURE_CONFIG_DIR": "/az", "AZURE_FEDERATED_TOKEN_FILE": "/t", "IDENTITY_ENDPOINT": "http://i"},
}
NEVER = {"TF_VAR_region": "x", "TF_CLI_ARGS": "-destroy", "TF_WORKSPACE": "y", "AWSX": "1", "MY_TOKEN": "t", "AWS_VAULT": "v"}
SHELL = {"PATH": "/bin"} | NEVER | {name: value for found in OF.values() for name, value in found.items()}


@pytest.mark.parametrize("cloud", sorted(OF))
def test_a_cloud_gets_its_own_and_no_others(cloud: str) -> None:
    given = environment(SHELL, "dev", clouds=(cloud,))
    assert {name: value for name, value in given.items() if name in SHELL and name not in ("PATH", "TF_WORKSPACE")} == OF[cloud]
    assert given["TF_WORKSPACE"] == "dev"


def test_several_clouds_get_the_union_and_none_gets_none() -> None:
    assert credentials(SHELL, ("aws", "gcp", "azure")) == {name: value for found in OF.values() for name, value in found.items()}
    assert credentials(SHELL, ()) == credentials(SHELL, ("local",)) == {}


def test_no_name_is_in_two_lists_or_lets_settings_of_terraform_through() -> None:
    names = [name for listed in NAMES.values() for name in listed]
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("TF_")] == []


def test_a_desk_gives_its_terraform_those_of_the_units_accounts_and_none_as_arguments(project: Project, tmp_path: Path) -> None:
    """A program in Terraform's place, called tofu, writes down what it was started with."""
    program, seen = tmp_path / "tofu", tmp_path / "seen.jsonl"
    wanted = [name for found in OF.values() for name in found]
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"told = {{'argv': sys.argv[1:], 'env': {{name: os.environ[name] for name in {wanted} if name in os.environ}}}}\n"
        f"open({str(seen)!r}, 'a').write(json.dumps(told) + '\\n')\n"
    )
    program.chmod(0o755)
    project.binary = Binary((str(program),), "OpenTofu", "1.10.0")
    project.environ = dict(os.environ) | SHELL | {"PATH": os.environ["PATH"]}
    root = project.folder / "extra"
    root.mkdir()
    (root / "main.tf").write_text("")
    extra = Unit("extra", "dev", module=str(root), own=True, accounts=("aws",))
    with project.fleet(extra, project.unit) as fleet:
        fleet.init()
    by_unit = [json.loads(line) for line in seen.read_text().splitlines()]
    assert sorted((told["env"] for told in by_unit), key=len) == [{}, OF["aws"]]
    assert {tuple(told["argv"]) for told in by_unit} == {("init", "-json", "-input=false")}
