"""Run one Terraform command: its stream as events, one SIGINT at Ctrl-C, and never a Terraform that outlives us unasked.

Between us and Terraform stands `guard.py`: when mcml is killed, Terraform gets one SIGINT. The stream goes through a file and not through
a pipe, so that Terraform can then still write while it saves its state; a broken pipe would end it in the middle.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import Literal

from mcml.core.report import Reporter
from mcml.infra.terraform.binary import Binary
from mcml.infra.terraform.credentials import credentials
from mcml.infra.terraform.events import Diagnostic, Event, parse_line

_ANSWERS = count()
"""Numbers the answers of one process: a unit may be asked twice at once."""

GUARD = (sys.executable, "-S", "-E", str(Path(__file__).with_name("guard.py")))

POLL_SECONDS = 0.02
"""How often the stream is read: far below what a person sees, and a thousandth of one CPU."""

GRACE_SECONDS = 30.0
"""How long a Terraform that we no longer listen to may take to save its state after SIGINT, before it is killed."""

PATIENCE = {"init": 5.0, "show": 5.0, "state pull": 5.0, "plan": 30.0, "taint": 30.0}
"""How long, in seconds, a command that changes nothing may take to end after SIGINT, before it is killed: one that asks a service that does
not answer may never hear it. What changes something is waited for as long as it takes."""

PASSED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "LD_LIBRARY_PATH",
    "PYTHONPATH", "PYTHONHOME", "MCML_ACTOR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_PATH", "TF_LOG_CORE", "TF_LOG_PROVIDER",
})
PASSED_PREFIXES = ("LC_", "TF_TOKEN_")

Reason = Literal["", "interrupted", "timeout"]


def environment(
    environ: Mapping[str, str], workspace: str, python_folder: Path | None = None, clouds: Collection[str] = ()
) -> dict[str, str]:
    """Return the whole environment of a Terraform run (pure): what is named in `PASSED`, the credentials of `clouds`, our own settings.

    A `TF_VAR_*`, `TF_CLI_ARGS` or `TF_WORKSPACE` of the user's shell does not reach it: the same project gives the same plan. The
    workspace is chosen here and never by `workspace select`, which writes it into the folder for whoever comes next.
    `python_folder` is put before PATH, so that a provisioner finds the Python that mcml runs in.
    """
    passed = {name: value for name, value in environ.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}
    passed |= credentials(environ, clouds)
    if python_folder:
        passed["PATH"] = f"{python_folder}:{passed.get('PATH', '')}".rstrip(":")
    return passed | {"TF_WORKSPACE": workspace, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}


@dataclass
class Control:
    """What ends a run early: Ctrl-C, SIGTERM, or the time that is up.

    The first sends one SIGINT to every Terraform that runs, which then saves its state and ends; a second Ctrl-C sends a second one,
    on which Terraform ends at once. `timeout` is in seconds from the moment that watching begins. Whoever downloads holds `preparing`.
    `soon` is called in a thread when the first Terraform runs: it prepares what comes after, and nobody hears its errors.
    """

    reporter: Reporter
    timeout: float | None = None
    reason: Reason = ""
    running: set[Popen[bytes]] = field(default_factory=set)
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    soon: Callable[[], object] | None = None

    def begin(self, process: Popen[bytes]) -> None:
        """Note a Terraform that runs, and use the time that it takes."""
        self.running.add(process)
        if self.soon:
            Thread(target=_unheard, args=(self.soon,), name="soon").start()  # no daemon: an interpreter must not end in an import
            self.soon = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the signals over while the block runs; outside of the main thread only the time is watched."""
        loop = asyncio.get_running_loop()
        watched = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            with suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self.stop, "interrupted")
                watched[number] = before
        timer = loop.call_later(self.timeout, self.stop, "timeout") if self.timeout is not None else None
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            for number, before in watched.items():
                loop.remove_signal_handler(number)
                signal.signal(number, before or signal.SIG_DFL)

    def stop(self, reason: Reason) -> None:
        """Pass one SIGINT on. What was the first reason stays the reason."""
        if self.running and not self.reason:
            self.reporter.note("stopping: Terraform saves its state; a second Ctrl-C ends it at once")
        self.reason = self.reason or reason
        for process in self.running:
            process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, its diagnostics, and what it wrote that is no event (plain text, then stderr)."""

    code: int
    diagnostics: tuple[Diagnostic, ...] = ()
    text: str = ""
    stdout: bytes = b""


@dataclass(frozen=True)
class Runner:
    """Runs Terraform in one folder with one environment; streams are kept in `logs`, which the caller removes."""

    binary: Binary
    folder: Path
    env: Mapping[str, str]
    logs: Path
    control: Control

    async def stream(self, *args: str, on_event: Callable[[Event], None] = lambda _: None) -> Ended:
        """Run a command with `-json`, handing on each event as it comes. Raises what `on_event` raises, when Terraform has ended."""
        diagnostics: list[Diagnostic] = []
        other: list[bytes] = []

        def on_line(line: bytes) -> None:
            event = parse_line(line)
            if event is None:
                other.append(line)
                return
            if event.diagnostic:
                diagnostics.append(event.diagnostic)
            on_event(event)

        command, *rest = args
        log = self.logs / f"{command}.jsonl"
        code, stderr = await self._run((command, "-json", *rest), log, on_line)
        return Ended(code, tuple(diagnostics), _text(b"\n".join(other) + b"\n" + stderr))

    async def capture(self, *args: str) -> Ended:
        """Run a command and return all that it wrote to stdout; no file keeps it, for a state or a plan may hold secrets."""
        log = self.logs / f"{args[0]}-{next(_ANSWERS)}.out"
        try:
            code, stderr = await self._run(args, log, lambda _: None)
            return Ended(code, text=_text(stderr), stdout=log.read_bytes())
        finally:
            log.unlink(missing_ok=True)

    async def _run(self, args: Sequence[str], log: Path, on_line: Callable[[bytes], None]) -> tuple[int, bytes]:
        errors = log.with_suffix(".err")
        with log.open("wb") as stdout, errors.open("wb") as stderr:
            process = Popen(
                (*GUARD, *self.binary.argv, *args),
                stdin=PIPE,
                stdout=stdout,
                stderr=stderr,
                cwd=self.folder,
                env=dict(self.env),
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we pass on one
            )
        with process:
            self.control.begin(process)
            try:
                if self.control.reason:  # it came while the program started
                    process.send_signal(signal.SIGINT)
                await _follow(process, log, on_line, self._hurry(process, args))
            finally:
                await _end(process)
                self.control.running.discard(process)
        return process.returncode, errors.read_bytes()

    def _hurry(self, process: Popen[bytes], args: Sequence[str]) -> Callable[[], None]:
        """Return what kills a command that changes nothing, when it was asked to stop and has not."""
        patience = PATIENCE.get(" ".join(args[:2]) if args[0] == "state" else args[0])
        asked: float | None = None

        def look() -> None:
            nonlocal asked
            if patience is None or not self.control.reason:
                return
            asked = asked or time.monotonic()
            if time.monotonic() - asked > patience:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

        return look


def _unheard(work: Callable[[], object]) -> None:
    with suppress(Exception):
        work()


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip()


async def _follow(process: Popen[bytes], log: Path, on_line: Callable[[bytes], None], look: Callable[[], None]) -> None:
    """Hand on each whole line of the log until the process has ended, then the rest; `look` is called again and again meanwhile."""
    rest = b""
    with log.open("rb") as written, _end_of(process) as ended:
        while True:
            last = process.poll() is not None  # before reading: what it wrote until then is all there is
            *lines, rest = (rest + written.read()).split(b"\n")
            for line in lines:
                on_line(line)
            if last:
                break
            look()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await ended.wait()
    if rest:
        on_line(rest)


@contextmanager
def _end_of(process: Popen[bytes]) -> Iterator[asyncio.Event]:
    """Yield what is set in the moment in which a process ends; nothing sets it on a kernel or a loop that cannot tell."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    try:
        watched = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # Linux before 5.3, or a system call filter
        yield ended
        return
    loop.add_reader(watched, ended.set)
    try:
        yield ended
    finally:
        loop.remove_reader(watched)
        os.close(watched)


async def _end(process: Popen[bytes]) -> None:
    """Leave no Terraform behind that nobody listens to: it is asked to stop in order, and killed with its children when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    end = time.monotonic() + GRACE_SECONDS
    while process.poll() is None and time.monotonic() < end:
        await asyncio.sleep(POLL_SECONDS)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
