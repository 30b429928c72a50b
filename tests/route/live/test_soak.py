"""A soak in small: the function of `python -m tests.bench.route_soak`, for half a minute; and what its figures are made of."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.drill.load import Sample
from tests.bench import route_rig
from tests.bench.route_rig import MODEL, TARGETS, about, quantile, slope
from tests.bench.route_soak import Soaked, soak

FLOATS = st.floats(-1e3, 1e3)


@given(FLOATS, FLOATS, st.lists(st.integers(0, 10_000), min_size=2, max_size=30, unique=True))
def test_the_slope_of_points_on_a_line_is_that_of_the_line(rise: float, start: float, seconds: list[int]) -> None:
    assert slope([(x, start + rise * x) for x in seconds]) == pytest.approx(rise, abs=1e-5)


def test_the_slope_of_little_is_nothing() -> None:
    assert slope([]) == 0
    assert slope([(1.0, 5.0)]) == 0
    assert slope([(1.0, 5.0), (1.0, 9.0)]) == 0


def test_memory_is_judged_by_the_second_half() -> None:
    grown = [(float(at), 50.0 + min(at, 100)) for at in range(200)]
    leaking = [(float(at), 50.0 + at / 60) for at in range(200)]
    assert Soaked(envoy=grown, python=leaking).slopes() == {"Envoy": pytest.approx(0, abs=1e-6), "Python": pytest.approx(60)}


def test_only_what_was_lost_is_kept() -> None:
    found = Soaked()
    found.count([Sample(0.0, 0.01, 200), Sample(0.0, 0.02, 200, attempts=2), Sample(0.0, 0.03, 503, error="503: no")])
    found.count([])
    assert (found.requests, found.retried, [one.status for one in found.lost]) == (3, 1, [503])
    assert len(found.p99_ms) == 1


def test_quantiles() -> None:
    assert [quantile([3.0, 1.0, 2.0], part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 2.0, 3.0, 3.0]
    assert math.isnan(quantile([], 0.5))
    assert about([Sample(0.0, 0.002, 200), Sample(0.0, 0.004, 0)]) == {"requests": 2, "failed": 1, "p50": 4.0, "p99": 4.0}


@pytest.mark.slow
def test_a_short_soak_loses_nothing(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real command line, real processes that are killed, stopped and made to answer nonsense; one request lost fails the test."""
    monkeypatch.setattr(route_rig, "BENCH", tmp_path_factory.mktemp("soak"))
    said: list[str] = []
    with route_rig.project("route-soak", {MODEL: TARGETS}) as made:
        route_rig.serve(made)
        found = soak(made, seconds=20.0, rate=60.0, seed=3, quiet=1.0, fails=2.0, say=said.append)
    print("\n".join(said))
    assert found.lost == [], said
    assert found.requests > 100
    assert found.drills
    assert found.envoy[-1][1] < 400 > found.python[-1][1]
