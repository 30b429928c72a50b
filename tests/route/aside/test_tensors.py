"""Answers beside each other: what counts as the same, how far apart they are, and laws that hold for any two answers."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.aside.tensors import Difference, compare, read_outputs


def tensor(data: list[Any], shape: list[int] | None = None, datatype: str = "FP32", name: str = "y") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def outputs(*tensors: dict[str, Any]) -> dict[str, Any]:
    return read_outputs(json.dumps({"model_name": "m", "outputs": list(tensors)}).encode())


def test_the_same_answer() -> None:
    one = outputs(tensor([0.1, 0.9, 0.8, 0.2], [2, 2]), tensor(["ann"], datatype="BYTES", name="who"))
    found = compare(one, one)
    assert found == Difference(max_abs=0.0, rows=2, agreed=2)
    assert found.same(0.0)
    assert found.text == ""


def test_distance_and_choice() -> None:
    found = compare(outputs(tensor([0.1, 0.9, 0.8, 0.2], [2, 2])), outputs(tensor([0.4, 0.6, 0.2, 0.8], [2, 2])))
    assert (found.rows, found.agreed) == (2, 1)
    assert found.max_abs == pytest.approx(0.6)
    assert found.text == "largest distance 0.6; another choice in 1 of 2 rows"
    assert found.same(0.61)
    assert not found.same(0.5)


def test_nested_data_are_the_same_as_flat_ones() -> None:
    assert compare(outputs(tensor([[1, 2], [3, 4]], [2, 2])), outputs(tensor([1, 2, 3, 4], [2, 2]))).same(0.0)


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        (tensor([1.0, 2.0], name="z"), "y: only in the route's answer; z: only in the shadow's answer"),
        (tensor([1.0, 2.0], datatype="FP64"), 'y: datatype "FP32" and "FP64"'),
        (tensor([1.0, 2.0], [1, 2]), "y: shape [2] and [1, 2]"),
        (tensor([1.0], [2]), "y: data do not fill the shape [2]"),
        (tensor([1.0, None]), "largest distance inf"),
    ],
    ids=["name", "datatype", "shape", "data", "null"],
)
def test_what_cannot_be_compared_is_never_the_same(theirs: dict[str, Any], text: str) -> None:
    found = compare(outputs(tensor([1.0, 2.0])), outputs(theirs))
    assert found.text == text
    assert not found.same(1e9)


def test_texts_are_equal_or_not() -> None:
    found = compare(outputs(tensor(["a", "b"], datatype="BYTES")), outputs(tensor(["a", "c"], datatype="BYTES")))
    assert (found.unlike, found.max_abs, found.same(1.0)) == (1, None, False)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"outputs": 7}', b'{"outputs": [7]}', b'{"outputs": [{"name": "y"}]}',
     b'{"outputs": [{"name": "y", "shape": 7, "data": []}]}', b'{"error": "no"}', b"\xff\xfe",
     b'{"outputs": [{"name": "y", "shape": [], "data": []}, {"name": "y", "shape": [], "data": []}]}'],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_outputs(body)


numbers = st.none() | st.integers() | st.floats(width=64)
answers = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=4).map(
        lambda rows: {"y": tensor([value for row in rows for value in row], [len(rows), len(rows[0])], "FP64")}
    )
)


@given(answers)
def test_every_answer_is_the_same_as_itself(one: dict[str, Any]) -> None:
    found = compare(one, one)
    assert found.same(0.0)
    assert found.agreed == found.rows


@given(answers, answers)
def test_neither_side_matters(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = compare(one, other), compare(other, one)
    assert (there.max_abs, there.unlike, there.rows, there.agreed) == (back.max_abs, back.unlike, back.rows, back.agreed)
    assert len(there.mismatches) == len(back.mismatches)
    assert there.max_abs is None or there.max_abs >= 0
    assert 0 <= there.agreed <= there.rows


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(1e-3, 10))
def test_a_shift_is_measured(values: list[float], shift: float) -> None:
    found = compare({"y": tensor(list(values))}, {"y": tensor([value + shift for value in values])})
    assert found.max_abs == pytest.approx(shift, rel=1e-3, abs=1e-6)
    assert found.same(shift * 1.01)


def test_infinite_and_huge_values() -> None:
    assert compare({"y": tensor([math.inf])}, {"y": tensor([math.inf])}).same(0.0)
    assert compare({"y": tensor([math.inf])}, {"y": tensor([-math.inf])}).max_abs == math.inf
    assert compare({"y": tensor([10**400], datatype="INT64")}, {"y": tensor([0], datatype="INT64")}).max_abs == math.inf
