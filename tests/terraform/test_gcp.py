"""The modules of `terraform/gcp`, on a stub that serves the real provider's schema: no Google answers here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import docs
from tests.terraform.modules import Cloud, Module, check_its_life, check_its_own_tests, check_the_format, prepared, promised, refusals

GCP = Cloud("gcp", {"hashicorp/google": "6.50.0"})
LAYERS = ("network", "cluster", "data", "ml")
every_layer = pytest.mark.parametrize("layer", LAYERS)

SECRET = "a-password-that-no-state-holds"
VARIABLES: dict[str, dict[str, Any]] = {
    "network": {"project_id": "acme-123"},
    "cluster": {"project_id": "acme-123"},
    "data": {"project_id": "acme-123", "admin_password": SECRET},
    "ml": {"project_id": "acme-123"},
}
"""What the examples ask for."""


def made(layer: str, tmp_path: Path) -> Module:
    module = prepared(GCP, layer, tmp_path)
    module.init()
    return module


def checked(module: Module, *args: str, **variables: str) -> str:
    """Run Terraform in the example, which must succeed; return what it says."""
    done = module.run(*args, at=module.example, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_these_are_all_the_layers() -> None:
    assert GCP.layers == sorted(LAYERS)


def test_they_are_formatted_and_the_check_can_fail(tmp_path: Path) -> None:
    check_the_format(GCP, "ml", tmp_path)


@every_layer
def test_the_readme_has_the_tables_of_today(layer: str) -> None:
    folder = GCP.folder / layer
    assert (folder / "README.md").read_text() == docs.filled(folder), "run: python -m tests.terraform.docs"


@pytest.mark.slow
@every_layer
def test_it_is_valid_and_its_own_tests_pass(layer: str, tmp_path: Path) -> None:
    """Sizes by profile, encryption, nothing public, least privilege: see the module's tests/*.tftest.hcl."""
    module = made(layer, tmp_path)
    assert module.complaints() == []
    assert check_its_own_tests(module) >= 3


@pytest.mark.slow
@every_layer
def test_its_example_lives_its_life(layer: str, tmp_path: Path) -> None:
    """Apply, an empty second plan, no password in the state, destroy; every output has a value."""
    module = prepared(GCP, layer, tmp_path)
    module.init(module.example)
    assert module.complaints(module.example) == []
    (outputs,) = check_its_life(module, [SECRET], **VARIABLES[layer]).values()
    assert set(outputs) == {name for name, _ in docs.blocks(GCP.folder / layer / "outputs.tf", "output")}
    assert [name for name, value in outputs.items() if value in (None, "")] == []


WRITTEN_BACK = {
    "cluster": {"google_container_cluster.client_key"},  # empty at Google, as no certificate is issued; the stub makes it up
    "data": {"google_sql_database_instance.server_ca_cert"},  # a certificate
    "ml": set[str](),
}
"""What is sensitive by the schema and has a value in the state of a protected layer."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "resource", "said"),
    [
        ("cluster", "google_container_cluster.this", "Cluster acme-dev is protected: apply with deletion_protection = false first."),
        ("data", 'google_sql_database_instance.this["postgres"]', "The data of acme-dev are protected: apply with"),
        ("ml", 'google_workbench_instance.this["lab"]', "Workbench acme-dev-lab is protected: apply with"),
    ],
    ids=["cluster", "data", "ml"],
)
def test_a_protected_layer_refuses_before_anything_is_gone(layer: str, resource: str, said: str, tmp_path: Path) -> None:
    """Google's provider refuses in the middle: a cluster without pools, an instance without databases. Nothing secret is in the state."""
    module, given = prepared(GCP, layer, tmp_path), VARIABLES[layer]
    module.init(module.example)
    checked(module, "apply", "-auto-approve", deletion_protection="true", **given)
    before = checked(module, "state", "list")
    state = json.loads(checked(module, "show", "-json"))["values"]["root_module"]
    assert set(_sensitive(state)) == WRITTEN_BACK[layer]
    for command in (["destroy"], ["apply", f"-replace=module.{layer}.{resource}"]):
        refused = module.run(*command, "-auto-approve", "-no-color", at=module.example, deletion_protection="true", **given)
        assert refused.returncode == 1
        assert said in refused.stdout + refused.stderr
        assert checked(module, "state", "list") == before
    checked(module, "apply", "-auto-approve", **given)
    checked(module, "destroy", "-auto-approve", **given)
    assert checked(module, "state", "list") == ""


def _sensitive(module: dict[str, Any]) -> Iterator[str]:
    """Yield TYPE.ATTRIBUTE of what is sensitive and has a value, in a module of `terraform show -json` and those below it."""
    for one in module.get("resources", []):
        yield from (f"{one['type']}.{name}" for name in _marked(one["values"], one["sensitive_values"]))
    for below in module.get("child_modules", []):
        yield from _sensitive(below)


def _marked(value: Any, sensitive: Any, name: str = "") -> Iterator[str]:
    """Yield the names of what is marked as sensitive, at any depth."""
    if sensitive is True and value not in (None, "", []):
        yield name
    elif isinstance(sensitive, dict):
        for key, inner in sensitive.items():
            yield from _marked(value.get(key), inner, key)
    elif isinstance(sensitive, list):
        for one, inner in zip(value, sensitive, strict=True):
            yield from _marked(one, inner, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "file", "good", "bad", "said"),
    [
        ("network", "main.tf", "auto_create_subnetworks ", "auto_create_subnets ", 'An argument named "auto_create_subnets" is not'),
        ("network", "main.tf", "  reserved_peering_ranges = ", "  # = ", 'The argument "reserved_peering_ranges" is required'),
        ("network", "main.tf", "  log_config {", "  log_configs {", 'Blocks of type "log_configs" are not expected here'),
        ("cluster", "main.tf", "  deletion_protection = ", "  deletion_protected = ", 'An argument named "deletion_protected" is not'),
        ("cluster", "pools.tf", "  cluster            = google_container_cluster.this.id\n", "", 'The argument "cluster" is required'),
        ("cluster", "pools.tf", "    shielded_instance_config {", "    shielded_config {", 'Blocks of type "shielded_config" are'),
        ("cluster", "main.tf", 'state    = "ENCRYPTED"', "state = [true]", "string required"),
        ("data", "postgres.tf", "password_wo         = ", "pasword_wo = ", 'An argument named "pasword_wo" is not expected here'),
        ("data", "buckets.tf", "  location                    = upper(var.region)\n", "", 'The argument "location" is required'),
        ("data", "redis.tf", "  maintenance_policy {", "  maintenance {", 'Blocks of type "maintenance" are not expected here'),
        ("data", "outputs.tf", "google_bigquery_dataset.ml.dataset_id", "google_bigquery_dataset.ml.dataset", 'attribute named "dataset"'),
        ("ml", "workbench.tf", '"google_workbench_instance" "this"', '"google_workbench" "this"', "does not support resource type"),
        ("ml", "workbench.tf", "disable_public_ip = true", "disable_public_ips = true", 'An argument named "disable_public_ips" is not'),
        ("ml", "workloads.tf", "  bucket = var.buckets[each.value.bucket]\n", "", 'The argument "bucket" is required'),
    ],
)  # fmt: skip
def test_terraform_refuses_a_broken_module(layer: str, file: str, good: str, bad: str, said: str, tmp_path: Path) -> None:
    module = made(layer, tmp_path)
    module.edit(file, good, bad)
    assert any(said in one for one in module.complaints() if one.startswith("error: ")), module.complaints()


TAGS = {"project": "acme", "environment": "prod", "team": "ml", "cost-centre": "7"}
RIGHT_NAMES = {"project_id": "acme-123", "region": "europe-west1", "name": "acme", "profile": "prod", "tags": TAGS}
WRONG_NAMES = {"project_id": "Acme", "region": "europe-west1-b", "name": "Acme", "profile": "staging", "tags": {"project": "Acme"}}
WRONG: dict[str, dict[str, Any]] = {
    "network": {"cidr": "8.0.0.0/12", "nat_addresses": 0},
    "cluster": {
        "generation": "Second",
        "network_id": "n",
        "subnetwork_id": "s",
        "zones": ["us-east1-b"],
        "release_channel": "UNSPECIFIED",
        "authorized_ranges": {"everybody": "0.0.0.0/0"},
        "security_group": "admins@example.com",
        "general": {"min": 0},
        "ml": {"min": 3, "max": 2},
        "gpu": {"min": 9, "driver": "INSTALLATION_DISABLED"},
    },
    "data": {
        "generation": "Second",
        "private_services_network_id": "n",
        "memorystore_network_id": "n",
        "postgres": {"version": "9.6", "tier": "db-f1-micro", "storage_gib": 5, "backups": 0},
        "postgres_users": {"all": "allUsers"},
        "postgres_admin_password": "too-short",
        "postgres_admin_password_version": -1,
        "redis": {"version": "REDIS_7_2", "node_type": "M1", "replicas": 9},
        "buckets": {"Models": {"versioning": False, "noncurrent_days": 1}},
        "registry": {"kept": 0},
        "warehouse_location": "Mars",
        "billing_export_table": "table; DROP TABLE x",
        "billing_location": "nowhere",
        "own_key_for": ["buckets"],
        "force_destroy": True,
    },
    "ml": {
        "generation": "Second",
        "network_id": "n",
        "machines_subnetwork_id": "s",
        "buckets": {"models": "acme-models"},
        "dataset_id": "d",
        "repository_id": "r",
        "workloads": {"a-long-name-indeed": {"namespace": "*", "service_account": "x", "reads": ["secrets"], "dataset": "own"}},
        "operators": {"everybody": "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/*"},
        "operator_roles": ["roles/owner"],
        "workbenches": {"Lab": {"zone": "us-east1-b", "disk_gib": 1, "gpu": {"type": "t4"}}},
        "workbench_users": {"all": "allAuthenticatedUsers"},
    },
}


@pytest.mark.slow
@every_layer
def test_every_validation_refuses_something(layer: str, tmp_path: Path) -> None:
    """Some look at another variable too, and only once that one is right."""
    module = made(layer, tmp_path)
    refused = refusals(module, **WRONG_NAMES, **WRONG[layer]) | refusals(module, **RIGHT_NAMES, **WRONG[layer])
    assert refused == promised(module)
