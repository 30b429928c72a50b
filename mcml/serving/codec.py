"""Open Inference Protocol v2 (KServe "v2", JSON over HTTP): request bodies to numpy tensors, numpy tensors to answers. Pure.

Every refusal names the field and what was expected there. Choices where the protocol leaves room:

- `data` is flat, or nested exactly as `shape` says, row-major both times.
- FP16/32/64 take JSON numbers that stay finite in that type; integer types take integers only (1.0 is not one), BOOL
  takes true and false, BYTES takes strings. null, NaN and Infinity are refused: JSON has no such numbers.
- Every dimension is at least 1; dimensions to which the model gives the same name must agree across inputs.
- NaN and infinities that the model itself answers become null.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

Array = NDArray[Any]
MAX_RANK = 32  # numpy stops at 64; no model here comes near
_SHOWN = 80  # characters of a client's value that a message repeats


class Refusal(Exception):
    """A request that cannot be served: the HTTP status (4xx) and a text that names the field and what was expected."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True, slots=True)
class Datatype:
    """A v2 datatype: how numpy holds it, which JSON values it takes (`kinds`), and how a person is told so."""

    dtype: np.dtype[Any]
    kinds: frozenset[type]
    expected: str


def _integer(dtype: type[np.integer[Any]]) -> Datatype:
    bounds = np.iinfo(dtype)
    return Datatype(np.dtype(dtype), frozenset({int}), f"integers from {bounds.min} to {bounds.max}")


def _floating(dtype: type[np.floating[Any]]) -> Datatype:
    limit = float(np.finfo(dtype).max)
    return Datatype(np.dtype(dtype), frozenset({int, float}), f"numbers from {-limit:g} to {limit:g}")


DATATYPES: Mapping[str, Datatype] = {
    "BOOL": Datatype(np.dtype(np.bool_), frozenset({bool}), "true or false"),
    "UINT8": _integer(np.uint8),
    "UINT16": _integer(np.uint16),
    "UINT32": _integer(np.uint32),
    "UINT64": _integer(np.uint64),
    "INT8": _integer(np.int8),
    "INT16": _integer(np.int16),
    "INT32": _integer(np.int32),
    "INT64": _integer(np.int64),
    "FP16": _floating(np.float16),
    "FP32": _floating(np.float32),
    "FP64": _floating(np.float64),
    "BYTES": Datatype(np.dtype(np.object_), frozenset({str}), "strings"),
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output as the model declares it.

    `shape` holds a number for a fixed dimension, a text for a named variable one, None for an unnamed variable one; it is
    None as a whole when the model says nothing of it (the empty list in metadata).
    """

    name: str
    datatype: str
    shape: tuple[int | str | None, ...] | None

    def metadata(self) -> dict[str, object]:
        """Return the tensor as v2 model metadata writes it: -1 for a variable dimension."""
        return {"name": self.name, "datatype": self.datatype, "shape": self.dimensions()}

    def dimensions(self) -> list[int]:
        """Return the shape with -1 for every variable dimension."""
        return [size if isinstance(size, int) else -1 for size in self.shape or ()]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that fits the model: the tensors to feed, the outputs to answer in order, and the client's id if given."""

    id: str | None
    feeds: dict[str, Array]
    outputs: list[str]


def decode(body: bytes, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]) -> InferRequest:
    """Read a v2 inference request for a model with these inputs and outputs. Raises Refusal (400)."""
    if not body:
        raise Refusal("body: expected a JSON object with 'inputs', got an empty body")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as broken:
        raise Refusal(f"body: expected JSON (which has no NaN or Infinity): {broken}") from None
    if type(document) is not dict:
        raise Refusal(f"body: expected a JSON object, got {_shown(document)}")
    identity = document.get("id")
    if identity is not None and type(identity) is not str:
        raise Refusal(f"id: expected a string, got {_shown(identity)}")
    _no_binary(document, "binary_data_output", "parameters")
    return InferRequest(identity, _feeds(document, inputs), chosen(document, outputs))


def encode(
    model: str, version: str, identity: str | None, outputs: Iterable[TensorSpec], arrays: Sequence[Array]
) -> bytes:
    """Write a v2 inference response; the arrays stand in the order of the outputs."""
    answer: dict[str, object] = {"model_name": model, "model_version": version}
    if identity is not None:
        answer["id"] = identity
    answer["outputs"] = [
        {
            "name": spec.name,
            "shape": array.shape,
            "datatype": spec.datatype,
            "data": array.ravel() if spec.datatype != "BYTES" else array.ravel().tolist(),
        }
        for spec, array in zip(outputs, arrays, strict=True)
    ]
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_error(text: str) -> bytes:
    """Write the v2 error object."""
    return orjson.dumps({"error": text})


def _feeds(document: dict[str, Any], inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    entries = document.get("inputs")
    if type(entries) is not list:
        raise Refusal(f"inputs: expected an array with {_names(inputs)}, got {_shown(entries)}")
    return gather(entries, inputs, lambda place, spec, shape: _values(entries[place], spec, shape))


def gather(
    entries: Sequence[Any], inputs: Mapping[str, TensorSpec], read: Callable[[int, TensorSpec, list[int]], Array]
) -> dict[str, Array]:
    """Check name, datatype and shape of a request's inputs; `read` returns the tensor at a place. Raises Refusal."""
    feeds: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for place, entry in enumerate(entries):
        spec = _spec_of(entry, f"inputs[{place}]", inputs)
        if spec.name in feeds:
            raise Refusal(f"inputs[{place}].name: input '{spec.name}' is given twice")
        feeds[spec.name] = read(place, spec, _described(entry, spec, sizes))
    if len(feeds) < len(inputs):
        missing = [name for name in inputs if name not in feeds]
        raise Refusal(f"inputs: missing {_names(missing)}; the model takes {_names(inputs)}")
    return feeds


def chosen(document: dict[str, Any], outputs: Mapping[str, TensorSpec]) -> list[str]:
    """Return the names of the outputs to answer: all of them when the request names none."""
    entries = document.get("outputs")
    if entries is None or entries == []:
        return list(outputs)
    if type(entries) is not list:
        raise Refusal(f"outputs: expected an array of objects with a 'name', got {_shown(entries)}")
    names: list[str] = []
    for place, entry in enumerate(entries):
        name = _spec_of(entry, f"outputs[{place}]", outputs).name
        if name in names:
            raise Refusal(f"outputs[{place}].name: output '{name}' is asked for twice")
        _no_binary(entry, "binary_data", f"outputs[{place}].parameters")
        names.append(name)
    return names


def _spec_of(entry: Any, field: str, known: Mapping[str, TensorSpec]) -> TensorSpec:
    if type(entry) is not dict:
        raise Refusal(f"{field}: expected an object, got {_shown(entry)}")
    name = entry.get("name")
    spec = known.get(name) if type(name) is str else None
    if spec is None:
        raise Refusal(f"{field}.name: expected {_names(known, 'or')}, got {_shown(name)}")
    return spec


def _described(entry: dict[str, Any], spec: TensorSpec, sizes: dict[str, int]) -> list[int]:
    """Check that an input is described as the model declares it; return its shape."""
    field = f"inputs['{spec.name}']"
    if entry.get("datatype") != spec.datatype:
        raise Refusal(f"{field}.datatype: expected '{spec.datatype}', got {_shown(entry.get('datatype'))}")
    _no_binary(entry, "binary_data_size", f"{field}.parameters")
    return _shape(entry.get("shape"), spec, field, sizes)


def _values(entry: dict[str, Any], spec: TensorSpec, shape: list[int]) -> Array:
    field = f"inputs['{spec.name}'].data"
    data = entry.get("data")
    if type(data) is not list:
        raise Refusal(f"{field}: expected an array of {DATATYPES[spec.datatype].expected}, got {_shown(data)}")
    if data and type(data[0]) is list:
        data = _flattened(data, shape, field)
    check_count(len(data), shape, field)
    return _array(data, spec.datatype, field).reshape(shape)


def check_count(count: int, shape: list[int], field: str) -> None:
    """Refuse any other number of values than the shape says."""
    if count != prod(shape):
        raise Refusal(f"{field}: expected {prod(shape)} values for shape {shape}, got {count}")


def _shape(shape: Any, spec: TensorSpec, field: str, sizes: dict[str, int]) -> list[int]:
    """Check a request's shape against the declared one; `sizes` binds each named dimension to its first size."""
    if type(shape) is not list or any(type(size) is not int or size < 1 for size in shape):
        raise Refusal(f"{field}.shape: expected an array of integers of at least 1, got {_shown(shape)}")
    if spec.shape is None:
        if len(shape) > MAX_RANK:
            raise Refusal(f"{field}.shape: expected at most {MAX_RANK} dimensions, got {len(shape)}")
        return shape
    if len(shape) != len(spec.shape):
        raise Refusal(f"{field}.shape: expected {len(spec.shape)} dimensions as in {spec.dimensions()}, got {_shown(shape)}")
    for size, declared in zip(shape, spec.shape, strict=True):
        if type(declared) is str:
            if sizes.setdefault(declared, size) != size:
                raise Refusal(f"{field}.shape: expected {sizes[declared]} for dimension '{declared}' as in another input, got {shape}")
        elif declared is not None and declared != size:
            raise Refusal(f"{field}.shape: expected {spec.dimensions()}, got {shape}")
    return shape


def _flattened(data: list[Any], shape: list[int], field: str) -> list[Any]:
    """Flatten data that is nested as the shape says. Raises Refusal for anything ragged or nested otherwise."""
    level = data
    for depth, size in enumerate(shape):
        if depth:
            if set(map(type, level)) != {list}:
                raise Refusal(f"{field}: expected a flat array, or one nested like shape {shape}: values at depth {depth}")
            if set(map(len, level)) != {size}:
                raise Refusal(f"{field}: expected arrays of {size} at depth {depth} for shape {shape}: it is ragged or of another shape")
            level = list(chain.from_iterable(level))
        elif len(level) != size:
            raise Refusal(f"{field}: expected {size} arrays for shape {shape}, got {len(level)}")
    return level


def _array(values: list[Any], datatype: str, field: str) -> Array:
    """Turn a flat list of as many values as needed into a 1-d array, refusing what the datatype does not take."""
    kind = DATATYPES[datatype]
    if not kind.kinds.issuperset(map(type, values)):
        place, odd = next((place, value) for place, value in enumerate(values) if type(value) not in kind.kinds)
        shown = "null" if odd is None else _shown(odd)
        raise Refusal(f"{field}[{place}]: expected {kind.expected} ({datatype}), got {shown}")
    try:
        with np.errstate(over="ignore"):
            array: Array = np.array(values, kind.dtype)
    except OverflowError:
        raise Refusal(f"{field}: expected {kind.expected} ({datatype})") from None
    if kind.dtype.kind == "f" and not np.isfinite(array).all():
        place = int(np.argmin(np.isfinite(array)))
        raise Refusal(f"{field}[{place}]: expected {kind.expected} ({datatype}), got {_shown(values[place])}")
    return array


def _no_binary(owner: dict[str, Any], parameter: str, field: str) -> None:
    """Refuse the binary tensor extension, and parameters that are no object."""
    parameters = owner.get("parameters")
    if parameters is None:
        return
    if type(parameters) is not dict:
        raise Refusal(f"{field}: expected an object, got {_shown(parameters)}")
    if parameters.get(parameter):
        raise Refusal(f"{field}.{parameter}: binary tensor data is not supported here, expected JSON data")


def _names(known: Iterable[str], joint: str = "and") -> str:
    return f" {joint} ".join(f"'{name}'" for name in known) or "nothing"


def _shown(value: Any) -> str:
    """Return a client's value for a message: scalars and short flat arrays as JSON, the rest by its kind."""
    if value is None:
        return "nothing"
    if type(value) is dict:
        return "an object"
    if type(value) is list and (len(value) > 8 or any(type(item) in (list, dict) for item in value)):
        return f"an array of {len(value)}"
    text = orjson.dumps(value[:_SHOWN] if type(value) is str else value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
