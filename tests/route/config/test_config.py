"""The configuration: Envoy itself accepts it, and every guarantee is in it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.errors import McmlError
from mcml.route.config.clusters import clusters
from mcml.route.config.listener import listener
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.table import routes
from mcml.route.config.values import BUFFER_LIMIT, Front, Json, RoutePlan
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate


def backend(target: str, port: int = 9000, *, model: str = "fraud", host: str = "127.0.0.1") -> Backend:
    return Backend(target, model, host, port, "local", "nowhere")


def plan(name: str = "fraud", *, last_resort: bool = False, **weights: int) -> RoutePlan:
    return many({target.replace("_", "-"): weight for target, weight in weights.items()}, name, last_resort=last_resort)


def many(weights: dict[str, int], name: str = "fraud", *, last_resort: bool = False) -> RoutePlan:
    return RoutePlan(name, "fraud", {f"fraud@{target}": weight for target, weight in weights.items()}, 30.0, 2.0, last_resort)


def whole(backends: list[Backend], plans: list[RoutePlan], *, ready: bool = True) -> Json:
    table = routes(plans, software="1.0", ready=ready)
    public = listener(Front("127.0.0.1", 8080, "/dev/null"), "/somewhere/xds")
    return flatten(bootstrap(9901, "/somewhere/xds"), [public], clusters(backends), table)


def check(tmp_path: Path, content: Json) -> None:
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(content))
    validate(find_envoy(), path)


THREE = [backend("eu-1"), backend("eu-2"), backend("us-1")]


@pytest.mark.parametrize(
    ("backends", "plans"),
    [
        ([], []),
        ([], [plan()]),
        (THREE, [plan(eu_1=60, eu_2=40, us_1=0)]),
        (THREE, [plan(eu_1=1, eu_2=1, us_1=1, last_resort=True)]),
        (THREE, [plan(eu_1=100), plan("public", eu_2=50, us_1=50)]),
        ([backend("eu-1", 1), backend("eu-1", 2), backend("far", host="models.example.com")], [plan(eu_1=50, far=50)]),
        ([backend("v6", host="::1")], [plan(v6=100)]),
        ([backend(f"t{n}") for n in range(60)], [many({f"t{n}": 2 if n < 40 else 1 for n in range(60)})]),
    ],
)
def test_envoy_accepts_it(tmp_path: Path, backends: list[Backend], plans: list[RoutePlan]) -> None:
    check(tmp_path, whole(backends, plans))
    check(tmp_path, whole(backends, plans, ready=False))


def test_envoy_refuses_a_route_to_an_unknown_cluster(tmp_path: Path) -> None:
    with pytest.raises(McmlError, match="Envoy refuses the configuration") as refused:
        check(tmp_path, whole(THREE, [plan(eu_9=100)]))
    assert "fraud@eu-9" in refused.value.why


def test_envoy_refuses_an_unknown_field(tmp_path: Path) -> None:
    content = whole(THREE, [plan(eu_1=100)])
    content["static_resources"]["clusters"][0]["circuit_brakers"] = {}
    with pytest.raises(McmlError) as refused:
        check(tmp_path, content)
    assert "circuit_brakers" in refused.value.why


def cluster() -> Any:
    return clusters([backend("eu-1")])[0]


def route(planned: RoutePlan) -> Any:
    table = routes([planned], software="1.0", ready=True)
    return next(one for one in table["virtual_hosts"][0]["routes"] if one["match"].get("path_separated_prefix"))


def test_a_thousand_retries_at_once_are_allowed() -> None:
    assert cluster()["circuit_breakers"]["thresholds"][0]["max_retries"] == 1024


def test_a_dead_backend_without_traffic_is_out_in_about_a_second() -> None:
    check = cluster()["health_checks"][0]
    assert (check["interval"], check["no_traffic_interval"], check["unhealthy_threshold"]) == ("0.5s", "0.5s", 2)


def test_failures_in_a_row_eject_and_a_passing_health_check_does_not_bring_back() -> None:
    detection = cluster()["outlier_detection"]
    assert detection["consecutive_gateway_failure"] == 3
    assert detection["enforcing_consecutive_5xx"] == 0
    assert detection["max_ejection_percent"] == 100
    assert detection["successful_active_health_check_uneject_host"] is False
    assert detection["split_external_local_origin_errors"] is False


def test_each_attempt_goes_to_another_backend_and_keeps_the_whole_body() -> None:
    found = route(plan(eu_1=60, eu_2=30, us_1=10))
    policy = found["route"]["retry_policy"]
    assert policy["refresh_cluster_on_retry"] is True
    assert "reset" in policy["retry_on"].split(",")
    assert policy["num_retries"] == 2
    assert policy["per_try_timeout"] == "2s"
    assert found["request_body_buffer_limit"] == BUFFER_LIMIT == 8 * 1024 * 1024
    assert {one["name"]: one["weight"] for one in found["route"]["weighted_clusters"]["clusters"]} == {
        "fraud@eu-1": 60,
        "fraud@eu-2": 30,
        "fraud@us-1": 10,
    }


def test_a_single_backend_is_tried_twice_and_many_four_times() -> None:
    assert route(plan(eu_1=100))["route"]["retry_policy"]["num_retries"] == 1
    assert route(many({f"t{n}": 10 for n in range(10)}))["route"]["retry_policy"]["num_retries"] == 3


@pytest.mark.parametrize(("hurried", "patience"), [(True, "0.5s"), (False, "2s")])
def test_when_everything_is_out_attempts_are_short_but_not_before_anything_was_heard(hurried: bool, patience: str) -> None:
    last = replace(plan(eu_1=1, eu_2=1, last_resort=True), hurried=hurried)
    assert route(last)["route"]["retry_policy"]["per_try_timeout"] == patience


def test_routes_to_unknown_clusters_are_refused_by_envoy_itself() -> None:
    assert routes([], software="1.0", ready=True)["validate_clusters"] is True


def test_the_admin_interface_is_on_loopback_and_the_port_is_not_shared() -> None:
    assert bootstrap(9901, "x")["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert listener(Front("0.0.0.0", 80, "y"), "x")["enable_reuse_port"] is False


def test_paths_and_headers_are_hardened() -> None:
    manager = listener(Front("h", 1, "y"), "x")["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["normalize_path"]
    assert manager["merge_slashes"]
    assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert manager["request_headers_timeout"] == "10s"


def test_two_versions_of_one_backend_are_one_cluster() -> None:
    found = clusters([backend("eu-1", 2), backend("eu-1", 1), backend("eu-2", 3)])
    assert [one["name"] for one in found] == ["fraud@eu-1", "fraud@eu-2"]
    endpoints = found[0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [one["endpoint"]["address"]["socket_address"]["port_value"] for one in endpoints] == [1, 2]
