"""Inventory of AWS: the contract on moto server; kinds that mcml deletes are made, found, deleted once; what blocks, and what helps."""

from collections.abc import Callable
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, ProviderCannot
from mcml.providers.api.inventory import Inventory, Resource
from mcml.providers.aws.arn import arn_of
from mcml.providers.aws.inventory import AwsInventory
from mcml.providers.aws.session import Session
from mcml.testing.contracts.inventory import InventoryContract
from mcml.testing.stubs.aws_model import AwsError
from tests.providers.aws.conftest import MakeSession
from tests.providers.aws.inventory_rig import (
    ACCOUNT,
    MAKERS,
    aws,
    ec2_arn,
    inventory,
    make_bucket,
    make_database,
    make_secret,
    make_volume,
    tags,
)
from tests.providers.aws.test_groups import MakeGroup, make_group

__all__ = ["inventory", "make_group"]


class TestAws(InventoryContract):
    @pytest.fixture
    def inventory(self, inventory: AwsInventory) -> Inventory:
        return inventory

    @pytest.fixture
    def tagged(self, session: Session) -> Resource:
        said = tags()
        return Resource("ec2:volume", make_volume(session, said), "eu-west-1", said)

    @pytest.fixture
    def blocked(self, session: Session) -> Resource:
        said = tags()
        arn = make_bucket(session, said)
        session.client("s3").put_object(Bucket=arn.rpartition(":")[2], Key="k", Body=b"x")
        return Resource("s3:bucket", arn, "eu-west-1", said)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
def test_each_kind_is_found_and_deleted_once(session: Session, inventory: AwsInventory, make: Callable[..., str]) -> None:
    said = tags()
    arn = make(session, said)
    found = [one for one in inventory.find_by_tag(said) if one.id.startswith(arn)]  # a log group's may end with ":*"
    assert [one.tags for one in found] == [said]
    assert inventory.blockers(found) == []
    assert inventory.delete(found[0]) is True
    assert inventory.find_by_tag(said) == []
    assert inventory.delete(found[0]) is False


def test_an_auto_scaling_group_which_the_api_leaves_out(session: Session, inventory: AwsInventory, make_group: MakeGroup) -> None:
    name = make_group(1)
    (found,) = [one for one in inventory.find_by_tag({"team": name}) if one.kind == "autoscaling:autoScalingGroup"]
    assert (found.region, found.tags, found.id.endswith(f"autoScalingGroupName/{name}")) == ("eu-west-1", {"team": name}, True)
    assert inventory.delete(found) is True
    assert inventory.delete(found) is False
    # the fixture ends what it made: give it one that is there
    session.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=0, AvailabilityZones=["eu-west-1a"], LaunchTemplate={"LaunchTemplateName": name}
    )


def test_a_secret_can_be_brought_back(session: Session, inventory: AwsInventory) -> None:
    arn = make_secret(session, tags())
    assert inventory.delete(Resource("secretsmanager:secret", arn, "eu-west-1")) is True
    assert inventory.delete(Resource("secretsmanager:secret", arn, "eu-west-1")) is False
    session.client("secretsmanager").restore_secret(SecretId=arn)
    assert inventory.delete(Resource("secretsmanager:secret", arn, "eu-west-1")) is True


def test_a_database_leaves_a_last_snapshot(session: Session, inventory: AwsInventory) -> None:
    said = tags()
    arn = make_database(session, said)
    name = arn.rpartition(":")[2]
    assert inventory.delete(Resource("rds:db", arn, "eu-west-1", said)) is True
    left = session.client("rds").describe_db_snapshots(DBInstanceIdentifier=name, SnapshotType="manual")["DBSnapshots"]
    assert [one["DBSnapshotIdentifier"].startswith(f"mcml-final-{name}") for one in left] == [True]


def test_found_over_many_pages(session: Session) -> None:
    said = tags()
    made = {make_volume(session, said) for _ in range(7)}
    assert {one.id for one in AwsInventory(session, page=3).find_by_tag(said)} == made


def test_a_spot_request_goes_before_its_machine(make_session: MakeSession) -> None:
    """Else it would start another one."""
    instance = {"InstanceId": "i-1", "State": {"Name": "running"}, "InstanceType": "t3.micro"}
    with aws("ec2") as stub:
        stub.on("ec2", "DescribeInstances", {"Reservations": [{"Instances": [instance]}]})
        stub.on("ec2", "DescribeInstanceAttribute", {"DisableApiTermination": {"Value": False}})
        stub.on("ec2", "DescribeSpotInstanceRequests", {"SpotInstanceRequests": [{"SpotInstanceRequestId": "sir-1"}]})
        stub.on("ec2", "CancelSpotInstanceRequests", {})
        stub.on("ec2", "TerminateInstances", {})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        assert inventory.delete(Resource("ec2:instance", ec2_arn("instance", "i-1"), "eu-west-1")) is True
        assert [call.operation for call in stub.calls][-2:] == ["CancelSpotInstanceRequests", "TerminateInstances"]


@pytest.mark.parametrize("seen", [True, False])
def test_a_resource_of_another_region_is_looked_for_there(make_session: MakeSession, seen: bool) -> None:
    """A database of the same name in our own region is not the one that was meant."""
    arn = f"arn:aws:rds:us-west-2:{ACCOUNT}:db:prod"
    with aws("rds") as stub:

        def databases(_: dict[str, Any]) -> dict[str, Any]:
            there = "/us-west-2/rds/" in stub.calls[-1].headers["Authorization"]
            protected = {"DBInstanceIdentifier": "prod", "DBInstanceStatus": "available", "DeletionProtection": True}
            return {"DBInstances": [protected] if there == seen else []}

        stub.on("rds", "DescribeDBInstances", databases)
        stub.on("rds", "DeleteDBInstance", {})
        inventory, resource = AwsInventory(make_session(endpoint_url=stub.url)), Resource("rds:db", arn, "us-west-2")
        assert len(inventory.blockers([resource])) == seen
        if seen:
            with pytest.raises(Conflict):
                inventory.delete(resource)
        else:
            assert inventory.delete(resource) is False
        assert stub.requests("rds", "DeleteDBInstance") == []


def test_a_resource_of_another_account_is_left_alone(make_session: MakeSession) -> None:
    """The profile was switched between listing and deleting; a database of the same name in our account is not the one that was meant."""
    with aws("rds") as stub:
        stub.on("rds", "DescribeDBInstances", {"DBInstances": [{"DBInstanceIdentifier": "prod", "DBInstanceStatus": "available"}]})
        stub.on("rds", "DeleteDBInstance", {})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        with pytest.raises(InvalidRequest, match="cannot delete rds:db 'prod'") as other:
            inventory.delete(Resource("rds:db", "arn:aws:rds:eu-west-1:999999999999:db:prod", "eu-west-1"))
        assert other.value.why == f"it is in account 999999999999, the credentials are of account {ACCOUNT}"
        assert other.value.next_step.startswith("log in to account 999999999999")
        assert stub.requests("rds", "DeleteDBInstance") == []
        assert inventory.delete(Resource("rds:db", f"arn:aws:rds:eu-west-1:{ACCOUNT}:db:prod", "eu-west-1")) is True
        assert len(stub.requests("sts", "GetCallerIdentity")) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [("DependencyViolation", Conflict), ("InvalidVpcEndpoint.NotFound", False), ("UnauthorizedOperation", NotAuthenticated)],
)
def test_what_ec2_has_against_it_in_an_answer_that_is_no_error(make_session: MakeSession, code: str, expected: Any) -> None:
    with aws("ec2") as stub:
        refused = {"ResourceId": "vpce-1", "Error": {"Code": code, "Message": "it is in use"}}
        stub.on("ec2", "DeleteVpcEndpoints", {"Unsuccessful": [refused]})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        resource = Resource("ec2:vpc-endpoint", ec2_arn("vpc-endpoint", "vpce-1"), "eu-west-1")
        if expected is False:
            assert inventory.delete(resource) is False
        else:
            with pytest.raises(expected) as told:
                inventory.delete(resource)
            assert told.value.why == f"it is in use ({code})"
        stub.on("ec2", "DeleteVpcEndpoints", {"Unsuccessful": []})
        assert inventory.delete(resource) is True


@pytest.mark.parametrize("kind", ["endpoint", "endpoint-config", "model"])
def test_what_is_gone_from_sagemaker(make_session: MakeSession, kind: str) -> None:
    """SageMaker has no code for it, only a text; also when it was our own first try whose answer was lost."""
    operation = {"endpoint": "DeleteEndpoint", "endpoint-config": "DeleteEndpointConfig", "model": "DeleteModel"}[kind]
    resource = Resource(f"sagemaker:{kind}", f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:{kind}/fraud", "eu-west-1")
    answers: list[AwsError] = []
    with aws("sagemaker") as stub:

        def delete(_: dict[str, Any]) -> dict[str, Any]:
            raise answers.pop(0)

        gone = AwsError("ValidationException", f'Could not find {kind} "fraud".')
        stub.on("sagemaker", operation, delete)
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        answers += [gone]
        assert inventory.delete(resource) is False
        answers += [AwsError("InternalFailure", status=500), gone]
        assert inventory.delete(resource) is True
        answers += [AwsError("ValidationException", "it is in use")]
        with pytest.raises(InvalidRequest, match="cannot delete sagemaker"):
            inventory.delete(resource)


def test_an_alarm_over_other_alarms_is_an_alarm(make_session: MakeSession) -> None:
    """CloudWatch tells of them only when it is asked for them."""
    with aws("cloudwatch") as stub:

        def alarms(asked: dict[str, Any]) -> dict[str, Any]:
            return {"CompositeAlarms": [{"AlarmName": "all"}] if "CompositeAlarm" in asked.get("AlarmTypes", ()) else []}

        stub.on("cloudwatch", "DescribeAlarms", alarms)
        stub.on("cloudwatch", "DeleteAlarms", {})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        resource = Resource("cloudwatch:alarm", f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:all", "eu-west-1")
        assert inventory.delete(resource) is True
        assert stub.requests("cloudwatch", "DeleteAlarms") == [{"AlarmNames": ["all"]}]


def test_what_has_no_region_is_asked_for_in_us_east_1(make_session: MakeSession) -> None:
    """Buckets show in their own region only, a terminated instance not at all."""
    here = {"ec2": ec2_arn("instance", "i-1"), "s3": "arn:aws:s3:::here"}
    there = {"r53": "arn:aws:route53:::hostedzone/Z1", "s3": "arn:aws:s3:::there", "ec2": f"arn:aws:ec2:us-east-1:{ACCOUNT}:volume/vol-1"}
    with aws("resourcegroupstaggingapi", "autoscaling", "ec2") as stub:

        def resources(asked: dict[str, Any]) -> dict[str, Any]:
            assert asked["TagFilters"] == [{"Key": "managed-by", "Values": ["mcml"]}]
            there_now = "us-east-1" in stub.calls[-1].headers["Authorization"]
            return {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []} for arn in (there if there_now else here).values()]}

        stub.on("resourcegroupstaggingapi", "GetResources", resources)
        stub.on("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": []})
        ended = {"InstanceId": "i-1", "State": {"Name": "terminated"}}
        stub.on("ec2", "DescribeInstances", {"Reservations": [{"Instances": [ended]}]})
        found = AwsInventory(make_session(endpoint_url=stub.url)).find_by_tag({})
    assert [(one.kind, one.id, one.region) for one in found] == [
        ("route53:hostedzone", there["r53"], ""), ("s3:bucket", here["s3"], "eu-west-1"),
    ]  # fmt: skip


def test_a_kind_that_mcml_leaves_to_a_person(make_session: MakeSession) -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/k1"
    with aws("resourcegroupstaggingapi") as stub:
        stub.on("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []}]})
        inventory = AwsInventory(make_session(endpoint_url=stub.url))
        with pytest.raises(ProviderCannot) as left:
            inventory.delete(Resource("kms:key", arn, "eu-west-1"))
        assert (left.value.message, left.value.why) == ("cannot delete kms:key 'k1'", "mcml does not delete resources of kms")
        assert left.value.next_step.startswith(f"aws resourcegroupstaggingapi get-resources --resource-arn-list {arn}")
        stub.on("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": []})
        assert inventory.delete(Resource("kms:key", arn, "eu-west-1")) is False


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("arn:aws:ec2:eu-west-1:1:volume/vol-1", "ec2:volume", "vol-1"),
        ("arn:aws:rds:eu-west-1:1:db:journal", "rds:db", "journal"),
        ("arn:aws:s3:::models", "s3:bucket", "models"),
        ("arn:aws:sns:eu-west-1:1:pages", "sns:topic", "pages"),
        ("arn:aws:eks:eu-west-1:1:nodegroup/ml/gpu/8e-1", "eks:nodegroup", "ml/gpu/8e-1"),
        ("arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/front/50dc", "elasticloadbalancing:loadbalancer", "app/front/50dc"),
        ("arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:u-1:autoScalingGroupName/a/b", "autoscaling:autoScalingGroup", "a/b"),
        ("arn:aws:logs:eu-west-1:1:log-group:/mcml/x", "logs:log-group", "/mcml/x"),
    ],
)
def test_arns(text: str, kind: str, name: str) -> None:
    arn = arn_of(text)
    assert arn is not None
    assert (arn.kind, arn.name, str(arn)) == (kind, name, text)
    assert arn_of("mcml-never-existed") is None
