"""What size is proposed: cases with their reasons, and what holds for any machine, usage and catalogue."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.judge import needs, percentile, recommend
from mcml.cost.rightsize.saving import LIST
from mcml.cost.rightsize.values import Recommendation, Step, Usage
from mcml.providers.api.instances import MachinePrice
from mcml.providers.api.metrics import MachineMetric
from tests.cost.rightsize.made import C4, DAY, DEFAULT, EAGER, FAMILY, M2, M4, M8, NOW, R4, STEPS, kind, subject, usage

IDLE: dict[MachineMetric, float] = {"machine.cpu": 0.1, "machine.memory": 0.2}


def codes(one: Recommendation) -> list[str]:
    return [reason.code for reason in one.reasons]


def judged(measured: dict[MachineMetric, float], settings: Rightsizing = DEFAULT, type: MachinePrice = M4) -> Recommendation:
    return recommend(subject(type), usage(measured), FAMILY, settings)


def test_it_shrinks_to_the_cheapest_that_fits() -> None:
    found = judged(IDLE)
    assert (found.action, found.proposed, found.risk) == ("shrink", M2, "very low")
    assert codes(found) == ["CPUOverprovisioned", "MemoryOverprovisioned", "ListPrice"]
    assert found.reasons[0].said == "CPU: 0.5 of 4 vCPU are needed (P95 0.4, highest 0.4; 25 % headroom)"
    assert found.reasons[1].said == "memory: 4 of 16 GiB are needed (highest 3.2; 25 % headroom)"
    assert (found.saving, found.list_saving, found.currency) == (Decimal(73), Decimal(73), "USD")
    assert all(fit.fits for fit in found.fits)


def test_what_is_unknown_is_not_made_smaller() -> None:
    found = judged({"machine.cpu": 0.1})
    assert (found.action, found.proposed) == ("keep", None)
    assert codes(found) == ["Optimized", "MemoryUnknown"]
    assert found.rejected == dict.fromkeys(("c.4", "m.2"), "memory: 16 GiB are needed (not measured), it has 8 GiB")


def test_one_high_sample_of_the_cpu_keeps_the_size() -> None:
    peak = [(0.1, 0.1)] * 13 + [(0.1, 0.6)]
    found = recommend(subject(), usage({"machine.cpu": peak, "machine.memory": 0.2}), FAMILY, DEFAULT)
    assert found.proposed == C4, "2.4 vCPU do not fit in 2"
    assert found.rejected == {"m.2": "CPU: the highest sample was 2.4 vCPU, it has 2 vCPU"}
    assert needs(usage({"machine.cpu": peak}), DEFAULT)["machine.cpu"].used == pytest.approx(0.1), "but it is no percentile"


def test_one_high_sample_of_memory_needs_the_headroom_too() -> None:
    peak = [(0.2, 0.2)] * 13 + [(0.2, 0.45)]
    found = recommend(subject(), usage({"machine.cpu": 0.1, "machine.memory": peak}), FAMILY, DEFAULT)
    assert found.proposed is None, "7.2 GiB fit in 8, and 9 do not"


def test_no_type_is_proposed_whose_cpu_would_be_at_its_limit() -> None:
    used: dict[MachineMetric, float] = {"machine.cpu": 0.5, "machine.memory": 0.2}
    assert judged(used, Rightsizing(headroom=0)).proposed == C4, "2 vCPU would be used of 2"
    assert judged({**used, "machine.cpu": 0.49}, Rightsizing(headroom=0)).proposed == M2


def test_of_two_at_one_price_the_first_by_name() -> None:
    twins = [replace(M2, machine="m.2b"), replace(M2, machine="m.2a")]
    for order in (twins, twins[::-1]):
        assert recommend(subject(), usage(IDLE), order, DEFAULT).proposed == twins[1]


def test_it_grows_where_memory_is_short_into_another_family() -> None:
    found = judged({"machine.cpu": 0.3, "machine.memory": 0.9})
    assert (found.action, found.proposed, codes(found)) == ("grow", R4, ["MemoryUnderprovisioned", "ListPrice"])
    assert found.saving == Decimal("-36.5")
    assert found.rejected == {"m.2": "memory: 18 GiB are needed, it has 8 GiB", "c.4": "memory: 18 GiB are needed, it has 8 GiB"}


def test_a_cpu_at_its_limit_grows_by_a_size_at_least_whatever_the_headroom() -> None:
    found = judged({"machine.cpu": 1.0, "machine.memory": 0.2}, Rightsizing(headroom=0))
    assert (found.action, found.proposed, codes(found)[0]) == ("grow", M8, "CPUUnderprovisioned")
    assert "at least one size up" in found.reasons[0].said


def test_nothing_is_large_enough() -> None:
    found = judged({"machine.cpu": 1.0, "machine.memory": 0.99}, type=M8)
    assert (found.action, codes(found)) == ("keep", ["NoTypeFits", "CPUUnderprovisioned", "MemoryUnderprovisioned"])


def test_a_small_saving_is_not_proposed() -> None:
    other = kind("n.4", 4, 16, "0.19")
    found = recommend(subject(), usage({"machine.cpu": 0.7, "machine.memory": 0.7}), [*FAMILY, other], Rightsizing(saving=6))
    assert (found.action, codes(found)[0]) == ("keep", "SavingTooSmall")
    found = recommend(subject(), usage({"machine.cpu": 0.7, "machine.memory": 0.7}), [*FAMILY, other], Rightsizing(saving=5))
    assert (found.action, found.proposed, codes(found)[0]) == ("change", other, "CheaperType")


def test_another_architecture_is_proposed_where_it_is_allowed_and_told_where_not() -> None:
    arm = kind("g.4", 4, 16, "0.1", architecture="arm64")
    busy: dict[MachineMetric, float] = {"machine.cpu": 0.6, "machine.memory": 0.7}
    told = recommend(subject(), usage(busy), [*FAMILY, arm], DEFAULT)
    assert (told.action, codes(told)) == ("keep", ["Optimized", "ArchitectureNotAllowed"])
    assert told.reasons[1].said.startswith("g.4 would fit at 0.1 USD an hour, but it is arm64, not x86_64")
    found = recommend(subject(), usage(busy), [*FAMILY, arm], Rightsizing(architectures=("arm64",)))
    assert (found.proposed, found.architecture, codes(found)[0]) == (arm, "arm64", "MigrateArchitecture")
    assert found.risk == "high", "one higher than medium: its vCPUs are others"


def test_burstable_types_and_other_gpus_are_proposed_by_name_only() -> None:
    burstable = kind("t.2", 2, 8, "0.05", burstable=True)
    assert recommend(subject(), usage(IDLE), [*FAMILY, burstable], DEFAULT).proposed == M2
    assert "BurstableNotProposed" in codes(recommend(subject(), usage(IDLE), [*FAMILY, burstable], DEFAULT))
    assert recommend(subject(), usage(IDLE), [*FAMILY, burstable], Rightsizing(machines=("m.*", "t.*"))).proposed == burstable
    now = recommend(subject(replace(M4, burstable=True)), usage(IDLE), FAMILY, DEFAULT)
    assert (now.proposed, now.risk, "BurstableNow" in codes(now)) == (M2, "low", True), "one higher: its CPU may have been held back"
    gpus = {"gpus": Decimal(1), "gpu_memory_gib": Decimal(24)}
    mine = kind("g5", 4, 16, "1.0", gpu="A10G", **gpus)
    other = kind("g4", 4, 16, "0.5", gpu="T4", gpus=Decimal(1), gpu_memory_gib=Decimal(16))
    small = kind("g5s", 2, 8, "0.7", gpu="a10g", **gpus)
    used: dict[MachineMetric, float] = {**IDLE, "machine.gpu": 0.2, "machine.gpu_memory": 0.4}
    found = recommend(subject(mine), usage(used), [other, small, *FAMILY], DEFAULT)
    assert (found.proposed, "GPUModelDiffers" in codes(found)) == (small, True)
    found = recommend(subject(mine), usage(used), [other, small, *FAMILY], Rightsizing(machines=("g4",)))
    assert (found.proposed, found.action) == (other, "change"), "12 GiB of 16 are needed"
    unknown = recommend(subject(mine), usage(IDLE), [other, small, *FAMILY], Rightsizing(machines=("g4",)))
    assert unknown.proposed is None, "unknown GPU memory"


def test_a_type_with_other_local_disks_is_proposed_by_name_only() -> None:
    """What a program keeps there is not measured; where a provider tells nothing of them, nothing is compared."""
    low = usage({"machine.cpu": 0.1, "machine.memory": 0.2})
    for mine, has, proposed in ((0, 0, True), (0, 75, False), (150, 75, False), (150, 0, False), (150, 150, True), (None, 75, True)):
        machine = subject(replace(M4, local_disk_gb=None if mine is None else Decimal(mine)))
        smaller = replace(M2, local_disk_gb=Decimal(has))
        found = recommend(machine, low, [M4, smaller], DEFAULT)
        assert (found.proposed is not None) is proposed, (mine, has)
        if not proposed:
            assert "LocalDiskDiffers" in [reason.code for reason in found.reasons]
            named = DEFAULT.model_copy(update={"machines": ("m.*",)})
            assert recommend(machine, low, [M4, smaller], named).proposed == smaller


def test_gpu_memory_that_nobody_tells_is_not_made_smaller_by_another_model() -> None:
    """Not even where a pattern names that: neither the provider nor the metrics say how much is wanted."""
    mine = kind("g5", 4, 16, "1.0", gpu="A10G", gpus=Decimal(1))
    other = kind("g4", 4, 16, "0.5", gpu="T4", gpus=Decimal(1), gpu_memory_gib=Decimal(16))
    used: dict[MachineMetric, float] = {**IDLE, "machine.gpu": 0.2}
    found = recommend(subject(mine), usage(used), (mine, other), Rightsizing(machines=("g*",)))
    assert (found.action, found.proposed) == ("keep", None)
    assert "GPU memory" in found.rejected["g4"]


def test_an_idle_gpu_is_told() -> None:
    mine = kind("g5", 4, 16, "1.0", gpu="A10G", gpus=Decimal(1), gpu_memory_gib=Decimal(24))
    used: dict[MachineMetric, float] = {**IDLE, "machine.gpu": 0.0, "machine.gpu_memory": 0.0}
    assert "GPUIdle" in codes(recommend(subject(mine), usage(used), [mine, *FAMILY], DEFAULT))
    assert recommend(subject(mine), usage(used), [mine, *FAMILY], Rightsizing(machines=("m.*",))).proposed == M2


def test_a_gpu_that_is_no_part_of_the_type_is_not_taken_away() -> None:
    found = recommend(subject(), usage({**IDLE, "machine.gpu": 0.4}), FAMILY, DEFAULT)
    assert (found.action, codes(found)) == ("unknown", ["GPUUnknown"])


def test_network_and_disk() -> None:
    untold = replace(M2, machine="m.2u")
    slow, fast = replace(M2, machine="m.2s", network_gbps=Decimal(1)), replace(M2, machine="m.2t", network_gbps=Decimal(10))
    mine = replace(M4, network_gbps=Decimal(10))
    used: dict[MachineMetric, float] = {**IDLE, "machine.network": 2.5e8, "machine.disk": 0.9}
    found = recommend(subject(mine), usage(used), [slow, fast, untold], DEFAULT)
    assert (found.proposed, "DiskUnderprovisioned" in codes(found)) == (fast, True)
    assert next(fit.needed for fit in found.fits if fit.measure == "machine.network") == 2.5
    peak = {**IDLE, "machine.network": [(1e7, 1e7)] * 13 + [(1e7, 2e9)]}
    assert recommend(subject(mine), usage(peak), [slow, fast], DEFAULT).proposed == fast, "16 Gbit/s were borrowed for a moment"
    assert recommend(subject(mine), usage(IDLE), [slow, untold], DEFAULT).proposed is None, "unknown traffic keeps the bandwidth"
    found = recommend(subject(), usage(used), [untold], DEFAULT)
    assert (found.proposed, "BandwidthUnknown" in codes(found), found.risk) == (untold, True, "low"), "nobody tells any: not compared"


@pytest.mark.parametrize(
    ("changes", "action", "code"),
    [
        ({"group": "workers"}, "keep", "GroupMember"),
        ({"tags": {"karpenter.sh/nodepool": "gpu"}}, "keep", "Managed"),
        ({"spot": True, "tags": {"mcml-spot-job": "train"}}, "keep", "Managed"),
        ({"spot": True}, "keep", "SpotMachine"),
        ({"state": "stopped"}, "unknown", "NotRunning"),
        ({"tags": {"pinned": "yes"}}, "keep", "LeftAlone"),
    ],
)
def test_machines_that_are_not_judged(changes: dict[str, object], action: str, code: str) -> None:
    found = recommend(subject(M4, **changes), usage(IDLE), FAMILY, Rightsizing(leave={"pinned": "yes"}))
    assert (found.action, found.proposed, codes(found)) == (action, None, [code])


def test_too_little_is_known() -> None:
    short = usage(IDLE, 3 * DAY)
    assert codes(recommend(subject(), short, FAMILY, DEFAULT)) == ["TooFewSamples"]
    late = replace(subject(), resized=NOW - 3 * DAY)
    found = recommend(late, short, FAMILY, DEFAULT)
    assert (found.action, codes(found)) == ("unknown", ["RecentlyResized"])
    assert found.reasons[0].said == "it has run as it is for 3d only, since its last resize or start; 7d are wanted"
    gaps = usage({"machine.cpu": [(0.1, 0.1)] * 11, "machine.memory": 0.2})
    assert codes(recommend(subject(), gaps, FAMILY, DEFAULT)) == ["TooFewSamples"], "79 % of the steps"
    assert recommend(subject(), gaps, FAMILY, Rightsizing(coverage=75)).proposed == M2
    assert codes(recommend(subject(), None, FAMILY, DEFAULT)) == ["NotMeasured"]
    assert codes(recommend(subject(), usage({}), FAMILY, DEFAULT)) == ["NotMeasured"]
    assert codes(recommend(subject(kind("x", 0, 0, None)), usage(IDLE), FAMILY, DEFAULT)) == ["TypeUnknown"]


def test_a_measure_with_gaps_is_unknown() -> None:
    gaps = usage({"machine.cpu": 0.1, "machine.memory": [(0.1, 0.1)] * 11})
    assert recommend(subject(), gaps, FAMILY, DEFAULT).proposed is None


def test_prices_that_cannot_be_compared() -> None:
    euros, gone = replace(M2, currency="EUR"), replace(M2, on_demand=None)
    assert recommend(subject(), usage(IDLE), [euros, gone], DEFAULT).proposed is None
    untold = kind("old", 4, 16, None)
    assert codes(recommend(subject(untold), usage(IDLE), FAMILY, DEFAULT))[0] == "PriceUnknown"
    old = replace(M4, as_of=NOW - timedelta(days=91))
    found = recommend(subject(old), usage(IDLE), FAMILY, DEFAULT)
    assert (found.proposed, found.saving, found.list_saving, "PricesStale" in codes(found)) == (M2, None, None, True)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50.5, 95, 99, 100)] == [51, 95, 99, 100]
    assert percentile([7.0], 95) == 7


SHARES = st.floats(0, 1, allow_nan=False)
PAIR = st.tuples(SHARES, SHARES).map(lambda pair: (min(pair), max(pair)))
PAIRS = st.builds(
    lambda usual, peak, days, scale: [(low * scale, high * scale) for low, high in [usual] * (STEPS - days) + [peak] * days],
    PAIR, PAIR, st.sampled_from([0, 1, 5]), st.sampled_from([0.05, 0.3, 1.0]),
)  # fmt: skip
"""What was measured on usual days, and on some others."""
TYPES = st.builds(
    lambda number, vcpus, gib, cents, gpus, arch, burstable, network: kind(
        f"t{number}", vcpus, vcpus * gib, str(Decimal(cents * vcpus * (gpus + 1)) / 100), architecture=arch, burstable=burstable,
        gpus=Decimal(gpus), gpu="L4" if gpus else "", gpu_memory_gib=Decimal(24 * gpus) if gpus else None, network_gbps=network,
    ),
    st.integers(0, 99), st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([2, 4, 8]), st.integers(2, 6), st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["x86_64"] * 5 + ["arm64"]), st.sampled_from([False] * 5 + [True]), st.sampled_from([None, Decimal(10), Decimal(10)]),
)  # fmt: skip
CATALOGUES = st.lists(TYPES, min_size=2, max_size=9, unique_by=lambda type: type.machine)
TRAFFIC = PAIRS.map(lambda pairs: [(low * 2e9, high * 2e9) for low, high in pairs])
SOME: dict[str, st.SearchStrategy[list[tuple[float, float]]]] = {"machine.memory": PAIRS, "machine.network": TRAFFIC}
GPUS = {"machine.gpu": PAIRS, "machine.gpu_memory": PAIRS}


def did(mine: MachinePrice) -> st.SearchStrategy[tuple[MachinePrice, Usage]]:
    """A type and what a machine of it did: always its CPU, sometimes more."""
    optional = SOME | GPUS if mine.gpus else SOME
    return st.fixed_dictionaries({"machine.cpu": PAIRS}, optional=optional).map(lambda measured: (mine, usage(measured)))


DEARER = TYPES.map(lambda mine: replace(mine, machine="mine", on_demand=(mine.on_demand or Decimal(0)) * 2))
MACHINES = (TYPES | DEARER).flatmap(did)
"""Half of them cost twice what they should: then there is often something to propose."""
SETTINGS = st.builds(
    Rightsizing,
    saving=st.sampled_from([0, 5, 30]),
    headroom=st.sampled_from([0, 25]),
    architectures=st.sampled_from([(), ("arm64",)]),
    machines=st.sampled_from([("*",), ("*",), ("t*",)]),
)


def outcome(one: Recommendation) -> Decimal:
    """The price of what the machine should have; infinite where nothing is large enough."""
    if one.reasons[0].code == "NoTypeFits":
        return Decimal("Infinity")
    type = one.proposed or one.subject.type
    assert type.on_demand is not None
    return type.on_demand


@given(MACHINES, CATALOGUES, SETTINGS)
def test_what_is_proposed_fits_and_saves_or_is_needed(
    machine: tuple[MachinePrice, Usage], others: list[MachinePrice], rules: Rightsizing
) -> None:
    mine, used = machine
    found = recommend(subject(mine), used, others, rules)
    if found.proposed is None:
        assert found.action == "keep"
        return
    new = found.proposed
    assert all(fit.fits for fit in found.fits)
    assert new in others
    assert new.machine != mine.machine
    assert new.architecture in (mine.architecture, *rules.architectures)
    assert new.gpu == mine.gpu or rules.machines != ("*",)
    assert not new.burstable or rules.machines != ("*",)
    assert found.list_saving is not None and found.list_saving == found.saving
    assert found.action == "grow" or found.list_saving > 0
    for measure, has in (("machine.memory", "memory_gib"), ("machine.gpu", "gpus")):
        assert measure in used.measured or getattr(new, has) >= getattr(mine, has), f"unknown {measure} was made smaller"
    if "machine.gpu_memory" not in used.measured:
        assert (new.gpu_memory_gib or 0) >= (mine.gpu_memory_gib or 0)


@given(MACHINES, CATALOGUES, st.floats(1, 20), st.sampled_from([0, 25]))
def test_who_does_more_never_gets_something_cheaper(
    machine: tuple[MachinePrice, Usage], others: list[MachinePrice], factor: float, headroom: float
) -> None:
    mine, used = machine
    most = {"machine.network": 1e12}
    more = {
        measure: tuple(
            Step(step.at, min(step.average * factor, most.get(measure, 1)), min(step.highest * factor, most.get(measure, 1)))
            for step in steps
        )
        for measure, steps in used.measured.items()
    }
    rules = EAGER.model_copy(update={"headroom": headroom})
    less, much = (recommend(subject(mine), each, others, rules) for each in (used, replace(used, measured=more)))
    assert outcome(less) <= outcome(much)


@given(MACHINES, CATALOGUES, SETTINGS)
def test_a_change_that_was_made_is_not_followed_by_another(
    machine: tuple[MachinePrice, Usage], others: list[MachinePrice], rules: Rightsizing
) -> None:
    mine, used = machine
    found = recommend(subject(mine), used, others, rules)
    if found.proposed is None or found.action == "grow":  # what something larger would use is not known
        return
    new = found.proposed
    rooms = {"machine.network": Decimal(1), "machine.cpu": mine.vcpus / new.vcpus, "machine.memory": mine.memory_gib / new.memory_gib}
    if new.gpus:
        rooms |= {"machine.gpu": mine.gpus / new.gpus, "machine.gpu_memory": mine.gpus / new.gpus}
    after: dict[MachineMetric, tuple[Step, ...]] = {
        measure: tuple(Step(step.at, step.average * float(rooms[measure]), step.highest * float(rooms[measure])) for step in steps)
        for measure, steps in used.measured.items()
        if measure in rooms  # without a GPU, nothing of one
    }
    again = recommend(subject(new), replace(used, measured=after), [*others, mine], rules)
    assert again.action == "keep", again.reasons


@given(MACHINES, CATALOGUES, SETTINGS, st.randoms(), st.integers(1, 1000))
def test_neither_the_order_nor_the_unit_of_money_matters(
    machine: tuple[MachinePrice, Usage], others: list[MachinePrice], rules: Rightsizing, dice: Random, factor: int
) -> None:
    mine, used = machine
    found = recommend(subject(mine), used, others, rules)
    shuffled = list(others)
    dice.shuffle(shuffled)
    assert recommend(subject(mine), used, shuffled, rules) == found

    def dearer(type: MachinePrice) -> MachinePrice:
        return replace(type, on_demand=(type.on_demand or Decimal(0)) * factor)

    scaled = recommend(subject(dearer(mine)), used, [dearer(type) for type in others], rules)
    assert (scaled.action, scaled.proposed and scaled.proposed.machine) == (found.action, found.proposed and found.proposed.machine)
    assert scaled.saving == (None if found.saving is None else found.saving * factor)


@given(MACHINES, CATALOGUES)
def test_the_cheapest_that_fits_is_kept(machine: tuple[MachinePrice, Usage], others: list[MachinePrice]) -> None:
    cheapest = replace(machine[0], on_demand=Decimal("0.001"))
    found = recommend(subject(cheapest), machine[1], others, EAGER, LIST)
    assert found.action in ("keep", "grow")
    assert (found.action == "grow") is (found.proposed is not None)
