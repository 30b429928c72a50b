"""The built wheel, in a fresh environment, from an empty folder: it carries what lies beside the package, and it runs."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests import fresh_environment

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_environment.wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_environment.made(tmp_path_factory.mktemp("fresh"), wheel)


def test_the_wheel_carries_what_lies_beside_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "mcml/_shipped/terraform/local/main.tf",
        "mcml/_shipped/runbooks/backend-down.md",
        "mcml/_shipped/policies/lib.rego",
        "mcml/store/pricelists/gcp.csv.gz",
        "mcml/store/pricelists/NOTICE",
        "mcml/_shipped/completions/mcml.bash",
        "mcml/store/migrations/versions/0001_first.py",
        "mcml/py.typed",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]


def test_it_runs_from_an_empty_folder(fresh: Path, tmp_path: Path) -> None:
    def mcml(*arguments: str) -> str:
        ended = subprocess.run([fresh / "mcml", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, f"{arguments}: {ended.stderr}"
        return ended.stdout

    where = subprocess.check_output([fresh / "python", "-c", "import mcml; print(mcml.__file__)"], cwd=tmp_path, text=True)
    assert str(fresh.parent) in where
    assert mcml("--version").startswith("mcml 0.")
    mcml("init", "--name", "acme", "--target", "eu-1:eu")
    assert {item["name"] for item in json.loads(mcml("plugins", "list", "-o", "json"))["items"]} == {"aws", "azure", "gcp", "local"}
    planned = json.loads(mcml("infra", "plan", "-o", "json"))["items"]
    assert [item["action"] for item in planned] == ["create"]
    assert mcml("incident", "list", "-o", "name") == ""
