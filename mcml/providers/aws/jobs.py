"""Jobs on SageMaker: a command in a container, to its end; its output from CloudWatch Logs. Processing jobs, or on a compute training jobs.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html. `resources`: machine ("ml.m5.large"), replicas
("1"), disk_gib ("30"), hours ("24": then SageMaker stops it), or in the machine's place compute (`service_jobs`). What the command writes
to /opt/ml/processing/output goes to `[providers.aws] staging`, below jobs/ID/, where one is set. SageMaker takes at most 100 words of 256
characters as a command.

A job's name at SageMaker follows from its token, so a submit that is repeated finds the job that it made; such names are kept for good.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Usage
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws import service_jobs
from mcml.providers.aws.model_source import staging
from mcml.providers.aws.paging import paged
from mcml.providers.aws.sagemaker import SageMaker, digest_of, slug
from mcml.providers.aws.service_jobs import NAME_VARIABLE, ServiceJobs, is_service_job
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, tag_list
from mcml.providers.resilience import Policy

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
OUTPUT_FOLDER = "/opt/ml/processing/output"
LOG_SECONDS = 5.0
RESOURCES: Mapping[str, str] = {"machine": "ml.m5.large", "replicas": "1", "disk_gib": "30", "hours": "24"}
MOST_WORDS, LONGEST_WORD = 100, 256
NEXT = "nextToken"
_EXIT = re.compile(r"exit code:? *(\d+)", re.IGNORECASE)
_STATES: Mapping[str, JobState] = {"Completed": "succeeded", "Failed": "failed", "Stopped": "cancelled"}


def open_jobs(ctx: ProviderContext) -> Jobs:
    """Return the processing jobs of the account in the region."""
    return SageMakerJobs(Session(ctx, policy=Policy(budget=ctx.budget)))


class SageMakerJobs:
    """Processing jobs. A job's id is its name at SageMaker."""

    def __init__(self, session: Session) -> None:
        self._session, self._sagemaker, self._queued = session, SageMaker(session), ServiceJobs(session)

    def submit(self, request: JobRequest) -> Job:
        """Start it; the same token gives the same job, also after its end.

        Raises InvalidRequest without a command, a token or an image, Usage without a role, QuotaExceeded, NotFound for a compute.
        """
        doing, wanted = f"cannot submit the job {request.name!r}", self._wanted(request)
        if "compute" in request.resources:
            return self._queued.submit(doing, wanted["ProcessingJobName"], request, {**RESOURCES, **request.resources})
        with suppress(Conflict):  # it is there: made by somebody with this token, or by ourselves when the answer was lost
            self._sagemaker.ask(doing, "create_processing_job", **wanted)
        return self.status(wanted["ProcessingJobName"])

    def status(self, job: str) -> Job:
        """Return it as it is now. Raises NotFound."""
        doing = f"cannot find the job {job!r}"
        if is_service_job(job):
            return self._queued.describe(doing, job)
        return _job(self._sagemaker.ask(doing, "describe_processing_job", ProcessingJobName=job))

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Yield its output line by line, that of several machines one machine after the other; with `follow` until it ends.

        CloudWatch shows a line some seconds after it was written: only `follow` waits for the last ones. Raises NotFound.
        """
        tokens: dict[str, str] = {}
        ended = 0
        while True:
            ended += self.status(job).ended is not None
            group, prefix = self._log_of(job)
            for stream in self._streams(job, group, prefix) if prefix else ():
                yield from self._lines(job, group, stream, tokens)
            if not follow or ended > 1:
                return
            self._sagemaker.wait(LOG_SECONDS)

    def cancel(self, job: str) -> Job:
        """Stop it; SageMaker takes up to two minutes, and `status` says running so long. One that has ended stays as it is.

        Raises NotFound.
        """
        now = self.status(job)
        if now.ended is None:
            doing = f"cannot cancel the job {job!r}"
            try:
                if is_service_job(job):
                    self._queued.terminate(doing, job)
                else:
                    self._sagemaker.ask(doing, "stop_processing_job", ProcessingJobName=job)
            except (InvalidRequest, Conflict):
                now = self.status(job)
                if now.ended is None and now.detail != "Stopping":
                    raise
        return self.status(job)

    def _wanted(self, request: JobRequest) -> dict[str, Any]:
        doing, settings = f"cannot submit the job {request.name!r}", self._session.settings
        _check(doing, request)
        if not settings.sagemaker_role:
            step = "set sagemaker_role in [providers.aws] of mcml.toml"
            raise Usage(doing, why="SageMaker needs a role to run it with", next_step=step)
        name = f"mcml-{slug(request.name, 30)}-{digest_of(self._session.ctx.target, request.token)[:16]}"
        size = {**RESOURCES, **request.resources}
        cluster = {"InstanceType": size["machine"], "InstanceCount": int(size["replicas"]), "VolumeSizeInGB": int(size["disk_gib"])}
        wanted: dict[str, Any] = {
            "ProcessingJobName": name,
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": int(size["hours"]) * 3600},
            "AppSpecification": {"ImageUri": request.image, "ContainerEntrypoint": list(request.command)},
            "Environment": {**request.environment, NAME_VARIABLE: request.name},
            "RoleArn": settings.sagemaker_role,
            "Tags": tag_list(request.tags, OURS),
        }
        if settings.staging:
            bucket, prefix = staging(self._session, "submit a job")
            place = {"S3Uri": f"s3://{bucket}/{prefix}jobs/{name}", "LocalPath": OUTPUT_FOLDER, "S3UploadMode": "EndOfJob"}
            wanted["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": "output", "S3Output": place}]}
        return wanted

    def _log_of(self, job: str) -> tuple[str, str]:
        """Return the log group of a job and how the names of its streams begin: with nothing before it has any."""
        if not is_service_job(job):
            return LOG_GROUP, job
        return service_jobs.LOG_GROUP, self._queued.log_of(f"cannot find the log of the job {job!r}", job)

    def _streams(self, job: str, group: str, prefix: str) -> list[str]:
        asked: dict[str, Any] = {"logGroupName": group, "logStreamNamePrefix": f"{prefix}/"}
        doing = f"cannot find the log of the job {job!r}"
        streams = paged(self._session, doing, "logs", "describe_log_streams", "logStreams", **asked, token=NEXT)
        try:
            return [one["logStreamName"] for one in streams]
        except NotFound:  # the group comes with the first job's first line
            return []

    def _lines(self, job: str, group: str, stream: str, tokens: dict[str, str]) -> Iterator[str]:
        """Yield what came since the last look; at the end CloudWatch gives the token that it was asked with."""
        while True:
            asked = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
            if stream in tokens:
                asked[NEXT] = tokens[stream]
            page = self._session.call(f"cannot read the log of the job {job!r}", partial(self._page, asked))
            for event in page["events"]:
                yield from event["message"].splitlines() or [""]
            if page["nextForwardToken"] == tokens.get(stream):
                return
            tokens[stream] = page["nextForwardToken"]

    def _page(self, asked: dict[str, Any]) -> Any:
        return self._session.client("logs").get_log_events(**asked)


def _check(doing: str, request: JobRequest) -> None:
    odd = sorted(set(request.resources) - {*RESOURCES, "compute"})
    words = ("machine", "compute")
    numbers = {name: value for name, value in request.resources.items() if name not in words and not re.fullmatch(r"[1-9]\d*", value)}
    long = len(request.command) > MOST_WORDS or any(len(word) > LONGEST_WORD for word in request.command)
    reasons = {
        "it has no command": not request.command,
        f"SageMaker takes {MOST_WORDS} words of {LONGEST_WORD} characters: put a longer script into the image": long,
        "it has no token": not request.token,
        "it has no image, and SageMaker runs nothing else": not request.image,
        f"SageMaker knows no resource {odd[:1]}; it knows {', '.join(RESOURCES)}, compute": bool(odd),
        "it names a compute, which has machines of its own": set(words) <= set(request.resources),
        f"{', '.join(numbers)} must be a number of 1 or more": bool(numbers),
    }
    for why, wrong in reasons.items():
        if wrong:
            raise InvalidRequest(doing, why=why)


def _job(found: Mapping[str, Any]) -> Job:
    name, status = found["ProcessingJobName"], found["ProcessingJobStatus"]
    state: JobState = _STATES.get(status) or ("running" if found.get("ProcessingStartTime") else "queued")
    reason = found.get("FailureReason") or found.get("ExitMessage") or ("" if status in ("InProgress", "Completed") else status)
    told = _EXIT.search(reason)
    exit_code = 0 if state == "succeeded" else int(told.group(1)) if told and state == "failed" else None
    ended = found.get("ProcessingEndTime") or found.get("LastModifiedTime") if status in _STATES else None
    called = found.get("Environment", {}).get(NAME_VARIABLE, name)
    return Job(name, called, state, _utc(found["CreationTime"]), _utc(ended) if ended else None, exit_code, reason)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
