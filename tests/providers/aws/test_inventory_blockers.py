"""What stands in the way of a deletion on AWS, and the command that helps."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.errors import Conflict
from mcml.providers.api.inventory import Resource
from mcml.providers.aws.inventory import AwsInventory
from mcml.providers.aws.session import Session
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.conftest import MakeSession
from tests.providers.aws.inventory_rig import (
    aws,
    ec2_arn,
    inventory,
    make_database,
    make_instance,
    make_security_group,
    make_volume,
    make_vpc,
    specified,
    tags,
)

__all__ = ["inventory"]


def protected_instance(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    arn = make_instance(session, tags())
    name = arn.rpartition("/")[2]
    session.client("ec2").modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": True})
    return arn, "is protected from termination", "--no-disable-api-termination"


def attached_volume(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    arn, instance = make_volume(session, tags()), make_instance(session, tags()).rpartition("/")[2]
    session.client("ec2").attach_volume(VolumeId=arn.rpartition("/")[2], InstanceId=instance, Device="/dev/sdx")
    return arn, f"is attached to {instance}", "aws ec2 detach-volume"


def vpc_in_use(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    arn = make_vpc(session, tags())
    subnet = session.client("ec2").create_subnet(VpcId=arn.rpartition("/")[2], CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    return arn, f"subnet {subnet} is in", f"aws ec2 delete-subnet --subnet-id {subnet}"


def subnet_in_use(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    ec2 = session.client("ec2")
    vpc = make_vpc(session, {}).rpartition("/")[2]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", TagSpecifications=specified("subnet", tags()))["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet, Description="ELB app/front")["NetworkInterface"]["NetworkInterfaceId"]
    return ec2_arn("subnet", subnet), f"network interface {interface} (ELB app/front)", f"--network-interface-id {interface}"


def security_group_in_use(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    ec2 = session.client("ec2")
    arn = make_security_group(session, tags())
    name = arn.rpartition("/")[2]
    (about,) = ec2.describe_security_groups(GroupIds=[name])["SecurityGroups"]
    other = ec2.create_security_group(GroupName=uuid4().hex, Description="x", VpcId=about["VpcId"])["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": name}]}])
    return arn, f"security group {other} lets in {name}", f"revoke-security-group-ingress --group-id {other} --security-group-rule-ids"


def protected_database(session: Session, inventory: AwsInventory) -> tuple[str, str, str]:
    arn = make_database(session, tags())
    session.client("rds").modify_db_instance(DBInstanceIdentifier=arn.rpartition(":")[2], DeletionProtection=True)
    return arn, "is protected from deletion", "--no-deletion-protection"


BLOCKED = [protected_instance, attached_volume, vpc_in_use, subnet_in_use, security_group_in_use, protected_database]


@pytest.mark.parametrize("make", BLOCKED, ids=lambda make: make.__name__)
def test_what_blocks_and_what_helps(session: Session, inventory: AwsInventory, make: Callable[..., tuple[str, str, str]]) -> None:
    arn, reason, fix = make(session, inventory)
    resource = Resource("", arn, "eu-west-1")
    blocker = inventory.blockers([resource])[0]
    assert reason in blocker.reason
    assert fix in blocker.fix
    with pytest.raises(Conflict) as refused:
        inventory.delete(resource)
    assert reason in refused.value.why
    assert fix in refused.value.next_step


def test_an_image_holds_its_snapshot(make_session: MakeSession) -> None:
    """moto server does not keep an image's snapshot: a stub tells."""
    with aws("ec2") as stub:
        stub.on("ec2", "DescribeImages", {"Images": [{"ImageId": "ami-1"}]})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        (blocker,) = inventory.blockers([Resource("ec2:snapshot", ec2_arn("snapshot", "snap-1"), "eu-west-1")])
        assert (blocker.reason, blocker.fix) == ("snapshot snap-1 is part of image ami-1", "aws ec2 deregister-image --image-id ami-1")


@pytest.mark.parametrize(
    ("kind", "operation", "result", "one", "said"),
    [
        ("snapshot", "DescribeImages", "Images", "ImageId", "is part of image"),
        ("subnet", "DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId", "network interface"),
        ("vpc", "DescribeSubnets", "Subnets", "SubnetId", "subnet"),
        ("vpc", "DescribeInternetGateways", "InternetGateways", "InternetGatewayId", "internet gateway"),
        ("vpc", "DescribeSecurityGroups", "SecurityGroups", "GroupId", "security group"),
        ("security-group", "DescribeSecurityGroups", "SecurityGroups", "GroupId", "lets in"),
    ],
)
def test_blockers_over_many_pages(make_session: MakeSession, kind: str, operation: str, result: str, one: str, said: str) -> None:
    """The first page is empty, as EC2's may be."""
    listings = ("Images", "NetworkInterfaces", "SecurityGroups", "Subnets", "InternetGateways")
    with AwsModel("ec2") as stub:
        for listing in listings:
            stub.on("ec2", f"Describe{listing}", {listing: []})
        pages = {"": ([], "1"), "1": (["x-1"], "2"), "2": (["x-2"], "")}

        def page(asked: dict[str, Any]) -> dict[str, Any]:
            names, token = pages[asked.get("NextToken", "")]
            more = {"NextToken": token} if token else {}
            return {result: [{one: name} | ({"GroupName": name} if one == "GroupId" else {}) for name in names]} | more

        stub.on("ec2", operation, page)
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        blockers = inventory.blockers([Resource("", ec2_arn(kind, f"{kind}-1"), "eu-west-1")])
        assert [(said in blocker.reason, name in blocker.reason) for blocker, name in zip(blockers, ("x-1", "x-2"), strict=True)] == [
            (True, True)
        ] * 2
