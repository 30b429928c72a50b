"""Jobs on this machine: child processes that outlive the command which started them, with a log and a kept exit code.

    jobs/<id>/   resource.json, job.json (the request), work/ (where it runs), log, and the files of `runner`

A job that names a compute (`resources={"compute": NAME}`) is `queued` until that has a machine free, first come, first served; it gets
the CPUs and the memory of such a machine, or the less that it asks for.

The id comes from the token, so asking again finds the same job; one whose start was cut off (`queued`) is started then.
Of the caller's environment a job gets PATH, HOME, LANG, LC_ALL, TMPDIR and USER, and what the request names.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.files import read_json, write_json
from mcml.providers.api.jobs import Job, JobRequest, Jobs, JobState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import worker
from mcml.providers.local.computes import machine_of
from mcml.providers.local.layout import RESOURCE_FILE, locked, root_of, write_resource
from mcml.providers.local.machines import GIB, available_cpus, check_fits, choose_cpus, parse_resources
from mcml.providers.local.runner import LOG_FILE
from mcml.providers.local.scope import id_of_token, new_folder, new_resource

POLL_SECONDS = 0.1
_READ_BYTES = 1 << 16


def open_jobs(ctx: ProviderContext) -> Jobs:
    """Return the jobs of the context's target."""
    return LocalJobs(ctx)


class LocalJobs:
    """Jobs as processes."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._folder = root_of(ctx) / "jobs"

    def submit(self, request: JobRequest) -> Job:
        """Start it; the same token gives the job that is there.

        Raises InvalidRequest (an image, an empty or unknown command, a token that stands for another request), QuotaExceeded, NotFound
        for a compute that is not there.
        """
        folder = self._folder / id_of_token(self._ctx, "job", request.token)
        with locked(root_of(self._ctx), folder.name):
            if not (folder / RESOURCE_FILE).exists():
                command = _command(self._ctx, request)
                with new_folder(folder) as stage:
                    write_json(stage / "job.json", {**_about(request), "submitted": rfc3339(self._ctx.clock())}, mode=0o600)
                    worker.prepare(stage, command)
                    write_resource(stage, new_resource(self._ctx, "job", folder.name, request.tags))
            elif not _same(read_json(folder / "job.json"), request):
                why = f"the token stands for the job {folder.name} with another command, environment or resources"
                raise InvalidRequest(f"cannot submit the job {request.name!r}", why=why, next_step="use a new token for a new job")
            run = worker.look(folder)
            if run.state == "waiting" and not run.over:
                worker.start(folder)
        return _job(folder)

    def status(self, job: str) -> Job:
        """Return it as it is now. Raises NotFound."""
        return _job(self._existing(job))

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Yield its output line by line; with `follow` until it ends. Raises NotFound."""
        return _lines(self._existing(job), follow)

    def cancel(self, job: str) -> Job:
        """Stop it and all that it started in its process group; one that has ended stays as it is. Raises NotFound."""
        folder = self._existing(job)
        with locked(root_of(self._ctx), folder.name):
            worker.halt(folder)
        return _job(folder)

    def _existing(self, job: str) -> Path:
        folder = self._folder / job
        if folder.parent != self._folder or not (folder / RESOURCE_FILE).is_file():
            raise NotFound(f"no job {job!r}", why="it was never submitted here, or it is deleted")
        return folder


def _command(ctx: ProviderContext, request: JobRequest) -> worker.Command:
    """Return what to run. Raises InvalidRequest, QuotaExceeded, NotFound."""
    cannot = f"cannot submit the job {request.name!r}"
    if request.image:
        raise InvalidRequest(cannot, why=f"it names the image {request.image}: one machine runs no containers", next_step="name no image")
    if not request.command:
        raise InvalidRequest(cannot, why="its command is empty")
    path = request.environment.get("PATH", os.environ.get("PATH"))
    if shutil.which(request.command[0], path=path) is None:
        raise InvalidRequest(cannot, why=f"there is no program {request.command[0]!r}", next_step="give its full path")
    cpus, memory = parse_resources({name: value for name, value in request.resources.items() if name != "compute"})
    check_fits(f"the job {request.name!r}", cpus or 0, memory or 0)
    if "compute" in request.resources:
        return _on_compute(ctx, request, cpus, memory)
    return worker.Command(request.command, request.environment, choose_cpus(available_cpus(), (), cpus) if cpus else (), memory)


def _on_compute(ctx: ProviderContext, request: JobRequest, cpus: int | None, memory: int | None) -> worker.Command:
    """Return what to run on a machine of a compute. Raises NotFound, InvalidRequest for more than such a machine has."""
    pool, machine = machine_of(ctx, request.resources["compute"])
    if (cpus or 0) > machine.vcpus or (memory or 0) > machine.memory_gib * GIB:
        why = f"it asks for more than the {machine.vcpus} CPUs and {machine.memory_gib} GiB of a {machine.name}"
        raise InvalidRequest(f"cannot submit the job {request.name!r}", why=why, next_step="ask for less, or make a larger compute")
    memory = memory or machine.memory_gib * GIB
    return worker.Command(request.command, request.environment, available_cpus(), memory, str(pool), cpus or machine.vcpus)


def _about(request: JobRequest) -> dict[str, object]:
    return {
        "name": request.name,
        "command": list(request.command),
        "environment": dict(request.environment),
        "resources": dict(request.resources),
    }


def _same(said: dict[str, object], request: JobRequest) -> bool:
    return all(said[key] == value for key, value in _about(request).items())


def _job(folder: Path) -> Job:
    about, run = read_json(folder / "job.json"), worker.look(folder)
    if about is None:
        raise NotFound(f"no job {folder.name!r}", why="it is deleted")
    state = state_of(run)
    ended = run.ended or (run.halted if state == "cancelled" else None)
    detail = "told to stop" if state == "cancelled" else run.detail
    return Job(folder.name, about["name"], state, parse_rfc3339(about["submitted"]), ended, run.exit_code, detail)


def state_of(run: worker.Run) -> JobState:
    """Decide a job's state from how its command is; one that ended before it was told to is not cancelled."""
    if run.state == "running" or run.state == "queued":
        return run.state
    if run.halted is not None and (run.ended is None or run.ended >= run.halted):
        return "cancelled"
    if run.state == "ended":
        return "succeeded" if run.exit_code == 0 else "failed"
    return "queued" if run.state == "waiting" else "failed"


def _lines(folder: Path, follow: bool) -> Iterator[str]:
    rest = b""
    with (folder / LOG_FILE).open("rb") as log:
        while True:
            over = not follow or worker.look(folder).over or not folder.exists()
            while block := log.read(_READ_BYTES):
                *lines, rest = (rest + block).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if over:
                break
            time.sleep(POLL_SECONDS)
    if rest:
        yield rest.decode(errors="replace")
