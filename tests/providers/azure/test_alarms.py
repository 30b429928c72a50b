"""Metric alert rules against the ARM stub."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.alarms import Alarm, Alarms
from mcml.providers.api.metrics import SeriesQuery
from mcml.providers.azure.alarms import AzureAlarms
from mcml.providers.azure.session import Session
from mcml.testing.contracts.alarms import AlarmsContract, Steady
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.monitor_world import CPU, MACHINE, MonitorWorld, steady

PERIOD = timedelta(minutes=5)
BUSY = SeriesQuery(CPU, {"resource": id_of(MACHINE, "m1")})
ALARM = Alarm("mcml-cpu", BUSY, ">", 80.0, PERIOD)


@pytest.fixture
def world(arm: ArmStub) -> MonitorWorld:
    return MonitorWorld(arm, {"m1": steady(50.0)})


class TestAlarms(AlarmsContract):
    """The contract."""

    meanings: tuple[Literal["breaching", "ok", "ignore"], ...] = ("ok", "ignore")
    periods = 1

    @pytest.fixture
    def alarms(self, arm_session: Session, world: MonitorWorld) -> Alarms:
        return AzureAlarms(arm_session)

    @pytest.fixture
    def steady(self) -> Steady:
        return Steady(BUSY, 50.0, PERIOD, replace(BUSY, labels={"resource": id_of(MACHINE, "m2")}))


def test_what_is_put(arm: ArmStub, arm_session: Session, world: MonitorWorld) -> None:
    groups = [id_of("Microsoft.Insights/actionGroups", name) for name in ("ops", "night")]
    notify = ",".join(groups)
    series = replace(BUSY, metric=f"{MACHINE}/{CPU}", labels={**BUSY.labels, "LUN": "0"}, statistic="maximum")
    asked = replace(ALARM, series=series, period=timedelta(hours=6), notify=notify, tags={"team": "risk"})
    AzureAlarms(arm_session).put(asked)
    (put,) = arm.sent("PUT")
    said = put.body["properties"]
    assert (put.body["location"], put.body["tags"]) == ("global", {"team": "risk", "managed-by": "mcml", "mcml-missing": "ignore"})
    assert (said["windowSize"], said["evaluationFrequency"], said["scopes"]) == ("PT6H", "PT1H", [id_of(MACHINE, "m1")])
    (condition,) = said["criteria"]["allOf"]
    assert (condition["metricName"], condition["metricNamespace"], condition["timeAggregation"]) == (CPU, MACHINE, "Maximum")
    assert condition["dimensions"] == [{"name": "LUN", "operator": "Include", "values": ["0"]}]
    assert said["actions"] == [{"actionGroupId": group} for group in groups]
    assert [found.alarm for found in AzureAlarms(arm_session).list()] == [asked]


def test_rules_that_say_more_are_left_out(arm_session: Session, world: MonitorWorld) -> None:
    alarms = AzureAlarms(arm_session)
    alarms.put(ALARM)
    learned = {
        "criterionType": "DynamicThresholdCriterion", "name": "c", "metricName": CPU, "timeAggregation": "Average",
        "operator": "GreaterThan", "alertSensitivity": "High",
        "failingPeriods": {"numberOfEvaluationPeriods": 4, "minFailingPeriodsToAlert": 4},
    }  # fmt: skip
    kind = "Microsoft.Azure.Monitor.MultipleResourceMultipleMetricCriteria"
    said = {**world.rules["mcml-cpu"]["properties"], "criteria": {"odata.type": kind, "allOf": [learned]}}
    world.rules["learned"] = {**world.rules["mcml-cpu"], "name": "learned", "properties": said}
    both = {**world.rules["mcml-cpu"]["properties"], "scopes": [id_of(MACHINE, "m1"), id_of(MACHINE, "m2")]}
    world.rules["two"] = {**world.rules["mcml-cpu"], "name": "two", "properties": both}
    assert [found.alarm.name for found in alarms.list()] == ["mcml-cpu"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(ALARM, name="a/b"), "name"), (replace(ALARM, name="a."), "name"),
        (replace(ALARM, threshold=float("nan")), "no condition"), (replace(ALARM, period=timedelta(minutes=2)), "no window of 0:02:00"),
        (replace(ALARM, periods=3), "not at 3"), (replace(ALARM, missing="breaching"), "missing data"),
        (replace(ALARM, notify="ops@example.org"), "action group"),
        (replace(ALARM, series=replace(BUSY, statistic="p99")), "no percentiles"),
        (replace(ALARM, series=replace(BUSY, labels={})), "resource"),
    ],
)  # fmt: skip
def test_what_azure_cannot_say_is_refused(arm: ArmStub, arm_session: Session, world: MonitorWorld, wrong: Alarm, why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AzureAlarms(arm_session).put(wrong)
    assert why in caught.value.why
    assert arm.requests == []


def test_a_rule_whose_resource_is_gone_hides_no_other(arm_session: Session, world: MonitorWorld) -> None:
    alarms = AzureAlarms(arm_session)
    alarms.put(ALARM)
    alarms.put(replace(ALARM, name="ghost", series=replace(BUSY, labels={"resource": id_of(MACHINE, "ghost")})))
    assert [(found.alarm.name, found.state) for found in alarms.list()] == [("ghost", "no data"), ("mcml-cpu", "ok")]
    assert alarms.delete("a/b") is False
