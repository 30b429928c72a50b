"""Computes on Vertex AI: persistent resources of one pool. https://cloud.google.com/vertex-ai/docs/training/persistent-resource-overview

A persistent resource keeps at least one machine, which is paid for whether a job runs or not, and has no spot machines; between a minimum
and a maximum that differ, Vertex AI scales it. Its id is the compute's name. A machine type with accelerators is written
"g2-standard-8+nvidia-l4" ("...:2" for two). Tags are labels: what a label cannot hold is changed. One that others made is listed, scaled
and deleted alike; one of several pools is only listed and deleted.
"""

import re
from collections.abc import Mapping
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, unknown
from mcml.providers.api.computes import Compute, ComputeRequest, Computes, ComputeState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.assets import check_compute, check_limits, version_of
from mcml.providers.gcp import endpoint_parts as parts
from mcml.providers.gcp.rpc import failure, wait_for
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.vertex import MANAGED, QUOTAS, Vertex, labels
from mcml.providers.resilience import Policy

RESOURCES = "PersistentResourceServiceClient"
TOKEN = "mcml_token"  # noqa: S105 - a label's name
LEAST = 1
MAKE_SECONDS = 3600.0
DISK = {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": 100}
STATES: Mapping[str, ComputeState] = {
    "RUNNING": "ready",
    "UPDATING": "changing",
    "REBOOTING": "changing",
    "STOPPING": "deleting",
    "ERROR": "failed",
}
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_MACHINE = re.compile(r"([a-z0-9-]+)(?:\+([a-z0-9-]+?)(?::(\d+))?)?")


def open_computes(ctx: ProviderContext) -> Computes:
    """Return the persistent resources of the project and region."""
    return VertexComputes(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class VertexComputes:
    """Persistent resources of one project and region."""

    def __init__(self, session: Session, region: str) -> None:
        self._session = session
        self._vertex = Vertex(session, region)

    def create(self, request: ComputeRequest) -> Compute:
        """Make it and return when its first machines run (minutes; an hour at most). One that does not come up is deleted again.

        Raises InvalidRequest, also for spot machines and for a minimum of 0, QuotaExceeded, Conflict, StillRunning.
        """
        doing, token = f"cannot make the compute {request.name}", version_of(request.token)
        made = {"resource_pools": [_pool(doing, request)], "labels": labels(request.tags) | {TOKEN: token}, "display_name": request.name}
        found = self._find(request.name)
        if found is not None and _is_of(found, token) and found.state.name == "ERROR":
            self.delete(request.name)
            found = None
        try:
            if found is None:
                self._make(doing, request.name, made, token)
            return self._ready(doing, request.name, token)
        except (InvalidRequest, QuotaExceeded):
            left = self._find(request.name)
            if left is not None and _is_of(left, token):
                self.delete(request.name)
            raise

    def list(self) -> list[Compute]:
        """Return all of them, by name."""
        request = {"parent": self._vertex.parent}
        found = self._vertex.pages("cannot list the computes", RESOURCES, "list_persistent_resources", request, "persistent_resources")
        return sorted(map(_told, found), key=lambda one: one.name)

    def describe(self, name: str) -> Compute:
        """Return it as it is now. Raises NotFound."""
        return _told(self._must_find(name))

    def scale(self, name: str, minimum: int, maximum: int) -> Compute:
        """Set the limits of its size and return when they are in force. Raises NotFound, InvalidRequest, QuotaExceeded, StillRunning."""
        doing, found = f"cannot scale the compute {name}", self._must_find(name)
        check_limits(doing, minimum, maximum, least=LEAST)
        if len(found.resource_pools) > 1:
            raise InvalidRequest(doing, why="it has several pools", next_step="https://console.cloud.google.com/vertex-ai/training")
        if _limits(found) != (minimum, maximum):
            pool, size = found.resource_pools[0], _size(found.resource_pools[0].replica_count, minimum, maximum)
            wanted = {"id": pool.id, "machine_spec": pool.machine_spec, "disk_spec": pool.disk_spec, **size}
            change = {"persistent_resource": {"name": found.name, "resource_pools": [wanted]}, "update_mask": {"paths": ["resource_pools"]}}

            def is_done() -> bool:
                return _limits(self._must_find(name)) == (minimum, maximum)

            self._vertex.do(doing, RESOURCES, "update_persistent_resource", change, is_done, patience=MAKE_SECONDS)
        return self.describe(name)

    def delete(self, name: str) -> bool:
        """Delete it with its machines, and return when it is gone; False when it was. Raises Conflict where jobs run on it."""
        found = self._find(name)
        if found is None:
            return False
        doing = f"cannot delete the compute {name}"
        if busy := _told(found).busy:
            raise Conflict(doing, why=f"{busy} of its machines run jobs", next_step="wait for them, or cancel them")
        gone = {"name": found.name}
        self._vertex.do(doing, RESOURCES, "delete_persistent_resource", gone, lambda: self._find(name) is None, patience=MAKE_SECONDS)
        return True

    def _make(self, doing: str, name: str, made: dict[str, Any], token: str) -> None:
        request = {"parent": self._vertex.parent, "persistent_resource": made, "persistent_resource_id": name}

        def is_done() -> bool:
            found = self._find(name)
            return found is not None and _is_of(found, token) and found.state.name == "RUNNING"

        try:
            self._vertex.do(doing, RESOURCES, "create_persistent_resource", request, is_done, patience=MAKE_SECONDS)
        except Conflict:  # somebody makes it at this moment: `_ready` tells whether with this token
            if self._find(name) is None:
                raise

    def _ready(self, doing: str, name: str, token: str) -> Compute:
        """Wait for the end of what is done to it. Raises Conflict when another token made it, what its error means when it failed."""

        def look() -> Any:
            found = self._must_find(name)
            if not _is_of(found, token):
                raise Conflict(doing, why=f"there is a compute {name}, which another request made", next_step="choose another name")
            return found if _told(found).state in ("ready", "failed") else None

        found = wait_for(self._session, doing, look, patience=MAKE_SECONDS)
        if found.state.name == "ERROR":
            raise failure(self._session, doing, found.error.code, found.error.message, quotas=QUOTAS)
        return _told(found)

    def _find(self, name: str) -> Any:
        """Return a persistent resource, or None."""
        try:
            return find(self._vertex, f"cannot look at the compute {name}", name)
        except NotFound:
            return None

    def _must_find(self, name: str) -> Any:
        found = self._find(name)
        if found is None:
            raise unknown("compute", name, [one.name for one in self.list()], next_step=_list(self._vertex))
        return found


def find(vertex: Vertex, doing: str, name: str) -> Any:
    """Return a persistent resource. Raises NotFound."""
    if not _NAME.fullmatch(name):
        raise NotFound(doing, why=f"no persistent resource can be called {name[:100]!r}")
    try:
        return vertex.ask(doing, RESOURCES, "get_persistent_resource", {"name": f"{vertex.parent}/persistentResources/{name}"})
    except NotFound as gone:
        gone.next_step = gone.next_step or _list(vertex)
        raise


def _list(vertex: Vertex) -> str:
    return f"gcloud ai persistent-resources list --region={vertex.region} --project={vertex.session.project()}"


def _pool(doing: str, request: ComputeRequest) -> dict[str, Any]:
    """Return the pool that a request asks for. Raises InvalidRequest."""
    if request.spot:
        why = "Vertex AI has no persistent resources of spot machines"
        raise InvalidRequest(doing, why=why, next_step="name no compute in the job: its resource spot = true takes one")
    check_compute(request, least=LEAST)
    if not _NAME.fullmatch(request.name):
        why = "a persistent resource's name is up to 63 small letters, digits and '-', a letter first, no '-' at the end"
        raise InvalidRequest(doing, why=why)
    read = _MACHINE.fullmatch(request.machine)
    if read is None:
        raise InvalidRequest(doing, why=f"{request.machine!r} is no machine type, as n2-standard-8 or g2-standard-8+nvidia-l4:1")
    told = {"machine": read[1], "accelerator": read[2], "accelerator_count": read[3]}
    spec = parts.machine_spec(doing, {name: value for name, value in told.items() if value}, read[1])
    return {"machine_spec": spec, "disk_spec": DISK, **_size(request.minimum, request.minimum, request.maximum)}


def _size(now: int, minimum: int, maximum: int) -> dict[str, Any]:
    """Return the size of a pool within limits, as Vertex AI takes it: it scales between limits that differ."""
    scaled = {"autoscaling_spec": {"min_replica_count": minimum, "max_replica_count": maximum}} if minimum < maximum else {}
    return {"replica_count": min(max(now, minimum), maximum), **scaled}


def _is_of(found: Any, token: str) -> bool:
    return bool(found.labels.get(TOKEN) == token)


def _limits(found: Any) -> tuple[int, int]:
    low = high = 0
    for pool in found.resource_pools:
        scaled = pool.autoscaling_spec if "autoscaling_spec" in pool else None
        low += int(scaled.min_replica_count) if scaled else int(pool.replica_count)
        high += int(scaled.max_replica_count) if scaled else int(pool.replica_count)
    return low, high


def _told(found: Any) -> Compute:
    pools, spec = found.resource_pools, found.resource_pools[0].machine_spec
    accelerator = spec.accelerator_type.name.lower().replace("_", "-") if spec.accelerator_count else ""
    return Compute(
        found.name.rpartition("/")[2],
        spec.machine_type + (f"+{accelerator}:{spec.accelerator_count}" if accelerator else ""),
        STATES.get(found.state.name, "creating"),
        *_limits(found),
        nodes=sum(int(pool.replica_count) for pool in pools),
        busy=sum(int(pool.used_replica_count) for pool in pools),
        detail=str(found.error.message) if "error" in found else "",
        tags={key: value for key, value in found.labels.items() if key not in (TOKEN, MANAGED)},
    )
