"""The SQL of ingest: how a column of an export becomes a value, and why a row cannot be booked. Pure: strings in, strings out.

One set of rules, whatever the file held: they speak of text, and a column with a type of its own is judged as the text DuckDB prints of it
would be. Where the type already answers a rule (a timestamp needs no pattern), nothing is printed and nothing is matched.

Numbers: a number written in full may have up to `SCALE` decimals, more than that is a reason to refuse the row. A number with an
exponent (`1.2e-07`) is a printed float and never was exact: it is rounded to `SCALE` decimals, an error below 1e-24. A DOUBLE is the
shortest decimal that reads back as the same double, which is what printing it gives.
Times: without an offset they are UTC, as FOCUS asks; they lie in the years 1 to 9999. `NULL` and the empty text mean null.
"""

from mcml.store.ledger.engine import identifier, literal, sql
from mcml.store.ledger.schema import CHARGE_CATEGORIES, DIMENSIONS, INPUT, REQUIRED, SCALE, SOURCES, SQL_TYPE

TEXT = "VARCHAR"
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
SHORT_NUMBER = r"-?\d{1,6}(\.\d{1,12})?"
TIME = r"\d{4}-\d{2}-\d{2}([T ].*)?"
COUNT = r"\d+(\.0*)?"
CURRENCY = "[A-Z]{3}"
DECIMAL, INSTANT = SQL_TYPE["decimal"], SQL_TYPE["time"]
INTEGERS = {f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")}
INSTANTS = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", INSTANT, "TIMESTAMP WITH TIME ZONE"}
"""Of the types of time only TIMESTAMP_NS is missing: its cast rounds to microseconds where text is cut."""

_DOUBLE = """
    CASE WHEN TRY_CAST(${raw} AS DECIMAL(15,12))::DOUBLE = ${raw} THEN TRY_CAST(${raw} AS DECIMAL(15,12))::${decimal}
         WHEN TRY_CAST(${raw} AS DECIMAL(15,6))::DOUBLE = ${raw} THEN TRY_CAST(${raw} AS DECIMAL(15,6))::${decimal}
         WHEN isfinite(${raw}) THEN TRY_CAST(${raw}::VARCHAR AS ${decimal}) END
"""
"""At most one decimal of 15 digits reads as a given double, so one that does is the shortest; it costs a fiftieth of print and parse."""


def cleaned(raw: str, sql_type: str = TEXT) -> str:
    """Return the text of an expression of a type, null where it says so. Nested types (tags as a map) become JSON."""
    nested = sql_type.endswith("]") or sql_type.startswith(("MAP", "STRUCT"))
    text = f"to_json({raw})::VARCHAR" if nested else raw if sql_type == TEXT else f"{raw}::VARCHAR"
    exact = sql_type in INTEGERS | INSTANTS | {"DOUBLE"} or sql_type.startswith("DECIMAL")
    return text if exact else f"nullif(nullif({text}, ''), 'NULL')"


def leftovers(columns: dict[str, str]) -> str:
    """Return columns as one JSON object without its nulls; null where nothing is left. Takes names and the SQL of their texts."""
    if not columns:
        return "NULL"
    whole = f"to_json(struct_pack({', '.join(f'{identifier(name)} := {text}' for name, text in columns.items())}))"
    gaps = " OR ".join(f"{text} IS NULL" for text in columns.values())
    return f"CASE WHEN {gaps} THEN nullif(json_merge_patch('{{}}', {whole})::VARCHAR, '{{}}') ELSE {whole}::VARCHAR END"


def value(column: str, raw: str = "", sql_type: str = TEXT) -> str:
    """Return the expression that turns a staged `raw` of a type into the value of our column, null where it is null or breaks a rule."""
    raw, kind = raw or identifier(column), INPUT[column]
    text = raw if sql_type == TEXT else cleaned(raw, sql_type)
    if kind == "decimal":
        return _decimal(raw, sql_type, text)
    if kind == "time":
        return _time(raw, sql_type, text)
    if kind == "count":
        return _count(raw, sql_type, text)
    if column == "Tags":
        return _object(text)
    if column == "BillingCurrency":
        return f"CASE WHEN regexp_full_match({text}, {literal(CURRENCY)}) THEN {text} END"
    if column in WORDS:
        return f"CASE WHEN {text} IN ({', '.join(map(literal, WORDS[column]))}) THEN {text} END"
    return cleaned(raw, sql_type)


WORDS = {"ChargeCategory": CHARGE_CATEGORIES, "x_Source": SOURCES}


def can_fail(column: str) -> bool:
    """Return whether a text in one of our columns can break a rule."""
    return INPUT[column] in ("decimal", "time", "count") or column in ("Tags", "BillingCurrency", *WORDS)


def malformed(column: str, raw: str = "", sql_type: str = TEXT, read: str = "") -> str:
    """Return the expression that says what is wrong with one column, null when nothing is. `read` is its value, where it stands already."""
    raw = raw or identifier(column)
    text = cleaned(raw, sql_type)
    *cases, last = [(condition, literal(f"{column} {why}")) for condition, why in _faults(column, text)]
    branches = " ".join(f"WHEN {condition} THEN {why}" for condition, why in cases)
    return f"CASE WHEN {read or value(column, raw, sql_type)} IS NOT NULL OR {text} IS NULL THEN NULL {branches} ELSE {last[1]} END"


def missing(column: str, raw: str = "", sql_type: str = TEXT, read: str = "") -> str:
    """Return the expression that says that a required column is missing, null when it is not."""
    present = f"{read} IS NOT NULL OR " if read else ""
    text, why = cleaned(raw or identifier(column), sql_type), literal(f"{column} is missing")
    return f"CASE WHEN {present}{text} IS NOT NULL THEN NULL ELSE {why} END"


def reasons(raws: dict[str, tuple[str, str, str]]) -> str:
    """Return the expression that names everything that is wrong with a row, `; ` between; empty when it can be booked.

    `raws` has for each of our columns that an export has: the SQL of what the export says, its type, and the SQL of its value.
    """
    found = [
        *(missing(column, *raws[column]) for column in REQUIRED),
        *(malformed(column, *raws[column]) for column in INPUT if column in raws and can_fail(column)),
        _backwards(raws["ChargePeriodStart"][2], raws["ChargePeriodEnd"][2]),
    ]
    return f"concat_ws('; ', {', '.join(found)})"


def _faults(column: str, text: str) -> list[tuple[str, str]]:
    """Return what can be wrong with a text that is no value of our column: conditions and reasons; the last needs no condition."""
    kind = INPUT[column]
    if kind == "decimal":
        return [
            (f"NOT regexp_full_match({text}, {literal(NUMBER)})", "is not a number"),
            (_too_many_decimals(text), f"has more than {SCALE} decimals"),
            ("true", f"has more than {38 - SCALE} digits before the point"),
        ]
    if kind in ("time", "count"):
        return [("true", "is not a time" if kind == "time" else "is not a whole number")]
    if column in WORDS:
        return [("true", f"is none of {', '.join(WORDS[column])}")]
    return [("true", "is not a JSON object" if column == "Tags" else "is not an ISO 4217 code")]


def _backwards(start: str, end: str) -> str:
    return f"CASE WHEN {end} < {start} THEN 'ChargePeriodEnd is before ChargePeriodStart' END"


def _too_many_decimals(text: str) -> str:
    return rf"NOT regexp_matches({text}, '[eE]') AND length(rtrim(regexp_extract({text}, '\.(\d*)', 1), '0')) > {SCALE}"


def _decimal(raw: str, sql_type: str, text: str) -> str:
    precision, _, scale = sql_type.removeprefix("DECIMAL(").removesuffix(")").partition(",")
    if sql_type in INTEGERS or (precision.isdigit() and int(scale) <= SCALE):
        return f"TRY_CAST({raw} AS {DECIMAL})"
    if sql_type == "DOUBLE":
        return sql(_DOUBLE, raw=raw, decimal=DECIMAL)
    # 38 digits are parsed sixteen times slower than 18
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(SHORT_NUMBER)}) THEN TRY_CAST({text} AS DECIMAL(18,12))::{DECIMAL} "
        f"WHEN regexp_full_match({text}, {literal(NUMBER)}) AND NOT ({_too_many_decimals(text)}) THEN TRY_CAST({text} AS {DECIMAL}) END"
    )


def _time(raw: str, sql_type: str, text: str) -> str:
    instant = f"TRY_CAST({raw if sql_type in INSTANTS else text} AS {INSTANT})"
    like = "" if sql_type in INSTANTS else f"regexp_full_match({text}, {literal(TIME)}) AND "
    return f"CASE WHEN {like}{instant} BETWEEN {INSTANT} '0001-01-01' AND {INSTANT} '9999-12-31 23:59:59.999999' THEN {instant} END"


def _count(raw: str, sql_type: str, text: str) -> str:
    kind = SQL_TYPE["count"]
    if sql_type in INTEGERS:
        return f"CASE WHEN {raw} >= 0 THEN TRY_CAST({raw} AS {kind}) END"
    return f"CASE WHEN regexp_full_match({text}, {literal(COUNT)}) THEN TRY_CAST(split_part({text}, '.', 1) AS {kind}) END"


def _object(text: str) -> str:
    """Return the text of a JSON object; Azure leaves the braces out, which is mended here; null for anything else."""
    braced = f"('{{' || {text} || '}}')"
    return (
        f"CASE WHEN json_valid({text}) AND json_type(CASE WHEN json_valid({text}) THEN {text} END) = 'OBJECT' THEN {text} "
        f"WHEN NOT json_valid({text}) AND json_valid({braced}) THEN {braced} END"
    )


_TAG_SETS = """
    SELECT tag_text, ${chosen}
    FROM (
        SELECT texts.tag_text, known.dimension, known.rank, nullif(member.value ->> '$$', '') AS said
        FROM (SELECT DISTINCT tag_text FROM ${table} WHERE tag_text IS NOT NULL) texts,
             json_each(texts.tag_text) member,
             (VALUES ${keys}) known(key, dimension, rank)
        WHERE regexp_replace(trim(lower(regexp_replace(member.key, '^.*[:/]', ''))), '[ -]', '_', 'g') = known.key
    )
    WHERE said IS NOT NULL
    GROUP BY tag_text
"""


def tag_sets(table: str) -> str:
    """Return the query that reads DIMENSIONS out of each distinct `tag_text` of a table: far fewer than rows, so JSON is parsed once."""
    keys = (f"({literal(key)}, {literal(column)}, {rank})" for column, names in DIMENSIONS.items() for rank, key in enumerate(names))
    chosen = (f"min_by(said, rank) FILTER (WHERE dimension = {literal(column)}) AS tag_{column}" for column in DIMENSIONS)
    return sql(_TAG_SETS, table=table, keys=", ".join(keys), chosen=", ".join(chosen))
