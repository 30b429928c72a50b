"""What Envoy says, as it says it (taken from Envoy 1.40), and answers that are broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Observation, parse

CLUSTERS = {
    "cluster_statuses": [
        {
            "name": "fraud@eu-1",
            "added_via_api": True,
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9101}},
                    "stats": [
                        {"name": "cx_connect_fail", "value": "4"},
                        {"name": "rq_error", "value": "8"},
                        {"name": "rq_success", "value": "10"},
                        {"name": "rq_timeout", "value": "3"},
                        {"name": "rq_total", "value": "14"},
                        {"type": "GAUGE", "name": "rq_active"},
                    ],
                    "health_status": {"failed_outlier_check": True, "eds_health_status": "HEALTHY"},
                    "hostname": "fraud@eu-1",
                }
            ],
        },
        {
            "name": "fraud@eu-2",
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9102}},
                    "stats": [{"name": "rq_success"}],
                    "health_status": {"failed_active_health_check": True, "pending_active_hc": True},
                }
            ],
        },
        {"name": "no-hosts-yet"},
    ]
}
STATS = {
    "stats": [
        {"name": "cluster_manager.cds.version_text", "value": "c1"},
        {"name": "http.route.rds.mcml.version_text", "value": "r1"},
        {"name": "listener_manager.lds.version_text", "value": "l1"},
        {"name": "http.route.rds.mcml.update_rejected", "value": 2},
        {"name": "cluster_manager.cds.update_failure", "value": 1},
        {"name": "http.route.downstream_rq_active", "value": 5},
        {
            "histograms": {
                "supported_percentiles": [0, 50],
                "details": [
                    {
                        "name": "cluster.fraud@eu-1.upstream_rq_time",
                        "totals": [{"lower_bound": 0, "width": 0, "count": 7}, {"lower_bound": 1, "width": 0.1, "count": 3}],
                    },
                    {"name": "cluster_manager.cds.update_duration", "totals": []},
                ],
            }
        },
    ]
}


def test_a_429_that_reached_the_client_is_a_failed_attempt() -> None:
    """One that a retry hid is in `rq_error` already."""
    stats = [{"name": "cluster.fraud@eu-1.upstream_rq_429", "value": 7}, {"name": "cluster.fraud@eu-1.retry.upstream_rq_429", "value": 5}]
    counters = parse(json.dumps(CLUSTERS), json.dumps({"stats": stats})).backends["fraud@eu-1"].counters
    assert (counters.attempts, counters.succeeded, counters.failed) == (18, 3, 15)
    stats = [{"name": "cluster.fraud@eu-2.upstream_rq_429", "value": 4}]  # the two pages are not of one moment
    assert parse(json.dumps(CLUSTERS), json.dumps({"stats": stats})).backends["fraud@eu-2"].counters == Counters()


def test_what_envoy_says() -> None:
    seen = parse(json.dumps(CLUSTERS), json.dumps(STATS))
    assert seen.versions == {"cds": "c1", "lds": "l1", "rds": "r1"}
    assert (seen.refused, seen.active_requests) == (3, 5)
    first, second = seen.backends["fraud@eu-1"], seen.backends["fraud@eu-2"]
    assert first.counters == Counters(18, 10, 8, refused=4, timed_out=3, latencies={0: (0, 7), 1: (0.1, 3)})
    assert (first.out, first.failing, first.pending) == (True, False, False)
    assert first.addresses == {"127.0.0.1:9101"}
    assert (second.pending, second.out, second.failing) == (True, False, False)
    assert set(seen.backends) == {"fraud@eu-1", "fraud@eu-2"}


def test_an_envoy_without_clusters() -> None:
    assert parse("{}", '{"stats": [{"histograms": {}}]}').backends == {}


@pytest.mark.parametrize(
    ("clusters", "stats"),
    [
        ("", "{}"),
        ("not json", '{"stats": []}'),
        ("{}", "{}"),
        ("[]", '{"stats": []}'),
        ('{"cluster_statuses": [{"name": "x", "host_statuses": [{}]}]}', '{"stats": []}'),
        ("{}", '{"stats": [1]}'),
        ("{}", '{"stats": {"a": 1}}'),
    ],
)
def test_broken_answers_are_value_errors(clusters: str, stats: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(clusters, stats)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "value", "histograms"]), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_any_json_is_read_or_refused(clusters: object, stats: object) -> None:
    try:
        seen = parse(json.dumps(clusters), json.dumps({"stats": stats}))
    except ValueError:
        return
    assert isinstance(seen, Observation)


def test_the_cluster_for_grpc_is_part_of_its_backend() -> None:
    """One server: its numbers are added up, and it is out as soon as one of the two roads is closed."""
    both = json.loads(json.dumps(CLUSTERS))
    beside = json.loads(json.dumps(CLUSTERS["cluster_statuses"][1])) | {"name": "fraud@eu-2/grpc"}
    beside["host_statuses"][0] |= {"health_status": {}, "stats": [{"name": "rq_success", "value": "5"}, {"name": "rq_error", "value": "2"}]}
    both["cluster_statuses"].append(beside)
    both["cluster_statuses"][1]["host_statuses"][0] |= {"health_status": {}, "stats": [{"name": "rq_success", "value": "7"}]}
    seen = parse(json.dumps(both), json.dumps(STATS)).backends
    assert "fraud@eu-2/grpc" not in seen
    one = seen["fraud@eu-2"]
    assert (one.counters.succeeded, one.counters.failed, one.counters.attempts) == (12, 2, 14)
    assert (one.out, len(one.endpoints), len(one.grpc)) == (False, 1, 1)
    beside["host_statuses"][0]["health_status"] = {"failed_outlier_check": True}
    assert parse(json.dumps(both), json.dumps(STATS)).backends["fraud@eu-2"].out is True


def test_an_answer_that_broke_off_is_a_failure_and_of_a_call_envoy_says_so_itself() -> None:
    hosts = [{**CLUSTERS["cluster_statuses"][0]["host_statuses"][0]}]  # type: ignore[index]
    clusters = {"cluster_statuses": [{"name": name, "host_statuses": hosts} for name in ("fraud@eu-1", "fraud@eu-1/grpc")]}
    cut = [{"name": f"mcml_backend.broken_off.backend.{one['name']}", "value": 2} for one in clusters["cluster_statuses"]]
    stats = {"stats": [*STATS["stats"], *cut]}
    both = parse(json.dumps(clusters), json.dumps(stats)).backends["fraud@eu-1"].counters
    assert (both.succeeded, both.failed, both.broken) == (8 + 10, 10 + 8, 4)
