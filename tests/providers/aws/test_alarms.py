"""Alarms of CloudWatch: the contract on the stub (moto server's alarms look at nothing), what moto server has on moto server."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.alarms import Alarm, Alarms
from mcml.providers.api.metrics import SeriesQuery
from mcml.providers.aws.alarms import CloudWatchAlarms, alarm_parameters
from mcml.providers.aws.session import Session
from mcml.testing.contracts.alarms import AlarmsContract, Steady
from tests.providers.aws.cloudwatch_stub import CloudWatch, serving
from tests.providers.aws.conftest import MakeSession

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:pages"
RULE = Alarm("busy", SeriesQuery("AWS/EC2:CPUUtilization", {"InstanceId": "i-1"}), ">", 80, MINUTE, 3)


@pytest.fixture
def cloudwatch() -> CloudWatch:
    kept = CloudWatch(NOON)
    kept.measure("acme:Jobs", {NOON - number * MINUTE: 1000 for number in range(1, 10)}, model="fraud")
    return kept


@pytest.fixture
def alarms(make_session: MakeSession, cloudwatch: CloudWatch) -> Iterator[CloudWatchAlarms]:
    with serving(cloudwatch) as stub:
        yield CloudWatchAlarms(make_session(endpoint_url=stub.url))


class TestCloudWatch(AlarmsContract):
    @pytest.fixture
    def alarms(self, alarms: CloudWatchAlarms) -> Alarms:
        return alarms

    @pytest.fixture
    def steady(self) -> Steady:
        return Steady(SeriesQuery("acme:Jobs", {"model": "fraud"}), 1000.0, MINUTE, SeriesQuery("acme:Jobs", {"model": "other"}))


def test_every_field_is_kept_on_moto_server_too(session: Session) -> None:
    """And tags that change: CloudWatch leaves those of an alarm that is there as they are."""
    alarms, name = CloudWatchAlarms(session), f"rule-{uuid4().hex}"
    series = SeriesQuery("acme:Latency", {"b": "2", "a": "1"}, "p99")
    rule = Alarm(name, series, "<=", 1.5, 5 * MINUTE, 7, "breaching", f"{TOPIC},{TOPIC}-2", {"team": "risk"})
    for asked in (rule, rule, replace(rule, tags={"owner": "ml"}, notify="", series=SeriesQuery("acme:Latency", {}, "count"))):
        alarms.put(asked)
        (found,) = alarms.list(name)
        assert found.alarm == asked
        assert found.state in ("no data", "ok")
    session.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert [one.state for one in alarms.list(name)] == ["alarm"]
    (arn,) = (one["AlarmArn"] for one in session.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"])
    assert {"Key": "managed-by", "Value": "mcml"} in session.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert alarms.delete(name) is True
    assert alarms.delete(name) is False


def test_listed_over_many_pages(alarms: CloudWatchAlarms) -> None:
    for number in range(7):
        alarms.put(replace(RULE, name=f"rule-{number}"))
    assert [one.alarm.name for one in alarms.list("rule-")] == [f"rule-{number}" for number in range(7)]


def test_what_is_no_alarm_of_ours_is_left_out(session: Session) -> None:
    """Over a formula: the protocol has no words for it."""
    name, cloudwatch = f"formula-{uuid4().hex}", session.client("cloudwatch")
    metric = {"Metric": {"Namespace": "acme", "MetricName": "Jobs"}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": "m1", "MetricStat": metric, "ReturnData": False}, {"Id": "e1", "Expression": "m1*2"}]
    cloudwatch.put_metric_alarm(
        AlarmName=name, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Threshold=1, Metrics=queries
    )
    assert CloudWatchAlarms(session).list(name) == []


def test_who_is_told() -> None:
    asked = alarm_parameters(replace(RULE, notify=f"{TOPIC}, {TOPIC}-2"))
    assert asked["AlarmActions"] == asked["OKActions"] == [TOPIC, f"{TOPIC}-2"]
    assert asked["Dimensions"] == [{"Name": "InstanceId", "Value": "i-1"}]
    assert (asked["Statistic"], asked["TreatMissingData"]) == ("Average", "missing")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RULE, threshold=float("nan")),
        replace(RULE, period=timedelta(seconds=45)),
        replace(RULE, notify=f"{TOPIC},mailto:x@example.com"),
        replace(RULE, series=SeriesQuery("CPUUtilization")),
        replace(RULE, series=SeriesQuery("AWS/EC2:")),
        replace(RULE, comparison="!="),  # type: ignore[arg-type]
        replace(RULE, missing="maybe"),  # type: ignore[arg-type]
    ],
)
def test_rules_that_cannot_be_are_refused(alarms: CloudWatchAlarms, wrong: Alarm) -> None:
    with pytest.raises(InvalidRequest) as refused:
        alarms.put(wrong)
    assert refused.value.why
    assert alarms.list() == []
