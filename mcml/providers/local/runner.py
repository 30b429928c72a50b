"""Run one command to its end and keep how it ended: `python -I runner.py FOLDER` outlives the mcml command that started it.

It reads `run.json` ({"command", "environment", "cpus", "memory_bytes", "pool", "pool_cpus", "metered"}) and writes `process.json` ({"pid",
"started"}) before and `result.json` ({"exit_code", "signal", "detail", "ended"}) after, each in one step. Of two runners of one folder
only the first that writes `process.json` runs the command, and none does once `halted.json` is there. A runner leads a session of its
own: when the command ends, so does all that the command left behind, and when the runner is killed the kernel kills the command.

A command of a `pool` (the folder of a compute) waits for one of its machines: locked files, which the kernel lets go of when their
holder dies. `pool/queue/<time>` holds a place in the line, `pool/machines/<number>` a machine; `maximum` in `pool/compute.json` is how
many there are, and is read again while it waits. So long `waiting` lies in the run's folder.

What a `metered` command uses, with all that descends from it, goes to `usage.jsonl`: one JSON object a line, each with the size of the
machine, for the next run's may be another. It is looked at once a second; a line is written at the first look and at the end, then every
second with work in it for ten minutes, and once a minute after that and when idle. A file that reaches 4 MiB becomes `usage.old.jsonl`
in place of the one before: together they hold at least two weeks of lines a minute, in at most 8 MiB. Each line begins with its line
break, so that one that was torn spoils no other.

    {"at", "started": epoch seconds, "pid", "vcpus", "memory_bytes", "cpu_seconds": since the start, "peak_cpus": in the busiest second
     since the line before, "rss_bytes": the mean of the looks since then, "peak_rss_bytes": the most of them}

Memory is the sum of the processes' resident sets: pages that they share count once for each. A process that ended counts through its
parent, or through us, whom orphans fall to.
Standard library and psutil only, so that it starts fast.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

RUN_FILE, PROCESS_FILE, HALTED_FILE, RESULT_FILE, LOG_FILE = "run.json", "process.json", "halted.json", "result.json", "log"
WAITING_FILE, POOL_FILE = "waiting", "compute.json"
USAGE_FILE, OLD_USAGE_FILE = "usage.jsonl", "usage.old.jsonl"
LOOK_SECONDS = 0.05
METER_SECONDS, FINE_SECONDS, COARSE_SECONDS = 1.0, 600.0, 60.0
USAGE_BYTES = 4 << 20
BUSY_SECONDS = 0.05  # of CPU time since the last line; less is idle
MARK = "MCML_RUN"
"""Environment variable that names the folder: what carries it belongs to the run, and nothing else does."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(folder: Path) -> None:
    """Run the folder's command, unless another runner has taken it."""
    told: list[int] = []
    for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(wanted, lambda number, _frame: told.append(number))
    asked = json.loads((folder / RUN_FILE).read_text())
    pool = Path(asked["pool"]) if asked.get("pool") else None
    place = _line_up(pool) if pool else None  # before the run is ours: who submits first is first in the line
    if _take(folder) and not (folder / HALTED_FILE).exists():
        _write(folder / RESULT_FILE, _run_in(pool, place, asked, folder, told) if pool else _run(asked, folder, told))
        os.killpg(0, signal.SIGKILL)  # what the command left behind, and us
    if place:
        place.path.unlink(missing_ok=True)


class _Place(NamedTuple):
    """A place in the line of a pool, held so long as the file is open."""

    path: Path
    file: IO[str]


def _line_up(pool: Path) -> _Place | None:
    """Take a place at the end of a pool's line; None when the pool is gone."""
    path = pool / "queue" / f"{time.time_ns():020}-{os.getpid()}"
    mine = path.with_name(f".{path.name}")
    try:
        file = mine.open("x")
        fcntl.flock(file, fcntl.LOCK_EX)
        mine.rename(path)
    except FileNotFoundError:
        return None
    return _Place(path, file)


def _run_in(pool: Path, place: _Place | None, asked: dict[str, Any], folder: Path, told: list[int]) -> dict[str, object]:
    """Wait for a machine of the pool, and run the command there."""
    try:
        machine = _wait_in(pool, place, told) if place else None
    except InterruptedError:
        return _result(128 + told[0], told[0], f"told to stop while it waited for a machine of {pool.name}")
    if place is None or machine is None:
        return _result(NOT_EXECUTABLE, 0, f"it was not started: its compute {pool.name} is deleted")
    place.path.unlink(missing_ok=True)
    (folder / WAITING_FILE).unlink(missing_ok=True)
    first, cpus = int(Path(machine.name).name) * asked["pool_cpus"], asked["cpus"]
    return _run({**asked, "cpus": [cpus[(first + number) % len(cpus)] for number in range(asked["pool_cpus"])]}, folder, told)


def _wait_in(pool: Path, place: _Place, told: list[int]) -> IO[str] | None:
    """Return a machine of the pool, locked; None when the pool is gone. Raises InterruptedError when we were told to stop."""
    with suppress(FileNotFoundError):
        while not told:
            if _is_first(place.path) and (machine := _free_machine(pool)):
                return machine
            time.sleep(LOOK_SECONDS)
        raise InterruptedError
    return None


def _is_first(place: Path) -> bool:
    """Tell whether nobody who lives stands before a place in the line; the places of the dead are cleared away."""
    for other in place.parent.iterdir():
        if other.name.startswith(".") or other.name >= place.name:
            continue
        with suppress(FileNotFoundError), other.open() as before:
            if not _locks(before):
                return False
            other.unlink(missing_ok=True)
    return True


def _free_machine(pool: Path) -> IO[str] | None:
    """Lock a machine of the pool that nobody has. Raises FileNotFoundError when the pool is gone."""
    for number in range(json.loads((pool / POOL_FILE).read_text())["maximum"]):
        machine = (pool / "machines" / str(number)).open("a")
        if _locks(machine):
            return machine
        machine.close()
    return None


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take(folder: Path) -> bool:
    import psutil

    mine = folder / f".{PROCESS_FILE}.{os.getpid()}.tmp"
    mine.write_text(json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time()}))
    try:
        os.link(mine, folder / PROCESS_FILE)
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _run(asked: Mapping[str, Any], folder: Path, told: list[int]) -> dict[str, object]:
    """Run the command. A signal to the session reaches it without us; those that came before it was there (`told`) are passed on."""
    environment = {**asked["environment"], MARK: str(folder)}
    metered = bool(asked.get("metered"))
    if metered:
        _prctl()(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        with subprocess.Popen(
            asked["command"],
            cwd=folder / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            preexec_fn=_limits(asked["cpus"], asked["memory_bytes"], os.getpid()),  # safe: there is one thread
        ) as child:
            for number in told:
                child.send_signal(number)
            with _Meter(child.pid, folder / USAGE_FILE, asked) if metered else nullcontext():
                code = child.wait()
    except (OSError, subprocess.SubprocessError) as failed:
        return _result(NOT_FOUND if isinstance(failed, FileNotFoundError) else NOT_EXECUTABLE, 0, f"it could not be started: {failed}")
    if code < 0:
        return _result(128 - code, -code, f"killed by signal {-code} ({signal.Signals(-code).name})")
    return _result(code, 0, f"ended with exit code {code}" if code else "")


def _limits(cpus: list[int] | None, memory_bytes: int | None, runner: int) -> Callable[[], None]:
    """Return what the child does before it becomes the command."""
    set_death_signal = _prctl()

    def apply() -> None:
        set_death_signal(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != runner:  # it died before the kernel was told
            os.kill(os.getpid(), signal.SIGKILL)
        if cpus:
            os.sched_setaffinity(0, cpus)
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))

    return apply


def _prctl() -> Callable[[int, int], object]:
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        found: Callable[[int, int], object] = ctypes.CDLL(None).prctl
        return found
    return lambda _option, _number: None


class _Meter:
    """Writes the usage log of a command from a thread, which is started after the command: what is forked has one thread."""

    def __init__(self, child: int, path: Path, asked: Mapping[str, Any]) -> None:
        self._child, self._path = child, path
        size = {"vcpus": len(asked["cpus"]), "memory_bytes": asked["memory_bytes"]}
        self._about = {"started": time.time(), "pid": child, **size}
        self._begun = self._looked = self._told = time.monotonic()
        self._cpu = self._cpu_told = self._peak_cpus = 0.0
        self._rss: list[int] = []
        self._lines = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="usage", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look(METER_SECONDS / 2)
        self._tell()

    def _go_on(self) -> None:
        while not self._over.wait(METER_SECONDS):
            self._look()
            now, busy = time.monotonic(), self._cpu - self._cpu_told >= BUSY_SECONDS
            if not self._lines or now - self._told >= COARSE_SECONDS or (busy and now - self._begun < FINE_SECONDS):
                self._tell()

    def _look(self, least: float = 0.0) -> None:
        """Look once; what was used in less than `least` seconds makes no peak, for the kernel counts in hundredths of a second."""
        _reap_others(self._child)
        now, (cpu, rss) = time.monotonic(), _use()
        cpu, seconds = max(cpu, self._cpu), now - self._looked  # for a moment nobody counts a child that is just ending
        if seconds > least:
            self._peak_cpus = max(self._peak_cpus, (cpu - self._cpu) / seconds)
        self._cpu, self._looked = cpu, now
        self._rss += [rss] if rss else []

    def _tell(self) -> None:
        """Append one line in one write. A file that cannot be written disturbs nobody: the command goes on, its use is not known."""
        seen = self._rss or [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]  # it ended before the first look
        line = {
            "at": time.time(),
            **self._about,
            "cpu_seconds": self._cpu,
            "peak_cpus": round(self._peak_cpus, 4),
            "rss_bytes": sum(seen) // len(seen),
            "peak_rss_bytes": max(seen),
        }
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size >= USAGE_BYTES:
                self._path.replace(self._path.with_name(OLD_USAGE_FILE))
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, f"\n{json.dumps(line)}".encode())
            finally:
                os.close(handle)
        self._told, self._cpu_told, self._peak_cpus, self._rss = time.monotonic(), self._cpu, 0.0, []
        self._lines += 1


def _reap_others(child: int) -> None:
    """Wait for orphans that fell to us and have ended; never for the command itself."""
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != child:
            os.waitpid(ended.si_pid, 0)


def _use() -> tuple[float, int]:
    """Return the CPU seconds and the bytes of memory of all that descends from us, the CPU time of what has ended included.

    /proc/PID/stat, see proc_pid_stat(5): utime, stime, cutime and cstime are fields 14 to 17 (in ticks), rss is field 24 (in pages).
    """
    us, ticks, pages = os.getpid(), 0, 0
    family = [us]
    for pid in family:  # grows: a parent is read before its children, so that none is counted twice
        with suppress(OSError):
            said = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += sum(map(int, said[13:15] if pid == us else said[11:15]))
            pages += int(said[21]) if pid != us else 0
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    family += map(int, (task / "children").read_bytes().split())
    return ticks / os.sysconf("SC_CLK_TCK"), pages * resource.getpagesize()


def _result(exit_code: int, number: int, detail: str) -> dict[str, object]:
    return {"exit_code": exit_code, "signal": number, "detail": detail, "ended": time.time()}


def _write(path: Path, value: Mapping[str, object]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as out:
        json.dump(value, out)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
