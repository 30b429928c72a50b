"""What a plan costs: real plans against the shipped lists, every meter by hand, and what has no price never counting as zero."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.infra.plans.meters import METERS, parts_of
from mcml.infra.plans.pricing import Estimate, estimate, merged
from mcml.infra.plans.resources import Resource, resources_of
from mcml.providers.api.billing import UnitPrice
from mcml.store import catalogue
from tests.infra.clouds import kept

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def shipped(cloud: str, region: str, sku: str) -> UnitPrice | None:
    """The shipped lists, without a store."""
    price = catalogue.shipped(cloud, region).get(sku)
    return UnitPrice(sku, region, "h", price, "USD", catalogue.LISTS[cloud].source, catalogue.LISTS[cloud].as_of) if price else None


def none(_cloud: str, _region: str, _sku: str) -> UnitPrice | None:
    return None


def one(_cloud: str, region: str, sku: str) -> UnitPrice | None:
    return UnitPrice(sku, region, "h", Decimal(1), "USD", "test", DAY)


def resource(kind: str, after: dict[str, Any] | None, before: dict[str, Any] | None = None, region: str = "r") -> Resource:
    cloud = {"aws": "aws", "google": "gcp", "azurerm": "azure"}.get(kind.partition("_")[0], "")
    return Resource(f"{kind}.x", kind, cloud, region, ("create",), before, after)


def priced(provider: str) -> Estimate:
    return estimate("u", resources_of(kept(provider, "good")), shipped)


@pytest.mark.parametrize(
    ("provider", "address", "what", "monthly"),
    [
        ("aws", 'aws_eks_node_group.pool["general"]', "3 x m6i.large", Decimal("0.096") * 3 * 730),
        ("google", "google_container_node_pool.general", "3 x e2-standard-4", Decimal("0.14743092") * 3 * 730),
        ("google", "google_container_node_pool.gpu", "2 x g2-standard-4 spot", Decimal("0.28416") * 2 * 730),
        ("azurerm", "azurerm_kubernetes_cluster_node_pool.gpu", "Standard_NC4as_T4_v3", Decimal("0.658") * 730),
    ],
)
def test_pools_of_three_clouds_have_the_price_of_their_machines(provider: str, address: str, what: str, monthly: Decimal) -> None:
    line = next(line for line in priced(provider).lines if line.address == address)
    assert (line.after.what, line.after.monthly, line.after.unpriced) == ((what,), monthly, ())
    assert line.after.prices[0].source == catalogue.LISTS[line.cloud].source


def test_what_has_no_price_says_so_and_the_sum_is_at_least_so_much() -> None:
    found = priced("aws")
    assert found.after == Decimal("210.240")
    assert {line.address: line.after.unpriced for line in found.unpriced} == {
        "aws_ebs_volume.scratch": ("GiB of gp3: no price in us-east-1",),
        'aws_eks_node_group.pool["gpu"]': ("g5.xlarge spot: no price in us-east-1 (on demand 1.006 USD/h each)",),
        "aws_elasticache_replication_group.cache": ("cache.m7g.large redis: no price in us-east-1",),
        "aws_nat_gateway.out": ("NAT gateway: no price in us-east-1",),
        "module.database.aws_db_instance.this": (
            "db.r7g.large postgres multi-az: no price in us-east-1", "GiB of gp2: no price in us-east-1",
        ),
    }  # fmt: skip
    assert [line.address for line in found.by_use] == ['aws_s3_bucket.models["data"]', 'aws_s3_bucket.models["models"]']
    assert "aws_launch_template.node" not in {line.address for line in found.lines}, "free"
    assert found.sources == ("Karpenter provider for AWS, 2026-07-20",)


def test_a_region_that_is_not_listed_names_the_price_of_the_one_that_is() -> None:
    (line,) = estimate("u", [resource("aws_instance", {"instance_type": "m5.large"}, region="eu-west-1")], shipped).lines
    assert line.after.unpriced == ("m5.large: no price in eu-west-1 (us-east-1: 0.096 USD/h each)",)
    assert line.after.monthly == 0


def test_before_and_after() -> None:
    big, small = {"instance_type": "m5.2xlarge"}, {"instance_type": "m5.large"}
    found = estimate("u", [resource("aws_instance", big, small, "us-east-1")], shipped)
    assert (found.before, found.after, found.lines[0].delta) == (Decimal("70.080"), Decimal("280.320"), Decimal("210.240"))
    gone = estimate("u", [resource("aws_instance", None, small, "us-east-1")], shipped)
    assert (gone.before, gone.after, gone.uncertain) == (Decimal("70.080"), Decimal(0), False)
    assert estimate("u", [resource("aws_nat_gateway", None, {})], none).uncertain
    assert not estimate("u", [resource("aws_nat_gateway", {}, {})], none).uncertain, "it stays as it is"


def skus(kind: str, **values: Any) -> list[tuple[str, Decimal]]:
    return [(part.sku, part.count) for part in parts_of(kind, values) or ()]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("aws_instance", {"instance_type": "a", "instance_market_options": [{"market_type": "spot"}]}, [("a spot", 1)]),
        ("aws_eks_node_group", {"scaling_config": [{"desired_size": None, "min_size": 2}]}, [("t3.medium", 2)]),
        ("aws_eks_node_group", {"scaling_config": [{"min_size": 2}], "launch_template": [{"id": "lt"}]}, [("", 1)]),
        ("aws_eks_node_group", {"scaling_config": [{"desired_size": 0}], "instance_types": ["a", "b"]}, [("a", 0)]),
        ("aws_eks_cluster", {}, [("eks cluster", 1)]),
        ("aws_db_instance", {"instance_class": "db.x", "engine": "postgres"}, [("rds postgres db.x single-az", 1)]),
        ("aws_db_instance", {}, [("", 1)]),
        (
            "aws_elasticache_replication_group", {"node_type": "c", "num_node_groups": 2, "replicas_per_node_group": 1},
            [("elasticache redis c", 4)],
        ),
        ("aws_elasticache_cluster", {"node_type": "c", "engine": "memcached", "num_cache_nodes": 3}, [("elasticache memcached c", 3)]),
        ("google_compute_instance", {"machine_type": "e", "scheduling": [{"preemptible": True}]}, [("e spot", 1)]),
        ("google_compute_instance", {"machine_type": "n1", "guest_accelerator": [{"type": "t4", "count": 2}]}, [("n1", 1), ("gpu t4", 2)]),
        ("google_compute_instance", {"machine_type": "a2-x", "guest_accelerator": [{"type": "a100", "count": 1}]}, [("a2-x", 1)]),
        ("google_container_node_pool", {"location": "europe-west1-b", "node_count": 2, "node_config": [{"machine_type": "e"}]}, [("e", 2)]),
        ("google_container_node_pool", {"location": "europe-west1", "node_count": 2, "node_locations": ["a", "b"]}, [("e2-medium", 4)]),
        (
            "google_container_node_pool",
            {"location": "x1", "autoscaling": [{"min_node_count": 1}], "node_config": [{"machine_type": "e"}]}, [("e", 3)],
        ),
        ("google_container_cluster", {"enable_autopilot": True}, [("gke cluster", 1), ("", 1)]),
        ("google_container_cluster", {"location": "x1", "initial_node_count": 1}, [("gke cluster", 1), ("e2-medium", 3)]),
        ("google_sql_database_instance", {"settings": [{"tier": "t", "availability_type": "REGIONAL"}]}, [("cloud-sql t regional", 1)]),
        ("google_redis_instance", {"memory_size_gb": 5}, [("memorystore BASIC", 5)]),
        ("google_redis_instance", {"memory_size_gb": None}, [("", 1)]),
        ("google_compute_disk", {"type": "pd-ssd", "size": None}, [("", 1)]),
        ("azurerm_managed_disk", {"storage_account_type": "Premium_LRS", "disk_size_gb": 64}, [("disk Premium_LRS", 64)]),
        ("azurerm_kubernetes_cluster", {"default_node_pool": [{"vm_size": "D", "min_count": 2}]}, [("D", 2)]),
        ("azurerm_kubernetes_cluster_node_pool", {"vm_size": "D", "node_count": 1, "priority": "Spot"}, [("D spot", 1)]),
        ("azurerm_linux_virtual_machine_scale_set", {"sku": "D", "instances": 4}, [("D", 4)]),
        ("azurerm_machine_learning_compute_cluster", {"vm_size": "D", "scale_settings": [{"min_node_count": 0}]}, [("D", 0)]),
        ("azurerm_mssql_database", {"sku_name": "S0"}, [("azure sql s0", 1)]),
        ("aws_iam_role", {}, []),
        ("aws_subnet", {}, []),
        ("google_project_service", {}, []),
        ("azurerm_resource_group", {}, []),
        ("aws_something_new", {}, [("", 1)]),
    ],
)  # fmt: skip
def test_every_meter(kind: str, values: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    assert skus(kind, **values) == [(sku, Decimal(count)) for sku, count in expected]


def test_what_is_paid_by_use_is_neither_free_nor_unpriced() -> None:
    assert parts_of("aws_s3_bucket", {}) is None
    assert parts_of("azurerm_storage_account", {}) is None
    found = estimate("u", [resource("google_storage_bucket", {})], none)
    assert (found.unpriced, len(found.by_use)) == ((), 1)


def test_a_price_in_another_currency_or_unit_is_no_price() -> None:
    def euros(_cloud: str, region: str, sku: str) -> UnitPrice:
        return UnitPrice(sku, region, "h", Decimal(1), "EUR", "test", DAY)

    def requests(_cloud: str, region: str, sku: str) -> UnitPrice:
        return UnitPrice(sku, region, "request", Decimal(1), "USD", "test", DAY)

    machine = [resource("aws_instance", {"instance_type": "a"})]
    assert estimate("u", machine, euros).lines[0].after.unpriced == ("a: its price is in EUR per h",)
    assert estimate("u", machine, requests).lines[0].after.unpriced == ("a: its price is in USD per request",)
    assert estimate("u", [resource("aws_instance", {"instance_type": "a"}, region="")], one).lines[0].after.unpriced == (
        "a: its region cannot be told",
    )


def test_what_belongs_to_no_cloud_is_not_asked_about() -> None:
    def refused(cloud: str, region: str, sku: str) -> UnitPrice:
        raise AssertionError((cloud, region, sku))

    assert estimate("u", [resource("terraform_data", {}), resource("aws_iam_role", {})], refused) == Estimate()


def test_units_are_added_up_and_told_apart() -> None:
    machine = [resource("aws_instance", {"instance_type": "a"})]
    both = merged([estimate("b", machine, one), estimate("a", machine, one)])
    assert (both.after, [line.unit for line in both.lines]) == (Decimal(1460), ["a", "b"])
    assert {key: group.after for key, group in both.groups().items()} == {("a", "aws"): Decimal(730), ("b", "aws"): Decimal(730)}


NAMES = ["instance_type", "scaling_config", "node_config", "node_count", "settings", "default_node_pool", "vm_size", "engine", "location"]
BLOCKS = ["min_size", "vm_size", "machine_type"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", ""]),
    lambda inner: st.lists(st.dictionaries(st.sampled_from(BLOCKS), inner, max_size=2), max_size=2),
    max_leaves=4,
)
VALUES = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4)


@given(st.sampled_from(sorted(METERS)), VALUES)
def test_a_sum_is_that_of_what_is_priced_and_never_silent(kind: str, values: dict[str, Any]) -> None:
    found = estimate("u", [resource(kind, values)], none)
    assert found.after == 0
    for line in found.lines:
        counted = [part for part in parts_of(kind, values) or () if part.count or not part.sku]
        assert len(line.after.unpriced) == len(counted)
