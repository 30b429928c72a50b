"""Prices and policies on the way from a plan to an apply: on the screen, at the gate, in the journal; on a cloud that the stub plays."""

import json
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict
from mcml.core.paths import shipped
from mcml.core.plan import Plan, Step
from mcml.infra.desk import Tools
from mcml.infra.fleet import Fleet, Plans, open_fleet
from mcml.infra.plans.plan import Planned, read_plan
from mcml.infra.plans.policy import Circumstances, Verdict, evaluate, read_rules
from mcml.infra.plans.pricing import estimate
from mcml.infra.plans.resources import resources_of
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Unit
from mcml.infra.views import overview as views
from tests.infra.clouds import FOLDER, VERSIONS, kept
from tests.infra.rig import Project
from tests.infra.screens import plans_of, screen
from tests.infra.test_command import Typed, mcml  # noqa: F401 - a fixture
from tests.infra.test_pricing import shipped as price_of
from tests.terraform.stub_provider import mirror

RULES = read_rules([shipped("policies")])
UNIT = Unit("data", "prod", ())


def planned(provider: str, kind: str) -> Planned:
    document = kept(provider, kind)
    resources = resources_of(document)
    cost = estimate("data", resources, price_of)
    verdicts = evaluate(RULES, document, Circumstances("data", "prod", resources, cost, Decimal(100)))
    return Planned(UNIT, read_plan(document), Path("plan"), estimate=cost, verdicts=verdicts)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("provider", VERSIONS)
def test_the_worst_plan_fits_on_one_screen(provider: str, width: int) -> None:
    bad = planned(provider, "bad")
    address = 'module.production_europe.module.database["primary"].aws_db_instance.this'
    steps = [Step("replace", "aws_db_instance", f"{address}[{number}]", reason="cannot be changed in place; " * 3) for number in range(200)]
    verdicts = tuple(Verdict("tags", "deny", f"no cost-centre, environment, project {step.name[-4:]}", step.name) for step in steps)
    worst = replace(bad, plan=Plan("infra", tuple(steps)), verdicts=bad.verdicts + verdicts)
    assert 20 <= len(screen(views.plan_document(plans_of(worst)), width)) <= 60
    assert len(screen(views.plan_document(plans_of(bad)), width)) <= 60
    many = Plan("infra", tuple(Step("create", "x", f"x.y{number}") for number in range(300)))
    assert len(screen(views.plan_document(plans_of(replace(bad, plan=many))), width)) <= 60


def test_the_screen_says_what_it_costs_and_what_the_policies_say() -> None:
    shown = "\n".join(screen(views.plan_document(plans_of(planned("google", "bad"))), 160))
    assert "cost  at least 737.75 USD a month (+737.75 USD or more)" in shown
    assert "not in it: 2 without a price, 1 paid by use; mcml infra cost shows which" in shown
    assert "list prices of coroot/cloud-pricing, 2024-08-09" in shown
    assert "google_storage_bucket_iam_member.reader: allUsers may use it" in shown
    assert "google_bigquery_dataset.bills and 3 more: no cost-centre" in shown
    assert shown.index("public-bucket") < shown.index("kubernetes-secrets"), "what denies first"
    assert shown.splitlines()[-1].startswith("7 to create in data in prod; plan ")


def test_the_items_of_a_plan_carry_price_and_verdicts() -> None:
    items = {str(item["name"]): item for item in views.plan_document(plans_of(planned("azurerm", "bad"))).items}
    pool = items["azurerm_kubernetes_cluster_node_pool.gpu"]
    assert (pool["monthly_cost"], pool["monthly_delta"], pool["unpriced"]) == (Decimal("480.340"), Decimal("480.340"), [])
    assert pool["verdicts"] == [
        {"rule": "tags", "severity": "deny", "message": "no cost-centre", "address": pool["name"], "cloud": "azure"}
    ]  # fmt: skip
    about_all = items["plan"]["verdicts"]
    assert [one["rule"] for one in about_all] == ["budget"]  # type: ignore[attr-defined]


def test_what_loses_data_comes_first() -> None:
    kinds = {"aws_vpc": ["delete"], "aws_db_instance": ["delete", "create"], "aws_subnet": ["create"], "aws_s3_bucket": ["delete"]}
    kinds["aws_ebs_volume"] = ["forget"]
    changes = [
        {"address": f"{kind}.x", "type": kind, "mode": "managed", "change": {"actions": actions, "before": {}, "after": {}}}
        for kind, actions in kinds.items()
    ]
    plan = read_plan({"format_version": "1.2", "resource_changes": changes})
    assert [step.kind for step in plan.steps] == ["aws_s3_bucket", "aws_db_instance", "aws_ebs_volume", "aws_vpc", "aws_subnet"]
    shown = screen(views.plan_document(plans_of(Planned(UNIT, plan, Path("plan")))))
    assert [("loses its data" in line) for line in shown[1:6]] == [True, True, False, False, False]


def test_the_cost_document() -> None:
    document = views.cost_document(plans_of(planned("aws", "good")))
    assert document.kind == "InfraCost"
    shown = "\n".join(screen(document, 200))
    assert "data (aws): at least 210.24 USD a month, now 0.00 USD" in shown
    assert "g5.xlarge spot: no price in us-east-1 (on demand 1.006 USD/h each)" in shown
    assert "paid by use" in shown
    assert "list prices of Karpenter provider for AWS, 2026-07-20" in shown
    pool = next(item for item in document.items if item["name"] == 'aws_eks_node_group.pool["general"]')
    assert list(pool) == [
        "name", "unit", "cloud", "kind", "region", "what", "currency", "monthly_before", "monthly_after", "monthly_delta",
        "unpriced_before", "unpriced", "by_use", "prices",
    ]  # fmt: skip
    assert (pool["what"], pool["monthly_after"], pool["region"]) == (["3 x m6i.large"], Decimal("210.240"), "us-east-1")
    free = plans_of(Planned(UNIT, Plan("infra"), Path("plan")))
    assert screen(views.cost_document(free)) == ["nothing  has a price: no resource here belongs to a cloud"]


# With Terraform


@pytest.fixture
def on_aws(project: Project, tmp_path: Path) -> Tools:
    """The tools of a desk for the bad cloud as the module `data`, on the stub of the AWS provider."""
    modules = tmp_path / "modules"
    shutil.copytree(FOLDER / "aws", modules / "data", ignore=shutil.ignore_patterns("*.json", "good.tf"))
    mirror.install(tmp_path / "mirror", "hashicorp/aws", VERSIONS["aws"], FOLDER / "aws" / "schema.json")
    environ = {**project.environ, **mirror.environment(tmp_path / "mirror", tmp_path)}
    tools = Tools(project.binary, modules, environ, project.reporter, project.facts.append)
    return replace(tools, price_of=price_of, rules=RULES, monthly_budget=Decimal(100))


@pytest.mark.slow
def test_a_denied_plan_is_not_applied_until_it_is_accepted(project: Project, on_aws: Tools) -> None:
    unit = Unit("data", "prod", (), {"region": "us-east-1"})
    with open_fleet(Graph((unit,)), Graph((unit,)), project.folders, on_aws) as fleet:
        plans = fleet.plan()
        (plan,) = plans.planned
        rules = sorted({verdict.rule for verdict in plan.verdicts})
        assert rules == ["budget", "deletion-protection", "encryption-at-rest", "public-bucket", "public-database", "tags"]
        (error,) = fleet.apply(plans).failed.values()
        for refused in (error, refusal(fleet, plans, ["other"])):
            assert refused.message.startswith("refused by the policies budget, deletion-protection, ")
            assert "aws_s3_bucket.open: no aws_s3_bucket_public_access_block is about it" in refused.why
            assert "mcml infra apply --accept budget --accept deletion-protection" in refused.next_step
        assert refusal(fleet, plans, [rule for rule in rules if rule != "tags"]).message == "refused by the policy tags"
        assert project.facts == []
        assert fleet.apply(fleet.gate(plans, [*rules, "no-such-rule"])).failed == {}
        assert ("note", "", "--accept no-such-rule: no such policy denies this") in project.reporter.told
        (fact,) = project.facts
        assert (fact.kind, fact.facts["monthly_cost"], fact.facts["monthly_before"]) == ("infra.applied", "210.240", "0")
        accepted = fact.facts["accepted"]
        assert isinstance(accepted, list)
        assert {"rule": "budget", "address": "", "message": "at least 210.24 USD a month, and the budget is 100.00"} in accepted
        assert len(accepted) == len(plan.verdicts)
        again = fleet.plan()
        assert (again.changing, again.estimate.before, again.estimate.uncertain) == ((), Decimal("210.240"), False)
        assert fleet.apply(fleet.gate(again)).failed == {}, "nothing to do, nothing to refuse"


def test_a_newer_root_is_not_held_to_the_providers_of_an_older_one(project: Project, on_aws: Tools) -> None:
    unit = Unit("data", "prod", (), {"region": "us-east-1"})
    work = project.folders.work(unit)
    work.mkdir(parents=True)
    (work / ".terraform.lock.hcl").write_text('provider "registry.terraform.io/hashicorp/aws" {\n  version = "1.0.0"\n}\n')
    with open_fleet(Graph((unit,)), Graph((unit,)), project.folders, on_aws) as fleet:
        assert fleet.init().failed == {}
    assert VERSIONS["aws"] in (work / ".terraform.lock.hcl").read_text()


def refusal(fleet: Fleet, plans: Plans, accepted: list[str]) -> Conflict:
    with pytest.raises(Conflict) as said:
        fleet.gate(plans, accepted)
    return said.value


OWN = """package acme.regions

deny contains {"rule": "regions", "address": c.address, "message": sprintf("%s is not ours", [c.change.after.input.region])} if {
	some c in input.resource_changes
	c.change.after.input.region == "us-1"
}
"""


def test_a_rule_of_ones_own_stops_an_apply(mcml: Typed) -> None:  # noqa: F811
    folder = mcml.project.folder
    (folder / "rules").mkdir()
    (folder / "rules" / "regions.rego").write_text(OWN)
    with (folder / "mcml.toml").open("a") as config:
        config.write('\n[infra]\npolicies = "rules"\nmonthly_budget = 10\n')
    assert mcml("plan") == 0
    assert "us-1 is not ours" in mcml.out
    assert "cost" not in mcml.out, "nothing of a local target has a price"
    assert mcml("apply", "--yes") == 1
    assert "refused by the policy regions" in mcml.err
    assert 'terraform_data.target["us"]: us-1 is not ours' in mcml.err
    assert "mcml infra apply --accept regions" in mcml.err
    assert mcml.project.existing() == set()
    assert mcml("apply", "--yes", "--accept", "regions") == 0
    assert mcml.project.existing() == {"eu", "us"}
    from mcml.store.db import Store

    with Store(f"sqlite:///{mcml.project.state}/mcml.db") as store:
        facts = [entry.facts for entry in store.entries() if entry.kind == "infra.applied"]
    assert [one["rule"] for one in facts[0]["accepted"]] == ["regions"]  # type: ignore[attr-defined]
    (folder / "rules" / "regions.rego").write_text("package acme.regions\n\ndeny contains x if {\n")
    assert mcml("plan") == 2
    assert f"the policy {folder / 'rules' / 'regions.rego'}:3 is broken" in mcml.err
    (folder / "rules" / "regions.rego").unlink()
    assert mcml("plan") == 5
    assert "no policies in" in mcml.err


def test_a_local_target_costs_nothing_that_has_a_price(mcml: Typed) -> None:  # noqa: F811
    assert mcml("cost") == 0
    assert "no resource here belongs to a cloud" in mcml.out
    assert mcml("cost", "-o", "json") == 0
    assert json.loads(mcml.out) == {"kind": "InfraCost", "version": 1, "items": []}
