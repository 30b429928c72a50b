"""bqemulator 1.4.0 in a process of its own: `python launcher.py`; ends when its stdin does. Runs in the emulator's own environment.

Six things that BigQuery documents and the emulator does otherwise are put right here, because loads cannot be tested without them:

- a job id is used once (409 the second time), uploads keep the id that the client gave
  (https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid);
- a load changes the table as a whole or not at all, WRITE_TRUNCATE replaces the schema too, Parquet makes new tables
  (https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad);
- columns go by name where sourceColumnMatch, autodetect or the format says so; what has no column in the table refuses the load;
- outputRows counts the rows of the load, and an URI that stands for nothing is `notFound`;
- a dry run of a script or an export runs nothing (https://cloud.google.com/bigquery/docs/running-queries#dry-run);
- BIGNUMERIC can be a column, and a cast to it keeps 24 decimals and not 5, of the 38 that BigQuery has
  (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types): DuckDB has no wider decimals.

What stays unlike BigQuery is named at the tests.
"""

import os
import sys
import threading
from typing import Any

from bqemulator import cli
from bqemulator.api.routes import jobs, upload
from bqemulator.api.routes.tables import _parse_schema_fields
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta, TableMeta, TableSchema
from bqemulator.domain.errors import AlreadyExistsError, NotFoundError, ResourceRef, resource_not_found
from bqemulator.jobs import executor
from bqemulator.storage import type_map
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns, duckdb_type_to_bq_field
from sqlglot import exp
from sqlglot.generators.duckdb import DuckDBGenerator

READERS = {"CSV": "read_csv", "NEWLINE_DELIMITED_JSON": "read_json", "PARQUET": "read_parquet"}


def reader(kind: str, paths: list[str]) -> str:
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    more = {"CSV": ", header = true", "NEWLINE_DELIMITED_JSON": ", format = 'newline_delimited'"}.get(kind, "")
    return f"{READERS[kind]}([{quoted}], union_by_name = true{more})"


def described(ctx: Any, query: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in ctx.engine.execute(f"DESCRIBE {query}").fetchall()}


def make(ctx: Any, target: str, load: dict[str, Any], source: str) -> list[Any]:
    """Make the table anew; return its columns as the REST API writes them."""
    given = (load.get("schema") or {}).get("fields")
    if given and load.get("sourceFormat") != "PARQUET":
        columns = list(bq_schema_to_duckdb_columns(given))
    else:
        columns = list(described(ctx, f"SELECT * FROM {source}").items())
    ctx.engine.execute(f"DROP TABLE IF EXISTS {target}")
    names = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    ctx.engine.execute(f"CREATE TABLE {target} ({names})")
    return given or [duckdb_type_to_bq_field(name, kind) for name, kind in columns]


def fill(ctx: Any, target: str, load: dict[str, Any], source: str) -> int:
    found = described(ctx, f"SELECT * FROM {source}")
    by_position = load.get("sourceFormat", "CSV") == "CSV" and not load.get("autodetect") and load.get("sourceColumnMatch") != "NAME"
    by_name = "" if by_position else "BY NAME"
    (rows,) = ctx.engine.execute(f"INSERT INTO {target} {by_name} SELECT * FROM {source}").fetchone()
    return int(rows) if found else 0


async def execute_load_job(project: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
    now, load = ctx.clock.now(), config["load"]
    job = executor._parse_load_job_config(project, config)
    if ctx.catalog.get_dataset(job.project_id, job.dataset_id) is None:
        raise resource_not_found(ResourceRef("dataset", job.project_id, job.dataset_id))
    paths = [executor._resolve_uri(uri, ctx) for uri in job.source_uris]
    for uri, path in zip(job.source_uris, paths, strict=True):
        executor._validate_local_path(path)
        if not ctx.engine.execute("SELECT 1 FROM glob(?) LIMIT 1", [path]).fetchall():
            raise NotFoundError(f"Not found: URI {uri}")
    source = reader(job.source_format, paths)
    table = ctx.catalog.get_table(job.project_id, job.dataset_id, job.table_id)
    fields: list[Any] = []
    async with ctx.engine.write_lock():
        ctx.engine.execute("BEGIN TRANSACTION")
        try:
            if table is None or job.write_disposition == "WRITE_TRUNCATE":
                fields = make(ctx, job.target_ref, load, source)
            rows = fill(ctx, job.target_ref, load, source)
            ctx.engine.execute("COMMIT")
        except BaseException:
            ctx.engine.execute("ROLLBACK")
            raise
    if fields:
        remember(ctx, job, fields, now, table)
    return JobMeta(
        project_id=project,
        job_id=job_id,
        job_type="LOAD",
        state="DONE",
        configuration=config,
        statistics={"load": {"outputRows": str(rows)}},
        creation_time=now,
        start_time=now,
        end_time=ctx.clock.now(),
        etag=generate_etag(project, job_id, str(now)),
    )


def remember(ctx: Any, job: Any, fields: list[Any], now: Any, table: Any) -> None:
    meta = TableMeta(
        project_id=job.project_id,
        dataset_id=job.dataset_id,
        table_id=job.table_id,
        table_type="TABLE",
        schema=TableSchema(fields=tuple(_parse_schema_fields(fields))),
        labels={},
        creation_time=now,
        last_modified_time=now,
        num_rows=0,
        num_bytes=0,
        etag=generate_etag(job.project_id, job.dataset_id, job.table_id, str(now)),
    )
    (ctx.catalog.create_table if table is None else ctx.catalog.update_table)(meta)


def once(handle: Any) -> Any:
    """Refuse a job id that was used."""

    async def guarded(project: str, job_id: str, *arguments: Any, **keywords: Any) -> Any:
        ctx = keywords.get("ctx") or arguments[-1]
        if ctx.catalog.get_job(project, job_id) is not None:
            raise AlreadyExistsError(f"Already Exists: Job {project}:US.{job_id}")
        return await handle(project, job_id, *arguments, **keywords)

    return guarded


def with_the_id(configuration_of: Any) -> Any:
    def keeping(envelope: dict[str, Any]) -> dict[str, Any]:
        return {**configuration_of(envelope), "given": envelope.get("jobReference", {}).get("jobId", "")}

    return keeping


async def run_upload(*, project_id: str, configuration: dict[str, Any], media_path: str, ctx: Any) -> Any:
    job_id = configuration.pop("given") or upload._new_job_id()
    config = {**configuration, "load": {**configuration["load"], "sourceUris": [f"file://{media_path}"]}}
    job = await jobs._handle_load_job_with_async_envelope(project_id, job_id, config, ctx)
    ctx.catalog.upsert_job(job)
    return job_id, job


def only_looking(dry_run: Any) -> Any:
    async def answer(*, job_id: str, project_id: str, bq_sql: str, **rest: Any) -> Any:
        statements = executor._parse_script_or_raise(bq_sql).statements
        kind = executor.classify_statement_type(bq_sql)
        if bq_sql.strip() and (len(statements) != 1 or not isinstance(statements[0], executor.SqlStmt)):
            kind = "SCRIPT"
        if kind not in ("SCRIPT", "EXPORT_DATA"):
            return await dry_run(job_id=job_id, project_id=project_id, bq_sql=bq_sql, **rest)
        reference = {"projectId": project_id, "jobId": job_id, "location": "US"}
        return {"statementType": kind, "schema": {"fields": []}, "jobReference": reference}

    return answer


def load_errors(handle: Any) -> Any:
    """A load that finds nothing is a job that failed with notFound."""

    async def told(project: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
        try:
            return await handle(project, job_id, config, ctx)
        except NotFoundError as missing:
            error = {"reason": "notFound", "message": str(missing)}
            return jobs._failed_job_meta(project, job_id, "LOAD", config, error, ctx.clock.now())

    return told


def put_right() -> None:
    jobs.execute_load_job = load_errors(execute_load_job)
    jobs._handle_load_job_with_async_envelope = once(jobs._handle_load_job_with_async_envelope)
    jobs._handle_query_job = once(jobs._handle_query_job)
    jobs._dry_run_response = only_looking(jobs._dry_run_response)
    upload._load_configuration_from_envelope = with_the_id(upload._load_configuration_from_envelope)
    upload._run_load = run_upload
    type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = "DECIMAL(38, 24)"
    DuckDBGenerator.TYPE_PARAM_SETTINGS = {**DuckDBGenerator.TYPE_PARAM_SETTINGS, exp.DType.BIGDECIMAL: ((38, 24), (38, 38))}


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    put_right()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    cli.main(["start", "--rest-port", "0", "--grpc-port", "0", "--log-format", "json", "--log-level", "info"])
