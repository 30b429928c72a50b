"""The route table of every pattern: Envoy accepts it, hints come before the rest, and a region's entries name nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from mcml.core.schema_routes import Route
from mcml.route.config.clusters import clusters
from mcml.route.config.grpc import speaking
from mcml.route.config.listener import listener
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.table import OVERFLOW, clusters_of, plan_routes, routes
from mcml.route.config.values import Front, Json, RoutePlan
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate
from tests.route.config.test_config import backend
from tests.route.weights.test_patterns import REGIONS, ROUTES, TARGETS, Case, all_up, burst, cases, one


def whole(made: RoutePlan, models: tuple[str, ...]) -> Json:
    front = Front("127.0.0.1", 8080, "/dev/null", evidence="/dev/null", overflows=made.bursts)
    table = routes([made], software="1.0", ready=True, keep_path=made.split)
    backends = [backend(target, model=model) for model in models for target in TARGETS]
    found = clusters(backends, renames=made.split)
    return flatten(bootstrap(9901, "/x"), [listener(front, "/x")], found, table)


@pytest.mark.parametrize("number", range(len(ROUTES)))
@pytest.mark.parametrize("sticky", ["", "x-user-id"])
def test_envoy_accepts_every_pattern(tmp_path: Path, number: int, sticky: str) -> None:
    route = ROUTES[number].model_copy(update={"sticky": sticky})
    models = tuple(route.split) or ("fraud",)
    case = Case(route, *(one(target, model=model) for model in models for target in TARGETS))
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(whole(case.plan(), models)))
    validate(find_envoy(), path)


def entries(case: Case) -> list[Any]:
    return plan_routes(case.plan())


def headers(entry: Any) -> dict[str, str]:
    found = {}
    for each in entry["match"].get("headers", ()):
        found[each["name"]] = each.get("string_match", {}).get("exact", "absent" if each.get("invert_match") else "present")
    return found


def test_hints_come_before_the_rest() -> None:
    found = [headers(entry) for entry in entries(Case(Route(), one("eu-1"), one("us-1")))]
    assert found == [{"x-data-region": "present"}, {"x-mcml-target": "eu-1"}, {"x-mcml-target": "us-1"}, {"x-mcml-target": "present"}, {}]


@given(cases())
def test_an_entry_of_a_region_names_only_its_backends(case: Case) -> None:
    if case.route.pattern != "residency":
        return
    for home in ("eu", ""):
        case.route = case.route.model_copy(update={"home": home})
        found = entries(case)
        for entry in found:
            region = headers(entry).get("x-data-region", "none")
            allowed = REGIONS.get(home if region == "absent" else region, ())
            assert clusters_of(entry) <= {f"fraud@{target}" for target in allowed}
            assert entry["metadata"]["filter_metadata"]["mcml"]["residency"]
        assert headers(found[-1]) == ({"x-data-region": "present"} if home else {})
        assert found[-1]["direct_response"]["status"] == (403 if home else 400)


@given(cases())
def test_what_speaks_grpc_stays_in_its_region_too(case: Case) -> None:
    if case.route.pattern != "residency":
        return
    case.route = case.route.model_copy(update={"protocol": "both"})
    (made,) = speaking([case.plan()], {"fraud@eu-1"})
    assert set(made.regions) == set(REGIONS)
    for region, found in made.regions.items():
        for choice in (found.choice, *found.targets.values()):
            assert set(choice.weights) <= {f"fraud@{target}" for target in REGIONS[region]} & {"fraud@eu-1"}


def test_a_burst_is_decided_by_what_is_under_way() -> None:
    first, later, deciding = [entry for entry in entries(Case(burst(), one("eu-1"), one("us-1"))) if not entry["match"].get("headers")]
    assert [entry["match"]["filter_state"][0]["string_match"]["exact"] for entry in (first, later)] == ["fraud@eu-1", "fraud@us-1"]
    code = deciding["route"]["inline_cluster_specifier_plugin"]["extension"]["typed_config"]["source_code"]["inline_string"]
    assert "if under_way < 8 then return 'fraud@eu-1' end" in code
    assert OVERFLOW in deciding["typed_per_filter_config"]
    assert "retry_policy" not in deciding["route"], "it is never the one that serves"


def main(case: Case) -> Any:
    return entries(case)[-1]["route"]


def test_what_must_not_be_done_twice() -> None:
    policy = main(Case(Route(idempotent=False), *all_up()))["retry_policy"]
    assert policy["retry_on"] == "connect-failure,refused-stream,reset-before-request"
    assert "per_try_timeout" not in policy
    assert "retriable_status_codes" not in policy


def test_a_sticky_route_chooses_by_the_header() -> None:
    for route in (Route(sticky="x-user-id"), Route(sticky="x-user-id", pattern="active-passive", tiers=(("eu-1", "eu-2"), ("us-1",)))):
        action = main(Case(route, *all_up()))
        assert action["hash_policy"] == [{"header": {"header_name": "x-user-id"}}]
        assert '"use_hash_policy": true' in json.dumps(action)


@given(cases())
def test_all_clusters_of_a_table_are_found(case: Case) -> None:
    made = case.plan()
    named = set(clusters_of(routes([made], software="1", ready=True)))
    assert named <= set(case.places)
    assert {name for name, weight in made.weights.items() if weight} <= named
    for attempt in made.attempts:
        assert {name for name, _ in attempt} <= named


def test_a_timeout_above_the_idle_limit_lifts_that_for_its_route() -> None:
    """By itself the listener ends a request on which nothing moves for five minutes."""
    for timeout, idle in ((299.0, None), (900.0, "900s")):
        case = Case(Route(timeout=timeout), *(one(target) for target in TARGETS))
        actions = [entry["route"] for entry in entries(case) if "route" in entry]
        assert actions
        assert {action.get("idle_timeout") for action in actions} == {idle}


def test_a_second_attempt_goes_to_another_address_also_of_the_same_backend() -> None:
    policies = [entry["route"]["retry_policy"] for entry in entries(Case(Route(), one("eu-1"))) if "route" in entry]
    assert policies
    for policy in policies:
        assert [predicate["name"] for predicate in policy["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]
        assert "envoy-ratelimited" in policy["retry_on"].split(",")
