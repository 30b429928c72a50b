"""The warehouse on Google Cloud: BigQuery. Loads are load jobs, which change a table as a whole or not at all; a query is one SELECT.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job. BigQuery bills a query by the bytes that it reads; loads are free.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Literal

from google.cloud.exceptions import NotFound as GoogleNotFound
from requests import RequestException

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.api.warehouse import Dataset, LoadResult, QueryResult, SourceSize, Warehouse
from mcml.providers.gcp import bigquery as jobs
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.warehouse_sources import TABBED, Source, find_source, measure_source
from mcml.providers.resilience import Policy

MOST_ROWS = 1_000_000
PAGE = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}")
FORMATS = {"csv": "CSV", "json": "NEWLINE_DELIMITED_JSON", "parquet": "PARQUET"}


def open_warehouse(ctx: ProviderContext) -> Warehouse:
    """Return BigQuery in the project."""
    return BigQueryWarehouse(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class BigQueryWarehouse:
    """The data sets of one project; new ones are made in `location` (empty: where Google makes them, the US)."""

    def __init__(self, session: Session, location: str = "") -> None:
        self._session = session
        self._location = location

    def measure(self, source: str, kind: Literal["csv", "json", "parquet"]) -> SourceSize:  # noqa: ARG002 - any kind from anywhere
        """Look at the objects, or the file, that a load would read. Raises NotFound, InvalidRequest."""
        return measure_source(self._session, source)

    def load(self, dataset: str, table: str, source: str, kind: Literal["csv", "json", "parquet"], *, replace: bool = False) -> LoadResult:
        """Load `gs://` objects or one file into a table; data set and table are made when they are new. All rows, or none.

        Columns go by name (in CSV the first line says them); the types of a new or replaced table are BigQuery's guess for CSV and JSON.
        No row is ever left out: one that does not fit refuses the load. A try that is repeated because its answer was lost is not
        applied twice; a second call adds the rows a second time. Raises NotFound, InvalidRequest, StillRunning.
        """
        for what, name in (("data set", dataset), ("table", table)):
            if not _NAME.fullmatch(name):
                raise InvalidRequest(f"{name!r} is no name for a {what}", why="it takes letters, digits and '_', no digit first")
        if kind not in FORMATS:
            raise InvalidRequest(f"cannot load {kind!r}", why="it must be csv, json or parquet")
        found = find_source(self._session, source)
        doing = f"cannot load {source} into {dataset}.{table}"
        location = self._make(dataset)
        target = f"{self._session.project()}.{dataset}.{table}"
        config = _load_config(kind, replace, [] if replace else self._schema(target), tabbed=source.lower().endswith(TABBED))
        start = self._from_bucket if found.uri else self._from_file
        job = jobs.begin(self._session, doing, lambda job_id: start(found, target, config, job_id, location), location=location)
        jobs.wait(self._session, doing, job, jobs.LOAD_SECONDS)
        return LoadResult(int(job.output_rows or 0))

    def query(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> QueryResult:
        """Run one SELECT of GoogleSQL; parameters are `@name` or `?`, with the types of their values (a Decimal is NUMERIC).

        NUMERIC and BIGNUMERIC come as Decimal, records as dicts, arrays as lists, times with a zone in UTC, INTERVAL and GEOGRAPHY as
        text. Raises InvalidRequest (anything but a SELECT, BigQuery's message, more than `MOST_ROWS` rows), NotFound.
        """
        if not sql.strip():
            raise InvalidRequest("there is no query", why="the text is empty")
        answer = jobs.ask(self._session, sql, parameters)
        if answer.total > MOST_ROWS:
            why = f"it has {answer.total:,} rows, and a result is held in memory"
            raise InvalidRequest("the result is too large", why=why, next_step="add a LIMIT, or aggregate")
        rows = tuple(row for page in answer.pages() for row in page)
        return QueryResult(tuple(field.name for field in answer.columns), rows, answer.scanned_bytes)

    def estimate(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> int | None:
        """Return the bytes that BigQuery will bill, of its dry run, which costs nothing. Raises InvalidRequest, NotFound."""
        return jobs.look(self._session, sql, parameters).total_bytes_processed  # type: ignore[no-any-return]

    def datasets(self, name: str = "") -> list[Dataset]:
        """Return the data sets of the project with their tables and views, by name; or those of one name, whose case BigQuery minds."""
        session, project = self._session, self._session.project()

        def tables(dataset: str) -> tuple[str, ...] | None:
            doing = f"cannot list the tables of {project}.{dataset}"
            found = self._listed(doing, lambda token: session.bigquery.list_tables(f"{project}.{dataset}", **self._paging(token)))
            try:
                return tuple(sorted(table.table_id for table in found))
            except NotAuthenticated:  # one that is not for us to see hides no other
                if name:
                    raise
                return None

        doing = f"cannot list the data sets of project {project!r}"
        found = self._listed(doing, lambda token: session.bigquery.list_datasets(project, **self._paging(token)))
        return [Dataset(one, tables(one)) for one in sorted(entry.dataset_id for entry in found) if name.casefold() in ("", one.casefold())]

    def _paging(self, token: str | None) -> dict[str, Any]:
        return {"page_token": token, "page_size": PAGE, **self._session.options}

    def _listed(self, doing: str, listing: Any) -> Iterator[Any]:
        """Yield the entries of all pages of a listing; a page that fails is asked for again, and no page before it."""

        def page(token: str | None) -> tuple[list[Any], str | None]:
            asked = listing(token)
            return list(next(asked.pages, ())), asked.next_page_token

        token: str | None = None
        while True:
            found, token = self._session.call(doing, lambda at=token: page(at))  # type: ignore[misc]
            yield from found
            if not token:
                return

    def _make(self, dataset: str) -> str:
        """Make a data set where there is none; return the location of the one there is."""
        from google.cloud import bigquery

        session = self._session
        name = f"{session.project()}.{dataset}"
        look = f"cannot look at data set {name}"
        try:
            return str(session.call(look, lambda: session.bigquery.get_dataset(name, **session.options)).location or "")
        except NotFound:
            wanted = bigquery.Dataset(name)
            if self._location:
                wanted.location = self._location
        try:
            made = session.call(f"cannot make data set {name}", lambda: session.bigquery.create_dataset(wanted, **session.options))
        except Conflict:  # somebody else was faster, or an earlier try, whose answer was lost
            made = session.call(look, lambda: session.bigquery.get_dataset(name, **session.options))
        return str(made.location or "")

    def _schema(self, target: str) -> list[Any]:
        """Return the columns of a table; none when it is new."""
        session = self._session

        def look() -> list[Any]:
            try:
                return list(session.bigquery.get_table(target, **session.options).schema)
            except GoogleNotFound:
                return []

        return session.call(f"cannot look at table {target}", look)

    def _from_bucket(self, source: Source, target: str, config: Any, job_id: str, location: str) -> Any:
        client, options = self._session.bigquery, self._session.options
        return client.load_table_from_uri(source.uri, target, job_id=job_id, location=location or None, job_config=config, **options)

    def _from_file(self, source: Source, target: str, config: Any, job_id: str, location: str) -> Any:
        assert source.file is not None  # noqa: S101 - a source is one of both
        with source.file.open("rb") as content:
            return self._upload(content, target, config, job_id, location)

    def _upload(self, content: IO[bytes], target: str, config: Any, job_id: str, location: str) -> Any:
        """Send a file in pieces; the SDK keeps one piece (100 MB) in memory."""
        session = self._session
        options = {"num_retries": 0, "job_id": job_id, "location": location or None, "job_config": config, "timeout": session.timeout}
        try:
            return session.bigquery.load_table_from_file(content, target, **options)
        except RequestException as failed:  # its text holds the upload's URL, which is a key to it
            raise session.explain(f"cannot upload a file for {target}", failed) from None


def _load_config(kind: str, replace: bool, schema: Sequence[Any], *, tabbed: bool = False) -> Any:
    """Return the SDK's settings of a load: the columns of a table that is there, else BigQuery's guess; by name; every row or none.

    Fields of CSV lie between commas, or between tabs (`tabbed`).
    """
    from google.cloud import bigquery

    config = bigquery.LoadJobConfig(
        source_format=FORMATS[kind],
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
        create_disposition="CREATE_IF_NEEDED",
        max_bad_records=0,
    )
    if kind == "parquet":
        return config  # its files say names and types
    if schema:
        config.schema = schema
    else:
        config.autodetect = True
    if kind == "csv":
        config.skip_leading_rows = 1
        config.allow_quoted_newlines = True
        config.source_column_match = "NAME"
        if tabbed:
            config.field_delimiter = "\t"
    return config
