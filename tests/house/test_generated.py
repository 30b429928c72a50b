"""What is made from the code is not stale, and the completion scripts complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import generate


@pytest.mark.parametrize("path", [*(f"completions/mcml.{shell}" for shell in generate.SHELLS), "README.md"])
def test_generated_files_are_fresh(path: str) -> None:
    made = {str(file.relative_to(generate.ROOT)): content for file, content in generate.everything().items()}
    assert (generate.ROOT / path).read_text() == made[path], "stale: run `make docs`"


def completed(words: str, cwd: Path) -> list[str]:
    """Ask as the bash script does."""
    parts = words.split(" ")
    environment = {**os.environ, "_MCML_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(parts) - 1)}
    argv = [sys.executable, "-m", "mcml"]
    ended = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.stdout.split()


def test_words_verbs_and_options_complete(tmp_path: Path) -> None:
    assert completed("mcml inf", tmp_path) == ["infra"]
    assert completed("mcml plugins l", tmp_path) == ["list"]
    assert "--output" in completed("mcml plugins list --", tmp_path)
    assert completed("mcml plugins list -o ", tmp_path) == ["table", "json", "yaml", "html", "markdown", "name"]


def test_names_of_the_project_complete(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(
        '[targets.eu-1]\nprovider = "local"\n[targets.us-1]\nprovider = "local"\n'
        '[models.fraud]\nsource = "m"\ntargets = ["eu-1"]\n[routes.fraud]\n'
    )
    assert completed("mcml deploy model f", tmp_path) == ["fraud"]
    assert completed("mcml deploy model fraud --target ", tmp_path) == ["eu-1", "us-1"]


def test_unresolved_incidents_complete(tmp_path: Path) -> None:
    from mcml.core.clock import utc_now
    from mcml.store import incidents
    from mcml.store.db import Store

    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    with Store(f"sqlite:///{tmp_path / '.mcml' / 'mcml.db'}") as store, store.writing() as connection:
        incidents.insert_once(connection, incidents.Incident("a", "first", "error", utc_now()))
        incidents.insert_once(connection, incidents.Incident("b", "second", "error", utc_now(), state="resolved"))
    assert completed("mcml incident ack ", tmp_path)[0] == "INC-1"
    assert "INC-2" not in completed("mcml incident ack ", tmp_path)


def test_a_broken_configuration_completes_to_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text("not toml [")
    assert completed("mcml deploy model ", tmp_path) == []
