"""Our policy: the table behind it prices what happens, it learns, and it beats the others on the real traces."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from mcml.cost.spot.contest import POLICIES
from mcml.cost.spot.job import Choice, Job, Seen
from mcml.cost.spot.policy import Planned
from mcml.cost.spot.simulate import grade
from mcml.cost.spot.spells import REGIMES, Belief, Lomax
from mcml.cost.spot.traces import draw, read
from mcml.cost.spot.value import DOWN_IDLE, UP_IDLE, Ticks, solve
from tests.bench import spot as bench
from tests.cost.spot.drawn import ON_DEMAND, SPOT

JOB = Job(48 * 3600, 52 * 3600, 720, 600, ON_DEMAND, SPOT)


@pytest.mark.slow
def test_on_every_variant_of_the_real_traces_it_beats_all_three_and_is_never_late() -> None:
    """A short form of `make bench`: every tenth window."""
    rows = bench.variants(read(bench.TRACES), every=10)
    assert len(rows) == 16
    assert [row for row in rows if row.late[bench.OURS]] == []
    assert sum(row.margin > 0 for row in rows) >= 15, [round(row.margin, 1) for row in rows]
    assert np.mean([row.margin for row in rows]) > 3


def test_the_scores_of_the_baselines_on_all_windows_are_pinned() -> None:
    """They move only when the grader does: the yardstick must not drift."""
    windows = read(bench.TRACES)[0]
    assert (windows.series, windows.up.shape, round(float(windows.up.mean()), 3)) == ("us-west-2a_k80_8", (300, 554), 0.577)
    job = Job(48 * 3600, 70 * 3600, 180, 600, ON_DEMAND, SPOT)
    scores = {name: round(float(grade(job, make(), windows.up).score), 1) for name, make in POLICIES.items() if name != bench.OURS}
    assert scores == {"greedy": 59.0, "uniform progress": 70.4, "never wait": 55.1}


def test_the_priced_cost_is_what_a_market_of_that_regime_costs() -> None:
    """2,000 windows drawn from the regime: the mean cost of a policy that knows it is the table's value to 2 percent."""
    calm = REGIMES[0]
    drawn = draw(600, JOB.ticks, 2000, seed=5)[0]
    paid = grade(JOB, Planned((calm,)), drawn.up)
    ticks = Ticks.of(JOB)
    table = solve(ticks, calm)
    at = int(np.abs(table.grid - ticks.slack).argmin())
    up = drawn.up[:, 0].mean()
    expected = up * table.values[ticks.left, UP_IDLE, 0, at] + (1 - up) * table.values[ticks.left, DOWN_IDLE, 0, at]
    mean_ticks = float(paid.mean_cost) / (3.06 / 6)
    assert mean_ticks == pytest.approx(float(expected), rel=0.02)


def seen(tick: int, *, up: bool, remaining: int, running: int = Choice.WAIT, pending: int = 0) -> Seen:
    one = np.ones(1, np.int64)
    return Seen(tick, np.array([up]), one * running, one * remaining, one * pending)


def chosen(policy: Planned, what: Seen) -> int:
    return int(policy.choose(what)[0])


def test_without_slack_it_runs_on_demand_even_beside_spot() -> None:
    policy = Planned()
    policy.begin(JOB, 1)
    tight = JOB.ticks * 600 - JOB.restart
    assert chosen(policy, seen(0, up=True, remaining=tight)) == Choice.ON_DEMAND
    assert chosen(policy, seen(0, up=False, remaining=tight)) == Choice.ON_DEMAND


def test_a_running_spot_machine_is_kept_and_its_loss_near_the_deadline_is_made_good() -> None:
    policy = Planned()
    policy.begin(JOB, 1)
    left = 100 * 600 - JOB.restart
    tick = JOB.ticks - 100
    assert chosen(policy, seen(tick, up=True, remaining=left, running=Choice.SPOT)) == Choice.SPOT
    assert chosen(policy, seen(tick, up=False, remaining=left)) == Choice.ON_DEMAND


def test_much_slack_waits_for_spot_and_little_does_not() -> None:
    for work, expected in ((3600, Choice.WAIT), (51 * 3600, Choice.ON_DEMAND)):
        policy = Planned()
        policy.begin(replace(JOB, work=work), 1)
        assert chosen(policy, seen(0, up=False, remaining=work)) == expected


def test_history_teaches() -> None:
    """After a day of short spells the market is believed to be rough; after a day without an end it is not."""
    rough, calm = Belief(REGIMES, 600, 1), Belief(REGIMES, 600, 1)
    for number in range(144):
        rough.see(np.array([number % 2 == 0]))
        calm.see(np.array([True]))
    assert rough.weights[0, 1] > 0.55 > 0.45 > calm.weights[0, 1]
    assert calm.age[0] == 143
    assert rough.weights.sum() == pytest.approx(1)


def test_spells_end_less_and_less_often() -> None:
    rates = Lomax(1.1, 1800).ends(np.arange(0, 360000, 600.0), 600)
    assert (np.diff(rates) < 0).all()
    assert 0 < rates[-1] < rates[0] < 1
    assert Lomax(1.1, 1800).ends(np.array([0.0]), 1800 * (2 ** (1 / 1.1) - 1))[0] == pytest.approx(0.5)


def test_a_start_of_many_ticks_and_equal_prices_are_no_trouble() -> None:
    job = Job(3600, 4 * 3600, 1500, 60, Decimal(1), Decimal(1))
    found = grade(job, Planned(), draw(60, job.ticks, 20, seed=2)[1].up)
    assert (found.late, int(found.score)) == (0, 0)
