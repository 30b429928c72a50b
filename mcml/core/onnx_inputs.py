"""The inputs of an ONNX file, read from its protobuf alone: enough to make a request, without a runtime.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: ModelProto.graph = 7; GraphProto.initializer = 5,
input = 11; TensorProto.name = 8; ValueInfoProto.name = 1, type = 2; TypeProto.tensor_type = 1; its elem_type = 1, shape = 2;
TensorShapeProto.dim = 1; its dim_value = 1.
"""

from collections.abc import Iterator
from pathlib import Path

from mcml.core.errors import InvalidRequest

DATATYPES = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 8: "BYTES", 9: "BOOL", 10: "FP16", 11: "FP64",
    12: "UINT32", 13: "UINT64",
}  # fmt: skip
"""TensorProto.DataType in the words of the v2 protocol."""


def read_inputs(path: Path) -> dict[str, object]:
    """Return `{"inputs": [{"name", "datatype", "shape"}]}` as v2 metadata has it, -1 for a variable dimension. Raises InvalidRequest."""
    try:
        (graph,) = _all(memoryview(path.read_bytes()), 7)
        constants = {_text(tensor, 8) for tensor in _all(graph, 5)}
        inputs = [_tensor(value) for value in _all(graph, 11) if _text(value, 1) not in constants]
    except (ValueError, IndexError, KeyError, StopIteration) as broken:
        raise InvalidRequest(f"cannot read the inputs of {path}", why="it is no ONNX model with tensors as inputs") from broken
    return {"inputs": inputs}


def _tensor(value: memoryview) -> dict[str, object]:
    tensor = next(_all(next(_all(value, 2)), 1))
    kind = next(number for field, number, _ in _fields(tensor) if field == 1)
    shapes = list(_all(tensor, 2))
    dims = list(_all(shapes[0], 1)) if shapes else []
    sizes = [next((number for field, number, _ in _fields(dim) if field == 1), 0) for dim in dims]
    return {"name": _text(value, 1), "datatype": DATATYPES[kind], "shape": [size or -1 for size in sizes]}


def _text(message: memoryview, wanted: int) -> str:
    return next((bytes(part).decode() for part in _all(message, wanted)), "")


def _all(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (part for field, _, part in _fields(message) if field == wanted and part is not None)


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | None]]:
    """Yield (field number, its value as a number, its bytes) of a protobuf message. Raises ValueError, IndexError for a broken one."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number, None
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("cut short")
            yield key >> 3, 0, message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
