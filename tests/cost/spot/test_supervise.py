"""A supervised job in a cloud by script: in time on any market, whoever is killed when, and nothing is left running."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.cost.spot import market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import Order, Place
from mcml.cost.spot.site import tags_of
from mcml.providers.api.instances import MachineRequest
from mcml.store.db import Store
from tests.cost.spot.cloud import DELAY, FALLBACK, Warned
from tests.cost.spot.rig import LAUNCHED, MEMORY, ORDER, PLACES, cloud, events, finished, store, supervisor

__all__ = ["store"]


def test_spot_that_stays_is_kept_to_the_end_and_saves_two_thirds(store: Store) -> None:
    place = cloud([True])
    record = finished(store, place)
    assert (record.state, record.late, record.interruptions, record.on_demand_seconds) == ("done", False, 0, 0)
    assert record.cost == pytest.approx(Decimal(3660), abs=120)  # 1 a second, and up to a tick until it is noticed
    assert place.running() == []
    assert events(store) == ["started", "moved", "ended"]
    told = store.entries()[-1].facts
    assert (told["done"], told["currency"], told["on_demand_cost"]) == (1.0, "USD", "10980")
    assert Decimal(str(told["saved"])) == Decimal("10980") - Decimal(str(told["cost"]))


def test_without_spot_it_waits_while_it_can_and_ends_on_demand_in_time(store: Store) -> None:
    place = cloud([False])
    record = finished(store, place)
    assert (record.state, record.late, record.spot_seconds) == ("done", False, 0)
    assert record.ended is not None
    assert record.ended <= record.due
    assert record.on_demand_seconds < 3600 + 60 + 120 + 60
    assert market.every(store)["eu-1/m1"].refused >= 1


def test_an_interruption_falls_back_in_time_and_comes_back_to_spot(store: Store) -> None:
    quick = replace(ORDER, restart=4, checkpoint=6)
    place = cloud([True] * 20 + [False] * 70 + [True] * 100, quick)
    record = finished(store, place, quick)
    assert (record.state, record.late, record.interruptions) == ("done", False, 1)
    assert record.on_demand_seconds > 0
    assert record.switches >= 1, "from on demand back to spot"
    kinds = events(store)
    assert kinds[:3] == ["started", "moved", "interrupted"]
    assert kinds[-1] == "ended"
    interrupted = next(entry.facts for entry in store.entries() if entry.kind == "cost.spot_interrupted")
    assert (interrupted["place"], interrupted["job"]) == ("eu-1/m1", "train")
    assert Decimal(str(interrupted["cost"])) == pytest.approx(Decimal(1260), abs=120)
    memory = market.every(store)["eu-1/m1"]
    assert (memory.interrupted, len(memory.interruptions), [price for _, price in memory.prices]) == (1, 1, [Decimal(3600)])


@pytest.mark.slow
@given(
    spells=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    first=st.booleans(),
    kills=st.frozensets(st.integers(1, 40), max_size=3),
    silent=st.frozensets(st.integers(1, 40), max_size=3),
    lost=st.frozensets(st.integers(1, 40), max_size=2),
    delayed=st.frozensets(st.integers(1, 40), max_size=2),
    order=st.sampled_from([ORDER, LAUNCHED]),
    launch=st.sampled_from([0, 20, 50]),
    lag=st.sampled_from([0, 0, 45]),
    until=st.sampled_from([1e9, 15.0, 40.0]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_on_any_market_it_ends_in_time_and_leaves_nothing_running(
    spells: list[int],
    first: bool,
    kills: frozenset[int],
    silent: frozenset[int],
    lost: frozenset[int],
    delayed: frozenset[int],
    order: Order,
    launch: int,
    lag: int,
    until: float,
) -> None:
    """mcml is killed right after some calls, before it hears the answer; others are not answered, or done and not answered; to ask for a
    machine takes up to most of a tick, is done long after the answer was waited for, and shows in no list for a while; one type goes away
    with notice. The deadline allows for all of that."""
    up = [first ^ bool(number % 2) for number, spell in enumerate(spells) for _ in range(spell)]
    calls: dict[str, Any] = {"kills": kills, "silent": silent - kills, "lost": lost - kills - silent}
    calls["delayed"] = delayed - kills - silent - lost
    place = Warned(up, order.work, order.restart - launch, order.checkpoint, launch=launch, lag=lag, until=until, **calls)
    trouble = len(kills) + len(silent) + len(lost) + len(delayed)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        record = finished(store, place, replace(order, restart=order.restart + (60 + launch) * trouble))
        place.sleep(DELAY)
        assert (record.state, record.late, place.running(), record.leaving) == ("done", False, [], ())
        assert record.ended is not None
        assert record.ended <= record.due
        assert place.most <= 2 + len(lost) + len(delayed)
        assert len(place.tokens) <= record.attempt
        assert float(record.cost) >= float(place.paid) * 0.9 - 200 - 3 * (60 + launch + lag) * (len(lost) + len(delayed) + record.switches)
        assert float(record.cost) <= float(place.paid) + 3 * (60 + launch + lag) * (4 + trouble + record.interruptions)


def test_a_fallback_is_launched_when_it_is_needed_and_ended_when_spot_is_back(store: Store) -> None:
    """Twice, so that each is another machine; to ask for one takes a third of what a start does."""
    quick = replace(LAUNCHED, restart=30, checkpoint=6)
    place = cloud([False] * 70 + [True] * 10 + [False] * 20 + [True] * 100, quick, 10)
    del place.machines[FALLBACK]
    record = finished(store, place, quick)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    launched = [one for one in place.machines.values() if not one.spot]
    assert [one.machine for one in launched] == ["m1", "m1"]
    assert {one.tags["mcml-spot-job"] for one in launched} == {"train"}
    moved = [entry.facts for entry in store.entries() if entry.kind == "cost.spot_moved"]
    assert [told["market"] for told in moved] == ["on-demand", "spot", "on-demand", "spot"]
    assert moved[0]["place"] == "eu-1/m1"
    assert place.most == 2
    assert record.on_demand_seconds + record.spot_seconds == pytest.approx(sum(place.busy.values()) + 30 * 4, abs=60 * 5)


def test_a_launch_whose_answer_is_lost_is_asked_for_again_and_makes_one_machine(store: Store) -> None:
    """Spot is asked for in two places first; the launch is heard the third time."""
    order = replace(LAUNCHED, deadline=3600 + 60 + 120 + 240)
    place = cloud([False], order, lost=frozenset({5, 6}))
    record = finished(store, place, order)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    assert [name for name in place.machines if name != FALLBACK] == ["launched-0"]
    assert place.asked.count("launched-0") == 3


def test_a_launch_that_was_never_heard_of_is_ended_when_spot_comes_first(store: Store) -> None:
    order = replace(LAUNCHED, deadline=3600 + 60 + 120 + 360)
    place = cloud([False] + [True] * 200, order)
    at_work = supervisor(store, place)
    record = at_work.begin("train", order)
    unheard = Place(Choice.ON_DEMAND, "eu-1", "m1", "", "asked-before", Decimal(10800), place.now)
    place.request(MachineRequest("m1", "asked-before", tags=tags_of(record), spot=False))
    place.sleep(60)
    record = at_work.look(replace(record, leaving=(unheard,)))
    assert (record.place and record.place.word, record.leaving) == ("spot", ())
    assert [one.id for one in place.running()] == ["spot-1"]


def test_a_notice_moves_the_job_before_its_machine_is_taken_away(store: Store) -> None:
    """Two minutes of notice are seen between two ticks of ten minutes; the next machine is there before the first one dies."""
    order = replace(ORDER, tick=600, deadline=9000)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.interruptions, place.most, place.running()) == ("done", 1, 2, [])
    assert events(store) == ["started", "moved", "noticed", "moved", "ended"]
    told = next(entry for entry in store.entries() if entry.kind == "cost.spot_noticed")
    assert (told.facts["place"], told.facts["until"]) == ("eu-1/m1", place.end.isoformat())
    second = place.machines["spot-1"]
    assert second.machine == "m2"
    assert place.end - timedelta(minutes=2) <= second.launched <= place.end - timedelta(seconds=99)
    memories = market.every(store)
    assert [memories[name].interrupted for name in ("eu-1/m1", "eu-1/m2")] == [1, 0]
    assert memories["eu-1/m1"].seconds == pytest.approx(23 * 60, abs=30)


def test_a_machine_with_notice_works_on_where_there_is_no_other_place_and_counts_once(store: Store) -> None:
    order = replace(ORDER, candidates=PLACES[:1], deadline=10_800)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.late, record.interruptions, market.every(store)["eu-1/m1"].interrupted) == ("done", False, 1, 1)
    assert events(store)[:4] == ["started", "moved", "noticed", "interrupted"]
    assert place.machines["spot-0"].state == "interrupted", "it was not stopped before its time"


def test_with_notice_and_no_slack_on_demand_is_launched_at_once(store: Store) -> None:
    order = replace(LAUNCHED, candidates=PLACES[:1], deadline=66 * 60)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    assert place.end - timedelta(minutes=2) <= place.machines["launched-1"].launched < place.end
    assert place.machines["spot-0"].state == "stopped", "it was given back before it was taken"
