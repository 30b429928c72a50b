"""The story of an incident, told from journal entries: what changed before it, what happened in it, who did what, how it ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from mcml.core.when import span
from mcml.incident.react import model_of
from mcml.incident.words import say, shifts
from mcml.store.incidents import Incident
from mcml.store.journal import Entry

BEFORE = timedelta(minutes=30)
"""How far before the opening everything is read; the last change of the target and the model is found however old it is."""

AFTER = timedelta(minutes=5)
"""How far after the resolution it goes on."""

CHANGES = (
    "deploy.started",
    "deploy.finished",
    "deploy.failed",
    "deploy.deleted",
    "infra.applied",
    "infra.destroyed",
    "infra.drift_found",
    "infra.imported",
    "infra.state_restored",
    "cost.rightsize_resized",
    "route.started",
    "route.stopped",
    "route.shadow_started",
    "route.shadow_ended",
    "route.drill_started",
    "route.drill_killed",
    "route.drained",
    "route.undrained",
    "route.pinned",
    "route.unpinned",
    "route.settings_changed",
    "route.settings_reset",
    "route.split_changed",
    "route.split_reset",
    "route.burst_ceiling",
    "route.credential_failed",
    "route.credential_renewed",
    "cost.turned_off",
    "cost.turned_on",
)
"""What somebody did, or found done, to what was running. Shifts of weights are not among them: they are the router's answer."""

ROUTER = (
    "route.started",
    "route.stopped",
    "route.engine_restarted",
    "route.config_refused",
    "route.reloaded",
    "route.settings_refused",
    "route.key_rotated",
    "route.key_revoked",
    "route.certificate_renewed",
    "route.certificate_refused",
    "route.certificate_ends",
    "route.log_lost",
    "route.drill_started",
    "route.drill_finished",
)
"""What happens to a router, or is done to it, touches all its routes."""

ASIDE = (
    *("cost.ingested", "cost.anomaly_", "cost.kept_on", "cost.released", "cost.spot_", "postmortem."),
    *("cost.rightsize_planned", "cost.rightsize_snapshot", "cost.rightsize_watched"),
)
"""What looks at that which serves and never changes it: no part of a story."""

Relation = Literal["incident", "target", "model", "elsewhere", "none"]


@dataclass(frozen=True)
class Moment:
    """A line of the story: when (and how far from the opening, in seconds, negative before it), what, who, and from which rows of the
    journal (`seqs`). `suspect` is empty, or how long before the opening the nearest change was made.
    """

    at: datetime
    offset_s: float
    kind: str
    target: str
    actor: str
    text: str
    seqs: tuple[int, ...]
    relation: Relation
    suspect: str = ""


@dataclass(frozen=True)
class Story:
    """An incident with its moments: what came before it, then the rest, each by time; `cut` when there were too many to read them all."""

    incident: Incident
    moments: tuple[Moment, ...]
    cut: bool = False

    @property
    def suspect(self) -> Moment | None:
        """The nearest change before the incident; it is a place to look first, not a verdict."""
        return next((moment for moment in self.moments if moment.suspect), None)


def story(incident: Incident, entries: Iterable[Entry]) -> Story:
    """Tell the story of an incident from entries of the journal (any order, doubles allowed).

    Before it is what the journal has before its cause, and what is dated before it: clocks differ, and a cause is better looked for in
    one line too many.
    """
    ordered = [entry for _, entry in sorted({entry.seq: entry for entry in entries}.items())]
    kept = [entry for entry in ordered if _belongs(entry, incident)]
    start = _opening(kept, incident)
    parts: tuple[list[Entry], list[Entry]] = ([], [])
    for entry in kept:
        parts[entry.seq >= start and entry.at >= incident.opened_at].append(entry)
    before, after = (_fold(part, incident) for part in parts)
    return Story(incident, (*_mark(before), *after))


def relation(entry: Entry, incident: Incident) -> Relation:
    """Say how near an entry is to an incident: its own, on its target, about its model, a change elsewhere, or nothing to do with it."""
    if entry.kind.startswith("incident."):
        if entry.facts.get("incident") == incident.id:
            return "incident"
        return "elsewhere" if entry.kind in ("incident.opened", "incident.resolved") else "none"
    if entry.kind.startswith("cost.budget_"):
        return "incident" if incident.key == f"budget:{entry.facts.get('budget')}" else "none"
    if entry.kind.startswith(ASIDE):
        return "none"
    about = (entry.target, entry.facts.get("target"), *_names(entry, "targets"))
    if incident.target and incident.target in about:
        return "target"
    if incident.model and (model_of(entry) == incident.model or incident.model in _models(entry)):
        return "model"
    changed = entry.kind in CHANGES and not entry.kind.startswith(("route.", "cost."))
    return "elsewhere" if changed or entry.kind in ROUTER else "none"


def _belongs(entry: Entry, incident: Incident) -> bool:
    return relation(entry, incident) != "none"


def _names(entry: Entry, key: str) -> Sequence[str]:
    value = entry.facts.get(key)
    return [str(name) for name in value] if isinstance(value, list | tuple | dict) else []


def _models(entry: Entry) -> set[str]:
    return {backend.partition("@")[0] for key in ("weights", "backends") for backend in _names(entry, key)}


def _opening(entries: Sequence[Entry], incident: Incident) -> int:
    """Return the place in the journal where the incident begins: the fact that caused it, else the first at its time."""
    for entry in entries:
        if entry.kind == "incident.opened" and entry.facts.get("incident") == incident.id:
            cause = entry.facts.get("cause")
            return cause if isinstance(cause, int) else entry.seq
    return next((entry.seq for entry in entries if entry.at >= incident.opened_at), 1 + max((entry.seq for entry in entries), default=0))


def _fold(entries: Sequence[Entry], incident: Incident) -> list[Moment]:
    """Turn entries into moments: successive shifts of traffic become one, and a deploy that ended stands for its start."""
    moments: list[Moment] = []
    run: list[Entry] = []
    entries = sorted(entries, key=lambda entry: (entry.at, entry.seq))
    for index, entry in enumerate(entries):
        if entry.kind == "route.weights":
            run.append(entry)
            continue
        moments += _shifted(run, incident)
        run = []
        if entry.kind != "deploy.started" or not any(_ends(later, entry) for later in entries[index + 1 :]):
            moments.append(_moment([entry], say(entry), incident))
    return moments + _shifted(run, incident)


def _shifted(run: Sequence[Entry], incident: Incident) -> list[Moment]:
    routes = dict.fromkeys(str(entry.facts.get("route", "")) for entry in run)
    by_route = [[entry for entry in run if str(entry.facts.get("route", "")) == route] for route in routes]
    return [_moment(entries, shifts(entries), incident) for entries in by_route]


def _ends(later: Entry, started: Entry) -> bool:
    same = later.target == started.target and later.facts.get("model") == started.facts.get("model")
    return same and later.kind in ("deploy.finished", "deploy.failed")


def _moment(entries: Sequence[Entry], text: str, incident: Incident) -> Moment:
    first = entries[0]
    return Moment(
        at=first.at,
        offset_s=(first.at - incident.opened_at).total_seconds(),
        kind=first.kind,
        target=first.target,
        actor=first.actor,
        text=text,
        seqs=tuple(entry.seq for entry in entries),
        relation=relation(first, incident),
    )


def _mark(before: Sequence[Moment]) -> list[Moment]:
    """Mark the nearest change: the last on the incident's target, else the last about its model."""
    marked = list(before)
    for near in ("target", "model"):
        for index in range(len(marked) - 1, -1, -1):
            moment = marked[index]
            if moment.relation == near and moment.kind in CHANGES:
                marked[index] = replace(moment, suspect=f"changed {span(moment.offset_s)} before")
                return marked
    return marked
