"""The overrides of routes: what people changed at run time. Their story is in the journal; this is only what is in force."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from mcml.core.canonical import canonical_json
from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest
from mcml.core.override import Override
from mcml.store.tables import ROUTE_OVERRIDE


def put(connection: Connection, override: Override) -> Override | None:
    """Put an override in force; returns the one that it replaces. Raises InvalidRequest for a text that no database keeps."""
    if any("\0" in text for text in (override.reason, override.route, override.target, override.actor)):
        raise InvalidRequest("an override cannot hold a NUL character")
    before = remove(connection, override)
    connection.execute(insert(ROUTE_OVERRIDE).values(_row(override)))
    return before


def remove(connection: Connection, like: Override) -> Override | None:
    """Take the override with this kind, route and target out of force; returns it, or None when there was none."""
    where = [ROUTE_OVERRIDE.c[name] == getattr(like, name) for name in ("kind", "route", "target")]
    row = connection.execute(select(ROUTE_OVERRIDE).where(*where)).first()
    if row is None:
        return None
    connection.execute(delete(ROUTE_OVERRIDE).where(*where))
    return _override(row)


def remove_expired(connection: Connection, now: datetime) -> list[Override]:
    """Take those out of force whose time is over, and return them."""
    found = [override for override in every(connection) if not override.holds(now)]
    for override in found:
        remove(connection, override)
    return found


def every(connection: Connection) -> list[Override]:
    """Return all overrides, the oldest first, also those whose time is over."""
    return [_override(row) for row in connection.execute(select(ROUTE_OVERRIDE).order_by(ROUTE_OVERRIDE.c.at, ROUTE_OVERRIDE.c.id))]


def _row(override: Override) -> dict[str, object]:
    texts = {name: getattr(override, name) for name in ("kind", "route", "target", "actor", "reason")}
    until = rfc3339(override.until) if override.until else None
    return {**texts, "value": canonical_json(override.value), "at": rfc3339(override.at), "until": until}


def _override(row: Row[Any]) -> Override:
    return Override(
        kind=row.kind,
        route=row.route,
        target=row.target,
        actor=row.actor,
        at=parse_rfc3339(row.at),
        value=json.loads(row.value),
        reason=row.reason,
        until=parse_rfc3339(row.until) if row.until else None,
    )
