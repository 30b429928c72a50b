"""Adopting what is there into a state, on a real Terraform: planned, applied, refused, and nothing left of it in the root."""

import json
from typing import Any

import pytest

from mcml.core.errors import McmlError
from mcml.infra.units.units import Unit
from tests.infra.rig import Project
from tests.infra.test_fleet import own, steps

ROOT = 'resource "terraform_data" "kept" {}\nresource "terraform_data" "other" {}\n'
KEPT = "terraform_data.kept"
FOUND = "5d5a3c1c-0000-4000-8000-00000000beef"


def state(project: Project, unit: Unit) -> dict[str, Any]:
    document = json.loads(project.folders.tfstate(unit).read_text())
    return {one["name"]: one["instances"][0]["attributes"]["id"] for one in document["resources"]}


def in_root(project: Project) -> list[str]:
    """The files of the root without its states, whose folder Terraform makes at any plan."""
    root, ours = project.folder / "roots" / "extra", (".terraform.lock.hcl", "terraform.tfstate")
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name not in ours)


def adopted(project: Project, unit: Unit) -> None:
    with project.fleet(unit) as fleet:
        assert fleet.adopt(fleet.gate(fleet.plan_import(KEPT, FOUND)), KEPT, FOUND).failed == {}


def test_what_is_adopted_is_in_the_state_and_said(project: Project) -> None:
    unit = own(project, "extra", ROOT)
    adopted(project, unit)
    assert state(project, unit)["kept"] == FOUND
    (fact,) = [one for one in project.facts if one.kind == "infra.imported"]
    assert {name: fact.facts[name] for name in ("environment", "unit", "address", "id")} == {
        "environment": "dev", "unit": "extra", "address": KEPT, "id": FOUND,
    }  # fmt: skip
    assert fact.facts["digest"]
    assert in_root(project) == ["main.tf"], "nothing of the import is left in the root"
    with project.fleet(unit) as fleet:
        assert steps(fleet.plan()) == {"extra": []}


def test_a_plan_of_an_import_changes_nothing(project: Project) -> None:
    unit = own(project, "extra", ROOT)
    with project.fleet(unit) as fleet:
        plans = fleet.plan_import(KEPT, FOUND)
        plans.raise_failures("mcml infra plan")
    assert not project.folders.tfstate(unit).exists()
    assert in_root(project) == ["main.tf"]
    assert project.facts == []


def test_an_address_that_is_in_the_state_is_refused(project: Project) -> None:
    unit = own(project, "extra", ROOT)
    adopted(project, unit)
    with project.fleet(unit) as fleet:
        error = fleet.plan_import(KEPT, "another").results.failed["extra"]
    assert error.message == f"{KEPT} is in the state of extra already"
    assert state(project, unit)["kept"] == FOUND


@pytest.mark.parametrize("address", ["terraform_data.absent", "nonsense", 'terraform_data.kept" }'])
def test_an_address_that_is_not_in_the_configuration_leaves_nothing(project: Project, address: str) -> None:
    unit = own(project, "extra", ROOT)
    with project.fleet(unit) as fleet:
        error = fleet.plan_import(address, FOUND).results.failed["extra"]
    assert isinstance(error, McmlError)
    assert error.next_step
    assert in_root(project) == ["main.tf"]
    assert not project.folders.tfstate(unit).exists()
