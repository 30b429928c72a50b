"""The guard between mcml and Terraform, as the process that it is."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcml.infra.terraform.runner import GUARD

COUNT = """
import signal, sys, time
count = 0
def stop(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, stop)
print("ready", flush=True)
while not count:
    time.sleep(0.01)
time.sleep(0.2)
print(count, flush=True)
sys.exit(3)
"""


@contextmanager
def guarded(*argv: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*GUARD, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize(("text", "code"), [("", 0), ("raise SystemExit(2)", 2), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_the_programs(text: str, code: int) -> None:
    with guarded(sys.executable, "-c", text) as process:
        assert process.wait(20) == code


def test_what_cannot_start_is_said(tmp_path: Path) -> None:
    with guarded(str(tmp_path / "nothing")) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 127
    assert "cannot start" in said


def test_when_its_owner_is_gone_the_program_gets_one_sigint() -> None:
    with guarded(sys.executable, "-c", COUNT) as process:
        assert line(process) == "ready"
        assert process.stdin
        process.stdin.close()
        assert line(process) == "1"
        assert process.wait(20) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_handed_on_as_one_sigint(number: signal.Signals) -> None:
    with guarded(sys.executable, "-c", COUNT) as process:
        assert line(process) == "ready"
        process.send_signal(number)
        assert line(process) == "1"
        assert process.wait(20) == 3


def test_the_program_cannot_read_our_input() -> None:
    with guarded(sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))") as process:
        assert line(process) == "''"
