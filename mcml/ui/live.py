"""Running steps as a tree that moves: units as branches, with the parts that run now below; never more lines than the terminal has."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from mcml.core.when import span
from mcml.ui.streams import Streams

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

SEPARATOR = ": "
"""Stands in a key between a step and a part of it."""

LEAST_EXPECTED = 10.0
"""Seconds below which nobody wants to know how long a step takes."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TURN_SECONDS = 0.08


@dataclass
class Step:
    """A running step: what it says, since when (monotonic seconds), how long it usually takes, its running parts, what of it is done."""

    name: str
    text: str
    began: float
    expected: float | None = None
    parts: dict[str, "Step"] = field(default_factory=dict)
    done: int = 0
    failed: int = 0

    def line(self, now: float) -> str:
        """Say what runs and for how long."""
        told = [self.text]
        told += [f"{self.done} done"] if self.done else []
        told += [f"{self.failed} failed"] if self.failed else []
        return f"{self.name}{SEPARATOR}{', '.join(told)} ({self._took(now - self.began)})"

    def _took(self, exactly: float) -> str:
        seconds = int(exactly)
        if not self.expected or self.expected < LEAST_EXPECTED:
            return span(seconds)
        usual = span(round(self.expected) if self.expected < 90 else 60 * round(self.expected / 60))
        return f"{span(seconds)} of ~{usual}" if seconds <= self.expected else f"{span(seconds)}, usually {usual}"


@dataclass
class Running:
    """The steps that run, oldest first (no I/O, no clock)."""

    steps: dict[str, Step] = field(default_factory=dict)

    def start(self, key: str, text: str, now: float) -> None:
        """Add a step, or a part of one that runs."""
        steps, name = self._place(key)
        steps[name] = Step(name, text, now)

    def find(self, key: str) -> Step | None:
        """Return a running step or part."""
        steps, name = self._place(key)
        return steps.get(name)

    def finish(self, key: str, *, ok: bool) -> tuple[Step | None, bool]:
        """Take a step away; return it, and whether it deserves a line: what went well in a step that runs is counted there."""
        steps, name = self._place(key)
        ended = steps.pop(name, None)
        if steps is self.steps:
            return ended, True
        whole = self.steps[key.partition(SEPARATOR)[0]]
        whole.done, whole.failed = whole.done + ok, whole.failed + (not ok)
        return ended, not ok

    def _place(self, key: str) -> tuple[dict[str, Step], str]:
        whole, separator, part = key.partition(SEPARATOR)
        if separator and whole in self.steps and key not in self.steps:
            return self.steps[whole].parts, part
        return self.steps, key

    def lines(self, now: float, height: int) -> list[tuple[int, str]]:
        """Return the picture as (depth, text), at most `height` lines; the last says how many are not shown."""
        running = [(step, list(step.parts.values())) for step in list(self.steps.values())]
        number = len(running) + sum(len(parts) for _, parts in running)
        room = height if number <= height else max(0, height - 1)
        shown = running[:room]
        parts = _in_turn([parts for _, parts in shown], room - len(shown))
        drawn: list[tuple[int, str]] = []
        for (step, _), below in zip(shown, parts, strict=True):
            drawn.append((0, step.line(now)))
            drawn += [(1, part.line(now)) for part in below]
        if number > len(drawn) and height > 0:
            drawn.append((1, f"... and {number - len(drawn)} more"))
        return drawn


def _in_turn(groups: Sequence[Sequence[Step]], room: int) -> list[list[Step]]:
    """Return the first of every group, then the second, and so on, until there is no room."""
    taken = [0] * len(groups)
    while room > 0 and any(number < len(group) for number, group in zip(taken, groups, strict=True)):
        for index, group in enumerate(groups):
            if room > 0 and taken[index] < len(group):
                taken[index] += 1
                room -= 1
    return [list(group[:number]) for number, group in zip(taken, groups, strict=True)]


class LiveList:
    """Running steps with their elapsed time; a finished step becomes a line above them, and so does a part that failed."""

    def __init__(self, streams: Streams) -> None:
        from rich.console import Console

        colour = streams.err_colour
        self._console = Console(file=streams.err, no_color=not colour, highlight=False, force_terminal=True)
        self._running = Running()
        self._live: Live | None = None
        self._lock = RLock()

    def start(self, key: str, text: str) -> None:
        """Add a running step."""
        with self._lock:
            self._running.start(key, text, time.monotonic())
            self._refresh()

    def update(self, key: str, text: str) -> None:
        """Change what a running step says."""
        with self._lock:
            if step := self._running.find(key):
                step.text = text

    def expect(self, key: str, seconds: float) -> None:
        """Say how long a running step usually takes."""
        with self._lock:
            if step := self._running.find(key):
                step.expected = seconds

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """Turn a running step into a line."""
        from rich.text import Text

        with self._lock:
            step, shown = self._running.finish(key, ok=ok)
            if shown:
                mark = ("✓", "green") if ok else ("✗", "bold red")
                took = f" ({span(time.monotonic() - step.began)})" if step else ""
                self._console.print(Text.assemble(mark, f" {key}: {text}", (took, "dim")))
            self._refresh()

    def note(self, text: str) -> None:
        """Say a sentence above the running steps."""
        from rich.text import Text

        with self._lock:
            self._console.print(Text(text))

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            self._running.steps.clear()
            self._refresh()

    def _refresh(self) -> None:
        from rich.live import Live

        if self._running.steps and self._live is None:
            self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=10, transient=True)
            self._live.start()
        elif not self._running.steps and self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        now = time.monotonic()
        mark = SPINNER[int(now / TURN_SECONDS) % len(SPINNER)]
        lines = self._running.lines(now, self._console.size.height - 1)  # no lock: rich holds its own here, and takes ours after it
        rows = [f"{mark} {text}" if depth == 0 else f"    {text}" for depth, text in lines]
        return Group(*(Text(row, no_wrap=True, overflow="ellipsis") for row in rows))
