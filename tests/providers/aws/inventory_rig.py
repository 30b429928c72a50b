"""What AWS has of each kind, made on moto and on the stub, for the tests of the inventory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from mcml.providers.aws.inventory import AwsInventory
from mcml.providers.aws.session import Session
from mcml.testing.stubs.aws_model import AwsModel

ACCOUNT = "123456789012"


@contextmanager
def aws(*services: str) -> Iterator[AwsModel]:
    """Stand in for these services, and for STS, which tells our account."""
    with AwsModel("sts", *services) as stub:
        stub.on("sts", "GetCallerIdentity", {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/ada", "UserId": "AIDA"})
        yield stub


def tags() -> dict[str, str]:
    return {"managed-by": "mcml", "team": uuid4().hex}


def listed(said: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in said.items()]


def specified(kind: str, said: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": listed(said)}]


def ec2_arn(kind: str, name: str) -> str:
    return f"arn:aws:ec2:eu-west-1:{ACCOUNT}:{kind}/{name}"


def make_bucket(session: Session, said: dict[str, str]) -> str:
    name, s3 = f"mcml-{uuid4().hex[:20]}", session.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": listed(said)})
    return f"arn:aws:s3:::{name}"


def make_volume(session: Session, said: dict[str, str]) -> str:
    made = session.client("ec2").create_volume(AvailabilityZone="eu-west-1a", Size=1, TagSpecifications=specified("volume", said))
    return ec2_arn("volume", made["VolumeId"])


def make_snapshot(session: Session, said: dict[str, str]) -> str:
    volume = session.client("ec2").create_volume(AvailabilityZone="eu-west-1a", Size=1)["VolumeId"]
    made = session.client("ec2").create_snapshot(VolumeId=volume, TagSpecifications=specified("snapshot", said))
    return ec2_arn("snapshot", made["SnapshotId"])


def make_instance(session: Session, said: dict[str, str]) -> str:
    ec2 = session.client("ec2")
    asked = {"ImageId": "ami-03cf127a", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    return ec2_arn("instance", ec2.run_instances(TagSpecifications=specified("instance", said), **asked)["Instances"][0]["InstanceId"])


def make_vpc(session: Session, said: dict[str, str]) -> str:
    ec2 = session.client("ec2")
    name = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=specified("vpc", said))["Vpc"]["VpcId"]
    return ec2_arn("vpc", name)


def make_security_group(session: Session, said: dict[str, str]) -> str:
    vpc = make_vpc(session, {}).rpartition("/")[2]
    asked: dict[str, Any] = {"GroupName": uuid4().hex, "Description": "x", "VpcId": vpc}
    asked["TagSpecifications"] = specified("security-group", said)
    return ec2_arn("security-group", session.client("ec2").create_security_group(**asked)["GroupId"])


def make_database(session: Session, said: dict[str, str]) -> str:
    name = f"db-{uuid4().hex[:20]}"
    made = session.client("rds").create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.t3.micro", Engine="postgres", AllocatedStorage=20, MasterUsername="admin1",
        MasterUserPassword="not-a-secret", Tags=listed(said),
    )  # fmt: skip
    return str(made["DBInstance"]["DBInstanceArn"])


def make_topic(session: Session, said: dict[str, str]) -> str:
    return str(session.client("sns").create_topic(Name=uuid4().hex, Tags=listed(said))["TopicArn"])


def make_queue(session: Session, said: dict[str, str]) -> str:
    name = uuid4().hex
    session.client("sqs").create_queue(QueueName=name, tags=said)
    return f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}"


def make_secret(session: Session, said: dict[str, str]) -> str:
    return str(session.client("secretsmanager").create_secret(Name=uuid4().hex, SecretString="x", Tags=listed(said))["ARN"])


def make_log_group(session: Session, said: dict[str, str]) -> str:
    name = f"/mcml/{uuid4().hex}"
    session.client("logs").create_log_group(logGroupName=name, tags=said)
    return f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{name}"


def make_target_group(session: Session, said: dict[str, str]) -> str:
    vpc = make_vpc(session, {}).rpartition("/")[2]
    asked = {"Name": uuid4().hex, "Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    return str(session.client("elbv2").create_target_group(Tags=listed(said), **asked)["TargetGroups"][0]["TargetGroupArn"])


MAKERS: list[Callable[[Session, dict[str, str]], str]] = [
    make_bucket, make_volume, make_snapshot, make_instance, make_vpc, make_security_group, make_database, make_topic, make_queue,
    make_log_group, make_target_group,
]  # fmt: skip


@pytest.fixture
def inventory(session: Session) -> AwsInventory:
    return AwsInventory(session)
