"""The policy gate: every shipped rule on a good and on a bad plan that Terraform made, rules of one's own, and rules that are broken."""

import json
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import Conflict, NotFound, Usage
from mcml.core.paths import shipped
from mcml.infra.plans import policy
from mcml.infra.plans.policy import Circumstances, RuleFile, Verdict, denied, evaluate, read_rules, refuse
from mcml.infra.plans.pricing import Charge, Estimate, Line
from mcml.infra.plans.resources import resources_of
from tests.infra.clouds import VERSIONS, kept, planned

SHIPPED = read_rules([shipped("policies")])
CLOUDS = {"aws": "aws", "google": "gcp", "azurerm": "azure"}


def costing(monthly: str, *unpriced: str) -> Estimate:
    return Estimate((Line("u", "aws", "a.b", "a", "r", Charge(), Charge(Decimal(monthly), unpriced=unpriced)),))


def judged(
    document: Mapping[str, Any],
    environment: str = "prod",
    rules: tuple[RuleFile, ...] = SHIPPED,
    *,
    estimate: Estimate | None = None,
    budget: str = "",
) -> tuple[Verdict, ...]:
    about = Circumstances("data", environment, resources_of(document), estimate or Estimate(), Decimal(budget) if budget else None)
    return evaluate(rules, document, about)


@pytest.mark.parametrize("provider", VERSIONS)
def test_a_good_cloud_passes_every_rule(provider: str) -> None:
    assert judged(kept(provider, "good")) == ()


@pytest.mark.parametrize("provider", VERSIONS)
@pytest.mark.parametrize("which", ["good", "bad"])
def test_compiled_rules_say_what_the_rules_say(provider: str, which: str) -> None:
    ready = policy._ready(SHIPPED)
    assert ready.bundle is not None
    document = kept(provider, which)
    told = policy._told(document, Circumstances("data", "prod", resources_of(document), Estimate()))
    compiled = ready.answers(told)
    assert compiled == policy._bindings(lambda: ready.interpreter.query(ready.query))
    assert any(compiled.values()) or which == "good"


EXPECTED = {
    "aws": {
        "deletion-protection": {
            'aws_s3_bucket.models["data"]', 'aws_s3_bucket.models["models"]', "module.database.aws_db_instance.this",
        },
        "encryption-at-rest": {
            "aws_ebs_volume.scratch", "aws_elasticache_replication_group.cache", "aws_launch_template.node",
            "module.database.aws_db_instance.this",
        },
        "public-bucket": {
            "aws_s3_bucket.open", "aws_s3_bucket_acl.open", 'aws_s3_bucket_public_access_block.models["data"]',
            'aws_s3_bucket_public_access_block.models["models"]',
        },
        "public-database": {"module.database.aws_db_instance.this"},
        "tags": {
            "aws_ebs_volume.scratch", 'aws_eks_node_group.pool["general"]', 'aws_eks_node_group.pool["gpu"]',
            "aws_elasticache_replication_group.cache", "aws_launch_template.node", "aws_nat_gateway.out", 'aws_s3_bucket.models["data"]',
            'aws_s3_bucket.models["models"]', "aws_s3_bucket.open", "module.database.aws_db_instance.this",
        },
    },
    "google": {
        "deletion-protection": {"google_sql_database_instance.main", "google_storage_bucket.models"},
        "kubernetes-secrets": {"google_container_cluster.main"},
        "public-bucket": {"google_storage_bucket.models", "google_storage_bucket_iam_member.reader"},
        "public-database": {"google_sql_database_instance.main"},
        "tags": {
            "google_bigquery_dataset.bills", "google_container_cluster.main", "google_sql_database_instance.main",
            "google_storage_bucket.models",
        },
    },
    "azurerm": {
        "deletion-protection": {"azurerm_mssql_database.main", "azurerm_mssql_server.main", "azurerm_storage_account.lake"},
        "encryption-at-rest": {"azurerm_mssql_database.main"},
        "public-bucket": {"azurerm_storage_account.lake", "azurerm_storage_container.models"},
        "public-database": {"azurerm_mssql_firewall_rule.all", "azurerm_mssql_server.main"},
        "tags": {
            "azurerm_kubernetes_cluster.main", "azurerm_kubernetes_cluster_node_pool.gpu", "azurerm_mssql_database.main",
            "azurerm_mssql_server.main", "azurerm_resource_group.main", "azurerm_storage_account.lake",
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("provider", VERSIONS)
def test_a_bad_cloud_is_denied_resource_by_resource(provider: str) -> None:
    verdicts = judged(kept(provider, "bad"))
    found: dict[str, set[str]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.rule, set()).add(verdict.address)
    assert found == EXPECTED[provider]
    assert {verdict.cloud for verdict in verdicts} == {CLOUDS[provider]}
    assert {verdict.rule for verdict in verdicts if verdict.severity == "warn"} <= {"kubernetes-secrets"}


def test_deletion_protection_is_a_matter_of_production() -> None:
    for environment, wanted in {"prod": True, "production": True, "prod-eu": True, "dev": False, "preprod": False}.items():
        rules = {verdict.rule for verdict in judged(kept("aws", "bad"), environment)}
        assert ("deletion-protection" in rules) is wanted, environment


def test_a_verdict_says_what_and_where() -> None:
    messages = {verdict.message for verdict in judged(kept("aws", "bad")) if verdict.address == "module.database.aws_db_instance.this"}
    assert messages == {
        "storage_encrypted is not on", "publicly_accessible is on", "deletion_protection is not on", "skip_final_snapshot is on",
        "no cost-centre, team",
    }  # fmt: skip


def test_what_only_the_apply_tells_is_not_denied() -> None:
    document = kept("aws", "good")
    for change in document["resource_changes"]:
        if "tags" in change["change"]["after"]:
            del change["change"]["after"]["tags"]
            change["change"]["after_unknown"]["tags"] = True
    assert judged(document) == ()


def test_tags_of_the_provider_count_and_are_not_guessed() -> None:
    document = kept("aws", "bad")
    for change in document["resource_changes"]:
        if "tags" in change["change"]["after"]:
            change["change"]["after"]["tags"] = None
    expressions = document["configuration"]["provider_config"]["aws"]["expressions"]
    assert "tags" in {verdict.rule for verdict in judged(document)}
    all_four = {"Project": "acme", "environment": "prod", "team": "ml", "CostCenter": "1"}
    expressions["default_tags"] = [{"tags": {"constant_value": all_four}}]
    assert "tags" not in {verdict.rule for verdict in judged(document)}
    expressions["default_tags"] = [{"tags": {"references": ["var.tags"]}}]
    assert "tags" not in {verdict.rule for verdict in judged(document)}, "tags_all is known after apply: nobody can tell"
    expressions["default_tags"] = [{"tags": {"constant_value": {"team": "ml"}}}]
    assert {verdict.message for verdict in judged(document) if verdict.rule == "tags"} == {"no cost-centre, environment, project"}


def test_the_budget_is_exact_and_says_what_it_does_not_know() -> None:
    nothing: dict[str, Any] = {"resource_changes": []}

    def said(monthly: str, budget: str, *unpriced: str) -> list[tuple[str, str, str]]:
        verdicts = judged(nothing, estimate=costing(monthly, *unpriced), budget=budget)
        return [(verdict.severity, verdict.rule, verdict.message) for verdict in verdicts]

    assert said("100", "") == []
    assert said("100.00", "100") == []
    assert said("100.001", "100") == [("deny", "budget", "100.01 USD a month, and the budget is 100.00")]
    assert said("100.001", "100", "NAT") == [("deny", "budget", "at least 100.01 USD a month, and the budget is 100.00")]
    assert said("99", "100", "NAT") == [("warn", "budget-unsure", "1 resources have no price: the budget may not suffice")]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(VERSIONS)))
def test_a_verdict_never_depends_on_the_order_of_resources(random: Any, provider: str) -> None:
    document = kept(provider, "bad")
    expected = judged(document)
    random.shuffle(document["resource_changes"])
    random.shuffle(document["configuration"]["root_module"]["resources"])
    assert judged(document) == expected


@pytest.mark.slow
@pytest.mark.parametrize("provider", VERSIONS)
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_the_kept_plans_are_what_terraform_says(provider: str, kind: str, tmp_path: Path) -> None:
    """Made anew by `python -m tests.infra.clouds` when this fails."""
    assert judged(planned(provider, kind, tmp_path)) == judged(kept(provider, kind))


# Rules of one's own

OWN = """package acme.naming

import data.mcml.lib

deny contains {"rule": "acme-name", "address": r.address, "message": sprintf("%s is not acme's", [r.after.identifier])} if {
	some r in lib.resources
	r.kind == "aws_db_instance"
	not startswith(r.after.identifier, "other-")
}

warn contains "a plan on a Friday" if input.mcml.unit == "data"
"""


def rule(folder: Path, text: str, name: str = "own.rego") -> tuple[RuleFile, ...]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return read_rules([folder])


def test_the_users_own_rules_stand_beside_the_shipped_ones(tmp_path: Path) -> None:
    rules = SHIPPED + rule(tmp_path, OWN)
    assert judged(kept("aws", "good"), rules=rules) == (
        Verdict("acme-name", "deny", "acme is not acme's", "module.database.aws_db_instance.this", "aws"),
        Verdict("own", "warn", "a plan on a Friday"),
    )


def test_a_rule_written_for_other_tools_works_on_the_plan_itself(tmp_path: Path) -> None:
    found_in = '{ some c in input.resource_changes; c.type == "aws_nat_gateway" }'
    text = f'package main\ndeny contains {{"msg": c.address, "address": c.address}} if {found_in}'
    (found,) = judged(kept("aws", "good"), rules=rule(tmp_path, text))
    assert (found.rule, found.message, found.cloud) == ("own", "aws_nat_gateway.out", "aws")


@pytest.mark.parametrize("text", ['a "quoted" word', "back\\slash", "two\nlines", "é…\u2028", "tab\t", '"', "\\", "\\n", "<&>"])
def test_any_text_comes_through_rego_as_it_was(text: str, tmp_path: Path) -> None:
    about = {"actions": ["create"], "after": {"says": text}}
    change = {"address": f"x.y[{json.dumps(text)}]", "mode": "managed", "type": "x", "change": about}
    found_in = "some c in input.resource_changes"
    rules = rule(tmp_path, f'package own\ndeny contains {{"address": c.address, "message": c.change.after.says}} if {found_in}')
    (found,) = judged({"resource_changes": [change]}, rules=rules)
    assert (found.address, found.message) == (change["address"], text)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("package own\n\ndeny contains x if {\n  some x in [1\n}\n", 4, "this is unclosed"),
        ("package own\n\n\ndeny contains x if {\n  x := }\n", 5, "Invalid assignment operator"),
        ('package own\n\ndeny contains "x" if {\n  known("x")\n}\n', 4, "Function not found: known"),
        ('package own\n\nf(x) := 1 if x > 1\nf(x) := 2 if x > 2\ndeny contains "x" if f(3) == 1\n', 5, "a function has two values"),
        ("package own\n\ndeny := true\n", 3, "`deny contains ...` is wanted"),
        ('package own\n\nwarn contains {"address": "x"}\n', 3, "`warn contains ...` is wanted"),
        ("package own\n\ndeny contains 5\n", 3, "`deny contains ...` is wanted"),
        ('deny contains "x"\n', 1, "it does not begin with `package NAME`"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_its_line(text: str, line: int, why: str, tmp_path: Path) -> None:
    with pytest.raises(Usage) as refused:
        judged(kept("aws", "good"), rules=SHIPPED + rule(tmp_path / "mine", text))
    assert refused.value.message == f"the policy {tmp_path / 'mine' / 'own.rego'}:{line} is broken"
    assert why in refused.value.why


def test_a_folder_without_rules_is_no_folder_of_policies(tmp_path: Path) -> None:
    (tmp_path / "own_test.rego").write_text("package own_test\n")
    with pytest.raises(NotFound, match="no policies in"):
        read_rules([tmp_path])
    with pytest.raises(NotFound) as missing:
        read_rules([tmp_path / "nowhere"])
    assert missing.value.why == "it is no folder"
    (tmp_path / "bytes.rego").write_bytes(b"package a\xff")
    with pytest.raises(Usage, match="cannot read the policy"):
        read_rules([tmp_path])


def test_no_rules_say_nothing() -> None:
    assert judged(kept("aws", "bad"), rules=()) == ()


# The gate

VERDICTS = (Verdict("tags", "deny", "no team", "a.b", "aws"), Verdict("tags", "deny", "no team", "a.c"), Verdict("own", "warn", "careful"))


def test_what_denies_refuses_until_it_is_accepted() -> None:
    with pytest.raises(Conflict) as refused:
        refuse((*VERDICTS, Verdict("budget", "deny", "too much")), ["other"], "mcml infra apply")
    assert refused.value.message == "refused by the policies budget, tags"
    assert refused.value.why == "tags: a.b: no team\ntags: a.c: no team\nbudget: too much"
    assert refused.value.next_step.endswith("mcml infra apply --accept budget --accept other --accept tags")
    refuse(VERDICTS, ["tags"], "mcml infra apply")
    refuse(VERDICTS[2:], [], "mcml infra apply")
    assert denied(VERDICTS, ["own"]) == VERDICTS[:2]


def test_a_lock_through_a_local_is_told_by_the_apply() -> None:
    """A plan holds no locals: what such a lock is on is known once it is there, by its id."""
    document = kept("azurerm", "good")
    configured = {one["address"]: one for one in document["configuration"]["root_module"]["resources"]}
    configured["azurerm_management_lock.group"]["expressions"]["scope"] = {"references": ["each.value"]}
    verdicts = judged(document)
    assert {(verdict.severity, verdict.rule) for verdict in verdicts} == {("warn", "deletion-protection-untold")}
    assert len(verdicts) == 3

    values = {change["address"]: change["change"] for change in document["resource_changes"]}
    lock, server, lake = (values[f"azurerm_{name}"] for name in ("management_lock.group", "mssql_server.main", "storage_account.lake"))
    lock["after"]["scope"], lock["after_unknown"] = "/groups/acme", {}
    server["after"]["id"], lake["after"]["id"] = "/groups/acme/servers/acme", "/groups/acme-2/accounts/acmelake"
    values["azurerm_mssql_database.main"]["after"]["server_id"] = "/groups/acme/servers/acme"
    assert [(verdict.severity, verdict.address) for verdict in judged(document)] == [("deny", "azurerm_storage_account.lake")]


def test_a_public_access_block_through_a_local_is_taken_at_its_word() -> None:
    document = kept("aws", "good")
    configured = {one["address"]: one for one in document["configuration"]["root_module"]["resources"]}
    configured["aws_s3_bucket_public_access_block.models"]["expressions"]["bucket"] = {"references": ["each.key"]}
    assert judged(document) == ()
    gone = [change for change in document["resource_changes"] if change["type"] != "aws_s3_bucket_public_access_block"]
    assert {verdict.rule for verdict in judged({**document, "resource_changes": gone})} == {"public-bucket"}


def test_what_is_compiled_is_given_back_in_silence() -> None:
    text = (
        "from mcml.core.paths import shipped\nfrom mcml.infra.plans.policy import prepare, read_rules\nimport threading\n"
        "rules = read_rules([shipped('policies')])\nthreading.Thread(target=prepare, args=(rules,)).start()\n"
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
