"""Alarms over gRPC against the small Cloud Monitoring."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from mcml.core.errors import InvalidRequest, Unavailable
from mcml.providers.api.alarms import Alarm, Alarms
from mcml.providers.api.metrics import SeriesQuery
from mcml.providers.gcp.alarms import GcpAlarms, open_alarms
from mcml.testing.contracts.alarms import AlarmsContract, Steady
from mcml.testing.stubs.google_grpc import Call, Fail, GrpcError, GrpcStub
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.monitoring_world import DELTA, DISTRIBUTION, INT64, PROJECT, MonitoringWorld, minutes

CPU, REQUESTS, LATENCY = "compute.googleapis.com/instance/cpu/utilization", "run.googleapis.com/request_count", "latency"
CHANNEL = f"projects/{PROJECT}/notificationChannels/7"
ALARM = Alarm("hot", SeriesQuery(CPU, {"instance_name": "a"}), ">", 0.9, timedelta(minutes=5), 3, "breaching", CHANNEL, {"team": "risk"})


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[GrpcStub]:
    from google.cloud.monitoring_v3 import AlertPolicyServiceClient, MetricServiceClient

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: GrpcStub) -> MonitoringWorld:
    made = MonitoringWorld(stub)
    made.add_metric(CPU, labels=("instance_name",))
    made.add_metric(REQUESTS, DELTA, INT64, labels=("code", "zone"))
    made.add_metric(LATENCY, DELTA, DISTRIBUTION)
    hours_ago = datetime.now(UTC) - timedelta(hours=2)
    made.add(CPU, minutes(hours_ago, *[42.0] * 180), {"instance_name": "a"})
    return made


@pytest.fixture
def alarms(stub: GrpcStub, world: MonitoringWorld, make_session: MakeSession) -> GcpAlarms:
    return GcpAlarms(make_session(grpc_endpoint=stub.address))


class TestAlarms(AlarmsContract):
    @pytest.fixture
    def alarms(self, stub: GrpcStub, world: MonitoringWorld, make_context: MakeContext) -> Alarms:
        return open_alarms(make_context(grpc_endpoint=stub.address))

    @pytest.fixture
    def steady(self) -> Steady:
        return Steady(SeriesQuery(CPU, {"instance_name": "a"}), 42.0, timedelta(minutes=1), SeriesQuery(CPU, {"instance_name": "none"}))


@pytest.mark.parametrize(
    "alarm",
    [
        ALARM,
        replace(ALARM, comparison="<=", threshold=-0.1, missing="ok", notify="", tags={}),
        replace(ALARM, notify=f"{CHANNEL},{CHANNEL}2"),
        replace(ALARM, comparison=">=", threshold=0.0, series=SeriesQuery(CPU, {"zone": "b"}, "maximum")),
        replace(ALARM, series=SeriesQuery(REQUESTS, {"code": "500", "resource.zone": 'a"b'}, "sum")),
        replace(ALARM, series=SeriesQuery(LATENCY, {}, "p99"), periods=1),
        replace(ALARM, series=SeriesQuery(LATENCY, {}, "average")),
    ],
)
def test_comes_back_as_it_was_put(alarms: GcpAlarms, alarm: Alarm) -> None:
    alarms.put(alarm)
    assert [found.alarm for found in alarms.list()] == [alarm]


def test_what_the_policy_says(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    alarms.put(replace(ALARM, comparison=">="))
    (policy,) = world.policies.values()
    condition = policy.conditions[0].condition_threshold
    assert condition.threshold_value < 0.9 < condition.threshold_value + 1e-15
    assert (condition.comparison.name, condition.duration) == ("COMPARISON_GT", timedelta(minutes=10))
    assert condition.aggregations[0].per_series_aligner.name == "ALIGN_MEAN"
    assert dict(policy.user_labels) == {"team": "risk", "mcml-threshold-counts": "yes"}
    assert list(policy.notification_channels) == [CHANNEL]


@pytest.mark.parametrize(
    "alarm",
    [
        replace(ALARM, series=SeriesQuery(CPU, {}, "p90")),
        replace(ALARM, series=SeriesQuery(LATENCY, {}, "count")),
        replace(ALARM, series=SeriesQuery("no/such/metric")),
        replace(ALARM, period=timedelta(seconds=90)),
        replace(ALARM, threshold=float("nan")),
        replace(ALARM, tags={"Team": "risk"}),
    ],
)
def test_what_monitoring_cannot_do_is_refused(world: MonitoringWorld, alarms: GcpAlarms, alarm: Alarm) -> None:
    with pytest.raises(InvalidRequest) as refused:
        alarms.put(alarm)
    assert refused.value.why
    assert world.policies == {}


@pytest.mark.parametrize(
    ("missing", "lasts"), [("ignore", timedelta()), ("ok", timedelta(minutes=1)), ("breaching", timedelta(minutes=1))]
)
def test_a_rule_of_one_period_lasts_a_minute_where_missing_data_mean_something(
    world: MonitoringWorld, alarms: GcpAlarms, missing: Literal["breaching", "ok", "ignore"], lasts: timedelta
) -> None:
    one = replace(ALARM, periods=1, missing=missing)
    alarms.put(one)
    (policy,) = world.policies.values()
    assert policy.conditions[0].condition_threshold.duration == lasts
    assert [found.alarm for found in alarms.list()] == [one]


@pytest.mark.parametrize(
    ("metric", "labels", "filter_end", "told"),
    [
        (CPU, {}, ' AND resource.type = "gce_instance"', {}),
        ("many", {}, ' AND resource.type = one_of("aws_ec2_instance", "gce_instance")', {}),
        ("many", {"resource.type": "gce_instance"}, ' AND resource.type = "gce_instance"', {"resource.type": "gce_instance"}),
        ("mine", {"resource.type": "global"}, ' AND resource.type = "global"', {"resource.type": "global"}),
    ],
)
def test_a_rule_names_the_kind_of_resource(
    world: MonitoringWorld, alarms: GcpAlarms, metric: str, labels: dict[str, str], filter_end: str, told: dict[str, str]
) -> None:
    world.add_metric("many", resources=("gce_instance", "aws_ec2_instance"))
    world.add_metric("mine", resources=())
    alarms.put(replace(ALARM, series=SeriesQuery(metric, labels)))
    (policy,) = world.policies.values()
    assert policy.conditions[0].condition_threshold.filter == f'metric.type = "{metric}"{filter_end}'
    assert [found.alarm.series for found in alarms.list()] == [SeriesQuery(metric, told)]


def test_a_metric_of_any_resource_needs_its_kind(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    world.add_metric("mine", resources=())
    with pytest.raises(InvalidRequest) as refused:
        alarms.put(replace(ALARM, series=SeriesQuery("mine")))
    assert refused.value.why == "mine may be of any resource: give the series the label 'resource.type'"


def test_samples_that_are_still_on_their_way_are_waited_for(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    """The last minutes are empty: that is late, not missing."""
    now = datetime.now(UTC)
    world.add_metric("late", late=timedelta(minutes=4))
    world.add("late", minutes(now - timedelta(minutes=14), *[42.0] * 10))
    alarms.put(Alarm("late", SeriesQuery("late"), "<", 1.0, timedelta(minutes=1), 2, "breaching"))
    assert [found.state for found in alarms.list()] == ["ok"]


def test_what_a_person_wrote_on_a_policy_stays(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    alarms.put(ALARM)
    (policy,) = world.policies.values()
    policy.documentation.content = "Call Ann."
    alarms.put(replace(ALARM, threshold=0.5, tags={}))
    (policy,) = world.policies.values()
    assert (policy.documentation.content, dict(policy.user_labels)) == ("Call Ann.", {})
    assert policy.conditions[0].condition_threshold.threshold_value == 0.5


def test_policies_that_are_no_alarms_are_passed_over(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    from google.cloud.monitoring_v3 import AlertPolicy

    grouped = {"alignment_period": timedelta(minutes=1), "per_series_aligner": "ALIGN_MEAN", "cross_series_reducer": "REDUCE_MEAN"}
    grouped |= {"group_by_fields": ["resource.labels.zone"]}
    odd: list[dict[str, Any]] = [
        {"condition_absent": {"filter": f'metric.type = "{CPU}"'}},
        {"condition_threshold": {"filter": f'metric.type = starts_with("{CPU}")', "comparison": "COMPARISON_GT", "aggregations": [{}]}},
        {"condition_threshold": {"filter": f'metric.type = "{CPU}"', "comparison": "COMPARISON_GT"}},
        {"condition_threshold": {"filter": f'metric.type = "{CPU}"', "comparison": "COMPARISON_GT", "aggregations": [grouped]}},
    ]
    for number, condition in enumerate(odd):
        world.policies[f"p{number}"] = AlertPolicy(name=f"p{number}", display_name="odd", conditions=[condition])
    assert alarms.list() == []


def test_all_pages(world: MonitoringWorld, alarms: GcpAlarms) -> None:
    world.page = 2
    for number in range(5):
        alarms.put(replace(ALARM, name=f"hot-{number}"))
    assert [found.alarm.name for found in alarms.list("hot-")] == [f"hot-{number}" for number in range(5)]


@pytest.mark.parametrize("reached", [False, True])
def test_a_create_whose_answer_is_lost_is_made_once(stub: GrpcStub, world: MonitoringWorld, alarms: GcpAlarms, reached: bool) -> None:
    create = "/google.monitoring.v3.AlertPolicyService/CreateAlertPolicy"

    def broken(call: Call) -> object:
        if reached:
            world._CreateAlertPolicy(call)
        stub.on(create, world._CreateAlertPolicy)
        raise GrpcError("UNAVAILABLE", "try later")

    stub.on(create, broken)
    alarms.put(ALARM)
    assert len(world.policies) == 1
    assert world.applied == (2 if reached else 1)  # what is there already is made so once more


def test_a_service_that_stays_away(stub: GrpcStub, alarms: GcpAlarms) -> None:
    stub.script(*[Fail(GrpcError("UNAVAILABLE", "try later"))] * 40)
    with pytest.raises(Unavailable) as away:
        alarms.put(ALARM)
    assert away.value.why == "Google answered 503: try later"
