"""Inventory of a project: what Cloud Asset Inventory finds by label; what blocks a delete, and deleting, for the kinds known here.

https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllResources (its index follows a change after seconds to
minutes). Known: instance, disk, snapshot, bucket, database, with the ids that those capabilities use. Everything else is found under its
asset type ("pubsub.googleapis.com/Topic") with its full name, and is refused by `delete`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mcml.core.errors import Conflict, NotFound, ProviderCannot
from mcml.providers.api.inventory import Blocker, Inventory, Resource
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.buckets import GcsBuckets
from mcml.providers.gcp.compute import Compute, carries, last, open_compute
from mcml.providers.gcp.object_store import pages
from mcml.providers.gcp.rpc import rpc_pages
from mcml.providers.gcp.sql_admin import SqlAdmin

OURS = {"managed-by": "mcml"}
"""The label of everything that mcml makes."""
PAGE = 500
KINDS = {
    "compute.googleapis.com/Instance": "instance",
    "compute.googleapis.com/Disk": "disk",
    "compute.googleapis.com/RegionDisk": "disk",
    "compute.googleapis.com/Snapshot": "snapshot",
    "storage.googleapis.com/Bucket": "bucket",
    "sqladmin.googleapis.com/Instance": "database",
}
AREAS = {"eu": "europe-", "us": "us-", "asia": "asia-"}
"""Multi-regions, and how the names of their regions begin: https://cloud.google.com/storage/docs/locations."""

PAIRS = {
    "asia1": ("asia-northeast1", "asia-northeast2"),
    "eur4": ("europe-north1", "europe-west4"),
    "eur5": ("europe-west1", "europe-west2"),
    "eur7": ("europe-west2", "europe-west3"),
    "eur8": ("europe-west3", "europe-west6"),
    "nam4": ("us-central1", "us-east1"),
}
"""Dual-regions of Cloud Storage; those that a person put together are called as the multi-region."""
_LABEL = re.compile(r"[\w-]+")
Faults = Iterator[tuple[str, str]]


def open_inventory(ctx: ProviderContext) -> Inventory:
    """Return what is there in the target's region (and what is global, or in a multi-region that has it), or everywhere without one."""
    return GcpInventory(open_compute(ctx))


class GcpInventory:
    """Resources of one project."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._session = compute.session
        self._sql = SqlAdmin(compute.session)
        self._faults: Mapping[str, Callable[[str], Faults]] = {
            "instance": self._instance_faults,
            "disk": self._disk_faults,
            "snapshot": self._snapshot_faults,
            "bucket": self._bucket_faults,
            "database": self._database_faults,
        }

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """Return what carries all these labels; with none, what carries `managed-by = mcml`."""
        wanted = tags or OURS
        if not all(_LABEL.fullmatch(key) and _LABEL.fullmatch(value or "-") for key, value in wanted.items()):
            return []  # no label can be so
        query = " AND ".join(f'labels.{key}:"{value}"' if value else f"labels.{key}:*" for key, value in wanted.items())
        found = [_resource(one) for one in self._search(query) if carries(one.labels, wanted)]
        return [one for one in found if self._is_here(one.region)]

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """Return what stands in the way of destroying these, as far as their kind is known."""
        return [Blocker(resource, reason, fix) for resource in resources for reason, fix in self._faults_of(resource)]

    def delete(self, resource: Resource) -> bool:
        """Delete one resource, and wait for it; False when it was gone.

        Raises Conflict when something blocks it, ProviderCannot for a kind that is not known here.
        """
        if resource.kind not in self._faults:
            return self._refuse(resource)
        faults = list(self._faults_of(resource))
        if faults:
            why, fix = "; ".join(reason for reason, _ in faults), "\n".join(fix for _, fix in faults)
            raise Conflict(f"cannot delete {resource.kind} {resource.id!r}", why=why, next_step=fix)
        try:
            return self._remove(resource)
        except NotFound:
            return False

    def _remove(self, resource: Resource) -> bool:
        compute, name, what = self._compute, resource.id, f"delete {resource.kind} {resource.id!r}"
        if resource.kind == "instance":
            place, found = compute.find("instance", name, "Instances", "instances")
            compute.change(what, "Instances", "delete", instance=found.name, **place.fields)
        elif resource.kind == "disk":
            place, found = compute.find("disk", name, "Disks", "disks")
            compute.change(what, "Disks" if place.is_zone else "RegionDisks", "delete", disk=found.name, **place.fields)
        elif resource.kind == "snapshot":
            compute.change(what, "Snapshots", "delete", snapshot=name)
        elif resource.kind == "bucket":
            self._bucket(name)
            GcsBuckets(self._session, "").delete(name)
        else:
            return self._sql.delete(name)
        return True

    def _refuse(self, resource: Resource) -> bool:
        """Say that a kind is not known, or False when there is nothing of that name."""
        found = self._search(f"name:{json.dumps(resource.id)}")
        if not any(one.name == f"//{resource.id}" for one in found):
            return False
        why = f"it does not know the kind {resource.kind}"
        raise ProviderCannot(f"mcml cannot delete {resource.id!r}", why=why, next_step="delete it by gcloud")

    def _faults_of(self, resource: Resource) -> Faults:
        try:
            yield from self._faults.get(resource.kind, _none)(resource.id)
        except NotFound:  # what is gone blocks nothing
            return

    def _instance_faults(self, name: str) -> Faults:
        place, found = self._compute.find("instance", name, "Instances", "instances")
        if found.deletion_protection:
            fix = f"gcloud compute instances update {found.name} --no-deletion-protection --zone={place.name}"
            yield f"instance {name} is protected from deletion", fix

    def _disk_faults(self, name: str) -> Faults:
        place, found = self._compute.find("disk", name, "Disks", "disks")
        for user in found.users:
            zone = user.split("/")[-3]
            fix = f"gcloud compute instances detach-disk {last(user)} --disk={found.name} --zone={zone}"
            yield f"disk {name} is attached to instance {zone}/{last(user)}", fix + ("" if place.is_zone else " --disk-scope=regional")

    def _snapshot_faults(self, name: str) -> Faults:
        self._compute.ask(f"look at snapshot {name!r}", "Snapshots", "get", snapshot=name)
        return iter(())

    def _bucket_faults(self, name: str) -> Faults:
        if next(pages(self._session, name, "", versions=True), None) is not None:
            yield f"bucket {name} holds objects or old versions", f"gcloud storage rm --recursive --all-versions 'gs://{name}/**'"
        if self._bucket(name).retention_policy_locked:
            yield f"bucket {name} has a locked retention policy", "wait until every object's retention is over"

    def _database_faults(self, name: str) -> Faults:
        found = self._sql.instance(name)
        if found.get("settings", {}).get("deletionProtectionEnabled"):
            yield f"database {name} is protected from deletion", f"gcloud sql instances patch {name} --no-deletion-protection"
        for replica in found.get("replicaNames", []):
            yield f"database {name} has the replica {replica}", f"gcloud sql instances delete {replica}"

    def _bucket(self, name: str) -> Any:
        session = self._session

        def look() -> Any:
            found = session.bucket(name)
            found.reload(**session.options)
            return found

        return session.call(f"cannot look at bucket {name!r}", look)

    def _search(self, query: str) -> Iterator[Any]:
        from google.cloud import asset_v1

        request = {"scope": f"projects/{self._compute.project}", "query": query, "page_size": PAGE}
        client, doing = asset_v1.AssetServiceClient, "cannot search the inventory"
        return rpc_pages(self._session, doing, client, "search_all_resources", request, "results")

    def _is_here(self, location: str) -> bool:
        region = self._compute.region
        if not region or location in ("", "global", region) or location.rpartition("-")[0] == region:
            return True
        return region in PAIRS.get(location, ()) or (location in AREAS and region.startswith(AREAS[location]))


def _none(_: str) -> Faults:
    return iter(())


def _resource(found: Any) -> Resource:
    kind, path = KINDS.get(found.asset_type, found.asset_type), found.name.removeprefix("//")
    parts = path.split("/")
    if kind in ("instance", "disk"):
        path = f"{parts[-3]}/{parts[-1]}"
    elif kind in ("snapshot", "bucket", "database"):
        path = parts[-1]
    return Resource(kind, path, found.location, dict(found.labels))
