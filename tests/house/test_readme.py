"""Every command of the README is run, in its order, by hand as it were; and nothing is left behind."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[list[str]]:
    """Return the argv of every `$ ` line of the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that work in, or were told about, a folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        about = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if process.info["pid"] != os.getpid() and any(str(folder) in part for part in about):
            found.append(" ".join(about))
    return found


def test_make_has_the_two_commands_of_the_readme() -> None:
    for target, wanted in (("demo", "mcml demo --folder mcml-demo"), ("test", "-m pytest")):
        shown = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert wanted in shown
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_example_of_three_clouds_makes_the_units_it_speaks_of(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(\[infra\].*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (tmp_path / "mcml.toml").write_text(f'name = "acme"\n{shown}')
    argv = [sys.executable, "-m", "mcml", "infra", "graph", "-o", "name"]
    said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(said) == sorted(
        ["aws-network", "aws-cluster", "aws-data", "aws-ml", "gcp-network", "gcp-cluster", "gcp-data", "dns"]
    )  # fmt: skip


def test_the_readme_shows_the_six_words() -> None:
    words = {argv[1] for argv in commands() if argv[0] == "mcml"}
    assert {"infra", "deploy", "route", "cost", "incident", "postmortem"} <= words


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_tour_works_as_written(tmp_path: Path) -> None:
    here = tmp_path
    failed: list[str] = []
    for argv in commands():
        if argv[0] == "cd":
            here = here / argv[1]
            continue
        ended = subprocess.run(
            [sys.executable, "-m", *argv], cwd=here, capture_output=True, text=True, timeout=180, check=False, stdin=subprocess.DEVNULL
        )
        if ended.returncode:
            failed.append(f"{shlex.join(argv)} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
    assert not failed, "\n".join(failed)
    assert processes_of(tmp_path) == []
    assert list((tmp_path / "shop" / "postmortems").glob("*.md"))
