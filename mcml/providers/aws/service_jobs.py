"""Jobs on a compute: SageMaker training jobs that AWS Batch hands over when its service environment has room.

https://docs.aws.amazon.com/batch/latest/userguide/service-jobs.html; the request that Batch passes on is that of CreateTrainingJob. A job's
id is Batch's (a UUID); Batch takes a token once, and finds a job by its name so long as it remembers it (a day after its end at least).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.jobs import Job, JobRequest, JobState
from mcml.providers.aws.batch import Batch
from mcml.providers.aws.computes import KIND, BatchComputes
from mcml.providers.aws.model_source import staging
from mcml.providers.aws.sagemaker import SageMaker
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, short, tag_list

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
NAME_VARIABLE = "MCML_JOB_NAME"
LONGEST_WAIT_HOURS = 24
"""How long a spot machine is waited for."""

LOOKS, LOOK_SECONDS = 5, 1.0
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXIT = re.compile(r"exit code:? *(\d+)", re.IGNORECASE)
_STATES: Mapping[str, JobState] = {"RUNNING": "running", "SUCCEEDED": "succeeded", "FAILED": "failed"}


def is_service_job(job: str) -> bool:
    """Tell whether an id is one of Batch's."""
    return _ID.fullmatch(job) is not None


class ServiceJobs:
    """Jobs on the computes of one account and region."""

    def __init__(self, session: Session) -> None:
        self._session, self._batch, self._sagemaker = session, Batch(session), SageMaker(session)

    def submit(self, doing: str, name: str, request: JobRequest, size: Mapping[str, str]) -> Job:
        """Queue a job under a name that follows from its token, unless it is there.

        Raises NotFound for the compute, Usage without a staging area, InvalidRequest, QuotaExceeded.
        """
        compute = size["compute"]
        found = self._by_name(doing, compute, name)
        if found is None:
            payload = json.dumps(self._payload(doing, name, request, size), sort_keys=True)
            about = {"serviceJobType": KIND, "serviceRequestPayload": payload, "retryStrategy": {"attempts": 1}}
            asked = {"jobName": name, "jobQueue": compute, "clientToken": short(request.token), "tags": {**request.tags, **OURS}, **about}
            try:
                found = str(self._batch.ask(doing, "submit_service_job", **asked)["jobId"])
            except (Conflict, InvalidRequest):  # Batch refuses a token that it has seen: by somebody else, or when our answer was lost
                found = self._by_name(doing, compute, name, looks=LOOKS)
                if found is None:
                    raise
        return self.describe(doing, found)

    def describe(self, doing: str, job: str) -> Job:
        """Return it as it is now. Raises NotFound."""
        found = self._ask(doing, job)
        status, about = found["status"], json.loads(found.get("serviceRequestPayload") or "{}")
        state: JobState = "cancelled" if status == "FAILED" and found.get("isTerminated") else _STATES.get(status, "queued")
        reason = self._reason(doing, found) if status == "FAILED" else ""
        told = _EXIT.search(reason) if state == "failed" else None
        exit_code = 0 if state == "succeeded" else int(told[1]) if told else None
        ended = _time(found.get("stoppedAt") or found["startedAt"]) if status in ("SUCCEEDED", "FAILED") else None
        called = about.get("Environment", {}).get(NAME_VARIABLE, found["jobName"])
        return Job(job, called, state, _time(found["createdAt"]), ended, exit_code, reason)

    def log_of(self, doing: str, job: str) -> str:
        """Return the name of the training job whose streams hold the output; "" before there is one. Raises NotFound."""
        return _training_job(self._ask(doing, job))

    def terminate(self, doing: str, job: str) -> None:
        """Take it out of the queue, or stop it."""
        self._batch.ask(doing, "terminate_service_job", jobId=job, reason="cancelled by mcml")

    def _ask(self, doing: str, job: str) -> Any:
        return self._batch.ask(doing, "describe_service_job", jobId=job)

    def _by_name(self, doing: str, compute: str, name: str, *, looks: int = 1) -> str | None:
        """Return the id of the oldest job of a name; a listing that may be a moment behind is asked several times. Raises NotFound."""
        for look in range(looks):
            if look:
                self._session.policy.sleep(LOOK_SECONDS)
            only = [{"name": "JOB_NAME", "values": [name]}]
            found = list(self._batch.pages(doing, "list_service_jobs", "jobSummaryList", jobQueue=compute, filters=only))
            if found:
                return str(min(found, key=lambda one: one["createdAt"])["jobId"])
        return None

    def _reason(self, doing: str, found: Mapping[str, Any]) -> str:
        """Return why a job failed: in the words of SageMaker, or of Batch when it never got there."""
        name = _training_job(found)
        told = self._sagemaker.find(doing, "describe_training_job", TrainingJobName=name) if name else None
        return str((told or {}).get("FailureReason") or found.get("statusReason", ""))

    def _payload(self, doing: str, name: str, request: JobRequest, size: Mapping[str, str]) -> dict[str, Any]:
        compute = BatchComputes(self._session).describe(size["compute"])
        if int(size["replicas"]) > compute.maximum:
            why = f"it wants {size['replicas']} machines, and {compute.name} has at most {compute.maximum}"
            raise InvalidRequest(doing, why=why, next_step="ask for less, or scale the compute")
        bucket, prefix = staging(self._session, "submit a job")
        seconds = int(size["hours"]) * 3600
        spot = {"MaxWaitTimeInSeconds": seconds + LONGEST_WAIT_HOURS * 3600} if compute.spot else {}
        cluster = {"InstanceType": compute.machine, "InstanceCount": int(size["replicas"]), "VolumeSizeInGB": int(size["disk_gib"])}
        algorithm = {"TrainingImage": request.image, "TrainingInputMode": "File", "ContainerEntrypoint": list(request.command)}
        return {
            "TrainingJobName": name,
            "RoleArn": self._session.settings.sagemaker_role,
            "AlgorithmSpecification": algorithm,
            "ResourceConfig": cluster,
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds, **spot},
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{prefix}jobs"},
            "Environment": {**request.environment, NAME_VARIABLE: request.name},
            "EnableManagedSpotTraining": compute.spot,
            "Tags": tag_list(request.tags, OURS),
        }


def _training_job(found: Mapping[str, Any]) -> str:
    arn = found.get("latestAttempt", {}).get("serviceResourceId", {}).get("value", "")
    return str(arn.rpartition("/")[2])


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
