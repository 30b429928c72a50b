"""What stands in the way of deleting a resource, and what removes it: protection, content, use by others."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mcml.core.errors import NotFound
from mcml.providers.aws.arn import INSTANCE, Arn
from mcml.providers.aws.inventory_delete import Clients, clients_of
from mcml.providers.aws.session import Session

Found = Iterator[tuple[str, str]]
"""Pairs of a reason and what removes it."""


def blockers_of(session: Session, arn: Arn) -> list[tuple[str, str]]:
    """Return what blocks the deletion of a resource; nothing for one that is gone, or whose kind nothing is known to block."""
    look = _LOOKS.get(arn.kind)
    if look is None:
        return []
    try:
        return session.call(f"cannot tell what blocks {arn.kind} {arn.name!r}", lambda: list(look(clients_of(session, arn), arn)))
    except NotFound:
        return []


def _all(client: Any, operation: str, result: str, **asked: Any) -> Iterator[Any]:
    """Yield the items of all pages of a listing."""
    for page in client.get_paginator(operation).paginate(**asked):
        yield from page.get(result) or ()


def _bucket(clients: Clients, arn: Arn) -> Found:
    left = clients("s3").list_object_versions(Bucket=arn.name, MaxKeys=1)
    if left.get("Versions") or left.get("DeleteMarkers"):
        yield f"bucket {arn.name} holds objects or old versions", "empty it, with its versions"


def _instance(clients: Clients, arn: Arn) -> Found:
    said = clients("ec2").describe_instance_attribute(InstanceId=arn.name, Attribute="disableApiTermination")
    if said["DisableApiTermination"].get("Value"):
        fix = f"aws ec2 modify-instance-attribute --instance-id {arn.name} --no-disable-api-termination"
        yield f"instance {arn.name} is protected from termination", fix


def _volume(clients: Clients, arn: Arn) -> Found:
    for volume in clients("ec2").describe_volumes(VolumeIds=[arn.name])["Volumes"]:
        for one in volume.get("Attachments", ()):
            yield f"volume {arn.name} is attached to {one['InstanceId']}", f"aws ec2 detach-volume --volume-id {arn.name}"


def _snapshot(clients: Clients, arn: Arn) -> Found:
    asked = [{"Name": "block-device-mapping.snapshot-id", "Values": [arn.name]}]
    for image in _all(clients("ec2"), "describe_images", "Images", Owners=["self"], Filters=asked):
        yield f"snapshot {arn.name} is part of image {image['ImageId']}", f"aws ec2 deregister-image --image-id {image['ImageId']}"


def _interfaces(name: str) -> Callable[[Clients, Arn], Found]:
    def look(clients: Clients, arn: Arn) -> Found:
        asked = [{"Name": name, "Values": [arn.name]}]
        for one in _all(clients("ec2"), "describe_network_interfaces", "NetworkInterfaces", Filters=asked):
            owner = one.get("Attachment", {}).get("InstanceId") or one.get("Description") or one.get("InterfaceType", "")
            reason = f"network interface {one['NetworkInterfaceId']}{f' ({owner})' if owner else ''} is in {arn.name}"
            fix = f"aws ec2 delete-network-interface --network-interface-id {one['NetworkInterfaceId']}"
            yield reason, f"delete what it belongs to, or: {fix}"

    return look


def _security_group(clients: Clients, arn: Arn) -> Found:
    yield from _interfaces("group-id")(clients, arn)
    asked = [{"Name": "ip-permission.group-id", "Values": [arn.name]}]
    for one in _all(clients("ec2"), "describe_security_groups", "SecurityGroups", Filters=asked):
        if one["GroupId"] != arn.name:
            rules = f"aws ec2 describe-security-group-rules --filters Name=group-id,Values={one['GroupId']}"  # "all" fits no rule of a port
            fix = f"{rules}, then: aws ec2 revoke-security-group-ingress --group-id {one['GroupId']} --security-group-rule-ids sgr-ID"
            yield f"security group {one['GroupId']} lets in {arn.name}", fix


def _vpc(clients: Clients, arn: Arn) -> Found:
    ec2, here = clients("ec2"), [{"Name": "vpc-id", "Values": [arn.name]}]
    for one in _all(ec2, "describe_subnets", "Subnets", Filters=here):
        yield f"subnet {one['SubnetId']} is in {arn.name}", f"aws ec2 delete-subnet --subnet-id {one['SubnetId']}"
    attached = [{"Name": "attachment.vpc-id", "Values": [arn.name]}]
    for one in _all(ec2, "describe_internet_gateways", "InternetGateways", Filters=attached):
        name = one["InternetGatewayId"]
        fix = f"aws ec2 detach-internet-gateway --internet-gateway-id {name} --vpc-id {arn.name}"
        yield f"internet gateway {name} is attached to {arn.name}", fix
    for one in _all(ec2, "describe_security_groups", "SecurityGroups", Filters=here):
        if one["GroupName"] != "default":
            yield f"security group {one['GroupId']} is in {arn.name}", f"aws ec2 delete-security-group --group-id {one['GroupId']}"


def _database(clients: Clients, arn: Arn) -> Found:
    for one in clients("rds").describe_db_instances(DBInstanceIdentifier=arn.name)["DBInstances"]:
        if one.get("DeletionProtection"):
            fix = f"aws rds modify-db-instance --db-instance-identifier {arn.name} --no-deletion-protection --apply-immediately"
            yield f"database {arn.name} is protected from deletion", fix


def _cluster(clients: Clients, arn: Arn) -> Found:
    for name in _all(clients("eks"), "list_nodegroups", "nodegroups", clusterName=arn.name):
        fix = f"aws eks delete-nodegroup --cluster-name {arn.name} --nodegroup-name {name}"
        yield f"cluster {arn.name} has the node group {name}", fix


def _repository(clients: Clients, arn: Arn) -> Found:
    if clients("ecr").list_images(repositoryName=arn.name, maxResults=1)["imageIds"]:
        yield f"repository {arn.name} holds images", f"aws ecr delete-repository --repository-name {arn.name} --force"


def _load_balancer(clients: Clients, arn: Arn) -> Found:
    if "/" not in arn.name:
        return
    for one in clients("elbv2").describe_load_balancer_attributes(LoadBalancerArn=str(arn))["Attributes"]:
        if one["Key"] == "deletion_protection.enabled" and one["Value"] == "true":
            change = "--attributes Key=deletion_protection.enabled,Value=false"
            fix = f"aws elbv2 modify-load-balancer-attributes --load-balancer-arn {arn} {change}"
            yield f"load balancer {arn.name} is protected from deletion", fix


_LOOKS: Mapping[str, Callable[[Clients, Arn], Found]] = {
    INSTANCE: _instance,
    "s3:bucket": _bucket,
    "ec2:volume": _volume,
    "ec2:snapshot": _snapshot,
    "ec2:subnet": _interfaces("subnet-id"),
    "ec2:security-group": _security_group,
    "ec2:vpc": _vpc,
    "rds:db": _database,
    "eks:cluster": _cluster,
    "ecr:repository": _repository,
    "elasticloadbalancing:loadbalancer": _load_balancer,
}
