"""From settings to units and Terraform variables."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import McmlError, Usage
from mcml.core.schema import Settings
from mcml.infra.units.units import Folders, Input, Unit, units_of

PROJECT, STATE = Path("/srv/acme"), Path("/srv/acme/.mcml")


def settings(**more: Any) -> Settings:
    targets = {"eu": {"provider": "local", "region": "eu-1"}, "us": {"provider": "local"}}
    return Settings.model_validate({"name": "acme", "targets": targets} | more)


def unit(**more: Any) -> Unit:
    (found,) = units_of(settings(**more), PROJECT, STATE, python="python3")
    return found


def test_the_local_unit() -> None:
    found = unit()
    assert (found.name, found.environment, found.targets) == ("local", "dev", ("eu", "us"))
    assert found.variables == {
        "project": "acme",
        "environment": "dev",
        "root": "../../local",
        "python": "python3",
        "targets": {"eu": {"region": "eu-1"}, "us": {"region": ""}},
    }


def test_settings_of_the_provider_reach_terraform() -> None:
    found = unit(providers={"local": {"ports_per_target": 3}}, infra={"environment": "prod"})
    assert found.variables["targets"] == {"eu": {"region": "eu-1", "ports": 3}, "us": {"region": "", "ports": 3}}
    assert (found.environment, found.variables["environment"]) == ("prod", "prod")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("", "../../local"),
        (".mcml/elsewhere", "../../elsewhere"),
        ("data/local", "/srv/acme/data/local"),
        ("/var/lib/mcml", "/var/lib/mcml"),
    ],
)
def test_a_root_in_the_state_folder_moves_with_the_project(root: str, expected: str) -> None:
    assert unit(providers={"local": {"root": root}}).variables["root"] == expected


def test_no_targets_is_a_unit_that_makes_none() -> None:
    assert unit(targets={}).variables["targets"] == {}


VPC = "aws-network.network.vpc_id"
CLOUDS: dict[str, Any] = {
    "providers": {"gcp": {"project": "acme-1"}, "aws": {"role_arn": "arn:aws:iam::1:role/mcml"}},
    "targets": {"eks": {"provider": "aws", "region": "eu-west-1"}, "gke": {"provider": "gcp", "region": "europe-west1"}},
    "infra": {
        "team": "risk",
        "cost_centre": "4711",
        "profile": "prod",
        "clouds": {"aws": {"settings": {"cluster": {"gpu": {"max": 2}}}}, "gcp": {"region": "europe-west4", "layers": ["network", "data"]}},
        "units": {"dns": {"module": "infra/dns", "inputs": {"vpc": VPC}, "after": ["gcp-data"], "variables": {"ttl": 60}}},
    },
}


def all_units(**infra: Any) -> dict[str, Unit]:
    given = CLOUDS | {"infra": CLOUDS["infra"] | infra}
    return {found.name: found for found in units_of(settings(**given), PROJECT, STATE)}


def test_a_cloud_has_a_unit_for_each_layer() -> None:
    units = all_units()
    assert list(units) == ["local", "aws-network", "aws-cluster", "aws-data", "aws-ml", "gcp-network", "gcp-data", "dns"]
    cluster = units["aws-cluster"]
    assert (cluster.module, cluster.cloud, cluster.layer, cluster.inputs) == (
        "root/aws-cluster", "aws", "cluster", {"network": Input("aws-network", ("network",))},
    )  # fmt: skip
    assert cluster.variables == {
        "project": "acme", "environment": "dev", "team": "risk", "cost_centre": "4711", "part": None, "more_tags": {}, "profile": "prod",
        "region": "eu-west-1", "settings": {"gpu": {"max": 2}}, "login": {"role_arn": "arn:aws:iam::1:role/mcml"},
    }  # fmt: skip
    assert units["gcp-data"].variables["region"] == "europe-west4"
    assert units["gcp-data"].variables["project_id"] == "acme-1"
    assert units["gcp-data"].needs == ("gcp-network",), "a layer that is not made is not waited for"
    assert set(units["aws-ml"].needs) == {"aws-network", "aws-cluster", "aws-data"}


def test_a_root_of_ones_own() -> None:
    dns = all_units()["dns"]
    assert (dns.own, dns.module, dns.variables) == (True, "/srv/acme/infra/dns", {"ttl": 60})
    assert dns.inputs == {"vpc": Input("aws-network", ("network", "vpc_id"))}
    assert dns.needs == ("aws-network", "gcp-data")
    folders = Folders(STATE)
    assert folders.work(dns) == PROJECT / "infra/dns", "Terraform runs in it"
    assert folders.home(dns) == STATE / "infra/own/dns", "what is ours is not in it"
    assert folders.tfstate(dns) == PROJECT / "infra/dns/terraform.tfstate.d/dev/terraform.tfstate"


@pytest.mark.parametrize(
    ("infra", "said", "step"),
    [
        ({"team": ""}, "mcml.toml does not set infra.team", "set it under [infra]"),
        ({"clouds": {"aws": {"layers": ["network", "ml"]}}}, "infra.clouds.aws.layers has ml without data", 'add "data"'),
        ({"clouds": {"azure": {"region": "westeurope"}}}, "providers.azure.subscription is not set", "[providers.azure]"),
        ({"clouds": {"azure": {}}}, "no region for the infrastructure of azure", "set region under [infra.clouds.azure]"),
        ({"units": {"aws-ml": {"module": "x"}}}, "infra.units.aws-ml has the name of a unit of mcml", ""),
        ({"units": {"dns": {"module": "x", "after": ["aws-netwrok"]}}}, "no unit named 'aws-netwrok'", "mend infra.units.dns"),
        ({"units": {"dns": {"module": "x", "inputs": {"v": "aws-ml"}}}}, "infra.units.dns.inputs.v = 'aws-ml' names no output", "v ="),
    ],
)  # fmt: skip
def test_what_mcml_toml_does_not_say_is_asked_for(infra: dict[str, Any], said: str, step: str) -> None:
    with pytest.raises(McmlError) as refused:
        all_units(**infra)
    assert refused.value.message == said
    assert step in refused.value.next_step


def test_targets_of_a_cloud_in_two_regions_need_a_choice() -> None:
    targets = CLOUDS["targets"] | {"eks-2": {"provider": "aws", "region": "us-east-1"}}
    with pytest.raises(Usage, match="no region for the infrastructure of aws") as refused:
        units_of(settings(**(CLOUDS | {"targets": targets})), PROJECT, STATE)
    assert refused.value.why.startswith("its targets lie in eu-west-1, us-east-1")


def test_every_environment_has_a_state_of_its_own() -> None:
    folders, local = Folders(STATE), Unit("local", "dev")
    assert folders.tfstate(local) == STATE / "infra/local/terraform.tfstate.d/dev/terraform.tfstate"
    assert folders.tfstate(local) != folders.tfstate(replace(local, environment="prod"))
    assert folders.tfstate(replace(local, environment="default")) == STATE / "infra/local/terraform.tfstate"
    assert folders.data(local) == STATE / "infra/local/.terraform"


ALL_THREE: dict[str, Any] = {
    "providers": {"gcp": {"project": "acme-1"}, "azure": {"subscription": "s-1"}},
    "infra": {
        "team": "risk", "cost_centre": "1", "vpn": True, "clouds": {name: {"region": f"{name}-1"} for name in ("aws", "gcp", "azure")},
    },
}  # fmt: skip


def test_the_vpn_is_a_unit_behind_the_three_networks() -> None:
    vpn = units_of(settings(**ALL_THREE), PROJECT, STATE)[-1]
    assert (vpn.name, vpn.module, vpn.accounts, vpn.cloud) == ("vpn", "root/vpn", ("aws", "gcp", "azure"), "")
    assert vpn.needs == ("aws-network", "gcp-network", "azure-network")
    assert vpn.variables["aws_region"] == "aws-1"
    assert (vpn.variables["gcp_project_id"], vpn.variables["azure_subscription_id"]) == ("acme-1", "s-1")
    two = ALL_THREE | {"infra": ALL_THREE["infra"] | {"clouds": {"aws": {"region": "a"}, "gcp": {"region": "b"}}}}
    with pytest.raises(Usage, match="joins the networks of three clouds") as refused:
        units_of(settings(**two), PROJECT, STATE)
    assert refused.value.why == "no network is made on azure"


def test_a_secret_is_taken_from_the_environment() -> None:
    units = all_units(secrets={"gcp-data": {"postgres_admin_password": "PG_ADMIN"}})
    assert units["gcp-data"].secrets == {"postgres_admin_password": "PG_ADMIN"}
    assert units["gcp-network"].secrets == {}
    with pytest.raises(McmlError, match="no unit named 'gcp-ml'"):
        all_units(secrets={"gcp-ml": {"x": "Y"}})


@pytest.mark.parametrize(
    ("said", "login"),
    [
        ({}, {}),
        ({"account": "123456789012"}, {"account_id": "123456789012"}),
        (
            {"account": "123456789012", "profile": "work", "role_arn": "arn:aws:iam::123456789012:role/ml"},
            {"account_id": "123456789012", "profile": "work", "role_arn": "arn:aws:iam::123456789012:role/ml"},
        ),
    ],
    ids=["none", "account", "all"],
)
def test_terraform_is_told_which_account_of_aws_it_must_be(said: dict[str, str], login: dict[str, str]) -> None:
    infra = {"team": "risk", "cost_centre": "4711", "clouds": {"aws": {"region": "eu-central-1"}}}
    made = units_of(settings(providers={"aws": said}, infra=infra), PROJECT, STATE, python="python3")
    assert [unit.variables["login"] for unit in made if unit.cloud == "aws"] == [login] * 4
