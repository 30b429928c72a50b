"""Checkpoint intervals: the formula against the exact loss it approximates."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest
from mcml.cost.spot.checkpoint import advise, interval, lost, mean_time_between


@given(st.floats(1, 600), st.floats(60, 7 * 86400))
@settings(max_examples=300)
def test_no_other_interval_loses_much_less(cost: float, between: float) -> None:
    """Over a fine grid the best interval saves less than half a percent of the time more, wherever a checkpoint is not most of the time."""
    advised = interval(cost, between)
    assert 0 < advised <= between
    if cost < between / 4:
        best = min(lost(advised * factor / 50, cost, between) for factor in range(5, 250))
        assert lost(advised, cost, between) <= best + 0.005


def test_young_is_the_first_term_and_daly_the_better() -> None:
    """A checkpoint of 40 s, an interruption every 6 hours: Young says 1,315 s, Daly 1,288 s."""
    assert math.sqrt(2 * 40 * 21600) == pytest.approx(1314.5, abs=0.1)
    assert interval(40, 21600) == pytest.approx(1288.0, abs=0.1)
    assert interval(40, 20) == 20
    assert lost(1288, 40, 21600) == pytest.approx(0.059, abs=0.001)
    assert lost(1288, 40, 21600, restart=180) > lost(1288, 40, 21600)
    assert lost(1e6, 40, 60) == 1.0


def test_measured_checkpoints_are_averaged_and_none_is_refused() -> None:
    assert advise([30, 50], 21600).every == interval(40, 21600)
    with pytest.raises(InvalidRequest, match="checkpoint interval"):
        advise([], 21600)
    for cost, between in ((0, 1), (1, 0), (math.nan, 1), (1, math.inf)):
        with pytest.raises(InvalidRequest):
            interval(cost, between)


def test_interruptions_seen_move_the_mean_time() -> None:
    assert mean_time_between(0, 0) == 6 * 3600
    assert mean_time_between(86400, 23) == pytest.approx((86400 + 21600) / 24)
