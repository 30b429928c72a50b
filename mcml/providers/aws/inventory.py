"""Inventory of AWS, by the Resource Groups Tagging API: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/

A resource's kind is its service and type ("ec2:volume"), its id its ARN. The API shows what is tagged, or was once, in one region: what has
no region (Route 53, IAM policies) shows in us-east-1 and is asked for there. It leaves out Auto Scaling groups, which are asked for by
themselves, and IAM roles and users, which are not here.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, ProviderCannot
from mcml.providers.api.inventory import Blocker, Inventory, Resource
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.arn import GROUP, INSTANCE, Arn, arn_of
from mcml.providers.aws.identity import AwsIdentity
from mcml.providers.aws.inventory_blockers import blockers_of
from mcml.providers.aws.inventory_delete import DELETIONS, clients_of, is_there
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import SOME_REGION, Session
from mcml.providers.aws.tags import OURS, has_all, tags_of
from mcml.providers.resilience import Policy

MOST_IDS = 200


def open_inventory(ctx: ProviderContext) -> Inventory:
    """Return what is there in the context's region, and what has none."""
    return AwsInventory(Session(ctx, policy=Policy(budget=ctx.budget)))


class AwsInventory:
    """What carries tags. `page` is how many are asked for at once (at most 100)."""

    def __init__(self, session: Session, *, page: int = 100) -> None:
        self._session, self._page = session, page

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """Return what carries all these tags; with no tags, all that mcml made (`managed-by` = `mcml`). Without terminated instances."""
        wanted = tags or OURS
        region = self._session.call("cannot tell the region", lambda: self._session.region) or SOME_REGION
        found = [self._resource(one, region) for one in self._tagged(wanted, "")]
        if region != SOME_REGION:
            elsewhere = ((arn_of(one["ResourceARN"]), one) for one in self._tagged(wanted, SOME_REGION))
            found += [self._resource(one, region) for arn, one in elsewhere if arn and not arn.region and arn.service != "s3"]
        found += self._groups(wanted, region)
        gone = self._ended([one.id for one in found if one.kind == INSTANCE])
        return sorted((one for one in found if one.id not in gone), key=lambda one: (one.kind, one.id))

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """Return what stands in the way of destroying these, as far as mcml knows their kind: content, use by others, protection."""
        return [blocker for resource in resources for blocker in self._blockers(resource)]

    def delete(self, resource: Resource) -> bool:
        """Delete one resource, in the region of its ARN; False when it was gone.

        A database leaves a last snapshot, a secret can be brought back for a week. Raises Conflict when something
        blocks it, ProviderCannot for a kind that mcml does not delete, InvalidRequest for one of another account than ours: there may be
        one of the same name in ours.
        """
        arn = arn_of(resource.id)
        if arn is None:
            return False
        doing = f"cannot delete {arn.kind} {arn.name!r}"
        delete = DELETIONS.get(arn.kind)
        if delete is None:
            return self._no_way(doing, arn)
        if arn.account not in ("", self._account):
            why = f"it is in account {arn.account}, the credentials are of account {self._account}"
            raise InvalidRequest(doing, why=why, next_step=f"log in to account {arn.account}: AWS_PROFILE, or profile in [providers.aws]")
        if not is_there(self._session, arn):
            return False
        blocked = list(self._blockers(resource))
        if blocked:
            steps = "\n".join(blocker.fix for blocker in blocked)
            raise Conflict(doing, why="; ".join(blocker.reason for blocker in blocked), next_step=steps)
        tries = 0

        def once() -> bool:
            nonlocal tries
            tries += 1
            if tries > 1 and not is_there(self._session, arn):
                return True
            delete(clients_of(self._session, arn), arn)
            return True

        try:
            return self._session.call(doing, once)
        except NotFound:
            return tries > 1

    @cached_property
    def _account(self) -> str:
        return AwsIdentity(self._session).whoami().account

    def _tagged(self, wanted: Mapping[str, str], region: str, **which: Any) -> Iterator[Any]:
        filters = [{"Key": key, "Values": [value]} for key, value in wanted.items()]
        asked: dict[str, Any] = which or {"TagFilters": filters, "ResourcesPerPage": self._page}
        return paged(
            self._session, "cannot list what carries our tags", "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
            token="PaginationToken", region=region, **asked,  # noqa: S106 - a field's name
        )  # fmt: skip

    def _resource(self, said: Mapping[str, Any], region: str) -> Resource:
        arn = arn_of(said["ResourceARN"])
        kind, place = (arn.kind, arn.region) if arn else ("unknown", "")
        return Resource(kind, said["ResourceARN"], place or (region if kind.startswith("s3:") else ""), tags_of(said.get("Tags")))

    def _groups(self, wanted: Mapping[str, str], region: str) -> list[Resource]:
        listed = paged(self._session, "cannot list the groups", "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups")
        found = [Resource(GROUP, one["AutoScalingGroupARN"], region, tags_of(one.get("Tags"))) for one in listed]
        return [group for group in found if has_all(group.tags, wanted)]

    def _ended(self, instances: Sequence[str]) -> set[str]:
        """Return the ARNs of those instances that are terminated: they keep their tags for about an hour."""
        by_id = {instance.rpartition("/")[2]: instance for instance in instances}
        living: set[str] = set()
        names = sorted(by_id)
        for start in range(0, len(names), MOST_IDS):
            asked: dict[str, Any] = {"Filters": [{"Name": "instance-id", "Values": names[start : start + MOST_IDS]}]}
            for group in paged(self._session, "cannot look at the instances", "ec2", "describe_instances", "Reservations", **asked):
                states = ((one["InstanceId"], one["State"]["Name"]) for one in group["Instances"])
                living |= {by_id[name] for name, state in states if state not in ("terminated", "shutting-down")}
        return set(instances) - living

    def _blockers(self, resource: Resource) -> Iterator[Blocker]:
        arn = arn_of(resource.id)
        for reason, fix in blockers_of(self._session, arn) if arn else ():
            yield Blocker(resource, reason, fix)

    def _no_way(self, doing: str, arn: Arn) -> bool:
        if not [*self._tagged({}, arn.region or SOME_REGION, ResourceARNList=[str(arn)])]:
            return False
        step = f"aws resourcegroupstaggingapi get-resources --resource-arn-list {arn}   # what it is; who made it deletes it"
        raise ProviderCannot(doing, why=f"mcml does not delete resources of {arn.service}", next_step=step)
