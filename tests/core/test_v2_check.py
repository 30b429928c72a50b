"""Does a request fit a signature: what is refused and in which words; whatever a client sends, it is a verdict and no crash."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.v2 import Misfit, check_request, zero_request

METADATA: dict[str, Any] = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "who", "datatype": "BYTES", "shape": [1]},
        {"name": "count", "datatype": "UINT8", "shape": []},
    ],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
X = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, 3, 4]}
WHO = {"name": "who", "datatype": "BYTES", "shape": [1], "data": ["ann"]}
COUNT = {"name": "count", "datatype": "UINT8", "shape": [3], "data": [0, 1, 255]}


def why(body: object, **more: int) -> str:
    try:
        check_request(body if isinstance(body, bytes) else json.dumps(body).encode(), METADATA, **more)
    except Misfit as misfit:
        return str(misfit)
    return ""


def with_x(**changes: object) -> dict[str, object]:
    return {"inputs": [{**X, **changes}, WHO, COUNT]}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [X, WHO, COUNT]},
        {"inputs": [COUNT, WHO, X], "id": "7", "outputs": [{"name": "y"}]},
        with_x(data=[[1, 2], [3, 4]]),
        with_x(shape=[0, 2], data=[]),
    ],
)
def test_requests_that_fit(body: object) -> None:
    assert why(body) == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: expected JSON (which has no NaN or Infinity): Expecting value: line 1 column 1 (char 0)"),
        (b'{"inputs": NaN}', "body: expected JSON (which has no NaN or Infinity): got NaN"),
        (b"\xff", "body: expected JSON"),
        ([], "body: expected a JSON object, got []"),
        ({}, "inputs: expected an array with 'x' and 'who' and 'count', got nothing"),
        ({"inputs": [X, WHO]}, "inputs: missing 'count'; the model takes 'x' and 'who' and 'count'"),
        ({"inputs": [X, X, WHO, COUNT]}, "inputs[1].name: input 'x' is given twice"),
        ({"inputs": [7]}, "inputs[0].name: expected 'x' or 'who' or 'count', got nothing"),
        ({"inputs": [{**X, "name": ["x"]}]}, "inputs[0].name: expected 'x' or 'who' or 'count', got [\"x\"]"),
        (with_x(datatype="FP64"), "inputs['x'].datatype: expected 'FP32', got \"FP64\""),
        (with_x(shape=[2, 3]), "inputs['x'].shape: expected [-1, 2] (-1: any size), got [2, 3]"),
        (with_x(shape=[4]), "inputs['x'].shape: expected [-1, 2] (-1: any size), got [4]"),
        (with_x(shape=[True, 2]), "inputs['x'].shape: expected an array of whole numbers, got [true, 2]"),
        (with_x(shape=[-1, 2]), "inputs['x'].shape: expected an array of whole numbers, got [-1, 2]"),
        (with_x(data=[1, 2, 3]), "inputs['x'].data: expected 4 values for shape [2, 2], got 3"),
        (with_x(data="1,2"), "inputs['x'].data: expected an array, got \"1,2\""),
        (with_x(data=[1, 2, 3, None]), "inputs['x'].data[3]: expected a number (FP32), got nothing"),
        (with_x(data=[1, 2, True, 4]), "inputs['x'].data[2]: expected a number (FP32), got true"),
        ({"inputs": [X, WHO, {**COUNT, "data": [0, 1, 256]}]}, "inputs['count'].data: expected whole numbers from 0 to 255 (UINT8)"),
        ({"inputs": [X, WHO, {**COUNT, "data": [0, 1, 2.0]}]}, "inputs['count'].data[2]: expected a whole number (UINT8), got 2.0"),
        ({"inputs": [X, WHO, COUNT], "outputs": [{"name": "z"}]}, "outputs[0].name: expected 'y', got \"z\""),
        ({"inputs": [X, WHO, COUNT], "outputs": [{"name": ["z"]}]}, "outputs[0].name: expected 'y', got [\"z\"]"),
    ],
    ids=range(22),
)
def test_what_is_refused_names_the_field_and_what_was_expected(body: object, reason: str) -> None:
    assert why(body).startswith(reason)


def test_raw_tensors_after_the_json_are_not_looked_at() -> None:
    head = json.dumps({"inputs": [{**X, "data": None, "parameters": {"binary_data_size": 16}}, WHO, COUNT]}).replace('"data": null, ', "")
    assert why(head.encode() + b"\x00" * 16, binary=len(head)) == ""
    assert why(head.encode() + b"\x00" * 16).startswith("body: expected JSON")


def test_a_request_made_from_the_metadata_fits_them() -> None:
    known = {"inputs": METADATA["inputs"][:2]}
    check_request(json.dumps(zero_request(known, rows=3)).encode(), known)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "datatype", "shape", "data", "inputs"]), inner),
    max_leaves=20,
)


@given(values | st.builds(lambda one: {"inputs": [{**X, "data": one}, WHO, COUNT]}, values))
def test_any_json_gets_a_verdict(body: object) -> None:
    assert isinstance(why(body), str)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=20).filter(lambda one: len(one) % 2 == 0))
def test_any_numbers_of_the_right_length_fit(data: list[float]) -> None:
    assert why(with_x(shape=[len(data) // 2, 2], data=data)) == ""


def test_deep_nesting_is_refused() -> None:
    assert why(b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}").startswith("body: expected JSON")
