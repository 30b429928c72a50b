"""Bills in a provider's own columns: which of the files are one, by their header, and their rows of FOCUS; the rest is taken for FOCUS."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFile, BillFormat, JoiningFormat, Record
from mcml.providers.api.billing import REFUSED, FocusRow
from mcml.store.ledger.records import RecordFile, columns, look, read

FOCUS_SIGN = "billedcost"
"""What every FOCUS export has, and no bill of another format."""


@dataclass
class _Place:
    """Which record is being read: its file, and its number counted from 1; 0 between records."""

    path: Path = Path()
    row: int = 0


@dataclass(frozen=True)
class Bill:
    """The files of one format: one delivery, as a month's bill may be in several. `names`: where files were fetched from."""

    format: BillFormat
    files: tuple[RecordFile, ...]
    names: Mapping[Path, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the names of its files."""
        return ", ".join(sorted(file.source.path.name for file in self.files))

    def rows(self) -> Iterator[FocusRow]:
        """Yield its rows of FOCUS; one that cannot be read says in REFUSED which row of which file it is.

        Raises InvalidRequest that says in which row of which file something is missing; Conflict when a file has changed.
        """
        place = _Place()
        try:
            for row in self._rows(place):
                why = row.get(REFUSED)
                yield {**row, REFUSED: f"{place.path.name}, row {place.row}: {why}"} if why and place.row else row
        except InvalidRequest as wrong:
            if not place.row:
                raise
            message = f"cannot read {place.path}, row {place.row}: {wrong.message}"
            raise InvalidRequest(message, why=wrong.why, next_step=wrong.next_step) from wrong

    def _rows(self, place: _Place) -> Iterable[FocusRow]:
        if len(self.files) > 1 and isinstance(self.format, JoiningFormat):
            return self.format.joined([BillFile(self._named(file), partial(_records, (file,), place)) for file in self.files])
        return self.format.rows(_records(self.files, place))

    def _named(self, file: RecordFile) -> str:
        return self.names.get(file.source.path, str(file.source.path))


def _records(files: Sequence[RecordFile], place: _Place) -> Iterator[Record]:
    for file in files:
        for number, record in enumerate(read(file), 1):
            place.path, place.row = file.source.path, number
            yield record
            place.row = 0


def native(
    paths: Sequence[Path], formats: Callable[[], Sequence[BillFormat]], names: Mapping[Path, str] | None = None
) -> tuple[list[Bill], list[Path]]:
    """Sort files: bills of a known format, one of each format, and all others, which are taken for FOCUS.

    `formats` is asked when a file is met that has no column of FOCUS. A file that is given twice counts once. Raises what `look` raises.
    """
    found: dict[str, tuple[BillFormat, dict[str, RecordFile]]] = {}
    others: list[Path] = []
    for path in paths:
        known = _format(columns(path), formats)
        if known is None:
            others.append(path)
        else:
            file = look(path)
            found.setdefault(known.name, (known, {}))[1][file.source.sha256] = file
    return [Bill(known, tuple(files.values()), names or {}) for known, files in found.values()], others


def _format(header: Sequence[str], formats: Callable[[], Sequence[BillFormat]]) -> BillFormat | None:
    if not header or FOCUS_SIGN in (name.lower() for name in header):
        return None
    return next((known for known in formats() if known.recognises(header)), None)
