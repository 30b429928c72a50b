"""What Prometheus reads: parsed by its own client, stable, and true to what was counted."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from mcml.route.show.metrics import FRONT_FILTER, METRICS, Snapshot, render, table
from mcml.route.weights.measure import Counters
from tests.route.seen import NOW, backend, status

TOTALS = Counters(30, 24, 6, refused=2, timed_out=1, latencies={0.0: (0.0, 10), 2.0: (0.1, 8), 40.0: (1.0, 6)})
VALUES = {
    "vhost.all.route.fraud.upstream_rq_2xx": 90,
    "vhost.all.route.fraud.upstream_rq_5xx": 1,
    "vhost.all.route.fraud.upstream_rq_retry": 6,
    "http.route.downstream_rq_active": 3,
    "http.route.downstream_rq_4xx": 12,
    "http.route.downstream_cx_active": 4,
    "http.route.ext_authz.denied": 2,
    "mcml_key.requests.key.ann.route.fraud.code.200": 5,
    "mcml_key.requests.key.ann.route.fraud.code.201": 2,
    "mcml_key.requests.key.ann.route.fraud.code.429": 1,
    "mcml_key.requests.key..route..code.404": 9,
}


def families(snapshot: Snapshot) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(render(snapshot))}


def snapshot() -> Snapshot:
    told = status(backend("eu-1"), backend('us"\\\n1', state="out", price=None, breaker="ejected", ejected=1))
    told["routes"].append({**told["routes"][0], "route": "public"})
    copies = {("fraud", "next", "same"): 7}
    return Snapshot(told, {"fraud@eu-1": TOTALS}, NOW + timedelta(seconds=2), VALUES, {"vhost.all.route.fraud": {3.0: (0.1, 90)}}, copies)


def value(name: str, **labels: str) -> float:
    stem = re.sub("_(total|bucket|sum|count)$", "", name)
    found = families(snapshot())
    samples = (found.get(stem) or found[name]).samples
    return next(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("mcml_route_requests_total", {"route": "fraud", "code": "2xx"}, 90),
        ("mcml_route_answers_total", {"code": "4xx"}, 12),
        ("mcml_route_retries_total", {"route": "fraud"}, 6),
        ("mcml_route_requests_active", {}, 3),
        ("mcml_route_key_requests_total", {"key": "ann", "route": "fraud", "code": "2xx"}, 7),
        ("mcml_route_key_requests_total", {"key": "ann", "route": "fraud", "code": "4xx"}, 1),
        ("mcml_route_weight", {"route": "public", "backend": "fraud@eu-1"}, 50),
        ("mcml_route_score_part", {"part": "cost", "backend": "fraud@eu-1"}, 0.5),
        ("mcml_route_backend_up", {"backend": "fraud@eu-1", "model": "fraud", "target": "eu-1"}, 1),
        ("mcml_route_backend_up", {"target": 'us"\\\n1'}, 0),
        ("mcml_route_backend_ejected", {"target": 'us"\\\n1'}, 1),
        ("mcml_route_backend_attempts_total", {"outcome": "error", "target": "eu-1"}, 6),
        ("mcml_route_backend_errors_total", {"cause": "answer"}, 3),
        ("mcml_route_backend_price", {"unit": "USD/hour", "source": "the catalogue"}, 0.21),
        ("mcml_route_backend_price_age_seconds", {"target": "eu-1"}, 3 * 3600 + 2),
        ("mcml_route_backend_latency_seconds_bucket", {"le": "0.001"}, 10),
        ("mcml_route_backend_latency_seconds_bucket", {"le": "0.0025"}, 18),
        ("mcml_route_backend_latency_seconds_bucket", {"le": "+Inf"}, 24),
        ("mcml_route_backend_latency_seconds_count", {}, 24),
        ("mcml_route_request_duration_seconds_count", {"route": "fraud"}, 90),
        ("mcml_route_checks_total", {"result": "denied"}, 2),
        ("mcml_route_shadow_copies_total", {"route": "fraud", "model": "next", "outcome": "same"}, 7),
        ("mcml_route_proxy_restarts_total", {}, 2),
        ("mcml_route_status_age_seconds", {}, 2),
    ],
    ids=range(24),
)
def test_values(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(name, **labels) == pytest.approx(expected)


def test_everything_is_in_the_documented_set_and_said_once() -> None:
    documented = {metric.name: metric for metric in METRICS}
    found = families(snapshot())
    for family in found.values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        metric = documented[name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert all(set(one.labels) - {"le"} == set(metric.labels) for one in family.samples)
        said = [(one.name, tuple(sorted(one.labels.items()))) for one in family.samples]
        assert len(said) == len(set(said)), name


def test_a_missing_price_is_absent_and_never_zero() -> None:
    assert {one.labels["target"] for one in families(snapshot())["mcml_route_backend_price"].samples} == {"eu-1"}


def test_without_anything_there_is_still_a_page() -> None:
    assert set(families(Snapshot({}, {}, NOW))) == {"mcml_route_proxy_restarts"}


def test_buckets_only_grow() -> None:
    buckets = [one.value for one in families(snapshot())["mcml_route_backend_latency_seconds"].samples if one.name.endswith("_bucket")]
    assert buckets == sorted(buckets)


@given(st.lists(st.sampled_from(["begins", "breaks", "fails", "is refused", "is late"]), max_size=40))
def test_a_counter_never_falls_whatever_becomes_of_an_answer(events: list[str]) -> None:
    """Prometheus takes a smaller number for a restart, and adds all of it to what it had."""
    begun = broken = failed = refused = late = 0
    told, before = status(backend("eu-1")), dict[tuple[str, str], float]()
    for event in events:
        begun, broken = begun + (event == "begins"), broken + (event == "breaks" and broken < begun)
        refused, late = refused + (event == "is refused"), late + (event == "is late")
        failed += event in ("fails", "is refused", "is late")
        totals = Counters(begun + failed, begun - broken, failed + broken, refused, late, broken=broken)
        found = families(Snapshot(told, {"fraud@eu-1": totals}, NOW))
        samples = [one for family in found.values() if family.type == "counter" for one in family.samples]
        now = {(one.name, str(one.labels)): one.value for one in samples}
        assert all(value >= before.get(key, 0) for key, value in now.items()), (before, now)
        before = now


def test_the_names_are_those_that_we_promised() -> None:
    """A name that is gone or changed breaks dashboards: add, never rename."""
    assert [metric.name.removeprefix("mcml_route_") for metric in METRICS] == [
        "requests_total", "answers_total", "retries_total", "request_duration_seconds", "requests_active", "connections_active",
        "key_requests_total", "weight", "score", "score_part", "last_resort", "backend_up", "backend_attempts_total",
        "backend_errors_total", "backend_retries_total",
        "backend_latency_seconds", "backend_requests_active", "backend_ejected", "backend_breaker_full",
        "backend_price", "backend_price_age_seconds", "checks_total", "shadow_copies_total", "proxy_restarts_total", "status_age_seconds",
    ]  # fmt: skip
    assert all(f"| `{metric.name}` | {metric.kind} |" in table() for metric in METRICS)


def test_the_filter_asks_for_what_is_read() -> None:
    assert all(re.search(FRONT_FILTER, name) for name in (*VALUES, "vhost.all.route.fraud.upstream_rq_time"))
    assert not re.search(FRONT_FILTER, "cluster.fraud@eu-1.upstream_rq_time")
