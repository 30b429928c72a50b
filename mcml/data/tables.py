"""Tables in a warehouse as people type them: `DATASET.TABLE`, a file's format, parameters of a query; and the load that is recorded."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from mcml.core.errors import Usage
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.core.sizes import counted
from mcml.providers.api.warehouse import LoadResult, Warehouse

Kind = Literal["csv", "json", "parquet"]
FORMATS: Mapping[str, Kind] = {
    "csv": "csv",
    "tsv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
    "pq": "parquet",
}
"""A file's ending, before `.gz` and the like, and what it holds."""
PACKED = ("gz", "zst", "bz2")
MOST_DIGITS = 4000  # of an int: Python reads no longer ones from text
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Load:
    """What is to be loaded: a URI or path (with wildcards), into which table, and whether what the table holds is replaced."""

    source: str
    dataset: str
    table: str
    kind: Kind
    replace: bool = False

    @property
    def name(self) -> str:
        """The table as people write it."""
        return f"{self.dataset}.{self.table}"


def parse_load(source: str, name: str, kind: str = "", *, replace: bool = False) -> Load:
    """Return what a person typed. Raises Usage for what is no `DATASET.TABLE`, and for a format that the source's name does not tell."""
    dataset, dot, table = name.partition(".")
    if not dot or not dataset or not table or "." in table:
        raise Usage(f"{name!r} names no table", why="a table is DATASET.TABLE", next_step=f"mcml data load {source} DATASET.TABLE")
    return Load(source, dataset, table, cast(Kind, kind) if kind else _format_of(source), replace)


def _format_of(source: str) -> Kind:
    endings = [part.lower() for part in source.rpartition("/")[2].split(".")[1:]]
    ending = next((part for part in reversed(endings) if part not in PACKED), "")
    if ending not in FORMATS:
        why = "its name does not end in .csv, .json, .jsonl or .parquet"
        raise Usage(f"{source} could hold anything", why=why, next_step="say which: --format csv|json|parquet")
    return FORMATS[ending]


def parse_parameters(given: Sequence[str]) -> Mapping[str, object] | Sequence[object]:
    """Return the parameters of a query from `NAME=VALUE`, or from `=VALUE` for each `?` in turn.

    A value that reads as a number is a number (exact: an int or a Decimal); true, false and null are what they say; a text in double
    quotes is a text, whatever it reads as; anything else is a text. Raises Usage for anything else, and for both forms at once.
    """
    placed = [text for text in given if text.startswith("=")]
    if placed and len(placed) < len(given):
        raise Usage(
            "named and positional parameters are mixed", why="a query has either @names (locally $names) or ?", next_step="use one form"
        )
    if placed:
        return [value_of(text[1:]) for text in placed]
    found: dict[str, object] = {}
    for text in given:
        match = _NAMED.fullmatch(text)
        if match is None:
            raise Usage(f"{text!r} is no parameter", why="it is NAME=VALUE, or =VALUE for a ?", next_step="--param least=1")
        if match[1] in found:
            raise Usage(f"parameter {match[1]} is given twice", next_step="give it once")
        found[match[1]] = value_of(match[2])
    return found


def value_of(text: str) -> object:
    """Return the value that a typed text stands for."""
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    if number := _NUMBER.fullmatch(text):
        return int(text) if number[2] is number[3] is None and len(text) < MOST_DIGITS else Decimal(text)
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def exists(warehouse: Warehouse, load: Load) -> bool:
    """Tell whether the table is there; by any case, which some engines do not tell apart: asking once too often replaces nothing."""
    ours = load.name.casefold()
    return any(f"{found.name}.{table}".casefold() == ours for found in warehouse.datasets(load.dataset) for table in found.tables or ())


def run(warehouse: Warehouse, load: Load, reporter: Reporter, record: Callable[[Fact], object]) -> LoadResult:
    """Load, and record it. Raises what the warehouse raises; then nothing was loaded, and the journal says nothing."""
    reporter.start(load.name, f"loading {load.source}")
    done = warehouse.load(load.dataset, load.table, load.source, load.kind, replace=load.replace)
    refused = f", {done.refused} refused" if done.refused else ""
    reporter.finish(load.name, f"{counted(done.rows, 'row')}{refused}", ok=not done.refused)
    said = {
        "source": load.source,
        "table": load.name,
        "format": load.kind,
        "replace": load.replace,
        "rows": done.rows,
        "refused": done.refused,
    }
    record(Fact("data.loaded", "data", facts=said))
    return done
