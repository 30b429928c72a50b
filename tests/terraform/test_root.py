"""The roots of `terraform/root`, one a unit, on stubs that serve the real providers' schemas: alone, and wired by their outputs."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mcml.core.paths import shipped
from mcml.core.schema import Settings
from mcml.infra.units import clouds
from mcml.infra.units.wiring import promised
from tests.providers.aws import moto_server
from tests.terraform import docs
from tests.terraform.modules import Cloud, Module, check_the_format
from tests.terraform.roots import (
    LAYER_UNITS,
    LAYERS,
    PERSON,
    PROVIDERS,
    SECRET,
    SUBSCRIPTION,
    UNITS,
    clouds_of,
    complaint,
    creates,
    done,
    give,
    given,
    given_to_vpn,
    keeps,
    layer_of,
    made_of,
    merged_schemas,
    needs_of,
    planned,
    preview,
    rooted,
)
from tests.terraform.test_aws_moto import MIRROR, real_provider

ROOTS, MOTO = shipped("terraform") / "root", Path(__file__).parent / "moto"
every_unit = pytest.mark.parametrize("unit", UNITS)
every_layer = pytest.mark.parametrize("unit", LAYER_UNITS)
every_cloud = pytest.mark.parametrize("cloud", PROVIDERS)


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merged_schemas(tmp_path_factory.mktemp("schemas-of-roots"))


def test_these_are_all_the_units() -> None:
    assert {path.parent.name for path in ROOTS.glob("*/versions.tf")} == set(UNITS)
    assert {unit for unit in clouds.EVERY_UNIT if unit in LAYER_UNITS} == set(LAYER_UNITS)


def test_they_are_formatted_and_the_check_can_fail(tmp_path: Path) -> None:
    check_the_format(Cloud("root", {}), "aws-ml", tmp_path)


@every_unit
def test_the_readme_has_the_tables_of_today(unit: str) -> None:
    assert (ROOTS / unit / "README.md").read_text() == docs.filled(ROOTS / unit), "run: python -m tests.terraform.docs"


FROM_ELSEWHERE = {"aws-network": "budgets/aws", "gcp-network": "budgets/gcp", "azure-network": "budgets/azure"}
"""Whose variables the setting `budget` is."""
GIVEN_BY_THE_ROOT = {"name", "profile", "tags", "project_id", "subscription_id", "topic_arn"}


def attributes(body: str) -> set[str]:
    """Return the names in the object, or the objects, that a variable is of; empty when it is none."""
    kind = re.sub(r"(?<=\w\()object\(\{[^{}]*\}\)", "any", docs.argument(body, "type").removeprefix("map("))
    return set(re.findall(r"(\w+) += ", kind))


@every_layer
def test_all_that_a_module_takes_is_handed_on(unit: str) -> None:
    """Every variable of the module is set, every setting is used, and what may stand in a setting is what its variable knows."""
    root, module, known = ROOTS / unit, docs.module_of(ROOTS / unit), docs.settings(ROOTS / unit)
    text, variables = (root / "main.tf").read_text(), dict(docs.blocks(module / "variables.tf", "variable"))
    (call,) = (body for name, body in docs.blocks(root / "main.tf", "module") if name == layer_of(unit))
    assert set(re.findall(r"^  (\w+) += ", call, re.MULTILINE)) == {"source", *variables}
    assert set(re.findall(r"local\.settings\.(\w+)", text)) == set(known)
    if unit in FROM_ELSEWHERE:
        budget = {name for name, _ in docs.blocks(shipped("terraform") / "shared" / FROM_ELSEWHERE[unit] / "variables.tf", "variable")}
        assert set(known.pop("budget")) == budget - GIVEN_BY_THE_ROOT
    for name, inside in known.items():
        assert {one.removeprefix("*.") for one in inside} == attributes(variables[name]), name
        prefix = "*." if docs.argument(variables[name], "type").startswith("map(object") else ""
        assert all(one.startswith(prefix) for one in inside)


@every_layer
def test_what_other_units_say_comes_by_a_local_alone(unit: str) -> None:
    """A plan before anything exists redefines the local: the variable is null then, so nothing else may look at it."""
    text, variables = (ROOTS / unit / "main.tf").read_text(), dict(docs.blocks(ROOTS / unit / "variables.tf", "variable"))
    assert [name for name in LAYERS if name in variables] == sorted(needs_of(unit), key=LAYERS.index)
    for needed in needs_of(unit):
        assert re.findall(rf"(.*)var\.{needed}\b", text) == [f"  {needed.ljust(8)} = "]
        assert "validation" not in variables[needed]
        assert docs.argument(variables[needed], "default") == ("null" if needed in clouds.OPTIONAL else "")
    ((output, body),) = docs.blocks(ROOTS / unit / "outputs.tf", "output")
    assert (output, docs.argument(body, "value")) == (layer_of(unit), f"module.{output}")


@every_unit
def test_mcml_gives_a_root_all_that_it_asks_for(unit: str) -> None:
    infra = {"team": "risk", "cost_centre": "4711", "clouds": {cloud: {"region": "somewhere"} for cloud in PROVIDERS}}
    providers = {"gcp": {"project": "acme-123"}, "azure": {"subscription": SUBSCRIPTION}}
    settings = Settings.model_validate({"name": "acme", "infra": infra, "providers": providers})
    if unit == "vpn":
        told, said = clouds.vpn_variables(settings, tuple(PROVIDERS)), (*PROVIDERS, "gcp_azure_secret")
    else:
        told, said = clouds.variables(settings, clouds_of(unit)[0], layer_of(unit)), needs_of(unit)
    variables = dict(docs.blocks(ROOTS / unit / "variables.tf", "variable"))
    assert set(told) <= set(variables)
    assert {name for name, body in variables.items() if not docs.argument(body, "default")} <= {*told, *said}


@every_unit
def test_it_is_valid(unit: str, tmp_path: Path, schemas: Path) -> None:
    assert rooted(unit, tmp_path, schemas).complaints() == []


@pytest.mark.parametrize(
    ("unit", "file", "good", "bad", "said"),
    [
        ("aws-network", "main.tf", "  allowed_account_ids = ", "  accounts = ", 'An argument named "accounts" is not expected here'),
        ("aws-network", "main.tf", "  dynamic \"assume_role\" {", "  dynamic \"role\" {", 'Blocks of type "role" are not expected here'),
        ("aws-cluster", "main.tf", "  subnet_ids      = local.network.private_subnet_ids\n", "", 'The argument "subnet_ids" is required'),
        ("aws-data", "main.tf", "  kept_images         = try", "  kept = try", 'An argument named "kept" is not expected here'),
        ("aws-ml", "variables.tf", "    kms_key_arn     = string\n", "", 'This object does not have an attribute named "kms_key_arn"'),
        ("gcp-network", "outputs.tf", "module.network", "module.networks", 'No module call named "networks" is declared'),
        ("gcp-cluster", "variables.tf", "    network_id          = string\n", "", 'does not have an attribute named "network_id"'),
        ("gcp-data", "main.tf", "local.network.memorystore_network_id", "local.network.memorystore_id", 'attribute named "memorystore_id"'),
        ("gcp-ml", "main.tf", "impersonate_service_account = ", "impersonated = ", 'An argument named "impersonated" is not expected'),
        ("azure-network", "main.tf", "  unit  = ", "  name  = ", 'An argument named "name" is not expected here'),
        ("azure-cluster", "main.tf", "= var.location", "= var.region", 'An input variable with the name "region" has not been declared'),
        ("azure-data", "main.tf", "local.network.subnet_ids", "local.network.subnets", 'does not have an attribute named "subnets"'),
        ("azure-ml", "main.tf", "local.data.registry.id", "local.data.registry.key", 'does not have an attribute named "key"'),
        ("vpn", "main.tf", "  gcp_azure_secret = var.gcp_azure_secret\n", "", 'The argument "gcp_azure_secret" is required'),
    ],
)  # fmt: skip
def test_terraform_refuses_a_broken_root(unit: str, file: str, good: str, bad: str, said: str, tmp_path: Path, schemas: Path) -> None:
    module = rooted(unit, tmp_path, schemas)
    module.edit(file, good, bad)
    assert any(said in one for one in module.complaints() if one.startswith("error: ")), module.complaints()


@pytest.mark.parametrize(
    ("unit", "settings", "said"),
    [
        ("aws-network", {"nats": "one"}, "aws-network has no setting nats; it has alarm_endpoints, budget, cidr, interface_endpoints,"),
        ("aws-network", {"budget": {"limit": 100}}, "Setting budget of aws-network has no limit; it has amount, currency, emails,"),
        ("aws-network", {"nat": "two"}, "NAT is one, per-zone or none."),
        ("gcp-network", {"budget": {"amount": 100}}, "Required variable not set"),
        ("azure-network", {"public_ingress": {"port": [443]}}, "Setting public_ingress of azure-network has no port; it has ports"),
        ("azure-network", ["gateway_subnet"], "Settings are an object or a map: each has a name."),
    ],
)
def test_a_wrong_setting_is_refused_with_the_right_ones(unit: str, settings: Any, said: str, tmp_path: Path, schemas: Path) -> None:
    module = rooted(unit, tmp_path, schemas)
    give(module, **given(unit) | {"settings": settings})
    assert said in complaint(module)


def test_a_setting_that_is_needed_is_asked_for(tmp_path: Path, schemas: Path) -> None:
    module = rooted("azure-cluster", tmp_path, schemas)
    network = {"resource_group": "r", "subnet_ids": {"nodes": "n"}, "log_workspace_id": "w", "log_private_link_scope": "s"}
    give(module, **given("azure-cluster") | {"settings": {}, "network": network})
    assert "azure-cluster needs the setting admin_group_ids." in complaint(module)


BUDGETS: Mapping[str, dict[str, Any]] = {
    "aws": {"amount": 500, "emails": ["ml@example.com"]},
    "gcp": {"amount": 500, "emails": ["ml@example.com"], "billing_account": "012345-6789AB-CDEF01", "currency": "EUR"},
    "azure": {"amount": 500, "emails": ["ml@example.com"], "first_month": "2026-11", "by_tag": "project"},
}


@every_cloud
def test_a_budget_is_made_where_one_is_set(cloud: str, tmp_path: Path, schemas: Path) -> None:
    module = rooted(f"{cloud}-network", tmp_path, schemas)
    give(module, **given(f"{cloud}-network"))
    without = set(creates(planned(module)))
    give(module, **given(f"{cloud}-network", budget=BUDGETS[cloud]))
    more = set(creates(planned(module))) - without
    assert len(more) >= 1
    assert all(address.startswith("module.budget[0].") for address in more)


def previews(modules: Mapping[str, Module], variables: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Plan units, each on what the plans of those before it promise; return the promises by layer, and what is made by unit."""
    told: dict[str, Any] = {}
    made: dict[str, set[str]] = {}
    for unit, module in modules.items():
        plan = preview(module, {needed: told[needed] for needed in needs_of(unit)}, **variables[unit])
        told |= promised(plan)
        made[unit] = set(creates(plan))
    return told, made


@every_cloud
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_all_layers_can_be_planned_before_anything_exists(cloud: str, profile: str, tmp_path: Path, schemas: Path) -> None:
    """No number and no key of resources hangs on what is known only after an apply, in either profile."""
    units = [f"{cloud}-{layer}" for layer in LAYERS]
    modules = {unit: rooted(unit, tmp_path, schemas) for unit in units}
    told, made = previews(modules, {unit: given(unit) | {"profile": profile} for unit in units})
    assert [layer for layer in LAYERS if told[layer]] == list(LAYERS)
    assert min(map(len, made.values())) >= 10


def check_their_life(modules: Mapping[str, Module], variables: Mapping[str, dict[str, Any]]) -> None:
    """What was previewed is made, second plans are empty, and once nothing is protected all are destroyed, the last layer first."""
    told, made = previews(modules, variables)
    said: dict[str, Any] = {}
    for unit, module in modules.items():
        give(module, **variables[unit], **{one: said[one] for one in needs_of(unit)})
        assert set(creates(planned(module))) == made[unit]
        done(module, "apply", "plan")
        said |= {name: found["value"] for name, found in json.loads(done(module, "output", "-json")).items()}
        assert keeps(told[layer_of(unit)], said[layer_of(unit)])
        done(module, "plan", "-detailed-exitcode")
    for unit, module in reversed(list(modules.items())):
        if variables[unit].get("profile") == "prod" and "deletion_protection" in docs.settings(ROOTS / unit):
            give(module, **given(unit, deletion_protection=False), profile="prod", **{one: said[one] for one in needs_of(unit)})
            done(module, "apply", "-auto-approve")
        done(module, "destroy", "-auto-approve")
        assert json.loads((module.folder / "terraform.tfstate").read_text())["resources"] == []


@pytest.mark.slow
@every_cloud
def test_all_layers_live_their_life(cloud: str, tmp_path: Path, schemas: Path) -> None:
    units = [f"{cloud}-{layer}" for layer in LAYERS]
    check_their_life({unit: rooted(unit, tmp_path, schemas) for unit in units}, {unit: given(unit) | {"profile": "prod"} for unit in units})


SERVING = {"namespace": "models", "service_account": "serving", "reads": ["models"], "identity": "irsa"}
ON_MOTO: Mapping[str, dict[str, Any]] = {
    "aws-network": {"interface_endpoints": ["sts"]},
    "aws-cluster": {"manage_addons": False},
    "aws-data": {"postgres": False, "redis": False, "force_destroy": True},
    "aws-ml": {"workloads": {"serving": SERVING}},
}
"""Settings without what moto does not know, or the provider waits long for."""


@real_provider
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_units_of_aws_on_the_real_provider_against_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator comes by AWS's own variables; an account that is not the named one is left alone."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
    with moto_server.running(tmp_path) as url:
        environ = keys | {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "2"}
        modules = {unit: rooted(unit, tmp_path, tmp_path, Path(MIRROR), environ) for unit in ON_MOTO}
        for layer in LAYERS:
            if (override := MOTO / f"{layer}_override.tf").exists():
                shutil.copy(override, tmp_path / "terraform" / "aws" / layer / "moto_override.tf")
        check_their_life(modules, {unit: given(unit, **settings) for unit, settings in ON_MOTO.items()})
        give(modules["aws-network"], **given("aws-network"), login={"account_id": "999999999999"})
        assert "AWS account ID not allowed: 123456789012" in complaint(modules["aws-network"])


@every_cloud
def test_data_and_ml_do_without_a_cluster(cloud: str, tmp_path: Path, schemas: Path) -> None:
    said: dict[str, Any] = {"cluster": None}
    for layer in ("network", "data", "ml"):
        unit = f"{cloud}-{layer}"
        plan = preview(rooted(unit, tmp_path, schemas), {needed: said[needed] for needed in needs_of(unit)}, **given(unit))
        said |= promised(plan)
    assert said["ml"]


@pytest.mark.slow
def test_the_networks_are_joined(tmp_path: Path, schemas: Path) -> None:
    """Planned before anything exists, then applied with what the networks say; a secret is nowhere but where the module says."""
    told, said = {}, {}
    for cloud in PROVIDERS:
        module = rooted(f"{cloud}-network", tmp_path, schemas)
        give(module, **given(f"{cloud}-network", **({"gateway_subnet": True} if cloud == "azure" else {})))
        told[cloud] = promised(planned(module))["network"]
        done(module, "apply", "plan")
        said[cloud] = json.loads(done(module, "output", "-json"))["network"]["value"]
    vpn = rooted("vpn", tmp_path, schemas)
    before = set(creates(preview(vpn, told, **given_to_vpn())))
    give(vpn, **given_to_vpn(), **said, settings={"asn": {"aws": 65001}})
    assert set(creates(planned(vpn))) == before
    assert SECRET not in done(vpn, "apply", "plan")
    state = json.loads((vpn.folder / "terraform.tfstate").read_text())
    (gateway,) = (one for one in state["resources"] if one["type"] == "aws_vpn_gateway")
    assert gateway["instances"][0]["attributes"]["amazon_side_asn"] == "65001"
    assert {one["type"] for one in state["resources"] if SECRET in json.dumps(one)} == {
        "google_compute_vpn_tunnel",
        "azurerm_virtual_network_gateway_connection",
    }


@pytest.mark.parametrize(
    ("unit", "switch", "gone"),
    [
        ("aws-data", "postgres", "aws_db_instance"),
        ("aws-data", "redis", "aws_elasticache_replication_group"),
        ("gcp-data", "postgres", "google_sql_database_instance"),
        ("gcp-data", "redis", "google_memorystore_instance"),
        ("azure-ml", "gpu", 'azurerm_machine_learning_compute_cluster.this["gpu"]'),
    ],
)
def test_false_makes_none_of_it(unit: str, switch: str, gone: str, tmp_path: Path, schemas: Path) -> None:
    module = rooted(unit, tmp_path, schemas)
    give(module, **given(unit), **SAID[unit])
    assert any(gone in address for address in creates(planned(module)))
    give(module, **given(unit, **{switch: False}), **SAID[unit])
    assert not any(gone in address for address in creates(planned(module)))


ZONES = ("blob", "dfs", "file", "vault", "sql", "redis", "registry", "ml", "ml_notebooks")
AZURE = {
    "resource_group": "acme-dev-rg",
    "subnet_ids": {"nodes": "/n", "endpoints": "/e", "jobs": "/j"},
    "private_dns_zone_ids": {name: f"/{name}" for name in ZONES},
    "log_workspace_id": "/logs",
    "log_private_link_scope": "acme-dev-logs",
}
SAID: Mapping[str, Mapping[str, Any]] = {
    "aws-data": {"network": {"vpc_id": "vpc-1", "database_subnet_ids": ["subnet-1", "subnet-2"], "alarm_topic_arn": "arn:aws:sns:x:1:a"}},
    "gcp-data": {"network": dict.fromkeys(["private_services_network_id", "memorystore_network_id"], "projects/a/global/networks/a")},
    "azure-data": {"network": AZURE, "cluster": {"kubelet_principal_id": "kubelet", "workloads": {"fraud": {"principal_id": "fraudster"}}}},
    "azure-ml": {
        "network": AZURE,
        "data": {
            "registry": {"id": "/registry"},
            "storage": {"models": {"id": "/models"}, "lake": {"id": "/lake"}},
            "containers": {"models/models": "/models/models", "lake/raw": "/lake/raw", "lake/by-day": "/lake/by-day"},
        },
    },
}
"""What other units might say."""


def test_access_at_azure_is_the_workloads_of_that_name(tmp_path: Path, schemas: Path) -> None:
    module = rooted("azure-data", tmp_path, schemas)
    access = {"fraud": {"models": "read"}, "ci": {"principal_id": PERSON, "images": "push"}}
    give(module, **given("azure-data", access=access), **SAID["azure-data"])
    granted = {key: one["principal_id"] for key, one in made_of(planned(module), "azurerm_role_assignment").items()}
    assert granted == {"nodes/images": "kubelet", "fraud/models": "fraudster", "ci/images": PERSON}


@pytest.mark.parametrize(
    ("settings", "stores"),
    [({}, {"raw": "/lake/raw", "by_day": "/lake/by-day"}), ({"data_sets": {"days": "lake/by-day"}}, {"days": "/lake/by-day"})],
    ids=["all of the lake", "one by name"],
)
def test_data_sets_at_azure(settings: dict[str, Any], stores: dict[str, str], tmp_path: Path, schemas: Path) -> None:
    module = rooted("azure-ml", tmp_path, schemas)
    give(module, **given("azure-ml", **settings), **SAID["azure-ml"])
    found = made_of(planned(module), "azurerm_machine_learning_datastore_blobstorage")
    assert {name: one["storage_container_id"] for name, one in found.items()} == stores


def test_a_password_of_postgres_is_in_no_plan_and_no_state(tmp_path: Path, schemas: Path) -> None:
    """It is ephemeral, so it is given to the plan and to the apply."""
    module = rooted("gcp-data", tmp_path, schemas)
    give(module, **given("gcp-data", postgres_admin_password_version=1), **SAID["gcp-data"])
    plan = planned(module, postgres_admin_password=SECRET)
    assert any("google_sql_user" in address for address in creates(plan))
    done(module, "apply", "plan", postgres_admin_password=SECRET)
    assert SECRET not in json.dumps(plan) + (module.folder / "terraform.tfstate").read_text()
