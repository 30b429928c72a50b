"""From files to checked rows: an export is read a piece at a time, each row judged by `rules`, and split into good and bad, losing nothing.

A piece is a range of rows, so that memory does not grow with the export. Text files are copied to Parquet first, still as text: then a
piece of any export is a range that the engine finds at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import REFUSED
from mcml.store.ledger import rules
from mcml.store.ledger.engine import identifier, literal, path_literal, sql
from mcml.store.ledger.schema import COLUMNS, DIMENSIONS, INPUT, REQUIRED, SQL_TYPE, ColumnMap, map_columns
from mcml.store.ledger.source import SourceFile, check_unchanged

MONTH = "strftime(judged.BillingPeriodStart + INTERVAL 1 DAY, '%Y-%m-01')"
"""The billing month of a row in the table `judged`, see `manifest`."""
LONGEST_LINE = 32 * 1024 * 1024
PIECE = 250_000

_CSV = """
    COPY (
        FROM read_csv(${path}, columns = {${columns}}, header = true, auto_detect = false, strict_mode = true, max_line_size = ${longest},
             delim = ',', quote = '"', escape = '"', compression = ${compression},
             store_rejects = true, rejects_limit = 0, rejects_scan = 'torn_scan', rejects_table = 'torn_line')
    ) TO ${copy} (FORMAT parquet, COMPRESSION lz4_raw)
"""
_TORN = """
    INSERT INTO bad SELECT ?, ?, line, 'is no CSV row: ' || lower(any_value(error_type::VARCHAR)), NULL, NULL,
                           to_json(any_value(csv_line))::VARCHAR, NULL
    FROM torn_line GROUP BY line
"""
_DESCRIBE = "DESCRIBE SELECT * FROM read_parquet(${path}, hive_partitioning = false)"
_COUNT = "SELECT count(*) FROM ${reader}"
_PIECE = "SELECT * FROM ${reader} WHERE file_row_number BETWEEN ${first} AND ${last}"
_TAG_TEXTS = """
    CREATE TABLE tag_texts AS SELECT tag_said, ${object} AS tag_text
    FROM (SELECT DISTINCT ${tags} AS tag_said FROM (${piece}) given) WHERE tag_said IS NOT NULL
"""
_JUDGED = """
    CREATE TABLE judged AS SELECT ${columns}, ${reasons} AS reasons
    FROM (SELECT file_row_number + 1 AS x_Row, ${values} FROM (${piece}) given LEFT JOIN tag_texts ON tag_texts.tag_said = ${tags}) told
    LEFT JOIN tag_set ON tag_set.tag_text = told."Tags"
"""
_BAD = """
    INSERT INTO bad
    SELECT ${id}, ${file}, file_row_number + 1, judged.reasons, ${billed}, ${currency}, ${content}, ${bill}
    FROM (${piece}) given JOIN judged ON judged.x_Row = file_row_number + 1 WHERE judged.reasons <> ''
"""
BAD = """
    x_IngestId VARCHAR, x_File VARCHAR, x_Row BIGINT, Reason VARCHAR, BilledCost DECIMAL(38,24), BillingCurrency VARCHAR, Row VARCHAR,
    Bill VARCHAR
"""
_BILL = """
    CASE WHEN judged.BillingAccountId IS NOT NULL AND judged.BillingPeriodStart IS NOT NULL THEN to_json([
        judged.x_Source, judged.BillingAccountId, ${month_of}, coalesce(judged.ServiceProviderName, ''),
        coalesce(judged.InvoiceIssuerName, '')
    ])::VARCHAR END
"""
"""Of which bill a refused row is, where it can be told: see `manifest.Held`."""


@dataclass(frozen=True)
class Marks:
    """What every row of a delivery is marked with: its id, when it was booked (RFC 3339), and x_Source where a row has none."""

    id: str
    at: str
    source: str


@dataclass(frozen=True)
class Sheet:
    """An export as the engine will read it: how its columns become ours, and their SQL types."""

    source: SourceFile
    mapped: ColumnMap
    types: dict[str, str]

    def given(self, ours: str) -> tuple[str, str]:
        """Return the SQL of what the export says in one of our columns, and its type."""
        theirs = self.mapped.columns[ours]
        return f"given.{identifier(theirs)}", self.types[theirs]

    def text(self, ours: str) -> str:
        """Return the SQL of the text in one of our columns; NULL where the export has no such column."""
        return rules.cleaned(*self.given(ours)) if ours in self.mapped.columns else "NULL::VARCHAR"

    def value(self, ours: str) -> str:
        """Return the SQL of a column's value, null where it breaks a rule; of the tags in the table `tag_texts`."""
        if ours == "Tags":
            return "tag_texts.tag_text"
        if ours == "x_Extra" and self.mapped.unknown:
            more = ["x_Extra"] if "x_Extra" in self.mapped.columns else []
            theirs = {name: name for name in self.mapped.unknown} | {name: self.mapped.columns[name] for name in more}
            return rules.leftovers({name: rules.cleaned(f"given.{identifier(said)}", self.types[said]) for name, said in theirs.items()})
        if ours not in self.mapped.columns:
            return f"NULL::{SQL_TYPE[INPUT[ours]]}"
        return rules.value(ours, *self.given(ours))


def sheet(connection: Any, source: SourceFile) -> Sheet:
    """Look at the columns of an export. Raises InvalidRequest for a file without ours, Conflict for one that has changed."""
    check_unchanged(source)
    if source.format == "parquet":
        described = connection.execute(sql(_DESCRIBE, path=path_literal(source.path))).fetchall()
        types = {name: str(kind) for name, kind, *_ in described}
    else:
        types = dict.fromkeys(source.header, rules.TEXT)
    mapped = map_columns(list(types))
    if mapped.missing:
        raise InvalidRequest(
            f"{source.path} is no FOCUS export",
            why=f"it has no column {', '.join(mapped.missing)}",
            next_step="export in the FOCUS format, 1.0 or later",
        )
    return Sheet(source, mapped, types)


def judged(connection: Any, sheets: Sequence[Sheet], marks: Marks, scratch: Path) -> Iterator[str]:
    """Yield for each piece of the exports its file's digest, with its rows in the table `judged`.

    That has all of COLUMNS, and `reasons`, which is empty for a good row. The bad ones are added to the table `bad`, which holds them all
    at the end: the reason, the amount where it can be read, the row as JSON. Raises Conflict for an export that changes meanwhile.
    """
    connection.execute(f"CREATE TABLE bad ({BAD})")
    for each in sheets:
        try:
            yield from _judged(connection, each, marks, scratch)
        except Exception:
            check_unchanged(each.source)  # that is why it cannot be read
            raise
        check_unchanged(each.source)


def _judged(connection: Any, each: Sheet, marks: Marks, scratch: Path) -> Iterator[str]:
    path = each.source.path if each.source.format == "parquet" else _as_parquet(connection, each.source, marks, scratch)
    reader = f"read_parquet({path_literal(path)}, file_row_number = true, hive_partitioning = false)"
    for first in range(0, _count(connection, reader), PIECE):
        _judge(connection, each, sql(_PIECE, reader=reader, first=str(first), last=str(first + PIECE - 1)), marks)
        yield each.source.sha256
        connection.execute("DROP TABLE judged")


def _as_parquet(connection: Any, source: SourceFile, marks: Marks, scratch: Path) -> Path:
    path = scratch / f"{source.sha256}.parquet"
    connection.execute(
        sql(
            _CSV,
            path=path_literal(source.path),
            columns=", ".join(f"{literal(name)}: 'VARCHAR'" for name in source.header),
            compression=literal("gzip" if source.gzipped else "none"),
            longest=str(LONGEST_LINE),
            copy=literal(str(path)),
        )
    )
    connection.execute(_TORN, [marks.id, source.name])
    connection.execute("DROP TABLE torn_line")
    connection.execute("DROP TABLE torn_scan")
    return path


def _count(connection: Any, reader: str) -> int:
    (found,) = connection.execute(sql(_COUNT, reader=reader)).fetchone()
    return int(found)


def _judge(connection: Any, each: Sheet, piece: str, marks: Marks) -> None:
    tags = each.text("Tags")
    connection.execute(sql(_TAG_TEXTS, object=rules.value("Tags", "tag_said"), tags=tags, piece=piece))
    connection.execute(f"CREATE TABLE tag_set AS {rules.tag_sets('tag_texts')}")
    kept = {name: identifier(f"{name} as given") for name in each.mapped.columns if name in REQUIRED or rules.can_fail(name)}
    raws = {name: (f"told.{given}", each.given(name)[1], f"told.{identifier(name)}") for name, given in kept.items()}
    values = [f"{each.value(name)} AS {identifier(name)}" for name in INPUT]
    values += [f"{each.given(name)[0]} AS {given}" for name, given in kept.items()]
    refused = f"given.{identifier(REFUSED)}" if REFUSED in each.types else "NULL::VARCHAR"
    values.append(f"nullif({refused}, '') AS refused")
    columns = {name: f"told.{identifier(name)}" for name in INPUT}
    columns |= {name: f"coalesce(told.{name}, tag_{name})" for name in DIMENSIONS}
    columns |= {
        "x_Source": f"coalesce(told.x_Source, {literal(marks.source)})",
        "x_IngestId": literal(marks.id),
        "x_IngestedAt": f"{literal(marks.at)}::{SQL_TYPE['time']}",
        "x_File": literal(each.source.name),
        "x_Row": "told.x_Row",
    }
    chosen = ", ".join(f"{columns[name]} AS {identifier(name)}" for name in COLUMNS)
    why = f"coalesce(told.refused, {rules.reasons(raws)})"
    connection.execute(sql(_JUDGED, columns=chosen, reasons=why, values=", ".join(values), piece=piece, tags=tags))
    connection.execute("DROP TABLE tag_set")
    connection.execute("DROP TABLE tag_texts")
    if connection.execute("SELECT count(*) FROM judged WHERE reasons <> ''").fetchone() != (0,):
        _keep_bad(connection, each, piece, marks)


def _keep_bad(connection: Any, each: Sheet, piece: str, marks: Marks) -> None:
    extra = {"x_Extra": each.value("x_Extra")} if each.mapped.unknown else {}
    content = rules.leftovers({name: each.text(name) for name in INPUT if name in each.mapped.columns} | extra)
    connection.execute(
        sql(
            _BAD,
            id=literal(marks.id),
            file=literal(each.source.name),
            billed=each.value("BilledCost"),
            currency=each.text("BillingCurrency"),
            content=content,
            bill=sql(_BILL, month_of=MONTH),
            piece=piece,
        )
    )
