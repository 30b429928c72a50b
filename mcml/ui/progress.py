"""Progress on stderr: a live list of running steps on a terminal, one line a step elsewhere."""

import time
from threading import RLock
from typing import TYPE_CHECKING

from mcml.core.report import Reporter, Silent
from mcml.core.when import span
from mcml.ui.streams import Streams

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


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

    def close(self) -> None:
        """Nothing is held open."""

    def _say(self, line: str) -> None:
        self._err.write(f"{line}\n")
        self._err.flush()


class LiveList:
    """Running steps with a spinner and their elapsed time; a finished step becomes a line above them."""

    def __init__(self, streams: Streams) -> None:
        from rich.console import Console

        colour = streams.err_colour
        self._console = Console(file=streams.err, no_color=not colour, highlight=False, force_terminal=True)
        self._running: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None
        self._lock = RLock()

    def start(self, key: str, text: str) -> None:
        """Add a running step."""
        with self._lock:
            self._running[key] = (text, time.monotonic())
            self._refresh()

    def update(self, key: str, text: str) -> None:
        """Change what a running step says."""
        with self._lock:
            if key in self._running:
                self._running[key] = (text, self._running[key][1])
                self._refresh()

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """Turn a running step into a line."""
        from rich.text import Text

        with self._lock:
            _, started = self._running.pop(key, ("", None))
            mark = ("✓", "green") if ok else ("✗", "bold red")
            self._console.print(Text.assemble(mark, f" {key}: {text}", (_took(started), "dim")))
            self._refresh()

    def note(self, text: str) -> None:
        """Say a sentence above the running steps."""
        from rich.text import Text

        with self._lock:
            self._console.print(Text(text))

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            self._running.clear()
            self._refresh()

    def _refresh(self) -> None:
        from rich.live import Live

        if self._running and self._live is None:
            self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=10, transient=True)
            self._live.start()
        elif not self._running and self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> "RenderableType":
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        now = time.monotonic()
        rows = [Text(f"{key}: {text} ({span(now - started)})") for key, (text, started) in self._running.items()]
        return Group(*(Spinner("dots", text=row) for row in rows))


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
