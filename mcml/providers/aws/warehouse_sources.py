"""What a load into Athena reads: objects of S3, their columns and types. A look into the beginning of each file, no more.

Athena's readers of text: https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html (no line breaks inside quotes) and
https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html (one object a line).
"""

import gzip
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.focus import records

LOOKED_AT = 1000
"""Rows at the beginning of each file by which types are chosen; what comes later and does not fit refuses the whole load."""
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(?:\.(\d+))?")  # what begins with a zero is a code: its zeros are part of it
WHOLE_DIGITS, MOST_DIGITS = 18, 38
Shape = tuple[int, int] | None
"""What was seen of a column: digits before the point and decimals, (0, 0) for whole numbers of 18 digits; None is text."""
EMPTY = (-1, 0)


@dataclass(frozen=True)
class SourceFile:
    """A file, its columns in its own order, and the shape of each by what was looked at."""

    stat: ObjectStat
    columns: tuple[str, ...]
    shapes: tuple[Shape, ...]


def find_sources(store: S3ObjectStore, source: str) -> list[ObjectStat]:
    """Return the objects that a URI stands for, by key. Raises NotFound when there is none, InvalidRequest for what is no s3:// URI."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not source.startswith("s3://") or not bucket or not key:
        step = "mcml data cp SOURCE s3://BUCKET/PREFIX/"
        raise InvalidRequest(f"Athena cannot load {source}", why="it reads s3://BUCKET/KEY", next_step=step)
    prefix = re.split(r"[*?\[]", key, maxsplit=1)[0]
    step = f"mcml data ls {shlex.quote(f's3://{bucket}/{prefix}'.rpartition('/')[0])}/"
    if prefix == key:
        try:
            return [store.stat(bucket, key)]
        except NotFound as missing:
            missing.next_step = missing.next_step or step
            raise
    found = [stat for stat in store.list(bucket, prefix) if fnmatchcase(stat.key, key) and stat.key.count("/") == key.count("/")]
    if not found:
        raise NotFound(f"no object matches {source}", next_step=step)
    return found


def look(store: S3ObjectStore, stat: ObjectStat, kind: str) -> SourceFile:
    """Return a file's columns and types. Raises InvalidRequest for a file that is not of its kind, or a name that no column has."""
    name = f"s3://{stat.bucket}/{stat.key}"
    chunks = store.read(stat.bucket, stat.key)
    try:
        rows = islice(_lines(chunks, name, kind, gzipped=stat.key.endswith(".gz")), LOOKED_AT)
        columns: dict[str, Shape] = {}
        for row in rows:
            for column, cell in row.items():
                columns[column] = wider(columns.get(column, EMPTY), cell)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    bad = next((column for column in columns if not _COLUMN.fullmatch(column)), None)
    if not columns or bad is not None:
        why = f"{bad!r} is no name for a column" if bad is not None else "it has no row"
        raise InvalidRequest(f"cannot load {name}", why=why)
    return SourceFile(stat, tuple(columns), tuple(columns.values()))


def _lines(chunks: Iterable[bytes], name: str, kind: str, *, gzipped: bool) -> Iterator[dict[str, Any]]:
    if kind == "csv":
        yield from records(chunks, name, gzipped=gzipped)
        return
    data = b"".join(islice(chunks, 8))  # the beginning: some megabytes
    try:
        text = gzip.decompress(data) if gzipped else data
        for line in filter(bytes.strip, text.splitlines()[:LOOKED_AT]):
            found = json.loads(line, parse_float=Decimal)
            if not isinstance(found, dict):
                raise ValueError("a line is no object")
            yield found
    except (ValueError, OSError, EOFError) as broken:
        raise InvalidRequest(f"cannot load {name}", why=f"it is not one JSON object a line: {broken}") from broken


def wider(known: Shape, cell: object) -> Shape:
    """Return the shape that holds what was known and a cell: (digits before the point, decimals), None for text; no cell says nothing."""
    if known is None or cell is None or cell == "":
        return known
    if isinstance(cell, bool) or not isinstance(cell, str | int | Decimal):
        return None
    text = format(cell, "f") if isinstance(cell, Decimal) else str(cell)
    found = _NUMBER.fullmatch(text)
    if found is None or len(found[1] + (found[2] or "")) > MOST_DIGITS:
        return None
    digits, decimals = len(found[1]), len(found[2] or "")
    if digits <= WHOLE_DIGITS and known[0] <= 0 and not decimals:
        return 0, 0  # still a bigint
    return max(known[0], digits, WHOLE_DIGITS), max(known[1], decimals)


def type_of(shapes: Iterable[Shape]) -> str:
    """Return the type of a column that several files have; one that is empty everywhere is text."""
    known = [shape for shape in shapes if shape != EMPTY]
    if not known or None in known:
        return "varchar"
    digits, decimals = (max(shape[place] for shape in known if shape) for place in (0, 1))
    return f"decimal({min(MOST_DIGITS, digits + decimals)}, {decimals})" if digits else "bigint"
