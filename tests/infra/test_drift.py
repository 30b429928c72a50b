"""Drift: a case is a file with a refresh-only plan, what the inventory found, and what differs."""

import json
from pathlib import Path

import pytest

from mcml.infra.residue.drift import find_changes, find_drift
from mcml.infra.units.units import Unit
from mcml.providers.api.inventory import Resource

CASES = sorted((Path(__file__).parent / "drifts").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case(path: Path) -> None:
    case = json.loads(path.read_text())
    unit = Unit("local", "dev", tuple(case["declared"]), {"project": "acme"}, "terraform_data.target")
    drift = find_drift(unit, case["document"], [Resource(**resource) for resource in case["existing"]])
    assert [[one.kind, one.target, one.detail, list(one.fix)] for one in drift.drifted] == case["drift"], case["says"]
    assert drift.looked_at == ("eu", "us")
    assert [resource.id for resource in drift.unmanaged] == drift.named("unmanaged")


def test_nothing_applied_is_no_drift() -> None:
    unit = Unit("local", "dev", ("eu",), {"project": "acme"}, "terraform_data.target")
    assert find_drift(unit, {"format_version": "1.2"}, []).drifted == ()


BUCKET = {"id": "b", "bucket": "b", "versioning": [{"enabled": False}], "policy": "", "tags": {"a": "1"}}


def of_bucket(*others: tuple[str, dict[str, str]], kind: str = "aws_s3_bucket", **after: object) -> dict[str, object]:
    """A refresh-only plan that finds a bucket changed, in a state with these others."""
    found = {"address": "x.y", "type": kind, "change": {"actions": ["update"], "before": BUCKET, "after": BUCKET | after}}
    state = [{"address": f"{name}.z", "type": name, "values": values} for name, values in others]
    return {"resource_drift": [found], "prior_state": {"values": {"root_module": {"child_modules": [{"resources": state}]}}}}


def test_what_another_resource_says_is_no_drift() -> None:
    """A bucket is in the state before its versioning is: the first refresh finds it "changed"."""
    unit, on = Unit("data", "dev"), [{"enabled": True}]
    versioning = ("aws_s3_bucket_versioning", {"bucket": "b"})
    assert find_changes(unit, of_bucket(versioning, versioning=on)).drifted == ()
    (drifted,) = find_changes(unit, of_bucket(versioning, versioning=on, policy="{}", tags={"a": "2"})).drifted
    assert sorted(path.partition(".")[0] for path in drifted.changed) == ["policy", "tags"], "nobody else says its policy"
    (drifted,) = find_changes(unit, of_bucket(("aws_s3_bucket_versioning", {"bucket": "other"}), versioning=on)).drifted
    assert drifted.kind == "changed"


def test_a_part_is_another_resources_only_where_nothing_was_known() -> None:
    unit, rule = Unit("net", "dev"), ("aws_vpc_security_group_ingress_rule", {"security_group_id": "b"})
    group = of_bucket(rule, kind="aws_security_group", ingress=[{"port": 22}])
    assert find_changes(unit, group).drifted == ()
    group["resource_drift"][0]["change"]["before"] = BUCKET | {"ingress": [{"port": 443}]}  # type: ignore[index]
    assert find_changes(unit, group).drifted[0].kind == "changed", "one more may be nobody's"
