"""The built wheel, in a fresh environment, from an empty folder: it carries terraform/, runbooks/ and completions/, and it runs."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of a new environment with the wheel in it; the dependencies are this environment's, by path."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    argv = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    installed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    inside = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (Path(inside) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_the_wheel_carries_what_lies_beside_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "mcml/_shipped/terraform/local/main.tf",
        "mcml/_shipped/runbooks/backend-down.md",
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
