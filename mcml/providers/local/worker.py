"""A command that runs on after mcml has ended, for jobs and instances: start it in a folder, look how it is, stop it."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mcml.core.errors import McmlError, QuotaExceeded
from mcml.core.files import read_json, write_json
from mcml.core.process import ProcessRef, is_alive, spawn_detached, stop
from mcml.providers.local import runner
from mcml.providers.local.layout import read_process

START_SECONDS = 20.0
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")


@dataclass(frozen=True)
class Command:
    """What to run: its argv, its environment (beside PATH, HOME and the like), its CPUs (empty: all), its bytes of memory (None: any).

    With the folder of a compute as its `pool` it waits for a machine of that, which has `pool_cpus` of the CPUs. What a `metered` one uses
    is written down, as shares of its CPUs and its memory: it must have both.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    cpus: Sequence[int] = ()
    memory_bytes: int | None = None
    pool: str = ""
    pool_cpus: int = 0
    metered: bool = False


@dataclass(frozen=True)
class Run:
    """How a command is: `waiting` for its runner, `queued` for a machine, `running`, `ended` with an exit code, or `lost` (its runner was
    killed).

    `halted` is when we told it to end, if we did while it ran.
    """

    state: Literal["waiting", "queued", "running", "ended", "lost"]
    exit_code: int | None = None
    signal: int = 0
    detail: str = ""
    ended: datetime | None = None
    halted: datetime | None = None

    @property
    def over(self) -> bool:
        """True when nothing more will come: it has ended in any way, or will never start."""
        return self.state in ("ended", "lost") or (self.state == "waiting" and self.halted is not None)


def inherited() -> dict[str, str]:
    """Return what a command gets of our own environment: what a program needs to run at all, and nothing private."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def prepare(folder: Path, command: Command) -> None:
    """Write down what to run in a folder (its environment may be private), forgetting an earlier run and ending what is left of it."""
    earlier = read_process(folder)
    if earlier is not None:
        kill_orphans(folder, earlier)
    for name in (runner.PROCESS_FILE, runner.HALTED_FILE, runner.RESULT_FILE):
        (folder / name).unlink(missing_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    (folder / runner.LOG_FILE).touch()
    if command.pool:
        (folder / runner.WAITING_FILE).touch()
    write_json(
        folder / runner.RUN_FILE,
        {
            "command": list(command.argv),
            "environment": {**inherited(), **command.environment},
            "cpus": list(command.cpus),
            "memory_bytes": command.memory_bytes,
            "pool": command.pool,
            "pool_cpus": command.pool_cpus,
            "metered": command.metered,
        },
        mode=0o600,
    )


def start(folder: Path) -> None:
    """Start what was prepared, and return when its runner has taken it; one that is taken already is left alone.

    Raises QuotaExceeded when the machine has no process left, McmlError when the runner does not start.
    """
    argv = [sys.executable, "-I", runner.__file__, str(folder)]
    try:
        process = spawn_detached(argv, log=folder / runner.LOG_FILE, cwd=folder, env=inherited())
    except OSError as failed:
        why = failed.strerror or str(failed)
        raise QuotaExceeded(f"cannot start a process for {folder.name}", why=why, next_step="ulimit -u") from failed
    end = time.monotonic() + START_SECONDS
    while read_process(folder) is None:
        if not is_alive(process) or time.monotonic() > end:
            if read_process(folder) is not None:
                return
            raise McmlError(f"the runner of {folder.name} did not start", next_step=f"cat {folder / runner.LOG_FILE}")
        time.sleep(0.005)


def look(folder: Path) -> Run:
    """Return how the command of a folder is."""
    process = read_process(folder)
    alive = process is not None and is_alive(process)
    result = read_json(folder / runner.RESULT_FILE)  # after the look at the process, which writes it before it ends
    told = read_json(folder / runner.HALTED_FILE)
    halted = datetime.fromtimestamp(told["at"], UTC) if told else None
    if result is not None:
        ended = datetime.fromtimestamp(result["ended"], UTC)
        return Run("ended", result["exit_code"], result["signal"], result["detail"], ended, halted)
    if alive:
        return Run("queued" if (folder / runner.WAITING_FILE).exists() else "running", halted=halted)
    if process is None:
        return Run("waiting", halted=halted)
    return Run("lost", detail="its runner was killed from outside, so how it ended is not known", halted=halted)


def halt(folder: Path, *, grace: float = 10.0) -> None:
    """End a command and everything it started: SIGTERM, and after `grace` seconds SIGKILL. Nothing that is not of this run is touched."""
    if look(folder).state in ("waiting", "queued", "running"):
        write_json(folder / runner.HALTED_FILE, {"at": time.time()})  # before the look for the process: a runner looks the other way round
    process = read_process(folder)
    if process is not None:
        stop(process, grace=grace)
        kill_orphans(folder, process)


def kill_orphans(folder: Path, process: ProcessRef) -> None:
    """Kill what a run left when its runner was killed: processes of its session that carry the run's mark."""
    import psutil

    if is_alive(process):
        return
    for found in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(found.pid) == process.pid and found.environ().get(runner.MARK) == str(folder):
                found.send_signal(signal.SIGKILL)
