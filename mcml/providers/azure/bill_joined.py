"""The actual and the amortized export of one month, given together, as one bill; pure.

FOCUS wants both in each row: BilledCost, what the invoice says, which is the actual export's cost, and EffectiveCost, what was used of what
was paid, which is the amortized one's. So of a month that both speak of:

- the amortized export's lines are the rows; what a commitment covers, or nothing used of it, is billed nothing;
- of the actual export the lines of commitments that are no usage are added (a purchase, its refund), with no EffectiveCost, unless the
  amortized one has them, too; all its other lines are in the amortized one;
- should the two not agree on those, as when one was exported later, an Adjustment of that day makes up the difference, and says so.

So the BilledCost of all rows is the actual export's sum, and the EffectiveCost the amortized one's, to the last digit. A month that one of
them does not speak of is read from the other alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nsmallest
from itertools import chain, combinations
from pathlib import PurePath
from typing import Any, cast

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFile, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.azure.bill_lines import COST, ZERO, account_of, is_committed, line_of, refused_line, row_of, tells, when
from mcml.providers.focus import EXACT, NotAValue

FEE = ("date", "chargetype", "benefitid", "productname", "metername", "subscriptionid", "quantity", COST)
WORDS: Mapping[bool, str] = {False: "actual", True: "amortized"}
STEP = "ingest one of the two; an export of the type FocusCost has both costs in each row"
SHARED = ("BillingAccountId", "BillingPeriodStart", "BillingCurrency", "ChargePeriodStart")
SAMPLE = 2048
KEPT = (
    *SHARED, "BillingAccountName", "BillingAccountType", "BillingPeriodEnd", "ChargePeriodEnd", "InvoiceIssuerName", "ServiceProviderName",
    "HostProviderName", "x_Source", "x_From",
)  # fmt: skip
Key = tuple[Any, ...]


@dataclass
class _Look:
    """A file that was read once: what tells of which export it is, the months of accounts in it, its commitments' lines that are no usage.

    `days` are those of its accounts and subscriptions, `lines` a sample of its lines' hashes (the smallest, so that those of two files with
    the same lines are the same ones).
    """

    file: BillFile
    seen: dict[bool, str] = field(default_factory=dict)
    months: set[Key] = field(default_factory=set)
    fees: Counter[Key] = field(default_factory=Counter)
    days: set[Key] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)

    @property
    def kind(self) -> bool | None:
        """True for the amortized export, False for the actual one, None where no line and no word in the path tells; or InvalidRequest."""
        if len(self.seen) > 1:
            raise mixed(self.seen)
        path = "/".join(PurePath(self.file.name.lower()).parts[-5:])  # EXPORT/YYYYMMDD-YYYYMMDD[/TIME]/RUN/part.csv, as Azure writes them
        places = {path.rfind(word): kind for kind, word in WORDS.items()}  # the last word is of the file, or the folder nearest to it
        return next(iter(self.seen), places[max(places)] if max(places) >= 0 else None)

    def add(self, line: int) -> None:
        """Take a line's hash into the sample."""
        self.lines.add(line)
        if len(self.lines) > 2 * SAMPLE:
            self.lines = set(nsmallest(SAMPLE, self.lines))

    def is_like(self, other: "_Look") -> bool:
        """Tell whether most lines of the smaller file are in the other one, too: parts of one export have none in common."""
        both = [set(nsmallest(SAMPLE, look.lines)) for look in (self, other) if look.months]
        whole = [max(lines) for lines in both if len(lines) == SAMPLE]  # of a sample, what is above is not known
        mine, theirs = ({line for line in lines if line <= min(whole)} if whole else lines for lines in both) if len(both) > 1 else ((), ())
        return 2 * len(set(mine) & set(theirs)) > min(len(mine), len(theirs))


def rows(files: Sequence[BillFile], plain: Callable[[Iterable[Record]], Iterator[FocusRow]]) -> Iterator[FocusRow]:
    """Yield the rows of several files; `plain` makes those of one export. Raises InvalidRequest for files of which nobody can tell."""
    looks = [_look(file) for file in files]
    told: dict[bool | None, list[_Look]] = defaultdict(list)
    for look in looks:
        told[look.kind].append(look)
    if told[True] and told[False]:
        if told[None]:
            raise _untold(told[None][0].file.name)
        yield from _Join(told[False], told[True]).rows()
        return
    for one, other in combinations(looks, 2):
        if one.is_like(other):
            raise _twins((one.file.name, other.file.name))
        apart = PurePath(one.file.name).parent != PurePath(other.file.name).parent
        if apart and None in (one.kind, other.kind) and one.days & other.days:
            raise _untold((one if one.kind is None else other).file.name)
    yield from plain(_records(looks))


def mixed(seen: Mapping[bool, str]) -> InvalidRequest:
    """Return the error for one file with lines of both exports; `seen` has one of each."""
    why = f"{seen[False]} is on the actual one, {seen[True]} on the amortized one, and all the rest is on both"
    return InvalidRequest(
        "these are an actual and an amortized export of the same bill", why=why, next_step=f"give them as two files; or {STEP}"
    )


def _untold(name: str) -> InvalidRequest:
    why = "actual and amortized exports are given together; no line of this file, and no word of its path, says of which it is"
    step = f"write actual or amortized into its name; or {STEP}"
    return InvalidRequest(f"{name} is of the actual or of the amortized export", why=why, next_step=step)


def _twins(names: Sequence[str]) -> InvalidRequest:
    why = "of a month without reservations and savings plans the actual and the amortized export are the same"
    return InvalidRequest(f"{' and '.join(names)} have lines in common", why=why, next_step="ingest one of them")


def _look(file: BillFile) -> _Look:
    found = _Look(file)
    for record in file.records():
        line = line_of(record)
        found.add(hash(frozenset(line.items())))
        try:
            kind, month = tells(line), _month(line)
        except NotAValue:
            continue  # it goes to quarantine when it is read again
        found.months.add(month)
        found.days.add((account_of(line), line.get("subscriptionid"), line["date"]))
        if kind is not None:
            found.seen.setdefault(kind, f"{line['chargetype']} of {line.get('benefitid') or line.get('productname')}")
        if _is_fee(line):
            found.fees[_fee(line)] += 1
    return found


def _is_fee(line: Mapping[str, str]) -> bool:
    return is_committed(line) and line["chargetype"] != "Usage" and not line["chargetype"].startswith("Unused")


def _fee(line: Mapping[str, str]) -> Key:
    return tuple(line.get(name, "") for name in FEE)


def _month(line: Mapping[str, str]) -> Key:
    return account_of(line), when(line)["BillingPeriodStart"]


def _made(line: Mapping[str, str], record: Record) -> tuple[FocusRow, bool]:
    """Return a line's row, and whether it can be read; else it is the one that says why not."""
    try:
        return row_of(line), True
    except NotAValue as wrong:
        return refused_line(record, line, wrong), False


class _Join:
    """The rows of both exports. `open`: by how much the actual one's lines differ from what was billed, by SHARED; `days`: a row each."""

    def __init__(self, actual: Sequence[_Look], amortized: Sequence[_Look]) -> None:
        self.actual, self.amortized = actual, amortized
        self.both = _months(actual) & _months(amortized)
        self.fees = sum((look.fees for look in amortized), Counter[Key]())
        self.refused: Counter[Key] = Counter()
        self.open: dict[Key, Decimal] = defaultdict(Decimal)
        self.days: dict[Key, FocusRow] = {}

    def rows(self) -> Iterator[FocusRow]:
        """Yield them all."""
        for record in _records(self.amortized):
            line = line_of(record)
            row, is_read = _made(line, record)
            if not is_read:
                self.refused[_fee(line)] += 1
            elif self._is_shared(row):
                self._count(row, -_amount(row, "BilledCost"))
            yield row
        for record in _records(self.actual):
            yield from self._of_actual(record)
        for key, amount in self.open.items():
            if amount:
                yield _adjustment(self.days[key], amount)

    def _of_actual(self, record: Record) -> Iterator[FocusRow]:
        line = line_of(record)
        row, is_read = _made(line, record)
        if not is_read and self.refused[_fee(line)]:
            self.refused[_fee(line)] -= 1  # it waits already, as it is on the amortized one
        elif not is_read or not self._is_shared(row):
            yield row
        elif _is_fee(line) and not self._is_there(line):
            yield {**row, "EffectiveCost": ZERO}
        else:
            self._count(row, _amount(row, "EffectiveCost"))  # of a line alone it is the cost that the export tells

    def _is_shared(self, row: FocusRow) -> bool:
        return (row["BillingAccountId"], row["BillingPeriodStart"]) in self.both

    def _is_there(self, line: Mapping[str, str]) -> bool:
        """Tell whether the amortized export has a commitment's line, too; each of its lines answers once."""
        key = _fee(line)
        self.fees[key] -= 1
        return self.fees[key] >= 0

    def _count(self, row: FocusRow, amount: Decimal) -> None:
        key = tuple(row[name] for name in SHARED)
        self.open[key] = EXACT.add(self.open[key], amount)
        self.days.setdefault(key, row)


def _records(looks: Sequence[_Look]) -> Iterator[Record]:
    return chain.from_iterable(look.file.records() for look in looks)


def _amount(row: FocusRow, name: str) -> Decimal:
    return cast(Decimal, row[name])


def _months(looks: Sequence[_Look]) -> set[Key]:
    return set().union(*(look.months for look in looks))


def _adjustment(day: FocusRow, amount: Decimal) -> FocusRow:
    """Return the row of what the actual export says beside the amortized one, of a day that `day` is a row of."""
    told = "the actual export's lines, which the amortized one has, too, differ from them, as when they were exported at different times"
    return {
        **{name: day[name] for name in KEPT},
        "BilledCost": amount, "EffectiveCost": ZERO, "ListCost": amount, "ContractedCost": amount,
        "PricingCurrency": day["BillingCurrency"],
        "ChargeCategory": "Adjustment", "ChargeClass": None, "ChargeDescription": "actual beside amortized cost",
        "ChargeFrequency": "One-Time", "PricingCategory": None, "PricingQuantity": None, "PricingUnit": None,
        "ServiceCategory": "Other", "ServiceSubcategory": "Other (Other)", "ServiceName": "Other", "x_Diagnostic": told,
    }  # fmt: skip
