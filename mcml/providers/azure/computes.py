"""Compute clusters of Azure Machine Learning (AmlCompute): pools of the settings' workspace. https://learn.microsoft.com/rest/api/azureml/compute

A cluster shrinks to its minimum when it has been idle for two minutes; spot machines are Azure's "low priority". The request's token is
among the cluster's tags. Clusters that others made (Terraform, the studio) are listed, scaled and deleted alike; the other kinds of
compute of a workspace are not touched. Machines are in the subnet of the settings, where one is named.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, unknown
from mcml.providers.api.computes import Compute, ComputeRequest, Computes, ComputeState
from mcml.providers.api.spec import ProviderContext
from mcml.providers.assets import check_compute, check_limits, version_of
from mcml.providers.azure.arm import MADE_BY, pages, text
from mcml.providers.azure.ml_workspace import Workspace, state
from mcml.providers.azure.operations import settled
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

TOKEN = "mcml-token"  # noqa: S105 - a tag's name
KIND = "AmlCompute"
IDLE = timedelta(minutes=2)
STATES: Mapping[str, ComputeState] = {
    "Creating": "creating",
    "Updating": "changing",
    "Deleting": "deleting",
    "Failed": "failed",
    "Canceled": "failed",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]")


def open_computes(ctx: ProviderContext) -> Computes:
    """Return the compute clusters of the settings' workspace."""
    return MlComputes(Workspace(Session(ctx, policy=Policy(budget=ctx.budget))))


class MlComputes:
    """Compute clusters of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._session = workspace.session

    def create(self, request: ComputeRequest) -> Compute:
        """Make it and return when jobs can be sent there; machines come as they are needed.

        Raises InvalidRequest, QuotaExceeded, Conflict, NotFound for the workspace, StillRunning.
        """
        check_compute(request)
        what, token = f"make the compute {request.name}", version_of(request.token)
        if not _NAME.fullmatch(request.name):
            why = "a cluster's name is 2 to 32 letters, digits and '-', a letter first, no '-' at the end"
            raise InvalidRequest(f"cannot {what}", why=why)
        found = self._find(request.name)
        if found is not None and (found.tags or {}).get(TOKEN) == token:
            found = settled(self._session, what, self._look(request.name), state)
        elif found is not None:
            raise _taken(request.name, text(found.properties.compute_type))
        if found is None or state(found) in ("Failed", "Canceled"):
            put, body = self._ws.client.compute.begin_create_or_update, self._body(request, token)
            put = partial(put, *self._ws.place, request.name, body)
            found = self._ws.put(what, put, self._look(request.name), lambda now: (now.tags or {}).get(TOKEN) == token)
        return _ready(what, found, token)

    def list(self) -> list[Compute]:
        """Return all clusters, by name."""
        listed = pages(self._session, "list the computes", self._ws.client.compute.list(*self._ws.place))
        return sorted((_told(one) for one in listed if _is_cluster(one)), key=lambda one: one.name)

    def describe(self, name: str) -> Compute:
        """Return it as it is now. Raises NotFound."""
        return _told(self._must_find(name))

    def scale(self, name: str, minimum: int, maximum: int) -> Compute:
        """Set the limits of its size; machines come and go some minutes later. Raises NotFound, InvalidRequest, QuotaExceeded."""
        what, models = f"scale the compute {name}", self._ws.models
        found = self._must_find(name)
        check_limits(f"cannot {what}", minimum, maximum)
        idle = found.properties.properties.scale_settings.node_idle_time_before_scale_down or IDLE
        wanted = models.ScaleSettings(max_node_count=maximum, min_node_count=minimum, node_idle_time_before_scale_down=idle)
        body = models.ClusterUpdateParameters(properties=models.ScaleSettingsInformation(scale_settings=wanted))
        update = partial(self._ws.client.compute.begin_update, *self._ws.place, name, body)
        return _told(self._ws.put(what, update, self._look(name), lambda now: _limits(now) == (minimum, maximum)))

    def delete(self, name: str) -> bool:
        """Delete it with its machines, and return when it is gone; False when it was. Raises Conflict while machines run jobs."""
        found = self._find(name)
        if found is None or not _is_cluster(found):
            return False
        if busy := _told(found).busy:
            step = "wait for its jobs, or cancel them"
            raise Conflict(f"cannot delete the compute {name!r}", why=f"{busy} of its machines run jobs", next_step=step)
        remove = partial(self._ws.client.compute.begin_delete, *self._ws.place, name, underlying_resource_action="Delete")
        self._ws.remove(f"delete the compute {name}", remove, self._look(name))
        return True

    def _find(self, name: str) -> Any:
        """Return a compute of any kind, or None. Raises NotFound for the workspace."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return self._session.call(f"look at the compute {name}", self._look(name))
        except NotFound:
            self._ws.check()
            return None

    def _look(self, name: str) -> Any:
        return lambda: self._ws.client.compute.get(*self._ws.place, name)

    def _must_find(self, name: str) -> Any:
        found = self._find(name)
        if found is None or not _is_cluster(found):
            raise unknown("compute cluster", name, [one.name for one in self.list()], next_step="az ml compute list --output table")
        return found

    def _body(self, request: ComputeRequest, token: str) -> Any:
        models, subnet = self._ws.models, self._session.settings.subnet
        size = {"max_node_count": request.maximum, "min_node_count": request.minimum}
        cluster = models.AmlComputeProperties(
            os_type="Linux",
            vm_size=request.machine,
            vm_priority="LowPriority" if request.spot else "Dedicated",
            scale_settings=models.ScaleSettings(**size, node_idle_time_before_scale_down=IDLE),
            remote_login_port_public_access="Disabled",
            subnet=models.ResourceId(id=subnet) if subnet else None,
        )
        tags = {**request.tags, **MADE_BY, TOKEN: token}
        return models.ComputeResource(location=self._ws.location, tags=tags, properties=models.AmlCompute(properties=cluster))


def is_there(workspace: Workspace, name: str) -> bool:
    """Tell whether a workspace has a compute of that name, of any kind. Raises NotFound for the workspace."""
    return MlComputes(workspace)._find(name) is not None


def _is_cluster(found: Any) -> bool:
    return text(found.properties.compute_type) == KIND


def _taken(name: str, kind: str) -> Conflict:
    why = "another request made it" if kind == KIND else f"it is a {kind}"
    return Conflict(f"there is a compute {name!r}", why=why, next_step="choose another name")


def _ready(what: str, found: Any, token: str) -> Compute:
    """Return a cluster that was made. Raises Conflict when another request made it meanwhile, InvalidRequest when it failed."""
    told = _told(found)
    if (found.tags or {}).get(TOKEN) != token:
        raise _taken(told.name, KIND)
    if told.state == "failed":
        kind = QuotaExceeded if "quota" in told.detail.lower() else InvalidRequest
        raise kind(f"cannot {what}", why=told.detail or "Azure gives no reason", next_step="az ml compute list --output table")
    return told


def _limits(found: Any) -> tuple[int, int]:
    size = found.properties.properties.scale_settings
    return size.min_node_count or 0, size.max_node_count


def _told(found: Any) -> Compute:
    about = found.properties.properties
    counts = about.node_state_counts
    errors = [*(found.properties.provisioning_errors or ()), *(about.errors or ())]
    return Compute(
        str(found.name),
        about.vm_size,
        STATES.get(state(found), "ready"),
        *_limits(found),
        nodes=about.current_node_count or 0,
        busy=(counts.running_node_count or 0) if counts else 0,
        spot=text(about.vm_priority) == "LowPriority",
        detail="; ".join(str(one.error.message) for one in errors if one.error),
        tags={key: value for key, value in (found.tags or {}).items() if key not in (TOKEN, *MADE_BY)},
    )
