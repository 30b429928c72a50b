"""Documents about the access log."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.core.view import Column, Document, Level, State, Table

COLUMNS = (
    Column("at", "At"),
    Column("status", "Status", "state"),
    Column("ms", "ms", "number"),
    Column("route", "Route"),
    Column("key", "Key"),
    Column("backend", "Backend"),
    Column("attempts", "Tries", "number"),
    Column("method", "Method"),
    Column("path", "Path"),
    Column("details", "Details"),
)


def requests(entries: Sequence[Mapping[str, Any]]) -> Document:
    """Show requests, the oldest first; the items are the lines of the log as they are."""
    rows = [{**entry, "status": _status(entry), "details": _details(entry)} for entry in entries]
    return Document("RouteLog", entries, (Table(COLUMNS, rows, empty="no request of this kind is in the log"),), name_key="request_id")


def line(entry: Mapping[str, Any]) -> str:
    """Write one request as a line of text."""
    who = [entry.get(name) or "-" for name in ("route", "key", "backend")]
    what = [f"tries={entry.get('attempts', 0)}", entry.get("method"), entry.get("path"), _details(entry)]
    return "  ".join(str(part) for part in (entry.get("at"), _status(entry).text, f"{entry.get('ms', '-')}ms", *who, *what)).rstrip()


def _status(entry: Mapping[str, Any]) -> State:
    status = int(entry.get("status") or 0)
    level: Level = "ok" if 0 < status < 400 else "warn" if 400 <= status < 500 else "bad"
    return State(str(status or "none"), level)


def _details(entry: Mapping[str, Any]) -> str:
    """What Envoy says about how a request ended; nothing where a backend just answered it."""
    details = str(entry.get("details") or "")
    return "" if details == "via_upstream" else details
