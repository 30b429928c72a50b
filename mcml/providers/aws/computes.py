"""Computes on AWS: how many machines SageMaker's training jobs may have at once, and the queue where they wait for one.

https://docs.aws.amazon.com/batch/latest/userguide/service-jobs.html. A job of SageMaker brings its own machines, so there is no pool that
stands by; AWS Batch keeps a *service environment* (so many machines) with a job queue in front, both of the compute's name, and hands a
job to SageMaker when there is room. The machine type, and whether it is a spot machine, are tags of the environment that our own jobs read:
Batch counts machines of all types. HyperPod's clusters are Slurm or Kubernetes, and no job of SageMaker runs on them.
"""

import re
from collections.abc import Mapping
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, unknown
from mcml.providers.api.computes import Compute, ComputeRequest, Computes, ComputeState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.assets import check_compute, check_limits, version_of
from mcml.providers.aws.batch import Batch
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, TOKEN
from mcml.providers.resilience import Policy

KIND, UNIT = "SAGEMAKER_TRAINING", "NUM_INSTANCES"
MACHINE, SPOT = "mcml-machine", "mcml-spot"
RUNNING, WAITING = ("SCHEDULED", "STARTING", "RUNNING"), ("SUBMITTED", "PENDING", "RUNNABLE")
ENVIRONMENT, QUEUE = "service_environment", "job_queue"
STATES: Mapping[str, ComputeState] = {
    "CREATING": "creating",
    "UPDATING": "changing",
    "DELETING": "deleting",
    "DELETED": "deleting",
    "VALID": "ready",
    "INVALID": "failed",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def open_computes(ctx: ProviderContext) -> Computes:
    """Return the service environments of the account in the region."""
    return BatchComputes(Session(ctx, policy=Policy(budget=ctx.budget)))


class BatchComputes:
    """Service environments of one account and region that mcml made."""

    def __init__(self, session: Session) -> None:
        self._batch = Batch(session)

    def create(self, request: ComputeRequest) -> Compute:
        """Make environment and queue. Nothing is paid for before a job runs.

        Raises InvalidRequest, also for a minimum above 0, QuotaExceeded, Conflict, StillRunning.
        """
        doing, token = f"cannot make the compute {request.name!r}", version_of(request.token)
        check_compute(request)
        _check_minimum(doing, request.minimum)
        if not _NAME.fullmatch(request.name):
            raise InvalidRequest(doing, why="a name is up to 63 letters, digits, '-' and '_', a letter or digit first")
        own = {**OURS, TOKEN: token, MACHINE: request.machine, SPOT: str(request.spot).lower()}
        environment = {"serviceEnvironmentType": KIND, "capacityLimits": _capacity(request.maximum), "tags": {**request.tags, **own}}
        found = self._ensure(doing, ENVIRONMENT, request.name, environment)
        if found["tags"].get(TOKEN) != token:
            why = f"there is a service environment {request.name!r} that another request made"
            raise Conflict(doing, why=why, next_step="choose another name")
        order = [{"order": 1, "serviceEnvironment": request.name}]
        self._ensure(doing, QUEUE, request.name, {"jobQueueType": KIND, "priority": 1, "serviceEnvironmentOrder": order, "tags": OURS})
        return self.describe(request.name)

    def list(self) -> list[Compute]:
        """Return all that mcml made, by name."""
        found = self._batch.pages("cannot list the computes", "describe_service_environments", "serviceEnvironments")
        return sorted((self._told(one) for one in found if _is_ours(one)), key=lambda one: one.name)

    def describe(self, name: str) -> Compute:
        """Return it as it is now. Raises NotFound."""
        return self._told(self._must_find(name))

    def scale(self, name: str, minimum: int, maximum: int) -> Compute:
        """Set how many machines there may be at once. Raises NotFound, InvalidRequest."""
        doing = f"cannot scale the compute {name!r}"
        self._must_find(name)
        check_limits(doing, minimum, maximum)
        _check_minimum(doing, minimum)
        self._update(doing, ENVIRONMENT, name, capacityLimits=_capacity(maximum))
        return self.describe(name)

    def delete(self, name: str) -> bool:
        """Delete queue and environment; False when they were gone. Raises Conflict while jobs run or wait there."""
        doing, found = f"cannot delete the compute {name!r}", self._find(ENVIRONMENT, name)
        if found is None or not _is_ours(found):
            return False
        if self._find(QUEUE, name) is not None:
            if busy := sum(1 for status in (*RUNNING, *WAITING) for _ in self._jobs(name, status)):
                raise Conflict(doing, why=f"{busy} of its jobs run or wait", next_step="wait for them, or cancel them")
            self._remove(doing, QUEUE, name)
        self._remove(doing, ENVIRONMENT, name)
        return True

    def _ensure(self, doing: str, kind: str, name: str, about: dict[str, Any]) -> Any:
        """Make an environment or a queue unless it is there, and return it when nothing is done to it any more."""
        if self._find(kind, name) is None:
            try:
                self._batch.ask(doing, f"create_{kind}", state="ENABLED", **{_field(kind, "Name"): name}, **about)
            except Conflict:  # somebody made it meanwhile, or ourselves when the answer was lost
                if self._find(kind, name) is None:
                    raise
        found = self._settle(doing, kind, name)
        if found is None or found["status"] == "INVALID":
            raise InvalidRequest(doing, why=(found or {}).get("statusReason") or f"AWS Batch gives no reason why its {kind} is not valid")
        return found

    def _remove(self, doing: str, kind: str, name: str) -> None:
        """Disable an environment or a queue, delete it, and wait until it is gone."""
        self._update(doing, kind, name, state="DISABLED")
        try:
            self._batch.ask(doing, f"delete_{kind}", **{_field(kind): name})
        except (NotFound, Conflict):  # somebody deletes it, or ourselves when the answer was lost
            now = self._find(kind, name)
            if now is not None and now["status"] != "DELETING":
                raise
        self._batch.wait(doing, lambda: self._find(kind, name) is None)

    def _update(self, doing: str, kind: str, name: str, **wanted: Any) -> None:
        """Change an environment or a queue and wait until it is so; one that is gone is fine.

        While another change is at work (perhaps ours, when its answer was lost) it is waited for, and ours made unless it was that.
        """
        for last in (False, False, True):
            found = self._settle(doing, kind, name)
            if found is None or all(found.get(key) == value for key, value in wanted.items()):
                return
            try:
                self._batch.ask(doing, f"update_{kind}", **{_field(kind): name}, **wanted)
            except Conflict:
                if last:
                    raise

    def _settle(self, doing: str, kind: str, name: str) -> Any:
        """Wait until nothing is done to an environment or a queue; return it, None when it is gone."""
        self._batch.wait(doing, lambda: (self._find(kind, name) or {}).get("status") not in ("CREATING", "UPDATING", "DELETING"))
        return self._find(kind, name)

    def _find(self, kind: str, name: str) -> Any:
        if not _NAME.fullmatch(name):
            return None
        plural = f"{_field(kind)}s"
        found = self._batch.ask(f"cannot look at the compute {name!r}", f"describe_{kind}s", **{plural: [name]})[plural]
        return next((one for one in found if one.get("status") != "DELETED"), None)

    def _must_find(self, name: str) -> Any:
        found = self._find(ENVIRONMENT, name)
        if found is None or not _is_ours(found):
            raise unknown("compute", name, [one.name for one in self.list()], next_step="aws batch describe-service-environments")
        return found

    def _jobs(self, name: str, status: str) -> Any:
        doing = f"cannot list the jobs of the compute {name!r}"
        return self._batch.pages(doing, "list_service_jobs", "jobSummaryList", jobQueue=name, jobStatus=status)

    def _told(self, found: Any) -> Compute:
        name, tags = found["serviceEnvironmentName"], found["tags"]
        queue = self._find(QUEUE, name)
        states = [STATES.get(one.get("status", ""), "creating") for one in (found, queue or {})]
        running = (one for status in RUNNING for one in self._jobs(name, status)) if queue else ()
        busy = sum(int(used["quantity"]) for one in running for used in one.get("capacityUsage") or [{"quantity": 1}])
        return Compute(
            name,
            tags[MACHINE],
            next((state for state in states if state != "ready"), "ready"),
            0,
            sum(limit["maxCapacity"] for limit in found["capacityLimits"]),
            nodes=busy,
            busy=busy,
            spot=tags.get(SPOT) == "true",
            detail=(queue or {}).get("statusReason", ""),
            tags={key: value for key, value in tags.items() if key not in (*OURS, TOKEN, MACHINE, SPOT)},
        )


def _is_ours(found: Mapping[str, Any]) -> bool:
    return MACHINE in found.get("tags", {})


def _check_minimum(doing: str, minimum: int) -> None:
    if minimum:
        why = f"its minimum is {minimum}, and SageMaker keeps no machine for jobs that are not there"
        raise InvalidRequest(doing, why=why, next_step="ask for a minimum of 0")


def _capacity(maximum: int) -> list[dict[str, Any]]:
    return [{"maxCapacity": maximum, "capacityUnit": UNIT}]


def _field(kind: str, more: str = "") -> str:
    """Return the name of a field as the API has it: serviceEnvironmentName, jobQueue."""
    first, second = kind.split("_")
    return f"{first}{second.capitalize()}{more}"
