"""Vertex AI's custom jobs and their log: handlers for the discovery stub and the gRPC stub. Each look is a moment later."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api.monitored_resource_pb2 import MonitoredResource
from google.cloud.logging_v2.types import ListLogEntriesResponse, LogEntry

from mcml.testing.stubs import google_grpc as grpc
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError

CUSTOM_JOBS = "aiplatform.projects.locations.customJobs"
LIST_ENTRIES = "/google.logging.v2.LoggingServiceV2/ListLogEntries"
OVER = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
OUTPUT = {"talks": ["one", "two"], "fails": ["three"], "sleeps": ["asleep"]}


class CustomJobs:
    """The state; jobs by name. `page` is how many are on a page, of the log too; `pools` tells the persistent resources by name."""

    def __init__(self, pools: Mapping[str, dict[str, Any]] | None = None) -> None:
        self.pools = {} if pools is None else pools
        self.jobs: dict[str, dict[str, Any]] = {}
        self.page = 1
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.entries: list[LogEntry] = []

    def serve(self, stub: DiscoveryStub, log: grpc.GrpcStub) -> None:
        for name in ("create", "get", "list", "cancel"):
            stub.on(f"{CUSTOM_JOBS}.{name}", getattr(self, name))
        log.on(LIST_ENTRIES, self.list_entries)

    def snapshot(self) -> "CustomJobs":
        return copy.deepcopy(self)

    def time(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def stamp(self) -> str:
        return f"{self.time():%Y-%m-%dT%H:%M:%S.123456Z}"

    def create(self, call: Call) -> dict[str, Any]:
        self.check_pool(call)
        name = f"{call['parent']}/customJobs/{7000 + len(self.jobs)}"
        job = {**call.body, "name": name, "state": "JOB_STATE_PENDING", "createTime": self.stamp()}
        self.jobs[name] = job
        return job

    def check_pool(self, call: Call) -> None:
        """A job on a persistent resource asks for machines exactly like those of one of its pools."""
        spec = call.body["jobSpec"]
        named = spec.get("persistentResourceId")
        if named is None:
            return
        (asked,) = spec["workerPoolSpecs"]
        pools = self.pools.get(f"{call['parent']}/persistentResources/{named}", {"resourcePools": []})["resourcePools"]
        if not any(all(asked[part] == pool[part] for part in ("machineSpec", "diskSpec")) for pool in pools):
            raise GoogleError(400, f"No resource pool of {named} fits the job.")

    def get(self, call: Call) -> dict[str, Any]:
        if call["name"] not in self.jobs:
            raise GoogleError(404, f"The CustomJob does not exist: {call['name']}")
        job = self.jobs[call["name"]]
        self.go_on(job)
        return job

    def go_on(self, job: dict[str, Any]) -> None:
        kind = job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["command"][-1]
        if job["state"] == "JOB_STATE_PENDING":
            job["state"] = "JOB_STATE_RUNNING"
            self.write(job, OUTPUT[kind])
        elif job["state"] == "JOB_STATE_RUNNING" and kind != "sleeps":
            self.end(job, "JOB_STATE_FAILED" if kind == "fails" else "JOB_STATE_SUCCEEDED")
        elif job["state"] == "JOB_STATE_CANCELLING":
            self.end(job, "JOB_STATE_CANCELLED")

    def end(self, job: dict[str, Any], state: str) -> None:
        job |= {"state": state, "endTime": self.stamp()}
        if state == "JOB_STATE_FAILED":
            job["error"] = {"code": 3, "message": "The replica workerpool0-0 exited with a non-zero status of 3. Look at the logs."}

    def list(self, call: Call) -> dict[str, Any]:
        wanted = re.fullmatch(r'labels\.(\w+)="(\w+)"', call["filter"])
        assert wanted
        found = [job for job in self.jobs.values() if job["labels"].get(wanted[1]) == wanted[2]]
        start = int(call.get("pageToken") or 0)
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        return {"customJobs": found[start : start + self.page], **more}

    def cancel(self, call: Call) -> dict[str, Any]:
        job = self.jobs[call["name"]]
        if job["state"] in OVER:
            raise GoogleError(400, "CustomJob is in a final state.", status="FAILED_PRECONDITION")
        job["state"] = "JOB_STATE_CANCELLING"
        return {}

    def write(self, job: dict[str, Any], lines: Sequence[str], task: str = "workerpool0-0", late: timedelta = timedelta()) -> None:
        """Write lines to the log, which arrive now and are `late` older; their log's name is the task's."""
        number = job["name"].rpartition("/")[2]
        resource = MonitoredResource(type="ml_job", labels={"job_id": number, "project_id": "stub-project", "task_name": task})
        for line in lines:
            about = {"insert_id": f"i{len(self.entries)}", "timestamp": self.time() - late, "resource": resource}
            if line.startswith("{"):
                about |= {"json_payload": json.loads(line)}
            else:
                about |= {"text_payload": line} if len(self.entries) % 2 else {"json_payload": {"message": line, "levelname": "INFO"}}
            self.entries.append(LogEntry({"log_name": f"projects/stub-project/logs/{task}", **about}))

    def list_entries(self, call: grpc.Call) -> ListLogEntriesResponse:
        request = call.request
        assert (list(request.resource_names), request.order_by) == (["projects/stub-project"], "timestamp asc")
        labels = r'resource\.labels\.job_id="(\d+)" AND resource\.labels\.task_name="([^"]+)"'
        shape = rf'resource\.type="ml_job" AND {labels} AND timestamp>="([^"]+)"'
        wanted = re.fullmatch(shape, request.filter)
        assert wanted, request.filter
        of, since = {"job_id": wanted[1], "task_name": wanted[2]}, datetime.fromisoformat(wanted[3])
        found = [one for one in self.entries if of.items() <= dict(one.resource.labels).items() and one.timestamp >= since]
        found.sort(key=lambda one: one.timestamp)
        start = int(request.page_token or 0)
        more = str(start + self.page) if start + self.page < len(found) else ""
        return ListLogEntriesResponse(entries=found[start : start + self.page], next_page_token=more)
