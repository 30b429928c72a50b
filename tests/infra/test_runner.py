"""The runner against programs that behave well and badly; no Terraform is needed for that."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mcml.core.errors import McmlError
from mcml.infra.terraform import runner as module
from mcml.infra.terraform.binary import Binary
from mcml.infra.terraform.events import Event
from mcml.infra.terraform.runner import Control, Ended, Runner, environment
from tests.infra.rig import Recorder

T = TypeVar("T")
VERSION = '{"type": "version", "terraform": "1.11.4", "ui": "1.2"}'


class Rig:
    """A runner whose Terraform is a Python program."""

    def __init__(self, folder: Path, text: str, *, timeout: float | None = None) -> None:
        self.program = folder / "program.py"
        self.program.write_text(f"import json, os, signal, sys, time\n{text}")
        self.reporter = Recorder()
        self.control = Control(self.reporter, timeout)
        binary = Binary((sys.executable, "-u", str(self.program)), "Terraform", "1.11.4")
        self.runner = Runner(binary, folder, {"PATH": os.environ["PATH"], "ONLY": "this"}, folder, self.control)
        self.events: list[Event] = []

    def go(self, work: Callable[[], Awaitable[T]]) -> T:
        async def watched() -> T:
            with self.control.watching():
                return await work()

        return asyncio.run(watched())

    def stream(self, *args: str) -> Ended:
        return self.go(lambda: self.runner.stream(*(args or ("apply",)), on_event=self.events.append))


def test_lines_become_events_in_whatever_pieces_they_come(tmp_path: Path) -> None:
    text = f"""
line = '{VERSION}'
for piece in (line[:10], line[10:], '\\nplain text\\n', line + '\\n' + line):
    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.03)
sys.stderr.write('a warning')
sys.exit(2)
"""
    rig = Rig(tmp_path, text)
    ended = rig.stream()
    assert [event.type for event in rig.events] == ["version"] * 3
    assert (ended.code, ended.text) == (2, "plain text\na warning")
    assert ended.diagnostics == ()


def test_json_is_asked_for_and_the_environment_is_ours_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "for it in (sys.argv[1:], os.environ['ONLY'], os.environ.get('HOME'), os.getcwd(), sys.stdin.read()): print(it)")
    ended = rig.stream("plan", "-x=1")
    assert ended.text.split("\n") == ["['plan', '-json', '-x=1']", "this", "None", str(tmp_path)]


def test_diagnostics_are_collected(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 'print(json.dumps({"type": "diagnostic", "diagnostic": {"severity": "error", "summary": "S", "detail": "D"}}))')
    assert [found.summary for found in rig.stream().diagnostics] == ["S"]


def test_capture_gives_the_output_whole(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "print('{}' * 100000)")
    assert rig.go(lambda: rig.runner.capture("show")).stdout == b"{}" * 100000 + b"\n"


def test_an_unknown_major_version_ends_the_run(tmp_path: Path) -> None:
    text = """
print('{"type": "version", "ui": "2.0"}', flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    open('stopped', 'w').close()
"""
    rig = Rig(tmp_path, text)
    with pytest.raises(McmlError, match="machine-readable output"):
        rig.stream()
    assert (tmp_path / "stopped").exists(), "it was asked to stop, and waited for"


WAIT = """
count = 0
def stop(*_):
    global count
    count += 1
    print(json.dumps({"type": "stopping"}), flush=True)
signal.signal(signal.SIGINT, stop)
print(json.dumps({"type": "ready"}), flush=True)
end = time.monotonic() + 60
while count < NEEDED and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.2)
print(json.dumps({"type": "saved", "hook": {"action": str(count)}}), flush=True)
sys.exit(1)
"""


def test_one_ctrl_c_is_one_sigint_and_the_state_is_waited_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path, WAIT.replace("NEEDED", "1"))

    def on_event(event: Event) -> None:
        rig.events.append(event)
        if event.type == "ready":
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    ended = rig.go(lambda: rig.runner.stream("apply", on_event=on_event))
    assert [event.type for event in rig.events] == ["ready", "stopping", "saved"]
    assert rig.events[-1].action == "1"
    assert (ended.code, rig.control.reason) == (1, "interrupted")
    assert [verb for verb, _, _ in rig.reporter.told] == ["note"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_is_passed_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, WAIT.replace("NEEDED", "2"))

    def on_event(event: Event) -> None:
        rig.events.append(event)
        if event.type in ("ready", "stopping") and len(rig.events) < 3:
            os.kill(os.getpid(), signal.SIGINT)

    rig.go(lambda: rig.runner.stream("apply", on_event=on_event))
    assert rig.events[-1].action == "2"


def test_sigterm_stops_in_order_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path, WAIT.replace("NEEDED", "1"))

    def on_event(event: Event) -> None:
        if event.type == "ready":
            os.kill(os.getpid(), signal.SIGTERM)

    assert rig.go(lambda: rig.runner.stream("apply", on_event=on_event)).code == 1
    assert rig.control.reason == "interrupted"


def test_the_time_is_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, WAIT.replace("NEEDED", "1"), timeout=0.5)
    began = time.monotonic()
    assert rig.stream().code == 1
    assert rig.control.reason == "timeout"
    assert time.monotonic() - began < 30


def test_one_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    rig = Rig(tmp_path, f"signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('{VERSION}', flush=True)\ntime.sleep(60)")

    def on_event(event: Event) -> None:
        raise RuntimeError("nobody listens any more")

    began = time.monotonic()
    with pytest.raises(RuntimeError):
        rig.go(lambda: rig.runner.stream("apply", on_event=on_event))
    assert time.monotonic() - began < 30


def test_what_comes_after_is_prepared_while_the_first_one_runs(tmp_path: Path) -> None:
    rig, began = Rig(tmp_path, "while not os.path.exists('ready'): time.sleep(0.01)"), []

    def soon() -> None:
        began.append(threading.current_thread() is threading.main_thread())
        (tmp_path / "ready").touch()
        raise RuntimeError("nobody hears this: who needs it tries it again")

    rig.control.soon = soon
    for _ in range(2):
        assert rig.stream().code == 0
    assert began == [False]


@pytest.mark.parametrize("known", [True, False])
def test_the_end_is_seen_with_and_without_the_kernels_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60.0 if known else 0.02)
    if not known:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("no pidfd on this system")
    rig = Rig(tmp_path, f"print('{VERSION}', flush=True); time.sleep(0.2); print('last')")
    began = time.monotonic()
    assert rig.stream().text == "last"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("command", "code"), [("init", -signal.SIGKILL), ("apply", 0)])
def test_what_changes_nothing_and_does_not_hear_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int) -> None:
    """What changes something is waited for."""
    monkeypatch.setattr(module, "PATIENCE", {"init": 0.2})
    text = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('{VERSION}', flush=True)\ntime.sleep(2.5 if 'apply' in sys.argv else 60)"
    rig = Rig(tmp_path, text, timeout=0.5)
    assert rig.stream(command).code == code
    assert rig.control.reason == "timeout"


def test_outside_of_the_main_thread_it_runs_without_signals(tmp_path: Path) -> None:
    rig = Rig(tmp_path, f"print('{VERSION}')")
    thread = threading.Thread(target=rig.stream)
    thread.start()
    thread.join()
    assert [event.type for event in rig.events] == ["version"]


def test_the_environment_is_explicit() -> None:
    environ = {
        "PATH": "/usr/bin",
        "HOME": "/home/ann",
        "LC_ALL": "C",
        "HTTPS_PROXY": "http://proxy",
        "TF_TOKEN_app_terraform_io": "t",
        "TF_VAR_project": "evil",
        "TF_CLI_ARGS": "-destroy",
        "TF_WORKSPACE": "prod",
        "TF_DATA_DIR": "/tmp",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert environment(environ, "dev", Path("/venv/bin")) == {
        "PATH": "/venv/bin:/usr/bin",
        "HOME": "/home/ann",
        "LC_ALL": "C",
        "HTTPS_PROXY": "http://proxy",
        "TF_TOKEN_app_terraform_io": "t",
        "TF_WORKSPACE": "dev",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }
    assert environment({}, "dev", Path("/venv/bin"))["PATH"] == "/venv/bin"
