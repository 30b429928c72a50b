"""Jobs on Vertex AI: custom jobs of one container, their output from Cloud Logging.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.customJobs;
https://cloud.google.com/logging/docs/reference/v2/rpc/google.logging.v2#google.logging.v2.LoggingServiceV2 (entries of resource `ml_job`,
of the task of the one container: what `gcloud ai custom-jobs stream-logs --task-name` asks for).

Vertex AI knows no request id, so a job carries its token's hash as a label and is looked for before it is made, and again after: of two
that were made at once from two places the first stays and the other is cancelled. It tells the exit code only in words.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import endpoint_parts as parts
from mcml.providers.gcp.computes import find
from mcml.providers.gcp.rpc import plain_time, rpc_pages
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.vertex import Vertex, client, labels
from mcml.providers.resilience import Policy

JOBS = "JobServiceClient"
MACHINE = "e2-standard-4"
OF_A_MACHINE = ("machine", "accelerator", "accelerator_count", "spot", "disk_gb")
RESOURCES = (*OF_A_MACHINE, "compute", "service_account", "timeout_seconds")
SAME_REQUEST = "mcml_token"
TASK = "workerpool0-0"
"""The task of the one container; Vertex AI's own words about a job are those of another ("service")."""

LOOK_SECONDS = 5.0
LATE_SECONDS = 10.0
"""How long after a job's end its last lines are waited for."""

OVERLAP = timedelta(minutes=1)
"""How much older than what was read an entry may be that arrives after it."""

OVER: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})
STATES: dict[str, JobState] = {
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}
_EXIT = re.compile(r"non-zero status of (\d+)")


def open_jobs(ctx: ProviderContext) -> Jobs:
    """Return the custom jobs of the project and region."""
    return VertexJobs(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class VertexJobs:
    """Custom jobs of one project and region; an id is the number that Vertex AI gives."""

    def __init__(self, session: Session, region: str) -> None:
        self._session = session
        self._vertex = Vertex(session, region)
        self._submitting = threading.Lock()

    def submit(self, request: JobRequest) -> Job:
        """Start it on one machine of its own, which is paid for until it ends. A container that fails is not started again.

        Resources: machine (e2-standard-4), accelerator ("nvidia-l4"), accelerator_count, spot, disk_gb (100), or instead of these compute:
        the persistent resource that has a machine for it; service_account, timeout_seconds (a week). Raises InvalidRequest, also without
        an image; QuotaExceeded; NotFound for a persistent resource.
        """
        doing = f"cannot submit job {request.name}"
        spec = _spec(doing, request)
        token = hashlib.sha256(request.token.encode()).hexdigest()[:40]
        job = {"display_name": request.name, "job_spec": spec, "labels": labels(request.tags) | {SAME_REQUEST: token}}
        with self._submitting:
            found = self._by_token(doing, token)
            if not found:
                self._place(doing, spec, request.resources.get("compute", ""))
                made = self._make(doing, token, job)
                found = self._by_token(doing, token) or [made]
            for twin in found[1:]:
                self._cancel(doing, twin.name)
            return _told(found[0])

    def status(self, job: str) -> Job:
        """Return it as it is now; the exit code of a failed one is None where Vertex AI's message names none."""
        return _told(self._get(f"cannot look at job {job}", job))

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Yield its output line by line; with `follow` until it ends (a look every 5 s, and one 10 s after its end for what comes late)."""
        doing = f"cannot read the log of job {job}"
        seen: dict[tuple[datetime, str], None] = {}
        since: datetime | None = None
        while True:
            found = _told(self._get(doing, job))
            over, newest = found.state in OVER, since or found.submitted
            for entry in self._entries(doing, job, newest - OVERLAP):
                at = plain_time(entry.timestamp)
                if (at, entry.insert_id) not in seen:
                    seen[at, entry.insert_id], since = None, max(at, since or at)
                    yield from _text(entry).splitlines()
            seen = {key: None for key in seen if since is not None and key[0] >= since - OVERLAP}
            if not follow:
                return
            follow = not over
            self._session.policy.sleep(LATE_SECONDS if over else LOOK_SECONDS)

    def cancel(self, job: str) -> Job:
        """Stop it; one that has ended stays as it is. It goes on for a moment: `status` tells when it is over."""
        doing = f"cannot cancel job {job}"
        found = self._get(doing, job)
        if _told(found).state not in OVER:
            self._cancel(doing, found.name)
            found = self._get(doing, job)
        return _told(found)

    def _place(self, doing: str, spec: dict[str, Any], compute: str) -> None:
        """Put a job on a persistent resource: on machines exactly like those of its first pool. Raises NotFound.

        https://cloud.google.com/vertex-ai/docs/training/persistent-resource-train
        """
        if compute:
            (pool, *_) = find(self._vertex, doing, compute).resource_pools
            spec["persistent_resource_id"] = compute
            spec["worker_pool_specs"][0] |= {"machine_spec": pool.machine_spec, "disk_spec": pool.disk_spec}

    def _make(self, doing: str, token: str, job: dict[str, Any]) -> Any:
        """Create a job. After an answer that was lost it is looked for before it is made once more."""
        tries = 0

        def create() -> Any:
            nonlocal tries
            tries += 1
            if tries > 1 and (found := self._by_token(doing, token)):
                return found[0]
            service = self._session.service(client(JOBS), self._vertex.host)
            return service.create_custom_job({"parent": self._vertex.parent, "custom_job": job}, **self._session.rpc_options)

        return self._session.call(doing, create)

    def _by_token(self, doing: str, token: str) -> list[Any]:
        """Return the jobs with a token, the oldest first."""
        request = {"parent": self._vertex.parent, "filter": f'labels.{SAME_REQUEST}="{token}"'}
        found = self._vertex.pages(doing, JOBS, "list_custom_jobs", request, "custom_jobs")
        return sorted(found, key=lambda one: (one.create_time, one.name))

    def _get(self, doing: str, job: str) -> Any:
        if not job.isdigit():
            raise NotFound(f"no job {job!r}", why="the jobs of Vertex AI have numbers for names", next_step=self._list())
        return self._vertex.ask(doing, JOBS, "get_custom_job", {"name": f"{self._vertex.parent}/customJobs/{job}"})

    def _list(self) -> str:
        return f"gcloud ai custom-jobs list --region={self._vertex.region} --project={self._session.project()}"

    def _cancel(self, doing: str, path: str) -> None:
        """Cancel a job; one that has ended meanwhile may be refused, and is over all the same."""
        try:
            self._vertex.ask(doing, JOBS, "cancel_custom_job", {"name": path})
        except InvalidRequest:
            if _told(self._vertex.ask(doing, JOBS, "get_custom_job", {"name": path})).state not in OVER:
                raise

    def _entries(self, doing: str, job: str, since: datetime) -> Iterator[Any]:
        from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

        project = self._session.project()
        wanted = ('resource.type="ml_job"', f'resource.labels.job_id="{job}"', f'resource.labels.task_name="{TASK}"')
        names, only = [f"projects/{project}"], " AND ".join((*wanted, f'timestamp>="{since.isoformat()}"'))
        request = {"resource_names": names, "filter": only, "order_by": "timestamp asc", "page_size": 1000}
        yield from rpc_pages(self._session, doing, LoggingServiceV2Client, "list_log_entries", request, "entries")


def _spec(doing: str, request: JobRequest) -> dict[str, Any]:
    """Return the job as Vertex AI takes it. Raises InvalidRequest."""
    missing = [what for what, given in (("token", request.token), ("command", request.command), ("image", request.image)) if not given]
    if missing:
        raise InvalidRequest(doing, why=f"it has no {missing[0]}" + ("; Vertex AI runs containers" if missing == ["image"] else ""))
    wanted = request.resources
    parts.check_resources(doing, wanted, RESOURCES)
    odd = [name for name in OF_A_MACHINE if name in wanted and "compute" in wanted]
    if odd:
        raise InvalidRequest(doing, why=f"it names a compute, whose machines have a {odd[0]} of their own")
    pool = {
        "machine_spec": parts.machine_spec(doing, wanted, MACHINE),
        "replica_count": 1,
        "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": parts.number(doing, wanted, "disk_gb", 100)},
        "container_spec": {
            "image_uri": request.image,
            "command": list(request.command),
            "env": [{"name": name, "value": value} for name, value in sorted(request.environment.items())],
        },
    }
    limit = {"seconds": parts.number(doing, wanted, "timeout_seconds", 7 * 24 * 3600)}
    scheduling = {"disable_retries": True, "timeout": limit, **({"strategy": "SPOT"} if parts.is_spot(wanted) else {})}
    return {"worker_pool_specs": [pool], "scheduling": scheduling, "service_account": wanted.get("service_account", "")}


def _told(job: Any) -> Job:
    state = STATES.get(job.state.name, "queued")
    said = str(job.error.message) if "error" in job else ""
    code = _EXIT.search(said)
    ended: datetime | None = job.end_time if "end_time" in job else None
    exit_code = 0 if state == "succeeded" else int(code[1]) if code else None
    number = job.name.rpartition("/")[2]
    return Job(number, job.display_name, state, plain_time(job.create_time), plain_time(ended) if ended else None, exit_code, said)


def _text(entry: Any) -> str:
    if entry.text_payload:
        return str(entry.text_payload)
    payload = MessageToDict(type(entry).pb(entry).json_payload)
    return str(payload["message"]) if "message" in payload else json.dumps(payload, ensure_ascii=False) if payload else ""
