"""Two answers of the v2 protocol beside each other: tensors by name, how far apart their numbers are, and which choice they make. Pure."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

Tensor = Mapping[str, Any]
NUMBERS = ("FP16", "BF16", "FP32", "FP64", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))


@dataclass(frozen=True)
class Difference:
    """How two answers differ. `mismatches`: tensors that cannot be compared, in words (`y: shape [1, 2] and [1, 3]`).

    `max_abs`: largest distance of two numbers, inf where only one of them is a number, None when there are none; `unlike`: texts and
    truth values that differ; `rows`, `agreed`: rows of scores (two or more in the last dimension), and those whose largest stands in the
    same place.
    """

    mismatches: tuple[str, ...] = ()
    max_abs: float | None = None
    unlike: int = 0
    rows: int = 0
    agreed: int = 0

    def same(self, tolerance: float) -> bool:
        """Tell whether the answers are as good as equal."""
        return not self.mismatches and not self.unlike and (self.max_abs or 0.0) <= tolerance

    @property
    def text(self) -> str:
        """What differs, in one line; nothing when nothing does."""
        said = list(self.mismatches)
        said += [f"largest distance {self.max_abs:g}"] if self.max_abs else []
        said += [f"{self.unlike} values unlike"] if self.unlike else []
        said += [f"another choice in {self.rows - self.agreed} of {self.rows} rows"] if self.agreed < self.rows else []
        return "; ".join(said)


def read_outputs(body: bytes) -> dict[str, Tensor]:
    """Return the tensors of an answer by name. Raises ValueError for what is no answer of the v2 protocol in JSON."""
    try:
        outputs = json.loads(body)["outputs"]
        found = {str(one["name"]): one for one in outputs}
        if any(not isinstance(one["data"], list) or not isinstance(one["shape"], list) for one in outputs):
            raise ValueError("a tensor without data or shape")
    except (KeyError, TypeError, RecursionError) as broken:
        raise ValueError(f"no answer of the v2 protocol: {broken}") from broken
    if len(found) != len(outputs):
        raise ValueError("an output is given twice")
    return found


def compare(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Difference:
    """Compare two answers, tensor by tensor; the order of the tensors is of no matter."""
    found = [_compare(name, ours.get(name), theirs.get(name)) for name in sorted(ours.keys() | theirs.keys())]
    distances = [one.max_abs for one in found if one.max_abs is not None]
    return Difference(
        mismatches=tuple(text for one in found for text in one.mismatches),
        max_abs=max(distances, default=None),
        unlike=sum(one.unlike for one in found),
        rows=sum(one.rows for one in found),
        agreed=sum(one.agreed for one in found),
    )


def _compare(name: str, ours: Tensor | None, theirs: Tensor | None) -> Difference:
    if ours is None or theirs is None:
        return Difference((f"{name}: only in the {'shadow' if ours is None else 'route'}'s answer",))
    for key in ("datatype", "shape"):
        if ours.get(key) != theirs.get(key):
            return Difference((f"{name}: {key} {_short(ours.get(key))} and {_short(theirs.get(key))}",))
    shape, left, right = ours["shape"], list(_flat(ours["data"])), list(_flat(theirs["data"]))
    if not all(type(size) is int and size >= 0 for size in shape) or not len(left) == len(right) == prod(shape):
        return Difference((f"{name}: data do not fill the shape {_short(shape)}",))
    if ours.get("datatype") not in NUMBERS:
        return Difference(unlike=sum(one != other for one, other in zip(left, right, strict=True)))
    distance = max((_distance(one, other) for one, other in zip(left, right, strict=True)), default=None)
    width = shape[-1] if len(shape) > 1 else 0
    rows = range(0, len(left), width) if width > 1 else range(0)
    agreed = sum(_top(left[row : row + width]) == _top(right[row : row + width]) for row in rows)
    return Difference(max_abs=distance, rows=len(rows), agreed=agreed)


def _distance(one: object, other: object) -> float:
    """Return how far apart two numbers are; null stands for NaN and infinities, and two of them are the same."""
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    if isinstance(one, int) and isinstance(other, int):
        return _bounded(abs(one - other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        distance = abs(one - other)
        return 0.0 if one == other or (one != one and other != other) else math.inf if math.isnan(distance) else distance
    return 0.0 if one == other else math.inf


def _bounded(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _top(row: Sequence[object]) -> int:
    """Return where the largest number of a row stands, the first of several; -1 without one."""
    known = [(value, -place) for place, value in enumerate(row) if isinstance(value, int | float) and value == value]
    return -max(known)[1] if known else -1


def _flat(data: Sequence[Any]) -> Iterator[Any]:
    for one in data:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
