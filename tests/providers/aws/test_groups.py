"""Groups on EC2 Auto Scaling: the contract on moto server; where the machine type comes from, pages."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.groups import Groups
from mcml.providers.aws.groups import AutoScalingGroups
from mcml.providers.aws.session import Session
from mcml.testing.contracts.groups import GroupsContract
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from tests.providers.aws.conftest import MakeSession

MakeGroup = Callable[..., str]


@pytest.fixture
def make_group(session: Session, machine_image: str) -> Iterator[MakeGroup]:
    """Makes groups of a launch template, or of what the keywords say; ends them."""
    made, scaling, ec2 = [], session.client("autoscaling"), session.client("ec2")

    def make(desired: int = 0, **source: Any) -> str:
        name = f"workers-{uuid4().hex}"
        if not source:
            ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": machine_image, "InstanceType": "m5.large"})
            source = {"LaunchTemplate": {"LaunchTemplateName": name, "Version": "$Latest"}}
        tags = [{"Key": "team", "Value": name, "PropagateAtLaunch": True}]
        zones = {"AvailabilityZones": ["eu-west-1a"], "Tags": tags}
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=3, DesiredCapacity=desired, **zones, **source
        )
        made.append(name)
        return name

    yield make
    for name in made:
        scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


class TestAutoScalingGroups(GroupsContract):
    @pytest.fixture
    def groups(self, session: Session) -> Groups:
        return AutoScalingGroups(session)

    @pytest.fixture
    def group(self, make_group: MakeGroup) -> str:
        return make_group(desired=1)


def test_the_machine_type_comes_from_where_the_group_has_it(session: Session, make_group: MakeGroup, machine_image: str) -> None:
    """A launch template, a launch configuration, the first choice of a mix, the template of a mix."""
    groups, name = AutoScalingGroups(session), uuid4().hex
    session.client("autoscaling").create_launch_configuration(LaunchConfigurationName=name, ImageId=machine_image, InstanceType="c5.large")
    data = {"ImageId": machine_image, "InstanceType": "t3.large"}
    template = session.client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    of_template = {"LaunchTemplateSpecification": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Default"}}
    mixed = {**of_template, "Overrides": [{"InstanceType": "r5.large"}, {"InstanceType": "r4.large"}]}
    made = {
        make_group(): "m5.large",
        make_group(LaunchConfigurationName=name): "c5.large",
        make_group(MixedInstancesPolicy={"LaunchTemplate": mixed}): "r5.large",
        make_group(MixedInstancesPolicy={"LaunchTemplate": of_template}): "t3.large",
    }
    assert {name: groups.size(name).machine for name in made} == made


def test_listed_over_many_pages(session: Session, make_group: MakeGroup) -> None:
    made = {make_group() for _ in range(5)}
    assert made <= {group.name for group in AutoScalingGroups(session, page=2).list()}


def test_a_limit_that_aws_has_moved_meanwhile(make_session: MakeSession) -> None:
    """What we saw as allowed, and Auto Scaling refuses, is InvalidRequest with its words; nothing is tried again."""

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise AwsError("ValidationError", "New SetDesiredCapacity value 3 is above max value 2 for the AutoScalingGroup.")

    group = {
        "AutoScalingGroupName": "workers", "MinSize": 0, "MaxSize": 3, "DesiredCapacity": 1, "DefaultCooldown": 300,
        "AvailabilityZones": ["eu-west-1a"], "HealthCheckType": "EC2", "CreatedTime": "2026-05-01T12:00:00Z",
        "Instances": [
            {"InstanceId": f"i-{number}", "AvailabilityZone": "eu-west-1a", "LifecycleState": state, "HealthStatus": "Healthy",
             "ProtectedFromScaleIn": False}
            for number, state in enumerate(("InService", "Pending", "Terminating", "Standby"))
        ],
    }  # fmt: skip
    with AwsModel("autoscaling") as stub:
        stub.on("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": [group]})
        stub.on("autoscaling", "SetDesiredCapacity", refuse)
        groups = AutoScalingGroups(make_session(endpoint_url=stub.url))
        assert (groups.size("workers").running, groups.size("workers").machine) == (1, "")
        with pytest.raises(InvalidRequest) as refused:
            groups.resize("workers", 3)
        assert refused.value.why.startswith("New SetDesiredCapacity value 3 is above max value 2")
        assert stub.requests("autoscaling", "SetDesiredCapacity") == [
            {"AutoScalingGroupName": "workers", "DesiredCapacity": 3, "HonorCooldown": False}
        ]
