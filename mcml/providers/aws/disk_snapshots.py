"""Snapshots of EBS volumes: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshots.html

CreateSnapshot knows no token: the snapshot carries ours as a tag, and every try looks for it first. EC2 may take seconds to show a new
snapshot in a listing; a repeat within that time could make a second one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import uuid4

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.snapshots import Snapshot
from mcml.providers.aws.paging import next_step, paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, TOKEN, short, tag_filters, tag_list, tags_of

DISK = "disk"
GIB = 1 << 30
VOLUME_ID, SNAPSHOT_ID = re.compile(r"vol-[0-9a-f]{8,17}"), re.compile(r"snap-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class DiskSnapshots:
    """The half of `AwsSnapshots` that is EBS."""

    session: Session
    page: int

    def find(self, name: str) -> str | None:
        """Return the id of the volume of that id or Name tag; None when there is none. Raises InvalidRequest when several have it."""
        by_id = VOLUME_ID.fullmatch(name) is not None
        asked: dict[str, Any] = {"VolumeIds": [name]} if by_id else {"Filters": tag_filters({"Name": name})}
        doing = f"cannot find the volume {name!r}"
        try:
            volumes = [*paged(self.session, doing, "ec2", "describe_volumes", "Volumes", **asked)]
        except NotFound:
            return None
        if len(volumes) > 1:
            why = f"these have that name: {', '.join(sorted(one['VolumeId'] for one in volumes))}"
            raise InvalidRequest(f"which volume {name!r}?", why=why, next_step="give the volume's id")
        return str(volumes[0]["VolumeId"]) if volumes else None

    def create(self, volume: str, token: str, tags: Mapping[str, str]) -> Snapshot:
        """Begin a snapshot, or return the one that the token stands for."""
        mark = {TOKEN: short(token)}
        asked = {"VolumeId": volume, "TagSpecifications": [{"ResourceType": "snapshot", "Tags": tag_list(tags, OURS, mark)}]}

        def once() -> Any:
            ec2 = self.session.client("ec2")
            known = ec2.describe_snapshots(OwnerIds=["self"], Filters=tag_filters(mark))["Snapshots"]
            return known[0] if known else ec2.create_snapshot(**asked)

        made = to_snapshot(self.session.call(f"cannot take a snapshot of {volume}", once))
        if made.source != f"{DISK}/{volume}":
            why = f"the token stands for {made.id}, a snapshot of {made.source}"
            raise InvalidRequest(f"cannot take a snapshot of {volume}", why=why, next_step="use a new token for a new snapshot")
        return made

    def list(self, volume: str) -> list[Snapshot]:
        """Return those of a volume, or all of the account."""
        filters = [{"Name": "volume-id", "Values": [volume]}] if volume else []
        asked: dict[str, Any] = {"OwnerIds": ["self"], "Filters": filters, "MaxResults": self.page}
        doing = "cannot list the snapshots of volumes"
        return [to_snapshot(one) for one in paged(self.session, doing, "ec2", "describe_snapshots", "Snapshots", **asked)]

    def restore(self, snapshot: str, into: str) -> str:
        """Begin a new volume and return its id."""
        doing = f"cannot restore {snapshot} into {into!r}"
        with next_step(NotFound, "aws ec2 describe-snapshots --owner-ids self   # in the target's region"):
            source = self.session.call(doing, lambda: self.session.client("ec2").describe_snapshots(SnapshotIds=[snapshot]))["Snapshots"][0]
        if self.find(into) is not None:
            raise Conflict(doing, why="a volume of that name exists", next_step="choose another name")
        tags = tag_list(tags_of(source.get("Tags")), OURS, {"Name": into})
        asked = {
            "SnapshotId": snapshot,
            "AvailabilityZone": self._zone(doing, source["VolumeId"]),
            "TagSpecifications": [{"ResourceType": "volume", "Tags": [tag for tag in tags if tag["Key"] != TOKEN]}],
            "ClientToken": uuid4().hex,
        }
        with next_step(Conflict, "wait until the snapshot is complete"):
            return str(self.session.call(doing, lambda: self.session.client("ec2").create_volume(**asked))["VolumeId"])

    def delete(self, snapshot: str) -> None:
        """Delete one; one that is gone is fine."""
        try:
            self.session.call(f"cannot delete {snapshot}", lambda: self.session.client("ec2").delete_snapshot(SnapshotId=snapshot))
        except NotFound:
            return

    def _zone(self, doing: str, volume: str) -> str:
        ec2 = self.session.client
        try:
            found = self.session.call(doing, lambda: ec2("ec2").describe_volumes(VolumeIds=[volume]))["Volumes"]
        except NotFound:
            found = []
        if found:
            return str(found[0]["AvailabilityZone"])
        usable = [{"Name": "state", "Values": ["available"]}, {"Name": "zone-type", "Values": ["availability-zone"]}]
        zones = self.session.call(doing, lambda: ec2("ec2").describe_availability_zones(Filters=usable))["AvailabilityZones"]
        return min(str(zone["ZoneName"]) for zone in zones)


def to_snapshot(said: Mapping[str, Any]) -> Snapshot:
    """Return a snapshot as EC2 describes it; the size is what it holds, or where EC2 does not say, that of the volume."""
    size = said.get("FullSnapshotSizeInBytes") or said["VolumeSize"] * GIB
    complete, created = said["State"] in ("completed", "recoverable"), said["StartTime"].astimezone(UTC)
    return Snapshot(said["SnapshotId"], f"{DISK}/{said['VolumeId']}", created, size, complete, tags_of(said.get("Tags")))
