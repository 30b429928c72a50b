"""Values on their way into BigQuery as typed parameters, and out of its REST API as plain Python values. Pure.

Types: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types; answers write every value as text
(https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults), so nothing passes through a float that is none.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from mcml.core.errors import InvalidRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64 = range(-(2**63), 2**63)
NUMERIC_DIGITS, NUMERIC_SCALE = 29, 9
BIGNUMERIC_DIGITS, BIGNUMERIC_SCALE = 38, 38


@dataclass(frozen=True)
class Field:
    """A column, or a field of a record (`fields`), as the REST API describes it."""

    name: str
    kind: str
    repeated: bool
    fields: tuple["Field", ...] = ()


def fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the fields of a schema of the REST API."""
    return tuple(
        Field(entry["name"], entry["type"].upper(), entry.get("mode") == "REPEATED", fields(entry)) for entry in schema.get("fields", ())
    )


def row(columns: Sequence[Field], answer: Mapping[str, Any], *, exact: bool = False) -> tuple[object, ...]:
    """Return a row of an answer as plain values; with `exact`, FLOAT64 becomes the Decimal of the digits that BigQuery printed."""
    return tuple(_value(field, cell["v"], exact) for field, cell in zip(columns, answer["f"], strict=True))


def _value(field: Field, told: Any, exact: bool) -> object:
    if field.repeated:
        return [_one(field, entry["v"], exact) for entry in told or ()]
    return _one(field, told, exact)


def _one(field: Field, told: Any, exact: bool) -> object:
    if told is None:
        return None
    if field.kind in ("RECORD", "STRUCT"):
        return {inner.name: _value(inner, cell["v"], exact) for inner, cell in zip(field.fields, told["f"], strict=True)}
    if field.kind in ("FLOAT", "FLOAT64"):
        return Decimal(told) if exact else float(told)
    read = _READERS.get(field.kind)
    return str(told) if read is None else read(told)


def _moment(microseconds: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))


def _boolean(text: str | bool) -> bool:
    return text is True or str(text).lower() == "true"


_READERS: Mapping[str, Any] = {
    "INTEGER": int,
    "INT64": int,
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "BOOLEAN": _boolean,
    "BOOL": _boolean,
    "BYTES": base64.b64decode,
    "TIMESTAMP": _moment,
    "DATE": date.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIME": time.fromisoformat,
    "JSON": json.loads,
}
"""What is not here (STRING, GEOGRAPHY, INTERVAL, RANGE) stays the text that BigQuery writes."""


def parameters(given: Mapping[str, object] | Sequence[object]) -> list[Any]:
    """Return the SDK's query parameters of named or positional values, each with its type.

    None is a NULL of type STRING, which BigQuery converts where it can. Raises InvalidRequest for a value that has no type there.
    """
    if isinstance(given, Mapping):
        return [_parameter(str(name), value) for name, value in given.items()]
    return [_parameter(None, value) for value in given]


def _parameter(name: str | None, value: object) -> Any:
    from google.cloud import bigquery

    if isinstance(value, Mapping):
        return bigquery.StructQueryParameter(name, *(_parameter(str(key), inner) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        if any(isinstance(entry, list | tuple | Mapping) or entry is None for entry in value):
            raise InvalidRequest(f"parameter {name or '?'} cannot be passed", why="a list holds plain values, no lists, records or NULLs")
        kinds = {kind_of(name, entry) for entry in value} or {"STRING"}
        return bigquery.ArrayQueryParameter(name, _common(name, kinds), [_text(entry) for entry in value])
    return bigquery.ScalarQueryParameter(name, kind_of(name, value), _text(value))


def kind_of(name: str | None, value: object) -> str:
    """Return the type of a scalar parameter. Raises InvalidRequest."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "INT64" if value in INT64 else _decimal_kind(name, Decimal(value))
    if isinstance(value, Decimal):
        return _decimal_kind(name, value)
    if isinstance(value, datetime):
        return "TIMESTAMP" if value.tzinfo else "DATETIME"
    found = next((kind for types, kind in _KINDS if isinstance(value, types)), "")
    if not found:
        raise InvalidRequest(f"parameter {name or '?'} cannot be passed", why=f"BigQuery has no type for a {type(value).__name__}")
    return found


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "BOOL"),
    (float, "FLOAT64"),
    ((str, type(None)), "STRING"),
    (bytes, "BYTES"),
    (date, "DATE"),
    (time, "TIME"),
)


def _decimal_kind(name: str | None, value: Decimal) -> str:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise InvalidRequest(f"parameter {name or '?'} cannot be passed", why=f"{value} is no number of BigQuery's exact types")
    scale, whole = max(0, -exponent), max(0, len(digits) + exponent)
    if scale <= NUMERIC_SCALE and whole <= NUMERIC_DIGITS:
        return "NUMERIC"
    if scale <= BIGNUMERIC_SCALE and whole <= BIGNUMERIC_DIGITS:
        return "BIGNUMERIC"
    why = "BIGNUMERIC holds 38 digits before and 38 after the point"
    raise InvalidRequest(f"parameter {name or '?'} cannot be passed", why=why)


def _common(name: str | None, kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    order = [kind for kind in ("INT64", "NUMERIC", "BIGNUMERIC") if kind in kinds]
    if set(order) == kinds:
        return order[-1]
    raise InvalidRequest(f"parameter {name or '?'} cannot be passed", why=f"a list has one type, not {', '.join(sorted(kinds))}")


def _text(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and value not in INT64 else value
