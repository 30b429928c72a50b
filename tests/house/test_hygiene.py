"""What must not be in the repository: places to download from, paths of somebody's machine, dependencies that are not pinned."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Written in two parts, because this file is searched as well.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "yarn" + "pkg.com",
    "crates" + ".io",
    "rubygems" + ".org",
    "proxy." + "golang.org",
    "maven" + ".org",
    "maven." + "apache.org",
    "conda." + "anaconda.org",
]
MACHINE_PATH = re.compile(r"(?<![\w.\-])/(work|root|home/(?!mira\b)\w+|Users/\w+)/")
OUTSIDE = re.compile(r"(?<!\.\./)\.\./" + "shared")
"""What lies beside the checkout; `../../shared` is a module of ours, seen from a root."""


def repository_files() -> list[Path]:
    """Every file that is, or on the next commit would be, part of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of its files")
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [path for name in listed if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            found[str(path.relative_to(ROOT))] = content.decode(errors="replace")
    return found


def test_no_file_names_a_package_registry() -> None:
    found = {(name, host) for name, text in texts().items() for host in REGISTRIES if host in text.lower()}
    assert found == set()


def test_no_file_names_a_path_of_a_machine() -> None:
    found = {(name, match[0]) for name, text in texts().items() for match in MACHINE_PATH.finditer(text)}
    assert found == set()
    assert {name for name, text in texts().items() if OUTSIDE.search(text)} == set()


def test_every_text_file_ends_with_a_line_feed_and_has_no_carriage_return() -> None:
    sources = {name: text for name, text in texts().items() if text and not name.endswith((".csv", ".json", ".jsonl", ".txt"))}
    assert {name for name, text in sources.items() if not text.endswith("\n")} == set()
    assert {name for name, text in sources.items() if "\r\n" in text} == set()


def test_the_lock_pins_versions_and_hashes_and_names_no_place() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?:|://|--(extra-)?index-url|--find-links|--trusted-host| @ ", lock)
    requirements = re.split(r"\n(?=\S)", lock.strip())
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_nothing_that_was_made_is_kept() -> None:
    names = [str(path.relative_to(ROOT)) for path in repository_files()]
    made = re.compile(r"(^|/)(__pycache__|\.venv|\.mcml|\.hypothesis|node_modules|dist)/|\.(pyc|db|db-wal|db-shm|tfstate|log)$")
    assert [name for name in names if made.search(name)] == []
