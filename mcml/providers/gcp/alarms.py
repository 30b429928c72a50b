"""Alarms on Cloud Monitoring: alert policies with one threshold condition (gRPC only).

https://cloud.google.com/monitoring/api/ref_v3/rpc/google.monitoring.v3#google.monitoring.v3.AlertPolicyService. Every policy of the project
that has one such condition over one metric, folded in a way that `alarm_plan` knows, is an alarm; others are not listed. Monitoring knows
"above" and "below" only: a threshold that counts itself is written as the nearest number before it, with a label that says so. A rule of
one period that says what no data means has to last a minute (Monitoring refuses it otherwise): it is written so, with a label. A rule must
name the kind of resource: those that the metric can have, unless the series has the label "resource.type". A policy's other labels are the
tags. The API tells no incidents, so the state is worked out from the metric when it is asked for, as the rule says, up to the time from
which on samples may still be on their way (the metric's `ingestDelay`).
"""

import builtins
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from mcml.core.errors import InvalidRequest, McmlError, NotFound
from mcml.providers.api.alarms import Alarm, Alarms, AlarmStatus
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.metrics import RESOURCE_TYPE, GcpMetrics
from mcml.providers.gcp.metrics_plan import MINUTE, Kind, alarm_plan, statistic_of
from mcml.providers.gcp.rpc import rpc, rpc_pages
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

PAGE = 500
INCLUSIVE = "mcml-threshold-counts"
"""The label of a policy whose threshold was given as ">=" or "<="."""
ONE_PERIOD = "mcml-one-period"
"""The label of a policy of one period that lasts a minute all the same, since it says what no data means."""
MANAGED = ("combiner", "conditions", "user_labels", "notification_channels")
"""What `put` changes of a policy that is there; its documentation and strategy stay a person's."""
MOST_FILTER = 2048
_BEYOND: Mapping[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_MISSING: dict[str, Literal["breaching", "ok", "ignore"]] = {
    "EVALUATION_MISSING_DATA_ACTIVE": "breaching",
    "EVALUATION_MISSING_DATA_INACTIVE": "ok",
    "EVALUATION_MISSING_DATA_NO_OP": "ignore",
    "EVALUATION_MISSING_DATA_UNSPECIFIED": "ignore",
}
_WRITTEN = {meaning: name for name, meaning in _MISSING.items()}  # "ignore" as UNSPECIFIED, which alone is allowed without a duration
_KINDS = re.compile(r'resource\.type\s*=\s*(?:one_of\()?("[\w./-]+"(?:\s*,\s*"[\w./-]+")*)\)?')
_TERM = re.compile(r'(?:(metric)\.type|(metric|resource)\.labels?\.(\w+))\s*=\s*("(?:[^"\\]|\\.)*")')


def open_alarms(ctx: ProviderContext) -> Alarms:
    """Return the alarms of the project."""
    return GcpAlarms(Session(ctx, policy=Policy(budget=ctx.budget)))


class GcpAlarms:
    """Alert policies of one project."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._metrics = GcpMetrics(session)

    def list(self, prefix: str = "") -> builtins.list[AlarmStatus]:
        """Return the alarms whose name starts so, by name, with the state that their metric has now."""
        found = [policy for policy in self._policies() if policy.display_name.startswith(prefix)]
        alarms = [alarm for alarm in map(self._read, found) if alarm is not None]
        return [AlarmStatus(alarm, self._state(alarm)) for alarm in sorted(alarms, key=lambda alarm: alarm.name)]

    def put(self, alarm: Alarm) -> None:
        """Create it or make it so. `notify` is a notification channel's name ("projects/P/notificationChannels/N").

        Raises InvalidRequest for what cannot be: a period that is not whole minutes, a statistic or metric that Monitoring cannot watch.
        """
        _check(alarm)
        doing, policy = f"cannot put the alarm {alarm.name!r}", self._policy(alarm)

        def write() -> None:  # a create has no token: whether one was made is looked up before the next
            self._write(doing, policy, self._named(alarm.name))

        self._session.call(doing, write)

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone."""
        found = self._named(name)
        gone = [self._delete(policy) for policy in found]
        return any(gone)

    def _write(self, doing: str, policy: dict[str, Any], there: builtins.list[Any]) -> None:
        if there:
            changed = {"alert_policy": {**policy, "name": there[0].name}, "update_mask": {"paths": MANAGED}}
            rpc(self._session, doing, _client(), "update_alert_policy", changed)
            return
        asked = {"name": f"projects/{self._session.project()}", "alert_policy": policy}
        rpc(self._session, doing, _client(), "create_alert_policy", asked, repeatable=False)

    def _delete(self, policy: Any) -> bool:
        session, tries = self._session, 0

        def delete() -> bool:
            nonlocal tries
            tries += 1
            session.service(_client()).delete_alert_policy(name=policy.name, **session.rpc_options)
            return True

        try:
            return session.call(f"cannot delete the alarm {policy.display_name!r}", delete)
        except NotFound:
            return tries > 1  # an earlier try, whose answer was lost, deleted it

    def _policies(self, wanted: str = "") -> builtins.list[Any]:
        request = {"name": f"projects/{self._session.project()}", "filter": wanted, "page_size": PAGE}
        found = rpc_pages(self._session, "cannot list the alarms", _client(), "list_alert_policies", request, "alert_policies")
        return [policy for policy in found if _is_alarm(policy)]

    def _named(self, name: str) -> builtins.list[Any]:
        found = self._policies(f"display_name = {json.dumps(name, ensure_ascii=False)}") if name else []
        return [policy for policy in found if policy.display_name == name]

    def _policy(self, alarm: Alarm) -> dict[str, Any]:
        try:
            how = alarm_plan(Kind.of(self._metrics.descriptor(alarm.series.metric)), alarm.series.statistic)
            wanted = self._filter(alarm)
        except NotFound as unknown:
            raise _refused(alarm, unknown.why, unknown.message) from unknown
        above, counts = alarm.comparison.startswith(">"), alarm.comparison.endswith("=")
        threshold = math.nextafter(alarm.threshold, -math.inf if above else math.inf) if counts else alarm.threshold
        stretched = alarm.periods == 1 and alarm.missing != "ignore"
        duration = MINUTE if stretched else alarm.period * (alarm.periods - 1)
        condition = {
            "filter": wanted,
            "aggregations": [how.request(alarm.period)],
            "comparison": "COMPARISON_GT" if above else "COMPARISON_LT",
            "threshold_value": threshold,
            "duration": duration,
            "evaluation_missing_data": _WRITTEN[alarm.missing],
        }
        own = ({INCLUSIVE: "yes"} if counts else {}) | ({ONE_PERIOD: "yes"} if stretched else {})
        return {
            "display_name": alarm.name,
            "combiner": "OR",
            "conditions": [{"display_name": alarm.name, "condition_threshold": condition}],
            "user_labels": {**alarm.tags, **own},
            "notification_channels": list(alarm.told),
        }

    def _filter(self, alarm: Alarm) -> str:
        """Return the series with its kind of resource, which a rule must name. Raises NotFound, InvalidRequest."""
        wanted = self._metrics.filter_of(alarm.series)
        if RESOURCE_TYPE not in alarm.series.labels:
            kinds = [json.dumps(kind) for kind in self._kinds(alarm.series.metric)]
            if not kinds:
                raise _refused(alarm, f"{alarm.series.metric} may be of any resource: give the series the label {RESOURCE_TYPE!r}")
            wanted += f" AND {RESOURCE_TYPE} = " + (kinds[0] if len(kinds) == 1 else f"one_of({', '.join(kinds)})")
        if len(wanted) > MOST_FILTER:
            why = f"its filter has {len(wanted)} characters, Cloud Monitoring takes {MOST_FILTER}"
            raise _refused(alarm, f"{why}: give the series fewer labels, or the label {RESOURCE_TYPE!r}")
        return wanted

    def _kinds(self, metric: str) -> builtins.list[str]:
        return sorted(self._metrics.descriptor(metric).monitored_resource_types)

    def _read(self, policy: Any) -> Alarm | None:
        condition = policy.conditions[0].condition_threshold
        (folding,) = condition.aggregations
        statistic = statistic_of(folding.per_series_aligner.name, folding.cross_series_reducer.name)
        terms = _terms(condition.filter)
        if statistic is None or terms is None or not folding.alignment_period:
            return None
        metric, kinds, labels = terms
        short = self._short(metric, kinds, labels)
        if short is None:
            return None
        series = SeriesQuery(metric, short, statistic)
        above, tags = condition.comparison.name == "COMPARISON_GT", dict(policy.user_labels)
        counts = tags.pop(INCLUSIVE, "") == "yes"
        threshold = math.nextafter(condition.threshold_value, math.inf if above else -math.inf) if counts else condition.threshold_value
        comparison: Literal[">", ">=", "<", "<="] = (">=" if counts else ">") if above else ("<=" if counts else "<")
        channels = ",".join(policy.notification_channels)
        missing = _MISSING[condition.evaluation_missing_data.name]
        periods = 1 if tags.pop(ONE_PERIOD, "") == "yes" else condition.duration // folding.alignment_period + 1
        return Alarm(
            policy.display_name, series, comparison, threshold, folding.alignment_period, periods, missing, notify=channels, tags=tags
        )

    def _short(self, metric: str, kinds: builtins.list[str], labels: Mapping[tuple[str, str], str]) -> dict[str, str] | None:
        """Return labels as one writes them: with their side only where both have one of that name, without the kinds if they are all.

        None where there are some kinds of resource, which a series cannot say.
        """
        try:
            own, every = {label.key for label in self._metrics.descriptor(metric).labels}, self._kinds(metric)
        except NotFound:
            own, every = set(), []
        short = {f"resource.{key}" if side == "resource" and key in own else key: value for (side, key), value in labels.items()}
        if not kinds or sorted(kinds) == every:
            return short
        return {**short, RESOURCE_TYPE: kinds[0]} if len(kinds) == 1 else None

    def _state(self, alarm: Alarm) -> Literal["ok", "alarm", "no data"]:
        now = self._session.ctx.clock()
        try:
            known = now - self._metrics.descriptor(alarm.series.metric).metadata.ingest_delay.ToTimedelta()
            points = self._metrics.query(alarm.series, Window(known - alarm.periods * alarm.period, known, alarm.period))
        except (NotFound, InvalidRequest):  # of a metric that is gone: one alarm must not hide the others
            points = [Point(now, None)]
        return decide(alarm, points)


def _client() -> Any:
    from google.cloud import monitoring_v3

    return monitoring_v3.AlertPolicyServiceClient


def decide(alarm: Alarm, points: builtins.list[Point]) -> Literal["ok", "alarm", "no data"]:
    """Decide the state: alarm when every step is beyond the threshold, no data when none was measured and the rule ignores that.

    A step without a value counts as beyond (`breaching`), as within (`ok`), or as neither (`ignore`).
    """
    empty = {"breaching": True, "ok": False, "ignore": None}[alarm.missing]
    beyond = [empty if point.value is None else _BEYOND[alarm.comparison](point.value, alarm.threshold) for point in points]
    if all(answer is None for answer in beyond):
        return "no data"
    return "alarm" if all(beyond) else "ok"


def _is_alarm(policy: Any) -> bool:
    """Tell whether a policy has one condition, of a threshold over one folded series."""
    if len(policy.conditions) != 1 or "condition_threshold" not in policy.conditions[0]:
        return False
    condition = policy.conditions[0].condition_threshold
    if len(condition.aggregations) != 1 or condition.aggregations[0].group_by_fields:  # grouped, it is a rule for each group
        return False
    return not condition.denominator_filter and condition.comparison.name.endswith(("_GT", "_LT"))


def _terms(text: str) -> tuple[str, builtins.list[str], dict[tuple[str, str], str]] | None:
    """Take a filter apart: (metric, kinds of resource, {(side, label): value}); None for one that says something else than equalities."""
    metric, labels, kinds = "", {}, []
    for term in re.split(r"\s+AND\s+", text.strip()):
        if of := _KINDS.fullmatch(term):
            kinds = json.loads(f"[{of[1]}]")
            continue
        found = _TERM.fullmatch(term)
        if found is None:
            return None
        if found[1]:
            metric = json.loads(found[4])
        else:
            labels[found[2], found[3]] = json.loads(found[4])
    return (metric, kinds, labels) if metric else None


def _check(alarm: Alarm) -> None:
    if not alarm.name:
        raise _refused(alarm, "it has no name")
    if alarm.periods < 1 or alarm.period < MINUTE or alarm.period % MINUTE:
        raise _refused(alarm, f"{alarm.periods} periods of {alarm.period}: Cloud Monitoring takes 1 or more, of whole minutes")
    if not math.isfinite(alarm.threshold):
        raise _refused(alarm, f"the threshold {alarm.threshold} is no number")


def _refused(alarm: Alarm, *why: str) -> McmlError:
    return InvalidRequest(f"cannot put the alarm {alarm.name!r}", why="; ".join(part for part in reversed(why) if part))
