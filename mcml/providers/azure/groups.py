"""Groups on Azure: virtual machine scale sets, uniform and flexible. https://learn.microsoft.com/rest/api/compute/virtual-machine-scale-sets

A group's name is that of the scale set in the resource group of the settings, or the whole id of one elsewhere. Its limits are those of its
autoscale setting (https://learn.microsoft.com/rest/api/monitor/autoscale-settings); without one, 0 and what Azure allows a scale set.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.groups import Group, Groups
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import ResourceId, has_tags, locate, pages, parse_id, plain_region, text
from mcml.providers.azure.instance_states import power_of
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

KIND = "Microsoft.Compute/virtualMachineScaleSets"
MOST, MOST_IN_ONE_PLACE = 1000, 100  # https://learn.microsoft.com/azure/virtual-machine-scale-sets/virtual-machine-scale-sets-placement-groups


def open_groups(ctx: ProviderContext) -> Groups:
    """Return the scale sets of the context's region (of the whole subscription without one)."""
    return AzureGroups(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


@dataclass(frozen=True)
class AzureGroups:
    """Virtual machine scale sets."""

    session: Session
    region: str = ""

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Group]:
        """Return the scale sets that carry all these tags, by name."""
        listed = pages(self.session, "list scale sets", self._compute.virtual_machine_scale_sets.list_all())
        here = plain_region(self.region)
        found = [one for one in listed if here in ("", plain_region(one.location)) and has_tags(one.tags, tags)]
        if not found:
            return []
        limits = self._limits()
        placed = [(at, one) for one in found if (at := parse_id(one.id, KIND)) is not None]
        return sorted((self._group(at, one, limits) for at, one in placed), key=lambda group: group.name)

    def size(self, group: str) -> Group:
        """Return one group as it is now. Raises NotFound."""
        at = locate(self.session, group, KIND, "scale set")
        return self._group(at, self._get(at), self._limits())

    def resize(self, group: str, desired: int) -> Group:
        """Set the wanted size (autoscale may change it again). Raises NotFound, InvalidRequest outside the limits, QuotaExceeded.

        It does not wait for the machines: `size` counts those that run.
        """
        at = locate(self.session, group, KIND, "scale set")
        set_ = self._get(at)
        limits = self._limits()
        now = self._group(at, set_, limits)
        if not now.minimum <= desired <= now.maximum:
            why = f"its limits are {now.minimum} to {now.maximum}"
            step = f"az monitor autoscale list --resource-group {at.group}" if str(at).lower() in limits else "ask for a size within them"
            raise InvalidRequest(f"cannot set the size of scale set {at.name} to {desired}", why=why, next_step=step)
        if set_.sku is None:
            why = "it has no machine type of its own: its machines were attached one by one"
            raise InvalidRequest(f"cannot set the size of scale set {at.name}", why=why, next_step="az vm create --vmss, or az vm delete")
        sku = {"name": set_.sku.name, "tier": set_.sku.tier, "capacity": desired}
        change = {"sku": {name: value for name, value in sku.items() if value is not None}}
        sets = self._compute.virtual_machine_scale_sets
        self.session.call(
            f"set the size of scale set {at.name} to {desired}", lambda: sets.begin_update(at.group, at.name, change, polling=False)
        )
        return self._group(at, self._get(at), limits)

    @cached_property
    def _compute(self) -> Any:
        from azure.mgmt.compute import ComputeManagementClient

        return self.session.management(ComputeManagementClient)

    def _get(self, at: ResourceId) -> Any:
        sets = self._compute.virtual_machine_scale_sets
        return self.session.call(f"look at scale set {at.name}", lambda: sets.get(at.group, at.name))

    def _limits(self) -> dict[str, tuple[int, int]]:
        """Return least and most by the scale set's id in small letters, of every autoscale setting that is on."""
        from azure.mgmt.monitor import MonitorManagementClient

        settings = self.session.management(MonitorManagementClient).autoscale_settings
        found = pages(self.session, "list autoscale settings", settings.list_by_subscription())
        known = ((str(one.target_resource_uri or ""), one.profiles) for one in found if one.enabled and one.profiles)
        return {target.lower().rstrip("/"): limits_of(profiles) for target, profiles in known}

    def _group(self, at: ResourceId, set_: Any, limits: Mapping[str, tuple[int, int]]) -> Group:
        running = self._running(at, set_)
        most = MOST_IN_ONE_PLACE if set_.properties is not None and set_.properties.single_placement_group else MOST
        least, most = limits.get(str(at).lower(), (0, most))
        ours = at.group == self.session.settings.resource_group.lower()
        desired = int(set_.sku.capacity or 0) if set_.sku is not None else running
        machine = str(set_.sku.name) if set_.sku is not None else ""
        return Group(at.name if ours else str(at), machine, desired, running, least, most, dict(set_.tags or {}))

    def _running(self, at: ResourceId, set_: Any) -> int:
        """Count the machines that run: of a uniform set in its own view, of a flexible one in its machines'."""
        what = f"count the machines of scale set {at.name}"
        if set_.properties is not None and text(set_.properties.orchestration_mode) == "Flexible":
            members = self._compute.virtual_machines.list_all(filter=f"'virtualMachineScaleSet/id' eq '{at}'", expand="instanceView")
            views = (one.properties.instance_view for one in pages(self.session, what, members))
            return sum(power_of(view.statuses) == "running" for view in views if view is not None)
        sets = self._compute.virtual_machine_scale_sets
        summary = self.session.call(what, lambda: sets.get_instance_view(at.group, at.name)).virtual_machine
        counts = (summary.statuses_summary or []) if summary is not None else []
        return sum(int(one.count) for one in counts if str(one.code).lower() == "powerstate/running")


def limits_of(profiles: builtins.list[Any]) -> tuple[int, int]:
    """Return least and most of an autoscale setting: of its default profile, the one without a time of its own."""
    default = next((one for one in profiles if one.fixed_date is None and one.recurrence is None), profiles[0])
    return int(default.capacity.minimum), int(default.capacity.maximum)
