"""Run one command to its end and keep how it ended: `python -I runner.py FOLDER` outlives the mcml command that started it.

It reads `run.json` ({"command", "environment", "cpus", "memory_bytes"}) and writes `process.json` ({"pid", "started"}) before and
`result.json` ({"exit_code", "signal", "detail", "ended"}) after, each in one step. Of two runners of one folder only the first that
writes `process.json` runs the command, and none does once `halted.json` is there. A runner leads a session of its own: when the command
ends, so does all that the command left behind, and when the runner is killed the kernel kills the command.
Standard library and psutil only, so that it starts fast.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

RUN_FILE, PROCESS_FILE, HALTED_FILE, RESULT_FILE, LOG_FILE = "run.json", "process.json", "halted.json", "result.json", "log"
MARK = "MCML_RUN"
"""Environment variable that names the folder: what carries it belongs to the run, and nothing else does."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_PR_SET_PDEATHSIG = 1


def main(folder: Path) -> None:
    """Run the folder's command, unless another runner has taken it."""
    told: list[int] = []
    for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(wanted, lambda number, _frame: told.append(number))
    if _take(folder) and not (folder / HALTED_FILE).exists():
        _write(folder / RESULT_FILE, _run(json.loads((folder / RUN_FILE).read_text()), folder, told))
        os.killpg(0, signal.SIGKILL)  # what the command left behind, and us


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
