"""The clock of the machine is put forward and back while the router serves: no request, no backend and no weight notices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.backend import Backend
from mcml.core.clock import utc_now
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.cost.meter.prices import PriceBook
from mcml.route.weights.decide import Reading, State, turn
from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Endpoint, Observation, Seen
from mcml.route.weights.spend import Spend
from mcml.route.weights.spend import step as spend_step
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger
from tests.route.rig import Rig, Upstream, until

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
BACKENDS = tuple(Backend(target, "fraud", "127.0.0.1", 9000, "local", "nowhere") for target in ("eu-1", "us-1"))
JUMPS = (timedelta(days=1), timedelta(days=-1), timedelta(hours=5), timedelta(0))


def observed(*, failing: bool = False) -> Observation:
    endpoint = Endpoint("127.0.0.1:9000", False, failing, False)
    return Observation({one.name: Seen((endpoint,), Counters()) for one in BACKENDS})


@given(st.lists(st.timedeltas(timedelta(days=-3650), timedelta(days=3650)), min_size=1, max_size=8))
def test_no_decision_depends_on_how_the_clock_went(jumps: list[timedelta]) -> None:
    """Only facts carry the time; what is up, and what it weighs, is measured in monotonic seconds."""
    state, _ = turn(State(), {"fraud": Route()}, Reading(100.0, NOW, observed(), BACKENDS))
    for number, jump in enumerate(jumps, 1):
        state, outcome = turn(state, {"fraud": Route()}, Reading(100.0 + number, NOW + jump, observed(), BACKENDS))
        assert outcome.facts == ()
        assert dict(outcome.plans[0].weights) == {"fraud@eu-1": 50, "fraud@us-1": 50}


def test_a_clock_that_is_put_back_opens_no_new_budget() -> None:
    """A spend ceiling is for a day; going back over midnight and forth again must not make two days of one."""
    price = PriceInfo(Decimal(1000), "USD/1000 requests", "USD", "a test", NOW)
    later, spend, count = {"fraud": ["fraud@us-1"]}, Spend(), 0
    spent: list[tuple[str, int]] = []
    for jump in (0, 1, 0, 1, 2):
        count += 3
        at = NOW + timedelta(days=jump)
        spend = spend_step(spend, later, {"fraud@us-1": Counters(attempts=count)}, {"fraud@us-1": price}, at)
        spent.append((spend.day, int(spend.routes["fraud"])))
    assert spent == [("2026-11-21", 3), ("2026-11-22", 3), ("2026-11-22", 6), ("2026-11-22", 9), ("2026-11-23", 3)]


def test_prices_are_read_anew_after_the_clock_was_put_back(tmp_path: Path) -> None:
    """Else they would be those of before until it has caught up."""
    now, read = NOW, list[str]()

    def backends() -> tuple[Backend, ...]:
        read.append("")
        return BACKENDS

    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        book = PriceBook(store, Ledger(tmp_path / "cost"), backends, lambda: now)
        for jump, count in ((timedelta(0), 1), (timedelta(seconds=59), 1), (-timedelta(days=1), 2), (-timedelta(days=1), 2)):
            now = NOW + jump
            for one in BACKENDS:
                book(one)
            assert len(read) == count


@pytest.mark.slow
def test_a_router_under_load_whose_clock_jumps(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("us-1")])
    offset = timedelta(0)
    rig.setup = replace(rig.setup, clock=lambda: utc_now() + offset)
    with rig:
        until(lambda: rig.weights() == {"fraud@eu-1": 50, "fraud@us-1": 50}, 10, "one is missing")
        told = len(rig.told_of("route.weights"))
        for jump in JUMPS:
            offset = jump
            samples = rig.load(400, concurrency=4)
            assert [one.error for one in samples if one.status != 200] == []
            assert {one.backend for one in samples} == {"fraud@eu-1", "fraud@us-1"}
        assert rig.told_of("route.backend_down") == []
        assert len(rig.told_of("route.weights")) <= told + 1  # the latency of a busy machine may move them once
        offset = -timedelta(days=1)
        rig.upstreams["eu-1"].kill()
        _, fact = rig.fact("route.backend_down", "eu-1", within=5.0)
        assert fact.at is not None
        assert fact.at < utc_now() - timedelta(hours=23)
        until(lambda: rig.weights()["fraud@eu-1"] == 0, 5, "it keeps its weight")
        rig.upstreams["eu-1"].start()
        offset = timedelta(days=1)
        _, back = rig.fact("route.backend_up", "eu-1", within=15.0)
        assert float(str(back.facts["down_s"])) < 3600, "an outage is as long as it was, whatever the clock says"
