"""Documents of the data room."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal

from mcml.core.plan import Plan
from mcml.core.sizes import counted, size_text
from mcml.core.view import Column, Document, Level, Pairs, State, Table, Text, listing
from mcml.data.entry import Entry
from mcml.data.listing import Row
from mcml.data.plan import REFUSED, total_size
from mcml.data.tables import Load
from mcml.data.work import Outcome
from mcml.providers.api.warehouse import LoadResult, QueryResult, SourceSize

LEVELS: dict[str, Level] = {"done": "ok", "kept": "idle", "failed": "bad"}


def row_list(rows: Iterable[Row]) -> Document:
    """List folders and objects; `objects` and `size` of a folder are of all below it."""
    items = [
        {
            "name": _text(row.name),
            "kind": row.kind,
            "address": _text(row.address),
            "size": row.size,
            "objects": row.objects,
            "modified": row.modified,
            "checksum": row.entry.checksum,
            "etag": row.entry.etag,
            "version": row.entry.version,
        }
        for row in rows
    ]
    columns = [
        Column("name", "Name"),
        Column("size", "Size", "bytes"),
        Column("objects", "Objects", "number"),
        Column("modified", "Modified", "time"),
    ]
    lines = [item | {"name": _line(str(item["name"]))} for item in items]
    return Document("DataList", items, listing("", columns, lines, empty="nothing is here").blocks, name_key="address")


def stat_document(address: str, entry: Entry) -> Document:
    """Show what is known of one object or file."""
    known = {
        "name": _text(address),
        "size": entry.size,
        "checksum": entry.checksum,
        "etag": entry.etag,
        "version": entry.version,
        "modified": entry.modified,
    }
    shown = [("address", _line(address)), *((key, known[key]) for key in ("size", "checksum", "etag", "version", "modified"))]
    return Document("DataStat", [known], (Pairs(shown),))


def plan_document(plan: Plan) -> Document:
    """Show the plan of a copy or a deletion: one line a step that changes something or is refused."""
    items = [
        {
            "name": _text(step.name),
            "source": _text(str(step.values.get("source", ""))),
            "action": REFUSED if step.kind == REFUSED else step.action,
            "reason": _text(step.reason),
            "size": step.values.get("size"),
        }
        for step in plan.steps
    ]
    columns = [Column("action", "Action"), Column("name", "What"), Column("size", "Size", "bytes"), Column("reason", "Why")]
    lines = [item | {"name": _line(str(item["name"]))} for item in items if item["action"] != "keep"]
    verdict = f"{len(plan.changes)} to change, {size_text(total_size(plan))}" if plan.changes else "nothing to change"
    rest = f"{verdict}; {len(plan.steps) - len(lines)} stay as they are; plan {plan.digest[:12]}"
    return Document("DataPlan", items, (*_table(columns, lines), Text(rest)))


def outcome_list(outcomes: Sequence[Outcome], verb: str) -> Document:
    """Show how the steps ended; `verb` is the past participle of what was done. What was kept is in the items only."""
    items = [
        {
            "name": _text(outcome.step.name),
            "source": _text(str(outcome.step.values.get("source", ""))),
            "state": State(outcome.state, LEVELS[outcome.state]),
            "action": outcome.step.action,
            "size": outcome.size,
            "detail": _text(outcome.detail),
        }
        for outcome in outcomes
    ]
    columns = [Column("state", "State", "state"), Column("name", "What"), Column("size", "Size", "bytes"), Column("detail", "Detail")]
    lines = [
        item | {"name": _line(str(item["name"])), "detail": _line(str(item["detail"]))}
        for item, outcome in zip(items, outcomes, strict=True)
        if outcome.state != "kept"
    ]
    done, kept, failed = ([outcome for outcome in outcomes if outcome.state == state] for state in ("done", "kept", "failed"))
    total = size_text(sum(outcome.size or 0 for outcome in done))
    said = f"{counted(len(done), 'item')} {verb} ({total}), {len(kept)} kept, {len(failed)} failed"
    return Document("DataOutcomeList", items, (*_table(columns, lines), Text(said)))


def _table(columns: Sequence[Column], lines: Sequence[Mapping[str, object]]) -> tuple[Table, ...]:
    return (Table(columns, lines),) if lines else ()


def _text(text: str) -> str:
    """Return text that any output can take: a file's name may hold bytes that are no Unicode."""
    return text.encode(errors="backslashreplace").decode()


def _line(text: str) -> str:
    """Return text for one line of a terminal or a table: control characters (a newline, an escape) are written out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def load_document(load: Load, done: LoadResult) -> Document:
    """Show what a load did; each refused row's reason is a line of its own."""
    item = {
        "name": load.name,
        "source": _text(load.source),
        "format": load.kind,
        "replaced": load.replace,
        "rows": done.rows,
        "refused": done.refused,
        "reasons": [_text(reason) for reason in done.reasons],
    }
    columns = [
        Column("name", "Table"),
        Column("rows", "Rows", "number"),
        Column("refused", "Refused", "number"),
        Column("source", "Source"),
    ]
    reasons = tuple(Text(_line(reason)) for reason in done.reasons)
    return Document("DataLoad", [item], (Table(columns, [item | {"source": _line(load.source)}]), *reasons))


def load_plan(load: Load, there: bool, source: SourceSize) -> Document:
    """Show what a load would do, and with how much."""
    action = ("replace" if load.replace else "append") if there else "create"
    item: dict[str, object] = {"name": load.name, "action": action, "source": _text(load.source), "format": load.kind}
    item |= {"files": source.files, "size": source.size}
    columns = [
        Column("action", "Action"),
        Column("name", "Table"),
        Column("source", "Source"),
        Column("format", "Format"),
        Column("files", "Files", "number"),
        Column("size", "Size", "bytes"),
    ]
    return Document("DataLoadPlan", [item], (Table(columns, [item | {"source": _line(load.source)}]),))


def query_document(result: QueryResult) -> Document:
    """Show the rows of a query: exact numbers as text in JSON, NULL as null, bytes in base64; a second column of one name gets a number."""
    names = _unique(result.columns)
    items = [dict(zip(names, map(_value, row), strict=True)) for row in result.rows]
    lines = [{name: _line(value) if isinstance(value, str) else value for name, value in item.items()} for item in items]
    columns = [Column(name, _line(name)) for name in names]
    return Document("DataQuery", items, (Table(columns, lines, empty="no rows"),), name_key=names[0] if names else "name")


def query_note(result: QueryResult) -> str:
    """Say how much came, and how much was read for it where the engine tells."""
    read = f"; {size_text(result.scanned_bytes)} read" if result.scanned_bytes else ""
    return f"{counted(len(result.rows), 'row')}{read}"


def _unique(columns: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in columns:
        number, free = 2, name
        while free in found:
            number, free = number + 1, f"{name}_{number}"
        found.append(free)
    return found


def _value(value: object) -> object:
    """Return a value of a warehouse as one that every output can show, and lose nothing of it."""
    if value is None or isinstance(value, bool | int | Decimal):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value if value.tzinfo else value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | time) else str(value)
