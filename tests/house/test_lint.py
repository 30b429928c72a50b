"""The linter, the type checker and the import contracts: part of the test command, so that they cannot be forgotten."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def passes(*argv: str) -> None:
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ruff_finds_nothing() -> None:
    passes(sys.executable, "-m", "ruff", "check", ".")


@pytest.mark.slow
def test_mypy_finds_nothing() -> None:
    passes(sys.executable, "-m", "mypy")


def test_the_import_contracts_hold() -> None:
    """One `import` too many and two rooms are no strangers any more."""
    passes(sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
