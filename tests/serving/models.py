"""Tiny ONNX packages for the tests: each does one thing that can be computed by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
Shape = Sequence[int | str | None] | None


def value(name: str, datatype: str, shape: Shape) -> Any:
    """Declare an input or output."""
    return helper.make_tensor_value_info(name, ONNX_TYPES[datatype], shape)


def package(folder: Path, inputs: list[Any], outputs: list[Any], nodes: list[Any], constants: dict[str, Any] | None = None) -> Path:
    """Write a package with this graph; opset 17, the classic-ML operators included."""
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    folder.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    return folder


def double(folder: Path) -> Path:
    """`y = 2 x`; x is FP32 [N, 3]. Comes with a model.json: name `double`, version `7`."""
    package(
        folder,
        [value("x", "FP32", ["N", 3])],
        [value("y", "FP32", ["N", 3])],
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        {"two": np.float32(2)},
    )
    (folder / "model.json").write_text(json.dumps({"name": "double", "version": "7"}))
    return folder


def echo(folder: Path, shape: Shape = (None, 2)) -> Path:
    """One input `in_TYPE` and one output `out_TYPE` of every datatype; the output is the input."""
    return package(
        folder,
        [value(f"in_{datatype}", datatype, shape) for datatype in ONNX_TYPES],
        [value(f"out_{datatype}", datatype, shape) for datatype in ONNX_TYPES],
        [helper.make_node("Identity", [f"in_{datatype}"], [f"out_{datatype}"]) for datatype in ONNX_TYPES],
    )


def total(folder: Path) -> Path:
    """`sum = a + b` and `difference = a - b`; a is INT64 [N, 2], b is FP32 [N, 2], the outputs are FP32."""
    return package(
        folder,
        [value("a", "INT64", ["N", 2]), value("b", "FP32", ["N", 2])],
        [value("sum", "FP32", ["N", 2]), value("difference", "FP32", ["N", 2])],
        [
            helper.make_node("Cast", ["a"], ["a32"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["a32", "b"], ["sum"]),
            helper.make_node("Sub", ["a32", "b"], ["difference"]),
        ],
    )


def pick(folder: Path) -> Path:
    """`y = [10, 20, 30][i]`; i is INT64 [1]. An index outside is a valid request that fails inside onnxruntime."""
    return package(
        folder,
        [value("i", "INT64", [1])],
        [value("y", "INT64", [1])],
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        {"table": np.array([10, 20, 30])},
    )


def reciprocal(folder: Path) -> Path:
    """`y = 1 / x`; x is FP32 of any shape. Zero gives an infinity."""
    return package(folder, [value("x", "FP32", None)], [value("y", "FP32", None)], [helper.make_node("Reciprocal", ["x"], ["y"])])


def zipmap(folder: Path) -> Path:
    """What scikit-learn converters write by default: probabilities as a sequence of {class: probability}."""
    probabilities = helper.make_value_info("p", helper.make_sequence_type_proto(_class_map()))
    node = helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    return package(folder, [value("x", "FP32", [None, 2])], [probabilities], [node])


def words(folder: Path, tokens: object = None) -> Path:
    """`sequences` = ids where the mask is 1, else 0, and `length`, how many: both are INT64 [N, T]. `tokens` goes into model.json."""
    package(
        folder,
        [value("input_ids", "INT64", ["N", "T"]), value("attention_mask", "INT64", ["N", "T"])],
        [value("sequences", "INT64", ["N", "T"]), value("length", "FP32", ["N"])],
        [
            helper.make_node("Mul", ["input_ids", "attention_mask"], ["sequences"]),
            helper.make_node("Cast", ["attention_mask"], ["mask32"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["mask32", "last"], ["length"], keepdims=0),
        ],
        {"last": np.array([1])},
    )
    (folder / "model.json").write_text(json.dumps({"name": "words", **({} if tokens is None else {"tokens": tokens})}))
    return folder


def _class_map() -> Any:
    return helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))


def sequence(folder: Path) -> Path:
    """An output that the protocol has no word for."""
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None])))
    return package(folder, [value("x", "FP32", [4])], [parts], [helper.make_node("SplitToSequence", ["x"], ["parts"])])


def slow(folder: Path) -> Path:
    """`y`: a matrix squared and scaled `n` times over; n is INT64 [1]. About a millisecond a round: as slow as a test asks for."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["squared"]),
            helper.make_node("Tanh", ["squared"], ["m_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "round",
        [value("round", "INT64", []), value("go", "BOOL", []), value("m", "FP32", [256, 256])],
        [value("go_out", "BOOL", []), value("m_out", "FP32", [256, 256])],
    )
    return package(
        folder,
        [value("n", "INT64", [1])],
        [value("y", "FP32", [])],
        [
            helper.make_node("Squeeze", ["n"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
            helper.make_node("ReduceMean", ["end"], ["y"], keepdims=0),
        ],
        {"start": np.full((256, 256), 0.01, np.float32)},
    )
