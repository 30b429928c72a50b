"""What a shadow has shown: counted, bounded, kept and read again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.aside import shadow_views
from mcml.route.aside.tally import RECENT, WORST, Pair, Tally, quantile
from mcml.route.aside.tensors import Difference
from mcml.ui.piped import write

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def tally() -> Tally:
    return Tally("fraud", "fraud", "next", 1e-3, "2026-11-22T08:00:00.000000Z", 5.0)


def pair(number: int = 0, difference: Difference | None = None, **more: Any) -> Pair:
    return Pair(f"r{number}", f"2026-11-22T08:00:{number % 60:02}.000000Z", 2.0, 3.0, difference, **more)


def test_outcomes_and_shares() -> None:
    one = tally()
    for number in range(99):
        one.add(pair(number, Difference(max_abs=0.0005, rows=2, agreed=2)))
    one.add(pair(99, Difference(max_abs=0.5, rows=2, agreed=1)))
    one.add(pair(100, theirs_failed="status 500"))
    one.add(pair(101, Difference(("y: shape [1] and [2]",))))
    one.drop(3)
    report = one.report()
    assert {name: report[name] for name in ("compared", "same", "different", "error", "dropped")} == {
        "compared": 101, "same": 99, "different": 2, "error": 1, "dropped": 3,
    }  # fmt: skip
    assert report["top1_agreement"] == pytest.approx(199 / 200)
    assert report["max_abs"] == {"p50": 0.0005, "p99": 0.5, "max": 0.5}
    assert report["shadow_ms"]["p50"] == 3.0
    assert report["errors"] == {"shadow: status 500": 1}
    assert [(entry["request_id"], entry["size"]) for entry in report["worst"]] == [("r101", "inf"), ("r99", 0.5)]


def test_it_stays_small() -> None:
    one = tally()
    for number in range(3 * RECENT):
        one.add(pair(number, Difference((f"y: shape [{number}] and [1]",), max_abs=float(number))))
    assert len(one.distances) == len(one.ours_ms) == RECENT
    assert len(one.worst) == WORST
    assert len(one.mismatches) <= 51
    assert sum(one.mismatches.values()) == 3 * RECENT


differences = st.builds(
    Difference,
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
    st.none() | st.floats(0, allow_nan=False),
    st.integers(0, 3),
    st.just(3),
    st.integers(0, 3),
)


@given(st.lists(st.builds(pair, st.integers(0, 99), st.none() | differences), max_size=30))
def test_written_and_read_again_it_is_the_same(pairs: list[Pair]) -> None:
    one = tally()
    for each in pairs:
        one.add(each)
    again = Tally.from_json(json.loads(json.dumps(one.as_json(), allow_nan=False)))
    assert again.report() == one.report()
    json.dumps(one.report(), allow_nan=False)
    sizes = [float(entry["size"]) for entry in one.worst]
    assert sizes == sorted(sizes, reverse=True)
    assert one.compared + one.outcomes["error"] == len(pairs)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert quantile(values, 1.0) == max(values)


def test_the_report_concludes_nothing_from_little() -> None:
    few, many = tally(), tally()
    for number in range(200):
        (few if number < 5 else many).add(pair(number, Difference(max_abs=0.0, rows=1, agreed=1)))
    texts = [write(shadow_views.report([one.report()], NOW).blocks) for one in (few, many)]
    assert "too few\t5 copies compared; say nothing before there are 100" in texts[0]
    assert "alike\t100.00% of 195 answers are the same" in texts[1]
    assert "5% of the requests, for 1h" in texts[1]


def test_a_report_of_differences() -> None:
    one = tally()
    for number in range(150):
        one.add(pair(number, Difference(max_abs=float(number), rows=1, agreed=number % 2)))
    one.ended = (NOW - timedelta(minutes=30)).isoformat()
    text = write(shadow_views.report([one.report()], NOW).blocks)
    assert "unlike\t0.67% of 150 answers are the same" in text
    assert "ended after 30m" in text
    assert "r149" in text
    assert write(shadow_views.report([], NOW).blocks) == "no route has had a shadow yet; next: mcml route shadow ROUTE MODEL --percent 1\n"
