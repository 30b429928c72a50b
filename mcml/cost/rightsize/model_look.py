"""What models have and use: the version that serves on a target, and what its replicas did, asked of the endpoint and the metrics there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

from mcml.core.errors import InvalidRequest, NotFound, said
from mcml.core.package import version_end
from mcml.core.schema_cost import Rightsizing
from mcml.core.when import duration
from mcml.cost.meter.live import Doors, PriceOf
from mcml.cost.meter.prices import HOUR_OF_A_MACHINE
from mcml.cost.rightsize.model import GIB, Advice, ReplicaUse, Running, advise, unknown
from mcml.cost.rightsize.model_machine import advise_machine
from mcml.cost.rightsize.values import Step
from mcml.providers.api.endpoint import ModelEndpoint, Variant
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize, Sized
from mcml.providers.api.instances import MachinePrice
from mcml.providers.api.metrics import MachineMetric, Metrics, Point, Statistic, Window

STEP = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def look(running: Running, doors: Doors, price_of: PriceOf, rules: Rightsizing, now: datetime) -> Advice:
    """Return what a model of the settings should be given on a target. Raises what the provider raises."""
    endpoints = doors.endpoints
    if endpoints is None or not isinstance(endpoints, Sized):
        return unknown(running, "SizeUnknown", "its provider does not tell what a replica has and uses")
    serving = _serving(running.model, endpoints)
    if serving is None:
        return unknown(running, "NotRunning", "no version of it runs there")
    if not serving.version.endswith(version_end(serving.digest, running.resources)):
        why = f"it runs with other resources than mcml.toml gives it: mcml deploy model {running.model} --target {running.target}"
        return unknown(replace(running, version=serving.version), "NotDeployed", why)
    found = replace(running, version=serving.version, size=endpoints.size(running.resources))
    series = endpoints.series(running.model, serving.version)
    if doors.metrics is None or not series:
        return unknown(found, "UseUnknown", "its provider does not tell what a replica uses")
    types = doors.instances.prices() if found.size.type and doors.instances else []
    found = replace(found, size=_sized(found.size, types))
    use, why = measured(doors.metrics, series, found.size, rules, now)
    if not use.cpu and why:
        return unknown(found, "UseUnknown", why)
    prices = partial(price_of, running.provider, running.region)
    if found.size.type:
        hosted = doors.price_of_replica
        return advise_machine(found, use, types, endpoints.machines(), rules, (lambda sku: hosted(sku).price) if hosted else prices, now)
    return advise(found, use, rules, [prices(sku) for sku in HOUR_OF_A_MACHINE], now)


def _sized(size: ReplicaSize, types: Sequence[MachinePrice]) -> ReplicaSize:
    """Add what a machine has, where its type is known."""
    type = next((type for type in types if type.machine == size.type), None)
    return size if type is None else replace(size, vcpus=type.vcpus, memory_gib=type.memory_gib)


def _serving(model: str, endpoints: ModelEndpoint) -> Variant | None:
    """Return the version that has most of the traffic among those that are ready."""
    ready = [variant for endpoint in endpoints.describe(model) for variant in endpoint.variants if variant.state == "ready"]
    return max(ready, key=lambda variant: variant.weight, default=None)


def measured(
    metrics: Metrics, series: Mapping[MachineMetric, ReplicaSeries], size: ReplicaSize, rules: Rightsizing, now: datetime
) -> tuple[ReplicaUse, str]:
    """Return what the replicas used, and why a measure is unknown. The window is made of whole steps, as the clouds' numbers are."""
    end = EPOCH - (EPOCH - now) // STEP * STEP
    window = Window(end - max(duration(rules.window) // STEP, 1) * STEP, end, STEP)
    whole: Mapping[MachineMetric, Decimal | None] = {
        "machine.cpu": size.vcpus,
        "machine.memory": None if size.memory_gib is None else size.memory_gib * GIB,
    }
    found: dict[MachineMetric, tuple[Step, ...]] = {}
    why = ""
    for measure in whole.keys() & series.keys():
        try:
            found[measure] = _steps(metrics, series[measure], whole[measure], window)
        except (NotFound, InvalidRequest) as refused:
            why = f"its use cannot be read: {said(refused)}"
    cpu, memory = found.get("machine.cpu", ()), found.get("machine.memory", ())
    begin = min((each.at for each in (*cpu, *memory)), default=window.start)
    return ReplicaUse(begin, now, STEP, cpu, memory), why


def _steps(metrics: Metrics, series: ReplicaSeries, whole: Decimal | None, window: Window) -> tuple[Step, ...]:
    if series.unit == "share" and whole is None:
        return ()
    factor = series.times * (float(whole) if series.unit == "share" and whole else 1.0)
    average, most = (_points(metrics, series, statistic, window) for statistic in ("average", "maximum"))
    return tuple(
        Step(low.at, low.value * factor, max(high.value, low.value) * factor)
        for low, high in zip(average, most, strict=True)
        if low.value is not None and high.value is not None
    )


def _points(metrics: Metrics, series: ReplicaSeries, statistic: Statistic, window: Window) -> list[Point]:
    return metrics.query(replace(series.query, statistic=statistic), window)
