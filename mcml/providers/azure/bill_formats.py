"""Azure's cost details as files: ActualCost and AmortizedCost exports of an Enterprise Agreement or a Microsoft Customer Agreement; pure.

Both exports have the same columns. In the actual one a commitment's purchase costs and what it covers does not; in the amortized one there
is no purchase, and its cost is in what it covers and in `Unused...` lines. So what is covered or unused is billed nothing, and its amount
is its EffectiveCost. A purchase counts where it was billed: with the actual export alone nothing says what it was spent on. Of a month of
which both are given in one delivery, `bill_joined` makes one bill.
"""

from collections.abc import Iterable, Iterator, Sequence

from mcml.providers.api.bill_formats import BillFile, BillFormats, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure import bill_joined
from mcml.providers.azure.bill_lines import COST, line_of, refused_line, row_of, tells
from mcml.providers.focus import NotAValue


def open_bill_formats(ctx: ProviderContext) -> BillFormats:  # noqa: ARG001 - a file needs no account
    """Return the formats of Azure's bills."""
    return (CostDetails(),)


class CostDetails:
    """Both exports of both agreements."""

    name = "Azure cost details"

    def recognises(self, header: Sequence[str]) -> bool:
        """A cost in the billing currency, by charge type, of a day."""
        return {COST, "date", "chargetype"} <= {name.lower() for name in header}

    def rows(self, records: Iterable[Record]) -> Iterator[FocusRow]:
        """Yield a row of each line. Raises InvalidRequest when actual and amortized lines are mixed: all else would count twice."""
        seen: dict[bool, str] = {}
        for record in records:
            line = line_of(record)
            try:
                row, kind = row_of(line), tells(line)
            except NotAValue as wrong:
                yield refused_line(record, line, wrong)
                continue
            if kind is not None:
                seen.setdefault(kind, f"{line['chargetype']} of {line.get('benefitid') or line.get('productname')}")
            if len(seen) > 1:
                raise bill_joined.mixed(seen)
            yield row

    def joined(self, files: Sequence[BillFile]) -> Iterator[FocusRow]:
        """Yield the rows of several files, of which some may be of the actual and some of the amortized export; see bill_joined."""
        return bill_joined.rows(files, self.rows)
