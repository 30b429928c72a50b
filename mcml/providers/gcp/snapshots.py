"""Snapshots of Compute Engine's disks, zonal and regional. A source is "ZONE/NAME" (a name alone will do where only one place has it).

https://cloud.google.com/compute/docs/reference/rest/v1/snapshots. Databases are not here: a backup of Cloud SQL carries no labels and no
request id, and is restored over an instance that exists, not into a new one.
"""

import builtins
from collections.abc import Mapping
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.snapshots import Snapshot, Snapshots
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.compute import Compute, Place, last, moment, open_compute, token_name
from mcml.providers.gcp.settings import Settings

GIB = 1 << 30


def open_snapshots(ctx: ProviderContext) -> Snapshots:
    """Return the snapshots of disks of the target's region, or of all regions without one."""
    return GcpSnapshots(open_compute(ctx))


class GcpSnapshots:
    """Disk snapshots of one project."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._settings: Settings = compute.session.settings

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Copy a disk as it is now, and wait for it. Its name comes from the token: the same token gives the one that is there.

        Raises NotFound, QuotaExceeded, InvalidRequest when the token stands for a snapshot of another disk.
        """
        place, disk = self._compute.find("disk", source, "Disks", "disks")
        name, of = token_name("mcml", token), f"{place.name}/{disk.name}"
        there = self._look(name)
        if there is None:
            url = f"projects/{self._compute.project}/{place.scope}/disks/{disk.name}"
            body = {"name": name, "source_disk": url, "labels": dict(tags or {})}
            try:
                self._compute.change(f"take a snapshot of disk {source!r}", "Snapshots", "insert", snapshot_resource=body)
            except Conflict:
                if self._look(name) is None:
                    raise
            there = self._get(name)
        if there.source != of:
            why = f"the token stands for a snapshot of {there.source}"
            raise InvalidRequest(f"cannot take a snapshot of {source!r}", why=why, next_step="use a new token for a new snapshot")
        return there

    def list(self, source: str = "") -> builtins.list[Snapshot]:
        """Return the snapshots of a disk, or all, newest first."""
        found = [_snapshot(one) for one in self._compute.listed("list the snapshots", "Snapshots")]
        wanted = [one for one in found if self._is_of(one, source)]
        return sorted(wanted, key=lambda one: (one.created, one.id), reverse=True)

    def restore(self, snapshot: str, into: str) -> str:
        """Make a new disk ("NAME", or "ZONE/NAME") from a copy, with its labels, and wait for it; return "ZONE/NAME".

        Without a zone it is made in that of the settings, else in the source's, else in the first of the region. Raises NotFound, Conflict
        when there is a disk of that name in the region or the copy is not complete, QuotaExceeded.
        """
        found = self._get(snapshot)
        if not found.complete:
            raise Conflict(f"cannot restore snapshot {snapshot!r}", why="it is not complete: it is being taken, or failed")
        where, _, name = into.rpartition("/")
        zone = where or self._zone_for(found)
        if self._exists(f"{where}/{name}" if where else name):
            raise _taken(into)
        url = f"projects/{self._compute.project}/global/snapshots/{snapshot}"
        body = {"name": name, "source_snapshot": url, "labels": dict(found.tags)}
        try:
            self._compute.change(f"restore snapshot {snapshot!r} into {into!r}", "Disks", "insert", zone=zone, disk_resource=body)
        except Conflict as conflict:
            if not self._exists(f"{zone}/{name}"):
                raise
            raise _taken(into) from conflict
        return f"{zone}/{name}"

    def delete(self, snapshot: str) -> None:
        """Delete a copy, and wait for it; one that is gone is fine."""
        try:
            self._compute.change(f"delete snapshot {snapshot!r}", "Snapshots", "delete", snapshot=snapshot)
        except NotFound:
            return

    def _is_of(self, snapshot: Snapshot, source: str) -> bool:
        place, _, disk = snapshot.source.partition("/")
        region = self._compute.region
        here = region in ("", place, place.rpartition("-")[0])
        return here and source in ("", snapshot.source, disk)

    def _zone_for(self, snapshot: Snapshot) -> str:
        place = snapshot.source.partition("/")[0]
        if self._settings.zone:
            return self._settings.zone
        zones = self._compute.zones()
        if not zones:
            raise InvalidRequest("no zone to restore into", why=f"no zone of {self._compute.region or 'the project'} is up")
        return place if place in zones else zones[0]

    def _exists(self, disk: str) -> bool:
        try:
            self._compute.find("disk", disk, "Disks", "disks")
        except NotFound:
            return False
        except InvalidRequest:  # several
            return True
        return True

    def _get(self, name: str) -> Snapshot:
        return _snapshot(self._compute.ask(f"look at snapshot {name!r}", "Snapshots", "get", snapshot=name))

    def _look(self, name: str) -> Snapshot | None:
        try:
            return self._get(name)
        except NotFound:
            return None


def _snapshot(found: Any) -> Snapshot:
    """Return a snapshot of the SDK; its size is what is stored, or the disk's while that is not known."""
    parts = found.source_disk.split("/")
    place = Place("/".join(parts[-4:-2])) if len(parts) >= 4 else Place("")
    created = moment(found.creation_timestamp)
    if created is None:
        raise InvalidRequest(f"snapshot {found.name!r} has no time of creation", why="Google's answer left it out")
    size = found.storage_bytes or found.disk_size_gb * GIB
    return Snapshot(found.name, f"{place.name}/{last(found.source_disk)}", created, size, found.status == "READY", dict(found.labels))


def _taken(into: str) -> Conflict:
    return Conflict(f"cannot restore into {into!r}", why="a disk of that name exists", next_step="choose another name")
