"""Alarms on Azure: metric alert rules of the settings' resource group. https://learn.microsoft.com/rest/api/monitor/metric-alerts

A rule looks at one window (`period`), with one statistic: "beyond in each of several periods" cannot be said (periods must be 1), and a
rule says nothing when there is no data (`missing` cannot be "breaching"). `notify`: ids of action groups. Rules that are none of
ours to read (of several conditions or resources, with learned thresholds) are left out of the listing.
"""

import builtins
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.alarms import Alarm, Alarms, AlarmStatus
from mcml.providers.api.metrics import SeriesQuery, Statistic, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import MADE_BY, group_of, pages, parse_id, text
from mcml.providers.azure.metrics import AGGREGATIONS, RESOURCE, STEPS, AzureMetrics, aggregation_of, resource_of, split_name
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

MISSING_TAG = "mcml-missing"
SEVERITY = 2  # "warning", of 0 (critical) to 4 (verbose)
SLOWEST = timedelta(hours=1)  # a rule is looked at once an hour or more often
SINGLE = "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"
_OPERATORS: Mapping[str, str] = {">": "GreaterThan", ">=": "GreaterThanOrEqual", "<": "LessThan", "<=": "LessThanOrEqual"}
_COMPARISONS: Mapping[str, Literal[">", ">=", "<", "<="]] = {
    "GreaterThan": ">", "GreaterThanOrEqual": ">=", "LessThan": "<", "LessThanOrEqual": "<="
}  # fmt: skip
_STATISTICS: Mapping[str, Statistic] = {azure: ours for ours, azure in AGGREGATIONS.items()}
_BAD_NAME = re.compile(r"[#<>%&:\\?/*+@\x00-\x1f]|[. ]$")


def open_alarms(ctx: ProviderContext) -> Alarms:
    """Return the alert rules of the settings' resource group."""
    return AzureAlarms(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AzureAlarms:
    """Metric alert rules with one condition on one resource."""

    session: Session

    def list(self, prefix: str = "") -> builtins.list[AlarmStatus]:
        """Return the rules whose name starts so, by name, each with its state now."""
        group = group_of(self.session)
        listed = pages(self.session, "list alert rules", self._monitor.metric_alerts.list_by_resource_group(group))
        alarms = [alarm for rule in listed if str(rule.name).startswith(prefix) and (alarm := to_alarm(rule)) is not None]
        return [AlarmStatus(alarm, self._state(alarm)) for alarm in sorted(alarms, key=lambda one: one.name)]

    def put(self, alarm: Alarm) -> None:
        """Create it or make it so. Raises InvalidRequest for what Azure's rules cannot say, or a metric that the resource does not have."""
        from azure.mgmt.monitor import models

        check(alarm)
        namespace, name = split_name(alarm.series.metric)
        dimensions = [
            models.MetricDimension(name=label, operator="Include", values=[value])
            for label, value in sorted(alarm.series.labels.items())
            if label != RESOURCE
        ]
        condition = models.MetricCriteria(
            name="condition", metric_name=name, metric_namespace=namespace or None, operator=_OPERATORS[alarm.comparison],
            threshold=alarm.threshold, time_aggregation=aggregation_of(alarm.series.statistic), dimensions=dimensions,
        )  # fmt: skip
        rule = models.MetricAlertResource(
            location="global",
            tags={**alarm.tags, **MADE_BY, MISSING_TAG: alarm.missing},
            description=f"{alarm.series.statistic} of {name} {alarm.comparison} {alarm.threshold:g}",
            severity=SEVERITY,
            enabled=True,
            scopes=[resource_of(alarm.series)],
            evaluation_frequency=min(alarm.period, SLOWEST),
            window_size=alarm.period,
            criteria=models.MetricAlertSingleResourceMultipleMetricCriteria(all_of=[condition]),
            auto_mitigate=True,
            actions=[models.MetricAlertAction(action_group_id=group) for group in alarm.told],
        )
        group, alerts = group_of(self.session), self._monitor.metric_alerts
        self.session.call(f"put alert rule {alarm.name}", lambda: alerts.create_or_update(group, alarm.name, rule))

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone."""
        if not name or _BAD_NAME.search(name):
            return False
        group, alerts = group_of(self.session), self._monitor.metric_alerts
        try:
            self.session.call(f"look at alert rule {name}", lambda: alerts.get(group, name))
        except NotFound:
            return False
        self.session.call(f"delete alert rule {name}", lambda: alerts.delete(group, name))
        return True

    @cached_property
    def _monitor(self) -> Any:
        from azure.mgmt.monitor import MonitorManagementClient

        return self.session.management(MonitorManagementClient)

    def _state(self, alarm: Alarm) -> Literal["ok", "alarm", "no data"]:
        """Return what the rule says; one that fires for nothing is asked whether there was anything to see."""
        group, statuses = group_of(self.session), self._monitor.metric_alerts_status
        try:
            answer = self.session.call(f"ask for the state of alert rule {alarm.name}", lambda: statuses.list(group, alarm.name))
        except NotFound:  # deleted while we looked, or not looked at yet
            return "no data"
        if any(text(one.properties.status).lower() == "unhealthy" for one in answer.value or () if one.properties is not None):
            return "alarm"
        return "ok" if alarm.missing == "ok" or self._measured(alarm) else "no data"

    def _measured(self, alarm: Alarm) -> bool:
        now = self.session.clock().replace(second=0, microsecond=0)
        try:
            points = AzureMetrics(self.session).query(alarm.series, Window(now - alarm.period, now, alarm.period))
        except (NotFound, InvalidRequest):  # the resource is gone: one rule must not hide the others
            return False
        return any(point.value is not None for point in points)


def check(alarm: Alarm) -> None:
    """Raise InvalidRequest for what a metric alert rule cannot say."""
    if not alarm.name or _BAD_NAME.search(alarm.name) or len(alarm.name) > 260:
        raise _refused(alarm, "a rule's name is not empty, has none of # < > % & : \\ ? / * + @, and does not end in a dot or space")
    if alarm.comparison not in _OPERATORS or not math.isfinite(alarm.threshold):
        raise _refused(alarm, f"{alarm.comparison!r} {alarm.threshold} is no condition")
    if alarm.period not in STEPS:
        raise _refused(alarm, f"Azure has no window of {alarm.period}", f"one of {', '.join(str(step) for step in STEPS)}")
    if alarm.periods != 1:
        raise _refused(alarm, f"Azure looks at one window, not at {alarm.periods}", "use one period, as long as all of them together")
    if alarm.missing not in ("ok", "ignore"):
        raise _refused(alarm, "an Azure rule does not fire for missing data", 'use missing="ok" or "ignore"')
    if any(parse_id(group, "Microsoft.Insights/actionGroups") is None for group in alarm.told):
        raise _refused(alarm, f"notify must be the id of an action group, and is {alarm.notify[:200]!r}", "az monitor action-group list")


def to_alarm(rule: Any) -> Alarm | None:
    """Return a rule as an alarm; None for one that says more than an alarm can."""
    conditions = getattr(rule.criteria, "all_of", None) or []
    if getattr(rule.criteria, "odata_type", "") != SINGLE or len(conditions) != 1 or len(rule.scopes or ()) != 1:
        return None
    (condition,), tags = conditions, dict(rule.tags or {})
    dimensions = {one.name: one.values for one in condition.dimensions or ()}
    comparison, statistic = _COMPARISONS.get(text(condition.operator)), _STATISTICS.get(text(condition.time_aggregation))
    if comparison is None or statistic is None or any(len(values) != 1 for values in dimensions.values()):
        return None
    metric = f"{condition.metric_namespace}/{condition.metric_name}" if condition.metric_namespace else str(condition.metric_name)
    scope = str(parse_id(rule.scopes[0]) or rule.scopes[0])
    series = SeriesQuery(metric, {RESOURCE: scope, **{name: values[0] for name, values in dimensions.items()}}, statistic)
    missing: Literal["ok", "ignore"] = "ok" if tags.get(MISSING_TAG) == "ok" else "ignore"
    notify = ",".join(str(action.action_group_id) for action in rule.actions or ())
    shown = {name: value for name, value in tags.items() if name != MISSING_TAG and (name, value) not in MADE_BY.items()}
    return Alarm(str(rule.name), series, comparison, float(condition.threshold), rule.window_size, 1, missing, notify, shown)


def _refused(alarm: Alarm, why: str, step: str = "") -> InvalidRequest:
    return InvalidRequest(f"cannot put the alert rule {alarm.name!r}", why=why, next_step=step)
