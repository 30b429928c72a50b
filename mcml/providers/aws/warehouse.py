"""Warehouse on Athena: tables in the Glue catalogue over Parquet in S3, loaded and asked with Athena's SQL.

https://docs.aws.amazon.com/athena/latest/ug/ctas.html. A load copies the files (inside S3) into a folder of its own below
`athena_output`, lays an external table of texts over them, and has Athena write them as Parquet: CREATE TABLE AS for a new table, INSERT
INTO for one that is there; with `replace` the new data is written beside the old and the catalogue is turned over to it in one change.
What was only for the load is taken away at its end. Athena bills what it scans; `scanned_bytes` says how much.

The types of CSV and JSON come from the beginning of the files: whole numbers, decimals, else text; a value that does not fit refuses the
load. Parquet cannot be loaded: the SDK does not tell its columns, and a table over it is a matter of a Glue crawler.
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

from botocore.exceptions import ClientError

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, Usage
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml.providers.api.warehouse import Dataset, LoadResult, QueryResult, SourceSize, Warehouse
from mcml.providers.aws import athena
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.warehouse_sources import EMPTY, SourceFile, find_sources, look, type_of
from mcml.providers.resilience import Policy

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_JSON = "org.openx.data.jsonserde.JsonSerDe"
NO_ESCAPE = "\u0001"
"""What no text holds: with its own default Athena's reader of CSV takes every backslash away (quotes are doubled, as RFC 4180 has it)."""


def open_warehouse(ctx: ProviderContext) -> Warehouse:
    """Return Athena in the region of the target."""
    return AthenaWarehouse(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AthenaWarehouse:
    """Data sets are the databases of the Glue catalogue; names are in small letters there."""

    session: Session

    def measure(self, source: str, kind: Literal["csv", "json", "parquet"]) -> SourceSize:
        """Look at the objects that a load would read. Raises NotFound, InvalidRequest."""
        found = self._find(source, kind)
        return SourceSize(len(found), sum(stat.size for stat in found))

    def load(self, dataset: str, table: str, source: str, kind: Literal["csv", "json", "parquet"], *, replace: bool = False) -> LoadResult:
        """Load `s3://` files (wildcards in the last part) into a table, which is made when it is new: all rows, or none.

        Columns go by name, in CSV by the first line of each file. Raises NotFound, InvalidRequest, Usage without `athena_output`.
        """
        for what, name in (("data set", dataset), ("table", table)):
            if not _NAME.fullmatch(name):
                raise InvalidRequest(f"{name!r} is no name for a {what}", why="it takes letters, digits and '_', a letter first")
        dataset, table = dataset.lower(), table.lower()
        found = self._find(source, kind)
        bucket, prefix = self._output
        files = [look(self._store, stat, kind) for stat in found]
        self._make_database(dataset)
        load = Load(self.session, self._store, dataset, table, kind, bucket, f"{prefix}mcml-load-{uuid.uuid4().hex}")
        with load.staged(files) as selects:
            return LoadResult(load.write(files, selects, replace=replace))

    def query(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> QueryResult:
        """Run one SELECT; parameters are `@name` or `?`, and stand where values of a WHERE can.

        Raises InvalidRequest with Athena's words, NotFound for a table that is not there.
        """
        text, literals = athena.prepare(sql, parameters)
        answer = athena.run(self.session, "the query failed", text, literals)
        return QueryResult(tuple(name for name, _ in answer.columns), tuple(answer.rows()), answer.scanned_bytes)

    def estimate(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> int | None:  # noqa: ARG002 - not told
        """None: Athena tells the bytes when it has read them."""
        return None

    def datasets(self, name: str = "") -> list[Dataset]:
        """Return the databases of the catalogue with their tables, by name; or that of one name."""

        def tables(database: str) -> tuple[str, ...] | None:
            try:
                return tuple(sorted(self._names("get_tables", "TableList", DatabaseName=database)))
            except NotAuthenticated:  # one that is not for us to see hides no other
                if name:
                    raise
                return None

        names = sorted(self._names("get_databases", "DatabaseList"))
        return [Dataset(one, tables(one)) for one in names if name.casefold() in ("", one.casefold())]

    def _find(self, source: str, kind: str) -> list[ObjectStat]:
        found = find_sources(self._store, source)
        if kind == "parquet":
            step = "lay a table over it with a Glue crawler: aws glue create-crawler --database-name DATASET --targets ..."
            raise InvalidRequest(f"cannot load {source}", why="Parquet is not loaded into Athena from here", next_step=step)
        return found

    @cached_property
    def _store(self) -> S3ObjectStore:
        return S3ObjectStore(self.session)

    @property
    def _output(self) -> tuple[str, str]:
        bucket, _, prefix = self.session.settings.athena_output.removeprefix("s3://").partition("/")
        if not bucket:
            step = 'set athena_output = "s3://BUCKET/PREFIX/" in [providers.aws] of mcml.toml'
            raise Usage("Athena has no place to load into", why="its tables lie in S3", next_step=step)
        return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def _names(self, operation: str, member: str, **asked: Any) -> Iterator[str]:
        return (one["Name"] for one in paged(self.session, "cannot list what the catalogue has", "glue", operation, member, **asked))

    def _make_database(self, name: str) -> None:
        _once(self.session, f"cannot make the data set {name}", lambda glue: glue.create_database(DatabaseInput={"Name": name}))


@dataclass(frozen=True)
class Load:
    """One load: its place in S3, and the names of what it makes in the catalogue for a while."""

    session: Session
    store: S3ObjectStore
    dataset: str
    table: str
    kind: str
    bucket: str
    folder: str

    @contextmanager
    def staged(self, files: Sequence[SourceFile]) -> Iterator[list[str]]:
        """Copy the files, lay tables over them, and give a SELECT of texts for each list of columns; take all away at the end."""
        groups: dict[tuple[str, ...], list[SourceFile]] = {}
        for file in files:
            groups.setdefault(file.columns, []).append(file)
        made: list[str] = []
        try:
            for number, (columns, members) in enumerate(groups.items()):
                place, name = f"{self.folder}/in{number}", self._stage(number)
                for index, file in enumerate(members):
                    self._copy(file, f"{place}/{index}-{file.stat.key.rpartition('/')[2]}")
                made.append(name)
                self._lay(name, place, columns)
            yield [f'"{self.dataset}"."{name}"' for name in made]
        finally:
            for name in made:
                self._forget(name)
            self._sweep(f"{self.folder}/in")

    def write(self, files: Sequence[SourceFile], tables: Sequence[str], *, replace: bool) -> int:
        """Have Athena write the rows; returns how many. Raises InvalidRequest for a value that does not fit; nothing is changed then."""
        columns = list(dict.fromkeys(column for file in files for column in file.columns))
        shapes = [dict(zip(file.columns, file.shapes, strict=True)) for file in files]
        types = {column: type_of(has.get(column, EMPTY) for has in shapes) for column in columns}
        old = self._described()
        if old is not None and not replace:
            types |= _types_of(old, columns)
        groups = list(dict.fromkeys(file.columns for file in files))
        selects = [self._select(columns, types, has, name) for has, name in zip(groups, tables, strict=True)]
        body, target = " UNION ALL ".join(selects), f'"{self.dataset}"."{self.table}"'
        doing = f"cannot load into {self.dataset}.{self.table}"
        if old is None:
            return self._create(doing, target, body)
        if not replace:
            listed = ", ".join(f'"{column}"' for column in columns)
            take_back = partial(self._take_back, str(old["StorageDescriptor"].get("Location", "")))
            return athena.run(self.session, doing, f"INSERT INTO {target} ({listed}) {body}", take_back=take_back).written
        rows = self._create(doing, f'"{self.dataset}"."{self._stage("new")}"', body)
        self._turn_over(old)
        return rows

    def _create(self, doing: str, target: str, body: str) -> int:
        place = f"s3://{self.bucket}/{self.folder}/data/"
        sql = f"CREATE TABLE {target} WITH (format = 'PARQUET', external_location = '{place}') AS {body}"
        try:
            return athena.run(self.session, doing, sql, take_back=lambda _: None).written  # by the sweep, when the query is over
        except McmlError:
            self._sweep(f"{self.folder}/data/")  # Athena leaves what it wrote before it failed
            raise

    def _take_back(self, location: str, manifest: str) -> None:
        """Delete what a failed INSERT wrote, or was about to: it lies in the table's folder, where every query would read it.

        https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html (the data manifest).
        """
        for line in b"".join(self.store.read(*_place(manifest))).decode().splitlines():
            file = line.strip().strip('"')
            if location and file.startswith(f"{location.rstrip('/')}/"):
                self.store.delete(*_place(file))

    def _select(self, columns: Sequence[str], types: Mapping[str, str], has: Sequence[str], table: str) -> str:
        def cell(column: str) -> str:
            if column not in has:
                return f'CAST(NULL AS {types[column]}) AS "{column}"'
            text = f"NULLIF(\"{column}\", '')"
            return f'{text} AS "{column}"' if types[column] == "varchar" else f'CAST({text} AS {types[column]}) AS "{column}"'

        return f"SELECT {', '.join(map(cell, columns))} FROM {table}"  # noqa: S608 - checked names

    def _stage(self, which: object) -> str:
        return f"mcml_load_{self.folder.rpartition('-')[2]}_{which}"

    def _copy(self, file: SourceFile, key: str) -> None:
        name = f"s3://{file.stat.bucket}/{file.stat.key}"
        source = {"Bucket": file.stat.bucket, "Key": file.stat.key}
        self.session.call(f"cannot copy {name}", lambda: self.session.client("s3").copy(source, self.bucket, key))

    def _lay(self, name: str, place: str, columns: Sequence[str]) -> None:
        serde: dict[str, Any] = {"SerializationLibrary": _JSON}
        if self.kind == "csv":
            serde_parameters = {"separatorChar": ",", "quoteChar": '"', "escapeChar": NO_ESCAPE}
            serde = {"SerializationLibrary": _CSV, "Parameters": serde_parameters}
        table = {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE"} | ({"skip.header.line.count": "1"} if self.kind == "csv" else {}),
            "StorageDescriptor": {
                "Columns": [{"Name": column.lower(), "Type": "string"} for column in columns],
                "Location": f"s3://{self.bucket}/{place}/",
                "InputFormat": _INPUT,
                "OutputFormat": _OUTPUT,
                "SerdeInfo": serde,
            },
        }
        _once(self.session, "cannot prepare the load", lambda glue: glue.create_table(DatabaseName=self.dataset, TableInput=table))

    def _described(self) -> Mapping[str, Any] | None:
        def get() -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = self.session.client("glue").get_table(DatabaseName=self.dataset, Name=self.table)["Table"]
            except ClientError as failed:
                if code_of(failed) == "EntityNotFoundException":
                    return None
                raise
            return found

        return self.session.call(f"cannot look at {self.dataset}.{self.table}", get)

    def _turn_over(self, old: Mapping[str, Any]) -> None:
        """Give the table the columns and the place of the new data, in one change of the catalogue; then take the old data away."""
        doing, stage = f"cannot replace {self.dataset}.{self.table}", self._stage("new")
        new = self.session.call(doing, lambda: self.session.client("glue").get_table(DatabaseName=self.dataset, Name=stage)["Table"])
        kept = {name: new[name] for name in ("StorageDescriptor", "Parameters", "TableType") if name in new}
        table = {"Name": self.table, **kept}
        self.session.call(doing, lambda: self.session.client("glue").update_table(DatabaseName=self.dataset, TableInput=table))
        self._forget(stage)
        bucket, _, key = str(old["StorageDescriptor"].get("Location", "")).removeprefix("s3://").partition("/")
        if bucket == self.bucket and "mcml-load-" in key:  # what another tool made is not ours to take away
            self._sweep(key)

    def _forget(self, name: str) -> None:
        def delete() -> None:
            try:
                self.session.client("glue").delete_table(DatabaseName=self.dataset, Name=name)
            except ClientError as failed:
                if code_of(failed) != "EntityNotFoundException":
                    raise

        self.session.call(f"cannot take away {self.dataset}.{name}", delete)

    def _sweep(self, prefix: str) -> None:
        for stat in list(self.store.list(self.bucket, prefix)):
            self.store.delete(self.bucket, stat.key)


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _types_of(table: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Return the types that a table's columns have, in the words of Athena's SELECT."""
    found = {one["Name"]: one["Type"] for one in table["StorageDescriptor"].get("Columns", ())}
    spelled = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}
    return {column: spelled.get(found[column.lower()], found[column.lower()]) for column in columns if column.lower() in found}


def _once(session: Session, doing: str, make: Any) -> None:
    """Make something in the catalogue; what is there already was made by somebody else, or by the try before."""

    def call() -> None:
        try:
            make(session.client("glue"))
        except ClientError as failed:
            if code_of(failed) != "AlreadyExistsException":
                raise

    session.call(doing, call)
