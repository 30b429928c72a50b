"""The plan reader: a case is a file with Terraform's own document, the steps it means, and what would be healed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import McmlError
from mcml.infra.plans.plan import MOST_CHANGES, SENSITIVE, actions_of, gone_or_changed, read_plan

CASES = sorted((Path(__file__).parent / "plans").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_document_is_read(path: Path) -> None:
    case = json.loads(path.read_text())
    document = case["document"]
    plan = read_plan(document)
    assert [[step.action, step.name, step.target, step.reason, step.values] for step in plan.steps] == case["steps"], case["says"]
    assert list(gone_or_changed(document, "terraform_data.target")) == case["heal"]
    assert actions_of(document) == case["wanted"]
    assert plan.room == "infra"


def test_both_versions_of_terraform_mean_the_same_plan() -> None:
    older, newer = (json.loads((CASES[0].parent / f"gone-{version}.json").read_text())["document"] for version in ("1.11", "1.15"))
    assert older["terraform_version"] != newer["terraform_version"]
    assert read_plan(older).digest == read_plan(newer).digest


def test_a_unit_that_heals_nothing_replaces_nothing() -> None:
    document = json.loads((CASES[0].parent / "gone-1.15.json").read_text())["document"]
    assert gone_or_changed(document, "") == ()
    assert gone_or_changed(document, "aws_instance.node") == ()
    assert gone_or_changed({"format_version": "1.2"}, "terraform_data.target") == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format_version": "2.0"}, "this Terraform writes plans of format '2.0'"),
        ({}, "this Terraform writes plans of format ''"),
        ({"format_version": "1.2", "errored": True}, "the plan is errored, so it is not applied"),
        ({"format_version": "1.2", "complete": False}, "the plan is incomplete, so it is not applied"),
    ],
)
def test_what_must_not_be_applied_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(McmlError) as refused:
        read_plan(document)
    assert refused.value.message == message


def change(**about: Any) -> dict[str, Any]:
    about = {"actions": ["update"], "before": {}, "after": {}, "after_unknown": {}, "before_sensitive": {}, "after_sensitive": {}} | about
    resource = {"address": "x.y", "type": "x", "mode": "managed", "change": about}
    return {"format_version": "1.2", "resource_changes": [resource]}


def changed(**about: Any) -> Any:
    return read_plan(change(**about)).steps[0].values.get("changed")


def test_secrets_are_masked_however_deep_they_are_marked() -> None:
    before, after = {"password": "old", "user": "a", "keys": ["k1"]}, {"password": "new", "user": "b", "keys": ["k2"]}
    marks = {"password": True, "keys": [True]}
    expected = {"keys": [SENSITIVE, SENSITIVE], "password": [SENSITIVE, SENSITIVE], "user": ["a", "b"]}
    assert changed(before=before, after=after, before_sensitive=marks, after_sensitive=marks) == expected
    assert changed(before=before, after=after, before_sensitive=True, after_sensitive=True) == {"": [SENSITIVE, SENSITIVE]}


def test_too_many_changes_are_counted_and_not_listed() -> None:
    before = {f"k{number:02}": 0 for number in range(30)}
    found = changed(before=before, after=dict.fromkeys(before, 1))
    assert len(found) == MOST_CHANGES + 1
    assert found["..."] == ["10 more", ""]


def test_what_is_only_read_or_forgotten() -> None:
    data = change(actions=["read"])
    data["resource_changes"][0]["mode"] = "data"
    assert read_plan(data).steps == ()
    forgotten = change(actions=["forget"], after=None)
    assert [(step.action, step.reason) for step in read_plan(forgotten).steps] == [("delete", "only forgotten, not destroyed")]
    assert actions_of(forgotten) == {}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(before=values, after=values, unknown=values, marks=values)
def test_any_values_give_a_plan_with_a_digest(before: Any, after: Any, unknown: Any, marks: Any) -> None:
    plan = read_plan(change(before=before, after=after, after_unknown=unknown, before_sensitive=marks, after_sensitive=marks))
    assert len(plan.digest) == 64
    assert [step.action for step in plan.changes] == ["update"]


@given(secret=st.text(min_size=6, alphabet="abcdef0123456789"), key=st.text(max_size=3))
def test_a_marked_value_is_nowhere_in_the_plan(secret: str, key: str) -> None:
    plan = read_plan(change(before={key: {"in": "old"}}, after={key: {"in": secret}}, after_sensitive={key: {"in": True}}))
    assert secret not in str(plan.steps[0].values)
