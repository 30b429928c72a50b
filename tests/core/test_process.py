"""Processes: found again for good, ended whole, and never another program's."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mcml.core.process import ProcessRef, free_port, is_alive, port_is_taken, reference, spawn_detached, stop, wait_gone

SLEEPER = Path(__file__).with_name("sleeper.py")


class Sleepers:
    """Starts sleepers, and kills what a failed test leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: list[int] = []

    def start(self, *words: str) -> tuple[ProcessRef, list[int]]:
        ready = self.folder / f"ready{len(self.pids)}"
        process = spawn_detached([sys.executable, str(SLEEPER), str(ready), *words], log=self.folder / "logs" / "log", cwd=self.folder)
        self.pids.append(process.pid)
        pids = wait_for(ready)
        self.pids.extend(pids)
        return process, pids


def wait_for(ready: Path) -> list[int]:
    end = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < end, "the sleeper did not start"
        time.sleep(0.01)
    return [int(pid) for pid in ready.read_text().split()]


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[Sleepers]:
    made = Sleepers(tmp_path)
    yield made
    for pid in made.pids:
        if any(str(SLEEPER) in part for part in _argv(pid)):
            os.kill(pid, signal.SIGKILL)


def _argv(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def lives(pid: int) -> bool:
    return reference(pid) is not None


# Who is it


def test_a_reference_is_pid_and_start_time() -> None:
    mine = reference(os.getpid())
    assert mine is not None
    assert (mine.pid, is_alive(mine)) == (os.getpid(), True)
    assert 0 <= time.time() - mine.started < 3600 * 24
    assert reference(os.getpid()) == mine


def test_a_pid_of_nobody_is_nobody() -> None:
    for pid in (0, -1, -os.getpid(), 2**22 + 7, 2**31 - 1):
        assert reference(pid) is None
        assert not is_alive(ProcessRef(pid, 0.0))
        assert not stop(ProcessRef(pid, 0.0))


def test_another_program_with_the_same_pid_is_never_signalled(sleepers: Sleepers) -> None:
    process, pids = sleepers.start("child")
    for seconds in (-3600, -2, 2, 3600):
        ours = replace(process, started=process.started + seconds)
        assert not is_alive(ours)
        assert stop(ours, grace=0.1) is False
    assert all(lives(pid) for pid in pids)


def test_a_zombie_counts_as_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        end = time.monotonic() + 20
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert reference(child.pid) is None
        assert not is_alive(ProcessRef(child.pid, time.time()))


# Start


def test_a_process_is_started_without_a_shell_and_its_output_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    log.write_text("before\n")
    code = "import os, sys; print(sys.argv[1:], os.getcwd(), sorted(os.environ)[:1], os.getpid() == os.getsid(0), sys.stdin.read())"
    process = spawn_detached([sys.executable, "-c", code, "$HOME; `x`", "*"], log=log, cwd=tmp_path, env={"A": "b"})
    assert wait_gone(process, 20)
    assert log.read_text() == f"before\n['$HOME; `x`', '*'] {tmp_path} ['A'] True \n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn_detached([str(tmp_path / "none")], log=tmp_path / "log", cwd=tmp_path)
    with pytest.raises(FileNotFoundError):
        spawn_detached([sys.executable], log=tmp_path / "log", cwd=tmp_path / "none")
    with pytest.raises(PermissionError):
        spawn_detached([str(SLEEPER)], log=tmp_path / "log", cwd=tmp_path)


def test_a_process_outlives_the_one_that_started_it(tmp_path: Path, sleepers: Sleepers) -> None:
    ready = tmp_path / "ready"
    code = (
        "import sys; from pathlib import Path; from mcml.core.process import spawn_detached\n"
        "started = spawn_detached([sys.executable, *sys.argv[1:]], log=Path('log'), cwd=Path())\n"
        "print(started.pid, started.started)"
    )
    command = [sys.executable, "-c", code, str(SLEEPER), str(ready)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        said, _ = parent.communicate()
    process = ProcessRef(int(said.split()[0]), float(said.split()[1]))
    sleepers.pids.append(process.pid)
    assert wait_for(ready) == [process.pid]
    assert is_alive(process)
    assert psutil.Process(process.pid).ppid() != parent.pid
    assert (tmp_path / "log").read_text() == "sleeping\n"
    assert stop(process, grace=5)
    assert not is_alive(process)


# Stop


def test_stop_ends_a_process_and_leaves_no_zombie(sleepers: Sleepers) -> None:
    process, _ = sleepers.start()
    assert stop(process) is True
    assert not psutil.pid_exists(process.pid)
    assert stop(process) is False
    assert wait_gone(process, 0)


def test_stop_kills_what_ignores_the_request(sleepers: Sleepers) -> None:
    process, _ = sleepers.start("stubborn")
    began = time.monotonic()
    assert stop(process, grace=0.3)
    assert 0.3 <= time.monotonic() - began < 8  # 10 is what it waits when nobody says how long
    assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize("words", [("child",), ("stubborn", "child"), ("stubborn-child",), ("stubborn", "stubborn-child")])
def test_stop_ends_the_whole_group(sleepers: Sleepers, words: tuple[str, ...]) -> None:
    process, pids = sleepers.start(*words)
    assert len(pids) == 2
    assert stop(process, grace=0.3)
    assert [pid for pid in pids if lives(pid)] == []


def test_stop_reaches_a_process_that_is_suspended(sleepers: Sleepers) -> None:
    process, _ = sleepers.start()
    os.kill(process.pid, signal.SIGSTOP)
    assert stop(process, grace=0.2)
    assert not is_alive(process)


def test_stop_touches_nobody_outside_the_group(sleepers: Sleepers) -> None:
    one, _ = sleepers.start()
    other, _ = sleepers.start()
    assert stop(one)
    assert is_alive(other)


def test_a_process_that_leads_no_group_is_stopped_alone() -> None:
    """A child in our own group: to signal the group would end the tests."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        process = reference(child.pid)
        assert process is not None
        assert os.getpgid(child.pid) == os.getpgid(0)
        assert stop(process, grace=5)
        child.returncode = -signal.SIGTERM  # stop has reaped it


def test_wait_gone_gives_up_after_its_time(sleepers: Sleepers) -> None:
    process, _ = sleepers.start()
    began = time.monotonic()
    assert wait_gone(process, 0.2) is False
    assert 0.2 <= time.monotonic() - began < 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of somebody else")
def test_a_process_of_somebody_else_is_not_ours_to_stop() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as child:
        code = (
            "import os, sys; from mcml.core import process; import psutil\n"
            "theirs = process.reference(int(sys.argv[1])); os.setuid(65534)\n"
            "try: process.stop(theirs)\n"
            "except PermissionError: print('refused')"
        )
        said = subprocess.run([sys.executable, "-c", code, str(child.pid)], capture_output=True, text=True, check=True)
        assert (said.stdout, child.poll()) == ("refused\n", None)
        child.kill()


# Ports


def test_a_free_port_is_free_until_somebody_takes_it() -> None:
    port = free_port()
    assert 1024 <= port <= 65535
    assert not port_is_taken(port)
    with socket.create_server(("127.0.0.1", port)):
        assert port_is_taken(port)
    assert not port_is_taken(port)


def test_a_port_that_is_bound_but_not_listening_is_taken() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        assert port_is_taken(holder.getsockname()[1])


def test_a_port_on_all_addresses_is_taken_on_each() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert port_is_taken(server.getsockname()[1])


def test_a_port_whose_last_client_has_just_gone_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # our side closes first and keeps TIME_WAIT
    assert not port_is_taken(port)
