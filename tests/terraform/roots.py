"""The roots of `terraform/root` in a copy of `terraform/`, on stubs of all providers: what their tests share.

    network = rooted("aws-network", tmp_path, schemas)
    give(network, **given("aws-network"))
    network.run("plan")
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcml.core.paths import shipped
from mcml.infra.units import clouds
from mcml.infra.units.wiring import UNKNOWN, stand_ins, without_stand_in
from tests.terraform.modules import SCHEMAS, Cloud, Module, copied, surroundings

PROVIDERS = {
    "aws": {"hashicorp/aws": "5.100.0"},
    "gcp": {"hashicorp/google": "6.50.0"},
    "azure": {"hashicorp/azurerm": "4.55.0", "azure/azapi": "2.13.0"},
}
LAYERS = ("network", "cluster", "data", "ml")
LAYER_UNITS = tuple(f"{cloud}-{layer}" for cloud in PROVIDERS for layer in LAYERS)
UNITS = (*LAYER_UNITS, "vpn")

COMMON = {"project": "acme", "environment": "dev", "team": "risk", "cost_centre": "4711", "more_tags": {"data-class": "internal"}}
SUBSCRIPTION, PERSON = "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000003"
SECRET = "0123456789abcdefABCDEF0123456789"
WHERE: Mapping[str, Mapping[str, Any]] = {
    "aws": {"region": "eu-central-1"},
    "gcp": {"project_id": "acme-123", "region": "europe-west1"},
    "azure": {"subscription_id": SUBSCRIPTION, "location": "westeurope"},
}
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "azure-cluster": {"admin_group_ids": [PERSON]},
    "azure-data": {"database_admin": {"name": "dba", "object_id": PERSON}, "replica_location": "northeurope"},
}
"""The settings without which a unit cannot be made."""

NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/acme/providers/Microsoft.Network/virtualNetworks/acme"
ANSWERS = {
    "aws": {"aws_vpc.id": "vpc-0a1b2c3d"},
    "google": {"google_compute_network.id": "projects/acme-123/global/networks/acme-dev"},
    "azurerm": {"azurerm_subnet.id": f"{NETWORK}/subnets/GatewaySubnet"},
}
"""What the units look at in one another's outputs, beside what the stub answers anyway."""


def given(unit: str, **settings: Any) -> dict[str, Any]:
    """Return the variables of a unit, but for what other units say; `settings` stand beside those that it needs."""
    cloud = unit.partition("-")[0]
    return {**COMMON, **WHERE[cloud], "settings": {**REQUIRED.get(unit, {}), **settings}}


def given_to_vpn() -> dict[str, Any]:
    """Return the variables of the unit `vpn`, but for what the networks say."""
    everywhere = {f"{cloud}_{name}": value for cloud, about in WHERE.items() for name, value in about.items() if name != "location"}
    return {**COMMON, **everywhere, "gcp_azure_secret": SECRET}


def clouds_of(unit: str) -> tuple[str, ...]:
    """Return the clouds that a unit is on."""
    return tuple(PROVIDERS) if unit == "vpn" else (unit.partition("-")[0],)


def merged_schemas(folder: Path) -> Path:
    """Write, for each provider, the schema of what the clouds' modules and the shared ones use; return the folder."""
    for provider in (source.rpartition("/")[2] for providers in PROVIDERS.values() for source in providers):
        documents = [path for prefix in ("", "shared-") if (path := SCHEMAS / f"{prefix}{provider}.json").exists()]
        merged: dict[str, Any] = {}
        for path in documents:
            document = json.loads(path.read_text())
            ((source, schema),) = document["provider_schemas"].items()
            for kind, types in schema.items():
                merged.setdefault(kind, {}).update(types)
        (folder / f"{provider}.json").write_text(json.dumps(document | {"provider_schemas": {source: merged}}))
        more = SCHEMAS / f"{provider}.more.json"
        told: dict[str, Any] = json.loads(more.read_text()) if more.exists() else {}
        told["answers"] = told.get("answers", {}) | ANSWERS.get(provider, {})
        (folder / more.name).write_text(json.dumps(told))
    return folder


def rooted(unit: str, tmp_path: Path, schemas: Path, real: Path | None = None, environ: Mapping[str, str] | None = None) -> Module:
    """Return a copy of a root with everything it uses beside it, initialised: with stubs, or with the `real` providers of a mirror."""
    modules, left_out = tmp_path / "terraform", ("root", "examples", "tests", ".terraform*", "*.tfstate*")
    if not modules.exists():
        shutil.copytree(shipped("terraform"), modules, ignore=shutil.ignore_patterns(*left_out))
    own = tmp_path / f"providers-of-{unit}"
    own.mkdir()
    root = copied(shipped("terraform") / "root" / unit, modules / "root" / unit)
    providers = {source: version for cloud in clouds_of(unit) for source, version in PROVIDERS[cloud].items()}
    module = Module(root, {**surroundings(Cloud("root", providers, schemas=schemas), own, real), **(environ or {})})
    module.init()
    return module


def give(module: Module, **variables: Any) -> None:
    """Let Terraform take these variables, and no earlier ones."""
    (module.folder / "given.auto.tfvars.json").write_text(json.dumps(variables))


def done(module: Module, *args: str, **variables: str) -> str:
    """Run Terraform in a root, which must succeed; return what it says. `variables` go by the environment."""
    ran = module.run(*args, "-no-color", at=None, **variables)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    return ran.stdout


def planned(module: Module, **variables: str) -> dict[str, Any]:
    """Plan a root, which must succeed; return the plan as `terraform show -json` prints it."""
    done(module, "plan", "-input=false", "-out=plan", **variables)
    document: dict[str, Any] = json.loads(done(module, "show", "-json", "plan"))
    return document


def complaint(module: Module) -> str:
    """Plan a root, which must fail; return what Terraform says, on one line."""
    ran = module.run("plan", "-input=false", "-no-color")
    assert ran.returncode == 1, ran.stdout
    return " ".join(ran.stderr.split())


def creates(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses of what a plan makes."""
    for change in plan.get("resource_changes", []):
        if change["mode"] == "managed" and change["change"]["actions"] == ["create"]:
            yield change["address"]


def made_of(plan: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return what a plan makes of a type, by key."""
    changes = [one for one in plan["resource_changes"] if one["type"] == kind and one["mode"] == "managed"]
    return {one["index"]: one["change"]["after"] for one in changes}


def layer_of(unit: str) -> str:
    """Return the layer of a unit: the name of its output."""
    return unit.rpartition("-")[2]


def needs_of(unit: str) -> tuple[str, ...]:
    """Return the layers whose outputs a unit takes."""
    cloud, layer = unit.split("-")
    return tuple(clouds.NEEDS[cloud][layer])


def preview(module: Module, inputs: Mapping[str, Any], **variables: Any) -> dict[str, Any]:
    """Plan a root with inputs of which some are not known, as `mcml infra plan` does, and leave nothing of that behind."""
    give(module, **variables, **dict.fromkeys(inputs))
    files = {module.folder / name: document for name, document in stand_ins(inputs).items()}
    for path, document in files.items():
        path.write_text(json.dumps(document))
    plan = without_stand_in(planned(module))
    for path in files:
        path.unlink()
    return plan


def keeps(promise: Any, value: Any) -> bool:
    """Tell whether a value is what a plan promised: the same, where that was known, and in the same shape."""
    if isinstance(promise, dict):
        return isinstance(value, dict) and set(promise) == set(value) and all(keeps(promise[key], value[key]) for key in value)
    if isinstance(promise, list):
        return isinstance(value, list) and len(promise) == len(value) and all(map(keeps, promise, value))
    return promise is UNKNOWN or bool(promise == value)
