"""The checks of the FOCUS rules as SQL: what a row looks like that breaks one. Pure: nodes of the rules' language in, strings out.

The language is that of the FinOps Foundation's rule model 1.2.0.1 (https://github.com/finopsfoundation/focus_validator): nodes
`{"CheckFunction": KIND, ...}` in 22 kinds, plus our FormatJson for the JSON columns of 1.4. We follow the words of the specification; where
focus-validator 2.2 decides otherwise for the same row:

    kind                      focus-validator                                      here
    ColumnPresent, AND        the same                                             the same
    CheckModelRule            the referred rule's verdict                          the same, see mcml.cost.conformance.judge
    CheckValue                a null passes unless null is asked for               the same (null is the nullability rules' business)
    CheckSameValue, -NotSame  two values; a null never differs                     the same
    CheckGreaterOrEqual...    a null passes                                        the same
    ColumnByColumnEquals...   within 1e-9 of the result, or of 1                   the same
    TypeDecimal, TypeString   the type that its reader gave the column             the text of a CSV has to read so; Parquet has to say it
    FormatUnit                the patterns of UnitFormat                           the same, with any quantity in front
    OR                        passes when any row takes any alternative            every row has to take one
    CheckNotValue             as a condition ("is not X") a null does not count    a null is not X: the condition holds
    CheckDistinctCount        rows with a null key are a group                     they are none
    CheckDecimalValue         not checked                                          a finite number
    CheckNationalCurrency     a code of ISO 4217, blanks around it forgiven        not forgiven
    TypeDateTime              date or timestamp, or the ISO 8601 text of UTC       the same; any other text that reads as a time, too
    FormatDateTime            of what its reader made of the text; `Z` optional    of the text itself, `Z` and all; a timestamp has none
    FormatNumeric             `+1` and `1e+7` pass                                 they do not: NumericFormat has no sign for plus
    FormatString              only ASCII                                           Unicode: no control characters, no U+FFFD, not blank
    FormatKeyValue            any valid JSON                                       as KeyValueFormat says: a flat JSON object, keys once
    FormatCurrency            three capital letters                                ISO 4217 or, for a virtual currency, a name

A column that is not there is null in a condition; a requirement about it cannot be checked. focus-validator fails the rule for both, does
not read the conditions that the model writes `{"AND": ...}`, judges each alternative of an OR of rules by itself, and no rule of level MAY.
tests/cost/test_conformance_peer.py holds our verdicts against its own, rule by rule.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcml.store.ledger.conformance_currencies import ISO_4217
from mcml.store.ledger.engine import identifier, literal

Node = Mapping[str, Any]
"""A check or a condition of a rule."""

NUMERIC = r"-?(\d+(\.\d+)?|\.\d+)([eE]-?\d+)?"
"""NumericFormat: no sign for plus, no thousands, E notation with a sign only when the exponent is negative."""
DATE_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
NOT_TEXT = r"[\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{7f}-\x{9f}\x{fffd}]"
"""Control characters, and the sign that a decoder puts for what it could not read."""
_UNIT = r"([KMGTPEZ]i?[bB]|[bB]|v?[A-Z][A-Za-z0-9]*( [A-Z][A-Za-z0-9]*)*)"
_TIME = "(Second|Minute|Hour|Day|Week|Month|Quarter|Year)"
UNIT = rf"(\d+(\.\d+)? )?{_UNIT}(-{_TIME}s|/(\d+ {_TIME}s|{_TIME}))?"
"""UnitFormat: `Hours`, `GB-Hours`, `GB/Hour`, each with a quantity if need be: `1000 Tokens`, `Units/3 Months`."""

NEVER = "false"
WHEN = "When"
"""Our kind for an alternative with a condition (`If`): it is broken where that holds and its one item is."""
FLOATS = ("DOUBLE", "FLOAT")
NUMBERS = (*FLOATS, "DECIMAL", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT")
TIMES = ("TIMESTAMP", "DATE")
TEXTS = ("VARCHAR", "ENUM", "UUID")


@dataclass(frozen=True)
class Shape:
    """The columns of the data with their DuckDB types. `typed`: they are the data's own (Parquet), not the text that CSV is."""

    types: Mapping[str, str]
    typed: bool


def columns_of(node: Node) -> frozenset[str]:
    """Return the columns that a node speaks of."""
    if parts := _parts(node):
        return frozenset().union(*map(columns_of, parts))
    keys = ("ColumnName", "CheckCondition", "ColumnAName", "ColumnBName", "ResultColumnName")
    return frozenset(node[key] for key in keys if key in node)


def kinds_of(node: Node) -> frozenset[str]:
    """Return the check kinds in a node, itself and its parts."""
    own = frozenset({_kind(node)}) if node else frozenset()
    return own.union(*map(kinds_of, _parts(node)))


def violated(node: Node, shape: Shape) -> str:
    """Return the SQL that is true for a row that breaks a requirement (null or false: it does not); `NEVER` when no row can.

    Raises KeyError for a kind that nobody knows, and for columns that are not there.
    """
    kind, parts = _kind(node), _parts(node)
    if kind == "AND":
        return _either(violated(part, shape) for part in parts)
    if kind == "OR":
        return _listed(parts, shape) or "(" + " AND ".join(violated(part, shape) for part in parts) + ")"
    if kind == WHEN:
        return f"({holds(node['If'], shape)} AND {violated(parts[0], shape)})"
    return _BROKEN[kind](node, shape)


def holds(node: Node, shape: Shape) -> str:
    """Return the SQL of a condition, true or false for every row; a column that is not there is null."""
    kind, parts = _kind(node), _parts(node)
    if not kind:
        return "true"
    if parts:
        return "(" + f" {kind} ".join(holds(part, shape) for part in parts) + ")"
    if kind == "CheckValue":
        return f"{_text(node, shape)} IS NOT DISTINCT FROM {_value(node)}"
    if kind == "CheckNotValue":
        return f"{_text(node, shape)} IS DISTINCT FROM {_value(node)}"
    return f"NOT coalesce({violated(node, shape)}, true)"


def distinct(node: Node) -> tuple[str, str, int]:
    """Return key, value and the number of different values that each key has to have, of a CheckDistinctCount."""
    return node["ColumnAName"], node["ColumnBName"], int(node["ExpectedCount"])


def _kind(node: Node) -> str:
    """Name the kind; two conditions of the model spell AND as a key of its own."""
    return str(node.get("CheckFunction") or next((word for word in ("AND", "OR") if word in node), ""))


def _parts(node: Node) -> Sequence[Node]:
    items = node.get("Items") or node.get("AND") or node.get("OR") or ()
    return [items] if isinstance(items, Mapping) else items


def _either(texts: Iterable[str]) -> str:
    possible = [text for text in texts if text != NEVER]
    return f"({' OR '.join(possible)})" if possible else NEVER


def _listed(parts: Sequence[Node], shape: Shape) -> str:
    """Return the alternatives `A = x or A = y ...`, or pairs of such, as one look-up; empty when they are none."""
    rows = [part.get("Items", [part]) for part in parts]
    names = [[each.get("ColumnName") for each in row] for row in rows]
    plain = all(each.get("CheckFunction") == "CheckValue" and isinstance(each.get("Value"), str) for row in rows for each in row)
    if not plain or any(each != names[0] for each in names):
        return ""
    joined = " || chr(31) || ".join(_text(each, shape) for each in rows[0])
    return f"{joined} NOT IN ({', '.join(literal(chr(31).join(each['Value'] for each in row)) for row in rows)})"


def _name(node: Node, key: str = "ColumnName") -> str:
    return str(node.get(key) or node["CheckCondition"])


def _text(node: Node, shape: Shape, key: str = "ColumnName") -> str:
    """Return a column as text; null when it is not there."""
    name = _name(node, key)
    kind = shape.types.get(name)
    if kind is None:
        return "NULL::VARCHAR"
    if kind.endswith("]") or kind.startswith(("MAP", "STRUCT")):
        return f"to_json({identifier(name)})::VARCHAR"
    return identifier(name) if kind == "VARCHAR" else f"{identifier(name)}::VARCHAR"


def _number(name: str, shape: Shape) -> str:
    return f"TRY_CAST({identifier(name)} AS DOUBLE)" if shape.types[name] in TEXTS else f"{identifier(name)}::DOUBLE"


def _value(node: Node) -> str:
    said = node["Value"]
    return "NULL" if said is None else literal(str(said))


def _all_rows(node: Node) -> str:
    return f"{identifier(_name(node))} IS NOT NULL"


def _is(name: str, shape: Shape, kinds: tuple[str, ...]) -> bool:
    return shape.types[name].startswith(kinds)


def _not_like(text: str, pattern: str) -> str:
    return f"NOT regexp_full_match({text}, {literal(pattern)})"


def _check_value(node: Node, shape: Shape) -> str:
    name = _name(node)
    if node["Value"] is None:
        return f"{identifier(name)} IS NOT NULL"
    if isinstance(node["Value"], int):
        return f"{_number(name, shape)} <> {node['Value']}"
    return f"{_text(node, shape)} <> {_value(node)}"


def _check_not_value(node: Node, shape: Shape) -> str:
    return f"{identifier(_name(node))} IS NULL" if node["Value"] is None else f"{_text(node, shape)} = {_value(node)}"


def _same(sign: str) -> Callable[[Node, Shape], str]:
    return lambda node, shape: f"{_text(node, shape, 'ColumnAName')} {sign} {_text(node, shape, 'ColumnBName')}"


def _at_least(node: Node, shape: Shape) -> str:
    return f"{_number(_name(node), shape)} < {int(node['Value'])}"


def _product(node: Node, shape: Shape) -> str:
    """Compare as floats, with the tolerance of focus-validator: a product of two DECIMAL(38,24) has no type that holds it."""
    one, other, result = (_number(node[key], shape) for key in ("ColumnAName", "ColumnBName", "ResultColumnName"))
    return f"abs({one} * {other} - {result}) > 1e-9 * greatest(abs({result}), 1)"


def _decimal_value(node: Node, shape: Shape) -> str:
    return f"({_all_rows(node)} AND NOT coalesce(isfinite({_number(_name(node), shape)}), false))"


def _type_decimal(node: Node, shape: Shape) -> str:
    if not shape.typed:
        return f"({_all_rows(node)} AND {_number(_name(node), shape)} IS NULL)"
    return NEVER if _is(_name(node), shape, NUMBERS) else _all_rows(node)


def _type_string(node: Node, shape: Shape) -> str:
    return NEVER if not shape.typed or _is(_name(node), shape, TEXTS) else _all_rows(node)


def _type_date_time(node: Node, shape: Shape) -> str:
    if _is(_name(node), shape, TIMES):
        return NEVER
    if _is(_name(node), shape, TEXTS):
        return f"({_all_rows(node)} AND TRY_CAST({_text(node, shape)} AS TIMESTAMPTZ) IS NULL)"
    return _all_rows(node)


def _format_numeric(node: Node, shape: Shape) -> str:
    if _is(_name(node), shape, TEXTS):
        return _not_like(_text(node, shape), NUMERIC)
    return f"NOT isfinite({identifier(_name(node))})" if _is(_name(node), shape, FLOATS) else NEVER


def _format_date_time(node: Node, shape: Shape) -> str:
    if not _is(_name(node), shape, TEXTS):
        return NEVER
    text = _text(node, shape)
    return f"({_not_like(text, DATE_TIME)} OR TRY_CAST({text} AS TIMESTAMPTZ) IS NULL AND {text} IS NOT NULL)"


def _format_string(node: Node, shape: Shape) -> str:
    text = _text(node, shape)
    return f"(trim({text}) = '' OR regexp_matches({text}, {literal(NOT_TEXT)}))"


def _is_object(text: str) -> str:
    return f"WHEN NOT json_valid({text}) THEN true WHEN json_type({text}) <> 'OBJECT' THEN true"


def _format_json(node: Node, shape: Shape) -> str:
    text = _text(node, shape)
    return f"CASE WHEN {text} IS NULL THEN false {_is_object(text)} ELSE false END"


def _format_key_value(node: Node, shape: Shape) -> str:
    text = _text(node, shape)
    nested = f"list_has_any(list_transform(json_extract({text}, '$.*'), lambda each: json_type(each)), ['OBJECT', 'ARRAY'])"
    once = f"len(json_keys({text})) > len(list_distinct(json_keys({text})))"
    return f"CASE WHEN {text} IS NULL THEN false {_is_object(text)} ELSE {once} OR {nested} END"


def _format_unit(node: Node, shape: Shape) -> str:
    return _not_like(_text(node, shape), UNIT)


_CODES = f"({', '.join(map(literal, ISO_4217))})"


def _format_currency(node: Node, shape: Shape) -> str:
    """A national currency is written as ISO 4217 has it; anything else is the name of a virtual one, a string."""
    text = _text(node, shape)
    return f"(upper(trim({text})) IN {_CODES} AND {text} NOT IN {_CODES} OR {_format_string(node, shape)})"


def _national_currency(node: Node, shape: Shape) -> str:
    return f"{_text(node, shape)} NOT IN {_CODES}"


_BROKEN: dict[str, Callable[[Node, Shape], str]] = {
    "CheckValue": _check_value,
    "CheckNotValue": _check_not_value,
    "CheckSameValue": _same("<>"),
    "CheckNotSameValue": _same("="),
    "CheckGreaterOrEqualThanValue": _at_least,
    "ColumnByColumnEqualsColumnValue": _product,
    "CheckDecimalValue": _decimal_value,
    "CheckNationalCurrency": _national_currency,
    "TypeDecimal": _type_decimal,
    "TypeString": _type_string,
    "TypeDateTime": _type_date_time,
    "FormatNumeric": _format_numeric,
    "FormatDateTime": _format_date_time,
    "FormatString": _format_string,
    "FormatKeyValue": _format_key_value,
    "FormatJson": _format_json,
    "FormatCurrency": _format_currency,
    "FormatUnit": _format_unit,
}
KINDS = frozenset(_BROKEN) | {"AND", "OR", "ColumnPresent", "CheckModelRule", "CheckDistinctCount"}
"""Every kind that can be judged."""
