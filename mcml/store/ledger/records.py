"""The records of a file that is not FOCUS: CSV, JSON lines or Parquet, the first two plain or in gzip, as texts, read as they stream in."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mcml.core.errors import InvalidRequest, McmlError
from mcml.providers.api.bill_formats import Record
from mcml.providers.focus import records
from mcml.store.ledger.engine import connected, identifier, path_literal, sql
from mcml.store.ledger.source import CHUNK, GZIP, PARQUET, SourceFile, check_unchanged, inspect

BATCH = 2048
_SELECT = "SELECT ${columns} FROM read_parquet(${path}, hive_partitioning = false)"
_DESCRIBE = "SELECT * FROM read_parquet(${path}, hive_partitioning = false) LIMIT 0"


@dataclass(frozen=True)
class RecordFile:
    """A file that was looked at; `kind` says how its records are written."""

    source: SourceFile
    kind: Literal["csv", "json", "parquet"]


def columns(path: Path) -> tuple[str, ...]:
    """Return the columns of a file after a glance at its beginning (JSON lines: those of the first line); none where it shows none."""
    try:
        first = _beginning(path)
        if first.startswith(PARQUET):
            with connected(f"cannot read {path}") as connection:
                return tuple(column[0] for column in _described(connection, path))
        text = first.decode("utf-8-sig", errors="replace")
        if _is_json(first):
            return tuple(json.loads(text.lstrip().split("\n", 1)[0]))
        return tuple(name.strip() for name in next(csv.reader(io.StringIO(text, newline="")), []))
    except (OSError, EOFError, zlib.error, csv.Error, ValueError, McmlError):
        return ()  # who reads it says what is wrong


def look(path: Path) -> RecordFile:
    """Look at a whole file. Raises what `inspect` does: NotFound, InvalidRequest (what is wrong), Conflict (it is being written)."""
    if not _is_json(_beginning(path)):
        source = inspect(path)
        return RecordFile(source, source.format)
    status = path.stat()
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        gzipped = file.read(2) == GZIP
    source = SourceFile(path, "csv", sha256, (status.st_size, status.st_mtime_ns), gzipped)
    check_unchanged(source)
    return RecordFile(source, "json")


def read(file: RecordFile) -> Iterator[Record]:
    """Yield the records of a file: column to text, None for null, dict and list where values are nested. Nothing is read into a float.

    Raises InvalidRequest for a record that is none, Conflict when the file is no longer the one that was looked at.
    """
    path = file.source.path
    if file.kind == "csv":
        yield from records(_pieces(path), str(path), gzipped=file.source.gzipped)
    elif file.kind == "json":
        yield from _lines(path, gzipped=file.source.gzipped)
    else:
        yield from _rows(path)
    check_unchanged(file.source)


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a file, of what is in it where it is gzip."""
    with path.open("rb") as file:
        first = file.read(CHUNK)
    if not first.startswith(GZIP):
        return first
    with gzip.open(path) as packed:
        return packed.read1(CHUNK)


def _is_json(first: bytes) -> bool:
    return first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _lines(path: Path, *, gzipped: bool) -> Iterator[Record]:
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if gzipped else path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _object(path, number, line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as broken:
        step = "download it again; nothing of it was booked"
        raise InvalidRequest(f"{path} is a damaged gzip file", why=str(broken), next_step=step) from None
    except UnicodeDecodeError as broken:
        raise InvalidRequest(f"{path} is no text in UTF-8", why=str(broken)[:200]) from None


def _object(path: Path, number: int, line: str) -> Record:
    try:
        found = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        why = "each line of such a file is one JSON object: it breaks off, or is another file"
        raise InvalidRequest(f"{path}, line {number} is no JSON object", why=why)
    return found


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _rows(path: Path) -> Iterator[Record]:
    with connected(f"cannot read {path}") as connection:
        described = _described(connection, path)
        names = [column[0] for column in described]
        texts = ", ".join(f"CAST({identifier(column[0])} AS {_texts(column[1])}) AS {identifier(column[0])}" for column in described)
        answer = connection.execute(sql(_SELECT, columns=texts, path=path_literal(path)))
        while batch := answer.fetchmany(BATCH):
            yield from (dict(zip(names, row, strict=True)) for row in batch)


def _described(connection: Any, path: Path) -> Any:
    return connection.execute(sql(_DESCRIBE, path=path_literal(path))).description


def _texts(kind: Any) -> str:
    """Return a DuckDB type with every leaf a text: a cast to it prints a number or time with all its digits, wherever it is nested."""
    match kind.id:
        case "list" | "array":
            return f"{_texts(kind.children[0][1])}[]"
        case "map":
            (_, key), (_, value) = kind.children
            return f"MAP({_texts(key)}, {_texts(value)})"
        case "struct":
            return f"STRUCT({', '.join(f'{identifier(name)} {_texts(child)}' for name, child in kind.children)})"
    return "VARCHAR"
