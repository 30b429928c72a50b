"""Snapshots of RDS databases: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_CreateSnapshot.html

The snapshot's identifier is made from the token, so that RDS itself refuses a second one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.snapshots import Snapshot
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.paging import next_step, paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, TOKEN, short, tag_list, tags_of

DATABASE = "database"
GIB = 1 << 30
_THERE = ("DBSnapshotAlreadyExists", "DBSnapshotAlreadyExistsFault")
_TAKEN = ("DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault")


@dataclass(frozen=True)
class DatabaseSnapshots:
    """The half of `AwsSnapshots` that is RDS."""

    session: Session
    page: int

    def create(self, database: str, token: str, tags: Mapping[str, str]) -> Snapshot:
        """Begin a snapshot, or return the one that the token stands for."""
        doing, name = f"cannot take a snapshot of the database {database!r}", f"mcml-{short(token)[:40]}"
        asked = {"DBInstanceIdentifier": database, "DBSnapshotIdentifier": name, "Tags": tag_list(tags, OURS)}

        def once() -> Any:
            rds = self.session.client("rds")
            try:
                return rds.create_db_snapshot(**asked)["DBSnapshot"]
            except ClientError as failed:
                if code_of(failed) not in _THERE:
                    raise
                return rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]

        with next_step(NotFound, "aws rds describe-db-instances   # in the target's region"):
            made = to_snapshot(self.session.call(doing, once))
        if made.source.lower() != f"{DATABASE}/{database}".lower():  # RDS keeps names in small letters
            why = f"the token stands for {made.id}, a snapshot of {made.source}"
            raise InvalidRequest(doing, why=why, next_step="use a new token for a new snapshot")
        return made

    def list(self, database: str) -> list[Snapshot]:
        """Return those of a database, RDS's own backups too, or all."""
        asked: dict[str, Any] = {"DBInstanceIdentifier": database} if database else {}
        pages = paged(
            self.session, "cannot list the snapshots of databases", "rds", "describe_db_snapshots", "DBSnapshots",
            token="Marker", MaxRecords=self.page, **asked,  # noqa: S106 - a field's name
        )  # fmt: skip
        try:
            return [to_snapshot(one) for one in pages]
        except NotFound:
            return []

    def restore(self, snapshot: str, into: str) -> str:
        """Begin a new database and return its identifier."""
        doing = f"cannot restore {snapshot!r} into {into!r}"
        rds, mark = self.session.client, uuid4().hex
        with next_step(NotFound, "aws rds describe-db-snapshots   # in the target's region"):
            (source,) = self.session.call(doing, lambda: rds("rds").describe_db_snapshots(DBSnapshotIdentifier=snapshot))["DBSnapshots"]
        asked = {
            "DBInstanceIdentifier": into,
            "DBSnapshotIdentifier": snapshot,
            "Tags": tag_list(tags_of(source.get("TagList")), OURS, {TOKEN: mark}),
            **self._network(doing, source["DBInstanceIdentifier"]),
        }

        def once() -> Any:
            try:
                return rds("rds").restore_db_instance_from_db_snapshot(**asked)["DBInstance"]
            except ClientError as failed:
                if code_of(failed) in _TAKEN:
                    (there,) = rds("rds").describe_db_instances(DBInstanceIdentifier=into)["DBInstances"]
                    if tags_of(there.get("TagList")).get(TOKEN) == mark:  # our own, whose answer was lost
                        return there
                raise

        return str(self.session.call(doing, once)["DBInstanceIdentifier"])

    def delete(self, snapshot: str) -> None:
        """Delete one; one that is gone is fine."""
        asked = {"DBSnapshotIdentifier": snapshot}
        try:
            self.session.call(f"cannot delete the snapshot {snapshot!r}", lambda: self.session.client("rds").delete_db_snapshot(**asked))
        except NotFound:
            return

    def _network(self, doing: str, database: str) -> dict[str, Any]:
        """Return where the source stands: without it RDS would put the copy into the default network, under the default firewall."""
        asked = {"DBInstanceIdentifier": database}
        try:
            (source,) = self.session.call(doing, lambda: self.session.client("rds").describe_db_instances(**asked))["DBInstances"]
        except NotFound:
            return {}
        place: dict[str, Any] = {"PubliclyAccessible": bool(source.get("PubliclyAccessible"))}
        if source.get("DBSubnetGroup"):
            place["DBSubnetGroupName"] = source["DBSubnetGroup"]["DBSubnetGroupName"]
        if groups := [group["VpcSecurityGroupId"] for group in source.get("VpcSecurityGroups", ())]:
            place["VpcSecurityGroupIds"] = groups
        if "DBInstanceClass" in source:
            place["DBInstanceClass"] = source["DBInstanceClass"]
        return place


def to_snapshot(said: Mapping[str, Any]) -> Snapshot:
    """Return a snapshot as RDS describes it; the size is that of the database's storage. One that has just begun has no time yet."""
    created = (said.get("SnapshotCreateTime") or datetime.now(UTC)).astimezone(UTC)
    source = f"{DATABASE}/{said['DBInstanceIdentifier']}"
    complete = said["Status"] == "available"
    return Snapshot(said["DBSnapshotIdentifier"], source, created, said["AllocatedStorage"] * GIB, complete, tags_of(said.get("TagList")))
