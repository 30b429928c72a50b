"""The streaming detector, and the rule of NAB by which it is measured (tests/bench/nab.py runs all series beside peers)."""

import random
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.cost.anomaly.stream import LEARN, THRESHOLD, Detector, Sorted
from tests.bench.nab import windowed_gaussian
from tests.bench.nab_score import PROFILES, Score, score, series

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 2)), min_size=1, max_size=60)
PART = ("realTraffic/speed_7578.csv", "realAWSCloudwatch/iio_us-east-1_i-a2eb1cd9_NetworkIn.csv", "realTraffic/speed_6005.csv")


def rounded(scores: dict[str, Score]) -> list[float]:
    return [round(scores[profile].value, 1) for profile in PROFILES]


def test_the_part_of_nab_is_whole() -> None:
    assert (len(series()), sum(len(one.values) for one in series().values())) == (35, 127_756)
    assert sum(len(one.windows) for one in series().values()) == 50


def test_a_detector_that_says_nothing_has_0_and_a_perfect_one_100() -> None:
    silent = {name: [0.0] * len(one.values) for name, one in series().items()}
    perfect = {name: list(values) for name, values in silent.items()}
    for name, one in series().items():
        for first, _ in one.windows:
            perfect[name][first] = 1.0
    assert rounded(score(silent)) == [0, 0, 0]
    assert rounded(score(perfect)) == [100, 100, 100]


def test_late_and_false_detections_cost_what_the_rule_says() -> None:
    """One window of 115 rows; a hit in its middle, and a false alarm before any window (-1 each, of weight 0.11, 0.22, 0.11)."""
    name = "realTraffic/speed_6005.csv"
    ((first, last),) = series()[name].windows
    said = [0.0] * len(series()[name].values)
    said[(first + last) // 2] = 1.0
    halfway = rounded(score({name: said}))
    said[series()[name].probation] = 1.0
    assert halfway == [93.1, 93.1, 95.4]
    assert rounded(score({name: said})) == [87.6, 82.1, 91.7]
    said[series()[name].probation - 1] = 1.0
    assert rounded(score({name: said})) == [87.6, 82.1, 91.7], "what is said in the probation does not count"


def test_scores_of_ours_and_of_a_windowed_gaussian_are_what_they_were() -> None:
    def answers(make: Callable[[], Callable[[float], float]]) -> dict[str, list[float]]:
        return {name: [update(value) for value in series()[name].values] for name in PART for update in (make(),)}

    ours, peer = answers(lambda: Detector().update), answers(windowed_gaussian)
    assert rounded(score(ours)) == [66.4, 66.4, 68.1]
    assert rounded(score(peer)) == [66.5, 65.8, 68.2]


@given(VALUES, st.floats(-1e6, 1e6), st.integers(1, 20))
def test_what_is_kept_are_the_last_values_in_order(values: list[float], value: float, memory: int) -> None:
    kept = Sorted(memory)
    for each in values:
        kept.add(each)
    assert list(kept._values[: len(kept)]) == sorted(values[-memory:])
    assert 0 < kept.isolation(value) <= 1


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True), st.integers(-60, 60))
@settings(max_examples=15, deadline=None)
def test_the_sum_is_the_mean_depth_of_random_cut_trees(values: list[int], value: int) -> None:
    """Grow 2,000 trees down to the point, as the paper does: cuts uniform over the range of what is left."""
    others = [each for each in values if each != value]
    kept = Sorted(len(values))
    for each in others:
        kept.add(each)
    draw = random.Random(1)
    mean = sum(cuts(others, value, draw) for _ in range(2000)) / 2000
    assert 1 / kept.isolation(value) - 1 == pytest.approx(mean, abs=0.15)


def cuts(others: list[int], value: int, draw: random.Random) -> int:
    if not others:
        return 0
    low, high = min(*others, value), max(*others, value)
    cut = draw.uniform(low, high)
    return 1 + cuts([each for each in others if (each <= cut) == (value <= cut)], value, draw)


@given(st.lists(st.integers(-1000, 1000), min_size=LEARN, max_size=80), st.sampled_from([0.25, 2.0, 1024.0]), st.integers(-1000, 1000))
def test_neither_unit_nor_zero_point_matters(values: list[int], unit: float, zero: int) -> None:
    plain, changed = Detector(), Detector()
    for value in values:
        assert changed.update((value + zero) * unit) == pytest.approx(plain.update(value))


def test_a_spike_is_one_alarm_and_a_shift_another() -> None:
    draw = random.Random(7)
    values = [10 + draw.gauss(0, 1) for _ in range(1500)]
    values[500] += 20
    values[1000:] = [value + 30 for value in values[1000:]]
    detector = Detector()
    scores = [detector.update(value) for value in values]
    assert [at for at in range(200, 1500) if scores[at] > 1.5 * THRESHOLD] == [500, 1000, 1001, 1002]
    assert max(scores[501:549]) == 0, "a rest after the spike"


def test_a_flat_line_says_nothing_until_it_moves() -> None:
    detector = Detector()
    assert max(detector.update(0.0) for _ in range(500)) < THRESHOLD
    assert detector.update(1e-9) > THRESHOLD


def test_memory_is_bounded_and_old_values_are_forgotten() -> None:
    detector = Detector(memory=100)
    for value in accumulate(range(1000)):
        detector.update(float(value))
    assert (len(detector._values), len(detector._means), len(detector._last)) == (100, 100, 48)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e301])
def test_what_is_no_number_is_refused_and_leaves_no_trace(value: float) -> None:
    detector = Detector()
    with pytest.raises(ValueError, match="no measurement"):
        detector.update(value)
    assert len(detector._last) == 0
