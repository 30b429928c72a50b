"""Open Inference Protocol v2 over gRPC: messages to numpy tensors, numpy tensors to messages. Pure; refusals as in `codec`.

Choices where the protocol leaves room:

- A request has all its tensors in `raw_input_contents`, or all in `contents`. It is answered in the form it came in, raw as soon as an
  output is FP16, which has no other form.
- BYTES are text in UTF-8; raw, each one follows its length (32 bits, little-endian), as Triton and KServe write it.
- NaN and infinities are numbers here, in both directions.
- Shared memory is not supported. Other parameters say nothing to this server.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from mcml.core.open_inference import message
from mcml.serving.codec import DATATYPES, Array, InferRequest, Refusal, TensorSpec, check_count, chosen, gather

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Field of InferTensorContents by datatype; FP16 has none."""

_LENGTH = struct.Struct("<I")
_SHARED_MEMORY = "shared_memory_region"


def parse(body: bytes, name: str = "ModelInferRequest") -> Any:
    """Read a message. Raises Refusal for anything else."""
    from google.protobuf.message import DecodeError

    try:
        return message(name).FromString(body)
    except DecodeError:
        raise Refusal(f"body: expected a message of type inference.{name}") from None


def decode(asked: Any, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]) -> tuple[InferRequest, bool]:
    """Read a ModelInferRequest for a model with these inputs and outputs; return also whether its tensors are raw. Raises Refusal."""
    raw = bool(asked.raw_input_contents)
    if raw and len(asked.raw_input_contents) != len(asked.inputs):
        had = f"{len(asked.inputs)} inputs, {len(asked.raw_input_contents)} raw contents"
        raise Refusal(f"raw_input_contents: expected one for each input, got {had}")
    for tensor in (*asked.inputs, *asked.outputs):
        if _SHARED_MEMORY in tensor.parameters:
            raise Refusal(f"{tensor.name[:80]}.parameters.{_SHARED_MEMORY}: shared memory is not supported here, send the tensor itself")
    entries = [{"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)} for tensor in asked.inputs]
    reader: Callable[[Any, int, TensorSpec, list[int]], Array] = _raw if raw else _typed
    feeds = gather(entries, inputs, lambda place, spec, shape: reader(asked, place, spec, shape).reshape(shape))
    names = chosen({"outputs": [{"name": tensor.name} for tensor in asked.outputs]}, outputs)
    return InferRequest(asked.id or None, feeds, names), raw


def encode(
    model: str, version: str, identity: str | None, outputs: Iterable[TensorSpec], arrays: Sequence[Array], *, raw: bool
) -> bytes:
    """Write a ModelInferResponse; the arrays stand in the order of the outputs."""
    answer = message("ModelInferResponse")(model_name=model, model_version=version, id=identity or "")
    specs = list(outputs)
    raw = raw or any(spec.datatype not in CONTENTS for spec in specs)
    for spec, array in zip(specs, arrays, strict=True):
        tensor = answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        if raw:
            answer.raw_output_contents.append(_to_raw(array, spec.datatype))
        else:
            values = _texts(array) if spec.datatype == "BYTES" else array.ravel().tolist()
            getattr(tensor.contents, CONTENTS[spec.datatype]).extend(values)
    body: bytes = answer.SerializeToString()
    return body


def _typed(asked: Any, place: int, spec: TensorSpec, shape: list[int]) -> Array:
    field = f"inputs['{spec.name}'].contents"
    wanted = CONTENTS.get(spec.datatype)
    if wanted is None:
        raise Refusal(f"{field}: expected raw_input_contents, there is no other form for {spec.datatype}")
    contents = asked.inputs[place].contents
    for other, _ in contents.ListFields():
        if other.name != wanted:
            raise Refusal(f"{field}: expected {wanted} ({spec.datatype}), got {other.name}")
    values = getattr(contents, wanted)
    check_count(len(values), shape, field)
    kind = DATATYPES[spec.datatype]
    if spec.datatype == "BYTES":
        return _text_array(values, field)
    array = np.array(values, dtype=_wide(kind.dtype))
    if array.dtype != kind.dtype:
        bounds = np.iinfo(kind.dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise Refusal(f"{field}: expected {kind.expected} ({spec.datatype})")
    return array.astype(kind.dtype, copy=False)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which a message carries small integers, the same type for all others."""
    return np.dtype(f"{dtype.kind}4") if dtype.kind in "iu" and dtype.itemsize < 4 else dtype


def _raw(asked: Any, place: int, spec: TensorSpec, shape: list[int]) -> Array:
    field = f"inputs['{spec.name}']"
    if asked.inputs[place].HasField("contents"):
        raise Refusal(f"{field}.contents: expected none beside raw_input_contents")
    data: bytes = asked.raw_input_contents[place]
    field = f"raw_input_contents[{place}] ('{spec.name}')"
    if spec.datatype == "BYTES":
        return _text_array(_split(data, shape, field), field)
    dtype = DATATYPES[spec.datatype].dtype
    if len(data) != prod(shape) * dtype.itemsize:
        raise Refusal(f"{field}: expected {prod(shape) * dtype.itemsize} bytes for shape {shape} of {spec.datatype}, got {len(data)}")
    if dtype.kind == "b":
        return np.frombuffer(data, np.uint8).astype(dtype)
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False)


def _split(data: bytes, shape: list[int], field: str) -> list[bytes]:
    """Take raw BYTES apart: each is its length and then itself."""
    found, at = [], 0
    while at < len(data):
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(data, at)[0] if begin <= len(data) else len(data) + 1
        if at > len(data):
            raise Refusal(f"{field}: expected each text behind its length (32 bits, little-endian), but it ends in the middle of one")
        found.append(data[begin:at])
    check_count(len(found), shape, field)
    return found


def _text_array(values: Iterable[bytes], field: str) -> Array:
    texts: list[str] = []
    for value in values:
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            raise Refusal(f"{field}[{len(texts)}]: expected strings in UTF-8 (BYTES)") from None
    return np.array(texts, dtype=object)


def _texts(array: Array) -> list[bytes]:
    return [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist()]


def _to_raw(array: Array, datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(text)) + text for text in _texts(array))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
