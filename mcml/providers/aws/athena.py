"""Athena's queries: begun under a token of our own, waited for, their failures in our words, their rows page by page.

https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
A begin that is repeated because its answer was lost finds the query that it began before (`ClientRequestToken`). Values go into the places
of `?` as literals (`ExecutionParameters`); Athena knows no named parameters, so `@name` is written as `?` here.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from mcml.core.errors import InvalidRequest, McmlError, NotFound, StillRunning, Unavailable
from mcml.providers.aws.session import Session

QUERY_SECONDS = 600.0
STOP_SECONDS = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.1, 3.0
PAGE_ROWS = 1000
READS = frozenset(("select", "with", "values", "table", "show", "describe"))
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|@[A-Za-z_]\w*|.", re.DOTALL)
_MISSING = re.compile(r"(TABLE|SCHEMA|DATABASE|CATALOG)_NOT_FOUND|EntityNotFoundException", re.IGNORECASE)
Values = Mapping[str, object] | Sequence[object]


@dataclass(frozen=True)
class Answer:
    """A finished query: its columns (name, type), the bytes it read, rows that it wrote, and what fetches the rows it found."""

    columns: tuple[tuple[str, str], ...]
    scanned_bytes: int | None
    written: int
    rows: Callable[[], Iterator[tuple[object, ...]]]


def prepare(sql: str, given: Values) -> tuple[str, list[str]]:
    """Return a statement with `?` only, and the literals for them. Raises InvalidRequest for what is no single reading statement."""
    parts = _TOKEN.findall(sql)
    code = [" " if part.startswith(("--", "/*")) else part for part in parts]  # a comment parts words, as a space does
    first = re.match(r"[\s(]*([a-z]+)", "".join(code).lower())
    if first is None or first[1] not in READS or ";" in "".join(part for part in code if part[0] not in "'\"").strip().rstrip(";"):
        why = "a query is one SELECT (or WITH, VALUES, SHOW, DESCRIBE)"
        raise InvalidRequest("this is not for a query", why=why, next_step="mcml data load --help")
    named = [part[1:] for part in code if part.startswith("@")]
    if isinstance(given, Mapping):
        missing = [name for name in named if name not in given]
        if missing:
            raise InvalidRequest("the query failed", why=f"no value is given for @{missing[0]}")
        values: list[object] = [given[name] for name in named]
    else:
        values = list(given)
        places = code.count("?")
        if len(values) != places:
            raise InvalidRequest("the query failed", why=f"it has {places} ? for {len(values)} values")
    text = "".join("?" if part.startswith("@") and isinstance(given, Mapping) else part for part in code)
    return text.strip().rstrip(";").strip(), [literal(value) for value in values]


def literal(value: object) -> str:
    """Return a value as a literal of Athena's SQL. Raises InvalidRequest for what has none."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return f"DECIMAL '{value:f}'"
    if isinstance(value, float):
        return f"DOUBLE '{value!r}'"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}{' UTC' if value.tzinfo else ''}'"
    if isinstance(value, date):
        return f"DATE '{value:%Y-%m-%d}'"
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "''"))
    raise InvalidRequest("the query failed", why=f"{type(value).__name__} is no value of a parameter")


def run(
    session: Session, doing: str, sql: str, literals: Sequence[str] = (), take_back: Callable[[str], None] | None = None
) -> Answer:
    """Run a statement and return its answer, of which no row was fetched yet.

    Raises InvalidRequest with Athena's words, NotFound for a table or data set that is not there, NotAuthenticated, Unavailable,
    StillRunning after `QUERY_SECONDS` (the query is stopped then, as it is when somebody interrupts). What a failed or stopped statement
    has written Athena leaves where it is: `take_back` is given the manifest that lists it, as soon as the query is over.
    """
    asked: dict[str, Any] = {"QueryString": sql, "ClientRequestToken": f"mcml-{uuid.uuid4().hex}"}
    settings = session.settings
    asked |= {"ExecutionParameters": list(literals)} if literals else {}
    asked |= {"ResultConfiguration": {"OutputLocation": settings.athena_output}} if settings.athena_output else {}
    asked |= {"WorkGroup": settings.athena_workgroup} if settings.athena_workgroup else {}
    try:
        named = session.call(doing, lambda: session.client("athena").start_query_execution(**asked))["QueryExecutionId"]
    except InvalidRequest as refused:
        if "output" in str(refused.why).lower():
            refused.next_step = 'set athena_output = "s3://BUCKET/PREFIX/" in [providers.aws] of mcml.toml to a bucket of this region'
        raise
    try:
        done = _wait(session, doing, named, take_back)
    except KeyboardInterrupt:  # it is billed for what it scans, also when nobody waits for it
        with suppress(McmlError):
            session.call(doing, lambda: session.client("athena").stop_query_execution(QueryExecutionId=named))
        raise
    scanned = done.get("Statistics", {}).get("DataScannedInBytes")
    first = session.call(doing, partial(_page, session, named, ""))
    columns = tuple((one["Name"], one["Type"]) for one in first["ResultSet"].get("ResultSetMetadata", {}).get("ColumnInfo", ()))
    headed = done.get("StatementType", "DML") == "DML"  # the first row of a SELECT's answer is the names
    return Answer(columns, scanned, int(first.get("UpdateCount", 0)), partial(_rows, session, doing, named, first, columns, headed))


def _wait(session: Session, doing: str, named: str, take_back: Callable[[str], None] | None) -> Mapping[str, Any]:
    until, pause = time.monotonic() + QUERY_SECONDS, FIRST_WAIT
    late: StillRunning | None = None
    while True:
        answer = session.call(doing, lambda: session.client("athena").get_query_execution(QueryExecutionId=named))
        done: Mapping[str, Any] = answer["QueryExecution"]
        state = done["Status"]["State"]
        if state == "SUCCEEDED":
            return done
        if state in ("FAILED", "CANCELLED"):
            failed = late if late is not None and state == "CANCELLED" else failure(doing, done["Status"])
            raise _taken_back(failed, done.get("Statistics", {}).get("DataManifestLocation", ""), take_back)
        if time.monotonic() > until:
            if late is not None:
                late.why += f"; {STOP_SECONDS:g} s later it was not over, and what it has written is not taken back"
                raise late
            session.call(doing, lambda: session.client("athena").stop_query_execution(QueryExecutionId=named))
            why = f"query {named} still ran after {QUERY_SECONDS:g} s and was stopped"
            late, until, pause = StillRunning(doing, why=why, next_step="ask for less"), time.monotonic() + STOP_SECONDS, FIRST_WAIT
            if take_back is None:
                raise late
        session.policy.sleep(pause)
        pause = min(LONGEST_WAIT, pause * 1.5)


def failure(doing: str, status: Mapping[str, Any]) -> McmlError:
    """Return what a failed query means, with Athena's own words."""
    error = status.get("AthenaError", {})
    why = str(status.get("StateChangeReason") or error.get("ErrorMessage") or f"Athena says {status['State']}")[:500]
    if _MISSING.search(why):
        return NotFound(doing, why=why)
    if error.get("Retryable") or error.get("ErrorCategory") == 1:
        return Unavailable(doing, why=why)
    return InvalidRequest(doing, why=why)


def _taken_back(failed: McmlError, manifest: str, take_back: Callable[[str], None] | None) -> McmlError:
    if take_back is not None and manifest:
        try:
            take_back(manifest)
        except McmlError as left:
            failed.why = f"{failed.why}; what it had written by then, listed in {manifest}, is not taken back: {left.why or left.message}"
    return failed


def _page(session: Session, named: str, token: str) -> Mapping[str, Any]:
    more = {"NextToken": token} if token else {}
    answer: Mapping[str, Any] = session.client("athena").get_query_results(QueryExecutionId=named, MaxResults=PAGE_ROWS, **more)
    return answer


def _rows(
    session: Session, doing: str, named: str, page: Mapping[str, Any], columns: Sequence[tuple[str, str]], headed: bool
) -> Iterator[tuple[object, ...]]:
    skip = int(headed)
    while True:
        for row in page["ResultSet"].get("Rows", ())[skip:]:
            yield tuple(value(kind, cell.get("VarCharValue")) for (_, kind), cell in zip(columns, row["Data"], strict=True))
        if not page.get("NextToken"):
            return
        page, skip = session.call(doing, partial(_page, session, named, page["NextToken"])), 0


def value(kind: str, text: str | None) -> object:
    """Return a cell as a plain value: whole numbers, Decimal, float for what is binary, times, else the text. None is NULL."""
    if text is None:
        return None
    if kind in ("tinyint", "smallint", "integer", "int", "bigint"):
        return int(text)
    if kind == "decimal":
        return Decimal(text)
    if kind in ("double", "float", "real"):
        return float(text)
    if kind == "boolean":
        return text == "true"
    if kind == "date":
        return date.fromisoformat(text)
    if kind == "timestamp":
        return datetime.fromisoformat(text)
    if kind == "timestamp with time zone" and text.endswith(" UTC"):
        return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
    return text
