"""Child processes: an argv and never a shell, found again by pid *and* start time, so a reused pid is never mistaken for ours."""

import errno
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessRef:
    """A process for good: its pid and the time it started (seconds since the epoch, as the kernel tells it)."""

    pid: int
    started: float


def reference(pid: int) -> ProcessRef | None:
    """Return the reference of a living process, or None when there is none with this pid (a zombie counts as none)."""
    import psutil

    if pid <= 0:  # to the kernel these mean groups and everybody; in a pid file they mean that the file is broken
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessRef(pid, process.create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(process: ProcessRef) -> bool:
    """Tell whether exactly this process lives; another program that got the same pid later does not count."""
    found = reference(process.pid)
    # The kernel counts start times in ticks of 10 ms from boot; the boot time itself may be re-read a little differently.
    return found is not None and abs(found.started - process.started) < 1.0


def spawn_detached(argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None) -> ProcessRef:
    """Start a process in a session of its own that outlives us, its output appended to `log`.

    Raises OSError when the program cannot be started, ChildProcessError when it is gone at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    found = reference(child.pid)
    if found is None:
        raise ChildProcessError(f"{argv[0]} ended at once with code {child.wait()}; see {log}")
    child.returncode = 0  # it is not ours to wait for: this silences the ResourceWarning of an unreaped child
    return found


_ORPHAN = """p=$$
( exec >>"$0" 2>&1 </dev/null; while kill -0 $p 2>/dev/null; do :; done; exec "$@" ) &
echo $!"""
"""The shell ends at once; what it started waits for that, and only then becomes the program: its parent is init from the first moment."""


def spawn_orphan(argv: Sequence[str], *, log: Path, cwd: Path) -> ProcessRef:
    """Start a process as `spawn_detached` does, but as nobody's child: for a program that asks to be ended when its parent dies.

    Raises OSError when there is no shell, ChildProcessError when it is gone at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    shell = ["/bin/sh", "-c", _ORPHAN, str(log.resolve()), *argv]
    done = subprocess.run(shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=cwd, start_new_session=True, check=False)
    found = reference(int(done.stdout or 0))
    if found is None:
        raise ChildProcessError(f"{argv[0]} ended at once; see {log}")
    return found


def stop(process: ProcessRef, *, grace: float = 10.0) -> bool:
    """End exactly this process and its group: SIGTERM, then SIGKILL after `grace` seconds. False when it was gone already.

    A child that outlives its leader is ended too. Raises PermissionError when the process belongs to somebody else.
    """
    if not is_alive(process):
        return False
    with suppress(ProcessLookupError):  # it went by itself just now
        leads = os.getpgid(process.pid) == process.pid
        _signal(process.pid, signal.SIGTERM, group=leads)
        if not _wait_ended(process, grace, group=leads):
            _signal(process.pid, signal.SIGKILL, group=leads)
            _wait_ended(process, 5.0, group=leads)
    return True


def wait_gone(process: ProcessRef, seconds: float) -> bool:
    """Wait until the process is gone; False when it still lives after `seconds`."""
    return _wait_ended(process, seconds, group=False)


def _wait_ended(process: ProcessRef, seconds: float, *, group: bool) -> bool:
    end = time.monotonic() + seconds
    while is_alive(process) or (group and _has_orphans(process.pid)):
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    with suppress(ChildProcessError):  # not our child, an earlier command started it: init reaps it
        os.waitpid(process.pid, os.WNOHANG)
    return True


def _has_orphans(leader: int) -> bool:
    """Tell whether a group still lives whose leader is gone; while it does, the kernel gives its number to nobody else."""
    import psutil

    return reference(leader) is None and any(_group_of(pid) == leader and reference(pid) is not None for pid in psutil.pids())


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _signal(pid: int, number: signal.Signals, *, group: bool) -> None:
    with suppress(ProcessLookupError):
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


FREE_PORTS = range(10_000, 20_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that is free now. Somebody may take it before us: the one who binds must still handle that.

    It is not one that the kernel gives to outgoing connections, which take a port back within milliseconds on a busy machine.
    """
    for _ in range(100):
        port = FREE_PORTS.start + secrets.randbelow(len(FREE_PORTS))
        if not port_is_taken(port, host):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {FREE_PORTS.start} and {FREE_PORTS.stop - 1} on {host}")


def port_is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something listens on, or holds, the TCP port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False
