"""Adopting what is there into a state: what to type for what an inventory found, and the import block for it (pure).

https://developer.hashicorp.com/terraform/language/import; the ids are those that the documentation of each type gives under "Import".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcml.core.errors import Conflict, Usage
from mcml.infra.residue.residue import Held
from mcml.providers.api.inventory import Resource

FILE = "mcml_import.tf.json"
COMMAND = "mcml infra import"
_STEP = r'[A-Za-z_][\w-]*(?:\[(?:\d+|"(?:[^"\\$%]|\\.)+")\])?'
_ADDRESS = re.compile(rf"(?:module\.{_STEP}\.)*(?!data\.|module\.)[A-Za-z_][\w-]*\.{_STEP}")

_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]/")


def _tail(resource: Resource) -> str:
    """Return what comes after the type in an ARN: `vol-1` of `...:volume/vol-1`, `app/name/50dc` of `...:loadbalancer/app/name/50dc`."""
    return re.split("[:/]", resource.id.split(":", 5)[-1], maxsplit=1)[-1]


def _whole(resource: Resource) -> str:
    return resource.id


def _last(resource: Resource) -> str:
    return re.split("[:/]", resource.id)[-1]


def _node_group(resource: Resource) -> str:
    return ":".join(_tail(resource).split("/")[:2])


def _queue(resource: Resource) -> str:
    _, _, _, region, account, name = resource.id.split(":", 5)
    return f"https://sqs.{region}.amazonaws.com/{account}/{name}"


def _path(resource: Resource) -> str:
    """Return the path of a full name of Google, which begins with the service."""
    return resource.id[resource.id.index("projects/") :] if "projects/" in resource.id else resource.id


def _group(resource: Resource) -> str:
    return resource.id.partition("autoScalingGroupName/")[2]


TYPES: Mapping[str, tuple[str, Callable[[Resource], str]]] = {
    "autoscaling:autoScalingGroup": ("aws_autoscaling_group", _group),
    "cloudwatch:alarm": ("aws_cloudwatch_metric_alarm", _tail),
    "dynamodb:table": ("aws_dynamodb_table", _tail),
    "ec2:elastic-ip": ("aws_eip", _tail),
    "ec2:instance": ("aws_instance", _tail),
    "ec2:internet-gateway": ("aws_internet_gateway", _tail),
    "ec2:launch-template": ("aws_launch_template", _tail),
    "ec2:natgateway": ("aws_nat_gateway", _tail),
    "ec2:network-interface": ("aws_network_interface", _tail),
    "ec2:route-table": ("aws_route_table", _tail),
    "ec2:security-group": ("aws_security_group", _tail),
    "ec2:snapshot": ("aws_ebs_snapshot", _tail),
    "ec2:subnet": ("aws_subnet", _tail),
    "ec2:volume": ("aws_ebs_volume", _tail),
    "ec2:vpc": ("aws_vpc", _tail),
    "ec2:vpc-endpoint": ("aws_vpc_endpoint", _tail),
    "ecr:repository": ("aws_ecr_repository", _tail),
    "eks:cluster": ("aws_eks_cluster", _tail),
    "eks:nodegroup": ("aws_eks_node_group", _node_group),
    "elasticache:replicationgroup": ("aws_elasticache_replication_group", _tail),
    "elasticloadbalancing:loadbalancer": ("aws_lb", _whole),
    "elasticloadbalancing:targetgroup": ("aws_lb_target_group", _whole),
    "kms:key": ("aws_kms_key", _tail),
    "logs:log-group": ("aws_cloudwatch_log_group", lambda resource: _tail(resource).removesuffix(":*")),
    "rds:db": ("aws_db_instance", _tail),
    "rds:pg": ("aws_db_parameter_group", _tail),
    "rds:snapshot": ("aws_db_snapshot", _tail),
    "rds:subgrp": ("aws_db_subnet_group", _tail),
    "s3:bucket": ("aws_s3_bucket", lambda resource: resource.id.split(":", 5)[-1]),
    "sagemaker:endpoint": ("aws_sagemaker_endpoint", _tail),
    "sagemaker:endpoint-config": ("aws_sagemaker_endpoint_configuration", _tail),
    "sagemaker:model": ("aws_sagemaker_model", _tail),
    "secretsmanager:secret": ("aws_secretsmanager_secret", _whole),
    "sns:topic": ("aws_sns_topic", _whole),
    "sqs:queue": ("aws_sqs_queue", _queue),
    "bucket": ("google_storage_bucket", _whole),
    "database": ("google_sql_database_instance", _whole),
    "disk": ("google_compute_disk", _whole),
    "instance": ("google_compute_instance", lambda resource: "{project}/" + resource.id),
    "snapshot": ("google_compute_snapshot", _whole),
    "artifactregistry.googleapis.com/Repository": ("google_artifact_registry_repository", _path),
    "bigquery.googleapis.com/Dataset": ("google_bigquery_dataset", _path),
    "compute.googleapis.com/Address": ("google_compute_address", _path),
    "compute.googleapis.com/Network": ("google_compute_network", _path),
    "compute.googleapis.com/Subnetwork": ("google_compute_subnetwork", _path),
    "container.googleapis.com/Cluster": ("google_container_cluster", lambda resource: _path(resource).replace("/zones/", "/locations/")),
    "notebooks.googleapis.com/Instance": ("google_workbench_instance", _path),
    "pubsub.googleapis.com/Topic": ("google_pubsub_topic", _path),
    "redis.googleapis.com/Instance": ("google_redis_instance", _path),
    "secretmanager.googleapis.com/Secret": ("google_secret_manager_secret", _path),
    "Microsoft.Cache/Redis": ("azurerm_redis_cache", _whole),
    "Microsoft.Compute/disks": ("azurerm_managed_disk", _whole),
    "Microsoft.ContainerRegistry/registries": ("azurerm_container_registry", _whole),
    "Microsoft.ContainerService/managedClusters": ("azurerm_kubernetes_cluster", _whole),
    "Microsoft.Insights/components": ("azurerm_application_insights", _whole),
    "Microsoft.KeyVault/vaults": ("azurerm_key_vault", _whole),
    "Microsoft.MachineLearningServices/workspaces": ("azurerm_machine_learning_workspace", _whole),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azurerm_user_assigned_identity", _whole),
    "Microsoft.Network/loadBalancers": ("azurerm_lb", _whole),
    "Microsoft.Network/natGateways": ("azurerm_nat_gateway", _whole),
    "Microsoft.Network/networkSecurityGroups": ("azurerm_network_security_group", _whole),
    "Microsoft.Network/privateDnsZones": ("azurerm_private_dns_zone", _whole),
    "Microsoft.Network/privateEndpoints": ("azurerm_private_endpoint", _whole),
    "Microsoft.Network/publicIPAddresses": ("azurerm_public_ip", _whole),
    "Microsoft.Network/virtualNetworks": ("azurerm_virtual_network", _whole),
    "Microsoft.OperationalInsights/workspaces": ("azurerm_log_analytics_workspace", _whole),
    "Microsoft.Resources/resourceGroups": ("azurerm_resource_group", _whole),
    "Microsoft.Sql/servers": ("azurerm_mssql_server", _whole),
    "Microsoft.Sql/servers/databases": ("azurerm_mssql_database", _whole),
    "Microsoft.Storage/storageAccounts": ("azurerm_storage_account", _whole),
}
"""What an inventory calls a kind, to Terraform's type and the id that it imports by. A kind that is not here is left to a person."""

_BY_LOWER = {kind.lower(): about for kind, about in TYPES.items()}


def adoption(resource: Resource, held: Sequence[Held], project: str = "") -> str:
    """Return the command that adopts a resource, with NAME and UNIT where only a person can tell; "" for a kind that is not known.

    The address is written as that of what is of the same type in a state. `project` is the one of Google Cloud.
    """
    known = _BY_LOWER.get(resource.kind.lower())
    if known is None:
        return ""
    kind, identify = known
    identifier = identify(resource).replace("{project}", project)
    if kind == "aws_lb" and "/" not in _tail(resource):
        kind, identifier = "aws_elb", _last(resource)
    if kind == "google_compute_disk" and not _ZONE.match(resource.id):
        kind = "google_compute_region_disk"
    like = next((one for one in held if one.kind == kind), None)
    if like is None:
        return f"{COMMAND} UNIT {kind}.NAME {_quoted(identifier)}"
    address = re.sub(r'\[(?:\d+|"[^"]*")\]$', '["NAME"]', like.address)
    if address == like.address:
        address = f"{like.address.rpartition('.')[0]}.NAME"
    return f"{COMMAND} {like.unit} {_quoted(address)} {_quoted(identifier)}"


def _quoted(word: str) -> str:
    """Quote a word for a shell, where it needs it."""
    return word if re.fullmatch(r"[\w./:@=-]+", word) else "'" + word.replace("'", "'\"'\"'") + "'"


def check(unit: str, address: str, held: Sequence[Held]) -> None:
    """Raise Usage for what is no address of a resource, Conflict when there is such a resource in the state."""
    if not _ADDRESS.fullmatch(address):
        why = "it is TYPE.NAME, below its modules: module.data.aws_s3_bucket.this[\"models\"]"
        raise Usage(f"{address!r} is no address of a resource", why=why, next_step="mcml infra import --help")
    if any(one.address == address for one in held):
        step = f"mcml infra drift {unit}    # what is there and in no state"
        raise Conflict(f"{address} is in the state of {unit} already", why="one address is one resource", next_step=step)


def block(address: str, identifier: str) -> dict[str, dict[str, Any]]:
    """Return the file, by name, with the import block: Terraform's JSON syntax, in which an id is a template."""
    told = identifier.replace("${", "$${").replace("%{", "%%{")
    return {FILE: {"import": [{"to": address, "id": told}]}}
