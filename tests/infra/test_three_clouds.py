"""The roots of three clouds as units of one project, on stubs of their providers: planned, applied and destroyed as one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mcml.core.schema import Settings
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Unit, units_of
from tests.infra.rig import Project
from tests.terraform.roots import PERSON, PROVIDERS, SECRET, SUBSCRIPTION, merged_schemas
from tests.terraform.stub_provider import mirror

SETTINGS: dict[str, Any] = {
    "name": "acme",
    "providers": {"gcp": {"project": "acme-123"}, "azure": {"subscription": SUBSCRIPTION}},
    "infra": {
        "team": "risk",
        "cost_centre": "4711",
        "vpn": True,
        "secrets": {"vpn": {"gcp_azure_secret": "VPN_SECRET"}},
        "clouds": {
            "aws": {"region": "eu-central-1"},
            "gcp": {"region": "europe-west1"},
            "azure": {
                "region": "westeurope",
                "settings": {
                    "network": {"gateway_subnet": True},
                    "cluster": {"admin_group_ids": [PERSON]},
                    "data": {"database_admin": {"name": "dba", "object_id": PERSON}, "replica_location": "northeurope"},
                },
            },
        },
    },
}


@pytest.fixture
def clouds(project: Project, tmp_path: Path) -> Project:
    """A project whose Terraform finds stubs of four providers, and nothing else."""
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    merged_schemas(schemas)
    for source, version in (pair for providers in PROVIDERS.values() for pair in providers.items()):
        name = source.rpartition("/")[2]
        more = schemas / f"{name}.more.json"
        mirror.install(tmp_path / "mirror", source, version, schemas / f"{name}.json", more if more.exists() else None)
    project.environ = {**os.environ, **mirror.environment(tmp_path / "mirror", tmp_path), "VPN_SECRET": SECRET}
    return project


def units(project: Project) -> tuple[Unit, ...]:
    made = units_of(Settings.model_validate(SETTINGS), project.folder, project.state)
    return tuple(unit for unit in made if unit.name != "local")


def counts(plans: Any) -> Mapping[str, int]:
    return {planned.unit.name: len(planned.plan.changes) for planned in plans.planned}


@pytest.mark.slow
def test_thirteen_units_are_planned_before_anything_exists_and_made_as_planned(clouds: Project) -> None:
    made = Graph(units(clouds))
    with clouds.fleet(*made.units) as fleet:
        plans = fleet.plan()
        assert {name: f"{error.message}: {error.why}" for name, error in plans.results.failed.items()} == {}
        shown = counts(plans)
        assert len(shown) == 13
        assert min(shown.values()) > 3, "a network, a cluster, data and what works on them are more than a few resources each"
        waits = {planned.unit.name: planned.waits_for for planned in plans.planned if planned.waits_for}
        assert waits["aws-ml"] == ("aws-cluster", "aws-data", "aws-network")
        assert waits["vpn"] == ("aws-network", "azure-network", "gcp-network")
        results = fleet.apply(fleet.gate(plans))
        assert {name: f"{error.message}: {error.why}" for name, error in results.failed.items()} == {}
        done = {name: len(applied.planned.plan.changes) for name, applied in results.done.items()}
        assert done == shown, "what was shown is what was done"
    with clouds.fleet(*made.units) as fleet:
        assert set(counts(fleet.plan()).values()) == {0}
        plans = fleet.plan(destroy=True)
        assert {name: f"{error.message}: {error.why}" for name, error in plans.results.failed.items()} == {}
        assert counts(plans) == shown
        assert fleet.apply(plans).failed == {}
    order = [fact.facts["unit"] for fact in clouds.facts if fact.kind == "infra.destroyed"]
    for unit in made.units:
        assert all(order.index(unit.name) < order.index(needed) for needed in unit.needs)
    for unit in made.units:
        assert '"resources": []' in clouds.folders.tfstate(unit).read_text()
