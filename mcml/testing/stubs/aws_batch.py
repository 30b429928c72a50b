"""AWS Batch in front of SageMaker's training jobs, in memory, checked by the SDK's service models; the jobs really run (`aws_jobs`).

    with AwsModel("sagemaker", "logs", "batch") as aws, JobsStub(aws) as jobs:
        batch = BatchStub(aws, jobs)

https://docs.aws.amazon.com/batch/latest/userguide/service-jobs.html. Environments and queues are in the middle of a change for `polls`
answers that describe them. An environment that a queue names is not deleted, nor is either before it is disabled. A job runs when its
environment has room, in the order of submission; what is passed on to SageMaker must be a request of CreateTrainingJob, by its model. A
client token is taken once. Listings give `page` items at a time.
"""

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcml.testing.stubs.aws_jobs import TRAINING_GROUP, JobsStub, StubJob
from mcml.testing.stubs.aws_model import AwsError, AwsModel, faults, load_model
from mcml.testing.stubs.aws_sagemaker import ACCOUNT, REGION, arn


@dataclass
class ServiceJob:
    """A job in a queue: what was asked, and what runs for it."""

    id: str
    asked: Mapping[str, Any]
    created: int
    run: StubJob | None = None
    terminated: bool = False


@dataclass
class Thing:
    """An environment or a queue: what it says of itself, and how many more answers its change lasts."""

    about: dict[str, Any]
    left: int = 0


@dataclass
class BatchStub:
    """Registers its handlers at an `AwsModel` that serves "batch". Thread-safe."""

    aws: AwsModel
    runs: JobsStub
    polls: int = 2
    page: int = 1
    environments: dict[str, Thing] = field(default_factory=dict)
    queues: dict[str, Thing] = field(default_factory=dict)
    jobs: dict[str, ServiceJob] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.training = load_model("sagemaker").operation_model("CreateTrainingJob").input_shape
        kinds = (("ServiceEnvironment", "serviceEnvironment", self.environments), ("JobQueue", "jobQueue", self.queues))
        for name, word, things in kinds:
            for verb in (self.create, self.update, self.delete):
                self._on(f"{verb.__name__.capitalize()}{name}", verb, word, things)
            self._on(f"Describe{name}s", self.describe, word, things)
        for handler in (self.SubmitServiceJob, self.DescribeServiceJob, self.ListServiceJobs, self.TerminateServiceJob):
            self._on(handler.__name__, handler)

    def create(self, asked: Mapping[str, Any], word: str, things: dict[str, Thing]) -> Mapping[str, Any]:
        """Begin to create an environment or a queue."""
        name = asked[f"{word}Name"]
        if name in things:
            raise refused("Object already exists")
        for one in asked.get("serviceEnvironmentOrder", ()):
            self._thing(self.environments, one["serviceEnvironment"])
        where = f"arn:aws:batch:{REGION}:{ACCOUNT}:{'job-queue' if word == 'jobQueue' else 'service-environment'}/{name}"
        more: dict[str, Any] = {"computeEnvironmentOrder": []} if word == "jobQueue" else {}
        things[name] = Thing({**asked, **more, f"{word}Arn": where, "status": "CREATING"}, self.polls)
        return {f"{word}Name": name, f"{word}Arn": where}

    def describe(self, asked: Mapping[str, Any], word: str, things: dict[str, Thing]) -> Mapping[str, Any]:
        """A page of those that are named, or of all; each answer is a moment later."""
        for name, thing in list(things.items()):
            thing.left -= 1
            if thing.left <= 0 and thing.about["status"] == "DELETING":
                del things[name]
            elif thing.left <= 0:
                thing.about["status"] = "VALID"
        names = [name for name in sorted(things) if name in asked.get(f"{word}s", things)]
        found, more = self._page(names, asked)
        return {f"{word}s": [dict(things[name].about) for name in found], **more}

    def update(self, asked: Mapping[str, Any], word: str, things: dict[str, Thing]) -> Mapping[str, Any]:
        """Begin to change one."""
        thing = self._thing(things, asked[word])
        self._free(thing)
        thing.about |= {key: value for key, value in asked.items() if key != word} | {"status": "UPDATING"}
        thing.left = self.polls
        return {f"{word}Name": asked[word], f"{word}Arn": thing.about[f"{word}Arn"]}

    def delete(self, asked: Mapping[str, Any], word: str, things: dict[str, Thing]) -> Mapping[str, Any]:
        """Begin to delete one that is disabled and that nothing needs."""
        thing = things.get(asked[word])
        if thing is None:
            return {}
        self._free(thing)
        if thing.about["state"] != "DISABLED":
            raise refused(f"Cannot delete, {word} must be disabled first")
        used = [one["serviceEnvironment"] for queue in self.queues.values() for one in queue.about["serviceEnvironmentOrder"]]
        if word == "serviceEnvironment" and asked[word] in used:
            raise refused("Cannot delete, found existing JobQueue relationship")
        thing.about["status"], thing.left = "DELETING", self.polls
        return {}

    def SubmitServiceJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - the operations' own names, here and below
        """Put a job into the queue."""
        queue = self._thing(self.queues, asked["jobQueue"])
        if queue.about["state"] != "ENABLED":
            raise refused(f"JobQueue {asked['jobQueue']} is not enabled")
        if wrong := faults(json.loads(asked["serviceRequestPayload"]), self.training):
            raise refused(f"CreateTrainingJob: {wrong}")
        if any(job.asked["clientToken"] == asked["clientToken"] for job in self.jobs.values()):
            raise refused("Duplicate request for the client token")
        job = ServiceJob(str(uuid.uuid4()), asked, 1_767_225_600_000 + len(self.jobs))
        self.jobs[job.id] = job
        return {"jobId": job.id, "jobName": asked["jobName"]}

    def DescribeServiceJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Say how it is."""
        if asked["jobId"] not in self.jobs:
            raise refused(f"Service job {asked['jobId']} does not exist")
        self._schedule()
        job = self.jobs[asked["jobId"]]
        passed = {"serviceJobType": "SAGEMAKER_TRAINING", "serviceRequestPayload": job.asked["serviceRequestPayload"]}
        return {**self._summary(job), **passed, "startedAt": job.created, "jobQueue": job.asked["jobQueue"], "tags": job.asked["tags"]}

    def ListServiceJobs(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page of those in a state, or of a name."""
        self._thing(self.queues, asked["jobQueue"])
        self._schedule()
        names = [name.lower() for one in asked.get("filters", ()) for name in one["values"] if one["name"] == "JOB_NAME"]
        mine = [job for job in self.jobs.values() if job.asked["jobQueue"] == asked["jobQueue"]]
        if names:
            found = [job for job in mine if job.asked["jobName"].lower() in names]
        else:
            found = [job for job in mine if self._status(job) == asked.get("jobStatus", "RUNNING")]
        page, more = self._page([job.id for job in found], asked)
        return {"jobSummaryList": [self._summary(self.jobs[one]) for one in page], **more}

    def TerminateServiceJob(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Stop it, or take it out of the queue."""
        job = self.jobs[asked["jobId"]]
        if self._status(job) not in ("SUCCEEDED", "FAILED"):
            job.terminated = True
            if job.run is not None:
                self.runs.stop(job.run)
        return {}

    def _schedule(self) -> None:
        """Let those run for which there is room."""
        for name, environment in self.environments.items():
            room = sum(limit["maxCapacity"] for limit in environment.about["capacityLimits"])
            mine = [job for job in self.jobs.values() if job.asked["jobQueue"] == name and self._status(job) not in ("SUCCEEDED", "FAILED")]
            for job in mine[:room]:
                if job.run is None:
                    payload = json.loads(job.asked["serviceRequestPayload"])
                    command = payload["AlgorithmSpecification"]["ContainerEntrypoint"]
                    job.run = self.runs.run(_training_name(job), payload, command, TRAINING_GROUP)

    def _status(self, job: ServiceJob) -> str:
        if job.run is None:
            return "FAILED" if job.terminated else "RUNNABLE"
        if job.run.ended is None:
            return "RUNNING"
        return "FAILED" if job.terminated or job.run.process.returncode else "SUCCEEDED"

    def _summary(self, job: ServiceJob) -> dict[str, Any]:
        status = self._status(job)
        told: dict[str, Any] = {
            "jobId": job.id, "jobName": job.asked["jobName"], "serviceJobType": "SAGEMAKER_TRAINING", "status": status,
            "createdAt": job.created, "isTerminated": job.terminated, "statusReason": f"it is {status}",
        }  # fmt: skip
        if job.run is not None:
            place = {"name": "TrainingJobArn", "value": arn("training-job", _training_name(job))}
            told |= {"latestAttempt": {"serviceResourceId": place}, "capacityUsage": [{"capacityUnit": "NUM_INSTANCES", "quantity": 1.0}]}
        if status in ("SUCCEEDED", "FAILED"):
            told["stoppedAt"] = job.created + 60_000
        return told

    def _thing(self, things: Mapping[str, Thing], name: str) -> Thing:
        if name not in things:
            raise refused(f"{name} does not exist")
        return things[name]

    def _free(self, thing: Thing) -> None:
        if thing.about["status"] != "VALID":
            raise refused("Cannot update, resource is being modified.")

    def _page(self, names: list[str], asked: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        start = int(asked.get("nextToken", "0"))
        return names[start : start + self.page], {"nextToken": str(start + self.page)} if start + self.page < len(names) else {}

    def _on(self, operation: str, handler: Callable[..., Mapping[str, Any]], *more: Any) -> None:
        def handle(asked: dict[str, Any]) -> Mapping[str, Any]:
            with self.lock:
                return handler(asked, *more)

        self.aws.on("batch", operation, handle)


def refused(text: str) -> AwsError:
    """Return the error that Batch has for everything that the client did wrong."""
    return AwsError("ClientException", text)


def _training_name(job: ServiceJob) -> str:
    """Return the name that Batch gives the training job: of ours, and a number of its own."""
    return f"awsbatch{job.asked['jobName'][:22]}{job.id.replace('-', '')}"
