"""BigQuery jobs: begun under an id of our own, waited for, their failures in our words, their rows page by page.

A job id is used once in a project (https://cloud.google.com/bigquery/docs/running-jobs): a begin that is repeated because its answer was
lost finds the job that it began before. Rows come by jobs.getQueryResults over REST, because the SDK waits at least two minutes for each
of its answers and reads FLOAT64 as float only.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import from_http_response

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.gcp import bigquery_values
from mcml.providers.gcp.bigquery_values import Field
from mcml.providers.gcp.session import Session

PAGE_ROWS = 10_000
"""Rows asked for at once; an answer holds fewer when they are large (https://cloud.google.com/bigquery/quotas: 20 MB)."""
QUERY_SECONDS = 600.0
LOAD_SECONDS = 6 * 3600.0
FIRST_WAIT, LONGEST_WAIT = 0.05, 3.0

JOB_REASONS: Mapping[str, type[McmlError]] = {
    "notFound": NotFound,
    "accessDenied": NotAuthenticated,
    "duplicate": Conflict,
    "resourceInUse": Conflict,
    "quotaExceeded": QuotaExceeded,
    "rateLimitExceeded": Unavailable,
    "jobRateLimitExceeded": Unavailable,
    "backendError": Unavailable,
    "internalError": Unavailable,
    "jobBackendError": Unavailable,
    "jobInternalError": Unavailable,
    "stopped": Unavailable,
    "timeout": Unavailable,
}
"""Why a job failed (https://cloud.google.com/bigquery/docs/error-messages); anything else is the request's own fault."""


@dataclass(frozen=True)
class Answer:
    """A finished query: its columns, how many rows it has, the bytes it read (None: not told), and what fetches the rows."""

    columns: tuple[Field, ...]
    total: int
    scanned_bytes: int | None
    pages: Callable[[], Iterator[list[tuple[object, ...]]]]


def new_id() -> str:
    """Return an id that no job has."""
    return f"mcml_{uuid.uuid4().hex}"


def begin(session: Session, doing: str, start: Callable[[str], Any], *, location: str = "") -> Any:
    """Start a job once: `start` is given its id and may be called again; an id that is taken is that of the try before."""
    job_id, tries = new_id(), 0

    def once() -> Any:
        nonlocal tries
        tries += 1
        return start(job_id)

    try:
        return session.call(doing, once)
    except Conflict:
        if tries == 1:
            raise
        return session.call(doing, lambda: session.bigquery.get_job(job_id, location=location or None, **session.options))


def wait(session: Session, doing: str, job: Any, seconds: float, next_step: str = "") -> Any:
    """Wait for a job and return it. Raises what it failed with; StillRunning after so many seconds."""
    until, pause = time.monotonic() + seconds, FIRST_WAIT
    while job.state != "DONE":
        if time.monotonic() > until:
            step = f"bq --project_id={job.project} --location={job.location} wait {job.job_id}"
            raise StillRunning(doing, why=f"job {job.job_id} still runs after {seconds:g} s", next_step=step)
        session.policy.sleep(pause)
        pause = min(LONGEST_WAIT, pause * 1.5)
        session.call(doing, lambda: job.reload(**session.options))
    if job.error_result:
        raise job_error(doing, job, session, next_step)
    return job


def job_error(doing: str, job: Any, session: Session, next_step: str = "") -> McmlError:
    """Return what a failed job means, with what it says of its first errors."""
    reason = str(job.error_result.get("reason", ""))
    kind = JOB_REASONS.get(reason, InvalidRequest)
    texts = dict.fromkeys(str(error.get("message", "")) for error in [job.error_result, *(job.errors or ())][:4])
    why = session.clue.clean("; ".join(text for text in texts if text)) or f"BigQuery says {reason}"
    step = next_step
    if kind is NotAuthenticated:
        step = f"gcloud projects get-iam-policy {job.project}"
    return kind(doing, why=why, next_step=step)


def look(session: Session, sql: str, given: Mapping[str, object] | Sequence[object] = ()) -> Any:
    """Try a query without running it and return the job, which says how many bytes it would read. Raises as `ask`."""
    from google.cloud import bigquery

    options = {"project": session.project(), "job_retry": None, **session.options}
    values = bigquery_values.parameters(given)
    trial = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False, query_parameters=values, use_legacy_sql=False)
    looked = session.call("the query failed", lambda: session.bigquery.query(sql, job_config=trial, **options))
    if looked.statement_type != "SELECT":
        why = "a query only reads; tables are changed by loading"
        raise InvalidRequest(f"{looked.statement_type or 'this'} is not for a query", why=why, next_step="mcml data load --help")
    return looked


def ask(session: Session, sql: str, given: Mapping[str, object] | Sequence[object] = (), *, exact: bool = False) -> Answer:
    """Run a SELECT and return its answer, of which no row was fetched yet.

    It is tried without running first: what is not a SELECT is refused before it can do anything. With `exact` FLOAT64 comes as Decimal.
    Raises InvalidRequest (with BigQuery's words), NotFound, NotAuthenticated, QuotaExceeded, Unavailable, StillRunning after
    `QUERY_SECONDS` (the server ends it then, too).
    """
    from google.cloud import bigquery

    doing, values = "the query failed", bigquery_values.parameters(given)
    options = {"project": session.project(), "job_retry": None, **session.options}
    looked = look(session, sql, given)
    config = bigquery.QueryJobConfig(job_timeout_ms=int(QUERY_SECONDS * 1000), query_parameters=values, use_legacy_sql=False)
    location = looked.location or None

    def start(job_id: str) -> Any:
        return session.bigquery.query(sql, job_config=config, job_id=job_id, location=location, **options)

    job = begin(session, doing, start, location=location or "")
    try:
        wait(session, doing, job, QUERY_SECONDS)
    except (KeyboardInterrupt, StillRunning):
        _cancel(session, job)
        raise
    first = session.call(doing, lambda: _page(session, job, 0, PAGE_ROWS))
    columns, total = bigquery_values.fields(first.get("schema", {})), int(first.get("totalRows", 0))

    def pages() -> Iterator[list[tuple[object, ...]]]:
        return _pages(session, job, columns, first, total, exact)

    return Answer(columns, total, job.total_bytes_processed, pages)


def _pages(
    session: Session, job: Any, columns: tuple[Field, ...], first: Mapping[str, Any], total: int, exact: bool
) -> Iterator[list[tuple[object, ...]]]:
    at, page = 0, first
    while found := page.get("rows", ()):
        yield [bigquery_values.row(columns, row, exact=exact) for row in found]
        at += len(found)
        if at >= total:
            return
        page = session.call("cannot fetch the rows of the query", lambda at=at: _page(session, job, at, PAGE_ROWS))  # type: ignore[misc]
    if at < total:
        raise Unavailable("cannot fetch the rows of the query", why=f"BigQuery gave {at} of {total} rows")


def _page(session: Session, job: Any, start: int, most: int) -> Any:
    url = f"{session.bigquery_url}/bigquery/v2/projects/{job.project}/queries/{job.job_id}"
    asked = {"startIndex": start, "maxResults": most, "formatOptions.useInt64Timestamp": "true", "location": job.location}
    answer = session.http.get(url, params={key: value for key, value in asked.items() if value is not None}, timeout=session.timeout)
    if not answer.ok:
        raise from_http_response(answer)
    return answer.json()


def _cancel(session: Session, job: Any) -> None:
    """Stop a query that nobody waits for any more; when that fails too, the server's own deadline ends it."""
    try:
        job.cancel(**session.options)
    except Exception:  # noqa: BLE001 - what is told is why nobody waits
        return
