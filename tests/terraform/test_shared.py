"""The modules of `terraform/shared`: names, tags and settings need no provider; budgets and VPN have stubs that serve the real schemas."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import docs
from tests.terraform.modules import (
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
from tests.terraform.stub_provider.subset import used

NAMING = Cloud("shared", {})
PROVIDERS = {"aws": ("hashicorp/aws", "5.100.0"), "gcp": ("hashicorp/google", "6.50.0"), "azure": ("hashicorp/azurerm", "4.55.0")}
BUDGETS = {cloud: Cloud("shared/budgets", dict([provider]), "shared-") for cloud, provider in PROVIDERS.items()}
VPN = Cloud("shared", dict(PROVIDERS.values()), "shared-")
MODULES = {"naming": NAMING, "settings": NAMING, **BUDGETS, "vpn": VPN}
"""Each module, by the name of its folder."""
every_module = pytest.mark.parametrize("name", MODULES)

SECRET = "0123456789abcdefABCDEF0123456789"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
VARIABLES: dict[str, dict[str, Any]] = {
    "naming": {},
    "settings": {},
    "aws": {},
    "gcp": {"project_id": "acme-123", "billing_account": "012345-6789AB-CDEF01"},
    "azure": {"subscription_id": SUBSCRIPTION, "first_month": "2026-11"},
    "vpn": {
        "vpc_id": "vpc-1",
        "route_table_ids": '["rtb-1"]',
        "project_id": "acme-123",
        "network_id": "projects/acme-123/global/networks/acme",
        "resource_group": "acme",
        "gateway_subnet_id": "/x/subnets/GatewaySubnet",
        "gcp_azure_secret": SECRET,
    },
}
"""What the examples ask for."""


def made(name: str, tmp_path: Path) -> Module:
    module = prepared(MODULES[name], name, tmp_path)
    module.init()
    return module


def test_these_are_all_the_modules() -> None:
    found = {path.parent.relative_to(NAMING.folder).as_posix() for path in NAMING.folder.rglob("versions.tf")}
    assert found == {"naming", "settings", "vpn", *(f"budgets/{cloud}" for cloud in BUDGETS)}


def test_the_schemas_are_what_the_modules_use() -> None:
    names = [f"shared-{source.rpartition('/')[2]}" for source, _ in PROVIDERS.values()]
    assert kept_types(*names) == used([NAMING.folder]), "run: python -m tests.terraform.stub_provider.subset, see there"


def test_they_are_formatted_and_the_check_can_fail(tmp_path: Path) -> None:
    check_the_format(NAMING, "naming", tmp_path)


@every_module
def test_the_readme_has_the_tables_of_today(name: str) -> None:
    folder = MODULES[name].folder / name
    assert (folder / "README.md").read_text() == docs.filled(folder), "run: python -m tests.terraform.docs"


@pytest.mark.slow
@every_module
def test_it_is_valid_and_its_own_tests_pass(name: str, tmp_path: Path) -> None:
    """Thresholds by profile, who is told, what is counted, which tunnel ends where: see the module's tests/*.tftest.hcl."""
    module = made(name, tmp_path)
    assert module.complaints() == []
    assert check_its_own_tests(module) >= 3


@pytest.mark.slow
@every_module
def test_its_example_lives_its_life(name: str, tmp_path: Path) -> None:
    """Apply, an empty second plan, destroy; every output has a value."""
    module = prepared(MODULES[name], name, tmp_path)
    module.init(module.example)
    assert module.complaints(module.example) == []
    (outputs,) = check_its_life(module, **VARIABLES[name]).values()
    assert set(outputs) == {name for name, _ in docs.blocks(module.folder / "outputs.tf", "output")}
    assert [name for name, value in outputs.items() if value in (None, "")] == []


@pytest.mark.slow
def test_the_secrets_in_the_vpns_state_are_those_of_its_readme(tmp_path: Path) -> None:
    module = prepared(VPN, "vpn", tmp_path)
    module.init(module.example)
    applied = module.run("apply", "-auto-approve", "-no-color", at=module.example, **VARIABLES["vpn"])
    assert applied.returncode == 0, applied.stderr
    assert SECRET not in applied.stdout
    (below,) = json.loads(module.run("show", "-json", at=module.example).stdout)["values"]["root_module"]["child_modules"]
    resources = [(one["type"], one["values"], one["sensitive_values"]) for one in below["resources"]]
    values = [(kind, name, value, marked.get(name)) for kind, held, marked in resources for name, value in held.items()]
    sensitive = {(kind, name) for kind, name, value, is_so in values if is_so is True and value}
    holding = {(kind, name) for kind, name, value, _ in values if SECRET in json.dumps(value)}
    readme = (module.folder / "README.md").read_text().partition("accepted exceptions")[2].partition("## Inputs")[0]
    listed = set()
    for line in readme.splitlines():
        kind = ""
        for resource, name in re.findall(r"`(\w*)\.(\w+)`", line):
            kind = resource or kind
            listed.add((kind, name))
    assert sensitive | holding == listed


LAYERS_OF_ALL_CLOUDS = sorted(path.parent for cloud in PROVIDERS for path in (NAMING.folder.parent / cloud).glob("*/variables.tf"))


@pytest.mark.slow
def test_every_module_of_every_cloud_takes_the_longest_name_and_all_tags(tmp_path: Path) -> None:
    """The variables `name` and `tags` of each module, as they stand there, are given what the naming module says."""
    naming = made("naming", tmp_path)
    names = {"project": "fraud-score", "environment": "prod", "part": "weu"}
    said = {**names, "team": "risk_ml", "cost_centre": "4711", "more_tags": {"a-1": "_"}}
    (naming.folder / "said.auto.tfvars.json").write_text(json.dumps(said))
    applied = naming.run("apply", "-auto-approve", "-no-color")
    assert applied.returncode == 0, applied.stderr
    outputs = {name: found["value"] for name, found in json.loads(naming.run("output", "-json").stdout).items()}
    assert len(outputs["name"]) == 20
    for number, layer in enumerate(LAYERS_OF_ALL_CLOUDS):
        asked = dict(docs.blocks(layer / "variables.tf", "variable"))
        taken = naming.folder / "taken" / str(number)
        taken.mkdir(parents=True)
        (taken / "main.tf").write_text("".join(f'variable "{one}" {{\n{asked[one]}}}\n' for one in ("name", "tags")))
        (taken / "said.auto.tfvars.json").write_text(json.dumps({one: outputs[one] for one in ("name", "tags")}))
        planned = naming.run("plan", "-no-color", "-input=false", at=taken)
        assert planned.returncode == 0, f"{layer}: {planned.stderr}"
    assert len(LAYERS_OF_ALL_CLOUDS) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "good", "bad", "said"),
    [
        ("naming", "main.tf", "var.cost_centre", "var.cost_center", 'An input variable with the name "cost_center" has not been declared'),
        ("naming", "outputs.tf", "local.tags", "local.labels", 'A local value with the name "labels" has not been declared'),
        ("settings", "outputs.tf", "local.complaints", "local.complaint", 'A local value with the name "complaint" has not been declared'),
        ("aws", "main.tf", "  limit_amount = ", "  amount = ", 'An argument named "amount" is not expected here'),
        ("aws", "main.tf", '  time_unit    = "MONTHLY"\n', "", 'The argument "time_unit" is required'),
        ("aws", "main.tf", "  cost_types {", "  cost_type {", 'Blocks of type "cost_type" are not expected here'),
        ("gcp", "main.tf", "    calendar_period = ", "    period = ", 'An argument named "period" is not expected here'),
        ("gcp", "main.tf", '  type         = "email"\n', "", 'The argument "type" is required'),
        ("gcp", "main.tf", 'dynamic "threshold_rules"', 'dynamic "thresholds"', 'Blocks of type "thresholds" are not expected here'),
        ("azure", "main.tf", "      contact_groups = ", "      groups = ", 'An argument named "groups" is not expected here'),
        ("azure", "main.tf", "  amount          = var.amount\n", "", 'The argument "amount" is required'),
        ("azure", "main.tf", "  time_period {", "  period {", 'Blocks of type "period" are not expected here'),
        ("vpn", "azure.tf", "    pfs_group ", "    pfs ", 'An argument named "pfs" is not expected here'),
        ("vpn", "gcp.tf", "  shared_secret ", "  secret ", 'The argument "shared_secret" is required'),
        ("vpn", "gcp.tf", "  bgp {", "  bgp_settings {", 'Blocks of type "bgp_settings" are not expected here'),
    ],
)  # fmt: skip
def test_terraform_refuses_a_broken_module(name: str, file: str, good: str, bad: str, said: str, tmp_path: Path) -> None:
    module = made(name, tmp_path)
    module.edit(file, good, bad)
    assert any(said in one for one in module.complaints() if one.startswith("error: ")), module.complaints()


TAGS = {"project": "acme", "environment": "prod", "team": "ml", "cost-centre": "7"}
RIGHT = {"name": "acme", "profile": "prod", "tags": TAGS, "amount": 1, "emails": ["ml@example.com"]}
WRONG_BUDGET: dict[str, Any] = {
    "name": "Acme",
    "profile": "staging",
    "tags": {"project": "Acme"},
    "by_tag": "owner",
    "amount": 0.5,
    "thresholds": [{"percent": 0.8}, {"percent": 0.8}],
    "emails": ["nobody"],
}
HALF_WRONG = {**RIGHT, "by_tag": "owner", "emails": ["nobody"]}
NOBODY = {**RIGHT, "emails": []}
WRONG: dict[str, list[dict[str, Any]]] = {
    "naming": [
        {"project": "A", "environment": "Prod", "part": "W", "team": "R&D", "cost_centre": "", "more_tags": {"Class": "x"}},
        {"project": "A", "environment": "prod", "team": "ml", "cost_centre": "7"},
        {"project": "sg-acme-with-a-long-name", "environment": "prod", "team": "ml", "cost_centre": "7", "more_tags": {"team": "x"}},
        {"project": "acme", "environment": "prod", "team": "ml", "cost_centre": "7", "more_tags": {f"aws-{n}": "x" for n in range(31)}},
    ],
    "settings": [{"unit": "acme", "known": {}, "given": ["version"]}],
    "aws": [
        {**WRONG_BUDGET, "currency": "dollars", "account_ids": ["1"], "topic_arn": "arn:aws:sns:us-east-1:123456789012:costs.fifo"},
        HALF_WRONG,
        NOBODY,
    ],
    "gcp": [
        {**WRONG_BUDGET, "currency": "$", "project_id": "A", "billing_account": "1", "project_numbers": ["acme-123"], "topic_id": "costs"},
        {**HALF_WRONG, **VARIABLES["gcp"]},
        {**NOBODY, **VARIABLES["gcp"]},
    ],
    "azure": [
        {**WRONG_BUDGET, "subscription_id": "acme", "resource_groups": ["/a"], "first_month": "2026-13", "action_group_ids": ["ml"]},
        {**HALF_WRONG, **VARIABLES["azure"]},
        {**NOBODY, **VARIABLES["azure"]},
    ],
    "vpn": [
        {
            **{key: WRONG_BUDGET[key] for key in ("name", "profile", "tags")},
            "aws": {"vpc_id": "acme", "route_table_ids": []},
            "gcp": {"project_id": "acme-123", "region": "europe-west1-b", "network_id": "acme"},
            "azure": {"resource_group": "acme", "location": "westeurope", "gateway_subnet_id": "/x/subnets/nodes"},
            "gcp_azure_secret": "short",
        },
        {
            **{key: RIGHT[key] for key in ("name", "profile", "tags")},
            "aws": {"vpc_id": "vpc-1", "route_table_ids": ["rtb-1"], "asn": 64513},
            "gcp": {"project_id": "acme-123", "region": "europe-west1", "network_id": "projects/acme-123/global/networks/acme"},
            "azure": {"resource_group": "acme", "location": "westeurope", "gateway_subnet_id": "/x/subnets/nodes"},
            "gcp_azure_secret": SECRET,
        },
    ],
}  # fmt: skip


@pytest.mark.slow
@every_module
def test_every_validation_refuses_something(name: str, tmp_path: Path) -> None:
    """Some look at another variable too, and only once that one is right."""
    module = made(name, tmp_path)
    assert set[str]().union(*(refusals(module, **wrong) for wrong in WRONG[name])) == promised(module)
