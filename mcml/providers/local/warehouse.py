"""A warehouse on this machine: one DuckDB file, `root/warehouse/_warehouse.duckdb`; a data set is a schema of it.

DuckDB lets one process write, or several read. Who comes at a bad moment waits a little and then gets Conflict with the holder's pid.
A query runs on a read-only connection that reaches no file and no network and cannot change its settings: SQL from a stranger reads the
tables, and nothing else of this machine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import duckdb
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.api.warehouse import Dataset, LoadResult, QueryResult, SourceSize, Warehouse
from mcml.providers.local.layout import root_of
from mcml.providers.local.warehouse_sources import SourceFile, find_sources

BUSY_SECONDS = 3.0
MOST_REASONS = 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_TAKEN = frozenset({"main", "temp", "system", "information_schema", "pg_catalog"})
LIST_TABLES = "mcml data query 'select table_schema, table_name from information_schema.tables'"
_SETTINGS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
}
_WALLED = {**_SETTINGS, "enable_external_access": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZONED = "TIMESTAMP WITH TIME ZONE"


def open_warehouse(ctx: ProviderContext) -> Warehouse:
    """Return the warehouse below the root."""
    return LocalWarehouse(ctx)


class LocalWarehouse:
    """A DuckDB file; every call opens and closes it, so that others get their turn."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._file = root_of(ctx) / "warehouse" / "_warehouse.duckdb"

    def measure(self, source: str, kind: Literal["csv", "json", "parquet"]) -> SourceSize:  # noqa: ARG002 - any kind from anywhere
        """Look at the files that a load would read. Raises NotFound, InvalidRequest."""
        files = find_sources(self._ctx, source)
        return SourceSize(len(files), sum(file.path.stat().st_size for file in files))

    def load(self, dataset: str, table: str, source: str, kind: Literal["csv", "json", "parquet"], *, replace: bool = False) -> LoadResult:
        """Load files into a table, which is made when it is new: all rows that can be read, or, on any error, none.

        Columns go by name (in CSV the first line says them). CSV rows that do not fit, by too many columns or by text in a column of
        numbers, are counted as refused; JSON and Parquet have no such rows: one that does not fit refuses the load. In CSV and JSON the
        types are the engine's guess, and a number with a fraction becomes DOUBLE; Parquet keeps DECIMAL.
        `source` is a path, a `file://` URI or `local://bucket/key`, with wildcards.
        Raises NotFound, InvalidRequest, Conflict while another process has the warehouse.
        """
        for what, name in (("data set", dataset), ("table", table)):
            if not _NAME.fullmatch(name) or name.lower() in _TAKEN:
                why = "it takes letters, digits and '_', a letter first; some are taken"
                raise InvalidRequest(f"{name!r} is no name for a {what}", why=why)
        files = find_sources(self._ctx, source)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._open(_SETTINGS) as db:
            try:
                db.execute("begin")
                done = _load(db, dataset, table, files, kind, replace)
                db.execute("commit")
            except duckdb.Error as failed:
                raise InvalidRequest(f"cannot load {source} into {dataset}.{table}", why=str(failed).strip()) from failed
        return done

    def query(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> QueryResult:
        """Run one SELECT (or WITH, FROM, VALUES, SHOW, DESCRIBE); parameters are `$name` or `?`. Times with a zone come in UTC.

        Raises InvalidRequest (anything else, or the engine's message), NotFound for a table that is not there, Conflict as `load`.
        """
        given = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
        with self._open_to_read() as db:
            try:
                _check_select(db.extract_statements(sql))
                return _fetch(db, sql, given)
            except duckdb.CatalogException as failed:
                kind = NotFound if re.search(r"(Table|Schema) with name .* does not exist", str(failed)) else InvalidRequest
                raise kind("the query names something that is not there", why=str(failed).strip(), next_step=LIST_TABLES) from failed
            except duckdb.Error as failed:
                raise InvalidRequest("the query failed", why=str(failed).strip(), next_step="mcml data query --help") from failed

    def estimate(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> int | None:  # noqa: ARG002 - not told
        """None: DuckDB tells no bytes."""
        return None

    def datasets(self, name: str = "") -> list[Dataset]:
        """Return the data sets with their tables, by name; or those of one name."""
        with self._open_to_read() as db:
            schemas = db.execute("select schema_name from duckdb_schemas() where not internal order by all").fetchall()
            tables = db.execute("select table_schema, table_name from information_schema.tables order by all").fetchall()
        found = [schema for (schema,) in schemas if name.casefold() in ("", schema.casefold())]
        return [Dataset(schema, tuple(table for owner, table in tables if owner == schema)) for schema in found]

    def _open_to_read(self) -> AbstractContextManager[Any]:
        if self._file.exists():
            return self._open(_WALLED, read_only=True)
        return self._open(_WALLED, file=":memory:")  # nothing was ever loaded

    @contextmanager
    def _open(self, settings: Mapping[str, object], *, read_only: bool = False, file: str = "") -> Iterator[Any]:
        waited = Retrying(
            stop=stop_after_delay(BUSY_SECONDS), wait=wait_random(0.02, 0.2), retry=retry_if_exception(_is_busy), reraise=True
        )
        try:
            opened = waited(duckdb.connect, file or str(self._file), read_only=read_only, config=dict(settings))
        except duckdb.Error as failed:
            if _is_busy(failed):
                raise _held(str(failed)) from failed
            raise McmlError("cannot open the warehouse", why=str(failed).strip(), next_step=f"look at {self._file}") from failed
        try:
            opened.execute("set TimeZone = 'UTC'; set lock_configuration = true")
            yield opened
        finally:
            opened.close()


def _is_busy(failed: BaseException) -> bool:
    return isinstance(failed, duckdb.Error) and any(
        sign in str(failed) for sign in ("Could not set lock", "different configuration", "Unique file handle conflict")
    )


def _held(message: str) -> Conflict:
    holder = re.search(r"held in (\S+) \(PID (\d+)\)", message)
    who = f"process {holder[2]} ({holder[1]})" if holder else "another thread of this process"
    why = f"{who} has it open, for longer than {BUSY_SECONDS:.0f} s"
    return Conflict("the warehouse is in use", why=why, next_step="try again when it has ended")


def _check_select(statements: Sequence[Any]) -> None:
    if len(statements) != 1:
        raise InvalidRequest("a query is one statement", why=f"there are {len(statements)}", next_step="ask them one by one")
    kind = statements[0].type.name
    if kind != "SELECT":
        why = "a query only reads; tables are changed by loading"
        raise InvalidRequest(f"{kind} is not for a query", why=why, next_step="mcml data load --help")


def _fetch(db: Any, sql: str, parameters: object) -> QueryResult:
    db.execute(sql, parameters)
    columns = tuple(column[0] for column in db.description)
    zoned = {number for number, column in enumerate(db.description) if str(column[1]) == _ZONED}
    if zoned:  # the engine needs one more package to hand these out, so they come as microseconds
        names = [f"c{number}" for number in range(len(columns))]
        shown = ", ".join(f"epoch_us({name})" if number in zoned else name for number, name in enumerate(names))
        db.execute(f"select {shown} from ({_without_end(sql)}\n) as t({', '.join(names)})", parameters)  # noqa: S608 - read-only
    rows = (tuple(_moment(value) if number in zoned else value for number, value in enumerate(row)) for row in db.fetchall())
    return QueryResult(columns, tuple(rows))


def _without_end(sql: str) -> str:
    """Return a statement up to its semicolon, which may stand in a text or a comment, too."""
    text = sql.encode()
    ends = [offset for offset, _ in duckdb.tokenize(sql) if text[offset : offset + 1] == b";"]
    return text[: ends[0]].decode() if ends else sql


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _load(db: Any, dataset: str, table: str, files: Sequence[SourceFile], kind: str, replace: bool) -> LoadResult:
    """Load inside a transaction: make the table from all the files when it is new, then fill it; CSV file by file, to count refusals."""
    db.execute(f'create schema if not exists "{dataset}"')
    full = f'"{dataset}"."{table}"'
    if replace or not _columns(db, dataset, table):
        db.execute(f"create or replace table {full} as select * from {_reader(files, kind)} with no data")  # noqa: S608 - checked names
    if kind != "csv":
        return LoadResult(_insert(db, full, _reader(files, kind)))
    known = _columns(db, dataset, table)
    rows = 0
    for one in files:
        found = [name for name, *_ in db.execute(f"describe select * from {_reader([one], kind)}").fetchall()]  # noqa: S608 - quoted values
        types = ", ".join(f"{_quoted(name)}: {_quoted(known[name])}" for name in found if name in known)
        rows += _insert(db, full, f"read_csv({_options([one], kind)}, store_rejects = true, types = {{{types}}})")
    return _refused(db, rows, files)


def _insert(db: Any, table: str, reading: str) -> int:
    (rows,) = db.execute(f"insert into {table} by name select * from {reading}").fetchone()  # noqa: S608 - checked names, quoted values
    return int(rows)


def _columns(db: Any, dataset: str, table: str) -> dict[str, str]:
    asked = "select column_name, data_type from information_schema.columns where lower(table_schema) = ? and lower(table_name) = ?"
    return dict(db.execute(asked, [dataset.lower(), table.lower()]).fetchall())  # the engine's names have no case


def _reader(files: Sequence[SourceFile], kind: str) -> str:
    """Return the table function that reads all the files, their columns by name. Raises InvalidRequest for a kind that it is not."""
    if kind not in ("csv", "json", "parquet"):
        raise InvalidRequest(f"cannot load {kind!r}", why="it must be csv, json or parquet")
    more = ", ignore_errors = true" if kind == "csv" else ""  # a ragged line must not make the engine look for another header
    return f"read_{kind}({_paths(files) if kind == 'parquet' else _options(files, kind)}, union_by_name = true{more})"


def _paths(files: Sequence[SourceFile]) -> str:
    return f"[{', '.join(_quoted(str(one.path)) for one in files)}]"


def _options(files: Sequence[SourceFile], kind: str) -> str:
    compressions = sorted({one.compression for one in files})
    if len(compressions) > 1:
        why = ", ".join(compressions)
        raise InvalidRequest("the files are compressed in different ways", why=why, next_step="load them one by one")
    header = ", header = true, skip = 0" if kind == "csv" else ""
    return f"{_paths(files)}, compression = {_quoted(compressions[0])}{header}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refused(db: Any, rows: int, files: Sequence[SourceFile]) -> LoadResult:
    names = {str(one.path): one.name for one in files}
    found = db.execute(
        "select file_path, line, any_value(error_message) from reject_errors join reject_scans using (scan_id, file_id)"
        " group by file_path, line order by file_path, line"
    ).fetchall()
    reasons = [f"{names.get(path, path)}, line {line}: {message}" for path, line, message in found[:MOST_REASONS]]
    return LoadResult(rows, len(found), tuple(reasons))
