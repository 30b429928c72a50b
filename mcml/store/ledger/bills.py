"""Which of the files that an ingest writes are one bill, and what of an older one stays: see `manifest` for what replaces what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mcml.core.clock import rfc3339
from mcml.store.ledger.engine import literal, path_literal, sql
from mcml.store.ledger.manifest import Delivery, Part

_INSIDE = "ChargePeriodStart >= ${begin} AND ChargePeriodStart < ${end}"
_COUNT = "SELECT count(*), count(*) FILTER (WHERE ${inside}) FROM read_parquet([${files}])"
_STAYS = "SELECT * FROM read_parquet(${file}) WHERE NOT (${inside}) ORDER BY ChargePeriodStart, x_File, x_Row"


@dataclass(frozen=True)
class Written:
    """A file of rows of one provider that stood in one file of the export (`export`, its digest), and the names of their issuers."""

    key: tuple[str, str, str]
    export: str
    provider: str
    issuers: frozenset[str]
    path: str
    rows: int

    @property
    def names(self) -> frozenset[str]:
        """The provider and the issuers."""
        return self.issuers | {self.provider}


def parts(written: Iterable[Written], delivery: Delivery) -> list[Part]:
    """Return a delivery's parts: of one source, account and month, what stood in one file or shares a provider or an issuer is one bill."""
    bills: list[list[Written]] = []
    for each in written:
        akin = [bill for bill in bills if any(_akin(each, other) for other in bill)]
        bills = [bill for bill in bills if bill not in akin] + [[*(other for bill in akin for other in bill), each]]
    return [
        Part(
            *bill[0].key,
            files=tuple(sorted(each.path for each in bill)),
            rows=sum(each.rows for each in bill),
            delivery=delivery.id,
            since=delivery.at,
            names=tuple(sorted(frozenset[str]().union(*(each.names for each in bill)))),
        )
        for bill in sorted(bills, key=lambda bill: (bill[0].key, bill[0].path))
    ]


def _akin(one: Written, other: Written) -> bool:
    return one.key == other.key and (one.export == other.export or not one.names.isdisjoint(other.names))


@dataclass(frozen=True)
class Window:
    """Charges that start in [begin, end)."""

    begin: datetime
    end: datetime

    @property
    def inside(self) -> str:
        """The SQL condition of a row in it."""
        begin, end = (f"TIMESTAMPTZ {literal(rfc3339(moment))}" for moment in (self.begin, self.end))
        return sql(_INSIDE, begin=begin, end=end)


def carried_over(
    connection: Any, folder: Path, window: Window, current: Sequence[Part], new: Sequence[Part], delivery: Delivery
) -> tuple[list[Part], dict[str, str]]:
    """Return the new parts of a delivery that spoke of a window only, with the rows that stay, and the files to write: path and query.

    A bill that the delivery names no more, though it had charges of its accounts in the window, is left with the others, or with nothing.
    """
    found, files = list(new), dict[str, str]()
    for old in current:
        if not any(each.same_issuer(old) for each in new):
            continue
        rows, inside = connection.execute(_counting(folder, old.files, window)).fetchone()
        place = next((place for place, each in enumerate(found) if each.replaces(old)), None)
        if place is None and not inside:
            continue
        heir = found.pop(place) if place is not None else Part(*old.key, (), 0, delivery.id, delivery.at)
        stays = _staying(connection, folder, old, window, delivery, len(files)) if rows > inside else {}
        files |= stays
        found.append(
            replace(
                heir,
                files=(*heir.files, *stays),
                rows=heir.rows + rows - inside,
                names=tuple(sorted({*heir.names, *old.names})),
                carried=tuple(dict.fromkeys((*heir.carried, *((old.delivery, *old.carried) if stays else ())))),
            )
        )
    return found, files


def _staying(connection: Any, folder: Path, old: Part, window: Window, delivery: Delivery, number: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in old.files:
        rows, inside = connection.execute(_counting(folder, (file,), window)).fetchone()
        if rows > inside:
            path = f"{file.rpartition('/')[0]}/{delivery.id}-stays-{number + len(found)}.parquet"
            found[path] = sql(_STAYS, file=path_literal(folder / file), inside=window.inside)
    return found


def _counting(folder: Path, files: Sequence[str], window: Window) -> str:
    return sql(_COUNT, files=", ".join(path_literal(folder / file) for file in files), inside=window.inside)
