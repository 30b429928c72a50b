"""The journal: every change that any room makes, in one append-only, hash-chained table.

The hash of a row is SHA-256 over the canonical JSON list [seq, at, actor, room, target, kind, facts, prev_hash]; the first row's
`prev_hash` is 64 zeros. A changed, missing, inserted or reordered row breaks the chain at that place. Rows cut off at the end leave a
shorter chain that holds: only a `head` noted elsewhere (a page, a post-mortem, a backup) tells of them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, insert, or_, select

from mcml.core.canonical import canonical_json
from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest, McmlError
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
    before_seq: int | None = None
    limit: int | None = None


def append(connection: Connection, fact: Fact) -> Entry:
    """Append a fact; the caller holds the write transaction, so no other row can come between.

    Raises InvalidRequest for a fact that the journal cannot keep: values that are no JSON, a naive time, NUL in a text.
    """
    last = connection.execute(select(JOURNAL.c.seq, JOURNAL.c.hash).order_by(JOURNAL.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    row = {"seq": seq, **_content(fact), "prev_hash": previous}
    row["hash"] = digest(row)
    connection.execute(insert(JOURNAL).values(row))
    return _entry(row)


def _content(fact: Fact) -> dict[str, object]:
    try:
        texts = {name: _text(getattr(fact, name), name) for name in ("actor", "room", "target", "kind")}
        return {"at": rfc3339(fact.at), **texts, "facts": canonical_json(fact.facts)}
    except ValueError as wrong:
        raise InvalidRequest(f"the journal cannot keep a {fact.kind!r} fact", why=str(wrong)) from wrong


def _text(value: str, name: str) -> str:
    """Return the value when every database can keep it: no NUL, no half of a surrogate pair."""
    if "\0" in value:
        raise ValueError(f"its {name} holds a NUL character")
    value.encode()
    return value


def read(connection: Connection, query: Query) -> list[Entry]:
    """Return the entries that match, oldest first."""
    statement = select(JOURNAL).where(JOURNAL.c.seq > query.after_seq)
    if query.before_seq is not None:
        statement = statement.where(JOURNAL.c.seq < query.before_seq)
    if query.since:
        statement = statement.where(JOURNAL.c.at >= rfc3339(query.since))
    if query.until:
        statement = statement.where(JOURNAL.c.at < rfc3339(query.until))
    if query.target:
        statement = statement.where(JOURNAL.c.target == query.target)
    if query.kinds:
        exact = [kind for kind in query.kinds if not kind.endswith(".")]
        prefixes = [kind for kind in query.kinds if kind.endswith(".")]
        begins = (func.substr(JOURNAL.c.kind, 1, len(prefix)) == prefix for prefix in prefixes)  # LIKE ignores case on SQLite only
        statement = statement.where(or_(JOURNAL.c.kind.in_(exact), *begins))
    if query.limit is None:
        return [_entry(row) for row in connection.execute(statement.order_by(JOURNAL.c.seq)).mappings()]
    newest = connection.execute(statement.order_by(JOURNAL.c.seq.desc()).limit(query.limit)).mappings()
    return [_entry(row) for row in newest][::-1]


def verify(connection: Connection) -> Verdict:
    """Read the whole chain and return the first row that does not hold, if any; memory stays flat."""
    with connection.execute(select(JOURNAL).order_by(JOURNAL.c.seq).execution_options(yield_per=1000)) as rows:
        return check(dict(row) for row in rows.mappings())


def check(rows: Iterable[Mapping[str, object]]) -> Verdict:
    """Return whether rows, in the order of `seq`, are one whole chain."""
    count, previous = 0, GENESIS
    for row in rows:
        count += 1
        if row["seq"] != count:
            return Verdict(count, previous, count, f"row {count} was expected, the next one is {row['seq']}")
        if row["prev_hash"] != previous:
            return Verdict(count, previous, count, f"row {count} does not follow the row before it")
        if digest(row) != row["hash"]:
            return Verdict(count, previous, count, f"row {count} was changed after it was written")
        previous = str(row["hash"])
    return Verdict(count, previous)


def digest(row: Mapping[str, object]) -> str:
    """Return the hash of a row (its own `hash` is not part of it)."""
    parts = [row[name] for name in ("seq", "at", "actor", "room", "target", "kind", "facts", "prev_hash")]
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False, default=repr)  # repr: bytes that somebody put where text was
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _entry(row: Mapping[str, object] | RowMapping) -> Entry:
    try:
        at, facts = parse_rfc3339(str(row["at"])), json.loads(str(row["facts"]))
    except ValueError as broken:
        raise McmlError(f"row {row['seq']} of the journal cannot be read", why=str(broken), next_step="mcml journal verify") from broken
    return Entry(
        seq=int(str(row["seq"])),
        at=at,
        actor=str(row["actor"]),
        room=str(row["room"]),
        target=str(row["target"]),
        kind=str(row["kind"]),
        facts=facts,
        prev_hash=str(row["prev_hash"]),
        hash=str(row["hash"]),
    )
