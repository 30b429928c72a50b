"""What a machine did: joined series, steps that a provider does not answer, unknown numbers; and since when it has its type."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest
from mcml.core.fact import Fact
from mcml.cost.rightsize.measure import changes, measure, resized
from mcml.providers.api.metrics import MACHINE_METRICS
from mcml.store.db import Store
from mcml.store.ledger.machines import Typed
from tests.cost.rightsize.made import DAY, M4, NOW, Meter, subject

HOUR, FIVE = timedelta(hours=1), timedelta(minutes=5)


def test_all_measures_are_asked_for_average_and_maximum_in_whole_steps() -> None:
    meter = Meter(lambda series, _: 0.2 if series.statistic == "average" else 0.7, missing=("machine.gpu",))
    found = measure(meter, "i-1", NOW - DAY - timedelta(seconds=1), NOW + timedelta(seconds=1))
    assert (found.start, found.end, found.step, found.steps) == (NOW - DAY, NOW, FIVE, 288)
    assert set(found.measured) == set(MACHINE_METRICS) - {"machine.gpu"}
    assert {(step.average, step.highest) for step in found.measured["machine.memory"]} == {(0.2, 0.7)}
    assert len(meter.asked) == 10


def test_names_that_are_not_there_are_not_asked_for() -> None:
    meter = Meter()
    assert set(measure(meter, "i-1", NOW - DAY, NOW, ["machine.cpu"]).measured) == {"machine.cpu"}
    assert len(meter.asked) == 2


def test_coarser_steps_where_the_provider_does_not_answer_finer_ones() -> None:
    assert measure(Meter(most=30), "i-1", NOW - DAY, NOW).step == HOUR
    with pytest.raises(InvalidRequest):
        measure(Meter(most=10), "i-1", NOW - DAY, NOW)


def test_what_is_judged_after_minutes_is_looked_at_in_finer_steps() -> None:
    assert measure(Meter(), "i-1", NOW - FIVE, NOW, least=timedelta(minutes=1)).step == FIVE / 60
    assert measure(Meter(), "i-1", NOW - DAY, NOW, least=7 * DAY).step == FIVE


def test_less_than_a_step_is_nothing() -> None:
    found = measure(Meter(), "i-1", NOW - timedelta(minutes=4), NOW + timedelta(minutes=4))
    assert (found.steps, found.measured) == (0, {})


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))] * 2), min_size=24, max_size=24))
def test_a_step_counts_when_both_numbers_are_known_and_a_share_is_at_most_all(pairs: list[tuple[float | None, float | None]]) -> None:
    told = {NOW - DAY + place * HOUR: pair for place, pair in enumerate(pairs)}
    meter = Meter(lambda series, at: told[at][series.statistic == "maximum"], most=24)
    found = measure(meter, "i-1", NOW - DAY, NOW).measured
    good = [at for at, pair in told.items() if all(value is not None and 0 <= value < float("inf") for value in pair)]
    for steps in (found.get("machine.cpu", ()), found.get("machine.network", ())):
        assert [step.at for step in steps] == good
    for step in found.get("machine.cpu", ()):
        assert 0 <= step.average <= step.highest <= 1


OLD = NOW - 100 * DAY
MACHINE = subject().instance


def seen(type: str, first: int, last: int) -> Typed:
    return Typed("i-1", type, NOW - first * DAY, NOW - last * DAY)


@pytest.mark.parametrize(
    ("launched", "changed", "billed", "since"),
    [
        (100, None, [], 100),
        (100, None, [seen("m.4", 30, 1)], None),
        (100, 9, [seen("m.4", 30, 1)], 9),
        (100, 9, [seen("m.2", 30, 6), seen("m.4", 6, 1)], 6),
        (5, None, [seen("M.4", 30, 1)], None),
        (0.5, None, [seen("m.4", 30, 1)], 0.5),
        (0.5, 9, [], 0.5),
        (100, None, [seen("m.2", 30, 1)], 1),
    ],
)
def test_since_when_a_machine_has_its_type(launched: float, changed: float | None, billed: list[Typed], since: float | None) -> None:
    machine = replace(MACHINE, launched=NOW - launched * DAY)
    found = resized(machine, None if changed is None else NOW - changed * DAY, billed)
    assert found == (None if since is None else NOW - since * DAY)


def test_azure_writes_a_type_in_two_ways() -> None:
    machine = replace(MACHINE, machine="Standard_D2s_v3")
    assert resized(machine, None, [seen("D2s v3", 30, 0)]) is None
    assert M4.machine == MACHINE.machine


def test_our_own_changes_are_read_from_the_journal(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'state.db'}") as store:
        told = ((9, "resized", "eu-1/i-1"), (8, "planned", "eu-1/i-1"), (7, "rolled_back", "eu-1/i-1"), (6, "resized", "eu-1/i-2"))
        for days, kind, key in told:
            store.append(Fact(f"cost.rightsize_{kind}", "cost", key, at=NOW - days * DAY))
        assert changes(store) == {"eu-1/i-1": NOW - 7 * DAY, "eu-1/i-2": NOW - 6 * DAY}
