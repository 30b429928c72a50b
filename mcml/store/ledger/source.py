"""A file to ingest, looked at before the engine reads it: what it is, whether it is whole, its digest; standard library only.

What is checked here fails with a sentence: no such file, empty, a truncated gzip, not text, another delimiter, columns twice.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from mcml.core.errors import Conflict, InvalidRequest, NotFound

Format = Literal["csv", "parquet"]
CHUNK = 1 << 20
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
EXPORT = "export it again as CSV with commas, in UTF-8, or as Parquet"
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class SourceFile:
    """A file that was read to its end once: `sha256` is of its bytes as they lie there, `header` is empty for Parquet.

    `label` is what to call it where its path says nothing: rows that were written for this ingest only.
    """

    path: Path
    format: Format
    sha256: str
    stamp: tuple[int, int]
    gzipped: bool = False
    header: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """What its rows say they come from."""
        return self.label or self.path.name


def inspect(path: Path) -> SourceFile:
    """Read a file to its end and say what it is. Raises NotFound, InvalidRequest (what is wrong), Conflict (it changed meanwhile)."""
    try:
        stamp = _stamp(path)
        sha256 = _digest(path)
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise NotFound(f"no file {path}", next_step="mcml cost ingest --help") from None
    except IsADirectoryError:
        raise InvalidRequest(f"{path} is a folder", why="files are ingested", next_step=f"mcml cost ingest {quote(str(path))}/*") from None
    except OSError as failed:
        raise InvalidRequest(f"cannot read {path}", why=failed.strerror or str(failed), next_step=f"ls -l {quote(str(path))}") from failed
    if stamp[0] == 0:
        raise _empty(path)
    if magic == PARQUET:
        return SourceFile(path, "parquet", sha256, stamp)
    gzipped = magic.startswith(GZIP)
    found = SourceFile(path, "csv", sha256, stamp, gzipped, _header(path, gzipped))
    check_unchanged(found)
    return found


def check_unchanged(source: SourceFile) -> None:
    """Raise Conflict when the file is no longer the one that was inspected."""
    try:
        same = _stamp(source.path) == source.stamp
    except OSError:
        same = False
    if not same:
        raise Conflict(
            f"{source.path} changed while it was read",
            why="an export is still being written",
            next_step="run the same command again when it is complete",
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _header(path: Path, gzipped: bool) -> tuple[str, ...]:
    """Return the column names of a CSV file after reading it to its end, so that a torn gzip is found before anything is booked."""
    first = b""
    for index, chunk in enumerate(_chunks(path, gzipped)):
        if index == 0:
            first = chunk
    if first.startswith(UTF_16):
        raise InvalidRequest(f"{path} is no cost export", why="it is text in UTF-16", next_step="export it as CSV in UTF-8")
    if b"\0" in first:
        raise InvalidRequest(f"{path} is no cost export", why="it is neither CSV, gzip nor Parquet", next_step=EXPORT)
    try:
        # the first chunk may end inside a character, its last line is not the header
        text = first.decode("utf-8-sig", errors="strict" if len(first) < CHUNK else "ignore")
    except UnicodeDecodeError as broken:
        text = first[: broken.start].decode("utf-8-sig", errors="ignore")
        if "\n" not in text:
            raise InvalidRequest(f"{path} is no cost export", why="its first line is not UTF-8 text", next_step=EXPORT) from None
    return _columns(path, text)


def _columns(path: Path, text: str) -> tuple[str, ...]:
    try:
        header = next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error as broken:
        raise InvalidRequest(f"{path} is no CSV file", why=str(broken), next_step=EXPORT) from None
    if not text.strip():
        raise _empty(path)
    if text.lstrip().startswith(("[", "{")):
        why = "it is JSON, but no bill that is known here with one object a line"
        step = f"jq -c {'.[]' if text.lstrip().startswith('[') else '.'} {quote(str(path))} > {quote(f'{path.stem}-lines.json')}"
        raise InvalidRequest(f"{path} is no cost export", why=why, next_step=step)
    names = tuple(name.strip() for name in header)
    if len(names) < 2:
        found = next((word for mark, word in OTHER_DELIMITERS.items() if names and mark in names[0]), "")
        why = f"its columns are separated by {found}; a FOCUS export has commas" if found else "its first line is no list of columns"
        step = EXPORT if found else "mcml cost ingest --help"
        raise InvalidRequest(f"{path} is no FOCUS export", why=why, next_step=step)
    twice = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    if twice or "" in names:
        why = f"columns twice: {', '.join(twice)}" if twice else "a column has no name"
        raise InvalidRequest(f"{path} is no FOCUS export", why=why, next_step=EXPORT)
    return names


def _empty(path: Path) -> InvalidRequest:
    why = "not even names of columns are in it: the export broke off, or has not been written yet"
    return InvalidRequest(f"{path} is empty", why=why, next_step="download it again")


def _chunks(path: Path, gzipped: bool) -> Iterator[bytes]:
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as broken:
        raise InvalidRequest(
            f"{path} is a damaged gzip file", why=str(broken), next_step="download it again; nothing of it was booked"
        ) from None
