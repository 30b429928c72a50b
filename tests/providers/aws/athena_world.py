"""An Athena for the tests: its API on the stub of its model, its catalogue the Glue of moto, its tables' files in the S3 of moto, and
DuckDB in Trino's place. What DuckDB takes for SQL is not what Athena takes: types, quoting, casts and errors are checked, the dialect
is not.
"""

import json
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import duckdb

from mcml.providers.focus import records
from mcml.testing.stubs.aws_model import AwsError, AwsModel

_CTAS = re.compile(r"CREATE TABLE \"(\w+)\"\.\"(\w+)\" WITH \(format = 'PARQUET', external_location = 's3://([^/]+)/([^']+)'\) AS (.*)", re.S)  # noqa: E501
_INSERT = re.compile(r"INSERT INTO \"(\w+)\"\.\"(\w+)\" (\(.*?\)) (.*)", re.S)
_TYPES = {"BIGINT": "bigint", "HUGEINT": "bigint", "INTEGER": "integer", "DOUBLE": "double", "BOOLEAN": "boolean", "DATE": "date"}
_TYPES |= {"VARCHAR": "varchar", "TIMESTAMP": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamp with time zone"}
HIVE = {"varchar": "string", "integer": "int"}


class AthenaWorld:
    """Runs statements at once and keeps their answers; `begun` counts the queries that were really begun."""

    def __init__(self, stub: AwsModel, moto_url: str, *, page: int = 2) -> None:
        where = {"endpoint_url": moto_url, "region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.s3, self.glue = boto3.client("s3", **where), boto3.client("glue", **where)
        self.page, self.begun = page, 0
        self.polls: dict[str, int] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        stub.on("athena", "StartQueryExecution", self.start)
        stub.on("athena", "GetQueryExecution", self.state)
        stub.on("athena", "GetQueryResults", self.results)

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            token = asked["ClientRequestToken"]
            if token not in self._tokens:
                self.begun += 1
                self._tokens[token] = f"query-{self.begun}"
                self._done[self._tokens[token]] = self._run(asked)
            return {"QueryExecutionId": self._tokens[token]}

    def state(self, asked: dict[str, Any]) -> dict[str, Any]:
        done, named = self._done[asked["QueryExecutionId"]], asked["QueryExecutionId"]
        self.polls[named] = self.polls.get(named, 0) + 1
        status = {"State": "RUNNING"} if self.polls[named] == 1 else done["status"]
        statistics = {"Statistics": {"DataScannedInBytes": done.get("scanned", 0)}}
        return {"QueryExecution": {"QueryExecutionId": named, "Status": status, "StatementType": done["type"], **statistics}}

    def results(self, asked: dict[str, Any]) -> dict[str, Any]:
        done, at = self._done[asked["QueryExecutionId"]], int(asked.get("NextToken", "0"))
        more = {"NextToken": str(at + self.page)} if at + self.page < len(done["rows"]) else {}
        columns = [{"Name": name, "Type": kind, "Label": name} for name, kind in done["columns"]]
        cells = [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in done["rows"][at : at + self.page]]
        return {"UpdateCount": done["written"], "ResultSet": {"Rows": cells, "ResultSetMetadata": {"ColumnInfo": columns}}, **more}

    def _run(self, asked: dict[str, Any]) -> dict[str, Any]:
        sql = asked["QueryString"]
        if ";" in re.sub(r"'(?:[^']|'')*'", "", sql):
            raise AwsError("InvalidRequestException", "Only one sql statement is allowed")
        for text in asked.get("ExecutionParameters", ()):
            sql = sql.replace("?", text, 1)
        done = {"type": "DML", "columns": [], "rows": [], "written": 0, "status": {"State": "SUCCEEDED"}}
        try:
            with duckdb.connect() as connection:
                done |= self._answer(connection, sql)
        except duckdb.Error as failed:
            error = {"ErrorCategory": 2, "Retryable": False}
            done["status"] = {"State": "FAILED", "StateChangeReason": reason(str(failed)), "AthenaError": error}
        return done

    def _answer(self, connection: Any, sql: str) -> dict[str, Any]:
        connection.execute("SET TimeZone = 'UTC'")
        scanned = self._lay_tables(connection)
        if made := _CTAS.fullmatch(sql.strip()):
            database, table, bucket, prefix, body = made.groups()
            if self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("KeyCount"):
                raise duckdb.Error("HIVE_PATH_ALREADY_EXISTS")
            written = self._write(connection, body, bucket, prefix)
            columns = [{"Name": name.lower(), "Type": HIVE.get(kind, kind)} for name, kind in described(connection, body, full=True)]
            place = {"Columns": columns, "Location": f"s3://{bucket}/{prefix}", "SerdeInfo": {"SerializationLibrary": "parquet"}}
            entry = {"Name": table, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": place}
            self.glue.create_table(DatabaseName=database, TableInput=entry)
            return {"type": "DDL", "written": written}
        if made := _INSERT.fullmatch(sql.strip()):
            database, table, names, body = made.groups()
            found = self.glue.get_table(DatabaseName=database, Name=table)["Table"]["StorageDescriptor"]
            wanted = [name.strip().strip('"').lower() for name in names.strip("()").split(",")]
            has = {one["Name"] for one in found["Columns"]}
            if set(wanted) - has:
                raise duckdb.Error(f"COLUMN_NOT_FOUND: Insert column name does not exist: {sorted(set(wanted) - has)[0]}")
            bucket, _, prefix = found["Location"].removeprefix("s3://").partition("/")
            return {"written": self._write(connection, body, bucket, prefix)}
        found_columns = described(connection, sql)
        cells = connection.execute(sql).fetchall()
        rows: list[list[str | None]] = [[None if cell is None else said(cell) for cell in row] for row in cells]
        return {"columns": found_columns, "rows": [[name for name, _ in found_columns], *rows], "scanned": scanned}

    def _write(self, connection: Any, body: str, bucket: str, prefix: str) -> int:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "part.parquet"
            (count,) = connection.execute(f"COPY ({body}) TO '{file}' (FORMAT parquet)").fetchone()
            self.s3.put_object(Bucket=bucket, Key=f"{prefix}part-{self.begun}.parquet", Body=file.read_bytes())
        return int(count)

    def _lay_tables(self, connection: Any) -> int:
        scanned = 0
        for database in self.glue.get_databases()["DatabaseList"]:
            connection.execute(f'CREATE SCHEMA "{database["Name"]}"')
            for table in self.glue.get_tables(DatabaseName=database["Name"])["TableList"]:
                place = table["StorageDescriptor"]
                bucket, _, prefix = place["Location"].removeprefix("s3://").partition("/")
                keys = [one["Key"] for one in self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]
                bodies = [(key, self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]
                scanned += sum(len(body) for _, body in bodies)
                self._lay(connection, f'"{database["Name"]}"."{table["Name"]}"', place, bodies)
        return scanned

    def _lay(self, connection: Any, name: str, place: dict[str, Any], bodies: list[tuple[str, bytes]]) -> None:
        columns = [one["Name"] for one in place["Columns"]]
        kinds = [{"string": "VARCHAR", "int": "INTEGER"}.get(one["Type"], one["Type"]) for one in place["Columns"]]
        named = ", ".join(f'"{column}" {kind}' for column, kind in zip(columns, kinds, strict=True))
        connection.execute(f"CREATE TABLE {name} ({named})")
        library = place["SerdeInfo"]["SerializationLibrary"]
        for key, body in bodies:
            if library == "parquet":
                with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                    Path(file.name).write_bytes(body)
                    connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM read_parquet('{file.name}')")
                continue
            if "OpenCSV" in library:
                rows: list[list[str | None]]
                escape = place["SerdeInfo"]["Parameters"]["escapeChar"]  # of it the reader keeps only what it escapes
                found = records([body], key, gzipped=key.endswith(".gz"))
                rows = [[value.replace(escape, "") for value in row.values()] for row in found]  # by place
            else:
                objects = [json.loads(line) for line in body.splitlines() if line.strip()]
                rows = [[None if one.get(column) is None else str(one[column]) for column in columns] for one in objects]
            if rows:
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)


def described(connection: Any, sql: str, *, full: bool = False) -> list[tuple[str, str]]:
    """The columns of a SELECT, in Athena's words; with `full` a decimal has its digits."""
    found = []
    for name, kind, *_ in connection.execute(f"DESCRIBE {sql}").fetchall():
        plain = kind.partition("(")[0]
        found.append((name, kind.lower().replace(" ", "") if plain == "DECIMAL" and full else _TYPES.get(plain, plain.lower())))
    return found


def said(cell: Any) -> str:
    if hasattr(cell, "tzinfo"):
        return f"{cell:%Y-%m-%d %H:%M:%S.%f}"[:-3] + (" UTC" if cell.tzinfo else "")
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def reason(text: str) -> str:
    """DuckDB's complaint in Athena's words."""
    if found := re.search(r"(Table|Schema) with name (\w+) does not exist", text):
        return f"{found[1].upper()}_NOT_FOUND: line 1:15: {found[1]} 'awsdatacatalog.{found[2]}' does not exist"
    if "Conversion" in text:
        return f"INVALID_CAST_ARGUMENT: {text}"
    return f"SYNTAX_ERROR: {text}"


@contextmanager
def router(athena_url: str, moto_url: str) -> Iterator[str]:
    """One address for both: what is for Athena goes to its stub, all else to moto."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            to = urlsplit(athena_url if self.headers.get("X-Amz-Target", "").startswith("AmazonAthena") else moto_url)
            upstream = HTTPConnection(to.hostname or "", to.port, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, text)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            upstream.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads, block_on_close = True, False
        address_family = socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: a client that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
