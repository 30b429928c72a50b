"""From settings to units and Terraform variables."""

from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import ProviderCannot
from mcml.core.schema import Settings
from mcml.infra.units import Folders, Unit, require_built, units_of

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


def test_a_provider_without_infra_is_named_with_its_targets() -> None:
    targets = {"eu": {"provider": "local"}, "aws-1": {"provider": "aws"}, "aws-2": {"provider": "aws"}}
    with pytest.raises(ProviderCannot) as refused:
        require_built(settings(targets=targets))
    assert refused.value.message == "cannot make the infrastructure of aws-1 (aws), aws-2 (aws)"
    assert "not there yet" in refused.value.why
    assert unit(targets=targets).targets == ("eu",)
    require_built(settings())


def test_every_environment_has_a_state_of_its_own() -> None:
    folders = Folders(STATE)
    assert folders.tfstate("local", "dev") == STATE / "infra/local/terraform.tfstate.d/dev/terraform.tfstate"
    assert folders.tfstate("local", "dev") != folders.tfstate("local", "prod")
    assert folders.tfstate("local", "default") == STATE / "infra/local/terraform.tfstate"
    assert folders.tfvars("local", "dev") == STATE / "infra/local/dev.tfvars.json"
