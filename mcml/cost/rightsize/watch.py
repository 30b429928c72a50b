"""How a machine is after a change of its type: what is asked, and what counts as bad. What nobody answers is neither good nor bad.

Bad is, of the machine's metrics since the watch began: memory above 98 % in any step, CPU above 95 % on average in three steps in a row
(only where the new type may have less of it), a health signal of mcml.toml above its limit; and of the journal: a backend that went out
on the target and stays out, an incident opened there that stays open. Both are often about the stop itself, which ends by itself, so
trouble that began before the watch counts at its end only, and later trouble when it has lasted for a tenth of the watch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcml.core.errors import InvalidRequest, McmlError, NotFound
from mcml.core.schema_cost import HealthSignal
from mcml.cost.rightsize.change import Change
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, Metrics, Point, SeriesQuery, Statistic, Window
from mcml.store.journal import Entry

FULL, SATURATED, IN_A_ROW = 0.98, 0.95, 3
STEPS = 30
"""How often a machine is looked at during its watch; at least once a minute."""
MOST = 500
"""How many steps are asked for at most."""
MINUTE = timedelta(minutes=1)
COARSER = (MINUTE, timedelta(minutes=5))
"""Steps that are asked for when a provider refuses shorter ones."""
TROUBLE = ("route.backend_down", "incident.opened", "incident.reopened")
RECOVERY = ("route.backend_up", "incident.recovered", "incident.resolved")


@dataclass(frozen=True)
class Signal:
    """Something that must not happen: the metric is above `limit` in `in_a_row` measured steps, one after the other."""

    name: str
    query: SeriesQuery
    limit: float
    in_a_row: int = 1


@dataclass(frozen=True)
class Look:
    """What a look found: what is bad (empty: nothing), and how many of the `asked` signals answered."""

    bad: str
    answered: int
    asked: int


def tick(change: Change) -> timedelta:
    """How long is waited between two looks."""
    return min(timedelta(seconds=change.watch) / STEPS, MINUTE)


def step(change: Change) -> timedelta:
    """How long the steps are that metrics are asked for: at least a second, whole minutes from a minute on, and not too many of them."""
    if change.watch < STEPS * MINUTE.total_seconds():
        return max(tick(change), timedelta(seconds=1))
    return MINUTE * math.ceil(change.watch / MOST / MINUTE.total_seconds())


def signals(change: Change, health: Sequence[HealthSignal]) -> list[Signal]:
    """Return what is asked of a machine."""
    found = [_machine_signal(change, "machine.memory", "maximum", FULL)]
    if change.cpu:
        found.append(_machine_signal(change, "machine.cpu", "average", SATURATED, IN_A_ROW))
    return [*found, *(_health_signal(change, one) for one in health)]


def _machine_signal(change: Change, metric: str, statistic: Statistic, limit: float, in_a_row: int = 1) -> Signal:
    return Signal(metric, SeriesQuery(metric, {MACHINE: change.instance}, statistic), limit, in_a_row)


def _health_signal(change: Change, one: HealthSignal) -> Signal:
    which = change.instance if one.value == "id" or one.metric in MACHINE_METRICS else change.instance.rpartition("/")[2]
    return Signal(one.metric, SeriesQuery(one.metric, {one.label: which}, "maximum"), one.above)


def look(metrics: Metrics | None, asked: Sequence[Signal], began: datetime, now: datetime, step: timedelta) -> Look:
    """Ask all signals about [began, now). A provider that has no such metric, or does not answer, has not answered."""
    if metrics is None or now <= began:
        return Look("", 0, len(asked))
    found = [(signal, _points(metrics, signal.query, began, now, step)) for signal in asked]
    bad = [said for signal, points in found if (said := judged(signal, points))]
    answered = sum(any(point.value is not None for point in points) for _, points in found)
    return Look("; ".join(bad), answered, len(asked))


def judged(signal: Signal, points: Iterable[Point]) -> str:
    """Say what is bad about a series; empty for nothing."""
    row: list[float] = []
    for point in points:
        if point.value is None:
            continue
        row = [*row, point.value] if point.value > signal.limit else []
        if len(row) == signal.in_a_row:
            lasted = f" {signal.in_a_row} times in a row" if signal.in_a_row > 1 else ""
            return f"{signal.name} was {min(row):.4g}{lasted}, above {signal.limit:g}"
    return ""


def _points(metrics: Metrics, query: SeriesQuery, began: datetime, now: datetime, step: timedelta) -> Sequence[Point]:
    for length in (step, *(longer for longer in COARSER if longer > step)):
        try:
            return metrics.query(query, Window(began, now, length))
        except InvalidRequest:
            continue
        except NotFound:
            break
        except McmlError:  # it is asked again at the next look, about the whole time
            break
    return ()


def troubled(entries: Iterable[Entry], change: Change, now: datetime) -> str:
    """Say which trouble of the target, of all that was told since its machine was stopped, is not over; empty for none.

    Before the watch is over only trouble counts that began within it and has lasted for a tenth of it.
    """
    still: dict[str, Entry] = {}
    for entry in entries:
        subject = f"{entry.room} {entry.facts.get('backend') or entry.facts.get('incident')}"
        if entry.kind in TROUBLE:
            still.setdefault(subject, entry)
        elif entry.kind in RECOVERY:
            still.pop(subject, None)
    began, length = change.began or now, timedelta(seconds=change.watch)
    over = now >= began + length
    counts = [one for one in still.values() if over or (one.at >= began and now - one.at >= length / 10)]
    return "; ".join(_said(one.kind, one.facts) for one in counts)


def _said(kind: str, facts: Mapping[str, object]) -> str:
    if kind == "route.backend_down":
        return f"the backend {facts.get('backend')} is out: {facts.get('reason') or 'no reason given'}"
    return f"incident {facts.get('incident')} is open: {facts.get('title')}"
