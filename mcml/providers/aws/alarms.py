"""Alarms of CloudWatch: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html

CloudWatch watches and tells by itself: `notify` is the ARN of an SNS topic (or another action), told when the alarm begins and ends.
"""

import builtins
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.alarms import Alarm, Alarms, AlarmStatus
from mcml.providers.api.metrics import SeriesQuery, Statistic
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.metrics import STATISTICS
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, tag_list, tags_of
from mcml.providers.resilience import Policy

ASKED_AT_ONCE = 8
SHORT_PERIODS = (10, 20, 30)
State = Literal["ok", "alarm", "no data"]
Comparison = Literal[">", ">=", "<", "<="]
Missing = Literal["breaching", "ok", "ignore"]
_STATES: Mapping[str, State] = {"OK": "ok", "ALARM": "alarm", "INSUFFICIENT_DATA": "no data"}
_COMPARISONS: Mapping[Comparison, str] = {
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
}
_MISSING: Mapping[Missing, str] = {"breaching": "breaching", "ok": "notBreaching", "ignore": "missing"}


def open_alarms(ctx: ProviderContext) -> Alarms:
    """Return the CloudWatch alarms of the context's region."""
    return CloudWatchAlarms(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class CloudWatchAlarms:
    """Alarms of one region over one metric each. `page` is how many are asked for at once (at most 100)."""

    session: Session
    page: int = 100

    def list(self, prefix: str = "") -> builtins.list[AlarmStatus]:
        """Return the alarms whose name starts so, with their state; those over a formula, an anomaly band or other alarms are left out.

        An alarm that a person made with "ignore" (keep the state) for missing data shows as "ignore", as ours do ("missing").
        """
        asked: dict[str, Any] = {"AlarmTypes": ["MetricAlarm"], "MaxRecords": self.page} | ({"AlarmNamePrefix": prefix} if prefix else {})
        listed = paged(self.session, "cannot list the alarms", "cloudwatch", "describe_alarms", "MetricAlarms", **asked)
        found = [one for one in listed if "MetricName" in one and one["ComparisonOperator"] in _COMPARISONS.values()]
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return [status for status in pool.map(self._status, found) if status is not None]

    def put(self, alarm: Alarm) -> None:
        """Create it or make it so, its tags too. Raises InvalidRequest for a period that CloudWatch has not, or what it refuses."""
        asked, doing = alarm_parameters(alarm), f"cannot put the alarm {alarm.name!r}"
        self.session.call(doing, lambda: self._cloudwatch.put_metric_alarm(**asked))
        described = self._described(doing, alarm.name)
        if described is None:
            return  # deleted by somebody else just now
        arn = described["AlarmArn"]
        there, wanted = self._tags(doing, arn), {**alarm.tags, **OURS}
        surplus = [key for key in there if key not in wanted and not key.startswith("aws:")]
        if surplus:
            self.session.call(doing, lambda: self._cloudwatch.untag_resource(ResourceARN=arn, TagKeys=surplus))
        if any(there.get(key) != value for key, value in wanted.items()):
            self.session.call(doing, lambda: self._cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(wanted)))

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone."""
        doing = f"cannot delete the alarm {name!r}"
        if self._described(doing, name) is None:
            return False
        try:
            self.session.call(doing, lambda: self._cloudwatch.delete_alarms(AlarmNames=[name]))
        except NotFound:  # gone by our own first try, or by somebody else's
            return True
        return True

    @property
    def _cloudwatch(self) -> Any:
        return self.session.client("cloudwatch")

    def _described(self, doing: str, name: str) -> Any:
        asked = {"AlarmNames": [name], "AlarmTypes": ["MetricAlarm"]}
        return next(iter(self.session.call(doing, lambda: self._cloudwatch.describe_alarms(**asked))["MetricAlarms"]), None)

    def _tags(self, doing: str, arn: str) -> dict[str, str]:
        return tags_of(self.session.call(doing, lambda: self._cloudwatch.list_tags_for_resource(ResourceARN=arn))["Tags"])

    def _status(self, said: Mapping[str, Any]) -> AlarmStatus | None:
        try:
            tags = self._tags("cannot read the tags of the alarms", said["AlarmArn"])
        except NotFound:  # deleted while we looked
            return None
        return to_status(said, {key: value for key, value in tags.items() if OURS.get(key) != value})


def alarm_parameters(alarm: Alarm) -> dict[str, Any]:
    """Return the parameters of PutMetricAlarm. Raises InvalidRequest for an alarm that cannot be."""
    namespace, colon, name = alarm.series.metric.partition(":")
    if not (alarm.name and colon and namespace and name):
        why = "it has no name" if not alarm.name else f"{alarm.series.metric!r} is no metric of CloudWatch: they are named NAMESPACE:NAME"
        raise _refused(alarm, why)
    if alarm.comparison not in _COMPARISONS or alarm.missing not in _MISSING or alarm.series.statistic not in STATISTICS:
        raise _refused(alarm, f"{alarm.comparison!r}, {alarm.missing!r} or {alarm.series.statistic!r} is unknown")
    seconds = alarm.period.total_seconds()
    if alarm.periods < 1 or seconds <= 0 or (seconds not in SHORT_PERIODS and seconds % 60):
        raise _refused(alarm, f"{alarm.periods} periods of {alarm.period}: CloudWatch has 10, 20, 30 seconds, and whole minutes")
    if not math.isfinite(alarm.threshold):
        raise _refused(alarm, f"the threshold {alarm.threshold} is no number")
    if not all(name.startswith("arn:") for name in alarm.told):
        raise _refused(alarm, f"{alarm.notify!r} cannot be told: CloudWatch tells an SNS topic, named by its ARN")
    statistic = STATISTICS[alarm.series.statistic]
    actions = list(alarm.told)
    return {
        "AlarmName": alarm.name,
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in sorted(alarm.series.labels.items())],
        "ExtendedStatistic" if alarm.series.statistic.startswith("p") else "Statistic": statistic,
        "ComparisonOperator": _COMPARISONS[alarm.comparison],
        "Threshold": alarm.threshold,
        "Period": int(seconds),
        "EvaluationPeriods": alarm.periods,
        "TreatMissingData": _MISSING[alarm.missing],
        "AlarmActions": actions,
        "OKActions": actions,
        "Tags": tag_list(alarm.tags, OURS),
    }


def to_status(said: Mapping[str, Any], tags: Mapping[str, str]) -> AlarmStatus:
    """Return an alarm as CloudWatch describes it."""
    words: dict[str, Statistic] = {word: statistic for statistic, word in STATISTICS.items()}
    statistic = words.get(said.get("Statistic") or said.get("ExtendedStatistic", ""), "average")
    labels = {one["Name"]: one["Value"] for one in said.get("Dimensions", ())}
    comparisons: dict[str, Comparison] = {word: comparison for comparison, word in _COMPARISONS.items()}
    gaps: dict[str, Missing] = {word: missing for missing, word in _MISSING.items()}
    alarm = Alarm(
        said["AlarmName"],
        SeriesQuery(f"{said['Namespace']}:{said['MetricName']}", labels, statistic),
        comparisons[said["ComparisonOperator"]],
        said["Threshold"],
        timedelta(seconds=said["Period"]),
        said["EvaluationPeriods"],
        gaps.get(said.get("TreatMissingData", ""), "ignore"),
        ",".join(said.get("AlarmActions", ())),
        dict(tags),
    )
    return AlarmStatus(alarm, _STATES[said["StateValue"]])


def _refused(alarm: Alarm, why: str) -> InvalidRequest:
    return InvalidRequest(f"cannot put the alarm {alarm.name!r}", why=why)
