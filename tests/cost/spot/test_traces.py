"""Traces: both forms say the same, and what is no trace is refused with its file."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.cost.spot.traces import draw, read
from tests.bench.spot import TRACES


def write(folder: Path, said: object, name: str = "0.json") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return path


def test_one_means_that_spot_was_not_to_be_had(tmp_path: Path) -> None:
    write(tmp_path / "a", {"metadata": {"gap_seconds": 600}, "data": [0, 1, 1]})
    write(tmp_path / "a", {"metadata": {"gap_seconds": 600.0}, "data": [1, 1, 0]}, "1.json")
    write(tmp_path / "b", {"metadata": {"gap_seconds": 60}, "data": [0]})
    found = read(tmp_path)
    assert [(windows.tick, windows.up.tolist()) for windows in found] == [
        (600, [[True, False, False], [False, False, True]]),
        (60, [[True]]),
    ]


def test_a_series_kept_once_gives_the_same_windows(tmp_path: Path) -> None:
    path = tmp_path / "series.json.gz"
    said = {"gap_seconds": 600, "ticks": 3, "series": {"x": {"first": 7, "preempted": "01101", "windows": [9, 7]}}}
    path.write_bytes(gzip.compress(json.dumps(said).encode()))
    (windows,) = read(path)
    assert (windows.series, windows.first.tolist()) == ("x", [9, 7])
    assert windows.up.tolist() == [[False, True, False], [True, False, False]]


def test_the_real_traces_hold_four_series_of_300_windows() -> None:
    found = read(TRACES)
    assert [(windows.series, windows.up.shape, windows.tick) for windows in found] == [
        (f"us-west-2{zone}", (300, 554), 600) for zone in ("a_k80_8", "a_v100_1", "b_k80_8", "b_v100_1")
    ]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("not JSON", "Expecting value"),
        ("[]", "no JSON object"),
        ("{}", "no list of 0"),
        ({"metadata": {"gap_seconds": 600}, "data": [0, 2]}, "no list of 0"),
        ({"metadata": {"gap_seconds": 600}, "data": [True]}, "no list of 0"),
        ({"metadata": {"gap_seconds": 600}, "data": []}, "no list of 0"),
        ({"metadata": {}, "data": [0]}, "gap_seconds is None"),
        ({"metadata": {"gap_seconds": 0.5}, "data": [0]}, "gap_seconds is 0.5"),
        ({"gap_seconds": 60, "ticks": 2, "series": {"x": {"first": 0, "preempted": "01", "windows": [1]}}}, "not in the series"),
        ({"gap_seconds": 60, "ticks": 2, "series": {"x": {"first": 0, "preempted": "0x", "windows": [0]}}}, "more than 0 and 1"),
        ({"gap_seconds": 60, "ticks": 2, "series": {"x": {"first": 0}}}, "preempted"),
        ({"gap_seconds": 60, "ticks": 2, "series": [1]}, "AttributeError"),
    ],
    ids=range(12),
)
def test_what_is_no_trace_is_refused(tmp_path: Path, said: object, why: str) -> None:
    path = write(tmp_path, said)
    with pytest.raises(InvalidRequest) as refused:
        read(path)
    assert str(path) in refused.value.message
    assert why in refused.value.why


def test_truncated_gzip_missing_files_and_windows_that_differ(tmp_path: Path) -> None:
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(TRACES.read_bytes()[:500])
    with pytest.raises(InvalidRequest, match="no trace"):
        read(cut)
    with pytest.raises(NotFound):
        read(tmp_path / "none")
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(NotFound):
        read(folder)
    write(folder, {"metadata": {"gap_seconds": 600}, "data": [0]})
    write(folder, {"metadata": {"gap_seconds": 600}, "data": [0, 0]}, "1.json")
    with pytest.raises(InvalidRequest, match="fit together"):
        read(folder)


def test_drawn_traces_are_the_same_for_the_same_seed_and_differ_by_regime() -> None:
    calm, rough = draw(600, 300, 200, seed=3)
    again, _ = draw(600, 300, 200, seed=3)
    assert np.array_equal(calm.up, again.up)
    assert not np.array_equal(calm.up, draw(600, 300, 200, seed=4)[0].up)
    assert calm.up.mean() > rough.up.mean() + 0.1
