"""Inventory on Azure: the resources and resource groups of the subscription. https://learn.microsoft.com/rest/api/resources/resources/list

One listing of all with their tags: Resource Manager's own filter by tag takes one tag only, and leaves the tags out of its answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.inventory import Blocker, Inventory, Resource
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import MADE_BY, has_tags, pages, parse_id, rest_pages
from mcml.providers.azure.locks import locks_of
from mcml.providers.azure.operations import wait_for
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

GROUP = "Microsoft.Resources/resourceGroups"
STORAGE, STORAGE_API = "Microsoft.Storage/storageAccounts", "2023-05-01"
STORED = (("blobServices", "containers"), ("fileServices", "shares"), ("queueServices", "queues"), ("tableServices", "tables"))
_GROUP_ID = re.compile(r"/subscriptions/[^/?#%]+/resourcegroups/[\w()-]([\w.()-]*[\w()-])?/?", re.IGNORECASE)
_OF_SUBSCRIPTION = re.compile(r"/subscriptions/[^/?#%]+/providers(/[\w()-][^/?#%\\]*)+/?", re.IGNORECASE)
SQL_SERVER = "Microsoft.Sql/servers"


def open_inventory(ctx: ProviderContext) -> Inventory:
    """Return what is in the subscription, in every region."""
    return AzureInventory(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AzureInventory:
    """Resources, by the type names of Azure (`Microsoft.Compute/disks`)."""

    session: Session
    _versions: dict[str, str] = field(default_factory=dict, repr=False)

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """Return what carries all these tags; with no tags, all that mcml made (`managed-by` is `mcml`)."""
        return [to_resource(found) for found in self._everything() if has_tags(found.tags, tags or MADE_BY)]

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """Return what stands in the way of destroying these: locks, what uses them, and what would go with them that is not among them."""
        wanted = [resource for resource in resources if _key(resource)]
        if not wanted:
            return []
        everything = list(self._everything())
        return list(self._blockers(wanted, everything))

    def delete(self, resource: Resource) -> bool:
        """Delete one resource and wait until it is gone; False when it was gone. Raises Conflict when something blocks it.

        Azure would delete a resource group with all that is in it, and a storage account with its data: here they must be empty.
        Raises InvalidRequest for one of another subscription, of which no blocker is seen.
        """
        what = f"delete {resource.kind} {resource.id.rpartition('/')[2]}"
        if not _key(resource):
            return False
        theirs, ours = resource.id.split("/")[2], self.session.named_subscription()
        if theirs.lower() != ours.lower():
            step = f"set subscription = \"{theirs}\" in [providers.azure] of mcml.toml"
            raise InvalidRequest(f"cannot {what}", why=f"it is in subscription {theirs}, and {ours} is set", next_step=step)
        if not self._exists(resource):
            return False
        blocked = self.blockers([resource])
        if blocked:
            steps = "\n".join(blocker.fix for blocker in blocked)
            raise Conflict(f"cannot {what}", why="; ".join(blocker.reason for blocker in blocked), next_step=steps)
        try:
            if resource.kind.lower() == GROUP.lower():
                name = resource.id.rpartition("/")[2]
                wait_for(self.session, what, lambda **options: self._client.resource_groups.begin_delete(name, **options))
            else:
                version = self._version(resource)
                resources = self._client.resources
                wait_for(self.session, what, lambda **options: resources.begin_delete_by_id(resource.id, api_version=version, **options))
        except NotFound:  # it was there a moment ago: our own first attempt, or somebody else
            pass
        return True

    @cached_property
    def _client(self) -> Any:
        from azure.mgmt.resource.resources import ResourceManagementClient

        return self.session.management(ResourceManagementClient)

    def _everything(self) -> Iterator[Any]:
        yield from pages(self.session, "list resource groups", self._client.resource_groups.list())
        yield from pages(self.session, "list resources", self._client.resources.list())

    def _exists(self, resource: Resource) -> bool:
        what = f"look at {resource.kind} {resource.id.rpartition('/')[2]}"
        try:
            if resource.kind.lower() == GROUP.lower():
                self.session.call(what, lambda: self._client.resource_groups.get(resource.id.rpartition("/")[2]))
            else:
                version = self._version(resource)
                self.session.call(what, lambda: self._client.resources.get_by_id(resource.id, api_version=version))
        except NotFound:
            return False
        return True

    def _version(self, resource: Resource) -> str:
        """Return the API version of a type: the newest that its provider lists and that is no preview. Raises NotFound."""
        namespace, _, kind = resource.kind.partition("/")
        if resource.kind.lower() not in self._versions:
            provider = self.session.call(f"ask for the API of {namespace}", lambda: self._client.providers.get(namespace))
            for told in provider.resource_types or ():
                self._versions[f"{namespace}/{told.resource_type}".lower()] = newest(told.api_versions or ())
        version = self._versions.get(f"{namespace}/{kind}".lower(), "")
        if not version:
            step = f"az provider show --namespace {namespace}"
            raise InvalidRequest(f"cannot reach {resource.kind}", why=f"{namespace} lists no such type", next_step=step)
        return version

    def _blockers(self, wanted: Sequence[Resource], everything: Sequence[Any]) -> Iterator[Blocker]:
        locks = locks_of(self.session)
        going = {_key(resource) for resource in wanted}
        known = {_id_key(found.id): found for found in everything}
        for resource in wanted:
            found = known.get(_key(resource))
            if found is None and not self._exists(resource):  # the listing may be some minutes behind
                continue
            for lock in locks:
                if lock.blocks(resource.id):
                    yield Blocker(resource, f"lock {lock.name} ({lock.level}) on {lock.scope}", f"az lock delete --ids {lock.id}")
            user = getattr(found, "managed_by", None)
            if user and resource.kind.lower() == "microsoft.compute/disks" and _id_key(user) not in going:
                group, name = user.split("/")[4], user.rpartition("/")[2]
                fix = f"az vm disk detach --resource-group {group} --vm-name {name} --disk-ids {resource.id}, or delete the machine first"
                yield Blocker(resource, f"it is attached to machine {name}", fix)
            inside = [other for key, other in known.items() if key not in going and _inside(resource, key)]
            if inside and resource.kind.lower() in (GROUP.lower(), SQL_SERVER.lower()):
                names = ", ".join(str(other.name) for other in inside[:5])
                fix = "\n".join(f"az resource delete --ids {other.id}" for other in inside[:5])
                yield Blocker(resource, f"it holds {len(inside)} resources: {names}{', ...' if len(inside) > 5 else ''}", fix)
            if resource.kind.lower() == STORAGE.lower():
                yield from self._stored(resource)

    def _stored(self, resource: Resource) -> Iterator[Blocker]:
        """Yield what a storage account holds in each of its four services; not every account has them all."""
        name = resource.id.rpartition("/")[2]
        for service, things in STORED:
            what, path = f"list the {things} of {name}", f"{resource.id}/{service}/default/{things}"
            try:
                held = [str(one["name"]) for one in rest_pages(self.session, what, path, STORAGE_API)]
            except (InvalidRequest, Conflict) as refused:
                if "FeatureNotSupportedForAccount" not in refused.why:
                    raise
                continue
            if held:
                fix = "\n".join(f"az resource delete --ids {path}/{one}" for one in held[:5])
                yield Blocker(resource, f"it holds {len(held)} {things}: {', '.join(held[:5])}", fix)


def to_resource(found: Any) -> Resource:
    """Return a resource from the SDK's, its id written in one way; a group's type is the one that Azure documents."""
    at = parse_id(found.id)
    if at is not None or not _GROUP_ID.fullmatch(found.id):  # what is of the subscription itself has an id without a group
        return Resource(str(found.type), str(at or found.id), str(found.location or ""), dict(found.tags or {}))
    _, _, subscription, _, group = found.id.rstrip("/").split("/")
    id_ = f"/subscriptions/{subscription.lower()}/resourceGroups/{group.lower()}"
    return Resource(GROUP, id_, str(found.location), dict(found.tags or {}))


def newest(versions: Sequence[str]) -> str:
    """Return the newest API version that is no preview, else the newest, else ""."""
    stable = [version for version in versions if len(version) == len("2026-01-01")]
    return max(stable or versions, default="")


def _key(resource: Resource) -> str:
    """Return an id to compare by; "" for what cannot be a resource of Azure, or has an id that would lead elsewhere."""
    if resource.kind.lower() == GROUP.lower():
        known = _GROUP_ID.fullmatch(resource.id) is not None
    else:
        known = "/" in resource.kind and (parse_id(resource.id) is not None or _OF_SUBSCRIPTION.fullmatch(resource.id) is not None)
    return _id_key(resource.id) if known else ""


def _id_key(id_: str) -> str:
    return id_.lower().rstrip("/")


def _inside(resource: Resource, key: str) -> bool:
    return key.startswith(_key(resource) + "/") and not key.endswith("/databases/master")
