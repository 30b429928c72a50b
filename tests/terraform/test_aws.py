"""The modules of `terraform/aws`, on a stub that serves the real provider's schema; test_aws_moto.py: the real one, if there."""

from pathlib import Path
from typing import Any

import pytest

from tests.terraform import docs
from tests.terraform.modules import Cloud, Module, check_its_life, check_its_own_tests, check_the_format, prepared, promised, refusals

AWS = Cloud("aws", {"hashicorp/aws": "5.100.0"})
LAYERS = ("network", "cluster", "data", "ml")
every_layer = pytest.mark.parametrize("layer", LAYERS)


def made(layer: str, tmp_path: Path) -> Module:
    module = prepared(AWS, layer, tmp_path)
    module.init()
    return module


def test_these_are_all_the_layers() -> None:
    assert AWS.layers == sorted(LAYERS)


def test_they_are_formatted_and_the_check_can_fail(tmp_path: Path) -> None:
    check_the_format(AWS, "ml", tmp_path)


@every_layer
def test_the_readme_has_the_tables_of_today(layer: str) -> None:
    folder = AWS.folder / layer
    assert (folder / "README.md").read_text() == docs.filled(folder), "run: python -m tests.terraform.docs"


@every_layer
def test_it_is_valid_and_its_own_tests_pass(layer: str, tmp_path: Path) -> None:
    """Sizes by profile, encryption, nothing public, least privilege: see the module's tests/*.tftest.hcl."""
    module = made(layer, tmp_path)
    assert module.complaints() == []
    assert check_its_own_tests(module) >= 5


@pytest.mark.slow
@every_layer
def test_its_example_lives_its_life_on_the_stub(layer: str, tmp_path: Path) -> None:
    """Apply, an empty second plan, destroy; the example itself is valid."""
    module = prepared(AWS, layer, tmp_path)
    module.init(module.example)
    assert module.complaints(module.example) == []
    (outputs,) = check_its_life(module).values()
    assert set(outputs) == {name for name, _ in docs.blocks(AWS.folder / layer / "outputs.tf", "output")}


def test_no_password_is_in_the_state_and_none_is_ours(tmp_path: Path) -> None:
    """RDS keeps PostgreSQL's, and Redis has none: nothing that is secret is asked for, and no state has a value for one."""
    module = prepared(AWS, "data", tmp_path)
    module.init(module.example)
    assert module.run("apply", "-auto-approve", "-input=false", at=module.example).returncode == 0
    state = (module.example / "terraform.tfstate").read_text()
    for secret in ("password", "password_wo", "auth_token"):
        assert f'"{secret}": null' in state
        assert f'"{secret}": "' not in state
    assert '"passwords": [' not in state
    assert '"manage_master_user_password": true' in state


@pytest.mark.parametrize(
    ("layer", "file", "good", "bad", "said"),
    [
        ("network", "main.tf", "enable_dns_support ", "enable_dns_suport ", 'An argument named "enable_dns_suport" is not expected here'),
        ("network", "main.tf", "  vpc_id                  = aws_vpc.this.id\n", "", 'The argument "vpc_id" is required'),
        ("network", "main.tf", "  filter {", "  filters {", 'Blocks of type "filters" are not expected here'),
        ("cluster", "main.tf", "endpoint_public_access ", "endpoint_is_public ", 'An argument named "endpoint_is_public" is not expected'),
        ("cluster", "nodes.tf", "  node_role_arn   = aws_iam_role.node.arn\n", "", 'The argument "node_role_arn" is required'),
        ("cluster", "main.tf", "  upgrade_policy {", "  upgrade {", 'Blocks of type "upgrade" are not expected here'),
        ("cluster", "main.tf", "  vpc_config {", "  zonal_shift_config {", "At least 1"),
        ("data", "postgres.tf", "  storage_encrypted ", "  storage_encryption ", 'An argument named "storage_encryption" is not expected'),
        ("data", "redis.tf", "  node_type            = ", "  node_typ = ", 'An argument named "node_typ" is not expected here'),
        ("data", "buckets.tf", "  rule {\n    object_ownership", "  rules {\n    object_ownership", 'Blocks of type "rules"'),
        ("data", "postgres.tf", "  instance_class = coalesce", "  # coalesce", 'The argument "instance_class" is required'),
        ("ml", "sagemaker.tf", '"aws_sagemaker_model_package_group"', '"aws_sagemaker_model_group"', "does not support resource type"),
        ("ml", "workloads.tf", "  service_account = each", "  serviceaccount = each", 'An argument named "serviceaccount" is not expected'),
        ("ml", "outputs.tf", "aws_iam_role.sagemaker.arn", "aws_iam_role.sagemaker.arm", 'exported attribute named "arm"'),
    ],
)  # fmt: skip
def test_terraform_refuses_a_broken_module(layer: str, file: str, good: str, bad: str, said: str, tmp_path: Path) -> None:
    module = made(layer, tmp_path)
    module.edit(file, good, bad)
    assert any(said in one for one in module.complaints() if one.startswith("error: ")), module.complaints()


NAMED: dict[str, Any] = {"name": "acme", "tags": {"project": "acme", "environment": "dev", "team": "ml", "cost-centre": "4711"}}
ROLE = "arn:aws:iam::123456789012:role/scientists"
WRONG: dict[str, dict[str, Any]] = {
    "network": {
        "name": "Acme",
        "profile": "staging",
        "tags": {"project": "acme"},
        "cidr": "8.8.0.0/16",
        "zones": ["eu-central-1a", "eu-central-1a", "eu-central-1b"],
        "nat": "two",
        "interface_endpoints": ["com amazonaws"],
        "log_retention_days": 31,
        "alarm_endpoints": {"mcml": "http://alarms.example.org"},
    },
    "cluster": {
        "name": "a-name-that-is-longer-than-28",
        "profile": "",
        "tags": {"project": "", "environment": "dev", "team": "ml", "cost-centre": "4711"},
        "subnet_ids": ["subnet-1"],
        "kubernetes_version": "1.33.1",
        "public_access_cidrs": ["0.0.0.0/1"],
        "administrators": {"me": "me"},
        "access": {"me": {"principal_arn": ROLE, "policy": "AmazonEKSClusterAdminPolicy"}},
        "general": {"min": 0},
        "ml": {"min": 3, "max": 1},
        "gpu": {"instance_types": []},
        "log_retention_days": 1000,
    },
    "data": {
        "name": "acme--dev",
        "profile": "production",
        "tags": {},
        "vpc_id": "vpc-1",
        "database_subnet_ids": ["subnet-1"],
        "postgres": {"version": "9.6", "storage_gib": 10, "backup_days": 0},
        "redis": {"version": "6.2", "nodes": 9},
        "repositories": ["Serving"],
        "kept_images": 1,
        "noncurrent_days": 1,
        "log_retention_days": 2,
    },
    "ml": {
        "name": "9lives",
        "tags": {},
        "vpc_id": "vpc-1",
        "subnet_ids": [],
        "kms_key_arn": "alias/data",
        "repository_arns": ["serving"],
        "model_groups": ["-fraud"],
        "buckets": {"models": "acme-models", "data": "acme-data"},
        "cluster": {"name": "acme"},
        "workloads": {
            "One": {"namespace": "*", "service_account": "x", "reads": ["secrets"], "identity": "key"},
            "two": {"namespace": "a", "service_account": "x", "identity": "irsa"},
        },
    },
}
LATER: dict[str, dict[str, Any]] = {
    "data": {**NAMED, "profile": "prod", "vpc_id": "vpc-1", "database_subnet_ids": ["subnet-1", "subnet-2"], "force_destroy": True},
}
"""What is only wrong beside something right."""


@every_layer
def test_every_validation_refuses_something(layer: str, tmp_path: Path) -> None:
    module = made(layer, tmp_path)
    refused = refusals(module, **WRONG[layer])
    if layer in LATER:
        refused |= refusals(module, **LATER[layer])
    assert refused == promised(module)
