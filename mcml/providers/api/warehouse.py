"""Warehouse: tables loaded from objects and asked with SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Dataset:
    """A data set and its tables; None where we may know that it is there, and not what is in it."""

    name: str
    tables: tuple[str, ...] | None


@dataclass(frozen=True)
class SourceSize:
    """What a load would read: how many files, and their bytes as they lie there."""

    files: int
    size: int


@dataclass(frozen=True)
class LoadResult:
    """What a load did: rows in, rows refused (with the first reasons)."""

    rows: int
    refused: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueryResult:
    """Column names, rows of plain values (Decimal for exact numbers), and what was read (None where the engine does not tell)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    scanned_bytes: int | None = None


class Warehouse(Protocol):
    """The account's warehouse."""

    def measure(self, source: str, kind: Literal["csv", "json", "parquet"]) -> SourceSize:
        """Look at what a load would read, and load nothing. Raises NotFound, InvalidRequest for what could not be loaded from."""

    def load(self, dataset: str, table: str, source: str, kind: Literal["csv", "json", "parquet"], *, replace: bool = False) -> LoadResult:
        """Load a URI or path (wildcards allowed) into a table, all or nothing. Raises NotFound, InvalidRequest."""

    def query(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> QueryResult:
        """Run one SELECT with parameters. Raises InvalidRequest (with the engine's message), NotFound."""

    def estimate(self, sql: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> int | None:
        """Return the bytes that a query would read, without running it; None where the engine tells afterwards only. Raises as `query`."""

    def datasets(self, name: str = "") -> list[Dataset]:
        """Return the data sets, or those of one name in any case (NotAuthenticated where its tables are not for us to see)."""
