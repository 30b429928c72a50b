"""Several units as one, on a real Terraform: true plans before anything exists, overlap, failures, destroys."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import Conflict, NotFound, PartlyDone
from mcml.core.plan import Step
from mcml.infra.fleet import Plans, combined
from mcml.infra.states.state import State
from mcml.infra.terraform.runner import Control
from mcml.infra.units.units import Input, Unit
from mcml.infra.units.wiring import UNKNOWN
from tests.infra.rig import Project

NETWORK = """
variable "size" {}
resource "terraform_data" "vpc" { input = "10.0.0.0/${var.size}" }
resource "terraform_data" "subnet" {
  count            = 2
  triggers_replace = var.size
}
output "network" {
  value = { id = terraform_data.vpc.id, cidr = terraform_data.vpc.input, subnets = terraform_data.subnet[*].id }
}
"""
CLUSTER = """
variable "network" { type = object({ id = string, cidr = string, subnets = list(string) }) }
locals {
  network = var.network
}
resource "terraform_data" "cluster" {
  triggers_replace = local.network.id
  input            = { cidr = local.network.cidr }
}
resource "terraform_data" "node" {
  count = length(local.network.subnets)
  input = local.network.subnets[count.index]
}
output "cluster" { value = { name = "c-${terraform_data.cluster.input.cidr}", id = terraform_data.cluster.id } }
"""


def own(project: Project, name: str, text: str, inputs: Mapping[str, str] | None = None, **variables: Any) -> Unit:
    """A root of one's own in the project's folder."""
    folder = project.folder / "roots" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.tf").write_text(text)
    wired = {variable: Input(*_split(written)) for variable, written in (inputs or {}).items()}
    return Unit(name, project.environment, variables=variables, module=str(folder), own=True, inputs=wired)


def _split(written: str) -> tuple[str, tuple[str, ...]]:
    unit, *path = written.split(".")
    return unit, tuple(path)


def chain(project: Project, size: int = 16) -> tuple[Unit, Unit]:
    return own(project, "net", NETWORK, size=size), own(project, "eks", CLUSTER, {"network": "net.network"})


def steps(plans: Plans) -> dict[str, list[str]]:
    return {one.unit.name: [f"{step.action} {step.name}" for step in one.plan.changes] for one in plans.planned}


def state_of(project: Project, unit: Unit) -> Any:
    return json.loads(project.folders.tfstate(unit).read_text())


ALL = {
    "net": ["create terraform_data.subnet[0]", "create terraform_data.subnet[1]", "create terraform_data.vpc"],
    "eks": ["create terraform_data.cluster", "create terraform_data.node[0]", "create terraform_data.node[1]"],
}


def test_a_plan_before_anything_exists_is_true_and_so_is_what_is_applied(project: Project) -> None:
    units = chain(project)
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert steps(plans) == ALL, "as many nodes as there will be subnets, whose ids nobody knows"
        net, eks = plans.planned
        assert (net.waits_for, eks.waits_for) == ((), ("net",))
        assert eks.inputs == {"network": {"cidr": "10.0.0.0/16", "id": UNKNOWN, "subnets": [UNKNOWN, UNKNOWN]}}
        assert fleet.apply(_only(plans, "eks")).failed["eks"].message == "eks takes outputs of net, which is not applied"
        assert not project.folders.tfstate(units[1]).exists()
        results = fleet.apply(fleet.gate(plans))
        assert (list(results.done), results.failed) == (["net", "eks"], {})
        assert results.done["eks"].planned.waits_for == ()
    made = state_of(project, units[1])
    assert {resource["name"] for resource in made["resources"]} == {"cluster", "node"}, "no stand-in was applied"
    assert made["outputs"]["cluster"]["value"]["name"] == "c-10.0.0.0/16"
    assert [(fact.kind, fact.facts["unit"], fact.facts["create"]) for fact in project.facts] == [
        ("infra.applied", "net", 3), ("infra.applied", "eks", 3),
    ]  # fmt: skip
    assert sorted(path.name for path in (project.folder / "roots" / "eks").iterdir() if path.name.startswith(".")) == []
    with project.fleet(*units) as fleet:
        assert steps(fleet.plan()) == {"net": [], "eks": []}


def _only(plans: Plans, name: str) -> Plans:
    return replace(plans, results=replace(plans.results, done={name: plans.results.done[name]}))


def test_what_is_not_known_of_something_that_exists_is_planned_on_its_state(project: Project) -> None:
    """A replaced network: the cluster is replaced, its nodes change, and that is said before; then it happens so."""
    units = chain(project)
    with project.fleet(*units) as fleet:
        fleet.apply(fleet.plan())
    with project.fleet(*chain(project, size=20)) as fleet:
        plans = fleet.plan()
        assert steps(plans) == {
            "net": ["replace terraform_data.subnet[0]", "replace terraform_data.subnet[1]", "update terraform_data.vpc"],
            "eks": ["update terraform_data.cluster", "update terraform_data.node[0]", "update terraform_data.node[1]"],
        }
        assert plans.planned[1].inputs["network"]["id"] != UNKNOWN, "the network itself stays, and is known"
        assert fleet.apply(plans).failed == {}
    outputs = state_of(project, units[1])["outputs"]
    assert outputs["cluster"]["value"]["name"] == "c-10.0.0.0/20"


def test_only_units_whose_inputs_changed_plan_again(project: Project) -> None:
    units = (own(project, "net", NETWORK, size=16), own(project, "dns", DNS, {"cidr": "net.network.cidr"}))
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert plans.planned[1].waits_for == (), "the range is known before anything exists"
        project.reporter.told.clear()
        assert fleet.apply(plans).failed == {}
    assert [key for verb, key, text in project.reporter.told if text == "planning"] == []
    assert state_of(project, units[1])["resources"][0]["instances"][0]["attributes"]["input"]["value"] == "10.0.0.0/16"


DNS = """
variable "cidr" {}
locals {
  cidr = var.cidr
}
resource "terraform_data" "zone" { input = local.cidr }
"""


def test_an_input_that_is_read_otherwise_cannot_be_planned_ahead(project: Project) -> None:
    """A root that uses the variable itself: it is said, and nothing of it is applied unseen; the second run shows it."""
    otherwise = DNS.replace("local.cidr", "var.cidr").replace("cidr = var.cidr", "other = 1")
    units = (own(project, "net", NETWORK, size=16), own(project, "dns", otherwise, {"cidr": "net.network.id"}))
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert [(one.unit.name, one.shown, one.waits_for) for one in plans.planned] == [("net", True, ()), ("dns", False, ("net",))]
        results = fleet.apply(plans)
        error = combined(results, "applied", "mcml infra apply")
    assert isinstance(error, PartlyDone)
    assert error.message == "failed: dns; applied: net"
    assert "the plan of dns was not shown yet (it could not be planned before net)" in error.why
    assert error.next_step.endswith("mcml infra apply    # continues")
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert steps(plans)["dns"] == ["create terraform_data.zone"]
        assert fleet.apply(plans).failed == {}


def test_a_second_plan_that_does_more_than_was_shown_is_not_applied(project: Project) -> None:
    units = chain(project)
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        more = project.folder / "roots" / "eks" / "more.tf"
        more.write_text('resource "terraform_data" "surprise" {}\n')
        results = fleet.apply(plans)
        assert list(results.done) == ["net"]
        assert results.failed["eks"].message == "the plan of eks is not the one that was shown"
        assert results.failed["eks"].why == "now also: create terraform_data.surprise"
    assert not project.folders.tfstate(units[1]).exists()


BROKEN = """
resource "terraform_data" "first" {}
resource "terraform_data" "broken" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "exit 3" }
}
output "x" { value = terraform_data.broken.id }
"""


def test_one_fails_in_the_middle_and_two_go_on(project: Project) -> None:
    units = (
        own(project, "a", BROKEN),
        own(project, "b", NETWORK, size=8),
        own(project, "c", NETWORK, size=9),
        own(project, "on-a", DNS, {"cidr": "a.x"}),
    )
    with project.fleet(*units, filters=("a", "b", "c", "on-a")) as fleet:
        results = fleet.apply(fleet.plan())
        error = combined(results, "applied", fleet.tools.command("apply"))
    assert isinstance(error, PartlyDone)
    assert error.message == "failed: a; applied: b, c; not begun: on-a"
    assert "1 of 2 changes done; half-done: terraform_data.broken" in error.why
    assert error.next_step == "mcml infra apply a b c on-a    # continues"
    (project.folder / "roots" / "a" / "main.tf").write_text(BROKEN.replace("exit 3", "true"))
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert steps(plans) == {"a": ["replace terraform_data.broken"], "b": [], "c": [], "on-a": ["create terraform_data.zone"]}
        assert fleet.apply(plans).failed == {}


def test_a_plan_that_fails_hides_no_other(project: Project) -> None:
    units = (own(project, "a", "resource nonsense {"), own(project, "b", NETWORK, size=8), own(project, "on-a", DNS, {"cidr": "a.x"}))
    with project.fleet(*units) as fleet:
        plans = fleet.plan()
        assert list(plans.results.done) == ["b"]
        with pytest.raises(PartlyDone, match="failed: a; planned: b; not begun: on-a"):
            plans.raise_failures("mcml infra plan")


def test_a_part_takes_the_rest_from_what_is_applied(project: Project) -> None:
    units = chain(project)
    with project.fleet(*units, filters=["eks"]) as fleet:
        (error,) = fleet.plan().results.failed.values()
        assert isinstance(error, NotFound)
        assert error.message == "eks takes outputs of net, which is not applied"
        assert error.next_step.startswith("mcml infra apply ...eks")
    with project.fleet(*units, filters=["net"]) as fleet:
        fleet.apply(fleet.plan())
    with project.fleet(*units, filters=["eks"]) as fleet:
        plans = fleet.plan()
        assert steps(plans) == {"eks": ALL["eks"]}
        assert plans.planned[0].waits_for == ()
        assert fleet.apply(plans).failed == {}


def test_a_destroy_goes_backwards_and_needs_nothing_of_what_is_gone(project: Project) -> None:
    units = chain(project)
    with project.fleet(*units) as fleet:
        fleet.apply(fleet.plan())
        project.facts.clear()
        plans = fleet.plan(destroy=True)
        assert {name: len(found) for name, found in steps(plans).items()} == {"net": 3, "eks": 3}
        assert fleet.apply(plans).failed == {}
    assert [(fact.kind, fact.facts["unit"]) for fact in project.facts] == [("infra.destroyed", "eks"), ("infra.destroyed", "net")]
    with project.fleet(*units) as fleet:
        fleet.apply(fleet.plan())
        fleet.apply(_only(fleet.plan(destroy=True), "net"))  # as if somebody else did
    with project.fleet(*units) as fleet:
        plans = fleet.plan(destroy=True)
        assert [error.why for error in plans.results.failed.values()] == []
        assert {name: len(found) for name, found in steps(plans).items()} == {"net": 0, "eks": 3}
        assert fleet.apply(plans).failed == {}
    assert state_of(project, units[1])["resources"] == []


def test_what_others_stand_on_is_not_destroyed(project: Project) -> None:
    units = chain(project)
    with project.fleet(*units) as fleet:
        fleet.apply(fleet.plan())
    with project.fleet(*units, filters=["net"]) as fleet:
        (error,) = fleet.plan(destroy=True).results.failed.values()
    assert (error.message, error.why) == ("net cannot be destroyed", "eks needs it, and has 3 resources")
    assert error.next_step.startswith("mcml infra destroy net...")


def test_three_units_wait_together(project: Project, tmp_path: Path) -> None:
    """Each waits until all three have begun: one after the other they would wait for ever."""
    wait = f"touch {tmp_path}/NAME.begun; until [ $(ls {tmp_path}/*.begun | wc -l) = 3 ]; do sleep 0.02; done"
    text = f'resource "terraform_data" "x" {{\n  provisioner "local-exec" {{ command = "{wait}" }}\n}}\n'
    units = [own(project, name, text.replace("NAME", name)) for name in "abc"]
    with project.fleet(*units, time_left=lambda: 60.0) as fleet:
        results = fleet.apply(fleet.plan())
    assert results.failed == {}
    assert {verb for verb, key, _ in project.reporter.told if key == "b: terraform_data.x"} >= {"start", "finish"}


def test_the_policies_look_at_all_units_together(project: Project) -> None:
    from decimal import Decimal

    from mcml.core.paths import shipped
    from mcml.infra.plans.policy import read_rules

    units = (own(project, "b", NETWORK, size=8), own(project, "c", NETWORK, size=9))
    denied = '{"rule": "named", "address": c.address, "message": "no"}'
    rule = f"package acme.many\n\ndeny contains {denied} if some c in input.resource_changes\n"
    (project.folder / "rules").mkdir()
    (project.folder / "rules" / "named.rego").write_text(rule)
    rules = read_rules([shipped("policies"), project.folder / "rules"])
    with project.fleet(*units, rules=rules, monthly_budget=Decimal(5)) as fleet:
        plans = fleet.plan()
        assert plans.verdicts == (), "nothing costs"
        with pytest.raises(Conflict) as refused:
            fleet.gate(plans)
        assert "named: b: terraform_data.vpc: no" in refused.value.why
        assert "named: c: terraform_data.vpc: no" in refused.value.why
        assert fleet.apply(fleet.gate(plans, ["named"])).failed == {}
    assert all(fact.facts["accepted"] for fact in project.facts)


def test_surprises_are_what_was_not_shown() -> None:
    from mcml.core.plan import Plan
    from mcml.infra.plans.plan import Planned

    def planned(*done: Step) -> Planned:
        return Planned(Unit("a", "dev"), Plan("infra", done), Path("x"))

    create, replace_ = Step("create", "t", "a.b"), Step("replace", "t", "a.b")
    assert planned(create).surprises(planned(create)) == ()
    assert planned(create).surprises(planned()) == ()
    assert planned(create).surprises(planned(replace_)) == (replace_,)




SECRET = """
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "x" { input = sha256(var.password) }
output "password" {
  value     = var.password
  sensitive = true
}
"""


def test_a_secret_reaches_terraform_and_nothing_else(project: Project) -> None:
    unit = replace(own(project, "db", SECRET), secrets={"password": "DB_PASSWORD"})
    behind = own(project, "dns", DNS, {"cidr": "db.password"})
    with project.fleet(unit) as fleet:
        (error,) = fleet.plan().results.failed.values()
        assert error.message == "the environment variable DB_PASSWORD is not set"
        assert error.next_step.startswith("export DB_PASSWORD=...")
    with project.fleet(unit, behind, environ=dict(project.environ) | {"DB_PASSWORD": "hunter2-hunter2"}) as fleet:
        plans = fleet.plan()
        assert plans.results.failed["dns"].message == "dns needs db.password, and db has no password", "a sensitive output is not handed on"
        assert fleet.apply(plans).failed == {}
        ours = [path for path in project.state.rglob("*") if path.is_file() and path.name != "plan" and path.suffix != ".tfstate"]
        assert [path for path in ours if b"hunter2-hunter2" in path.read_bytes()] == [], "a state holds its outputs, and nothing else does"
    assert "hunter2-hunter2" not in repr(project.facts) + repr(project.reporter.told)


def test_a_unit_may_be_asked_twice_at_once(project: Project) -> None:
    """Drift does: each unit is compared, and what is in any state is known, at the same time."""
    units = chain(project)
    with project.fleet(*units) as fleet:
        fleet.apply(fleet.plan())
        control = Control(project.reporter)
        desks = [fleet._desk(unit, control) for unit in fleet.graph.units for _ in range(3)]

        async def asked() -> list[State]:
            return list(await asyncio.gather(*(desk.read() for desk in desks)))

        assert {state.resources for state in asyncio.run(asked())} == {3}
