"""When machines were off because of us, and which type they had then: what schedules and budgets wrote into the journal.

A machine that was turned on again by us with the type it has now was not resized in between, though it was started; and the time that it
was off is no gap in what was measured.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import StillRunning
from mcml.cost.rightsize.change import Change
from mcml.cost.schedule.run import STOPPED
from mcml.store import documents, journal
from mcml.store.db import Store
from mcml.store.journal import Entry, Query
from mcml.store.ledger.machines import Typed, key

OFF, ON = "cost.turned_off", "cost.turned_on"


@dataclass(frozen=True)
class Offs:
    """Of one machine: the spans in which we had turned it off, one after the other, and which types it had when we told it."""

    spans: tuple[tuple[datetime, datetime], ...] = ()
    typed: tuple[Typed, ...] = ()

    def steps(self, start: datetime, end: datetime, step: timedelta) -> int:
        """Return how many whole steps of [start, end) it was off."""
        return sum(max((min(last, end) - max(first, start)) // step, 0) for first, last in self.spans)


NEVER = Offs()


def offs(store: Store, since: datetime, now: datetime) -> dict[str, Offs]:
    """Return when which machines were off because of us, by TARGET/ID. What was off before `since` counts from there."""
    with store.reading() as connection:
        told = [
            (f"{entry.target}/{entry.facts.get('id')}", entry.kind, _when(entry), entry.facts.get("machine"))
            for entry in journal.read(connection, Query(since=since, kinds=(OFF, ON)))
            if entry.facts.get("kind") == "instance"
        ]
    return {name: _offs([each for each in told if each[0] == name], since, now) for name in dict.fromkeys(each[0] for each in told)}


def _when(entry: Entry) -> datetime:
    """Return when something was turned off or on: what somebody else did, or who was cut off, is told later than it was (`since`)."""
    return parse_rfc3339(str(entry.facts["since"])) if entry.facts.get("since") else entry.at


def _offs(told: Sequence[tuple[str, str, datetime, object]], since: datetime, now: datetime) -> Offs:
    spans: list[tuple[datetime, datetime]] = []
    began: datetime | None = since
    first = True
    for _, kind, at, _machine in told:
        if kind == OFF:
            began = at if first or began is None else began
        elif began is not None:
            spans += [(began, at)] if at > began else []  # on again before we look
            began = None
        first = False
    if began is not None:
        spans.append((began, now))
    typed = (Typed(key(name.partition("/")[2]), machine, at, at) for name, _, at, machine in told if isinstance(machine, str) and machine)
    return Offs(tuple(spans), tuple(typed))


def of(found: Mapping[str, Offs], name: str) -> Offs:
    """Return those of one machine."""
    return found.get(name, NEVER)


def check_schedule(store: Store, change: Change, targets: Collection[str]) -> None:
    """Raise StillRunning when a schedule has stopped a machine, under any of its targets: that says nothing about the change."""
    with store.reading() as connection:
        found = [documents.get(connection, STOPPED, f"{target}/instance/{change.instance}") for target in sorted(targets)]
    for stopped in filter(None, found):
        why = f"the schedule {stopped.content['schedule']} has stopped it; its watch goes on when it runs again"
        raise StillRunning(f"{change.key} is off", why=why)


def turned_off(store: Store, change: Change, targets: Collection[str]) -> bool:
    """Tell whether a schedule or a budget has turned a machine off, under any of its targets, since its watch began."""
    told = store.entries(Query(since=change.began or change.down, kinds=(OFF,)))
    return any(entry.target in targets and entry.facts.get("id") == change.instance for entry in told)
