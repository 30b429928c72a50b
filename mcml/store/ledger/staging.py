"""From files to checked rows: everything is loaded as text, judged by `rules`, and split into `good` and `bad`, losing nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.store.ledger import rules
from mcml.store.ledger.engine import identifier, literal, path_literal, sql
from mcml.store.ledger.schema import COLUMNS, DIMENSIONS, INPUT, SQL_TYPE, map_columns
from mcml.store.ledger.source import SourceFile, check_unchanged

LONGEST_LINE = 32 * 1024 * 1024

_CSV = """
    read_csv(${path}, columns = {${columns}}, header = true, auto_detect = false, strict_mode = true, max_line_size = ${longest},
             delim = ',', quote = '"', escape = '"', compression = ${compression},
             store_rejects = true, rejects_limit = 0, rejects_scan = 'torn_scan', rejects_table = 'torn_line')
"""
_TORN = """
    INSERT INTO torn SELECT ?, line, 'is no CSV row: ' || lower(any_value(error_type::VARCHAR)), any_value(csv_line)
    FROM torn_line GROUP BY line
"""
_INSERT = "INSERT INTO raw BY NAME SELECT ${file} AS x_File, ${row} AS x_Row, ${values} FROM ${reader}"
_JUDGE = "CREATE TABLE judged AS SELECT *, ${tags} AS tag_text, ${reasons} AS reasons FROM raw"
_GOOD = """
    CREATE TABLE good AS SELECT ${columns}
    FROM judged LEFT JOIN tag_set ON tag_set.tag_text = judged.tag_text WHERE reasons = ''
"""
_BAD = """
    CREATE TABLE bad AS
    SELECT ${id} AS x_IngestId, x_File, x_Row, reasons AS Reason, CASE WHEN ${fault} IS NULL THEN ${billed} END AS BilledCost,
           BillingCurrency, json_merge_patch('{}', to_json(struct_pack(${members})))::VARCHAR AS Row
    FROM judged WHERE reasons <> ''
    UNION ALL
    SELECT ${id}, x_File, x_Row, reason, NULL, NULL, to_json(line)::VARCHAR FROM torn
"""


def load(connection: Any, sources: Sequence[SourceFile]) -> None:
    """Fill the tables `raw` (rows as text) and `torn` (lines that are no rows). Raises InvalidRequest for a file without our columns."""
    texts = ", ".join(f"{identifier(name)} VARCHAR" for name in INPUT)
    connection.execute(f"CREATE TABLE raw (x_File VARCHAR, x_Row BIGINT, {texts})")
    connection.execute("CREATE TABLE torn (x_File VARCHAR, x_Row BIGINT, reason VARCHAR, line VARCHAR)")
    for source in sources:
        if source.format == "parquet":
            _load_parquet(connection, source)
        else:
            _load_csv(connection, source)
        check_unchanged(source)


def split(connection: Any, *, ingest_id: str, ingested_at: str, default_source: str) -> None:
    """Make `good` (typed, all of COLUMNS) and `bad` (the reason, the amount where it can be read, the row as JSON)."""
    connection.execute(sql(_JUDGE, tags=rules.value("Tags"), reasons=rules.reasons()))
    connection.execute("DROP TABLE raw")
    connection.execute(f"CREATE TABLE tag_set AS {rules.tag_sets('judged')}")
    columns = {name: rules.value(name) for name in INPUT}
    columns |= {name: f"coalesce({name}, tag_{name})" for name in DIMENSIONS}
    columns |= {
        "Tags": "judged.tag_text",
        "x_Source": f"coalesce(x_Source, {literal(default_source)})",
        "x_IngestId": literal(ingest_id),
        "x_IngestedAt": f"{literal(ingested_at)}::{SQL_TYPE['time']}",
        "x_File": "x_File",
        "x_Row": "x_Row",
    }
    connection.execute(sql(_GOOD, columns=", ".join(f"{columns[name]} AS {identifier(name)}" for name in COLUMNS)))
    members = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in INPUT)
    fault, billed = rules.malformed("BilledCost"), rules.value("BilledCost")
    connection.execute(sql(_BAD, id=literal(ingest_id), fault=fault, billed=billed, members=members))
    connection.execute("DROP TABLE judged")


def _load_parquet(connection: Any, source: SourceFile) -> None:
    reader = f"read_parquet({path_literal(source.path)}, file_row_number = true, hive_partitioning = false)"
    described = connection.execute(sql("DESCRIBE SELECT * EXCLUDE (file_row_number) FROM ${reader}", reader=reader)).fetchall()
    _insert(connection, source, reader, "file_row_number + 1", {row[0]: row[1] for row in described})


def _load_csv(connection: Any, source: SourceFile) -> None:
    reader = sql(
        _CSV,
        path=path_literal(source.path),
        columns=", ".join(f"{literal(name)}: 'VARCHAR'" for name in source.header),
        compression=literal("gzip" if source.gzipped else "none"),
        longest=str(LONGEST_LINE),
    )
    _insert(connection, source, reader, "row_number() OVER ()", dict.fromkeys(source.header, "VARCHAR"))
    connection.execute(_TORN, [source.path.name])
    connection.execute("DROP TABLE torn_line")
    connection.execute("DROP TABLE torn_scan")


def _insert(connection: Any, source: SourceFile, reader: str, row: str, types: Mapping[str, str]) -> None:
    mapped = map_columns(list(types))
    if mapped.missing:
        raise InvalidRequest(
            f"{source.path} is no FOCUS export",
            why=f"it has no column {', '.join(mapped.missing)}",
            next_step="export in the FOCUS format, 1.0 or later",
        )
    chosen = {ours: rules.cleaned(theirs, types[theirs]) for ours, theirs in mapped.columns.items()}
    if mapped.unknown:
        chosen["x_Extra"] = rules.leftovers({name: types[name] for name in mapped.unknown})
    values = ", ".join(f"{text} AS {identifier(name)}" for name, text in chosen.items())
    connection.execute(sql(_INSERT, file=literal(source.path.name), row=row, values=values, reader=reader))
