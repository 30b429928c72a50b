"""How long Terraform takes for a kind of resource: learned from what it did here, and our own estimates for what it never did.

What is learned lies in `.mcml/infra/durations.json` as `{"KIND:ACTION": [seconds, ...]}`, the newest last. It is a hint and nothing else:
a file that cannot be read is an empty one, and one that cannot be written is left alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

from mcml.core.files import read_json, write_json
from mcml.infra.plans.resources import INDEX, Resource
from mcml.infra.terraform.events import Event

FILE = "durations.json"
KEPT = 9
"""How many durations of a kind and action are kept; their median is what is expected."""

SHIPPED: Mapping[str, tuple[int, int]] = {
    "aws_eks_cluster": (540, 180), "aws_eks_node_group": (150, 300), "aws_eks_addon": (60, 30), "aws_db_instance": (900, 300),
    "aws_elasticache_replication_group": (480, 420), "aws_elasticache_user_group": (60, 60), "aws_nat_gateway": (120, 60),
    "aws_vpc_endpoint": (60, 60), "aws_vpn_connection": (240, 120), "aws_vpn_gateway": (30, 30), "aws_internet_gateway": (5, 30),
    "aws_kms_key": (15, 5),
    "google_container_cluster": (420, 240), "google_container_node_pool": (120, 240), "google_sql_database_instance": (480, 90),
    "google_memorystore_instance": (480, 240), "google_service_networking_connection": (60, 60), "google_workbench_instance": (180, 90),
    "google_compute_network": (30, 40), "google_compute_subnetwork": (30, 30), "google_compute_router_nat": (20, 20),
    "google_compute_ha_vpn_gateway": (20, 20), "google_compute_vpn_tunnel": (30, 20), "google_project_service": (30, 5),
    "google_network_connectivity_service_connection_policy": (60, 60),
    "azurerm_kubernetes_cluster": (300, 300), "azurerm_kubernetes_cluster_node_pool": (180, 240), "azurerm_managed_redis": (900, 300),
    "azurerm_mssql_server": (120, 60), "azurerm_mssql_database": (120, 30), "azurerm_mssql_failover_group": (90, 60),
    "azurerm_virtual_network_gateway": (1800, 600), "azurerm_virtual_network_gateway_connection": (60, 60), "azurerm_key_vault": (150, 30),
    "azurerm_private_endpoint": (45, 45), "azurerm_container_registry": (60, 30), "azurerm_storage_account": (60, 10),
    "azurerm_log_analytics_workspace": (45, 30), "azurerm_machine_learning_compute_cluster": (60, 60), "azurerm_resource_group": (10, 60),
    "azurerm_private_dns_zone": (45, 30), "azurerm_private_dns_zone_virtual_network_link": (45, 30), "azapi_resource": (60, 60),
}  # fmt: skip
"""Seconds to create and to destroy, of kinds that take their time. Our own estimates, rounded: nobody publishes them, and the time-outs in
the providers' documentation are no durations. The first apply replaces each by what was measured."""

QUICK = (
    "aws_budgets_", "aws_cloudwatch_", "aws_customer_gateway", "aws_db_parameter_group", "aws_db_subnet_group", "aws_default_", "aws_ecr_",
    "aws_eip", "aws_eks_access_", "aws_eks_pod_identity_", "aws_elasticache_subnet_group", "aws_elasticache_user", "aws_flow_log",
    "aws_iam_", "aws_kms_alias", "aws_launch_template", "aws_route", "aws_s3_", "aws_sagemaker_model_package_group", "aws_security_group",
    "aws_sns_", "aws_subnet", "aws_vpc", "aws_vpn_gateway_route_propagation",
    "google_artifact_registry_", "google_bigquery_", "google_billing_budget", "google_compute_address", "google_compute_external_vpn_",
    "google_compute_firewall", "google_compute_global_address", "google_compute_router", "google_kms_", "google_monitoring_",
    "google_project_iam_", "google_service_account", "google_sql_database", "google_sql_user", "google_storage_",
    "azurerm_application_insights", "azurerm_consumption_budget_", "azurerm_federated_identity_", "azurerm_local_network_gateway",
    "azurerm_machine_learning_datastore_", "azurerm_management_lock", "azurerm_monitor_", "azurerm_mssql_", "azurerm_nat_gateway",
    "azurerm_network_", "azurerm_public_ip", "azurerm_role_assignment", "azurerm_storage_", "azurerm_subnet",
    "azurerm_user_assigned_identity", "azurerm_virtual_network", "terraform_data",
)  # fmt: skip
"""How the kinds begin that are made at once, which is to say in `QUICK_SECONDS`."""

QUICK_SECONDS = 5.0


def kind_of(address: str) -> str:
    """Return the type of the resource with an address, as in `module.a["x.y"].aws_subnet.this[0]`; empty for what is no address."""
    parts = INDEX.sub("", address).split(".")
    return parts[-2] if len(parts) > 1 else ""


def shipped(kind: str, action: str) -> float | None:
    """Return our estimate in seconds, None without one: how long an update takes depends on what is updated."""
    if kind in SHIPPED:
        return {"create": float(SHIPPED[kind][0]), "delete": float(SHIPPED[kind][1])}.get(action)
    return QUICK_SECONDS if kind.startswith(QUICK) else None


@dataclass
class Durations:
    """What was learned in a project, in `path`; and what this run adds to it."""

    path: Path
    known: Mapping[str, Sequence[float]] = field(default_factory=dict)
    new: dict[str, list[float]] = field(default_factory=dict)

    def expected(self, kind: str, action: str) -> float | None:
        """Return how many seconds an action (create, update or delete) on a kind of resource takes, None when nobody knows."""
        learned = self.known.get(f"{kind}:{action}")
        return float(median(learned)) if learned else shipped(kind, action)

    def count(self, event: Event) -> None:
        """Remember how long a finished action took, as Terraform says: whole seconds."""
        kind = kind_of(event.address)
        if event.type == "apply_complete" and kind and event.action in ("create", "update", "delete"):
            self.new.setdefault(f"{kind}:{event.action}", []).append(event.seconds)

    def keep(self) -> None:
        """Add what this run has shown to the file, which another run may have written since."""
        if not self.new:
            return
        together = dict(load(self.path).known)
        for key, seconds in self.new.items():
            together[key] = [*together.get(key, ()), *seconds][-KEPT:]
        self.new.clear()
        with suppress(OSError):
            write_json(self.path, together, durable=False)

    def of_plan(self, resources: Iterable[Resource]) -> float | None:
        """Return how many seconds a plan takes: its longest chain of resources that refer to one another. None when most are not known.

        Terraform does at most ten at once and knows more reasons to wait, so it is rather the least than the most.
        """
        changes = [one for one in resources if not {"no-op", "read", "forget"}.intersection(one.actions)]
        each: dict[str, list[float]] = {one.within: [] for one in changes}
        for one in changes:
            known = [seconds for action in one.actions if (seconds := self.expected(one.kind, action)) is not None]
            if known:
                each[one.within].append(sum(known))
        if sum(map(len, each.values())) * 2 < len(changes):
            return None
        needs = {one.within: {to for found in one.refers.values() for to in found} & each.keys() - {one.within} for one in changes}
        return longest({name: max(found, default=0.0) for name, found in each.items()}, needs)


def load(path: Path) -> Durations:
    """Read what was learned."""
    try:
        said = read_json(path)
    except (OSError, ValueError):
        said = None
    entries = said.items() if isinstance(said, dict) else ()
    return Durations(path, {str(key): seconds for key, found in entries if (seconds := _numbers(found))})


def _numbers(found: object) -> list[float]:
    if not isinstance(found, list):
        return []
    return [float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one < float("inf")][-KEPT:]


def longest(seconds: Mapping[str, float], needs: Mapping[str, Iterable[str]]) -> float:
    """Return the length of the longest chain, when each thing begins as soon as what it needs is done; 0 for nothing, and for a circle."""
    ends: dict[str, float] = {}
    with suppress(CycleError):
        for name in TopologicalSorter(needs).static_order():
            ends[name] = seconds.get(name, 0.0) + max((ends[needed] for needed in needs.get(name, ())), default=0.0)
    return max(ends.values(), default=0.0)
