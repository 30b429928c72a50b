"""What Envoy is told for gRPC is made of what it is told for HTTP: Envoy accepts it, and no guarantee is lost on the way."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.errors import McmlError
from mcml.route.config.clusters import clusters
from mcml.route.config.grpc import grpc_clusters, speakers, speechless
from mcml.route.config.listener import listener
from mcml.route.config.replies import local_replies
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.table import clusters_of, routes
from mcml.route.config.values import Choice, Front, Json, Overflow, Region, RoutePlan
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate

EU, US = "fraud@eu-1", "fraud@us-1"
ORDER = (((EU, 100),), ((US, 100),))
PLAN = RoutePlan("fraud", "fraud", {EU: 60, US: 40}, 30.0, 2.0, protocol="grpc")
FRONT = Front("127.0.0.1", 8080, "/dev/null", grpc=True, overflows=True)
PLANS = {
    "weighted": PLAN,
    "alias": replace(PLAN, name="public"),
    "both": replace(PLAN, protocol="both"),
    "in order": replace(PLAN, attempts=ORDER),
    "sticky": replace(PLAN, sticky="x-user-id", split=True),
    "once": replace(PLAN, idempotent=False),
    "burst": replace(PLAN, attempts=ORDER, overflow=Overflow(8, (EU,), (((US, 100),), ((EU, 100),))), bursts=True),
    "targets": replace(PLAN, targets={"eu-1": Choice({EU: 100})}),
    "residency": replace(PLAN, regions={"eu": Region(Choice({EU: 100})), "us": Region(Choice({US: 100}))}, home="eu"),
    "nobody": replace(PLAN, weights={}, empty="nobody is there"),
}


def backend(target: str, port: int, *, grpc_port: int = 0, model: str = "fraud") -> Backend:
    return Backend(target, model, "127.0.0.1", port, "local", "nowhere", version="1", grpc_port=grpc_port)


BACKENDS = [backend("eu-1", 1001, grpc_port=2001), backend("us-1", 1002, grpc_port=2002)]


def made(backends: Sequence[Backend], plans: Sequence[RoutePlan]) -> tuple[list[Json], Json]:
    """Return the clusters and the route table."""
    http = clusters(backends)
    found = [*http, *grpc_clusters(http, backends, plans)]
    spoken = speakers(cluster["name"] for cluster in found)
    return found, routes(plans, software="1.0", ready=True, grpc=spoken)


def routes_of(table: Json) -> list[Any]:
    return [one for one in table["virtual_hosts"][0]["routes"] if "grpc" in one["match"]]


@pytest.mark.parametrize("names", [[name] for name in PLANS] + [list(PLANS)], ids=lambda names: "+".join(names)[:30])
def test_envoy_accepts_it(tmp_path: Path, names: list[str]) -> None:
    plans = [replace(PLANS[name], name=f"route-{number}") for number, name in enumerate(names)]
    clusters, table = made(BACKENDS, plans)
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(flatten(bootstrap(9901, "/x"), [listener(FRONT, "/x")], clusters, table)))
    validate(find_envoy(), path)
    spoken = {name for name in clusters_of(table) if name.endswith("/grpc")}
    assert bool(spoken) is (names != ["nobody"])
    if not spoken:
        return
    fewer = [one for one in clusters if one["name"] not in spoken]
    path.write_text(json.dumps(flatten(bootstrap(9901, "/x"), [listener(FRONT, "/x")], fewer, table)))
    with pytest.raises(McmlError, match="Envoy refuses") as refused:  # it knows the table, and that all it names is there
        validate(find_envoy(), path)
    assert any(name in refused.value.why for name in spoken)


@pytest.mark.parametrize("name", PLANS)
def test_calls_go_to_clusters_for_grpc_and_to_no_other(name: str) -> None:
    _, table = made(BACKENDS, [PLANS[name]])
    named = clusters_of(routes_of(table))
    assert {one for one in named if not one.endswith("/grpc")} == set()
    text = json.dumps(routes_of(table))
    assert EU not in text.replace(f"{EU}/grpc", "")
    assert "prefix_rewrite" not in text


def test_the_second_cluster_keeps_every_guarantee_of_the_first() -> None:
    (eu, _, grpc, _), _ = made(BACKENDS, [PLAN])
    assert (eu["name"], grpc["name"]) == (EU, f"{EU}/grpc")
    same = ("circuit_breakers", "outlier_detection", "connect_timeout", "dns_lookup_family", "type")
    assert {key: grpc[key] for key in same} == {key: eu[key] for key in same}
    (check,) = grpc["health_checks"]
    assert "http_health_check" not in check
    assert {**check, "http_health_check": 0} == {**eu["health_checks"][0], "http_health_check": 0, "grpc_health_check": {}}
    (endpoint,) = grpc["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == 2001
    assert endpoint["endpoint"]["hostname"] == EU


def test_credentials_are_taken_off_there_too() -> None:
    (eu, _, grpc, _), _ = made(BACKENDS, [PLAN])
    chain, first = (
        next(iter(one["typed_extension_protocol_options"].values()))["http_filters"] for one in (grpc, eu)
    )
    assert [one["name"].rpartition(".")[2] for one in chain] == ["header_mutation", "header_mutation", "upstream_codec"]
    assert chain[1:] == [one for one in first if not one["name"].endswith(".lua")]
    assert '"remove": "x-api-key"' in json.dumps(chain[1])
    assert "http2_protocol_options" in json.dumps(grpc["typed_extension_protocol_options"])


def test_only_backends_of_routes_that_ask_get_a_second_cluster() -> None:
    others = [*BACKENDS, backend("eu-1", 1003, grpc_port=2003, model="spam"), backend("mute", 1004)]
    clusters, _table = made(others, [PLAN, replace(PLAN, name="web", protocol="http", weights={"spam@eu-1": 100}, model="spam")])
    assert {one["name"] for one in clusters if one["name"].endswith("/grpc")} == {f"{EU}/grpc", f"{US}/grpc"}
    assert speechless(others, [PLAN]) == ["fraud@mute"]
    assert speechless(others, [replace(PLAN, protocol="http")]) == []


def test_http_routes_alone_know_nothing_of_grpc() -> None:
    clusters, table = made(BACKENDS, [replace(PLAN, protocol="http")])
    assert len(clusters) == 2
    assert routes_of(table) == []
    assert "grpc" not in json.dumps(local_replies(replace(FRONT, grpc=False)))
    assert "grpc_field_extraction" not in json.dumps(listener(replace(FRONT, grpc=False), "/x"))


def test_one_route_reads_no_message_and_two_do_only_where_nothing_else_tells() -> None:
    _, one = made(BACKENDS, [PLAN])
    assert "grpc_field_extraction" not in json.dumps(one)
    _, two = made(BACKENDS, [PLAN, replace(PLAN, name="public")])
    reading = [route for route in routes_of(two) if "envoy.filters.http.grpc_field_extraction" in route.get("typed_per_filter_config", {})]
    assert reading == [routes_of(two)[-1]]
    assert reading[0]["direct_response"]["status"] == 404


def test_what_may_not_be_done_twice_is_not() -> None:
    for plan, more in ((PLAN, ",cancelled,unavailable,internal,resource-exhausted"), (replace(PLAN, idempotent=False), "")):
        _, table = made(BACKENDS, [replace(plan, protocol="both")])
        http = next(one for one in table["virtual_hosts"][0]["routes"] if one["match"].get("path_separated_prefix"))
        unary = next(one for one in routes_of(table) if one["match"].get("prefix") == "/inference.GRPCInferenceService/")
        assert unary["route"]["retry_policy"]["retry_on"] == http["route"]["retry_policy"]["retry_on"] + more


def test_a_stream_has_no_end_and_no_second_attempt_once_it_began() -> None:
    _, table = made(BACKENDS, [PLAN])
    streams = [one for one in routes_of(table) if one["match"].get("path", "").endswith("/ModelStreamInfer")]
    assert streams
    for one in streams:
        assert one["route"]["timeout"] == "0s"
        assert one["route"]["retry_policy"]["retry_on"] == "connect-failure,refused-stream"


def test_backends_that_do_not_speak_it_are_left_out_of_every_way() -> None:
    half = [BACKENDS[0], backend("us-1", 1002)]
    for plan in PLANS.values():
        _, table = made(half, [plan])
        assert US not in json.dumps(routes_of(table))
    _, table = made([backend("eu-1", 1001), backend("us-1", 1002)], [PLAN])
    assert {one["direct_response"]["status"] for one in routes_of(table)} <= {503, 404}
