"""Bill formats: the files in which a provider tells costs in its own columns, and how each becomes rows of FOCUS; no account is needed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mcml.providers.api.billing import FocusRow

Record = Mapping[str, object]
"""One record of a file: the file's own column names to texts; None for null, and dict and list of the same where the file nests them.

Numbers and times are texts too, as the file has them (a binary float in the digits that tell it from every other), so no digit is lost.
"""


class BillFormat(Protocol):
    """One format of a provider's bills. Importing it imports no SDK."""

    @property
    def name(self) -> str:
        """Return what people call it: `AWS Cost and Usage Report`."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Tell by the column names whether a file is of this format; where values are nested, only the outer names are there."""

    def rows(self, records: Iterable[Record]) -> Iterable[FocusRow]:
        """Yield the FOCUS rows of the records of one delivery, which may be several files, in order.

        The records' money is all there: a kind of line that is not known is an Adjustment with an `x_Diagnostic`, and a record with a
        number or a time that is none is a row that says so in REFUSED. Raises InvalidRequest for a column without which a record's money
        would be read wrongly.
        """


@dataclass(frozen=True)
class BillFile:
    """A file of a bill: its path, and its records, read anew at each call."""

    name: str
    records: Callable[[], Iterable[Record]]


@runtime_checkable
class JoiningFormat(BillFormat, Protocol):
    """A format in which one bill is told in several exports that overlap: it has to know which record is of which file."""

    def joined(self, files: Sequence[BillFile]) -> Iterable[FocusRow]:
        """Yield the FOCUS rows of the files of one delivery, of which there are several: like `rows`, and nothing twice.

        Raises InvalidRequest also when it cannot be told of which export a file is.
        """


BillFormats = Sequence[BillFormat]
"""What a provider offers."""
