"""A provider by somebody else: installed beside mcml into a fresh environment, it is one like the others, and mcml was not changed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import fresh_environment

ROOT = Path(__file__).resolve().parents[2]
NIMBUS = Path(__file__).with_name("nimbus")
SETTINGS = """
name = "acme"
[targets.sky]
provider = "nimbus"
[providers.nimbus]
owner = "ada"
"""
MAKE_BUCKET = """
from pathlib import Path
from mcml_nimbus.buckets import open_buckets
from mcml_nimbus.settings import Settings
from mcml.providers.api.spec import ProviderContext
open_buckets(ProviderContext(Settings(), Path(".mcml/nimbus"))).create("models")
"""
pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def bin_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with mcml and the plugin."""
    wheels = [fresh_environment.wheel(source, tmp_path_factory.mktemp("wheel")) for source in (ROOT, NIMBUS)]
    return fresh_environment.made(tmp_path_factory.mktemp("fresh"), *wheels)


@pytest.fixture
def mcml(bin_: Path, tmp_path: Path) -> Run:
    """Runs mcml of that environment in a project with a target in the fifth cloud."""
    (tmp_path / "mcml.toml").write_text(SETTINGS)

    def run(*arguments: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        ended = subprocess.run(
            [bin_ / "mcml", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert ended.returncode == code, f"{arguments}: {ended.stdout}{ended.stderr}"
        return ended

    return run


def test_it_keeps_the_promises_of_the_contracts(bin_: Path, tmp_path: Path) -> None:
    """Its own tests, where it is installed: the classes that mcml ships."""
    shutil.copytree(NIMBUS / "tests", tmp_path / "tests")
    argv = [str(bin_ / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests"]
    ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "passed" in ended.stdout
    assert "skipped" not in ended.stdout


def test_plugins_list_shows_it(mcml: Run) -> None:
    found = {item["name"]: item for item in json.loads(mcml("plugins", "list", "-o", "json").stdout)["items"]}
    assert set(found) == {"aws", "azure", "gcp", "local", "nimbus"}
    assert found["nimbus"]["capabilities"]["ObjectStore"] == {"support": "full", "note": ""}
    assert found["nimbus"]["capabilities"]["Registry"] == {"support": "impossible", "note": "a nimbus keeps no images"}
    assert found["nimbus"]["capabilities"]["Cluster"]["note"] == "not declared by this provider"
    assert "nimbus" in mcml("plugins", "list").stdout


def test_doctor_asks_it_who_we_are(mcml: Run, tmp_path: Path) -> None:
    checks = {item["name"]: item for item in json.loads(mcml("doctor", "-o", "json").stdout)["items"]}
    assert checks["provider nimbus"]["detail"] == f"ada in {tmp_path / '.mcml' / 'nimbus' / 'nimbus.db'} (a file)"
    assert checks["nimbus: file"]["ok"]


def test_its_settings_are_checked(mcml: Run, tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(SETTINGS.replace("owner", "ownr"))
    checks = {item["name"]: item for item in json.loads(mcml("doctor", "-o", "json", code=1).stdout)["items"]}
    assert "did you mean 'owner'?" in checks["provider nimbus"]["detail"]


def test_data_goes_there_and_back(mcml: Run, bin_: Path, tmp_path: Path) -> None:
    subprocess.run([bin_ / "python", "-c", MAKE_BUCKET], cwd=tmp_path, check=True)
    (tmp_path / "model.onnx").write_bytes(b"weights" * 1000)
    mcml("data", "cp", "model.onnx", "nimbus://models/fraud/")
    assert json.loads(mcml("data", "ls", "-r", "nimbus://models", "-o", "json").stdout)["items"][0]["name"] == "fraud/model.onnx"
    assert mcml("data", "cat", "nimbus://models/fraud/model.onnx").stdout == "weights" * 1000


def test_its_bill_is_one_like_the_others(mcml: Run, tmp_path: Path) -> None:
    (tmp_path / "receipt.csv").write_text("day,what,nimbles,price\n2026-05-01,rain,3,0.5\n2026-05-02,hail,1,0.25\n")
    (booked,) = json.loads(mcml("cost", "ingest", "receipt.csv", "-o", "json").stdout)["items"]
    assert (booked["origin"], booked["rows"]) == ("receipt.csv", 2)
    items = json.loads(mcml("cost", "report", "--by", "provider,service", "-o", "json").stdout)["items"]
    assert {item["name"]: item["billed_cost"] for item in items} == {"Nimbus/rain": "1.5", "Nimbus/hail": "0.25"}


def test_the_shell_completes_it(mcml: Run) -> None:
    """As the generated scripts ask: typer's protocol."""

    def completed(line: str) -> list[str]:
        ended = mcml(_MCML_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
        return ended.stdout.split()

    assert "nimbus://" in completed("mcml data ls nim")
    assert completed("mcml data query --provider n") == ["nimbus"]


def test_what_it_does_not_offer_is_said(mcml: Run) -> None:
    refused = mcml("data", "query", "select 1", "--provider", "nimbus", code=6)
    assert "not declared by this provider" in refused.stderr
