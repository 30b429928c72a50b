"""How each kind of resource is deleted, and whether it is still there where a delete would not tell."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from mcml.core.errors import NotFound
from mcml.providers.aws.arn import GROUP, INSTANCE, Arn
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.sagemaker import GONE
from mcml.providers.aws.session import Session

Clients = Callable[..., Any]
SECRET_DAYS = 7
ENDED = ("terminated", "shutting-down", "deleted", "deleting")


def clients_of(session: Session, arn: Arn) -> Clients:
    """Return what gives the clients of a resource's own region: another one may have a resource of the same name."""
    return lambda service: session.client(service, arn.region)


def _by_name(service: str, operation: str, parameter: str) -> Callable[[Clients, Arn], Any]:
    return lambda clients, arn: getattr(clients(service), operation)(**{parameter: arn.name})


def _by_names(service: str, operation: str, parameter: str) -> Callable[[Clients, Arn], Any]:
    return lambda clients, arn: getattr(clients(service), operation)(**{parameter: [arn.name]})


def _of_sagemaker(operation: str, parameter: str) -> Callable[[Clients, Arn], Any]:
    """SageMaker says only in the text of a refusal that there is nothing of that name."""

    def delete(clients: Clients, arn: Arn) -> None:
        try:
            getattr(clients("sagemaker"), operation)(**{parameter: arn.name})
        except ClientError as failed:
            if code_of(failed) == "ValidationException" and GONE.search(str(failed)):
                raise NotFound(f"there is no {arn.kind} {arn.name!r}") from failed
            raise

    return delete


def _by_arn(service: str, operation: str, parameter: str) -> Callable[[Clients, Arn], Any]:
    return lambda clients, arn: getattr(clients(service), operation)(**{parameter: str(arn)})


def _instance(clients: Clients, arn: Arn) -> None:
    """End an instance; before it its spot request, which would start another one."""
    ec2 = clients("ec2")
    asked = [{"Name": "instance-id", "Values": [arn.name]}]
    requests = [one["SpotInstanceRequestId"] for one in ec2.describe_spot_instance_requests(Filters=asked)["SpotInstanceRequests"]]
    if requests:
        ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=requests)
    ec2.terminate_instances(InstanceIds=[arn.name])


def _internet_gateway(clients: Clients, arn: Arn) -> None:
    ec2 = clients("ec2")
    (gateway,) = ec2.describe_internet_gateways(InternetGatewayIds=[arn.name])["InternetGateways"]
    for attached in gateway.get("Attachments", ()):
        ec2.detach_internet_gateway(InternetGatewayId=arn.name, VpcId=attached["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=arn.name)


def _vpc_endpoint(clients: Clients, arn: Arn) -> None:
    """Delete a VPC endpoint: what EC2 has against it stands in an answer that is no error."""
    answer = clients("ec2").delete_vpc_endpoints(VpcEndpointIds=[arn.name])
    for one in answer.get("Unsuccessful", ()):
        raise ClientError({"Error": one["Error"], "ResponseMetadata": answer["ResponseMetadata"]}, "DeleteVpcEndpoints")


def _database(clients: Clients, arn: Arn) -> None:
    """Delete a database after a last snapshot; a replica, and a member of a cluster, has none of its own."""
    rds = clients("rds")
    (said,) = rds.describe_db_instances(DBInstanceIdentifier=arn.name)["DBInstances"]
    last = f"mcml-final-{arn.name}-{said.get('DbiResourceId', '')[-8:].lower()}".rstrip("-")
    depends = said.get("ReadReplicaSourceDBInstanceIdentifier") or said.get("DBClusterIdentifier")
    how: dict[str, Any] = {"SkipFinalSnapshot": True} if depends else {"FinalDBSnapshotIdentifier": last}
    rds.delete_db_instance(DBInstanceIdentifier=arn.name, **how)


def _node_group(clients: Clients, arn: Arn) -> None:
    cluster, name, *_ = arn.name.split("/")
    clients("eks").delete_nodegroup(clusterName=cluster, nodegroupName=name)


def _load_balancer(clients: Clients, arn: Arn) -> None:
    if arn.name.partition("/")[0] in ("app", "net", "gwy"):
        clients("elbv2").delete_load_balancer(LoadBalancerArn=str(arn))
    else:
        clients("elb").delete_load_balancer(LoadBalancerName=arn.name)


def _queue(clients: Clients, arn: Arn) -> None:
    sqs = clients("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=arn.name, QueueOwnerAWSAccountId=arn.account)["QueueUrl"])


def _secret(clients: Clients, arn: Arn) -> None:
    clients("secretsmanager").delete_secret(SecretId=str(arn), RecoveryWindowInDays=SECRET_DAYS)


def _group(clients: Clients, arn: Arn) -> None:
    clients("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=arn.name, ForceDelete=True)


DELETIONS: Mapping[str, Callable[[Clients, Arn], Any]] = {
    INSTANCE: _instance,
    GROUP: _group,
    "ec2:volume": _by_name("ec2", "delete_volume", "VolumeId"),
    "ec2:snapshot": _by_name("ec2", "delete_snapshot", "SnapshotId"),
    "ec2:security-group": _by_name("ec2", "delete_security_group", "GroupId"),
    "ec2:subnet": _by_name("ec2", "delete_subnet", "SubnetId"),
    "ec2:vpc": _by_name("ec2", "delete_vpc", "VpcId"),
    "ec2:route-table": _by_name("ec2", "delete_route_table", "RouteTableId"),
    "ec2:natgateway": _by_name("ec2", "delete_nat_gateway", "NatGatewayId"),
    "ec2:internet-gateway": _internet_gateway,
    "ec2:elastic-ip": _by_name("ec2", "release_address", "AllocationId"),
    "ec2:network-interface": _by_name("ec2", "delete_network_interface", "NetworkInterfaceId"),
    "ec2:launch-template": _by_name("ec2", "delete_launch_template", "LaunchTemplateId"),
    "ec2:vpc-endpoint": _vpc_endpoint,
    "ec2:spot-instances-request": _by_names("ec2", "cancel_spot_instance_requests", "SpotInstanceRequestIds"),
    "s3:bucket": _by_name("s3", "delete_bucket", "Bucket"),
    "rds:db": _database,
    "rds:snapshot": _by_name("rds", "delete_db_snapshot", "DBSnapshotIdentifier"),
    "rds:subgrp": _by_name("rds", "delete_db_subnet_group", "DBSubnetGroupName"),
    "rds:pg": _by_name("rds", "delete_db_parameter_group", "DBParameterGroupName"),
    "eks:cluster": _by_name("eks", "delete_cluster", "name"),
    "eks:nodegroup": _node_group,
    "ecr:repository": _by_name("ecr", "delete_repository", "repositoryName"),
    "elasticloadbalancing:loadbalancer": _load_balancer,
    "elasticloadbalancing:targetgroup": _by_arn("elbv2", "delete_target_group", "TargetGroupArn"),
    "sagemaker:endpoint": _of_sagemaker("delete_endpoint", "EndpointName"),
    "sagemaker:endpoint-config": _of_sagemaker("delete_endpoint_config", "EndpointConfigName"),
    "sagemaker:model": _of_sagemaker("delete_model", "ModelName"),
    "cloudwatch:alarm": _by_names("cloudwatch", "delete_alarms", "AlarmNames"),
    "logs:log-group": _by_name("logs", "delete_log_group", "logGroupName"),
    "sns:topic": _by_arn("sns", "delete_topic", "TopicArn"),
    "sqs:queue": _queue,
    "secretsmanager:secret": _secret,
    "dynamodb:table": _by_name("dynamodb", "delete_table", "TableName"),
}
"""What mcml deletes; anything else is shown, and left to a person."""


def _state_of_instance(clients: Clients, arn: Arn) -> Any:
    groups = clients("ec2").describe_instances(InstanceIds=[arn.name])["Reservations"]
    return groups[0]["Instances"][0]["State"]["Name"] not in ENDED if groups else False


def _state_of_gateway(clients: Clients, arn: Arn) -> Any:
    found = clients("ec2").describe_nat_gateways(NatGatewayIds=[arn.name])["NatGateways"]
    return bool(found) and found[0]["State"] not in ENDED


def _state_of_database(clients: Clients, arn: Arn) -> Any:
    found = clients("rds").describe_db_instances(DBInstanceIdentifier=arn.name)["DBInstances"]
    return bool(found) and found[0]["DBInstanceStatus"] not in ENDED


def _has_alarm(clients: Clients, arn: Arn) -> Any:
    found = clients("cloudwatch").describe_alarms(AlarmNames=[arn.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return found.get("MetricAlarms") or found.get("CompositeAlarms")


def _has_group(clients: Clients, arn: Arn) -> Any:
    found = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[arn.name])["AutoScalingGroups"]
    return bool(found) and "Delete" not in (found[0].get("Status") or "")


_PRESENCE: Mapping[str, Callable[[Clients, Arn], Any]] = {
    INSTANCE: _state_of_instance,
    GROUP: _has_group,
    "ec2:natgateway": _state_of_gateway,
    "rds:db": _state_of_database,
    "eks:cluster": lambda clients, arn: clients("eks").describe_cluster(name=arn.name)["cluster"]["status"] != "DELETING",
    "cloudwatch:alarm": _has_alarm,
    "sns:topic": lambda clients, arn: clients("sns").get_topic_attributes(TopicArn=str(arn)),
    "secretsmanager:secret": lambda clients, arn: "DeletedDate" not in clients("secretsmanager").describe_secret(SecretId=str(arn)),
    "elasticloadbalancing:loadbalancer": lambda clients, arn: (
        "/" not in arn.name or clients("elbv2").describe_load_balancers(LoadBalancerArns=[str(arn)])["LoadBalancers"]
    ),
}
"""For what can be deleted twice, or takes its time to go: whether it stands. Of the rest, the delete itself tells."""


def is_there(session: Session, arn: Arn) -> bool:
    """Tell whether a resource stands, and is not on its way out, as far as its kind needs a look."""
    look = _PRESENCE.get(arn.kind)
    if look is None:
        return True
    try:
        return bool(session.call(f"cannot look at {arn.kind} {arn.name!r}", lambda: look(clients_of(session, arn), arn)))
    except NotFound:
        return False
