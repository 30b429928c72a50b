"""Deploy plans are pure: package and what runs in, steps out; a plan carried out and planned again is empty."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.package import ModelPackage
from mcml.core.plan import Plan
from mcml.deploy.plan import plan_delete, plan_deploy, version_of
from mcml.providers.api.endpoint import Endpoint, EndpointState, Variant

PACKAGE = ModelPackage("fraud", "1", "abcdef0123456789", Path("models/fraud"), {})
VERSION = "1-abcdef01"


def endpoint(*variants: Variant) -> Endpoint:
    return Endpoint("fraud", "eu-1", variants)


def variant(version: str, state: EndpointState = "ready", weight: int = 100) -> Variant:
    return Variant(version, "d", state, weight, "http://127.0.0.1:1")


def short(plan: Plan) -> list[tuple[str, str, str]]:
    return [(step.action, step.kind, str(step.values.get("version", ""))) for step in plan.steps]


@pytest.mark.parametrize(
    ("running", "steps", "reason"),
    [
        (None, [("create", "version", VERSION)], "nothing runs there"),
        (endpoint(variant(VERSION)), [("keep", "version", VERSION)], "runs with all traffic"),
        (endpoint(variant(VERSION, "failed")), [("update", "version", VERSION)], "it is failed: start it again"),
        (endpoint(variant(VERSION, "stopped")), [("update", "version", VERSION)], "it is stopped: start it again"),
        (endpoint(variant(VERSION, weight=40)), [("update", "traffic", VERSION)], f"all to {VERSION}"),
        (
            endpoint(variant("1-old")),
            [("create", "version", VERSION), ("update", "traffic", VERSION), ("delete", "version", "1-old")],
            "new version beside 1-old",
        ),
        (
            endpoint(variant("1-old", weight=0), variant(VERSION)),
            [("update", "traffic", VERSION), ("delete", "version", "1-old")],
            f"all to {VERSION}",
        ),
    ],
)
def test_one_target(running: Endpoint | None, steps: list[tuple[str, str, str]], reason: str) -> None:
    plan = plan_deploy("fraud", PACKAGE, {"eu-1": running})
    assert short(plan) == steps
    assert plan.steps[0].reason == reason


def test_targets_keep_their_order() -> None:
    plan = plan_deploy("fraud", PACKAGE, {"b": None, "a": None})
    assert [step.target for step in plan.steps] == ["b", "a"]


def test_other_content_is_another_version() -> None:
    assert version_of(replace(PACKAGE, digest="ffff0000ffff"), {}) == "1-ffff0000"


def apply(plan: Plan, running: Endpoint | None) -> Endpoint | None:
    """Carry a plan out on a value, as the provider would."""
    variants = {one.version: one for one in running.variants} if running else {}
    for step in plan.changes:
        version = str(step.values.get("version", ""))
        match step.kind, step.action:
            case "version", "delete":
                del variants[version]
            case "version", _:
                weight = variants[version].weight if version in variants else (0 if variants else 100)
                variants[version] = variant(version, weight=weight)
            case "traffic", _:
                variants = {name: replace(one, weight=100 if name == version else 0) for name, one in variants.items()}
            case _:
                variants = {}
    return endpoint(*variants.values()) if variants else None


STATES = st.sampled_from(["ready", "starting", "stopped", "failed"])
VARIANTS = st.dictionaries(st.sampled_from([VERSION, "1-old", "0-older"]), st.tuples(STATES, st.integers(0, 100)), max_size=3)


@given(VARIANTS)
def test_a_plan_carried_out_and_planned_again_is_empty(variants: dict[str, tuple[EndpointState, int]]) -> None:
    running = endpoint(*(variant(version, state, weight) for version, (state, weight) in variants.items())) if variants else None
    plan = plan_deploy("fraud", PACKAGE, {"eu-1": running})
    after = apply(plan, running)
    assert after is not None
    assert [(one.version, one.state, one.weight) for one in after.variants] == [(VERSION, "ready", 100)]
    assert plan_deploy("fraud", PACKAGE, {"eu-1": after}).changes == ()


def test_delete_is_one_step_and_nothing_where_nothing_runs() -> None:
    plan = plan_delete("fraud", {"eu-1": endpoint(variant(VERSION)), "us-1": None})
    assert [(step.target, step.action) for step in plan.steps] == [("eu-1", "delete"), ("us-1", "keep")]
    assert plan_delete("fraud", {"eu-1": apply(plan, endpoint(variant(VERSION)))}).changes == ()


def test_the_digest_names_the_plan() -> None:
    one, same = (plan_deploy("fraud", PACKAGE, {"eu-1": None}) for _ in range(2))
    assert one.digest == same.digest
    assert one.digest != plan_deploy("fraud", replace(PACKAGE, digest="other"), {"eu-1": None}).digest


def test_another_size_is_another_version_beside_the_old_one() -> None:
    sized = {"eu-1": {"cpu": "2"}}
    version = version_of(PACKAGE, sized["eu-1"])
    assert version.startswith(f"{VERSION}-")
    plan = plan_deploy("fraud", PACKAGE, {"eu-1": endpoint(variant(VERSION))}, sized)
    assert short(plan) == [("create", "version", version), ("update", "traffic", version), ("delete", "version", VERSION)]
    assert plan.steps[0].values["resources"] == {"cpu": "2"}
    assert plan_deploy("fraud", PACKAGE, {"eu-1": endpoint(variant(version))}, sized).changes == ()
    assert [step.values["version"] for step in plan_deploy("fraud", PACKAGE, {"us-1": None}, sized).steps] == [VERSION]
    assert version_of(PACKAGE, {"a": "1", "b": "2"}) == version_of(PACKAGE, {"b": "2", "a": "1"}) != version_of(PACKAGE, {"a": "1"})
