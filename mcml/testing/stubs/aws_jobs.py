"""SageMaker's jobs and CloudWatch Logs: jobs that really run, as processes of this machine, checked by the SDK's service models.

    with AwsModel("sagemaker", "logs") as aws, JobsStub(aws) as jobs:
        client = boto3.client("sagemaker", endpoint_url=aws.url)

The container's image is not looked at; its command runs here, in an environment with nothing but PATH and the job's own variables, and each
line that it prints is an event of the log. A failure is told as SageMaker tells it ("AlgorithmError: See job logs for more information,
exit code: 3"). Listings and logs give `page` items at a time. Processing jobs are asked for by clients, training jobs by `aws_batch`.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.aws_sagemaker import arn, invalid, valid_name

GROUP, TRAINING_GROUP = "/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"
END_SECONDS = 10.0


@dataclass
class StubJob:
    """A job: what was asked, the process that runs it, and the lines that it printed."""

    asked: Mapping[str, Any]
    created: datetime
    process: subprocess.Popen[str]
    lines: list[tuple[datetime, str]] = field(default_factory=list)
    ended: datetime | None = None
    stopped: bool = False
    reader: threading.Thread | None = None
    group: str = GROUP


class JobsStub:
    """Registers its handlers at an `AwsModel` that serves "sagemaker" and "logs"; at its end all jobs are killed."""

    def __init__(self, aws: AwsModel, *, page: int = 1, clock: Clock = utc_now) -> None:
        self.page, self.clock = page, clock
        self.jobs: dict[str, StubJob] = {}
        self.lock = threading.RLock()
        for service, names in (
            ("sagemaker", ("CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob", "DescribeTrainingJob")),
            ("logs", ("DescribeLogStreams", "GetLogEvents")),
        ):
            for name in names:
                aws.on(service, name, getattr(self, name))

    def __enter__(self) -> "JobsStub":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill what still runs."""
        for job in self.jobs.values():
            _kill(job.process)
            if job.reader is not None:
                job.reader.join(END_SECONDS)

    def CreateProcessingJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - the operations' own names, here and below
        """Start it."""
        name, app = asked["ProcessingJobName"], asked["AppSpecification"]
        valid_name(name)
        command = [*app.get("ContainerEntrypoint", ()), *app.get("ContainerArguments", ())]
        if any(len(word) > 256 for word in command) or len(command) > 100:
            raise invalid("1 validation error detected: Member must have length less than or equal to 256")
        with self.lock:
            if name in self.jobs:
                known = arn("processing-job", name)
                raise AwsError("ResourceInUse", f"Job name must be unique within an account and region, and {known} already exists")
            self.run(name, asked, command)
        return {"ProcessingJobArn": arn("processing-job", name)}

    def run(self, name: str, asked: Mapping[str, Any], command: Sequence[str], group: str = GROUP) -> StubJob:
        """Start a job whose output goes to a log group."""
        environment = {"PATH": os.environ["PATH"], **asked.get("Environment", {})}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        with self.lock:
            job = self.jobs[name] = StubJob(asked, self.clock(), process, group=group)
        job.reader = threading.Thread(target=self._read, args=(job,), daemon=True)
        job.reader.start()
        return job

    def stop(self, job: StubJob) -> None:
        """Stop a job."""
        with self.lock:
            job.stopped = True
            _kill(job.process)

    def DescribeTrainingJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Say how it is."""
        job, name = self._job(asked["TrainingJobName"]), asked["TrainingJobName"]
        with self.lock:
            status = self._status(job)
            told = {
                "TrainingJobName": name, "TrainingJobArn": arn("training-job", name), "ModelArtifacts": {"S3ModelArtifacts": "s3://b/k"},
                "TrainingJobStatus": status, "SecondaryStatus": "Training" if status == "InProgress" else status,
                "StoppingCondition": job.asked["StoppingCondition"], "CreationTime": job.created,
            }  # fmt: skip
            return told | ({"FailureReason": f"AlgorithmError: , exit code: {job.process.returncode}"} if status == "Failed" else {})

    def DescribeProcessingJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Say how it is."""
        job, name = self._job(asked["ProcessingJobName"]), asked["ProcessingJobName"]
        with self.lock:
            told: dict[str, Any] = {
                "ProcessingJobName": name, "ProcessingJobArn": arn("processing-job", name),
                "ProcessingJobStatus": self._status(job),
                "CreationTime": job.created, "ProcessingStartTime": job.created, "Environment": job.asked.get("Environment", {}),
                "ProcessingResources": job.asked["ProcessingResources"], "AppSpecification": job.asked["AppSpecification"],
            }  # fmt: skip
            if job.ended is not None:
                told |= {"ProcessingEndTime": job.ended, "LastModifiedTime": job.ended}
            if told["ProcessingJobStatus"] == "Failed":
                told["FailureReason"] = f"AlgorithmError: See job logs for more information, exit code: {job.process.returncode}"
        return told

    def StopProcessingJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Stop it."""
        job = self._job(asked["ProcessingJobName"])
        with self.lock:
            if job.ended is not None or job.stopped:
                raise invalid(f"The request was rejected because the processing job is in status {self._status(job)}.")
            self.stop(job)
        return {}

    def DescribeLogStreams(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        talking = [name for name, job in self.jobs.items() if job.lines and job.group == asked["logGroupName"]]
        if not talking:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        prefix, after = asked.get("logStreamNamePrefix", ""), asked.get("nextToken", "")
        names = sorted(f"{name}/algo-{number}-1" for name in talking for number in (1, 2))
        names = [name for name in names if name.startswith(prefix) and name > after]
        page = names[: self.page]
        return {"logStreams": [{"logStreamName": name} for name in page], **({"nextToken": page[-1]} if len(names) > len(page) else {})}

    def GetLogEvents(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page, and the token for what comes after it; the second machine of a job says nothing."""
        name, _, machine = asked["logStreamName"].partition("/")
        job = self._job(name)
        token = asked.get("nextToken", "f/0")
        start = int(token.partition("/")[2])
        lines = job.lines[start : start + self.page] if machine == "algo-1-1" else []
        events = [{"timestamp": int(at.timestamp() * 1000), "message": line} for at, line in lines]
        return {"events": events, "nextForwardToken": f"f/{start + len(events)}", "nextBackwardToken": f"b/{start}"}

    def _job(self, name: str) -> StubJob:
        with self.lock:
            if name not in self.jobs:
                raise invalid(f"Could not find requested job with name: {name}")
            return self.jobs[name]

    def _status(self, job: StubJob) -> str:
        if job.ended is None:
            return "Stopping" if job.stopped else "InProgress"
        if job.stopped:
            return "Stopped"
        return "Failed" if job.process.returncode else "Completed"

    def _read(self, job: StubJob) -> None:
        with job.process:
            assert job.process.stdout is not None
            for line in job.process.stdout:
                with self.lock:
                    job.lines.append((self.clock(), line.rstrip("\n")))
            job.process.wait()
        with self.lock:
            job.ended = self.clock()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
