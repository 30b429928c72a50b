"""The API keys of the router. Of a key only its hash is here: with the store alone nobody can ask for anything.

The hash is SHA-256 without a salt: a key is 256 random bits, so there is no list of likely ones to try (what scrypt is slow for), and no
two keys are the same (what a salt is for); and the hash finds the row of a key.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest
from mcml.store.tables import ROUTE_KEY

Writing = Connection
"""What `Store.writing` yields, for those who hand it on: SQL is spoken here only."""


@dataclass(frozen=True)
class RouteKey:
    """One key. A name may have several: while it is rotated, and from earlier.

    `hint` is the end of its clear text; `routes` are those that it may use (none: all); `rate` is requests and seconds.
    """

    name: str
    digest: str
    hint: str
    made_at: datetime
    made_by: str
    routes: tuple[str, ...] = ()
    rate: tuple[int, float] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    id: int = 0

    def holds(self, now: datetime) -> bool:
        """Tell whether it is accepted at a moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def add(connection: Connection, key: RouteKey) -> RouteKey:
    """Store a key and return it with its id. Raises InvalidRequest for a text that no database keeps."""
    if "\0" in key.name + "".join(key.routes) + key.made_by:
        raise InvalidRequest("a key cannot hold a NUL character")
    row = {
        "name": key.name,
        "digest": key.digest,
        "hint": key.hint,
        "routes": json.dumps(key.routes),
        "rate": json.dumps(key.rate),
        "made_at": rfc3339(key.made_at),
        "made_by": key.made_by,
        "expires_at": rfc3339(key.expires_at) if key.expires_at else None,
    }
    result = connection.execute(insert(ROUTE_KEY).values(row))
    made = result.inserted_primary_key
    return replace(key, id=int(made[0])) if made else key


def every(connection: Connection) -> list[RouteKey]:
    """Return all keys, the oldest first, also those that hold no more."""
    return [_key(row) for row in connection.execute(select(ROUTE_KEY).order_by(ROUTE_KEY.c.id))]


def expire(connection: Connection, key: RouteKey, at: datetime) -> None:
    """Let a key hold until `at` and no longer."""
    connection.execute(update(ROUTE_KEY).where(ROUTE_KEY.c.id == key.id).values(expires_at=rfc3339(at)))


def revoke(connection: Connection, key: RouteKey, at: datetime, by: str) -> None:
    """Take a key back."""
    connection.execute(update(ROUTE_KEY).where(ROUTE_KEY.c.id == key.id).values(revoked_at=rfc3339(at), revoked_by=by))


def _key(row: Row[Any]) -> RouteKey:
    rate = json.loads(row.rate)
    return RouteKey(
        name=row.name,
        digest=row.digest,
        hint=row.hint,
        made_at=parse_rfc3339(row.made_at),
        made_by=row.made_by,
        routes=tuple(json.loads(row.routes)),
        rate=(int(rate[0]), float(rate[1])) if rate else None,
        expires_at=parse_rfc3339(row.expires_at) if row.expires_at else None,
        revoked_at=parse_rfc3339(row.revoked_at) if row.revoked_at else None,
        revoked_by=row.revoked_by or "",
        id=row.id,
    )
