"""A small Azure Monitor in memory for the ARM stub: numbers a minute, metric definitions, and metric alert rules with their state."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.providers.azure.metrics import STEPS
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing
from tests.providers.azure.compute_world import IN_GROUP, MONITOR, id_of
from tests.providers.azure.conftest import SUBSCRIPTION
from tests.providers.azure.resources_world import RESOURCES

MACHINE = "Microsoft.Compute/virtualMachines"
CPU = "Percentage CPU"
DURATIONS = {told: step for step, told in STEPS.items()}
RULE = IN_GROUP + "Microsoft.Insights/metricAlerts/{name}"
AT_RESOURCE = "/{resourceUri}/providers/Microsoft.Insights/"
_OPERATORS = {"GreaterThan": "__gt__", "GreaterThanOrEqual": "__ge__", "LessThan": "__lt__", "LessThanOrEqual": "__le__"}
NO_METRIC = "Failed to find metric configuration for provider: Microsoft.Compute, resource Type: virtualMachines, metric: {}"


@dataclass
class MonitorWorld:
    """`samples` are (time, value) of each resource's CPU, by the end of its id, `others` those of other metrics; rules by name."""

    arm: ArmStub
    samples: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: dict[str, dict[str, list[tuple[datetime, float]]]] = field(default_factory=dict)
    resources: list[tuple[str, str]] = field(default_factory=lambda: [(MACHINE, "m1"), (MACHINE, "m2"), ("Microsoft.Network/nics", "n1")])

    def __post_init__(self) -> None:
        """Answer for metrics and rules."""
        on = self.arm.on
        on("GET", AT_RESOURCE + "metrics", self._metrics, sdk=MONITOR, answer="Response")
        on("GET", AT_RESOURCE + "metricDefinitions", self._definitions, sdk=MONITOR, answer="[MetricDefinition]")
        on("GET", "/subscriptions/{subscription}/resources", self._resources, sdk=RESOURCES, answer="[GenericResourceExpanded]")
        on("GET", RULE, self._rule, sdk=MONITOR, answer="MetricAlertResource")
        on("PUT", RULE, self._put, sdk=MONITOR, body="MetricAlertResource", answer="MetricAlertResource")
        on("DELETE", RULE, self._delete, sdk=MONITOR)
        listing, whole = IN_GROUP + "Microsoft.Insights/metricAlerts", self._whole
        on("GET", listing, lambda request: whole(request, list(self.rules.values())), sdk=MONITOR, answer="[MetricAlertResource]")
        on("GET", f"{RULE}/status", self._status, sdk=MONITOR, answer="MetricAlertStatusCollection")

    def _whole(self, request: Request, items: list[Any]) -> Reply:
        """Return a listing in one piece: rules and metric definitions have no pages in Azure."""
        return self.arm.page(request, items, size=1000)

    def _resources(self, request: Request) -> Reply:
        found = [{"id": id_of(kind, name), "name": name, "type": kind, "location": "westeurope"} for kind, name in self.resources]
        return self.arm.page(request, found)

    def _definitions(self, request: Request) -> Reply:
        resource = request.parts["resourceUri"]
        if MACHINE.lower() not in resource.lower():
            return Reply(400, {"code": "BadRequest", "message": f"Metrics are not supported for {resource}."})  # no "error" around it
        names = [CPU, "Network In Total", "Disk Read Bytes"]
        found = [{"namespace": MACHINE, "name": {"value": name, "localizedValue": name}, "unit": "Percent"} for name in names]
        return self._whole(request, found)

    def _metrics(self, request: Request) -> dict[str, Any] | Reply:
        asked = request.query
        metric, samples = asked["metricnames"], {CPU: self.samples, **self.others}
        if metric not in samples:
            return Reply(400, {"code": "BadRequest", "message": NO_METRIC.format(metric)})
        name = request.parts["resourceUri"].rpartition("/")[2]
        if name not in {known for _, known in self.resources}:
            raise missing(f"{MACHINE}/{name}")
        start, end = (datetime.fromisoformat(at) for at in asked["timespan"].split("/"))
        step, aggregation = DURATIONS[asked["interval"]], asked["aggregation"].lower()
        has = samples[metric].get(name, [])
        data = [_folded(has, start + number * step, min(end, start + (number + 1) * step), aggregation) for number in range(
            -((start - end) // step)
        )]  # fmt: skip
        told = {
            "id": f"{request.path}/{metric}", "type": "Microsoft.Insights/metrics", "name": {"value": metric, "localizedValue": metric},
            "unit": "Percent", "timeseries": [{"metadatavalues": [], "data": data}], "errorCode": "Success",
        }  # fmt: skip
        return {"cost": 0, "timespan": asked["timespan"], "interval": asked["interval"], "namespace": MACHINE, "value": [told]}

    def _rule(self, request: Request) -> dict[str, Any]:
        if request.parts["name"] not in self.rules:
            raise missing(f"Microsoft.Insights/metricAlerts/{request.parts['name']}")
        return self.rules[request.parts["name"]]

    def _put(self, request: Request) -> dict[str, Any]:
        name, said = request.parts["name"], request.body["properties"]
        if said["evaluationFrequency"] not in ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H"):
            raise ArmError(400, "BadRequest", f"Invalid evaluation frequency {said['evaluationFrequency']}.")
        id_ = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ML/providers/Microsoft.Insights/metricAlerts/{name}"
        self.rules[name] = {**request.body, "id": id_, "name": name, "type": "Microsoft.Insights/metricAlerts"}
        return self.rules[name]

    def _delete(self, request: Request) -> Reply:
        return Reply(200 if self.rules.pop(request.parts["name"], None) else 204)

    def _status(self, request: Request) -> dict[str, Any]:
        said = self._rule(request)["properties"]
        (condition,) = said["criteria"]["allOf"]
        end = datetime.now(UTC).replace(second=0, microsecond=0)
        start = end - DURATIONS[said["windowSize"]]
        has = self.samples.get(said["scopes"][0].rpartition("/")[2], [])
        point = _folded(has, start, end, condition["timeAggregation"].lower())
        value = point.get(condition["timeAggregation"].lower())
        if value is None:
            return {"value": []}
        beyond = getattr(value, _OPERATORS[condition["operator"]])(condition["threshold"])
        status: dict[str, Any] = {"dimensions": {}, "status": "Unhealthy" if beyond else "Healthy", "timestamp": end.isoformat()}
        return {"value": [{"name": "Y3VycmVudFN0YXR1cw==", "type": "Microsoft.Insights/metricAlerts/status", "properties": status}]}


def _folded(samples: list[tuple[datetime, float]], start: datetime, end: datetime, aggregation: str) -> dict[str, Any]:
    values = [value for at, value in samples if start <= at < end]
    point: dict[str, Any] = {"timeStamp": f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    if values:
        folded = {
            "average": sum(values) / len(values), "total": sum(values), "minimum": min(values), "maximum": max(values),
            "count": float(len(values)),
        }  # fmt: skip
        point[aggregation] = folded[aggregation]
    return point


def steady(value: float, minutes: int = 60) -> list[tuple[datetime, float]]:
    """Return a sample a minute up to some minutes from now, so that no window of the test is without one."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return [(now + timedelta(minutes=number), value) for number in range(-minutes, 5)]
