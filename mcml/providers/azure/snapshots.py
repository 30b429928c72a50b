"""Snapshots on Azure: incremental snapshots of managed disks. https://learn.microsoft.com/rest/api/compute/snapshots

Sources, snapshots and new disks are named by their id, or by their name in the resource group of the settings. Databases are not copied
here: Azure SQL keeps backups of its own, to be restored to any second
(`az sql db restore`), and its restore points are for dedicated pools.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.snapshots import Snapshot, Snapshots
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import MADE_BY, ResourceId, locate, name_of_token, pages, parse_id, plain_region, same_id, text
from mcml.providers.azure.operations import wait_for
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

KIND, DISK = "Microsoft.Compute/snapshots", "Microsoft.Compute/disks"
GIB = 1 << 30
SKU_TAG, ZONE_TAG = "mcml-disk-sku", "mcml-disk-zone"  # of the source: a snapshot knows neither


def open_snapshots(ctx: ProviderContext) -> Snapshots:
    """Return the snapshots of the context's region (of the whole subscription without one)."""
    return AzureSnapshots(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region, ctx.target)


@dataclass(frozen=True)
class AzureSnapshots:
    """Snapshots of managed disks."""

    session: Session
    region: str = ""
    target: str = ""

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Copy a disk, beside it; the token decides the name. Raises NotFound, InvalidRequest for a token of another disk."""
        disk_at = locate(self.session, source, DISK, "disk")
        name = name_of_token(self.session, self.target, "snapshot", token)
        at = ResourceId(disk_at.subscription, disk_at.group, KIND, (name,))
        known = self._look(at)
        if known is None:
            disk = self.session.call(f"look at disk {disk_at.name}", lambda: self._compute.disks.get(disk_at.group, disk_at.name))
            body = {
                "location": disk.location,
                "tags": {**(tags or {}), **MADE_BY, **place_of(disk)},
                "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": disk.id}, "incremental": True},
            }
            what = f"take a snapshot of disk {disk_at.name}"
            snapshots = self._compute.snapshots
            self.session.call(what, lambda: snapshots.begin_create_or_update(at.group, name, body, polling=False))
            known = self.session.call(what, lambda: snapshots.get(at.group, name))
        taken = to_snapshot(at, known)
        if not same_id(taken.source, str(disk_at)):
            why = f"the token stands for {name}, a snapshot of {taken.source}"
            raise InvalidRequest("cannot take the snapshot", why=why, next_step="use a new token for a new snapshot")
        return taken

    def list(self, source: str = "") -> builtins.list[Snapshot]:
        """Return the snapshots of a disk (in any resource group), or all, newest first."""
        try:
            wanted = str(locate(self.session, source, DISK, "disk")) if source else ""
        except NotFound:
            return []
        here = plain_region(self.region)
        listed = pages(self.session, "list snapshots", self._compute.snapshots.list())
        placed = [(at, one) for one in listed if (at := parse_id(one.id, KIND)) and here in ("", plain_region(one.location))]
        found = [to_snapshot(at, one) for at, one in placed]
        chosen = [one for one in found if not wanted or same_id(one.source, wanted)]
        return sorted(chosen, key=lambda one: (one.created, one.id), reverse=True)

    def restore(self, snapshot: str, into: str) -> str:
        """Make a new disk from a snapshot, wait until it is there, and return its id. Raises NotFound, Conflict when `into` exists.

        It is of the kind and in the zone of the disk that the snapshot was taken of, when it was taken from here; otherwise it is what
        Azure makes of itself: a Standard HDD in no zone.
        Azure never changes what a disk was made from, so that one of this name that appears meanwhile is refused and not overwritten.
        """
        at, disk_at = locate(self.session, snapshot, KIND, "snapshot"), locate(self.session, into, DISK, "disk")
        known = self._look(at)
        if known is None:
            why = "it was never taken, or it is deleted"
            raise NotFound(f"no snapshot {at.name!r} in resource group {at.group}", why=why, next_step="az snapshot list --output table")
        disks, what = self._compute.disks, f"restore snapshot {at.name} into disk {disk_at.name}"
        try:
            self.session.call(f"look at disk {disk_at.name}", lambda: disks.get(disk_at.group, disk_at.name))
        except NotFound:
            pass
        else:
            raise Conflict(f"cannot {what}", why="there is a disk of this name", next_step="restore into a new name")
        tags = dict(known.tags or {})
        kind, zone = tags.pop(SKU_TAG, ""), tags.pop(ZONE_TAG, "")
        body = {
            "location": known.location,
            "tags": {**tags, **MADE_BY},
            "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": known.id}},
            **({"sku": {"name": kind}} if kind else {}),
            **({"zones": [zone]} if zone else {}),
        }
        wait_for(self.session, what, lambda **options: disks.begin_create_or_update(disk_at.group, disk_at.name, body, **options))
        return str(disk_at)

    def delete(self, snapshot: str) -> None:
        """Delete a snapshot and wait until it is gone; one that is gone is fine."""
        try:
            at = locate(self.session, snapshot, KIND, "snapshot")
            snapshots = self._compute.snapshots
            wait_for(self.session, f"delete snapshot {at.name}", lambda **options: snapshots.begin_delete(at.group, at.name, **options))
        except NotFound:
            return

    @cached_property
    def _compute(self) -> Any:
        from azure.mgmt.compute import ComputeManagementClient

        return self.session.management(ComputeManagementClient)

    def _look(self, at: ResourceId) -> Any | None:
        try:
            return self.session.call(f"look at snapshot {at.name}", lambda: self._compute.snapshots.get(at.group, at.name))
        except NotFound:
            return None


def place_of(disk: Any) -> dict[str, str]:
    """Return the tags that tell what kind of disk a snapshot was taken of, and where it was."""
    kind, zones = text(disk.sku.name) if disk.sku is not None else "", disk.zones or []
    return {**({SKU_TAG: kind} if kind else {}), **({ZONE_TAG: str(zones[0])} if zones else {})}


def to_snapshot(at: ResourceId, found: Any) -> Snapshot:
    """Return a snapshot from the SDK's; one that was copied from no disk has no source."""
    said = found.properties
    made_from = str((said.creation_data.source_resource_id if said.creation_data else "") or "")
    size = int(said.disk_size_bytes or (said.disk_size_gb or 0) * GIB)
    whole = said.provisioning_state == "Succeeded" and (said.completion_percent is None or said.completion_percent >= 100)
    source = str(parse_id(made_from) or made_from)
    return Snapshot(str(at), source, said.time_created or datetime.fromtimestamp(0, UTC), size, whole, dict(found.tags or {}))
