"""Azure ML jobs in the stub of Azure Resource Manager, the run history and the logs of the region beside: the commands really run here.

Shapes: Job/CommandJob of https://github.com/Azure/azure-rest-api-specs (MIT), judged by the SDK's models; the run history's RunDetails, of
which only the fields that are used are given. Logs are append blobs behind a signature: ranges, 416 beyond the end, no token.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, Reply, Request, missing
from mcml.testing.stubs.azure_models import Field, Shape
from tests.providers.azure.ml_stub import SDK, WORKSPACE, Ml

JOB = f"{WORKSPACE}/jobs/{{job}}"
SIGNATURE = "sv=2024&sig=c2VjcmV0LXNpZ25hdHVyZQ"
ERROR = Shape("RunError", {"error": Shape("RootError", {"code": Field(str), "message": Field(str)})})
DETAILS = Shape(
    "RunDetails",
    {
        "runId": Field(str, required=True),
        "status": Field(str, required=True),
        "createdTimeUtc": Field(datetime),
        "endTimeUtc": Field(datetime),
        "error": ERROR,
        "logFiles": Field(dict[str, str]),
    },
)


@dataclass
class Run:
    """A job that runs, or ran."""

    body: dict[str, Any]
    process: subprocess.Popen[bytes]
    created: str
    ended: str = ""
    cancelled: bool = False


@dataclass
class MlJobsStub:
    """Jobs of the workspace of an `Ml`. `runs` by name; `starts` counts the processes that were ever started; `computes`, where they are
    given, are all that jobs may run on."""

    ml: Ml
    folder: Path
    runs: dict[str, Run] = field(default_factory=dict)
    starts: int = 0
    leaks: list[str] = field(default_factory=list)
    computes: Mapping[str, Any] | None = None

    def serve(self) -> "MlJobsStub":
        """Register the handlers; the region's services answer at the same address."""
        arm = self.ml.arm
        self.ml.discovery = f"{arm.url}/discovery"
        arm.on("GET", JOB, self.get, sdk=SDK, answer="JobBase")
        arm.on("PUT", JOB, self.put, sdk=SDK, body="JobBase", answer="JobBase")
        arm.on("POST", f"{JOB}/cancel", self.cancel, sdk=SDK)
        arm.on("GET", "/discovery", lambda request: {"api": request.origin, "history": "x"}, sdk="", answer="object", anonymous=True)
        arm.on("GET", f"/history/v1.0{WORKSPACE}/runs/{{job}}/details", self.details, sdk="", answer=DETAILS)
        arm.on("GET", "/logs/{job}", self.log, sdk="", answer="object", anonymous=True)
        return self

    def close(self) -> None:
        """Leave no process behind."""
        for run in self.runs.values():
            self.kill(run)

    def kill(self, run: Run) -> None:
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait(10)

    def put(self, request: Request) -> Reply:
        name = request.parts["job"]
        if name in self.runs:
            return Reply(200, self.shown(request.path, name))
        told = request.body["properties"]
        if told["environmentId"] not in self.ml.assets:
            raise ArmError(400, "UserError", "No such environment.")
        if self.computes is not None and told["computeId"].rpartition("/")[2] not in self.computes:
            raise ArmError(400, "UserError", "No such compute.")
        self.starts += 1
        with (self.folder / name).open("wb") as log:
            env = {"PATH": os.environ["PATH"], **told.get("environmentVariables", {})}
            process = subprocess.Popen(
                ["bash", "-c", told["command"]], stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )
        self.runs[name] = Run(request.body, process, datetime.now(UTC).isoformat())
        return Reply(201, self.shown(request.path, name))

    def get(self, request: Request) -> dict[str, Any]:
        if request.parts["job"] not in self.runs:
            raise missing(f"Microsoft.MachineLearningServices/workspaces/ml/jobs/{request.parts['job']}")
        return self.shown(request.path, request.parts["job"])

    def cancel(self, request: Request) -> Reply:
        run = self.runs[request.parts["job"]]
        if run.process.poll() is not None and not run.cancelled:
            raise ArmError(400, "UserError", "The job is in a terminal state.")
        run.cancelled = True
        return self.ml.arm.operation(request, lambda: self.kill(run), via="location")

    def details(self, request: Request) -> dict[str, Any]:
        name = request.parts["job"]
        if name not in self.runs:
            raise missing(f"run {name}")
        run, status = self.runs[name], self.state(name)
        told: dict[str, Any] = {"runId": name, "status": status, "createdTimeUtc": run.created}
        if run.ended:
            told["endTimeUtc"] = run.ended
        if status == "Failed":
            why = f"Execution failed. User process 'bash' exited with status code {run.process.returncode}. Please check log file."
            told["error"] = {"error": {"code": "UserError", "message": why}}
        mine = f"{request.origin}/logs/{name}?{SIGNATURE}"
        return {**told, "logFiles": {"system_logs/lifecycler/a.log": "https://nowhere.example/x", "user_logs/std_log.txt": mine}}

    def log(self, request: Request) -> Reply:
        if "authorization" in request.headers:
            self.leaks.append(request.path)
        content = (self.folder / request.parts["job"]).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if wanted is None:
            return Reply(200, content)
        start, end = int(wanted[1]), int(wanted[2])
        return Reply(206, content[start : end + 1]) if start < len(content) else Reply(416)

    def state(self, name: str) -> str:
        run = self.runs[name]
        code = run.process.poll()
        if code is None:
            return "CancelRequested" if run.cancelled else "Running"
        run.ended = run.ended or datetime.now(UTC).isoformat()
        return "Canceled" if run.cancelled else "Failed" if code else "Completed"

    def shown(self, path: str, name: str) -> dict[str, Any]:
        run = self.runs[name]
        told = {**run.body["properties"], "status": self.state(name)}
        return {"id": path, "name": name, "properties": told, "systemData": {"createdAt": run.created, "createdByType": "User"}}
