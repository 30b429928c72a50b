"""Run `mcml` as a person would, in a child process, with pipes or on a pseudo-terminal."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What a run left: exit code, stdout and stderr (on a terminal both arrive as one, in `out`)."""

    code: int
    out: str
    err: str = ""


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    terminal: bool = False,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Result:
    """Run `mcml ARGUMENTS` in a folder and return what it left.

    `terminal` gives it a pseudo-terminal of 100 columns for all three streams, and `stdin` is typed there. Raises TimeoutError.
    """
    argv = [sys.executable, "-m", "mcml", *arguments]
    environment = {**os.environ, "COLUMNS": "100", **(env or {})}
    if terminal:
        environment.pop("CI", None)
        return _on_terminal(argv, cwd, stdin, environment, timeout)
    try:
        ended = subprocess.run(argv, cwd=cwd, input=stdin, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        raise TimeoutError(f"mcml {' '.join(arguments)} did not end in {timeout:g} s: {late.stderr!r}") from late
    return Result(ended.returncode, ended.stdout, ended.stderr)


def _on_terminal(argv: Sequence[str], cwd: Path, typed: str, environment: Mapping[str, str], timeout: float) -> Result:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (40, 100))
        child = subprocess.Popen(
            argv, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}, start_new_session=True
        )
        os.close(theirs)
        if typed:
            os.write(ours, typed.encode())
        out = _read_all(ours, child, timeout)
        return Result(child.wait(timeout), out.replace("\r\n", "\n"))
    finally:
        os.close(ours)


def _read_all(ours: int, child: "subprocess.Popen[bytes]", timeout: float) -> str:
    chunks: list[bytes] = []
    end = time.monotonic() + timeout
    while True:
        readable, _, _ = select.select([ours], [], [], 0.05)
        if readable:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux answers EIO when the last writer has gone
                break
            if not chunk:
                break
            chunks.append(chunk)
        elif child.poll() is not None:
            break
        if time.monotonic() > end:
            child.kill()
            child.wait()
            raise TimeoutError(f"{argv_text(child.args)} did not end in {timeout:g} s: {b''.join(chunks)[-500:]!r}")
    return b"".join(chunks).decode(errors="replace")


def argv_text(argv: object) -> str:
    """Write an argv for a message."""
    return " ".join(str(part) for part in argv) if isinstance(argv, list | tuple) else str(argv)
