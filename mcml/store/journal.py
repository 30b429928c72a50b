"""The journal: every change that any room makes, in one append-only, hash-chained table.

The hash of a row is SHA-256 over the canonical JSON list [seq, at, actor, room, target, kind, facts, prev_hash]; the first row's
`prev_hash` is 64 zeros. A changed, missing, inserted or reordered row breaks the chain at that place.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, or_, select

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.fact import Fact
from mcml.store.tables import JOURNAL

GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """A fact as it stands in the journal: with its place and the hashes that chain it."""

    seq: int
    at: datetime
    actor: str
    room: str
    target: str
    kind: str
    facts: Mapping[str, object]
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Verdict:
    """The result of a verification: how many rows were read, the newest hash, and the first broken row with the reason (0: none)."""

    rows: int
    head: str
    broken_at: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Query:
    """Which entries: times are [since, until); `kinds` matches a kind or a room's prefix (`route.`); newest `limit` when given."""

    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    target: str = ""
    after_seq: int = 0
    limit: int | None = None


def append(connection: Connection, fact: Fact) -> Entry:
    """Append a fact; the caller holds the write transaction, so no other row can come between."""
    last = connection.execute(select(JOURNAL.c.seq, JOURNAL.c.hash).order_by(JOURNAL.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    facts = canonical(fact.facts)
    row = {
        "seq": seq,
        "at": rfc3339(fact.at),
        "actor": fact.actor,
        "room": fact.room,
        "target": fact.target,
        "kind": fact.kind,
        "facts": facts,
        "prev_hash": previous,
    }
    row["hash"] = digest(row)
    connection.execute(insert(JOURNAL).values(row))
    return _entry(row)


def read(connection: Connection, query: Query) -> list[Entry]:
    """Return the entries that match, oldest first."""
    statement = select(JOURNAL).where(JOURNAL.c.seq > query.after_seq)
    if query.since:
        statement = statement.where(JOURNAL.c.at >= rfc3339(query.since))
    if query.until:
        statement = statement.where(JOURNAL.c.at < rfc3339(query.until))
    if query.target:
        statement = statement.where(JOURNAL.c.target == query.target)
    if query.kinds:
        exact = [kind for kind in query.kinds if not kind.endswith(".")]
        prefixes = [kind for kind in query.kinds if kind.endswith(".")]
        begins = (JOURNAL.c.kind.startswith(prefix, autoescape=True) for prefix in prefixes)
        statement = statement.where(or_(JOURNAL.c.kind.in_(exact), *begins))
    if query.limit is None:
        return [_entry(row) for row in connection.execute(statement.order_by(JOURNAL.c.seq)).mappings()]
    newest = connection.execute(statement.order_by(JOURNAL.c.seq.desc()).limit(query.limit)).mappings()
    return [_entry(row) for row in newest][::-1]


def verify(connection: Connection) -> Verdict:
    """Read the whole chain and return the first row that does not hold, if any; memory stays flat."""
    count, previous = 0, GENESIS
    for row in _stream(connection):
        count += 1
        if row["seq"] != count:
            return Verdict(count, previous, count, f"row {count} is missing: the next one is {row['seq']}")
        if row["prev_hash"] != previous:
            return Verdict(count, previous, count, f"row {count} does not follow the row before it")
        if digest(row) != row["hash"]:
            return Verdict(count, previous, count, f"row {count} was changed after it was written")
        previous = str(row["hash"])
    return Verdict(count, previous)


def _stream(connection: Connection) -> Iterator[Mapping[str, object]]:
    rows = connection.execution_options(yield_per=1000).execute(select(JOURNAL).order_by(JOURNAL.c.seq))
    yield from (dict(row) for row in rows.mappings())


def canonical(facts: Mapping[str, object]) -> str:
    """Write facts as canonical JSON: sorted keys, no spaces, UTF-8 as it is. Raises ValueError for NaN and infinities."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def digest(row: Mapping[str, object]) -> str:
    """Return the hash of a row (its own `hash` is not part of it)."""
    parts = [row[name] for name in ("seq", "at", "actor", "room", "target", "kind", "facts", "prev_hash")]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def _entry(row: Mapping[str, object] | RowMapping) -> Entry:
    return Entry(
        seq=int(str(row["seq"])),
        at=parse_rfc3339(str(row["at"])),
        actor=str(row["actor"]),
        room=str(row["room"]),
        target=str(row["target"]),
        kind=str(row["kind"]),
        facts=json.loads(str(row["facts"])),
        prev_hash=str(row["prev_hash"]),
        hash=str(row["hash"]),
    )
