"""Jobs on Azure Machine Learning: command jobs of the settings' workspace. https://learn.microsoft.com/rest/api/azureml/jobs

A job's id follows from its token, so the same token is the same job, whoever asks. It runs in an image (an environment of that name is
made once), on a compute cluster of the workspace. When it ended and why it failed is in the run history (`run_history`); the exit code is
read out of what that says in words, and None where it does not name one. The output is what Azure ML collects in `user_logs/std_log*.txt`.
"""

import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import isodate  # type: ignore[import-untyped]

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import name_of_token
from mcml.providers.azure.computes import is_there
from mcml.providers.azure.ml_workspace import Workspace, numbers
from mcml.providers.azure.operations import wait_for
from mcml.providers.azure.run_history import RunHistory
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

RESOURCES = ("compute", "instances")
FOLLOW_SECONDS = 5.0
OVER: dict[str, JobState] = {"Completed": "succeeded", "Failed": "failed", "Canceled": "cancelled"}
_WAITING = {"NotStarted", "Starting", "Provisioning", "Preparing", "Queued"}
_EXIT_CODE = re.compile(r"\bexit(?:ed with)?(?: status)? code:? (\d+)")
_LOG = re.compile(r"user_logs/std_log(_process_\d+)?\.txt|azureml-logs/70_driver_log\.txt")


def open_jobs(ctx: ProviderContext) -> Jobs:
    """Return the jobs of the context's target."""
    return MlJobs(Workspace(Session(ctx, policy=Policy(budget=ctx.budget))), ctx.target)


class MlJobs:
    """Command jobs of one target. `follow_seconds` is the time between two looks at a log that is followed."""

    def __init__(self, workspace: Workspace, target: str, *, follow_seconds: float = FOLLOW_SECONDS) -> None:
        self._ws = workspace
        self._session = workspace.session
        self._target = target
        self._history = RunHistory(workspace)
        self._follow_seconds = follow_seconds

    def submit(self, request: JobRequest) -> Job:
        """Start it, unless the token was seen before. Resources: compute (a cluster; that of the settings), instances (1).

        Raises InvalidRequest, QuotaExceeded, NotFound for the workspace and for a cluster that the request names.
        """
        what = f"submit job {request.name} on {self._target}"
        command = self._check(what, request)
        name = name_of_token(self._session, self._target, "job", request.token)
        known = self._known(name)
        if known is not None:
            return self._told(known)
        self._check_compute(what, request)
        body = self._body(what, request, command)
        jobs = self._ws.client.jobs
        try:  # to put a job again under the same id does not run it again
            made = self._session.call(what, lambda: jobs.create_or_update(*self._ws.place, name, body))
        except Conflict:
            made = self._known(name)
            if made is None:
                raise
        return self._told(made)

    def status(self, job: str) -> Job:
        """Return it as it is now. Raises NotFound."""
        return self._told(self._get(job))

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Yield its output line by line (of several processes one after the other); with `follow` until it ends. Raises NotFound."""
        self._get(job)
        read: dict[str, int] = {}
        rest: dict[str, bytes] = {}
        while True:
            details = self._history.details(job)
            over = details.get("status") in OVER
            for name in sorted(name for name in details.get("logFiles") or {} if _LOG.fullmatch(name)):
                for piece in self._history.read(f"read the log of job {job}", details["logFiles"][name], read.get(name, 0)):
                    read[name] = read.get(name, 0) + len(piece)
                    *lines, rest[name] = (rest.get(name, b"") + piece).split(b"\n")
                    yield from map(_text, lines)
            if over or not follow:
                yield from (_text(last) for _, last in sorted(rest.items()) if last)
                return
            self._session.policy.sleep(self._follow_seconds)

    def cancel(self, job: str) -> Job:
        """Stop it and return when it has stopped; one that has ended stays as it is. Raises NotFound."""
        found = self.status(job)
        if found.state in OVER.values():
            return found
        begin = self._ws.client.jobs.begin_cancel
        try:
            wait_for(self._session, f"cancel job {job}", lambda **options: begin(*self._ws.place, job, **options))
        except (Conflict, InvalidRequest):  # it may have ended by itself meanwhile
            found = self.status(job)
            if found.state not in OVER.values():
                raise
            return found
        return self.status(job)

    def _check(self, what: str, request: JobRequest) -> str:
        """Return the command as Azure ML's shell takes it. Raises InvalidRequest."""
        numbers(what, request.resources, RESOURCES, ("instances",))
        command = shlex.join(request.command)
        named = request.resources.get("compute") or self._session.settings.compute
        for missing, why, step in (
            (not command, "it has no command", ""),
            ("${{" in command, "Azure ML would fill in what stands between ${{ and }}", "put the command into a script of the image"),
            (not request.image, "Azure ML runs jobs in containers: it names no image", "give the job an image"),
            (not named, "it names no compute", "set compute in [providers.azure] of mcml.toml (az ml compute list --output table)"),
        ):
            if missing:
                raise InvalidRequest(f"cannot {what}", why=why, next_step=step)
        return command

    def _check_compute(self, what: str, request: JobRequest) -> None:
        """Raise NotFound for a compute that the request names and the workspace does not have."""
        named = request.resources.get("compute", "")
        if named and not named.startswith("/") and not is_there(self._ws, named):
            why = f"the workspace {self._ws.at.name} has no compute {named!r}"
            raise NotFound(f"cannot {what}", why=why, next_step="az ml compute list --output table")

    def _body(self, what: str, request: JobRequest, command: str) -> Any:
        models = self._ws.models
        compute = request.resources.get("compute") or self._session.settings.compute
        told = models.CommandJob(
            command=command,
            environment_id=self._ws.environment(what, request.image),
            compute_id=compute if compute.startswith("/") else f"{self._ws.at}/computes/{compute}",
            display_name=request.name,
            experiment_name="mcml",
            environment_variables=dict(request.environment),
            resources=models.JobResourceConfiguration(instance_count=int(request.resources.get("instances", "1"))),
            tags=dict(request.tags),
        )
        return models.JobBase(properties=told)

    def _known(self, job: str) -> Any:
        """Return a job, or None. Raises NotFound for the workspace."""
        try:
            return self._get(job)
        except NotFound:
            self._ws.check()
            return None

    def _get(self, job: str) -> Any:
        return self._session.call(f"look at job {job}", lambda: self._ws.client.jobs.get(*self._ws.place, job))

    def _told(self, found: Any) -> Job:
        about = found.properties
        submitted, status = found.system_data.created_at, str(about.status or "")
        name = str(about.display_name or found.name)
        if status not in OVER:
            return Job(str(found.name), name, "queued" if status in _WAITING else "running", submitted, detail=f"Azure ML says {status}")
        details = self._history.details(str(found.name))
        ended, said = details.get("endTimeUtc"), _reason(details)
        code = 0 if status == "Completed" else exit_code(said) if status == "Failed" else None
        return Job(str(found.name), name, OVER[status], submitted, _time(ended), code, said)


def exit_code(said: str) -> int | None:
    """Return the exit code that Azure ML's words name, None when they name none."""
    found = _EXIT_CODE.search(said)
    return int(found[1]) if found else None


def _reason(details: dict[str, Any]) -> str:
    error = ((details.get("error") or {}).get("error") or {}).get("message") or ""
    return str(error).strip()[:1000]


def _time(text: str | None) -> datetime | None:
    found: datetime | None = isodate.parse_datetime(text) if text else None
    return found


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
