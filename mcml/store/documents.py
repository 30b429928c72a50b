"""Small documents that a room keeps between two commands: the state of a budget, a word of feedback, a saving that waits for its bill.

A document has a kind (`cost.budget`), a key within it, and a JSON object; its story is in the journal, here is only what holds now. Two
commands may read the same document at once: who writes second with the revision he read gets a Conflict, and reads again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from mcml.core.canonical import canonical_json
from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, InvalidRequest
from mcml.store.tables import DOCUMENT


@dataclass(frozen=True)
class Kept:
    """A document as it is kept: `revision` counts its versions from 1."""

    kind: str
    key: str
    content: Mapping[str, Any]
    changed_at: datetime
    revision: int


def get(connection: Connection, kind: str, key: str) -> Kept | None:
    """Return a document, or None."""
    row = connection.execute(select(DOCUMENT).where(DOCUMENT.c.kind == kind, DOCUMENT.c.key == key)).first()
    return _kept(row) if row else None


def every(connection: Connection, kind: str) -> list[Kept]:
    """Return the documents of a kind by key."""
    return [_kept(row) for row in connection.execute(select(DOCUMENT).where(DOCUMENT.c.kind == kind).order_by(DOCUMENT.c.key))]


def put(connection: Connection, kind: str, key: str, content: Mapping[str, Any], at: datetime, *, after: int | None = None) -> Kept:
    """Keep a document in place of the one with its kind and key; times and decimals in it become text.

    `after` is the revision it was made from (0: there was none). Raises Conflict when another one stands there by now, InvalidRequest
    for what no database keeps.
    """
    text = canonical_json(dict(content))
    if "\0" in kind + key or "\\u0000" in text:
        raise InvalidRequest("a document cannot hold a NUL character")
    before = get(connection, kind, key)
    found = before.revision if before else 0
    if after is not None and after != found:
        raise Conflict(f"{kind} {key} was changed meanwhile", why=f"revision {found}, expected {after}", next_step="try again")
    values = {"content": text, "changed_at": rfc3339(at), "revision": found + 1}
    if before:
        connection.execute(update(DOCUMENT).where(DOCUMENT.c.kind == kind, DOCUMENT.c.key == key).values(values))
    else:
        connection.execute(insert(DOCUMENT).values(kind=kind, key=key, **values))
    return Kept(kind, key, json.loads(text), at, found + 1)


def remove(connection: Connection, kind: str, key: str) -> bool:
    """Remove a document; tells whether there was one."""
    return connection.execute(delete(DOCUMENT).where(DOCUMENT.c.kind == kind, DOCUMENT.c.key == key)).rowcount > 0


def _kept(row: Row[Any]) -> Kept:
    return Kept(row.kind, row.key, json.loads(row.content), parse_rfc3339(row.changed_at), row.revision)
