"""ModelInferRequest to tensors and back, typed and raw, every datatype; and what is refused, in which words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.open_inference import message
from mcml.serving.codec import DATATYPES, Refusal, TensorSpec
from mcml.serving.grpc_codec import CONTENTS, decode, encode, parse

TYPES = sorted(DATATYPES)


def spec(datatype: str, *shape: int | str | None) -> dict[str, TensorSpec]:
    return {"x": TensorSpec("x", datatype, shape or (None, 2))}


def request(datatype: str, shape: list[int], *, raw: list[bytes] | None = None, **contents: Any) -> Any:
    tensor: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape}
    if contents:
        tensor["contents"] = contents
    return message("ModelInferRequest")(inputs=[tensor], raw_input_contents=raw or [])


def values_of(datatype: str) -> st.SearchStrategy[list[Any]]:
    kind = DATATYPES[datatype].dtype
    if kind.kind in "iu":
        bounds = np.iinfo(kind)
        one: st.SearchStrategy[Any] = st.integers(int(bounds.min), int(bounds.max))
    elif kind.kind == "f":
        one = st.floats(width=kind.itemsize * 8)  # type: ignore[arg-type]
    else:
        one = st.booleans() if kind.kind == "b" else st.text(st.characters(exclude_categories=["Cs"]))
    return st.lists(one, min_size=2, max_size=10).map(lambda values: values[: len(values) // 2 * 2])


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("datatype", TYPES)
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_answered_can_be_asked_again(datatype: str, raw: bool, data: st.DataObject) -> None:
    """Tensors survive the way out and back in, in both forms: an answer's tensor is sent as the next request's."""
    values = data.draw(values_of(datatype))
    array = np.array(values, DATATYPES[datatype].dtype).reshape(-1, 2)
    answer = parse(encode("m", "1", "q", spec(datatype).values(), [array], raw=raw), "ModelInferResponse")
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "q")
    (tensor,) = answer.outputs
    assert bool(answer.raw_output_contents) is (raw or datatype not in CONTENTS)
    asked = message("ModelInferRequest")(
        inputs=[{"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}], raw_input_contents=answer.raw_output_contents
    )
    if tensor.HasField("contents"):
        asked.inputs[0].contents.CopyFrom(tensor.contents)
    found, was_raw = decode(asked, spec(datatype), spec(datatype))
    assert was_raw is bool(answer.raw_output_contents)
    assert found.feeds["x"].dtype == array.dtype
    assert found.feeds["x"].shape == array.shape
    np.testing.assert_array_equal(found.feeds["x"], array)


def test_not_a_number_is_a_number_here() -> None:
    found, _ = decode(request("FP32", [1, 2], fp32_contents=[float("nan"), float("inf")]), spec("FP32"), {})
    assert np.isnan(found.feeds["x"][0, 0])


def test_an_id_is_none_when_there_is_none() -> None:
    asked = request("FP32", [1, 2], fp32_contents=[1, 2])
    assert decode(asked, spec("FP32"), spec("FP32"))[0].id is None
    asked.id = "q"
    asked.outputs.add(name="x")
    found, _ = decode(asked, spec("FP32"), spec("FP32"))
    assert (found.id, found.outputs) == ("q", ["x"])


ONE = np.array([[1, 2]], np.float32).tobytes()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (request("FP64", [1, 2], fp64_contents=[1, 2]), "inputs['x'].datatype: expected 'FP32', got \"FP64\""),
        (request("FP32", [1, 3], fp32_contents=[1, 2, 3]), "inputs['x'].shape: expected [-1, 2], got [1, 3]"),
        (request("FP32", [2], fp32_contents=[1, 2]), "inputs['x'].shape: expected 2 dimensions as in [-1, 2], got [2]"),
        (request("FP32", [0, 2]), "inputs['x'].shape: expected an array of integers of at least 1, got [0,2]"),
        (request("FP32", [2**62, 2], raw=[ONE]), "expected 36893488147419103232 bytes for shape [4611686018427387904, 2] of FP32, got 8"),
        (request("FP32", [1, 2], fp32_contents=[1]), "inputs['x'].contents: expected 2 values for shape [1, 2], got 1"),
        (request("FP32", [1, 2]), "inputs['x'].contents: expected 2 values for shape [1, 2], got 0"),
        (request("FP32", [1, 2], fp64_contents=[1, 2]), "inputs['x'].contents: expected fp32_contents (FP32), got fp64_contents"),
        (request("FP32", [1, 2], raw=[ONE + b"0"]), "raw_input_contents[0] ('x'): expected 8 bytes for shape [1, 2] of FP32, got 9"),
        (request("FP32", [1, 2], raw=[ONE, ONE]), "raw_input_contents: expected one for each input, got 1 inputs, 2 raw contents"),
        (request("FP32", [1, 2], raw=[ONE], fp32_contents=[1]), "inputs['x'].contents: expected none beside raw_input_contents"),
        (message("ModelInferRequest")(), "inputs: missing 'x'; the model takes 'x'"),
        (message("ModelInferRequest")(inputs=[{"name": "z"}]), "inputs[0].name: expected 'x', got \"z\""),
    ],
    ids=lambda given: given[:40] if isinstance(given, str) else "",
)
def test_what_does_not_fit_is_refused_by_name(asked: Any, text: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode(asked, spec("FP32"), spec("FP32"))
    assert text in refused.value.text
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("datatype", "contents", "text"),
    [
        ("INT8", {"int_contents": [1, 128]}, "inputs['x'].contents: expected integers from -128 to 127 (INT8)"),
        ("UINT16", {"uint_contents": [1, 70_000]}, "inputs['x'].contents: expected integers from 0 to 65535 (UINT16)"),
        ("BYTES", {"bytes_contents": [b"a", b"\xff"]}, "inputs['x'].contents[1]: expected strings in UTF-8 (BYTES)"),
        ("FP16", {"fp32_contents": [1, 2]}, "inputs['x'].contents: expected raw_input_contents, there is no other form for FP16"),
    ],
)
def test_values_out_of_range_are_refused(datatype: str, contents: dict[str, Any], text: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode(request(datatype, [1, 2], **contents), spec(datatype), {})
    assert refused.value.text == text


@pytest.mark.parametrize("data", [b"\x01\0\0\0a", b"\x01\0\0\0a\x02\0\0\0b", b"\x01\0\0\0a\x01\0", b"\xff\xff\xff\xffab"])
def test_raw_texts_that_do_not_add_up_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal, match=r"raw_input_contents\[0\] \('x'\)"):
        decode(request("BYTES", [1, 2], raw=[data]), spec("BYTES"), {})


def test_shared_memory_is_refused_and_other_parameters_are_not() -> None:
    asked = request("FP32", [1, 2], fp32_contents=[1, 2])
    asked.parameters["sequence_id"].int64_param = 1
    asked.inputs[0].parameters["hint"].string_param = "x"
    decode(asked, spec("FP32"), {})
    asked.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(Refusal, match="shared memory is not supported"):
        decode(asked, spec("FP32"), {})


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    try:
        asked = parse(body)
        decode(asked, spec("FP32"), spec("FP32"))
    except Refusal as refused:
        assert refused.status == 400


def test_one_output_in_half_precision_makes_all_raw() -> None:
    outputs = [TensorSpec("a", "FP32", (1,)), TensorSpec("b", "FP16", (1,))]
    answer = parse(encode("m", "1", None, outputs, [np.ones(1, np.float32), np.ones(1, np.float16)], raw=False), "ModelInferResponse")
    assert [len(raw) for raw in answer.raw_output_contents] == [4, 2]
    assert not any(tensor.HasField("contents") for tensor in answer.outputs)
