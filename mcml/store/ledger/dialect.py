"""The ledger's queries in the SQL of a warehouse: written once, for DuckDB, and transpiled by sqlglot. Pure: strings in, strings out.

sqlglot (https://sqlglot.com) knows the dialects; what it passes on unchanged, or with another meaning, is put right in `_RIGHT`: a week
begins on Monday everywhere, a day is one of UTC, a pattern matches a whole text, and a time comes back as a time.

Money is decimal in every engine: BIGNUMERIC in BigQuery (38 decimals), DECIMAL(38,24) in DuckDB, and DECIMAL(38,18) in Athena, whose
decimals cannot have 38 digits on both sides. A column of binary floats is read by the digits that it is printed with.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from mcml.core.errors import InvalidRequest, McmlError
from mcml.store.ledger.engine import literal, sql
from mcml.store.ledger.schema import INPUT, REQUIRED, SQL_TYPE, Kind, map_columns

Engine = Literal["bigquery", "athena", "duckdb"]

TYPES: Mapping[Engine, Mapping[Kind, str]] = {
    "bigquery": {"text": "STRING", "decimal": "BIGNUMERIC", "time": "TIMESTAMP", "json": "STRING", "count": "INT64"},
    "athena": {"text": "VARCHAR", "decimal": "DECIMAL(38,18)", "time": "TIMESTAMP WITH TIME ZONE", "json": "VARCHAR", "count": "BIGINT"},
    "duckdb": SQL_TYPE,
}
FLOATS = ("FLOAT", "DOUBLE", "REAL")
CAST = "CAST(${value} AS ${type})"
_MONDAY = "TIMESTAMP_TRUNC(TIMESTAMP_SUB(moment, INTERVAL MOD(EXTRACT(DAYOFWEEK FROM moment) + 5, 7) DAY), DAY)"
_BIGQUERY_LABELS = """(SELECT CONCAT('{', STRING_AGG(CONCAT(TO_JSON_STRING(tag.key), ':', TO_JSON_STRING(tag.value))), '}')
    FROM UNNEST(${value}) AS tag)"""


def quoted(name: str, engine: Engine) -> str:
    """Quote a name, or a path of names (`project.dataset.table`), for an engine."""
    mark = "`" if engine == "bigquery" else '"'
    return ".".join(f"{mark}{part}{mark}" for part in name.split("."))


def columns_query(table: str, engine: Engine) -> tuple[str, list[str]]:
    """Return the query that tells the columns of a table and their types, and its parameters."""
    *path, dataset, name = table.split(".")
    if engine == "bigquery":
        source, given = f"{quoted('.'.join([*path, dataset]), engine)}.INFORMATION_SCHEMA.COLUMNS", {"table_name": name}
    else:
        source = ".".join([*(quoted(part, engine) for part in path), "information_schema.columns"])
        given = {"table_schema": dataset, "table_name": name}
    condition = " AND ".join(f"{column} = ?" for column in given)
    text = sql("SELECT column_name, data_type FROM ${source} WHERE ${condition}", source=source, condition=condition)
    return text, [value.lower() if engine == "athena" else value for value in given.values()]


def translated(query: str, table: str, columns: Mapping[str, str], engine: Engine) -> str:
    """Return a query over the view `cost` as one over a warehouse's table with these columns (name to type).

    Columns of an older FOCUS are renamed as at ingest, columns of ours that the table lacks are null (x_Source: billed). Raises
    InvalidRequest for a table without a column that FOCUS requires and the query needs; McmlError where sqlglot is not installed.
    """
    sqlglot, expressions = _sqlglot()
    tree = sqlglot.parse_one(query, read="duckdb")
    wanted = {column.name for column in tree.find_all(expressions.Column)} & set(INPUT | {"x_IngestedAt": "time"})
    for node in reversed(list(tree.bfs())):  # from the leaves up: what is put right may hold what was
        node.replace(_right(node, engine, expressions))
    named = (expressions.alias_(each.copy(), f"c{number}") for number, each in enumerate(tree.expressions))
    tree.set("expressions", list(named))  # BigQuery wants different names, and a dimension may be asked for twice
    source = sqlglot.parse_one(_source(table, columns, wanted, engine), read=engine)
    for found in list(tree.find_all(expressions.Table)):
        if found.name == "cost":
            found.replace(source.subquery("cost"))
    return str(tree.sql(dialect=engine, pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE))


def _sqlglot() -> tuple[Any, Any]:
    try:
        import sqlglot
        from sqlglot import expressions
    except ModuleNotFoundError as missing:
        why, step = "the Python package 'sqlglot' is not installed", "pip install 'mcml[warehouse]'"
        raise McmlError("cannot ask a warehouse", why=why, next_step=step) from missing
    return sqlglot, expressions


def _source(table: str, columns: Mapping[str, str], wanted: Collection[str], engine: Engine) -> str:
    """Return the query that gives a table the columns of the ledger, of those that are wanted, with the ledger's types."""
    mapped = map_columns(list(columns))
    theirs = mapped.columns | {name: name for name in columns if name == "x_IngestedAt"}
    missing = sorted({name for name in wanted if name in REQUIRED and name not in theirs})
    if missing:
        why = f"it has no column {', '.join(missing)}"
        raise InvalidRequest(f"{table} is no table of FOCUS costs", why=why, next_step="look at [cost.warehouse] table in mcml.toml")
    kinds: dict[str, Kind] = INPUT | {"x_IngestedAt": "time"}
    chosen = {
        name: _value(theirs[name], columns[theirs[name]], kinds[name], engine) if name in theirs else _absent(name, kinds[name], engine)
        for name in sorted(wanted)
    }
    return f"SELECT {', '.join(f'{text} AS {name}' for name, text in chosen.items())} FROM {quoted(table, engine)}"  # noqa: S608 - quoted


def _absent(name: str, kind: Kind, engine: Engine) -> str:
    return sql(CAST, value=literal("billed") if name == "x_Source" else "NULL", type=TYPES[engine][kind])


def _value(column: str, sql_type: str, kind: Kind, engine: Engine) -> str:
    value, mine, sql_type = quoted(column, engine), TYPES[engine], sql_type.upper()
    if kind == "json":
        return _as_json(value, sql_type, engine)
    if kind == "decimal" and sql_type.startswith(FLOATS) and engine != "athena":
        value = sql(CAST, value=value, type=mine["text"])
    if kind == "decimal" and engine == "athena" and sql_type.startswith("DECIMAL"):
        return value  # its own scale: a cast to ours could cut it
    return value if kind == "text" else sql(CAST, value=value, type=mine[kind])


def _as_json(value: str, sql_type: str, engine: Engine) -> str:
    """Return tags as a text of JSON: BigQuery's exports repeat a record of key and value, AWS's have a map."""
    if engine == "bigquery":
        return sql(_BIGQUERY_LABELS, value=value) if sql_type.startswith("ARRAY<STRUCT") else value
    if sql_type.startswith(("MAP", "ROW", "STRUCT")):
        return f"JSON_FORMAT(CAST({value} AS JSON))" if engine == "athena" else f"CAST(TO_JSON({value}) AS VARCHAR)"
    return value


# What sqlglot does not say in every dialect


def _right(node: Any, engine: Engine, exp: Any) -> Any:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
    put = _RIGHT.get(name)
    return put(node, engine, exp) if put else node


def _bare_time(node: Any, engine: Engine, exp: Any) -> Any:  # noqa: ARG001 - one shape for all
    """epoch_us(time): the time itself, as every client gives it back as one."""
    return node.expressions[0]


def _text_of_time(node: Any, engine: Engine, exp: Any) -> Any:
    """strftime(time, format), in UTC."""
    if engine != "bigquery":
        return node
    return exp.Anonymous(this="FORMAT_TIMESTAMP", expressions=[node.args["format"].copy(), node.this.copy(), exp.Literal.string("UTC")])


def _week(node: Any, engine: Engine, exp: Any) -> Any:
    """date_trunc('week', time): BigQuery's week begins on Sunday, and its emulator knows no other names of weeks."""
    if engine != "bigquery" or node.text("unit").upper() != "WEEK":
        return node
    monday = exp.maybe_parse(_MONDAY, dialect="bigquery")
    for place in list(monday.find_all(exp.Column)):
        place.replace(node.this.copy())
    return monday


def _whole_match(node: Any, engine: Engine, exp: Any) -> Any:
    """regexp_full_match(text, pattern)."""
    text, pattern = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
    if engine == "duckdb":
        return node
    whole = exp.Anonymous(this="CONCAT", expressions=[exp.Literal.string("^(?:"), pattern.copy(), exp.Literal.string(")$")])
    name = "REGEXP_CONTAINS" if engine == "bigquery" else "REGEXP_LIKE"
    return exp.Anonymous(this=name, expressions=[text.copy(), whole])


def _member(node: Any, engine: Engine, exp: Any) -> Any:
    """json_extract_string(tags, '$."key"')."""
    key = next((part.this for part in node.expression.find_all(exp.JSONPathKey)), None)
    if engine != "bigquery" or key is None:
        return node
    path = '$."' + str(key).replace('"', '\\"') + '"'
    return exp.Anonymous(this="JSON_VALUE", expressions=[node.this.copy(), exp.Literal.string(path)])


def _moment(node: Any, engine: Engine, exp: Any) -> Any:
    """TIMESTAMPTZ '2026-10-01T00:00:00Z': Trino reads no ISO 8601."""
    if engine == "duckdb" or not isinstance(node.this, exp.Literal) or not node.to.is_type("timestamptz"):
        return node
    text = str(node.this.this).replace("T", " ").replace("Z", " UTC")
    return exp.Cast(this=exp.Literal.string(text), to=node.to.copy())


_RIGHT: Mapping[str, Callable[[Any, Engine, Any], Any]] = {
    "epoch_us": _bare_time,
    "timetostr": _text_of_time,
    "timestamptrunc": _week,
    "datetrunc": _week,
    "regexp_full_match": _whole_match,
    "regexpfullmatch": _whole_match,
    "jsonextractscalar": _member,
    "cast": _moment,
}
