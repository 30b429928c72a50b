"""The Open Inference Protocol v2 as values: a request of zeros that fits a model's metadata, and whether a request fits it."""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from math import prod
from typing import Any

VARIABLE = -1
"""A dimension of any size in a metadata tensor."""


def zero_request(metadata: Mapping[str, Any], *, rows: int = 1) -> dict[str, object]:
    """Build an inference request of zeros (empty text, false) for a model's v2 metadata; a variable dimension gets `rows`."""
    return {"inputs": [_zero_tensor(tensor, rows) for tensor in metadata.get("inputs", ())]}


def _zero_tensor(tensor: Mapping[str, Any], rows: int) -> dict[str, object]:
    shape: Sequence[int] = [rows if size == VARIABLE else int(size) for size in tensor["shape"]]
    count = 1
    for size in shape:
        count *= size
    zero: object = {"BYTES": "", "BOOL": False}.get(tensor["datatype"], 0.0 if tensor["datatype"].startswith("FP") else 0)
    return {"name": tensor["name"], "shape": list(shape), "datatype": tensor["datatype"], "data": [zero] * count}


# --- does a request fit a signature

MOST_SHOWN = 80
"""Characters of a client's value that a message repeats."""

_SIZES = (8, 16, 32, 64)
_SIGNED = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in _SIZES}
_INTEGERS = _SIGNED | {f"UINT{bits}": (0, 2**bits - 1) for bits in _SIZES}
_TAKES: Mapping[str, tuple[frozenset[type], str]] = {
    **dict.fromkeys(("FP16", "BF16", "FP32", "FP64"), (frozenset({int, float}), "a number")),
    **dict.fromkeys(_INTEGERS, (frozenset({int}), "a whole number")),
    "BOOL": (frozenset({bool}), "true or false"),
    "BYTES": (frozenset({str}), "text"),
}


class Misfit(ValueError):
    """A request does not fit a model's signature; the text names the field and what was expected there."""


def check_request(body: bytes, metadata: Mapping[str, Any], *, binary: int | None = None) -> None:
    """Check the body of an inference request against a model's v2 metadata: names, datatypes, shapes, length and kind of the data.

    `binary` is the header Inference-Header-Content-Length: so many bytes are JSON, raw tensors follow, whose data are not looked at. Raises
    Misfit with the first thing that is wrong. What the metadata do not say is not checked; ranges of floats are the server's business.
    """
    try:
        document = json.loads(body if binary is None else body[:binary], parse_constant=_no_number)
    except (ValueError, RecursionError) as broken:
        raise Misfit(f"body: expected JSON (which has no NaN or Infinity): {broken}") from None
    if not isinstance(document, dict):
        raise Misfit(f"body: expected a JSON object, got {_shown(document)}")
    entries, known = document.get("inputs"), {tensor["name"]: tensor for tensor in metadata.get("inputs", ())}
    if not isinstance(entries, list):
        raise Misfit(f"inputs: expected an array with {_names(known)}, got {_shown(entries)}")
    _check_inputs(entries, known)
    _check_outputs(document.get("outputs"), {tensor["name"] for tensor in metadata.get("outputs", ())})


def _no_number(text: str) -> float:
    raise ValueError(f"got {text}")


def _check_inputs(entries: Sequence[Any], known: Mapping[str, Mapping[str, Any]]) -> None:
    given: set[str] = set()
    for place, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        tensor = known.get(name) if isinstance(name, str) else None
        if tensor is None:
            raise Misfit(f"inputs[{place}].name: expected {_names(known, 'or')}, got {_shown(name)}")
        if name in given:
            raise Misfit(f"inputs[{place}].name: input '{name}' is given twice")
        given.add(tensor["name"])
        _check_tensor(entry, tensor, f"inputs['{name}']")
    if missing := [name for name in known if name not in given and not known[name].get("optional")]:
        raise Misfit(f"inputs: missing {_names(missing)}; the model takes {_names(known)}")


def _check_tensor(entry: Mapping[str, Any], tensor: Mapping[str, Any], field: str) -> None:
    datatype = tensor["datatype"]
    if entry.get("datatype") != datatype:
        raise Misfit(f"{field}.datatype: expected '{datatype}', got {_shown(entry.get('datatype'))}")
    shape = entry.get("shape")
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise Misfit(f"{field}.shape: expected an array of whole numbers, got {_shown(shape)}")
    declared = [int(size) for size in tensor["shape"]]
    fits = len(shape) == len(declared) and all(want in (VARIABLE, size) for want, size in zip(declared, shape, strict=True))
    if declared and not fits:  # an empty one says nothing of it
        raise Misfit(f"{field}.shape: expected {declared} ({VARIABLE}: any size), got {_shown(shape)}")
    parameters = entry.get("parameters")
    if "data" not in entry and isinstance(parameters, dict) and "binary_data_size" in parameters:
        return
    _check_data(entry.get("data"), shape, datatype, f"{field}.data")


def _check_data(data: Any, shape: Sequence[int], datatype: str, field: str) -> None:
    if not isinstance(data, list):
        raise Misfit(f"{field}: expected an array, got {_shown(data)}")
    values, needed = _flat(data), prod(shape)
    if len(values) != needed:
        raise Misfit(f"{field}: expected {needed} values for shape {list(shape)}, got {len(values)}")
    kinds, expected = _TAKES.get(datatype, (None, ""))
    if kinds is not None and not kinds.issuperset(map(type, values)):
        place, odd = next((place, value) for place, value in enumerate(values) if type(value) not in kinds)
        raise Misfit(f"{field}[{place}]: expected {expected} ({datatype}), got {_shown(odd)}")
    if values and datatype in _INTEGERS:
        low, high = _INTEGERS[datatype]
        if min(values) < low or max(values) > high:
            raise Misfit(f"{field}: expected whole numbers from {low} to {high} ({datatype})")


def _flat(data: list[Any]) -> list[Any]:
    """Flatten nested arrays, row by row; how they are nested is the server's business."""
    while data and any(type(one) is list for one in data):
        data = [value for one in data for value in (one if type(one) is list else (one,))]
    return data


def _check_outputs(entries: Any, known: Set[str]) -> None:
    if entries is None or not known:
        return
    if not isinstance(entries, list):
        raise Misfit(f"outputs: expected an array of objects with a 'name', got {_shown(entries)}")
    for place, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in known:
            raise Misfit(f"outputs[{place}].name: expected {_names(sorted(known), 'or')}, got {_shown(name)}")


def _names(known: Iterable[str], joint: str = "and") -> str:
    return f" {joint} ".join(f"'{name}'" for name in known) or "nothing"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(one, list | dict) for one in value)):
        return f"an array of {len(value)}"
    text = json.dumps(value[:MOST_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
