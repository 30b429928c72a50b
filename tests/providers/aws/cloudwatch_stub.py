"""CloudWatch as far as moto server lacks it (percentiles, alarms that look at their metric), behind the SDK's own service model.

Samples are kept as they are put; steps begin at multiples of their length, percentiles are by nearest rank, alarms are worked out when they
are described. Listings come in pages of `page`.
"""

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcml.testing.stubs.aws_model import AwsError, AwsModel

Key = tuple[str, str, tuple[tuple[str, str], ...]]
BEYOND = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass
class CloudWatch:
    now: datetime
    page: int = 2
    samples: dict[Key, list[tuple[float, float]]] = field(default_factory=dict)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def measure(self, metric: str, values: Mapping[datetime, float], **dimensions: str) -> None:
        namespace, _, name = metric.partition(":")
        into = self.samples.setdefault((namespace, name, tuple(sorted(dimensions.items()))), [])
        into.extend((at.timestamp(), value) for at, value in values.items())

    def list_metrics(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = {(one["Name"], one.get("Value")) for one in asked.get("Dimensions", ())}
        found = [
            {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions]}
            for namespace, name, dimensions in sorted(self.samples)
            if asked.get("Namespace") in (None, namespace) and asked.get("MetricName") in (None, name) and wanted <= set(dimensions)
        ]
        return self.paged("Metrics", found, asked)

    def get_metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        found, start, end = [], asked["StartTime"], asked["EndTime"]
        for query in asked["MetricDataQueries"]:
            stat = query["MetricStat"]
            steps = self.steps(stat["Metric"], stat["Period"], stat["Stat"], start - start % 60, end)
            times = [datetime.fromtimestamp(at, UTC) for at in steps]
            found.append((query["Id"], times, list(steps.values())))
        size, first = asked.get("MaxDatapoints", 100_800), int(asked.get("NextToken", 0))
        longest = max(len(times) for _, times, _ in found)
        results = [
            {"Id": name, "Timestamps": times[first : first + size], "Values": values[first : first + size], "StatusCode": "Complete"}
            for name, times, values in found
        ]
        return {"MetricDataResults": results} | ({"NextToken": str(first + size)} if first + size < longest else {})

    def steps(self, metric: Mapping[str, Any], period: int, stat: str, start: float, end: float) -> dict[int, float]:
        dimensions = sorted((one["Name"], one["Value"]) for one in metric.get("Dimensions", ()))
        key = (metric["Namespace"], metric["MetricName"], tuple(dimensions))
        by_step: dict[int, list[float]] = {}
        for at, value in self.samples.get(key, ()):
            if start <= at < end:
                by_step.setdefault(int(at // period * period), []).append(value)
        return {at: folded(stat, values) for at, values in sorted(by_step.items())}

    def put_metric_alarm(self, asked: dict[str, Any]) -> dict[str, Any]:
        arn = f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{asked['AlarmName']}"
        if arn not in self.tags:  # of an alarm that is there, the tags stay as they are
            self.tags[arn] = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", ())}
        self.alarms[asked["AlarmName"]] = {key: value for key, value in asked.items() if key != "Tags"} | {"AlarmArn": arn}
        return {}

    def describe_alarms(self, asked: dict[str, Any]) -> dict[str, Any]:
        names = asked.get("AlarmNames", self.alarms)
        prefix = asked.get("AlarmNamePrefix", "")
        asked_for = [name for name in sorted(self.alarms) if name in names and name.startswith(prefix)]
        found = [{**self.alarms[name], "StateValue": self.state(self.alarms[name])} for name in asked_for]
        return self.paged("MetricAlarms", found, asked)

    def state(self, alarm: Mapping[str, Any]) -> str:
        period, periods = alarm["Period"], alarm["EvaluationPeriods"]
        end = self.now.timestamp() // period * period
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        steps = self.steps(alarm, period, stat, end - periods * period, end)
        if not steps and alarm["TreatMissingData"] == "missing":
            return "INSUFFICIENT_DATA"
        gaps = periods - len(steps)
        beyond = [BEYOND[alarm["ComparisonOperator"]](value, alarm["Threshold"]) for value in steps.values()]
        return "ALARM" if all([*beyond, *[alarm["TreatMissingData"] == "breaching"] * gaps]) else "OK"

    def delete_alarms(self, asked: dict[str, Any]) -> dict[str, Any]:
        for name in asked["AlarmNames"]:
            if name not in self.alarms:
                raise AwsError("ResourceNotFound", f"no alarm {name}", 404)
            self.tags.pop(self.alarms.pop(name)["AlarmArn"])
        return {}

    def list_tags_for_resource(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags[asked["ResourceARN"]].items()]}

    def tag_resource(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.tags[asked["ResourceARN"]] |= {tag["Key"]: tag["Value"] for tag in asked["Tags"]}
        return {}

    def untag_resource(self, asked: dict[str, Any]) -> dict[str, Any]:
        for key in asked["TagKeys"]:
            del self.tags[asked["ResourceARN"]][key]
        return {}

    def paged(self, name: str, found: Sequence[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        first = int(asked.get("NextToken", 0))
        last = first + self.page
        return {name: found[first:last]} | ({"NextToken": str(last)} if last < len(found) else {})


def folded(stat: str, values: list[float]) -> float:
    if stat.startswith("p"):
        return sorted(values)[math.ceil(float(stat[1:]) * len(values) / 100) - 1]
    ways = {"Average": math.fsum(values) / len(values), "Sum": math.fsum(values), "Minimum": min(values), "Maximum": max(values)}
    return ways.get(stat, float(len(values)))


@contextmanager
def serving(cloudwatch: CloudWatch) -> Iterator[AwsModel]:
    """Answer for CloudWatch."""
    handlers = {
        "ListMetrics": cloudwatch.list_metrics,
        "GetMetricData": cloudwatch.get_metric_data,
        "PutMetricAlarm": cloudwatch.put_metric_alarm,
        "DescribeAlarms": cloudwatch.describe_alarms,
        "DeleteAlarms": cloudwatch.delete_alarms,
        "ListTagsForResource": cloudwatch.list_tags_for_resource,
        "TagResource": cloudwatch.tag_resource,
        "UntagResource": cloudwatch.untag_resource,
    }
    with AwsModel("cloudwatch") as stub:
        for operation, handler in handlers.items():
            stub.on("cloudwatch", operation, handler)
        yield stub
