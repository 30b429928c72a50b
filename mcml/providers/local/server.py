"""The process behind a local endpoint: its command line and environment, how it is started, found, asked and stopped."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcml.core.process import ProcessRef, is_alive, reference, spawn_detached
from mcml.core.process import stop as stop_process
from mcml.providers.api.endpoint import EndpointState
from mcml.providers.local.variant import Run, runs_on

HOST = "127.0.0.1"
READY_PATH = "/v2/health/ready"
LOG_FILE = "server.log"
PACKAGE_FOLDER = "package"
READY_SECONDS = 30.0
PROBE_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""Longer than the server's own time to drain (5 s), so that SIGKILL only meets one that hangs."""
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Condition:
    """What a server does right now, and a sentence about it."""

    state: EndpointState
    detail: str = ""


def command_line(
    folder: Path, name: str, version: str, port: int, usage: Path, threads: int, *, grpc_port: int = 0
) -> tuple[str, ...]:
    """Return the argv that serves the package copied into a version's folder, over gRPC too if it has a port for that."""
    return (
        sys.executable, "-m", "mcml.serving",
        "--model", str(folder / PACKAGE_FOLDER), "--name", name, "--version", version,
        "--host", HOST, "--port", str(port), "--threads", str(threads),
        "--usage-file", str(usage), "--usage-interval", "1.0",
        *(("--grpc-port", str(grpc_port)) if grpc_port else ()),
    )  # fmt: skip


def child_environment(parent: Mapping[str, str], asked: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment of a model server: what Python needs of ours, and what was asked for; never our credentials."""
    kept = {name: value for name, value in parent.items() if name in _KEPT_VARIABLES or name.startswith(("PYTHON", "LC_"))}
    return {**kept, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **asked}


def start(run: Run, environment: Mapping[str, str]) -> ProcessRef:
    """Start the server of a run; it outlives us. Raises OSError or ChildProcessError when it cannot be started."""
    return spawn_detached(run.argv, log=run.folder / LOG_FILE, cwd=run.folder, env=environment)


def locate(run: Run) -> ProcessRef | None:
    """Return the living process of a run, or None.

    The pid alone proves nothing: the start time must fit, and the command line must name this run's usage log. Without a recorded pid
    (whoever started it was killed before it could write it down) all processes are looked through for that command line.
    """
    if run.process is not None:
        return run.process if is_alive(run.process) and _serves(run.process.pid, run.usage) else None
    import psutil

    for pid in psutil.pids():
        if _serves(pid, run.usage):
            return reference(pid)
    return None


def _serves(pid: int, usage: Path) -> bool:
    import psutil

    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return str(usage) in psutil.Process(pid).cmdline()
    return False


def living_models(root: Path, target: str) -> list[str]:
    """Return the models of a target that have a living process."""
    return sorted({model for model, run in runs_on(root, target) if locate(run) is not None})


def status_of(port: int) -> int | None:
    """Ask for readiness and return the HTTP status; None when nothing answered in half a second."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(HOST, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", READY_PATH)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def condition(run: Run) -> Condition:
    """Look at a run: is its process there, does it run, does it answer."""
    process = locate(run)
    if process is None:
        return _why_gone(run)
    status = None if _suspended(process) else status_of(run.port)
    if status == 200:
        return Condition("ready")
    if not is_alive(process):  # it ended while it was asked
        return _why_gone(run)
    if _suspended(process):
        return Condition("stopped", f"process {process.pid} is suspended (SIGSTOP)")
    if not run.confirmed:
        return Condition("starting", f"process {process.pid} is not ready yet")
    if status == 503:
        return Condition("stopped", f"process {process.pid} is draining")
    return Condition("failed", f"process {process.pid} " + (f"answers {status}" if status else "does not answer"))


def _why_gone(run: Run) -> Condition:
    if not run.confirmed:
        return Condition("failed", "its start was cut short")
    pid = run.process.pid if run.process else "?"
    if _ended_in_order(run.usage):
        return Condition("stopped", f"process {pid} was asked to end")
    return Condition("failed", f"process {pid} is gone")


def _ended_in_order(usage: Path) -> bool:
    """Tell whether the usage log closes with the line that a server writes when it was asked to end."""
    try:
        with usage.open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 4096, 0))
            return b'"final":true' in log.read().rstrip().rpartition(b"\n")[2]
    except FileNotFoundError:
        return False


def _suspended(process: ProcessRef) -> bool:
    import psutil

    try:
        return psutil.Process(process.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.NoSuchProcess:
        return False


def resume(process: ProcessRef) -> None:
    """Let a suspended process run on; one that runs is left alone."""
    if is_alive(process) and _suspended(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


def wait_ready(process: ProcessRef, port: int, seconds: float) -> Literal["ready", "gone", "late"]:
    """Wait until exactly this process answers on the port; a stranger that answers there does not count."""
    end = time.monotonic() + seconds
    pause = 0.01
    while is_alive(process):
        if status_of(port) == 200 and _listens(process.pid, port):
            return "ready"
        if time.monotonic() >= end:
            return "late"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)
    return "gone"


def _listens(pid: int, port: int) -> bool:
    import psutil

    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in sockets)


def stop(process: ProcessRef) -> None:
    """End a process that `locate` found: SIGTERM, time to drain, SIGKILL."""
    resume(process)
    stop_process(process, grace=GRACE_SECONDS)


def log_tail(folder: Path, since: int = 0, lines: int = 6) -> str:
    """Return the last lines that the server wrote after the byte `since` of its log."""
    try:
        with (folder / LOG_FILE).open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 8192, since))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def log_size(folder: Path) -> int:
    """Return the size of a server's log, in bytes."""
    try:
        return (folder / LOG_FILE).stat().st_size
    except FileNotFoundError:
        return 0
