"""The usage log: how a local server is billed, in a file that survives kill -9 to within one interval.

One JSON object a line, each with totals since the start of the process, so a reader needs only the last line of a process:

    {"at": RFC 3339 UTC, "pid", "started": epoch seconds, "model", "version", "digest",
     "cpu_seconds", "rss_bytes", "requests", "errors": 5xx, "client_errors": 4xx,
     "input_tokens", "output_tokens": each only where the model's package says what counts}        the last one with "final": true

Written at the start, after every interval with work in it, after a minute without, and at the end. Between the lines of an
idle server the file's modification time moves on every interval: it says until when the process was surely up.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from mcml.core.clock import Clock, rfc3339, utc_now
from mcml.serving.metrics import Metrics

IDLE_SECONDS = 60.0  # a line at least this often
IDLE_CPU_SECONDS = 0.1  # less than this since the last line, and no request: idle (probes and the event loop's tick)


class UsageLog:
    """Appends usage lines from a thread of its own, so neither a slow disk nor a busy event loop disturbs the other.

    A file that cannot be written is reported once through `warn`; serving goes on.
    """

    def __init__(
        self,
        path: Path,
        metrics: Metrics,
        about: Mapping[str, str],
        *,
        interval: float,
        warn: Callable[[str], None],
        clock: Clock = utc_now,
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._about = dict(about)
        self._interval = interval
        self._warn = warn
        self._clock = clock
        self._written = {"requests": -1, "cpu_seconds": 0.0, "at": 0.0}
        self._warned = False
        self._torn = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def start(self) -> None:
        """Write the first line and go on in the background."""
        self._torn = _ends_torn(self._path)
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Write the last line, marked final."""
        self._stop.set()
        self._thread.join()
        self.write(final=True)

    def tick(self) -> None:
        """One interval has passed: write a line, or only move the file's time when nothing but time passed."""
        use = self._metrics.process()
        idle = (
            self._metrics.requests == self._written["requests"]
            and use.cpu_seconds - self._written["cpu_seconds"] < IDLE_CPU_SECONDS
            and self._clock().timestamp() - self._written["at"] < IDLE_SECONDS
        )
        if not idle:
            self.write()
            return
        try:
            os.utime(self._path)
        except OSError:  # gone or not ours any more: the next line tells
            self._written["at"] = 0.0

    def write(self, *, final: bool = False) -> None:
        """Append one line with the totals of now."""
        now, use, metrics = self._clock(), self._metrics.process(), self._metrics
        requests = metrics.requests
        line = {
            "at": rfc3339(now),
            "pid": os.getpid(),
            "started": use.started,
            **self._about,
            "cpu_seconds": round(use.cpu_seconds, 6),
            "rss_bytes": use.rss_bytes,
            "requests": requests,
            "errors": metrics.server_errors,
            "client_errors": metrics.client_errors,
        }
        tokens = {"input_tokens": metrics.input_tokens, "output_tokens": metrics.output_tokens}
        line.update((name, number) for name, number in tokens.items() if number is not None)
        if final:
            line["final"] = True
        if self._append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)):
            self._written = {"requests": requests, "cpu_seconds": use.cpu_seconds, "at": now.timestamp()}

    def _append(self, line: bytes) -> bool:
        """Append in one write. The file is opened anew each time, so it may be rotated or removed under us."""
        line = b"\n" + line if self._torn else line
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._torn = os.write(handle, line) < len(line)  # a full disk: the next line starts on its own
            finally:
                os.close(handle)
        except OSError as broken:
            if not self._warned:
                self._warned = True
                self._warn(f"cannot write the usage file {self._path}: {broken.strerror}; serving goes on, its use is not recorded")
            return False
        return not self._torn

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.tick()


def _ends_torn(path: Path) -> bool:
    """Tell whether the file ends in half a line, as a power cut or a full disk leaves it."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False
