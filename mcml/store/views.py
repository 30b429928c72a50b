"""What the journal looks like: rows, one row with its facts, and the verdict on the chain."""

from collections.abc import Callable, Sequence

from mcml.core.errors import NotFound
from mcml.core.view import Column, Document, Pairs, Section, State, Status, Table, Text
from mcml.store.journal import Entry, Verdict

COLUMNS = (
    Column("seq", "Row", "number"),
    Column("at", "When", "time"),
    Column("actor", "Who"),
    Column("kind", "Kind"),
    Column("text", "What"),
)


def item(entry: Entry, text: str) -> dict[str, object]:
    """Return the fields of an entry as scripts see them; `text` is its sentence for people."""
    return {
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "room": entry.room,
        "target": entry.target,
        "kind": entry.kind,
        "facts": entry.facts,
        "prev_hash": entry.prev_hash,
        "hash": entry.hash,
        "text": text,
    }


def entry_list(entries: Sequence[Entry], say: Callable[[Entry], str]) -> Document:
    """Show entries as rows, oldest first, each with its sentence."""
    rows = [item(entry, say(entry)) for entry in entries]
    return Document("JournalEntryList", rows, (Table(COLUMNS, rows, empty="no entry matches"),), name_key="seq")


def entry_show(entries: Sequence[Entry], seq: int, say: Callable[[Entry], str]) -> Document:
    """Show one entry with all its facts. Raises NotFound when there is no row `seq`."""
    if not entries:
        raise NotFound(f"the journal has no row {seq}", next_step="mcml journal list")
    entry = entries[0]
    pairs = Pairs((("row", entry.seq), ("at", entry.at), ("actor", entry.actor), ("kind", entry.kind), ("target", entry.target)))
    facts = Section("Facts", (Pairs(tuple(entry.facts.items())),))
    chain = Section("Chain", (Pairs((("hash", entry.hash), ("previous", entry.prev_hash))),))
    return Document("JournalEntry", [item(entry, say(entry))], (Text(say(entry)), pairs, facts, chain), name_key="seq")


def verdict(found: Verdict) -> Document:
    """Show whether the chain holds, and if it does not, from which row on nothing can be trusted."""
    holds = not found.broken_at
    data = {"ok": holds, "rows": found.rows, "head": found.head, "broken_at": found.broken_at, "reason": found.reason}
    if holds:
        text = f"{found.rows:,} rows, each follows the one before it; head {found.head}"
        return Document("JournalVerdict", [data], (Status(State("ok", "ok"), text),), name_key="head")
    advice = f"Rows 1 to {found.broken_at - 1} hold. Compare row {found.broken_at} with a backup: mcml journal show {found.broken_at}"
    return Document("JournalVerdict", [data], (Status(State("broken", "bad"), found.reason), Text(advice)), name_key="head")
