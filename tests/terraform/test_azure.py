"""The modules of `terraform/azure`, on stubs that serve the real providers' schemas."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import docs
from tests.terraform.modules import (
    SCHEMAS,
    Cloud,
    Module,
    check_its_life,
    check_its_own_tests,
    check_the_format,
    kept_types,
    prepared,
    promised,
    refusals,
)
from tests.terraform.stub_provider import schema
from tests.terraform.stub_provider.provider import read
from tests.terraform.stub_provider.subset import used

AZURE = Cloud("azure", {"hashicorp/azurerm": "4.55.0", "azure/azapi": "2.13.0"})
LAYERS = ("network", "cluster", "data", "ml")
every_layer = pytest.mark.parametrize("layer", LAYERS)


def made(layer: str, tmp_path: Path) -> Module:
    module = prepared(AZURE, layer, tmp_path)
    module.init()
    return module


def test_these_are_all_the_layers() -> None:
    assert AZURE.layers == sorted(LAYERS)


def test_the_schemas_are_what_the_modules_use() -> None:
    assert kept_types("azurerm", "azapi") == used([AZURE.folder]), "run: python -m tests.terraform.stub_provider.subset, see there"


def test_they_are_formatted_and_the_check_can_fail(tmp_path: Path) -> None:
    check_the_format(AZURE, "ml", tmp_path)


@every_layer
def test_the_readme_has_the_tables_of_today(layer: str) -> None:
    folder = AZURE.folder / layer
    assert (folder / "README.md").read_text() == docs.filled(folder), "run: python -m tests.terraform.docs"


@every_layer
def test_it_is_valid_and_its_own_tests_pass(layer: str, tmp_path: Path) -> None:
    """Sizes by profile, encryption, nothing public, least privilege: see the module's tests/*.tftest.hcl."""
    module = made(layer, tmp_path)
    assert module.complaints() == []
    assert check_its_own_tests(module) >= 4


def secrets_of(state: Mapping[str, Any]) -> Iterator[str]:
    """Yield `type.attribute` of everything in a state that the schemas call sensitive and that has a value."""
    known = read(SCHEMAS / "azurerm.json")["resource_schemas"] | read(SCHEMAS / "azapi.json")["resource_schemas"]
    for resource in state["resources"]:
        if resource["mode"] == "managed":
            for path, about in schema.walk(known[resource["type"]]["block"]):
                if about.get("sensitive") and any(found(one["attributes"], path.split(".")) for one in resource["instances"]):
                    yield f"{resource['type']}.{path}"


def found(value: Any, path: list[str]) -> bool:
    """Tell whether anything is at a path, whichever element of the lists on the way it is in."""
    if isinstance(value, list):
        return any(found(one, path) for one in value)
    return found(value.get(path[0]), path[1:]) if path and isinstance(value, dict) else value not in (None, "", [], {})


def excepted(layer: str) -> set[str]:
    """Return what a module's README accepts in the state: `type.attribute`, then further attributes of the same type."""
    text = (AZURE.folder / layer / "README.md").read_text().partition("## Accepted exceptions")[2].partition("## Inputs")[0]
    names = set()
    for item in re.findall(r"^- (.*?): ", re.sub(r"\n  ", " ", text), re.MULTILINE):
        first, *others = re.findall(r"`([\w.]+)`", item)
        names |= {first, *(f"{first.rpartition('.')[0]}.{other}" for other in others)}
    return names


@every_layer
def test_its_example_lives_its_life(layer: str, tmp_path: Path) -> None:
    """Apply, an empty second plan, destroy; in the state is no secret but what the README accepts, which is all written by the provider."""
    module = prepared(AZURE, layer, tmp_path)
    module.init(module.example)
    assert module.complaints(module.example) == []
    (outputs,) = check_its_life(module).values()
    assert set(outputs) == {name for name, _ in docs.blocks(AZURE.folder / layer / "outputs.tf", "output")}
    before_destroy = json.loads((module.example / "terraform.tfstate.backup").read_text())
    assert set(secrets_of(before_destroy)) == excepted(layer)


WIRED = """
terraform {
  required_providers {
    azapi = {
      source = "azure/azapi"
    }
  }
}
provider "azurerm" {
  features {}
}
provider "azapi" {}
locals {
  name = "acme-dev-weu"
  tags = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
}
module "network" {
  source   = "../network"
  name     = local.name
  location = "westeurope"
  tags     = local.tags
}
module "cluster" {
  source                 = "../cluster"
  name                   = local.name
  location               = module.network.location
  resource_group         = module.network.resource_group
  subnet_id              = module.network.subnet_ids["nodes"]
  log_workspace_id       = module.network.log_workspace_id
  log_private_link_scope = module.network.log_private_link_scope
  admin_group_ids        = ["00000000-0000-0000-0000-000000000001"]
  workloads              = { fraud = { namespace = "models", service_account = "fraud" } }
  tags                   = local.tags
}
module "data" {
  source               = "../data"
  name                 = local.name
  location             = module.network.location
  resource_group       = module.network.resource_group
  endpoint_subnet_id   = module.network.subnet_ids["endpoints"]
  private_dns_zone_ids = module.network.private_dns_zone_ids
  log_workspace_id     = module.network.log_workspace_id
  database_admin       = { name = "dba", object_id = "00000000-0000-0000-0000-000000000003" }
  tags                 = local.tags
  access = {
    nodes = { principal_id = module.cluster.kubelet_principal_id, images = "pull" }
    fraud = { principal_id = module.cluster.workloads["fraud"].principal_id, models = "read", cache = true }
  }
}
module "ml" {
  source                 = "../ml"
  name                   = local.name
  location               = module.network.location
  resource_group         = module.network.resource_group
  endpoint_subnet_id     = module.network.subnet_ids["endpoints"]
  job_subnet_id          = module.network.subnet_ids["jobs"]
  private_dns_zone_ids   = module.network.private_dns_zone_ids
  log_workspace_id       = module.network.log_workspace_id
  log_private_link_scope = module.network.log_private_link_scope
  registry_id            = module.data.registry.id
  model_account_id       = module.data.storage["models"].id
  lake_account_id        = module.data.storage["lake"].id
  data_sets              = { curated = module.data.containers["lake/curated"] }
  tags                   = local.tags
}
"""


def test_the_layers_are_wired_by_their_outputs(tmp_path: Path) -> None:
    """All four planned at once, before anything exists: no count and no key hangs on what is known only afterwards."""
    module = prepared(AZURE, "network", tmp_path)
    for layer in LAYERS[1:]:
        shutil.copytree(AZURE.folder / layer, tmp_path / layer)
    root = tmp_path / "root"
    root.mkdir()
    (root / "main.tf").write_text(WIRED)
    module.init(root)
    planned = module.run("plan", "-no-color", "-input=false", at=root)
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"Plan: 1\d\d to add, 0 to change, 0 to destroy", planned.stdout)


@pytest.mark.parametrize(
    ("layer", "file", "good", "bad", "said"),
    [
        ("network", "main.tf", "  address_prefixes  ", "  address_prefixs  ", 'An argument named "address_prefixs" is not expected here'),
        ("network", "security.tf", '  direction                   = "Inbound"\n', "", 'The argument "direction" is required'),
        ("network", "logs.tf", "  private_service_connection {", "  service_connection {", 'Blocks of type "service_connection"'),
        ("network", "logs.tf", "= coalesce(var.log_retention_days", '= "long" # (', "a number is required"),
        ("cluster", "main.tf", "  local_account_disabled ", "  local_accounts_off ", 'An argument named "local_accounts_off"'),
        ("cluster", "main.tf", "  network_profile {", "  network_profil {", 'Blocks of type "network_profil" are not expected here'),
        ("cluster", "main.tf", "  default_node_pool {", "  linux_profile {", 'At least 1 "default_node_pool" blocks'),
        ("cluster", "pools.tf", "  kubernetes_cluster_id   = ", "  cluster_id   = ", 'The argument "kubernetes_cluster_id" is required'),
        ("cluster", "identities.tf", ".oidc_issuer_url", ".oidc_issuer", 'exported attribute named "oidc_issuer"'),
        ("data", "storage.tf", "  shared_access_key_enabled ", "  shared_key_enabled ", 'An argument named "shared_key_enabled"'),
        ("data", "sql.tf", "  azuread_administrator {", "  entra_administrator {", 'Blocks of type "entra_administrator"'),
        ("data", "sql.tf", "  version                       = ", "  edition                      = ", 'The argument "version" is required'),
        ("data", "redis.tf", '"azurerm_managed_redis" "this"', '"azurerm_redis" "this"', "does not support resource type"),
        ("data", "redis.tf", "  parent_id = ", "  parent = ", 'An argument named "parent" is not expected here'),
        ("ml", "compute.tf", "  scale_settings {", "  scaling {", 'Blocks of type "scaling" are not expected here'),
        ("ml", "compute.tf", "  vm_size                       = each.value.machine\n", "", 'The argument "vm_size" is required'),
        ("ml", "main.tf", "  identity {", "  identities {", 'Blocks of type "identities" are not expected here'),
        ("ml", "outputs.tf", ".client_id, principal_id", ".clientid, principal_id", 'exported attribute named "clientid"'),
    ],
)  # fmt: skip
def test_terraform_refuses_a_broken_module(layer: str, file: str, good: str, bad: str, said: str, tmp_path: Path) -> None:
    module = made(layer, tmp_path)
    module.edit(file, good, bad)
    assert any(said in one for one in module.complaints() if one.startswith("error: ")), module.complaints()


BAD_NAMES = {"name": "Acme_", "location": "West Europe", "profile": "staging", "tags": {"project": "acme"}}
WRONG: dict[str, dict[str, Any]] = {
    "network": {
        **BAD_NAMES,
        "address_space": "10.0.0.0/24",
        "trusted_ranges": ["0.0.0.0/0"],
        "public_ingress": {"ports": [22], "sources": ["203.0.113.0/24"]},
        "nat_addresses": 17,
        "nat_zone": "4",
        "log_retention_days": 7,
    },
    "cluster": {
        **BAD_NAMES,
        "kubernetes_version": "1.33.2",
        "private": True,
        "authorized_ranges": ["0.0.0.0/0"],
        "pod_range": "10.244.0.0",
        "service_range": "10.245.0.0/30",
        "zones": ["4"],
        "general": {"min": 0},
        "ml": {"min": 3, "max": 2, "taints": ["oops"]},
        "gpu": {"machine": "Standard_D4s_v5", "max": 0, "taints": ["oops"]},
        "admin_group_ids": [],
        "deployers": {"ci": {"principal_id": "x", "namespaces": []}},
        "workloads": {"Not A Name": {"namespace": "models", "service_account": "x"}},
    },
    "data": {
        **BAD_NAMES,
        "private_dns_zone_ids": {"blob": "zone"},
        "replica_location": "West Europe",
        "database": {"name": "master", "failover": "Never", "restore_days": 90},
        "database_admin": {"name": "", "object_id": "dba"},
        "cache": {"sku": "Premium_P1"},
        "security_emails": ["nobody"],
        "model_containers": ["Models"],
        "lake_containers": ["x"],
        "storage_replication": "NONE",
        "undelete_days": 1,
        "lifecycle_days": {"cool": 30, "cold": 10},
        "access": {"fraud": {"principal_id": "x", "principal_type": "Robot", "models": "own"}},
    },
    "ml": {
        **BAD_NAMES,
        "private_dns_zone_ids": {"blob": "zone"},
        "data_sets": {"Not A Name": "x"},
        "cpu": {"max": 0},
        "gpu": {"machine": "Standard_D4s_v5", "max": 0},
        "idle_minutes": 0,
        "scientists": {"risk": {"principal_id": "x", "principal_type": "Robot"}},
    },
}
BASE = ("resource_group", "log_workspace_id")
GIVEN: dict[str, dict[str, Any]] = {
    "cluster": dict.fromkeys([*BASE, "subnet_id", "log_private_link_scope"], "x"),
    "data": dict.fromkeys([*BASE, "endpoint_subnet_id"], "x"),
    "ml": dict.fromkeys(
        [*BASE, "log_private_link_scope", "endpoint_subnet_id", "job_subnet_id", "registry_id", "model_account_id", "lake_account_id"],
        "x",
    ),
}
"""What has no default and no validation."""

RIGHT = {"name": "acme", "location": "westeurope", "tags": {"project": "acme", "environment": "dev", "team": "ml", "cost-centre": "7"}}
LATER: dict[str, list[dict[str, Any]]] = {
    "data": [{**RIGHT, "profile": "prod", "replica_location": None}, {**RIGHT, "profile": "dev", "replica_location": "westeurope"}],
}
"""What is only wrong beside something right."""


@every_layer
def test_every_validation_refuses_something(layer: str, tmp_path: Path) -> None:
    module = made(layer, tmp_path)
    wrong = GIVEN.get(layer, {}) | WRONG[layer]
    refused = refusals(module, **wrong)
    for later in LATER.get(layer, []):
        refused |= refusals(module, **(wrong | later))
    assert refused == promised(module)
