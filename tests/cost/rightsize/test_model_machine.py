"""Which machine the replicas of a model should have, where each has one of its own."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.meter.live import Doors
from mcml.cost.rightsize import model_views
from mcml.cost.rightsize.model import GIB, Advice, ReplicaUse, Running
from mcml.cost.rightsize.model_look import look
from mcml.cost.rightsize.model_machine import advise_machine
from mcml.cost.rightsize.values import Step
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint import Endpoint, Variant
from mcml.providers.api.endpoint_price import PriceOfReplica, ReplicaPrice
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import SeriesQuery
from tests.cost.rightsize.made import DAY, DEFAULT, EAGER, FAMILY, M2, M4, M8, NOW, Meter

NAMES = {type.machine: f"ml.{type.machine}" for type in (M2, M4, M8)}
"""No endpoint takes c.4 and r.4."""
PRICES = {"ml.m.2": "0.12", "ml.m.8": "0.5"}
HAS = ReplicaSize(machine="ml.m.8", type="m.8", vcpus=Decimal(8), memory_gib=Decimal(32), replicas=3)
RUNNING = Running("fraud", "aws-1", "aws", "r", "1-abc", {"machine": "ml.m.8", "replicas": "3"}, HAS)


def use(cores: float, gib: float | None, days: int = 14) -> ReplicaUse:
    start = NOW - days * DAY
    cpu = tuple(Step(start + number * DAY, cores, cores) for number in range(days))
    memory = tuple(replace(step, average=gib * GIB, highest=gib * GIB) for step in cpu) if gib is not None else ()
    return ReplicaUse(start, NOW, DAY, cpu, memory)


def price(sku: str) -> UnitPrice | None:
    return UnitPrice(sku, "r", "h", Decimal(PRICES[sku]), "USD", "a list", NOW) if sku in PRICES else None


def say(used: ReplicaUse, running: Running = RUNNING) -> Advice:
    return advise_machine(running, used, FAMILY, NAMES, DEFAULT, price, NOW)


def test_a_smaller_machine_and_what_all_replicas_save() -> None:
    found = say(use(1.0, 4.0))
    assert (found.action, found.machine, found.vcpus, found.memory_gib) == ("shrink", "ml.m.2", Decimal(2), Decimal(8))
    assert found.resources == {"machine": "ml.m.2", "replicas": "3"}
    assert (found.saving, found.currency) == (3 * 730 * Decimal("0.38"), "USD")
    assert not {"ListPrice", "PricesStale"} & {reason.code for reason in found.reasons}
    assert model_views.toml(found) == '[models.fraud.resources.aws-1]\nmachine = "ml.m.2"\nreplicas = "3"'


def test_a_price_under_an_endpoint_that_nobody_knows() -> None:
    found = say(use(2.5, 9.0))
    assert (found.machine, found.saving, found.unsaid) == ("ml.m.4", None, "no price of ml.m.8 and ml.m.4 is known there")


def test_unknown_memory_is_not_made_less() -> None:
    assert (say(use(1.0, None)).action, say(use(1.0, None)).machine) == ("keep", "")


@pytest.mark.parametrize(
    ("used", "running", "code"),
    [
        (use(1.0, 4.0, days=3), RUNNING, "TooFewSamples"),
        (ReplicaUse(NOW - 14 * DAY, NOW, DAY), RUNNING, "NotMeasured"),
        (use(1.0, 4.0), replace(RUNNING, size=ReplicaSize(machine="ml.odd", type="odd")), "TypeUnknown"),
    ],
)
def test_too_little_is_known(used: ReplicaUse, running: Running, code: str) -> None:
    found = say(used, running)
    assert (found.action, found.machine, [reason.code for reason in found.reasons]) == ("unknown", "", [code])


@given(st.floats(0.01, 8), st.floats(0.01, 32))
def test_what_is_proposed_is_one_that_an_endpoint_takes_and_holds_the_use(cores: float, gib: float) -> None:
    found = advise_machine(RUNNING, use(cores, gib), FAMILY, NAMES, EAGER, price, NOW)
    if found.machine:
        assert found.machine in NAMES.values()
        assert float(found.vcpus or 0) >= round(cores * 1.25, 6) - 1e-6
        assert float(found.memory_gib or 0) >= round(gib * 1.25, 6) - 1e-6


class Place:
    """An endpoint of one version, whose replicas have machines; says its CPU in percent of a core, its memory in percent."""

    def __init__(self, state: str = "ready", digest: str = "abcdef0123", version: str = "1-abcdef01") -> None:
        self.variant = Variant(version, digest, state, 100)  # type: ignore[arg-type]

    def describe(self, name: str = "") -> list[Endpoint]:
        return [Endpoint(name, "aws-1", (self.variant,))]

    def size(self, resources: dict[str, str]) -> ReplicaSize:
        return ReplicaSize(machine="ml.m.8", type="m.8")

    def machines(self) -> dict[str, str]:
        return NAMES

    def series(self, name: str, version: str) -> dict[str, ReplicaSeries]:
        return {
            "machine.cpu": ReplicaSeries(SeriesQuery("cpu", {"instance": version}), "cores", 0.01),
            "machine.memory": ReplicaSeries(SeriesQuery("memory", {"instance": version}), "share", 0.01),
        }

    create = shift_traffic = invoke_target = delete = None


class Types:
    def prices(self, machines: Any = ()) -> list[Any]:
        return list(FAMILY)


def hosted(sku: str) -> ReplicaPrice:
    return ReplicaPrice(price(sku), "" if price(sku) else f"no hosting of {sku}")


def seen(place: Place, meter: Meter | None, resources: dict[str, str] | None = None, hosting: PriceOfReplica | None = None) -> Advice:
    doors = Doors(instances=Types(), endpoints=place, metrics=meter, price_of_replica=hosting)  # type: ignore[arg-type]
    running = replace(RUNNING, version="", resources=resources or {}, size=ReplicaSize())
    return look(running, doors, lambda *_: None, DEFAULT, NOW)


def test_what_is_measured_is_read_in_the_words_of_the_place() -> None:
    """150 % of a core and 20 % of 32 GiB: two cores with the headroom, and eight GiB."""
    meter = Meter(said=lambda query, _: 150.0 if query.metric == "cpu" else 20.0)
    found = seen(Place(), meter)
    assert found.use is not None
    assert {(step.average, step.highest) for step in found.use.cpu} == {(1.5, 1.5)}
    assert {round(step.highest / GIB, 6) for step in found.use.memory} == {6.4}
    assert (found.action, found.machine, found.running.version) == ("shrink", "ml.m.2", "1-abcdef01")
    assert {step for _, _, step in meter.asked} == {timedelta(minutes=5)}


def test_what_is_saved_is_said_at_the_prices_of_the_endpoint() -> None:
    meter = Meter(said=lambda query, _: 150.0 if query.metric == "cpu" else 20.0)
    found = seen(Place(), meter, hosting=hosted)
    assert (found.machine, found.saving, found.currency, found.unsaid) == ("ml.m.2", 730 * Decimal("0.38"), "USD", "")
    assert found.price == price("ml.m.2")
    without = seen(Place(), meter)  # the catalogue of the plain machines has none of these
    assert (without.machine, without.saving, without.price) == ("ml.m.2", None, None)


@pytest.mark.parametrize(
    ("place", "meter", "resources", "code"),
    [
        (Place("failed"), Meter(), {}, "NotRunning"),
        (Place(), Meter(), {"machine": "ml.m.2"}, "NotDeployed"),
        (Place(), None, {}, "UseUnknown"),
        (Place(), Meter(missing=("cpu", "memory")), {}, "UseUnknown"),
        (Place(), Meter(missing=("memory",)), {}, "Optimized"),
        (object(), Meter(), {}, "SizeUnknown"),
    ],
)
def test_why_nothing_is_said(place: Place, meter: Meter | None, resources: dict[str, str], code: str) -> None:
    found = seen(place, meter, resources)
    assert found.reasons[0].code == code
    assert found.machine == ""
