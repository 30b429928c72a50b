"""The Open Inference Protocol v2 as values: a request of zeros that fits a model's metadata."""

from collections.abc import Mapping, Sequence
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
