"""Snapshots on AWS: EBS volumes ("disk/vol-...") and RDS databases ("database/NAME"); both kinds under one protocol.

A volume is named by its id or by its Name tag, a database by its identifier; the kind may be left out where the name tells.
Members of Aurora clusters are not copied here: RDS copies the whole cluster.
"""

import builtins
from collections.abc import Mapping
from functools import cached_property

from mcml.core.errors import NotFound
from mcml.providers.api.snapshots import Snapshot, Snapshots
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.database_snapshots import DATABASE, DatabaseSnapshots
from mcml.providers.aws.disk_snapshots import DISK, SNAPSHOT_ID, VOLUME_ID, DiskSnapshots
from mcml.providers.aws.session import Session
from mcml.providers.resilience import Policy


def open_snapshots(ctx: ProviderContext) -> Snapshots:
    """Return the snapshots of the context's region."""
    return AwsSnapshots(Session(ctx, policy=Policy(budget=ctx.budget)))


class AwsSnapshots:
    """Snapshots of one region that the account owns. `page` is how many are asked for at once (20 to 100)."""

    def __init__(self, session: Session, *, page: int = 100) -> None:
        self._session, self._page = session, page

    @cached_property
    def _disks(self) -> DiskSnapshots:
        return DiskSnapshots(self._session, self._page)

    @cached_property
    def _databases(self) -> DatabaseSnapshots:
        return DatabaseSnapshots(self._session, self._page)

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Begin a copy; the same token gives the same snapshot.

        Raises NotFound, Conflict (the database is busy), QuotaExceeded, InvalidRequest when the token stands for another source.
        """
        kind, name = split(source)
        if kind != DATABASE:
            volume = self._disks.find(name)
            if volume is not None:
                return self._disks.create(volume, token, tags or {})
            if kind == DISK or VOLUME_ID.fullmatch(name):
                step = "aws ec2 describe-volumes   # in the target's region"
                raise NotFound(f"cannot take a snapshot of {source!r}", why="no EBS volume has that id or name here", next_step=step)
        return self._databases.create(name, token, tags or {})

    def list(self, source: str = "") -> builtins.list[Snapshot]:
        """Return the snapshots of a source, also of one that is deleted, or all, newest first."""
        kind, name = split(source)
        found: builtins.list[Snapshot] = []
        if kind != DATABASE:
            volume = self._disks.find(name) if name and not VOLUME_ID.fullmatch(name) else name
            found += self._disks.list(volume or "") if volume or not name else []
        if kind != DISK and not VOLUME_ID.fullmatch(name):
            found += self._databases.list(name)
        return sorted(found, key=lambda one: (one.created, one.id), reverse=True)

    def restore(self, snapshot: str, into: str) -> str:
        """Begin a new disk or database from a copy and return its name: of a disk its volume id, and `into` becomes its Name tag.

        A disk comes into its source's zone, a database into its source's network, while that still stands; else into the region's first
        zone, or RDS's default network. Raises NotFound, Conflict when `into` exists or the copy is not complete, QuotaExceeded.
        """
        return self._of(snapshot).restore(snapshot, split(into)[1])

    def delete(self, snapshot: str) -> None:
        """Delete a copy; one that is gone is fine. Raises Conflict for one that an image uses, InvalidRequest for RDS's own backups."""
        self._of(snapshot).delete(snapshot)

    def _of(self, snapshot: str) -> DiskSnapshots | DatabaseSnapshots:
        return self._disks if SNAPSHOT_ID.fullmatch(snapshot) else self._databases


def split(source: str) -> tuple[str, str]:
    """Return the kind ("disk", "database", or nothing when it is not said) and the name."""
    kind, slash, name = source.partition("/")
    return (kind, name) if slash and kind in (DISK, DATABASE) else ("", source)
