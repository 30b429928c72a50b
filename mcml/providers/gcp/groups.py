"""Groups on Compute Engine: managed instance groups, zonal and regional, with the limits of their autoscaler.

https://cloud.google.com/compute/docs/reference/rest/v1/instanceGroupManagers (and regionInstanceGroupManagers, autoscalers). A group
carries no labels itself: its tags are those of its instance template and of its `allInstancesConfig`. Without an autoscaler the limits are
0 and what Google allows. A group whose autoscaler is on has no size to set: `resize` refuses it and says how to turn the autoscaler off.
"""

import builtins
from collections.abc import Mapping
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.groups import Group, Groups
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.compute import Compute, Place, carries, last, open_compute

MOST_IN_ZONE, MOST_IN_REGION = 1000, 2000
"""How many machines a group can have: https://cloud.google.com/compute/docs/instance-groups."""


def open_groups(ctx: ProviderContext) -> Groups:
    """Return the groups of the target's region, or of all regions without one."""
    return GcpGroups(open_compute(ctx))


class GcpGroups:
    """Managed instance groups of one project. A name is the group's own, or "ZONE/NAME" where several places have one."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Group]:
        """Return the groups that carry all these tags, by name."""
        found = list(self._compute.everywhere("list the groups", "InstanceGroupManagers", "instance_group_managers"))
        names = [manager.name for _, manager in found]
        scalers, templates = self._scalers(), self._templates()
        groups = [
            _group(place, manager, scalers, templates, manager.name if names.count(manager.name) == 1 else f"{place.name}/{manager.name}")
            for place, manager in found
        ]
        return sorted((group for group in groups if carries(group.tags, tags)), key=lambda group: group.name)

    def size(self, group: str) -> Group:
        """Return one group as it is now. Raises NotFound."""
        place, manager = self._find(group)
        return _group(place, manager, self._scalers(manager.name), self._template(manager), group)

    def resize(self, group: str, desired: int) -> Group:
        """Set the wanted size; Google comes to it by and by.

        Raises NotFound, InvalidRequest outside the limits, QuotaExceeded, Conflict when an autoscaler decides the size.
        """
        place, manager = self._find(group)
        scalers = self._scalers(manager.name)
        now = _group(place, manager, scalers, self._template(manager), group)
        if not now.minimum <= desired <= now.maximum:
            raise InvalidRequest(f"cannot resize group {group!r} to {desired}", why=f"its limits are {now.minimum} and {now.maximum}")
        scaler = scalers.get((place.scope, manager.name))
        if scaler is not None and scaler.autoscaling_policy.mode == "ON" and desired != now.desired:
            step = f"gcloud compute instance-groups managed update-autoscaling {manager.name} --mode=off {_flag(place)}"
            raise Conflict(f"cannot resize group {group!r}", why="its autoscaler is on and decides its size", next_step=step)
        service = "InstanceGroupManagers" if place.is_zone else "RegionInstanceGroupManagers"
        what = f"resize group {group!r} to {desired}"
        self._compute.change(what, service, "resize", instance_group_manager=manager.name, size=desired, **place.fields)
        return self.size(group)

    def _find(self, group: str) -> tuple[Place, Any]:
        return self._compute.find("group", group, "InstanceGroupManagers", "instance_group_managers")

    def _scalers(self, name: str = "") -> dict[tuple[str, str], Any]:
        """Return the autoscalers by the place and name of their group, of all groups or those of one name."""
        found = self._compute.everywhere("look for autoscalers", "Autoscalers", "autoscalers")
        scalers = {(place.scope, last(scaler.target)): scaler for place, scaler in found}
        return {key: scaler for key, scaler in scalers.items() if name in ("", key[1])}

    def _templates(self) -> dict[str, Any]:
        """Return all templates by the end of their URL from "projects/" on."""
        found = self._compute.everywhere("list the instance templates", "InstanceTemplates", "instance_templates")
        return {_path(template.self_link): template for _, template in found}

    def _template(self, manager: Any) -> dict[str, Any]:
        """Return a group's template, by the end of its URL; none for a group of many versions without one of its own."""
        path = _path(_template_of(manager))
        if not path:
            return {}
        what, where = f"look at the template of group {manager.name!r}", path.split("/")
        if "regions" in where:
            region = where[where.index("regions") + 1]
            template = self._compute.ask(what, "RegionInstanceTemplates", "get", region=region, instance_template=last(path))
        else:
            template = self._compute.ask(what, "InstanceTemplates", "get", instance_template=last(path))
        return {path: template}


def _group(place: Place, manager: Any, scalers: Mapping[tuple[str, str], Any], templates: Mapping[str, Any], name: str) -> Group:
    template = templates.get(_path(_template_of(manager)))
    tags = dict(template.properties.labels) if template is not None else {}
    machine = template.properties.machine_type if template is not None else ""
    scaler = scalers.get((place.scope, manager.name))
    minimum, maximum = 0, MOST_IN_ZONE if place.is_zone else MOST_IN_REGION
    if scaler is not None:
        minimum, maximum = scaler.autoscaling_policy.min_num_replicas, scaler.autoscaling_policy.max_num_replicas
    actions = manager.current_actions
    running = actions.none + actions.verifying + actions.refreshing
    tags |= manager.all_instances_config.properties.labels
    return Group(name, last(machine), manager.target_size, running, minimum, maximum, tags)


def _template_of(manager: Any) -> str:
    versions = [version.instance_template for version in manager.versions if version.instance_template]
    return str(manager.instance_template or (versions[0] if versions else ""))


def _path(url: str) -> str:
    return url[url.find("projects/") :] if "projects/" in url else ""


def _flag(place: Place) -> str:
    return f"--{'zone' if place.is_zone else 'region'}={place.name}"
