"""Groups on EC2 Auto Scaling: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.groups import Group, Groups
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import has_all, tags_of
from mcml.providers.resilience import Policy

LOOK = "aws autoscaling describe-auto-scaling-groups   # in the target's region"


def open_groups(ctx: ProviderContext) -> Groups:
    """Return the Auto Scaling groups of the context's region."""
    return AutoScalingGroups(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AutoScalingGroups:
    """Groups of one region. `page` is how many are asked for at once (at most 100)."""

    session: Session
    page: int = 100

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Group]:
        """Return the groups that carry all these tags."""
        found = [self._group(one) for one in self._described("cannot list the groups", MaxRecords=self.page)]
        return [group for group in found if has_all(group.tags, tags)]

    def size(self, group: str) -> Group:
        """Return one group as it is now; `running` counts the members in service. Raises NotFound."""
        doing = f"cannot find the group {group!r}"
        for one in self._described(doing, AutoScalingGroupNames=[group]):
            return self._group(one)
        raise NotFound(doing, why="there is no Auto Scaling group of that name in this region", next_step=LOOK)

    def resize(self, group: str, desired: int) -> Group:
        """Set the wanted size at once, whatever cooldown is on; members come and go afterwards.

        Raises NotFound, InvalidRequest outside the limits. Capacity that is not to be had, or a limit of the account, shows later, in a
        `running` that stays below `desired`.
        """
        doing = f"cannot resize the group {group!r} to {desired}"
        now = self.size(group)
        if not now.minimum <= desired <= now.maximum:
            raise InvalidRequest(doing, why=f"its limits are {now.minimum} to {now.maximum}")
        wanted = {"AutoScalingGroupName": group, "DesiredCapacity": desired, "HonorCooldown": False}
        self.session.call(doing, lambda: self.session.client("autoscaling").set_desired_capacity(**wanted))
        return self.size(group)

    def _described(self, doing: str, **asked: Any) -> builtins.list[Any]:
        return [*paged(self.session, doing, "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", **asked)]

    def _group(self, said: Mapping[str, Any]) -> Group:
        members = said.get("Instances", [])
        running = sum(member["LifecycleState"] == "InService" for member in members)
        desired, least, most = said["DesiredCapacity"], said["MinSize"], said["MaxSize"]
        name: str = said["AutoScalingGroupName"]
        return Group(name, self._machine(said), desired, running, least, most, tags_of(said.get("Tags")))

    def _machine(self, said: Mapping[str, Any]) -> str:
        """Return the type that the next member will have: of a mixed group the first choice; nothing when the group names none."""
        doing = f"cannot find the machine type of the group {said['AutoScalingGroupName']!r}"
        mixed = said.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
        for override in mixed.get("Overrides", ()):
            if override.get("InstanceType"):
                return str(override["InstanceType"])
        template = said.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
        if template:
            return self._of_template(doing, template)
        name = said.get("LaunchConfigurationName")
        asked: dict[str, Any] = {"LaunchConfigurationNames": [name]}
        found = paged(self.session, doing, "autoscaling", "describe_launch_configurations", "LaunchConfigurations", **asked) if name else ()
        return next((str(one["InstanceType"]) for one in found), "")

    def _of_template(self, doing: str, template: Mapping[str, str]) -> str:
        which = {"LaunchTemplateId": template["LaunchTemplateId"]} if "LaunchTemplateId" in template else {}
        which = which or {"LaunchTemplateName": template["LaunchTemplateName"]}
        asked: dict[str, Any] = {**which, "Versions": [template.get("Version") or "$Default"]}
        try:
            versions = [*paged(self.session, doing, "ec2", "describe_launch_template_versions", "LaunchTemplateVersions", **asked)]
        except NotFound:  # it was deleted: the group stands, and can start nobody
            return ""
        return str(versions[0]["LaunchTemplateData"].get("InstanceType", "")) if versions else ""
