"""The SQL of ingest: how a text becomes a value, and why a row cannot be booked. Pure: strings in, strings out.

Every column is staged as text first, whatever the file held, so one set of rules serves CSV, Parquet and providers.

Numbers: a number written in full may have up to `SCALE` decimals, more than that is a reason to refuse the row. A number with an
exponent (`1.2e-07`) is a printed float and never was exact: it is rounded to `SCALE` decimals, an error below 1e-24.
Times: without an offset they are UTC, as FOCUS asks. `NULL` and the empty text mean null.
"""

from mcml.store.ledger.engine import identifier, literal, sql
from mcml.store.ledger.schema import CHARGE_CATEGORIES, DIMENSIONS, INPUT, REQUIRED, SCALE, SOURCES, SQL_TYPE

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
TIME = r"\d{4}-\d{2}-\d{2}([T ].*)?"
COUNT = r"\d+(\.0*)?"
CURRENCY = "[A-Z]{3}"


def cleaned(column: str, sql_type: str = "VARCHAR") -> str:
    """Return the text of a column of an export, null where it says so. Nested types (tags as a map) become JSON."""
    name = identifier(column)
    nested = sql_type.endswith("]") or sql_type.startswith(("MAP", "STRUCT"))
    text = f"to_json({name})::VARCHAR" if nested else name if sql_type == "VARCHAR" else f"{name}::VARCHAR"
    return f"nullif(nullif({text}, ''), 'NULL')"


def leftovers(columns: dict[str, str]) -> str:
    """Return the columns that are not ours as one JSON object without its nulls; null where nothing is left. Takes names and types."""
    if not columns:
        return "NULL"
    members = ", ".join(f"{identifier(name)} := {cleaned(name, sql_type)}" for name, sql_type in columns.items())
    return f"nullif(json_merge_patch('{{}}', to_json(struct_pack({members})))::VARCHAR, '{{}}')"


def value(column: str) -> str:
    """Return the expression that turns the staged text of one of our columns into its value, null where it cannot."""
    name, kind = identifier(column), INPUT[column]
    if column == "Tags":
        return _object(name)
    if kind in ("text", "json"):
        return name
    if kind == "count":
        return f"TRY_CAST(split_part({name}, '.', 1) AS {SQL_TYPE[kind]})"
    return f"TRY_CAST({name} AS {SQL_TYPE[kind]})"


def reasons() -> str:
    """Return the expression that names everything that is wrong with a staged row, `; ` between; empty when it can be booked."""
    found = [*(_missing(column) for column in REQUIRED), *(malformed(column) for column in INPUT), _backwards()]
    return f"concat_ws('; ', {', '.join(reason for reason in found if reason)})"


def _missing(column: str) -> str:
    return f"CASE WHEN {identifier(column)} IS NULL THEN {literal(f'{column} is missing')} END"


def malformed(column: str) -> str:
    """Return the expression that says what is wrong with one column's text, null when nothing is; empty when nothing can be."""
    name, kind = identifier(column), INPUT[column]
    cases: list[tuple[str, str]] = []
    if kind == "decimal":
        decimals = f"length(rtrim(regexp_extract({name}, '\\.(\\d*)', 1), '0'))"
        cases = [
            (_unlike(name, NUMBER), "is not a number"),
            (f"NOT regexp_matches({name}, '[eE]') AND {decimals} > {SCALE}", f"has more than {SCALE} decimals"),
            (f"{value(column)} IS NULL", f"has more than {38 - SCALE} digits before the point"),
        ]
    elif kind == "time":
        cases = [(f"{_unlike(name, TIME)} OR {value(column)} IS NULL", "is not a time")]
    elif kind == "count":
        cases = [(f"{_unlike(name, COUNT)} OR {value(column)} IS NULL", "is not a whole number")]
    elif column == "Tags":
        cases = [(f"{value(column)} IS NULL", "is not a JSON object")]
    elif column == "BillingCurrency":
        cases = [(_unlike(name, CURRENCY), "is not an ISO 4217 code")]
    elif column in ("ChargeCategory", "x_Source"):
        words = CHARGE_CATEGORIES if column == "ChargeCategory" else SOURCES
        cases = [(f"{name} NOT IN ({', '.join(map(literal, words))})", f"is none of {', '.join(words)}")]
    if not cases:
        return ""
    branches = " ".join(f"WHEN {condition} THEN {literal(f'{column} {why}')}" for condition, why in cases)
    return f"CASE WHEN {name} IS NULL THEN NULL {branches} END"


def _backwards() -> str:
    return f"CASE WHEN {value('ChargePeriodEnd')} < {value('ChargePeriodStart')} THEN 'ChargePeriodEnd is before ChargePeriodStart' END"


def _unlike(name: str, pattern: str) -> str:
    return f"NOT regexp_full_match({name}, {literal(pattern)})"


def _object(name: str) -> str:
    """Return the text of a JSON object; Azure leaves the braces out, which is mended here; null for anything else."""
    braced = f"('{{' || {name} || '}}')"
    return (
        f"CASE WHEN json_valid({name}) AND json_type(CASE WHEN json_valid({name}) THEN {name} END) = 'OBJECT' THEN {name} "
        f"WHEN NOT json_valid({name}) AND json_valid({braced}) THEN {braced} END"
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
