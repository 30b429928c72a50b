"""Bodies to tensors and back, and what each wrong body is told."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcml.serving.codec import DATATYPES, Refusal, TensorSpec, decode, encode

X = {"x": TensorSpec("x", "FP32", ("N", 3))}
Y = {"y": TensorSpec("y", "FP32", ("N", 3)), "z": TensorSpec("z", "INT64", ("N",))}
PAIR = {"a": TensorSpec("a", "INT64", ("N", 2)), "b": TensorSpec("b", "FP32", ("N", 2))}
ROW = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, -3]}
INTEGERS = [name for name, kind in DATATYPES.items() if kind.dtype.kind in "iu"]
FLOATS = ["FP16", "FP32", "FP64"]


def refused(document: object, inputs: dict[str, TensorSpec] = X) -> str:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(Refusal) as refusal:
        decode(body, inputs, Y)
    assert refusal.value.status == 400
    return refusal.value.text


def one(datatype: str, data: Any, shape: list[int] | None = None) -> Any:
    spec = TensorSpec("x", datatype, None)
    tensor = {"name": "x", "shape": [len(data)] if shape is None else shape, "datatype": datatype, "data": data}
    return decode(json.dumps({"inputs": [tensor]}).encode(), {"x": spec}, Y).feeds["x"]


def refused_data(datatype: str, data: Any, shape: list[int] | None = None) -> str:
    with pytest.raises(Refusal) as refusal:
        one(datatype, data, shape)
    return refusal.value.text


def test_a_row_becomes_a_tensor() -> None:
    request = decode(json.dumps({"id": "7", "inputs": [ROW]}).encode(), X, Y)
    assert request.id == "7"
    assert request.outputs == ["y", "z"]
    assert request.feeds["x"].dtype == np.float32
    assert request.feeds["x"].tolist() == [[1, 2.5, -3]]


def test_nested_data_is_row_major_as_flat_data_is() -> None:
    flat = one("INT64", [1, 2, 3, 4, 5, 6], [2, 3])
    nested = one("INT64", [[1, 2, 3], [4, 5, 6]], [2, 3])
    assert flat.tolist() == nested.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert one("FP64", [[[1.0]], [[2.0]]], [2, 1, 1]).tolist() == [[[1.0]], [[2.0]]]


def test_a_scalar_has_no_dimension() -> None:
    assert one("INT8", [5], []).shape == ()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "body: expected a JSON object with 'inputs', got an empty body"),
        (b" ", "body: expected JSON"),
        (b"{nope", "body: expected JSON"),
        (b"\xff\xfe", "body: expected JSON"),
        (b'{"inputs": [NaN]}', "body: expected JSON (which has no NaN or Infinity)"),
        (b'{"inputs": [1e999]}', "body: expected JSON"),
        (b"[" * 5000, "body: expected JSON"),
        (b"[]", "body: expected a JSON object, got []"),
        (b'"text"', 'body: expected a JSON object, got "text"'),
        (b"null", "body: expected a JSON object, got nothing"),
        (b'{"inputs": {}}', "inputs: expected an array with 'x', got an object"),
        (b"{}", "inputs: expected an array with 'x', got nothing"),
        (b'{"inputs": []}', "inputs: missing 'x'; the model takes 'x'"),
        (b'{"inputs": [3]}', "inputs[0]: expected an object, got 3"),
        (b'{"id": 7, "inputs": []}', "id: expected a string, got 7"),
        (b'{"inputs": [], "parameters": []}', "parameters: expected an object, got []"),
        (b'{"inputs": [], "parameters": {"binary_data_output": true}}', "parameters.binary_data_output: binary tensor data"),
    ],
)
def test_wrong_bodies(body: bytes, text: str) -> None:
    assert refused(body).startswith(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "w"}, "inputs[0].name: expected 'x', got \"w\""),
        ({"name": 1}, "inputs[0].name: expected 'x', got 1"),
        ({"datatype": "FP64"}, "inputs['x'].datatype: expected 'FP32', got \"FP64\""),
        ({"datatype": None}, "inputs['x'].datatype: expected 'FP32', got nothing"),
        ({"shape": [3]}, "inputs['x'].shape: expected 2 dimensions as in [-1, 3], got [3]"),
        ({"shape": [1, 4]}, "inputs['x'].shape: expected [-1, 3], got [1, 4]"),
        ({"shape": None}, "inputs['x'].shape: expected an array of integers of at least 1, got nothing"),
        ({"shape": [1.0, 3]}, "inputs['x'].shape: expected an array of integers of at least 1, got [1.0,3]"),
        ({"shape": [True, 3]}, "inputs['x'].shape: expected an array of integers of at least 1, got [true,3]"),
        ({"shape": [0, 3], "data": []}, "inputs['x'].shape: expected an array of integers of at least 1, got [0,3]"),
        ({"shape": [-1, 3]}, "inputs['x'].shape: expected an array of integers of at least 1, got [-1,3]"),
        ({"shape": [2, 3]}, "inputs['x'].data: expected 6 values for shape [2, 3], got 3"),
        ({"shape": [2**62, 3]}, f"inputs['x'].data: expected {3 * 2**62} values for shape"),
        ({"data": None}, "inputs['x'].data: expected an array of numbers"),
        ({"data": "1,2,3"}, "inputs['x'].data: expected an array of numbers"),
        ({"data": [1, None, 3]}, "inputs['x'].data[1]: expected numbers from -3.40282e+38 to 3.40282e+38 (FP32), got null"),
        ({"data": [1, 2, True]}, "inputs['x'].data[2]: expected numbers"),
        ({"data": ["1", 2, 3]}, "inputs['x'].data[0]: expected numbers"),
        ({"data": [1, {}, 3]}, "inputs['x'].data[1]: expected numbers"),
        ({"data": [1, 2, 1e300]}, "inputs['x'].data[2]: expected numbers from -3.40282e+38 to 3.40282e+38 (FP32), got 1e+300"),
        ({"data": [1, [2], 3]}, "inputs['x'].data[1]: expected numbers"),
        ({"data": [[1, 2], 3]}, "inputs['x'].data: expected 1 arrays for shape [1, 3], got 2"),
        ({"data": [[1, 2]]}, "inputs['x'].data: expected arrays of 3 at depth 1 for shape [1, 3]"),
        ({"data": [[1, 2, [3]]]}, "inputs['x'].data[2]: expected numbers"),
        ({"shape": [2, 3], "data": [[1, 2, 3], [4, 5]]}, "inputs['x'].data: expected arrays of 3 at depth 1"),
        ({"shape": [2, 3], "data": [[1, 2, 3], 4]}, "inputs['x'].data: expected a flat array, or one nested like shape [2, 3]"),
        ({"parameters": {"binary_data_size": 12}, "data": None}, "inputs['x'].parameters.binary_data_size: binary tensor data"),
        ({"parameters": 1}, "inputs['x'].parameters: expected an object, got 1"),
    ],
)
def test_wrong_inputs(change: dict[str, Any], text: str) -> None:
    assert refused({"inputs": [ROW | change]}).startswith(text)


def test_an_input_given_twice_one_too_many_and_one_missing() -> None:
    a = {"name": "a", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}
    b = {"name": "b", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    assert refused({"inputs": [ROW, ROW]}) == "inputs[1].name: input 'x' is given twice"
    assert refused({"inputs": [a, b, ROW]}, PAIR) == "inputs[2].name: expected 'a' or 'b', got \"x\""
    assert refused({"inputs": [a]}, PAIR) == "inputs: missing 'b'; the model takes 'a' and 'b'"


def test_a_named_dimension_is_the_same_in_all_inputs() -> None:
    a = {"name": "a", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}
    b = {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    assert refused({"inputs": [a, b]}, PAIR) == "inputs['b'].shape: expected 1 for dimension 'N' as in another input, got [2, 2]"


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ("y", 'outputs: expected an array of objects with a \'name\', got "y"'),
        ([1], "outputs[0]: expected an object, got 1"),
        ([{"name": "q"}], "outputs[0].name: expected 'y' or 'z', got \"q\""),
        ([{"name": "y"}, {"name": "y"}], "outputs[1].name: output 'y' is asked for twice"),
        ([{"name": "y", "parameters": {"binary_data": True}}], "outputs[0].parameters.binary_data: binary tensor data is not supported"),
    ],
)
def test_wrong_outputs(outputs: Any, text: str) -> None:
    assert refused({"inputs": [ROW], "outputs": outputs}).startswith(text)


def test_outputs_are_answered_in_the_order_asked_for() -> None:
    asked = [{"name": "z", "parameters": {"binary_data": False}}, {"name": "y"}]
    assert decode(json.dumps({"inputs": [ROW], "outputs": asked}).encode(), X, Y).outputs == ["z", "y"]


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_end_where_the_type_ends(datatype: str) -> None:
    bounds = np.iinfo(DATATYPES[datatype].dtype)
    assert one(datatype, [bounds.min, bounds.max]).tolist() == [bounds.min, bounds.max]
    for beyond in (bounds.min - 1, bounds.max + 1, 10**30):
        assert f"expected integers from {bounds.min} to {bounds.max} ({datatype})" in refused_data(datatype, [beyond])
    for wrong in (1.0, 0.5, True, "1", None):
        assert refused_data(datatype, [1, wrong]).startswith("inputs['x'].data[1]: expected integers")


@pytest.mark.parametrize("datatype", FLOATS)
def test_floats_end_where_the_type_ends(datatype: str) -> None:
    limit = float(np.finfo(DATATYPES[datatype].dtype).max)
    assert one(datatype, [limit, -limit, 3]).tolist() == [limit, -limit, 3.0]
    if datatype != "FP64":  # a larger FP64 is refused by the JSON reader
        assert refused_data(datatype, [0, limit * 1.1]).startswith("inputs['x'].data[1]: expected numbers")


def test_booleans_and_strings_are_neither_numbers_nor_each_other() -> None:
    assert one("BOOL", [True, False]).tolist() == [True, False]
    assert one("BYTES", ["a", "ü", "", "\0"]).tolist() == ["a", "ü", "", "\0"]
    assert refused_data("BOOL", [True, 1]) == "inputs['x'].data[1]: expected true or false (BOOL), got 1"
    assert refused_data("BYTES", ["a", 1]) == "inputs['x'].data[1]: expected strings (BYTES), got 1"


def test_a_message_repeats_only_the_beginning_of_what_the_client_sent() -> None:
    text = refused({"inputs": [ROW | {"name": "n" * 100_000}]})
    assert len(text) < 200
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert len(refused({"id": deep, "inputs": []})) < 200


def test_metadata_writes_variable_dimensions_as_minus_one() -> None:
    assert TensorSpec("x", "FP32", ("N", None, 3)).metadata() == {"name": "x", "datatype": "FP32", "shape": [-1, -1, 3]}
    assert TensorSpec("x", "FP32", None).metadata()["shape"] == []


def test_an_answer_carries_the_id_only_if_there_was_one() -> None:
    outputs = [Y["y"], TensorSpec("s", "BYTES", (None,))]
    arrays = [np.array([[1, np.nan, np.inf]], np.float32), np.array(["a", "b"], object)]
    answer = json.loads(encode("m", "2", "7", outputs, arrays))
    assert answer == {
        "model_name": "m",
        "model_version": "2",
        "id": "7",
        "outputs": [
            {"name": "y", "shape": [1, 3], "datatype": "FP32", "data": [1.0, None, None]},
            {"name": "s", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
        ],
    }
    assert "id" not in json.loads(encode("m", "2", None, [], []))


TEXTS = st.text('aü€\0\n"\\🙂', max_size=5)  # a small alphabet: hypothesis takes a second to build the whole of Unicode


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Any]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
    if datatype == "BYTES":
        return datatype, draw(hnp.arrays(object, shape, elements=TEXTS))
    dtype = DATATYPES[datatype].dtype
    return datatype, draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)))


@settings(deadline=None)
@given(tensors(), st.booleans())
def test_what_is_encoded_is_decoded(tensor: tuple[str, Any], nested: bool) -> None:
    datatype, array = tensor
    document = json.loads(encode("m", "1", None, [TensorSpec("x", datatype, None)], [array]))
    entry = document["outputs"][0]
    if nested and array.shape:
        entry["data"] = array.tolist()
    back = decode(json.dumps({"inputs": [entry]}).encode(), {"x": TensorSpec("x", datatype, None)}, Y).feeds["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from(["x", "FP32", "data", "INT64"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "c"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON_VALUES,
        "datatype": st.sampled_from(sorted(DATATYPES)) | JSON_VALUES,
        "data": st.lists(st.integers(-300, 300) | st.floats() | st.booleans(), max_size=9) | JSON_VALUES,
        "parameters": JSON_VALUES,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON_VALUES,
        "parameters": JSON_VALUES,
        "inputs": st.lists(ENTRIES | JSON_VALUES, max_size=3) | JSON_VALUES,
        "outputs": st.lists(ENTRIES | JSON_VALUES, max_size=3) | JSON_VALUES,
    },
)


@settings(deadline=None)
@given(DOCUMENTS | JSON_VALUES | st.binary(max_size=40))
def test_any_body_is_read_or_refused(document: Any) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    try:
        request = decode(body, PAIR, Y)
    except Refusal as refusal:
        assert refusal.status == 400
        assert refusal.text
        assert len(refusal.text) < 400
    else:
        assert set(request.feeds) == {"a", "b"}
        assert request.feeds["a"].dtype == np.int64
        assert request.feeds["a"].shape == request.feeds["b"].shape
