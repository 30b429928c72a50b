"""Where incidents are kept and changed: each change of the table and its fact in the journal are one transaction."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.core.errors import NotFound
from mcml.core.fact import Fact, current_actor
from mcml.incident import decide
from mcml.incident.names import LATEST, name, parse_name
from mcml.incident.react import ITSELF, REOPEN_WITHIN, Change, react, signals
from mcml.incident.timeline import AFTER, BEFORE, Story, relation, story
from mcml.store import incidents, journal
from mcml.store.db import Store
from mcml.store.incidents import Incident, IncidentState
from mcml.store.journal import Entry, Query

UNRESOLVED: tuple[IncidentState, ...] = ("open", "acked")
EVERY: tuple[IncidentState, ...] = (*UNRESOLVED, "resolved")

OLDER = 50
"""How many older changes are looked through for the last one that concerns an incident."""

MOST = 5000
"""How many entries of a window are read at most, the newest of them: a story, not an archive."""


def record(store: Store, fact: Fact, *, clock: Clock = utc_now) -> Entry:
    """Append a fact to the journal and let it open, note, recover or resolve incidents, all in one transaction.

    Every long-running command writes its facts through this; when it returns, the incident is on disk. Raises Unavailable.
    """
    with store.writing() as connection:
        return record_within(connection, fact, clock=clock)


def record_within(connection: Any, fact: Fact, *, clock: Clock = utc_now) -> Entry:
    """Do the same within the write transaction of somebody who keeps more than the fact in it."""
    cause = journal.append(connection, fact)
    if not signals(cause):
        return cause
    known = incidents.select_states(connection, UNRESOLVED)
    recently = Query(since=cause.at - REOPEN_WITHIN, kinds=("incident.resolved",), target=cause.target)
    for entry in journal.read(connection, recently):
        identifier = entry.facts.get("incident")
        ended = incidents.find(connection, identifier) if isinstance(identifier, int) else None
        known += [ended] if ended else []
    for change in react(cause, known):
        if change.incident.id:
            incidents.save(connection, change.incident)
            stored = change.incident
        else:
            # None: a writer that does not take the store's lock was faster; its incident has the key, ours is not needed.
            stored = incidents.insert_once(connection, change.incident) or change.incident
        if stored.id:
            journal.append(connection, _fact(replace(change, incident=stored), ITSELF, clock, cause=cause.seq))
    return cause


def concerns(store: Store, fact: Fact) -> bool:
    """Tell whether a fact would change an unresolved incident."""
    with store.reading() as connection:
        return bool(react(fact, incidents.select_states(connection, UNRESOLVED)))


def ack(store: Store, identifier: int, *, actor: str = "", take_over: bool = False, clock: Clock = utc_now) -> Incident:
    """Acknowledge an incident: `actor` (default: who runs this) has it now. Raises NotFound, Conflict as `decide.acknowledge`."""
    who = actor or current_actor()
    return _change(store, identifier, who, clock, lambda found: decide.acknowledge(found, who, clock(), take_over=take_over))


def resolve(store: Store, identifier: int, *, note: str = "", actor: str = "", clock: Clock = utc_now) -> Incident:
    """End an incident. Raises NotFound, Conflict when it is resolved already."""
    who = actor or current_actor()
    return _change(store, identifier, who, clock, lambda found: decide.resolve(found, who, clock(), note=note))


def note(store: Store, identifier: int, text: str, *, actor: str = "", clock: Clock = utc_now) -> Incident:
    """Add a sentence to an incident's story. Raises NotFound, Usage for an empty one."""
    return _change(store, identifier, actor or current_actor(), clock, lambda found: decide.add_note(found, text))


def list_incidents(store: Store, states: tuple[IncidentState, ...] = UNRESOLVED) -> list[Incident]:
    """Return the incidents in these states, newest first."""
    with store.reading() as connection:
        return incidents.select_states(connection, states)[::-1]


def last_resolved(store: Store) -> Incident | None:
    """Return the incident that was resolved last, or None when there never was one."""
    with store.reading() as connection:
        for entry in journal.read(connection, Query(kinds=("incident.resolved",), limit=1)):
            identifier = entry.facts.get("incident")
            return incidents.find(connection, identifier) if isinstance(identifier, int) else None
    return None


def identify(store: Store, text: str) -> int:
    """Return the id of the incident that a person named: `1`, `INC-1`, or `latest` for the one opened last. Raises Usage, NotFound."""
    if text.strip().lower() != LATEST:
        return parse_name(text)
    newest = list_incidents(store, EVERY)
    if not newest:
        raise NotFound("there is no incident yet", next_step="mcml incident list --all")
    return newest[0].id


def get(store: Store, identifier: int) -> Incident:
    """Return one incident. Raises NotFound."""
    with store.reading() as connection:
        return _found(incidents.find(connection, identifier), identifier)


def _change(store: Store, identifier: int, actor: str, clock: Clock, decision: Callable[[Incident], Change | None]) -> Incident:
    with store.writing() as connection:
        found = _found(incidents.find(connection, identifier), identifier)
        change = decision(found)
        if change is None:
            return found
        incidents.save(connection, change.incident)
        journal.append(connection, _fact(change, actor, clock))
        return change.incident


def _found(incident: Incident | None, identifier: int) -> Incident:
    if incident is None:
        raise NotFound(f"there is no incident {name(identifier)}", next_step="mcml incident list --all")
    return incident


def _fact(change: Change, actor: str, clock: Clock, *, cause: int = 0) -> Fact:
    incident = change.incident
    facts: dict[str, object] = {
        "incident": incident.id,
        "key": incident.key,
        "title": incident.title,
        "severity": incident.severity,
        "state": incident.state,
        "model": incident.model,
        "text": change.text,
    }
    if cause:
        facts["cause"] = cause
    return Fact(f"incident.{change.verb}", "incident", incident.target, facts, at=clock(), actor=actor)


def entries_around(store: Store, incident: Incident) -> list[Entry]:
    """Return the journal entries that its story may need: BEFORE the opening to AFTER the end, the last change of its target and model
    however old, and everything that was ever said about it.
    """
    start, opened = incident.opened_at - BEFORE, incident.opened_at
    end = incident.resolved_at + AFTER if incident.resolved_at else None
    queries = [
        Query(until=start, kinds=("deploy.finished", "deploy.failed", "deploy.deleted"), target=incident.target, limit=OLDER),
        Query(until=start, kinds=("infra.applied", "infra.destroyed"), limit=OLDER),
    ]
    with store.reading() as connection:
        deploys, infra = (journal.read(connection, query) for query in queries)
        near = [*journal.read(connection, Query(since=start, until=opened, limit=MOST))]
        near += journal.read(connection, Query(since=opened, until=end, limit=MOST))
        near += journal.read(connection, Query(since=opened, kinds=("incident.",), target=incident.target))
    last_deploy = [entry for entry in deploys if incident.model in ("", entry.facts.get("model"))][-1:]
    last_infra = [entry for entry in infra if relation(entry, incident) == "target"][-1:]
    return [*last_deploy, *last_infra, *near]


def tell(store: Store, identifier: int) -> Story:
    """Return the story of an incident. Raises NotFound."""
    incident = get(store, identifier)
    entries = entries_around(store, incident)
    return replace(story(incident, entries), cut=len(entries) >= MOST)
