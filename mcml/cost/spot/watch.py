"""Who looks after a job on this machine: one process, in the foreground or left behind by `--detach`, that other commands find again.

Of each job there is in the folder `NAME.json` ({"pid", "started", "since", "log"}) while a process looks after it, `NAME.lock`, which the
kernel lets go of however that process dies, and `NAME.log`, what a detached one has said.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, McmlError, StillRunning
from mcml.core.files import read_json, write_json
from mcml.core.process import ProcessRef, is_alive, reference, spawn_detached, wait_gone

STOP_SECONDS = 10.0
"""How long one who looks after a job may take to hear that it is stopped; it is never killed, for it may just be asking for a machine."""


@dataclass(frozen=True)
class Watch:
    """The process that looks after a job, since when, and the file that it writes to (empty in the foreground)."""

    process: ProcessRef
    since: datetime
    log: str


def watcher(folder: Path, name: str) -> Watch | None:
    """Return who looks after a job on this machine; None when nobody does, also when one that died left its file, or that is broken."""
    try:
        about = read_json(folder / f"{name}.json") or {}
        found = Watch(ProcessRef(int(about["pid"]), float(about["started"])), parse_rfc3339(about["since"]), str(about["log"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if is_alive(found.process) else None


@contextmanager
def watching(folder: Path, name: str, now: datetime) -> Iterator[threading.Event]:
    """Be the one who looks after a job while the block runs; SIGTERM sets the event. Raises Conflict when somebody else is."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as held:
        raise _taken(name, watcher(folder, name)) from held
    about, stop = folder / f"{name}.json", threading.Event()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        if (mine := reference(os.getpid())) is not None:
            log = _own_log(folder / f"{name}.log")
            write_json(about, {"pid": mine.pid, "started": mine.started, "since": rfc3339(now), "log": log})
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
        about.unlink(missing_ok=True)
        lock.release()


def detach(folder: Path, name: str, argv: Sequence[str], *, cwd: Path, seconds: float) -> Watch | None:
    """Start `argv` (a foreground run of the same job) as a process of its own, and return once it looks after the job; None when it is done
    with it already.

    Raises Conflict when somebody does so, StillRunning when it does not after `seconds`, McmlError with the end of its log when it failed.
    """
    if (here := watcher(folder, name)) is not None:
        raise _taken(name, here)
    log = folder / f"{name}.log"
    began_at = log.stat().st_size if log.exists() else 0
    child = None
    with suppress(ChildProcessError):
        child = spawn_detached(argv, log=log, cwd=cwd)
    end = time.monotonic() + seconds
    while child and is_alive(child):
        found = watcher(folder, name)
        if found is not None and found.process.pid == child.pid:
            return found
        if time.monotonic() > end:
            raise StillRunning(f"nobody looks after {name!r} after {seconds:g} s", why="it is still starting", next_step=f"see {log}")
        time.sleep(0.02)
    said = log.read_bytes()[began_at:].decode(errors="replace").strip().splitlines()
    if any(line.startswith("error: ") for line in said):
        if (here := watcher(folder, name)) is not None:
            raise _taken(name, here)
        step = f"mcml cost spot run {name}, or see {log}"
        raise McmlError(f"nobody looks after the spot job {name!r}", why="\n".join(said[-6:]), next_step=step)
    return None


def wake(watch: Watch, *, seconds: float = STOP_SECONDS) -> bool:
    """Have one who looks after a job look at its record at once, which is to say it is stopped; return whether it has ended."""
    if is_alive(watch.process):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(watch.process.pid, signal.SIGTERM)
    return wait_gone(watch.process, seconds)


def _own_log(log: Path) -> str:
    """Return the log when that is where we write to."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(2), log.stat()):
            return str(log)
    return ""


def _taken(name: str, watch: Watch | None) -> Conflict:
    why = f"pid {watch.process.pid} does, since {rfc3339(watch.since)}" if watch else "it is just starting, or just ending"
    return Conflict(f"somebody looks after the spot job {name!r} already", why=why, next_step=f"mcml cost spot status {name}")
