"""Carry out the steps of a plan, several at once; what fails hides no other, and whoever stops it is told what is half-done."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock
from typing import Literal, NoReturn

from mcml.core.errors import Interrupted, InvalidRequest, McmlError, PartlyDone, StillRunning, TimeUp, said
from mcml.core.fact import Fact
from mcml.core.plan import Plan, Step
from mcml.core.report import Reporter
from mcml.core.sizes import counted, size_text
from mcml.data.plan import REFUSED, planned_size, total_size
from mcml.data.threads import each

KEY = "data"
SAID_AT_MOST = 10
UPDATE_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `detail` says how it was verified, why it was kept, or what failed; `size` is in bytes, None when not known."""

    step: Step
    state: Literal["done", "kept", "failed"]
    detail: str
    size: int | None
    error: McmlError | None = None


class Progress:
    """Counts bytes and steps of all threads, and says so a few times a second."""

    def __init__(self, reporter: Reporter, key: str, steps: int, size: int) -> None:
        self._reporter = reporter
        self._key = key
        self._of = f"of {steps}"
        self._size = size
        self._lock = Lock()
        self._began = self._said = time.monotonic()
        self.done = 0
        self.bytes = 0

    def moved(self, count: int) -> None:
        """Count bytes."""
        with self._lock:
            self.bytes += count
            self._say()

    def ended(self) -> None:
        """Count a step."""
        with self._lock:
            self.done += 1
            self._say()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> str:
        """Bytes and bytes a second so far, for a person."""
        return f"{size_text(self.bytes)}, {size_text(self.bytes / max(self.seconds, 0.001))}/s"

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said >= UPDATE_SECONDS:
            self._said = now
            self._reporter.update(self._key, f"{self.done} {self._of}, {size_text(self._size)} in all; {self.rate}")


@dataclass
class Run:
    """A plan being carried out. `verb` is the past participle of what is done; `again` is the command that continues it.

    `record` is told the fact `data.VERB` with what is `about` it, also when it was cut off; None: it is nobody's business but ours.
    """

    plan: Plan
    verb: str
    reporter: Reporter
    jobs: int = 8
    again: str = ""
    record: Callable[[Fact], object] | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progress = Progress(self.reporter, KEY, len(self.plan.changes), total_size(self.plan))
        self._begun: dict[str, None] = {}

    def carry_out(self, do: Callable[[Step], tuple[str, int | None]]) -> list[Outcome]:
        """Carry out the changes, and return how each step ended; those that change nothing come first.

        `do` returns the detail and the bytes of a step, or raises McmlError. Raises Interrupted (Ctrl-C) or StillRunning (time-out),
        saying how far it got.
        """
        changes = self.plan.changes
        self.outcomes += [_unchanged(step) for step in self.plan.steps if step.action == "keep"]
        self.reporter.start(KEY, f"{counted(len(changes), 'item')}, {size_text(total_size(self.plan))} to be {self.verb}")
        try:
            with closing(each(partial(self._attempt, do), changes, jobs=self.jobs, stop=self.stop)) as ended:
                for _ in ended:
                    pass
        except KeyboardInterrupt as cut:
            _raise_cut(cut, self.progress.done, len(changes), list(self._begun), self.again)
        finally:
            self._finish()
        return self.outcomes

    def _attempt(self, do: Callable[[Step], tuple[str, int | None]], step: Step) -> None:
        """Note how a step ended in its own thread: nothing that is done is forgotten when the others are cut off."""
        if self.stop.is_set():
            raise Interrupted("not begun")
        self._begun[step.name] = None
        try:
            outcome = Outcome(step, "done", *do(step))
        except Interrupted:
            raise
        except McmlError as failed:
            outcome = Outcome(step, "failed", said(failed), planned_size(step), failed)
        self.outcomes.append(outcome)
        self._begun.pop(step.name, None)
        self.progress.ended()

    def _finish(self) -> None:
        done, failed = (sum(outcome.state == state for outcome in self.outcomes) for state in ("done", "failed"))
        whole = not failed and self.progress.done == len(self.plan.changes)
        self.reporter.finish(KEY, f"{done} {self.verb}, {failed} failed; {self.progress.rate}", ok=whole)
        if self.record and done:
            ended = {self.verb: done, "failed": failed, "bytes": self.progress.bytes, "seconds": round(self.progress.seconds, 3)}
            self.record(Fact(f"data.{self.verb}", "data", facts={**self.about, **ended, "plan": self.plan.digest}))


def raise_failures(outcomes: Sequence[Outcome], verb: str, again: str) -> None:
    """Raise what the outcomes amount to: nothing, the one error, or PartlyDone (exit 7) when others were done.

    When all failed, the error is of the kind of the first. `verb` is the past participle of what was done; `again` continues it.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    if not failed:
        return
    first = failed[0].error
    if len(outcomes) == 1 and first:
        raise first
    done = sum(outcome.state == "done" for outcome in outcomes)
    kept = sum(outcome.state == "kept" for outcome in outcomes)
    kind = PartlyDone if done or kept else type(first) if first else McmlError
    why = "\n".join(_listed([f"{outcome.step.name}: {outcome.detail}" for outcome in failed]))
    raise kind(f"{done} {verb}, {kept} kept as they were, {len(failed)} failed", why=why, next_step=again)


def _unchanged(step: Step) -> Outcome:
    if step.kind != REFUSED:
        return Outcome(step, "kept", step.reason, planned_size(step))
    refused = InvalidRequest(f"cannot copy {step.values.get('source')} to {step.name}", why=step.reason)
    return Outcome(step, "failed", step.reason, planned_size(step), refused)


def _raise_cut(cut: BaseException, done: int, steps: int, stopped: Sequence[str], again: str) -> NoReturn:
    waiting = steps - done - len(stopped)
    why = [f"{waiting} not begun", *(f"half-done: {name}" for name in _listed(stopped))]
    message = f"{done} of {counted(steps, 'item')} ended"
    kind = StillRunning if isinstance(cut, TimeUp) else Interrupted
    raise kind(f"{'timed out' if kind is StillRunning else 'interrupted'}: {message}", why="\n".join(why), next_step=again) from cut


def _listed(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    more = len(every) - SAID_AT_MOST
    return [*every[:SAID_AT_MOST], f"and {more} more"] if more > 0 else every
