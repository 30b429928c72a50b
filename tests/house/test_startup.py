"""Start-up is a feature: what a command imports is asserted on `sys.modules`, not on milliseconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.cli.lazy import WORDS

HEAVY = {
    "alembic", "azure", "boto3", "botocore", "duckdb", "envoy", "google", "grpc", "httpx", "kubernetes", "numpy", "obstore",
    "onnx", "onnxruntime", "pydantic", "rich", "sklearn", "skl2onnx", "sqlalchemy", "starlette", "tenacity", "uvicorn", "yaml",
}  # fmt: skip

PROBE = """
import json, sys
from mcml.cli.main import main
code = main(json.loads(sys.argv[1]))
loaded = sorted(name for name, module in sys.modules.items() if getattr(module, "__file__", None))  # not what a .pth makes of "google"
sys.stderr.write("\\nMODULES " + json.dumps([code, loaded]))
"""

SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
[models.fraud]
source = "models/fraud"
targets = ["eu-1"]
[routes.fraud]
"""


def heavy(modules: set[str]) -> set[str]:
    """Return what is heavy of them; a namespace package (google) by what was loaded of it."""
    return {name.partition(".")[0] for name in modules} & HEAVY


def modules_of(arguments: list[str], cwd: Path) -> tuple[int, set[str]]:
    argv = [sys.executable, "-c", PROBE, json.dumps(arguments)]
    ended = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=60, check=True)
    code, names = json.loads(ended.stderr.rpartition("MODULES ")[2])
    return code, set(names)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize("word", ["", *(word for word in WORDS if word != "help")])
def test_help_imports_nothing_heavy(word: str, project: Path) -> None:
    code, modules = modules_of([word, "--help"] if word else ["--help"], project)
    assert code == 0
    assert heavy(modules) == set()


def test_root_help_stays_small(project: Path) -> None:
    _, modules = modules_of(["--help"], project)
    assert len(modules) <= 200
    assert not any(name.startswith(("mcml.store", "mcml.providers", "mcml.infra", "mcml.route", "mcml.cost")) for name in modules)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["plugins", "list"], set()),
        (["help", "exit-codes"], set()),
        (["config", "show"], {"pydantic"}),
        (["infra", "status"], {"pydantic", "sqlalchemy"}),
        (["deploy", "list"], {"pydantic", "httpx"}),
        (["route", "status"], {"pydantic"}),
        (["cost", "prices"], {"pydantic", "sqlalchemy"}),
        (["incident", "list"], {"pydantic", "sqlalchemy"}),
        (["journal", "list"], {"pydantic", "sqlalchemy"}),
        (["postmortem", "draft", "INC-1"], {"pydantic", "sqlalchemy"}),
    ],
)
def test_a_command_imports_what_it_needs(arguments: list[str], allowed: set[str], project: Path) -> None:
    modules_of(["journal", "list"], project)  # the database exists from here on: migrations are not part of a usual start
    _, modules = modules_of(arguments, project)
    assert (heavy(modules)) - allowed == set()


def test_help_is_quick_enough_to_type(project: Path) -> None:
    """A loose backstop, in seconds of processor time: five times what a slow machine needs."""
    before = os.times()
    modules_of(["--help"], project)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5
