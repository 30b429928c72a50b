"""The document of the evidence log: where each request to a residency route went, and which were refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.core.view import Column, Document, State, Table

COLUMNS = (
    Column("at", "When", "time"),
    Column("request_id", "Request"),
    Column("route", "Route"),
    Column("asked", "Asked for"),
    Column("region", "Held to"),
    Column("backend", "Backend"),
    Column("backend_region", "Its region"),
    Column("status", "Status", "state"),
)


def evidence(lines: Sequence[Mapping[str, Any]]) -> Document:
    """Show evidence lines, the oldest first; `Held to` is the region whose backends alone could be asked."""
    items = [{"name": line["request_id"], **line} for line in lines]
    rows = [{**item, "status": State(str(item["status"]), "ok" if int(item["status"] or 0) < 400 else "bad")} for item in items]
    return Document("RouteEvidence", items, (Table(COLUMNS, rows, empty="no request to a residency route yet"),))
