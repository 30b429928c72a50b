"""Snapshots on AWS: the contract on EBS volumes and on RDS databases, both on moto server, where a copy's content is its size."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.aws.session import Session
from mcml.providers.aws.snapshots import AwsSnapshots, split
from mcml.testing.contracts.snapshots import SnapshotsContract
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.conftest import MakeSession


def make_volume(session: Session, size: int, **tags: str) -> str:
    specification = [{"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}] if tags else []
    made = session.client("ec2").create_volume(AvailabilityZone="eu-west-1b", Size=size, TagSpecifications=specification)
    return str(made["VolumeId"])


def make_database(session: Session, size: int, **more: Any) -> str:
    """One without backups of RDS's own (moto server makes one all the same)."""
    name, rds = f"db-{uuid4().hex[:20]}", session.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.t3.micro", Engine="postgres", AllocatedStorage=size, MasterUsername="admin1",
        MasterUserPassword="not-a-secret", BackupRetentionPeriod=0, **more,
    )  # fmt: skip
    for own in rds.describe_db_snapshots(DBInstanceIdentifier=name)["DBSnapshots"]:
        rds.delete_db_snapshot(DBSnapshotIdentifier=own["DBSnapshotIdentifier"])
    return name


@pytest.fixture
def snapshots(session: Session) -> AwsSnapshots:
    return AwsSnapshots(session)


class OfOwnNames(SnapshotsContract):
    """moto server keeps what the test before has made: the contract's tokens are made our own."""

    @pytest.fixture
    def snapshots(self, session: Session) -> Snapshots:
        prefix, straight = uuid4().hex, AwsSnapshots(session)

        class Own(AwsSnapshots):
            def create(self, source: str, *, token: str, tags: Any = None) -> Any:
                return straight.create(source, token=prefix + token, tags=tags)

        return Own(session)

    @pytest.fixture
    def new_name(self) -> str:
        return f"new-{uuid4().hex[:20]}"


class TestDisks(OfOwnNames):
    @pytest.fixture
    def sources(self, session: Session) -> tuple[str, str]:
        return make_volume(session, 3), make_volume(session, 5)

    @pytest.fixture
    def fingerprint(self, session: Session) -> Callable[[str], object]:
        return lambda name: session.client("ec2").describe_volumes(VolumeIds=[name])["Volumes"][0]["Size"]


class TestDatabases(OfOwnNames):
    @pytest.fixture
    def sources(self, session: Session) -> tuple[str, str]:
        return make_database(session, 20), make_database(session, 50)

    @pytest.fixture
    def fingerprint(self, session: Session) -> Callable[[str], object]:
        def size(name: str) -> object:
            return session.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["AllocatedStorage"]

        return size


def test_a_volume_is_known_by_its_name_tag_too(session: Session, snapshots: AwsSnapshots) -> None:
    name = f"models-{uuid4().hex}"
    volume = make_volume(session, 3, Name=name, team="risk")
    taken = snapshots.create(f"disk/{name}", token=uuid4().hex, tags={"team": "ml"})
    assert (taken.source, taken.size_bytes) == (f"disk/{volume}", 3 << 30)
    assert [one.id for one in snapshots.list(name)] == [taken.id]
    restored = snapshots.restore(taken.id, f"{name}-2")
    about = session.client("ec2").describe_volumes(VolumeIds=[restored])["Volumes"][0]
    assert about["AvailabilityZone"] == "eu-west-1b"
    assert {tag["Key"]: tag["Value"] for tag in about["Tags"]} == {"Name": f"{name}-2", "managed-by": "mcml", "team": "ml"}
    make_volume(session, 3, Name=name)
    with pytest.raises(InvalidRequest, match="which volume") as which:
        snapshots.create(name, token=uuid4().hex)
    assert volume in which.value.why


def test_a_token_stands_for_one_source(session: Session, snapshots: AwsSnapshots) -> None:
    for make in (make_volume, make_database):
        first, second, token = make(session, 20), make(session, 20), uuid4().hex
        snapshots.create(first, token=token)
        with pytest.raises(InvalidRequest) as refused:
            snapshots.create(second, token=token)
        assert first in refused.value.why
        assert snapshots.list(second) == []


def test_a_database_is_named_in_large_letters_too(make_session: MakeSession) -> None:
    """RDS keeps the name in small ones, and finds it by both: the snapshot that it made is the one that was asked for."""
    with AwsModel("rds") as stub:

        def make(asked: dict[str, Any]) -> dict[str, Any]:
            about = {"DBSnapshotIdentifier": asked["DBSnapshotIdentifier"], "Status": "creating", "AllocatedStorage": 20}
            return {"DBSnapshot": {**about, "DBInstanceIdentifier": asked["DBInstanceIdentifier"].lower()}}

        stub.on("rds", "CreateDBSnapshot", make)
        made = AwsSnapshots(make_session(endpoint_url=stub.url)).create("database/Journal", token="t")
        assert made.source == "database/journal"


def test_a_disk_whose_source_is_gone_comes_back(session: Session, snapshots: AwsSnapshots) -> None:
    volume = make_volume(session, 3)
    taken = snapshots.create(volume, token=uuid4().hex)
    session.client("ec2").delete_volume(VolumeId=volume)
    assert [one.id for one in snapshots.list(volume)] == [taken.id]
    restored = snapshots.restore(taken.id, f"back-{uuid4().hex}")
    assert session.client("ec2").describe_volumes(VolumeIds=[restored])["Volumes"][0]["AvailabilityZone"] == "eu-west-1a"


def test_a_database_comes_back_into_its_network(session: Session, snapshots: AwsSnapshots) -> None:
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    network = f"net-{uuid4().hex[:12]}"
    session.client("rds").create_db_subnet_group(DBSubnetGroupName=network, DBSubnetGroupDescription="x", SubnetIds=subnets)
    group = ec2.create_security_group(GroupName=network, Description="x", VpcId=vpc)["GroupId"]
    database = make_database(session, 20, DBSubnetGroupName=network, VpcSecurityGroupIds=[group], PubliclyAccessible=False)
    restored = snapshots.restore(snapshots.create(database, token=uuid4().hex).id, f"{database}-2")
    (about,) = session.client("rds").describe_db_instances(DBInstanceIdentifier=restored)["DBInstances"]
    assert about["DBSubnetGroup"]["DBSubnetGroupName"] == network
    assert [one["VpcSecurityGroupId"] for one in about["VpcSecurityGroups"]] == [group]
    assert about["PubliclyAccessible"] is False


def test_listed_over_many_pages(session: Session) -> None:
    """Of both kinds; moto server has pages of snapshots for volumes only in name, so the databases show it."""
    volume, database, snapshots = make_volume(session, 1), make_database(session, 20), AwsSnapshots(session, page=20)
    taken = {snapshots.create(database, token=uuid4().hex).id for _ in range(23)}
    taken |= {snapshots.create(volume, token=uuid4().hex).id for _ in range(2)}
    assert taken <= {one.id for one in snapshots.list()}
    assert len(snapshots.list(database)) == 23


def test_a_disk_is_no_database(snapshots: AwsSnapshots, session: Session) -> None:
    database = make_database(session, 20)
    with pytest.raises(NotFound, match="disk/"):
        snapshots.create(f"disk/{database}", token="t")
    with pytest.raises(NotFound):
        snapshots.restore("snap-0123456789abcdef0", "x")


def test_split() -> None:
    assert [split(text) for text in ("disk/a", "database/b", "c", "other/d")] == [
        ("disk", "a"), ("database", "b"), ("", "c"), ("", "other/d"),
    ]  # fmt: skip
