"""Progress on stderr: a live tree of running steps on a terminal, one line a step elsewhere, or events as JSON for a program."""

import json
import time
from collections.abc import Mapping
from threading import RLock

from mcml.core.clock import Clock, rfc3339
from mcml.core.report import Reporter, Silent
from mcml.core.when import span
from mcml.ui.live import LiveList
from mcml.ui.streams import Streams


class Lines:
    """One line when a step ends, and one for every note; for logs and pipes."""

    def __init__(self, streams: Streams) -> None:
        self._err = streams.err
        self._started: dict[str, float] = {}
        self._lock = RLock()

    def start(self, key: str, text: str) -> None:
        """Say that a step begins."""
        with self._lock:
            self._started[key] = time.monotonic()
            self._say(f"{key}: {text}")

    def update(self, key: str, text: str) -> None:
        """Stay quiet: a log does not need what happens in between."""

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """Say how a step ended and how long it took."""
        with self._lock:
            self._say(f"{key}: {'' if ok else 'FAILED: '}{text}{_took(self._started.pop(key, None))}")

    def note(self, text: str) -> None:
        """Say a sentence."""
        with self._lock:
            self._say(text)

    def _say(self, line: str) -> None:
        self._err.write(f"{line}\n")
        self._err.flush()


class JsonLines:
    """Every step and every event of a program as a JSON object on a line: `time` (RFC 3339, UTC), `type` and what belongs to it.

    The types of our own are `step_start`, `step_update`, `step_finish` (all with `step` and `text`, the last with `ok`) and `note`; an
    event has the type and the fields that the program gave it, and `unit`.
    """

    def __init__(self, streams: Streams, clock: Clock) -> None:
        self._err, self._clock = streams.err, clock
        self._lock = RLock()

    def start(self, key: str, text: str) -> None:
        """Write that a step begins."""
        self._write({"type": "step_start", "step": key, "text": text})

    def update(self, key: str, text: str) -> None:
        """Write what a running step says."""
        self._write({"type": "step_update", "step": key, "text": text})

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """Write how a step ended."""
        self._write({"type": "step_finish", "step": key, "text": text, "ok": ok})

    def note(self, text: str) -> None:
        """Write a sentence."""
        self._write({"type": "note", "text": text})

    def event(self, unit: str, fields: Mapping[str, object]) -> None:
        """Write an event of a program."""
        self._write({"type": "event", **fields, "unit": unit})

    def _write(self, said: Mapping[str, object]) -> None:
        line = json.dumps({"time": rfc3339(self._clock()), **said}, ensure_ascii=False, default=str)
        with self._lock:
            self._err.write(f"{line}\n")
            self._err.flush()


def reporter(streams: Streams, *, quiet: bool) -> Reporter:
    """Return the reporter that fits: silent, live, or lines."""
    if quiet:
        return Silent()
    return LiveList(streams) if streams.err_is_terminal else Lines(streams)


def close(told: Reporter) -> None:
    """Stop whatever moves on the screen, before data or a question appears."""
    if isinstance(told, LiveList):
        told.close()


def _took(started: float | None) -> str:
    return f" ({span(time.monotonic() - started)})" if started is not None else ""
