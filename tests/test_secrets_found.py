"""The watch for credentials finds what is planted, wherever it is, and nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.core.fact import Fact
from mcml.store.db import Store
from mcml.testing.cli import Result
from tests.secrets_found import Watch

ROOT = Path(__file__).parents[1]
PLANTED = "planted/secret+of-this-test"


@pytest.fixture
def watch() -> Watch:
    made = Watch()
    made.register("a planted secret", PLANTED)
    return made


def test_nothing_planted_nothing_found(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("all is well: planted secret, in other words")
    (tmp_path / "empty").touch()
    (tmp_path / "login-1.json").write_text(PLANTED)  # of the short list
    (tmp_path / "loop").symlink_to(tmp_path)
    with watch.looking():
        McmlError("cannot", why="no", next_step="look")
        Result(0, "fine")
    watch.folder(tmp_path)
    assert list(watch.found) == []


def test_in_a_file_and_in_a_journal(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/log").write_bytes(b"\xff\x00" * 100_000 + b"https://x/?sig=planted%2Fsecret%2Bof-this-test&x=1")
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        store.append(Fact("deploy.failed", "deploy", "eu-1", {"reason": f"bad key {PLANTED}"}, actor="ada"))
    watch.folder(tmp_path)
    assert f"a planted secret in the file {tmp_path}/deep/er/log" in watch.found
    assert any(f"{tmp_path}/mcml.db" in place for place in watch.found)
    assert PLANTED not in "".join(watch.found)


def test_in_an_error_and_in_what_mcml_says(watch: Watch) -> None:
    with watch.looking():
        McmlError("cannot log in", why=f"bad key {PLANTED}")
        Result(4, "", f"error: {PLANTED}")
    assert list(watch.found) == ["a planted secret in an error", "a planted secret in what mcml said"]
    McmlError(PLANTED)
    assert len(watch.found) == 2


def test_in_the_command_line_of_a_grandchild(watch: Watch) -> None:
    nap = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', *sys.stdin.read().split()])"
    with watch.looking():
        child = subprocess.Popen([sys.executable, "-c", nap], stdin=subprocess.PIPE, start_new_session=True)
        try:
            assert child.stdin is not None
            child.stdin.write(PLANTED.encode())
            child.stdin.close()
            until = time.monotonic() + 30
            while not watch.found and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            os.killpg(child.pid, 9)
            child.wait(10)
    assert [place.partition(" (")[0] for place in watch.found] == ["a planted secret in the command line of a process"]


CONFTEST = f"""
from tests.secrets_found import pytest_runtest_logreport, register, secrets_watch
register("a planted secret", {PLANTED!r})
"""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("print('hello')", ""),
        (f"print('{PLANTED}')", "a planted secret in Captured stdout call of"),
        (f"import logging; logging.warning('key %s', '{PLANTED}')", "a planted secret in Captured log call of"),
        (f"(tmp_path / 'log').write_text('{PLANTED}')", "a planted secret in the file "),
    ],
)
def test_a_run_with_a_planted_secret_fails(tmp_path: Path, body: str, found: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_planted.py").write_text(f"def test_it(tmp_path):\n    {body}\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    argv += ["--basetemp", str(tmp_path / "base"), str(tmp_path / "test_planted.py")]
    ended = subprocess.run(
        argv, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == (1 if found else 0), ended.stdout + ended.stderr
    assert ("credentials that the tests used were left behind" in ended.stdout) == bool(found)
    assert found in ended.stdout
