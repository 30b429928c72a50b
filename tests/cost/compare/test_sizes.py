"""What a model could hold instead: the size that right-sizing proposes, and the cheapest type of another cloud that has what is needed."""

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.schema_cost import Rightsizing
from mcml.cost.compare.places import Here, holdings, there
from mcml.cost.compare.sizes import Judged, gpu_model, instead, named, nearest, nearest_to, with_listed, with_proposals
from mcml.cost.meter.live import Held, Place
from mcml.cost.rightsize.judge import recommend
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.model import Advice, Running, unknown
from mcml.cost.rightsize.saving import LIST
from mcml.cost.rightsize.values import Reason, Step, Subject, Usage
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.settings import Price, Settings
from mcml.testing.cli import run

NOW = datetime(2026, 11, 20, tzinfo=UTC)
STEP = timedelta(hours=1)
RULES = Rightsizing()


def type_(name: str, vcpus: int, gib: int, price: str | None, **more: object) -> MachinePrice:
    amount = Decimal(price) if price else None
    made = MachinePrice(name, "eu-west", Decimal(vcpus), Decimal(gib), amount, None, "USD", NOW, "x86_64")
    return replace(made, **more)  # type: ignore[arg-type]


OURS = [type_("m.large", 2, 8, "0.10"), type_("m.xlarge", 4, 16, "0.20"), type_("m.2xlarge", 8, 32, "0.40")]
THEIRS = [
    type_("e2", 2, 8, "0.07"),
    type_("n4", 4, 16, "0.18", region="west4"),
    type_("n8", 8, 32, "0.36", region="west4"),
    type_("a4", 4, 16, "0.12", architecture="arm64"),
    type_("b4", 4, 16, "0.05", burstable=True),
    type_("q4", 4, 16, None),
]


def seen(name: str, machine: MachinePrice, cpu: float | None, memory: float | None) -> Seen:
    """A machine that used these shares for ten days, judged among our types."""
    subject = Subject("eu-1", "acme", "eu-west", Instance(name, machine.machine, "a", "running", NOW, architecture="x86_64"), machine)
    start = NOW - timedelta(days=10)
    steps = {
        measure: tuple(Step(start + number * STEP, share, share) for number in range(240))
        for measure, share in (("machine.cpu", cpu), ("machine.memory", memory))
        if share is not None
    }
    usage = Usage(start, NOW, STEP, steps)  # type: ignore[arg-type]
    return Seen(recommend(subject, usage, OURS, RULES, LIST), usage, LIST)


def held(name: str, machine: MachinePrice, *, kind: str = "machine", count: int = 1) -> Held:
    price = UnitPrice(machine.machine, "eu-west", "h", machine.on_demand or Decimal(0), "USD", "a list", NOW)
    return Held(Place("acme", "eu-1", "eu-west"), kind, name, machine.machine, count, tags={"model": "fraud"}, price=price)  # type: ignore[arg-type]


def judged(*several: Seen) -> Judged:
    return Judged({("acme", "eu-west", one.recommendation.subject.instance.id): one for one in several}, {})


BIG = OURS[2]
SERVED = Running("fraud", "eu-1", "acme", "eu-west")
LINE = Here("eu-1", "acme", "eu-west", "2 x m.2xlarge", Decimal("0.80"), "USD", 10, Decimal(100), Decimal(1))


def test_a_target_at_the_proposed_size() -> None:
    """One of two is idle: it would do with the smallest type; the other needs what it has."""
    mine = [held("i-1", BIG), held("i-2", BIG)]
    (line,) = with_proposals([LINE], mine, judged(seen("i-1", BIG, 0.05, 0.1), seen("i-2", BIG, 0.7, 0.7)))
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("m.2xlarge, m.large", Decimal("0.5"), "")


@pytest.mark.parametrize(
    ("mine", "what", "why"),
    [
        ([held("i-1", BIG)], judged(seen("i-1", BIG, None, None)), "nothing of it is measured"),
        ([held("i-1", BIG)], Judged({}, {"eu-1": "no login"}), "no login"),
        ([held("i-1", BIG)], Judged({}, {}), "nothing is known of its use"),
        ([held("g", BIG, kind="group")], Judged({}, {}), "the template of its group decides its type"),
        ([held("p", BIG, kind="pool")], Judged({}, {}), "the template of its node pool decides its type"),
        ([replace(held("e", BIG, kind="endpoint"), price=None, why="nobody tells")], Judged({}, {}), "nobody tells"),
        ([held("e", BIG, kind="endpoint")], Judged({}, {}), "nothing is known of its use"),
        ([held("e", BIG, kind="endpoint")], Judged({}, {"eu-1": "no login"}), "no login"),
        ([held("e", BIG, kind="endpoint")], Judged({}, {}, {"eu-1": unknown(SERVED, "NotRunning", "it is not there")}), "it is not there"),
    ],
)
def test_why_nothing_is_proposed(mine: list[Held], what: Judged, why: str) -> None:
    (line,) = with_proposals([LINE], mine, what)
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("", None, why)


def test_what_is_paid_by_its_use_stays_as_it_is() -> None:
    endpoint = replace(held("fraud@eu-1/1", BIG, kind="endpoint"), machine="", use=(Decimal("0.5"), Decimal(1)))
    (line,) = with_proposals([LINE], [endpoint], Judged({}, {}))
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("0.5 vCPU, 1 GiB", Decimal("0.4"), "")


def test_an_endpoint_with_machines_of_its_own() -> None:
    found = Advice(SERVED, "shrink", (Reason("CPUOverprovisioned", "it idles"),), machine="ml.m.large")
    mine = [held("fraud@eu-1/1", replace(BIG, machine="ml.m.2xlarge"), kind="endpoint", count=2)]
    (line,) = with_proposals([LINE], mine, Judged({}, {}, {"eu-1": found}))
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("2 x ml.m.large", None, "")
    hosting = UnitPrice("ml.m.large", "eu-west", "h", Decimal("0.12"), "USD", "hosting", BIG.as_of)
    (line,) = with_proposals([LINE], mine, Judged({}, {}, {"eu-1": replace(found, price=hosting)}))
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("2 x ml.m.large", Decimal("0.24"), "")
    (line,) = with_proposals([LINE], mine, Judged({}, {}, {"eu-1": replace(found, action="keep", machine="")}))
    assert (line.proposed, line.proposed_hourly, line.unproposed) == ("2 x ml.m.2xlarge", Decimal("0.8"), "")


def test_a_model_that_holds_nothing_has_no_proposal() -> None:
    assert with_proposals([LINE], [], Judged({}, {})) == [LINE]


def test_the_nearest_type_by_use_and_without_it() -> None:
    small, where = nearest_to(seen("i-1", BIG, 0.2, 0.2), THEIRS, RULES)
    assert small is not None
    assert (small.machine, where) == ("e2", "the cheapest in eu-west that fits the use of m.2xlarge")
    same, where = nearest_to(seen("i-1", BIG, None, None), THEIRS, RULES)
    assert same is not None
    assert (same.machine, where) == ("n8", "the cheapest in west4 with at least what m.2xlarge has")
    assert nearest_to(seen("i-1", BIG, 0.9, 0.9), THEIRS[:2], RULES) == (None, "")


def test_a_machine_that_somebody_names() -> None:
    sizes = named("m.xlarge", {"acme": OURS, "zeta": THEIRS, "none": [THEIRS[0]]})
    assert [(str(each.size), each.basis, each.provider, each.before, each.assumed) for each in sizes] == [
        ("m.xlarge", "now", "", None, ""),
        ("n4", "nearest", "zeta", Decimal("0.20"), "the cheapest in west4 with at least what m.xlarge has"),
    ]
    assert [str(each.size) for each in named("odd", {"zeta": THEIRS})] == ["odd"]
    lines = there(sizes, with_listed(lambda _: [], Judged({}, {}), {"acme": OURS, "zeta": THEIRS}))
    assert [(line.provider, line.size, line.hourly, line.dearer) for line in lines] == [
        ("zeta", "n4", Decimal("0.18"), Decimal("-10.0")),
        ("acme", "m.xlarge", Decimal("0.2"), Decimal("0.0")),
    ]


def test_an_image_that_nobody_tells_of() -> None:
    found, where = nearest(replace(BIG, architecture=""), {}, THEIRS, "")
    assert found is not None
    assert (found.machine, where.partition("; ")[2]) == ("n8", "x86_64, as nobody tells what its image runs on")


def test_a_type_that_nobody_knows_has_no_nearest() -> None:
    assert nearest_to(seen("i-1", type_("odd", 0, 0, None), 0.1, 0.1), THEIRS, RULES) == (None, "")


def test_the_same_gpu_under_another_name() -> None:
    t4 = type_("g4dn", 4, 16, "0.5", gpus=Decimal(1), gpu="T4", gpu_memory_gib=Decimal(16))
    theirs = [
        type_("n1-p4", 4, 16, "0.1", gpus=Decimal(1), gpu="nvidia-tesla-p4", gpu_memory_gib=Decimal(16)),
        type_("n1-t4", 4, 16, "0.4", gpus=Decimal(1), gpu="nvidia-tesla-t4", gpu_memory_gib=Decimal(16)),
        type_("n1", 4, 16, "0.2"),
    ]
    found, _ = nearest_to(seen("i-1", t4, 0.5, 0.5), theirs, RULES)
    assert found is not None
    assert found.machine == "n1-t4"
    assert gpu_model(replace(t4, gpu="NVIDIA A100 80GB")) == gpu_model(replace(t4, gpu="nvidia-a100-80gb")) == {"a100"}
    assert gpu_model(replace(t4, gpu="")) != gpu_model(replace(t4, gpus=Decimal(0)))


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.randoms())
def test_what_is_nearest_has_what_is_needed_and_nothing_cheaper_has(cpu: float, memory: float, shuffled: object) -> None:
    found, _ = nearest_to(seen("i-1", OURS[1], cpu, memory), sorted(THEIRS, key=lambda _: shuffled.random()), RULES)  # type: ignore[attr-defined]

    def enough(type: MachinePrice) -> bool:
        vcpus = max(4 * cpu * 1.25, 5 if cpu > 0.99 else 0)
        return round(vcpus, 9) <= type.vcpus and round(16 * memory * 1.25, 9) <= type.memory_gib

    possible = [type for type in THEIRS[:3] if enough(type)]
    assert found == min(possible, key=lambda type: type.on_demand or 0, default=None)


def test_every_size_has_its_regions_against_what_it_stands_for() -> None:
    mine = [held("i-1", BIG), held("i-2", BIG)]
    what = judged(seen("i-1", BIG, 0.05, 0.1), seen("i-2", BIG, 0.05, 0.1))
    sizes = [*holdings(mine), *instead(mine, what, {"zeta": THEIRS, "acme": OURS}, RULES)]
    assert [(each.basis, str(each.size), str(each.instead_of), each.before) for each in sizes] == [
        ("now", "2 x m.2xlarge", "None", None),
        ("proposed", "2 x m.large", "2 x m.2xlarge", Decimal("0.80")),
        ("nearest", "2 x e2", "2 x m.2xlarge", Decimal("0.80")),
    ]

    def known(sku: str) -> list[tuple[str, UnitPrice]]:
        one = UnitPrice(sku, "us-east", "h", Decimal("0.09"), "USD", "a list", NOW)
        return [("acme", one), ("else", one)] if sku == "m.large" else [("zeta", one)] if sku == "e2" else []

    lines = there(sizes, with_listed(known, what, {"zeta": THEIRS}))
    assert [(line.basis, line.provider, line.region, line.size, line.hourly, line.dearer, line.source) for line in lines] == [
        ("nearest", "zeta", "eu-west", "2 x e2", Decimal("0.14"), Decimal("-82.5"), "zeta, asked"),
        ("proposed", "acme", "us-east", "2 x m.large", Decimal("0.18"), Decimal("-77.5"), "a list"),
        ("nearest", "zeta", "us-east", "2 x e2", Decimal("0.18"), Decimal("-77.5"), "a list"),
        ("proposed", "acme", "eu-west", "2 x m.large", Decimal("0.2"), Decimal("-75.0"), "acme, asked"),
        ("now", "acme", "eu-west", "2 x m.2xlarge", Decimal("0.8"), Decimal("0.0"), "acme, asked"),
    ]
    assert {line.instead_of for line in lines} == {"", "2 x m.2xlarge"}


def test_of_two_machines_one_that_stays_is_not_counted_with_the_other() -> None:
    mine = [held("i-1", BIG), held("i-2", BIG)]
    what = judged(seen("i-1", BIG, 0.05, 0.1), seen("i-2", BIG, 0.6, 0.6))
    found = [one for one in instead(mine, what, {"acme": OURS}, RULES) if one.basis == "proposed"]
    assert [(str(one.size), str(one.instead_of), one.before) for one in found] == [("m.large", "m.2xlarge", Decimal("0.40"))]


def test_a_spot_machine_is_compared_as_it_is() -> None:
    spot = replace(held("i-1", BIG), spot=True)
    assert instead([spot], judged(seen("i-1", BIG, 0.05, 0.1)), {"zeta": THEIRS}, RULES) == []


SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[cost.rightsizing]
window = "1h"
minimum = "1s"
coverage = 1
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
gib_hour = 0.01
"""


@pytest.mark.slow
def test_a_machine_that_holds_a_model_is_compared_at_the_size_it_needs(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    prices = {"eu-west-1": Price(vcpu_hour=Decimal("0.05"), gib_hour=Decimal("0.01"))}
    instances = LocalInstances(ProviderContext(Settings(prices=prices), tmp_path / ".mcml/local", "eu-1", "eu-west-1"))
    work = (sys.executable, "-c", "import time\nwhile True: sum(range(200_000)), time.sleep(0.05)")
    made = instances.launch("local-2x8", "token", work, tags={"model": "fraud"})
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            told = json.loads(run(["cost", "compare", "fraud", "-o", "json"], cwd=tmp_path).out)["items"]
            if told[0]["proposed_size"]:
                break
            time.sleep(0.5)
        shown = run(["cost", "compare", "fraud"], cwd=tmp_path, terminal=True)
        piped = run(["cost", "compare", "fraud", "-q"], cwd=tmp_path)
    finally:
        instances.terminate(made.id)
    # Less than one of its two vCPUs is busy, and next to nothing of its 8 GiB is used.
    assert [(item["kind"], item["size"], item["hourly_price"], item.get("proposed_size")) for item in told] == [
        ("target", "local-2x8", "0.18", "local-1x1"),
        ("region", "local-1x1", "0.06", None),
        ("region", "local-2x8", "0.18", None),
    ]
    assert told[0]["proposed_hourly_price"] == "0.06"
    assert [(item["basis"], item["instead_of"], item["dearer_percent"]) for item in told[1:]] == [
        ("proposed", "local-2x8", "-66.7"),
        ("now", None, "0.0"),
    ]
    assert "At the size that right-sizing proposes" in shown.out
    assert "eu-1\tlocal-2x8\tlocal-1x1\t0.18\t0.06\tUSD" in piped.out.splitlines()
