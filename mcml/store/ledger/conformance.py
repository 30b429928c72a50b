"""Rows under the FOCUS rules: files as an export has them, or the ledger under the columns of a version, judged in one scan."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.store.ledger.book import Ledger, Scope, where
from mcml.store.ledger.conformance_sql import NEVER, Node, Shape, columns_of, distinct, holds, violated
from mcml.store.ledger.engine import connected, identifier, literal, path_literal, sql
from mcml.store.ledger.schema import COLUMNS
from mcml.store.ledger.source import SourceFile, check_unchanged, inspect
from mcml.store.ledger.staging import LONGEST_LINE

FILE, ROW = "the file", "the row"
"""Our two columns beside those of the data: a blank keeps them apart from any name of FOCUS."""
SHOWN = 3
"""Rows shown of those that break a rule, the first ones."""

_SCAN = "SELECT ${sums} FROM (SELECT * ${broken} FROM data)"
_GROUPS = """
    SELECT coalesce(sum(size), 0)::BIGINT, min(first, ${shown}) FROM (
        SELECT count(*) AS size, min(${key}) AS first FROM data WHERE ${condition} AND ${a} IS NOT NULL
        GROUP BY ${a} HAVING count(DISTINCT ${b}) <> ${expected}
    )
"""
_ROWS = "SELECT ${file}, ${row}, ${texts} FROM data WHERE (${file}, ${row}) IN (${wanted})"
_BOOK = "CREATE VIEW data AS SELECT x_File AS ${file}, x_Row AS ${row}, ${columns} FROM cost WHERE ${condition}"
_CSV = """
    INSERT INTO data BY NAME SELECT ${name} AS ${file}, row_number() OVER () AS ${row}, ${texts}
    FROM read_csv(${path}, columns = {${columns}}, header = true, auto_detect = false, strict_mode = true, max_line_size = ${longest},
                  delim = ',', quote = '"', escape = '"', compression = ${compression},
                  store_rejects = true, rejects_limit = 0, rejects_scan = 'torn_scan', rejects_table = 'torn_line')
"""
_PARQUET = """
    CREATE VIEW data AS
    SELECT * EXCLUDE (file_row_number) REPLACE (parse_filename(${file}) AS ${file}), file_row_number + 1 AS ${row}
    FROM read_parquet([${paths}], union_by_name = true, filename = ${name}, file_row_number = true, hive_partitioning = false)
"""
_OURS = {"file": identifier(FILE), "row": identifier(ROW)}
_KEY = f'{{"file": "{FILE}", "row": "{ROW}"}}'


@dataclass(frozen=True)
class Check:
    """One requirement on rows: `name` finds its answer, rows count where all `conditions` hold."""

    name: str
    requirement: Node
    conditions: tuple[Node, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the requirement; those of the conditions need not be there."""
        return columns_of(self.requirement)


@dataclass(frozen=True)
class Example:
    """A row that breaks a rule: its file, its number there (the first data row is 1), and what stands in the columns of the rule."""

    file: str
    row: int
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class Broken:
    """How many rows break a rule, and the first of them."""

    rows: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Scanned:
    """What one scan found: rows, lines that were no rows, and by check what breaks it; a check about columns that are missing has no entry.

    `filled`: how many rows have a value, by column.
    """

    rows: int
    torn: int
    filled: Mapping[str, int]
    broken: Mapping[str, Broken]


@dataclass(frozen=True)
class Data:
    """Rows that lie ready to be judged. `values_only`: neither the form of an export's numbers and times is kept, nor its header."""

    connection: Any
    shape: Shape
    values_only: bool = False
    torn: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in their order."""
        return tuple(self.shape.types)

    def scan(self, checks: Sequence[Check]) -> Scanned:
        """Judge the rows by all checks: one scan, one more per CheckDistinctCount, two for the rows that are shown."""
        asked = [each for each in checks if each.columns <= set(self.columns)]
        grouped = {each.name: each for each in asked if each.requirement["CheckFunction"] == "CheckDistinctCount"}
        texts = {each.name: self._broken(each) for each in asked if each.name not in grouped}
        plain = {name: text for name, text in texts.items() if text != NEVER}
        rows, filled, found = self._one_scan(plain)
        found |= {name: self._groups(check) for name, check in grouped.items()}
        values = self._values(sorted({(key["file"], key["row"]) for _, first in found.values() for key in first}))
        broken = {name: Broken(0, ()) for name in texts}
        spoken = {each.name: sorted(each.columns.union(*map(columns_of, each.conditions))) for each in asked}
        for name, (count, first) in found.items():
            places = [(key["file"], key["row"]) for key in first]
            broken[name] = Broken(count, tuple(Example(*at, {each: values[at].get(each) for each in spoken[name]}) for at in places))
        return Scanned(rows, self.torn, filled, broken)

    def _broken(self, check: Check) -> str:
        text = violated(check.requirement, self.shape)
        if text == NEVER or not check.conditions:
            return text
        return " AND ".join([f"({text})", *(holds(each, self.shape) for each in check.conditions)])

    def _one_scan(self, texts: Mapping[str, str]) -> tuple[int, dict[str, int], dict[str, tuple[int, list[dict[str, Any]]]]]:
        """Count in one scan what all checks look for; a second one finds the first rows of what was found."""
        broken = list(dict.fromkeys(texts.values()))
        filled = [f"count({identifier(name)})" for name in self.columns]
        found = [f"count(*) FILTER (WHERE {_column(each)})" for each in range(len(broken))]
        rows, *counts = self._over(broken, ["count(*)", *filled, *found])
        count_of = dict(zip(broken, counts[len(filled) :], strict=True))
        seen = [text for text in broken if count_of[text]]
        firsts = self._over(seen, [f"min({_KEY}, {SHOWN}) FILTER (WHERE {_column(each)})" for each in range(len(seen))]) if seen else []
        first_of = dict(zip(seen, firsts, strict=True))
        answers = {name: (count_of[text], first_of[text]) for name, text in texts.items() if text in first_of}
        return rows, dict(zip(self.columns, counts, strict=False)), answers

    def _over(self, broken: Sequence[str], sums: Sequence[str]) -> Sequence[Any]:
        """Return sums over the rows, to which each text of `broken` adds a column."""
        columns = "".join(f", ({text}) AS {_column(number)}" for number, text in enumerate(broken))
        answer: Sequence[Any] = self.connection.execute(sql(_SCAN, sums=", ".join(sums), broken=columns)).fetchone()
        return answer

    def _groups(self, check: Check) -> tuple[int, list[dict[str, Any]]]:
        a, b, expected = distinct(check.requirement)
        condition = " AND ".join(["true", *(holds(each, self.shape) for each in check.conditions)])
        parts = {"a": identifier(a), "b": identifier(b), "expected": str(expected), "condition": condition}
        count, first = self.connection.execute(sql(_GROUPS, key=_KEY, shown=str(SHOWN), **parts)).fetchone()
        return count, first or []

    def _values(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, str | None]]:
        """Return all columns of some rows, as text."""
        if not places:
            return {}
        wanted = ", ".join(f"({literal(file)}, {row})" for file, row in places)
        texts = ", ".join(f"{identifier(name)}::VARCHAR" for name in self.columns)
        statement = sql(_ROWS, texts=texts, wanted=wanted, **_OURS)
        found = self.connection.execute(statement).fetchall()
        return {(file, row): dict(zip(self.columns, said, strict=True)) for file, row, *said in found}


@contextmanager
def files(paths: Sequence[Path]) -> Iterator[Data]:
    """Yield the rows of FOCUS files (one export in one or more parts), with the types they have there: none in CSV, theirs in Parquet.

    In CSV an empty field and `NULL` are null. Raises NotFound, InvalidRequest (not readable, or CSV and Parquet together), Conflict (a file
    changed while it was read).
    """
    for path in paths:
        if not path.exists():
            raise NotFound(f"no file {path}", next_step="mcml cost validate --help")
    sources = [inspect(path) for path in paths]
    if len({source.format for source in sources}) > 1:
        raise InvalidRequest("cannot check CSV and Parquet as one export", next_step="check them one after the other")
    with tempfile.TemporaryDirectory() as scratch, connected("cannot check the files", scratch=Path(scratch)) as connection:
        if sources[0].format == "parquet":
            yield _parquet(connection, sources)
        else:
            yield _csv(connection, sources)


@contextmanager
def book(ledger: Ledger, columns: Mapping[str, str], scope: Scope) -> Iterator[Data]:
    """Yield the rows of the ledger under the names of `columns` (theirs to ours; what the ledger has not is left out)."""
    with ledger.opened("cannot check the ledger") as connection:
        known = {theirs: ours for theirs, ours in columns.items() if ours in COLUMNS}
        chosen = ", ".join(f"{identifier(ours)} AS {identifier(theirs)}" for theirs, ours in known.items())
        condition, _ = where(Scope(scope.since, scope.until))
        connection.execute(sql(_BOOK, columns=chosen, condition=condition, **_OURS))
        yield Data(connection, Shape(_types(connection), typed=True), values_only=True)


def _csv(connection: Any, sources: Sequence[SourceFile]) -> Data:
    names = list(dict.fromkeys(name for source in sources for name in source.header))
    columns = ", ".join(f"{identifier(name)} VARCHAR" for name in names)
    connection.execute(f'CREATE TABLE data ("{FILE}" VARCHAR, "{ROW}" BIGINT, {columns})')
    torn = 0
    for source in sources:
        texts = ", ".join(f"nullif(nullif({identifier(name)}, ''), 'NULL') AS {identifier(name)}" for name in source.header)
        parts = {
            "path": path_literal(source.path),
            "columns": ", ".join(f"{literal(name)}: 'VARCHAR'" for name in source.header),
            "compression": literal("gzip" if source.gzipped else "none"),
            "longest": str(LONGEST_LINE),
        }
        connection.execute(sql(_CSV, name=literal(source.path.name), texts=texts, **parts, **_OURS))
        torn += connection.execute("SELECT count(DISTINCT line) FROM torn_line").fetchone()[0]
        connection.execute("DROP TABLE torn_line")
        connection.execute("DROP TABLE torn_scan")
        check_unchanged(source)
    everywhere = [name for name in names if all(name in source.header for source in sources)]
    return Data(connection, Shape(dict.fromkeys(everywhere, "VARCHAR"), typed=False), torn=torn)


def _parquet(connection: Any, sources: Sequence[SourceFile]) -> Data:
    paths = ", ".join(path_literal(source.path) for source in sources)
    connection.execute(sql(_PARQUET, paths=paths, name=literal(FILE), **_OURS))
    return Data(connection, Shape(_types(connection), typed=True))


def _types(connection: Any) -> dict[str, str]:
    described = connection.execute("DESCRIBE data").fetchall()
    return {row[0]: row[1] for row in described if row[0] not in (FILE, ROW)}


def _column(number: int) -> str:
    return identifier(f"broken {number}")
