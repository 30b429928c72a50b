"""The incident table: what is wrong now and who has it. Its story is in the journal; this is only its present state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.store.tables import INCIDENT

IncidentState = Literal["open", "acked", "resolved"]
Severity = Literal["critical", "error", "warning", "info"]


@dataclass(frozen=True)
class Incident:
    """One incident. `key` says what it is about: at most one unresolved incident has a given key. `id` is 0 until it is stored."""

    key: str
    title: str
    severity: Severity
    opened_at: datetime
    target: str = ""
    model: str = ""
    state: IncidentState = "open"
    acked_at: datetime | None = None
    acked_by: str = ""
    recovered_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str = ""
    id: int = 0


_TIMES = ("opened_at", "acked_at", "recovered_at", "resolved_at")


def insert_once(connection: Connection, incident: Incident) -> Incident | None:
    """Store a new incident and return it with its id; None when an unresolved one with its key is there already."""
    try:
        with connection.begin_nested():
            result = connection.execute(insert(INCIDENT).values(_row(incident)))
    except IntegrityError:
        return None
    key = result.inserted_primary_key
    return replace(incident, id=int(key[0])) if key else None


def save(connection: Connection, incident: Incident) -> None:
    """Write the present state of a stored incident."""
    connection.execute(update(INCIDENT).where(INCIDENT.c.id == incident.id).values(_row(incident)))


def find(connection: Connection, identifier: int) -> Incident | None:
    """Return one incident, or None."""
    row = connection.execute(select(INCIDENT).where(INCIDENT.c.id == identifier)).mappings().first()
    return _incident(dict(row)) if row else None


def select_states(connection: Connection, states: tuple[IncidentState, ...]) -> list[Incident]:
    """Return the incidents in these states, oldest first."""
    rows = connection.execute(select(INCIDENT).where(INCIDENT.c.state.in_(states)).order_by(INCIDENT.c.id)).mappings()
    return [_incident(dict(row)) for row in rows]


def _row(incident: Incident) -> dict[str, object]:
    row: dict[str, object] = {
        name: getattr(incident, name) for name in ("key", "title", "severity", "state", "target", "model", "acked_by", "resolved_by")
    }
    for name in _TIMES:
        moment = getattr(incident, name)
        row[name] = rfc3339(moment) if moment else None
    return row


def _incident(row: Mapping[str, Any]) -> Incident:
    values = dict(row)
    for name in _TIMES:
        values[name] = parse_rfc3339(values[name]) if values[name] else None
    values["acked_by"] = values["acked_by"] or ""
    values["resolved_by"] = values["resolved_by"] or ""
    return Incident(**values)
