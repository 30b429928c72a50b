"""What a model should be given: a pure function of what its replicas have and use, and what that looks like."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize import model_views
from mcml.cost.rightsize.model import Advice, ReplicaUse, Running, advise, too_few, unknown, used_cpu
from mcml.cost.rightsize.values import Step
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_size import ReplicaSize

NOW = datetime(2026, 11, 20, tzinfo=UTC)
STEP = timedelta(minutes=5)
RULES = Rightsizing()
GIB = 1 << 30
PRICES = tuple(UnitPrice(sku, "eu", "h", Decimal(amount), "USD", "a list", NOW) for sku, amount in (("vcpu", "0.04"), ("gib", "0.005")))


def use(cores: list[float], memory: float | None = None, *, days: float = 10, step: timedelta = STEP) -> ReplicaUse:
    """Return `days` of samples that go round through `cores`."""
    start = NOW - timedelta(days=days)
    count = int((NOW - start) / step)
    cpu = tuple(Step(start + number * step, cores[number % len(cores)], cores[number % len(cores)]) for number in range(count))
    held = tuple(replace(each, average=memory * 0.9, highest=memory) for each in cpu) if memory is not None else ()
    return ReplicaUse(start, NOW, step, cpu, held)


def running(vcpus: str, memory: str | None = None, **more: Any) -> Running:
    size = ReplicaSize(Decimal(vcpus), memory_gib=Decimal(memory) if memory else None)
    return Running("fraud", "eu-1", "acme", "eu", "1-abc", {"cpu": vcpus, "gpu": "1"}, replace(size, **more))


def say(subject: Running, used: ReplicaUse, rules: Rightsizing = RULES) -> Advice:
    return advise(subject, used, rules, PRICES, NOW)


def test_less_of_both_and_what_it_saves() -> None:
    found = say(running("4", "8", replicas=3), use([0.5] * 19 + [3.0], 1.5 * GIB))
    assert (found.action, found.vcpus, found.memory_gib) == ("shrink", Decimal("0.7"), Decimal("1.875"))
    assert [reason.code for reason in found.reasons] == ["CPUOverprovisioned", "MemoryOverprovisioned"]
    assert found.resources == {"cpu": "0.7", "gpu": "1", "memory": "1920Mi"}
    assert found.saving == 730 * 3 * (Decimal("3.3") * Decimal("0.04") + Decimal("6.125") * Decimal("0.005"))
    assert found.currency == "USD"


@pytest.mark.parametrize(
    ("has", "cores", "proposed", "code"),
    [
        ("1", 1.0, "1.3", "CPUUnderprovisioned"),
        ("1", 0.97, "1.3", "CPUUnderprovisioned"),
        ("1", 0.85, "1.1", "CPUUnderprovisioned"),
        ("1", 0.8, None, "Optimized"),
        ("1", 0.79, None, "Optimized"),
        ("1", 0.72, "0.9", "CPUOverprovisioned"),
        ("1", 0.0, "0.1", "CPUOverprovisioned"),
        ("0.1", 0.0, None, "Optimized"),
    ],
)
def test_how_much_cpu(has: str, cores: float, proposed: str | None, code: str) -> None:
    found = say(running(has), use([cores]))
    assert (found.vcpus, found.reasons[0].code) == (Decimal(proposed) if proposed else None, code)


def test_whole_cpus_where_only_these_are_given() -> None:
    assert say(running("4", step=Decimal(1)), use([0.3])).resources["cpu"] == "1"
    assert say(running("1", step=Decimal(1)), use([1.0])).resources["cpu"] == "2"
    assert say(running("1", step=Decimal(1)), use([0.1])).action == "keep"


def test_unknown_memory_is_never_less() -> None:
    found = say(running("4", "8"), use([0.5]))
    assert found.memory_gib is None
    assert [reason.code for reason in found.reasons] == ["CPUOverprovisioned", "MemoryUnknown"]
    assert "memory" not in found.resources


def test_a_place_that_scales_on_cpu_keeps_its_cpu_and_says_how_to_change_that() -> None:
    found = say(running("4", most_replicas=5, scales_at=60), use([2.0]))
    assert (found.action, found.vcpus, found.reasons[0].code) == ("keep", None, "ScalesOnCPU")
    assert "raise that to 96 %" in found.reasons[0].said
    assert "start with fewer replicas" in say(running("4", most_replicas=5, scales_at=60), use([1.0])).reasons[0].said
    assert say(running("4", most_replicas=1, scales_at=60), use([2.0])).action == "shrink"
    assert say(running("4", most_replicas=5, scales_at=60), use([3.9])).action == "grow"


def test_too_little_is_known() -> None:
    assert too_few(use([1.0]), RULES) == ""
    assert too_few(use([1.0], days=6), RULES) == "this version was measured for 6d, and at least 7d are wanted"
    thin = use([1.0])
    assert "50 %" in too_few(replace(thin, cpu=thin.cpu[::2]), RULES)
    assert too_few(ReplicaUse(NOW, NOW, STEP), RULES) == "no use of its CPU was measured"
    found = say(running("4"), use([0.1], days=6))
    assert (found.action, found.vcpus, found.reasons[0].code) == ("unknown", None, "TooFewSamples")
    assert found.resources == {"cpu": "4", "gpu": "1"}


@pytest.mark.parametrize(
    ("prices", "more", "why"),
    [
        (PRICES, {"by_use": True}, "paid by what it uses"),
        ((PRICES[0], None), {}, "no price"),
        ((PRICES[0], replace(PRICES[1], currency="EUR")), {}, "no price"),
        ((PRICES[0], replace(PRICES[1], as_of=NOW - timedelta(days=91))), {}, "too old"),
    ],
)
def test_a_saving_that_is_not_known_has_a_reason(prices: tuple[UnitPrice | None, ...], more: dict[str, Any], why: str) -> None:
    found = advise(running("4", **more), use([0.5]), RULES, prices, NOW)
    assert (found.action, found.saving, found.currency) == ("shrink", None, "")
    assert why in found.unsaid


CORES = st.lists(st.floats(0, 16, allow_nan=False), min_size=1, max_size=20)
SHORT = Rightsizing(minimum="1h")


@given(CORES, st.decimals("0.1", "16", places=1), st.sampled_from(["0.05", "0.1", "1"]), st.integers(0, 100), st.integers(0, 20))
def test_what_is_proposed_is_enough_in_whole_steps_and_stays(
    cores: list[float], has: Decimal, step: str, headroom: int, saving: int
) -> None:
    rules = SHORT.model_copy(update={"headroom": headroom, "saving": saving})
    subject, used = running(str(has), step=Decimal(step)), use(cores, days=0.1)
    found = say(subject, used, rules)
    needed = used_cpu(used, rules)
    if found.vcpus is not None:
        assert found.vcpus % Decimal(step) == 0
        assert float(found.vcpus) >= needed * (1 + headroom / 100) - 1e-8
        assert found.vcpus > 0
        again = say(replace(subject, size=replace(subject.size, vcpus=found.vcpus)), used, rules)
        pinned = needed >= 0.95 * float(found.vcpus)
        assert again.action == "keep" or pinned
    else:
        assert float(has) >= needed * (1 + headroom / 100) - 1e-8


@given(CORES, st.floats(0, 4, allow_nan=False), st.decimals("0.1", "16", places=1))
def test_more_use_never_proposes_less(cores: list[float], more: float, has: Decimal) -> None:
    def given_with(used: list[float]) -> Decimal:
        return say(running(str(has)), use(used, days=0.1), SHORT).vcpus or has

    assert given_with([each + more for each in cores]) >= given_with(cores)


@given(CORES, st.floats(0, 64, allow_nan=False), st.decimals("0.0625", "64", places=4))
def test_memory_always_holds_the_highest_sample(cores: list[float], most: float, has: Decimal) -> None:
    found = say(running("2", str(has)), use(cores, most * GIB, days=0.1), SHORT)
    memory = found.memory_gib or has
    assert float(memory) >= most - 1e-8
    assert found.memory_gib is None or found.memory_gib % Decimal("0.0625") == 0


def test_what_scripts_see_and_what_goes_into_the_file() -> None:
    found = say(running("4", "8"), use([0.5], 1.5 * GIB))
    (item, other) = model_views.models([found, unknown(running("2"), "UseUnknown", "it does not tell")], RULES).items
    assert item == {
        "name": "fraud@eu-1",
        "model": "fraud",
        "target": "eu-1",
        "provider": "acme",
        "region": "eu",
        "version": "1-abc",
        "action": "shrink",
        "replicas": 1,
        "machine": None,
        "proposed_machine": None,
        "vcpus": Decimal(4),
        "used_vcpus": Decimal("0.5"),
        "highest_vcpus": Decimal("0.5"),
        "proposed_vcpus": Decimal("0.7"),
        "memory_gib": Decimal(8),
        "highest_memory_gib": Decimal("1.5"),
        "proposed_memory_gib": Decimal("1.875"),
        "measured_since": NOW - timedelta(days=10),
        "coverage_percent": Decimal("100.0"),
        "saving_per_month": found.saving,
        "currency": "USD",
        "why_no_saving": None,
        "reasons": [{"code": reason.code, "said": reason.said} for reason in found.reasons],
        "resources": {"cpu": "0.7", "gpu": "1", "memory": "1920Mi"},
        "toml": '[models.fraud.resources.eu-1]\ncpu = "0.7"\ngpu = "1"\nmemory = "1920Mi"',
        "next": "mcml deploy model fraud --target eu-1",
    }
    assert (other["action"], other["resources"], other["toml"], other["used_vcpus"]) == ("unknown", None, None, None)
    assert set(other) == set(item)
