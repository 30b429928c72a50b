"""What a resource is paid for, by the hour: the machines and services behind each of Terraform's kinds, as SKUs of the catalogue (pure).

A kind that is in none of the tables has no meter: its price is unknown, which is not the same as free.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Values = Mapping[str, Any]
"""A resource's attributes, as in a plan; what only the apply decides is None."""


@dataclass(frozen=True)
class Part:
    """So many (`count`) of a SKU, each paid by time; `what` names it for a person. Without a SKU, `why` says why there is no price."""

    what: str
    sku: str
    count: Decimal = Decimal(1)
    why: str = ""


FREE = re.compile(
    r"aws_(iam_|subnet|vpc$|vpc_dhcp|vpc_security|route$|route_table|main_route|internet_gateway|egress_only|security_group|network_acl|default_"
    r"|db_(subnet|parameter|option)_group|elasticache_(subnet|parameter)_group|elasticache_user|launch_template|placement_group|key_pair"
    r"|eks_(addon|access|pod_identity|fargate_profile|identity)|kms_(alias|key_policy|grant)|ecr_(lifecycle|repository_policy|registry)"
    r"|s3_bucket_|s3_account|cloudwatch_(log_resource|log_data|log_metric|event_(rule|target)|query)|sns_topic_(policy|subscription)"
    r"|sqs_queue_policy|ebs_encryption|acm_certificate|autoscaling_(policy|schedule|lifecycle)|lb_(listener|target_group)|budgets_|eip_assoc"
    r"|vpc_endpoint_(policy|route|subnet|security)|secretsmanager_secret_(policy|version|rotation)|customer_gateway|spot_datafeed)"
    r"|google_(.*_iam_|service_account|project|compute_(network|subnetwork|firewall|router$|route$|global_address$|address$|project)"
    r"|service_networking|network_connectivity|sql_(database$|user|ssl)|kms_key_ring|bigquery_(dataset$|dataset_access|connection)|container_registry|gke_hub"
    r"|iam_|dns_record|logging_(project_sink|project_bucket|metric)|monitoring_(alert|notification|dashboard)|storage_(bucket_|default)"
    r"|artifact_registry_repository_|binary_authorization|access_context|org_policy|billing_budget|tags_)"
    r"|azurerm_(resource_group|nat_gateway_public|mssql_failover|machine_learning_datastore|virtual_network$|virtual_network_peering|subnet|network_(security|interface|watcher$)|route|role_"
    r"|user_assigned|federated|management_lock|storage_(container|management|data_lake|account_(network|customer))|mssql_(server$|firewall|virtual"
    r"|server_(audit|security|extended)|database_extended)|key_vault_(access|key|certificate)|monitor_(diagnostic|action)|policy_"
    r"|private_dns_zone_virtual|postgresql_flexible_server_(configuration|database|firewall|active)|redis_firewall|consumption_budget"
    r"|container_registry_(scope|token)|application_security|machine_learning_workspace|availability_set)"
    r"|azuread_"
)
"""Kinds that cost nothing by themselves."""

BY_USE = re.compile(
    r"aws_(s3_bucket|ecr_repository|cloudwatch_log_group|sns_topic|sqs_queue|lambda_function|flow_log|dynamodb_table|glue_|athena_|guardduty_)"
    r"|google_(storage_bucket|artifact_registry_repository|bigquery_table|pubsub_|logging_|cloudfunctions|cloud_run|secret_manager_|storage_transfer)"
    r"|azurerm_(storage_account|log_analytics|application_insights|key_vault$|key_vault_secret|eventgrid|eventhub|network_watcher_flow|monitor_)"
)
"""Kinds that cost by what is stored, moved or asked: nothing that a plan could tell."""


def parts_of(kind: str, values: Values) -> list[Part] | None:
    """Return what a resource is paid for: nothing for one that is free, None for one that costs by its use."""
    meter = METERS.get(kind)
    if meter:
        return meter(values)
    if FREE.match(kind):
        return []
    if BY_USE.match(kind):
        return None
    return [Part(kind, "", why="mcml has no meter for it")]


def is_spot(sku: str) -> bool:
    """Tell whether a SKU is a machine that may be taken away."""
    return sku.endswith(" spot")


def _block(values: Values, name: str) -> Values:
    found = values.get(name)
    if isinstance(found, list) and found and isinstance(found[0], Mapping):
        return found[0]
    return {}


def _count(*candidates: object) -> Decimal | None:
    """Return the first that is a number."""
    for found in candidates:
        if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
            return Decimal(str(found))
    return None


def _machines(machine: object, count: Decimal | None, *, spot: bool = False, unknown: str = "known after apply") -> list[Part]:
    if not isinstance(machine, str) or not machine:
        return [Part("machines", "", why=f"the type is {unknown}")]
    sku = f"{machine} spot" if spot else machine
    if count is None:
        return [Part(sku, "", why="how many is known after apply")]
    return [Part(sku, sku, count)]


def _service(what: str, sku: str | None = None) -> Callable[[Values], list[Part]]:
    return lambda _: [Part(what, sku or what)]


# Amazon


def _instance(values: Values) -> list[Part]:
    spot = _block(values, "instance_market_options").get("market_type") == "spot"
    return _machines(values.get("instance_type"), Decimal(1), spot=spot, unknown="known after apply, or in a launch template")


def _node_group(values: Values) -> list[Part]:
    scaling = _block(values, "scaling_config")
    types = values.get("instance_types") or ([] if values.get("launch_template") else ["t3.medium"])
    count = _count(scaling.get("desired_size"), scaling.get("min_size"))
    return _machines(types[0] if types else None, count, spot=values.get("capacity_type") == "SPOT", unknown="in its launch template")


def _rds(values: Values) -> list[Part]:
    size, engine = values.get("instance_class"), values.get("engine")
    if not size or not engine:
        return [Part("database", "", why="the type is known after apply")]
    zones = "multi-az" if values.get("multi_az") else "single-az"
    storage = values.get("storage_type") or "gp2"
    gib = _count(values.get("allocated_storage"))
    disks = [Part(f"GiB of {storage}", f"rds storage {storage} {zones}", gib)] if gib else []
    return [Part(f"{size} {engine} {zones}", f"rds {engine} {size} {zones}"), *disks]


def _redis_group(values: Values) -> list[Part]:
    shards = _count(values.get("num_node_groups")) or Decimal(1)
    replicas = _count(values.get("replicas_per_node_group"))
    nodes = _count(values.get("num_cache_clusters")) or shards * (1 + (replicas or 0))
    return _cache(values.get("node_type"), values.get("engine") or "redis", nodes)


def _cache(size: object, engine: object, nodes: Decimal) -> list[Part]:
    if not size:
        return [Part("cache", "", why="the type is known after apply")]
    return [Part(f"{size} {engine}", f"elasticache {engine} {size}", nodes)]


def _disk(values: Values) -> list[Part]:
    kind = values.get("type") or values.get("storage_account_type") or "disk"
    return _gib(str(kind), f"disk {kind}", _count(values.get("size"), values.get("disk_size_gb")))


def _gib(what: str, sku: str, count: Decimal | None) -> list[Part]:
    if count is None:
        return [Part(f"GiB of {what}", "", why="how many is known after apply")]
    return [Part(f"GiB of {what}", sku, count)]


# Google

_GPU_IN_TYPE = ("a2-", "a3-", "a4-", "g2-", "g4-")


def _vm(values: Values) -> list[Part]:
    scheduling = _block(values, "scheduling")
    spot = scheduling.get("provisioning_model") == "SPOT" or scheduling.get("preemptible") is True
    return _with_gpus(values, Decimal(1), spot=spot)


def _with_gpus(values: Values, count: Decimal | None, *, spot: bool, default: str | None = None) -> list[Part]:
    machine = values.get("machine_type") or default
    found = _machines(machine, count, spot=spot)
    if isinstance(machine, str) and machine.startswith(_GPU_IN_TYPE):
        return found
    for gpu in values.get("guest_accelerator") or ():
        number = _count(gpu.get("count")) or Decimal(1)
        found.append(Part(f"GPU {gpu.get('type')}", f"gpu {gpu.get('type')}", number * (count or 0)))
    return found


def _zones(values: Values) -> Decimal:
    """A regional pool is in three zones of its region unless it names them."""
    place = str(values.get("location") or "")
    named = values.get("node_locations")
    if re.search(r"-[a-z]$", place):
        return Decimal(1)
    return Decimal(len(named)) if named else Decimal(3)


def _pool(values: Values) -> list[Part]:
    scaling, config = _block(values, "autoscaling"), _block(values, "node_config")
    whole = _count(scaling.get("total_min_node_count"))
    zonal = _count(values.get("node_count"), scaling.get("min_node_count"), values.get("initial_node_count"))
    count = whole if whole is not None else None if zonal is None else zonal * _zones(values)
    spot = config.get("spot") is True or config.get("preemptible") is True
    return _with_gpus(config, count, spot=spot, default="e2-medium" if not values.get("node_config") else None)


def _gke(values: Values) -> list[Part]:
    if values.get("enable_autopilot") is True:
        return [Part("GKE control plane", "gke cluster"), Part("pods of Autopilot", "", why="paid by what the pods ask for")]
    nodes = [] if values.get("remove_default_node_pool") is True else _pool({**values, "autoscaling": None})
    pools = values.get("node_pool") or ()
    own = [part for pool in pools if isinstance(pool, Mapping) for part in _pool({"location": values.get("location"), **pool})]
    return [Part("GKE control plane", "gke cluster"), *(own or nodes)]


def _cloud_sql(values: Values) -> list[Part]:
    settings = _block(values, "settings")
    kind = "regional" if settings.get("availability_type") == "REGIONAL" else "zonal"
    return [Part(f"{settings.get('tier')} {kind}", f"cloud-sql {settings.get('tier')} {kind}")]


def _memorystore(values: Values) -> list[Part]:
    tier = values.get("tier") or "BASIC"
    return _gib(f"Memorystore {tier}", f"memorystore {tier}", _count(values.get("memory_size_gb")))


# Azure


def _aks_pool(values: Values) -> list[Part]:
    count = _count(values.get("node_count"), values.get("min_count"))
    return _machines(values.get("vm_size"), count, spot=values.get("priority") == "Spot")


def _aks(values: Values) -> list[Part]:
    tier = values.get("sku_tier") or "Free"
    plane = [] if tier == "Free" else [Part(f"AKS control plane, {tier}", f"aks cluster {tier}")]
    return [*plane, *_aks_pool(_block(values, "default_node_pool"))]


def _scale_set(values: Values) -> list[Part]:
    return _machines(values.get("sku"), _count(values.get("instances")), spot=values.get("priority") == "Spot")


def _ml_cluster(values: Values) -> list[Part]:
    least = _count(_block(values, "scale_settings").get("min_node_count"))
    return _machines(values.get("vm_size"), least, spot=values.get("vm_priority") == "LowPriority")


def _named(what: str, attribute: str) -> Callable[[Values], list[Part]]:
    """A service whose size is in one attribute."""
    return lambda values: [Part(f"{what} {values.get(attribute) or ''}".rstrip(), f"{what} {values.get(attribute) or ''}".rstrip().lower())]


METERS: Mapping[str, Callable[[Values], list[Part]]] = {
    "aws_instance": _instance,
    "aws_spot_instance_request": lambda values: _machines(values.get("instance_type"), Decimal(1), spot=True),
    "aws_eks_node_group": _node_group,
    "aws_eks_cluster": _service("EKS control plane", "eks cluster"),
    "aws_nat_gateway": _service("NAT gateway", "nat gateway"),
    "aws_db_instance": _rds,
    "aws_elasticache_replication_group": _redis_group,
    "aws_elasticache_cluster": lambda values: _cache(
        values.get("node_type"), values.get("engine") or "redis", _count(values.get("num_cache_nodes")) or Decimal(1)
    ),
    "aws_ebs_volume": _disk,
    "google_compute_instance": _vm,
    "google_container_cluster": _gke,
    "google_container_node_pool": _pool,
    "google_workbench_instance": lambda values: _machines(_block(values, "gce_setup").get("machine_type"), Decimal(1)),
    "google_sql_database_instance": _cloud_sql,
    "google_redis_instance": _memorystore,
    "google_compute_router_nat": _service("Cloud NAT", "nat gateway"),
    "google_compute_disk": _disk,
    "azurerm_kubernetes_cluster": _aks,
    "azurerm_kubernetes_cluster_node_pool": _aks_pool,
    "azurerm_linux_virtual_machine": lambda values: _machines(values.get("size"), Decimal(1), spot=values.get("priority") == "Spot"),
    "azurerm_linux_virtual_machine_scale_set": _scale_set,
    "azurerm_machine_learning_compute_instance": lambda values: _machines(values.get("virtual_machine_size"), Decimal(1)),
    "azurerm_machine_learning_compute_cluster": _ml_cluster,
    "azurerm_mssql_database": _named("Azure SQL", "sku_name"),
    "azurerm_nat_gateway": _service("NAT gateway", "nat gateway"),
    "azurerm_container_registry": _named("container registry", "sku"),
    "azurerm_managed_disk": _disk,
}
"""The meters by Terraform's kind. The lists that ship have machines; another SKU counts once somebody records its price."""
