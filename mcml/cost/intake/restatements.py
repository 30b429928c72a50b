"""Restatements: what a later delivery of a bill says otherwise, service by service. Pure: sums in, differences out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mcml.store.ledger.exact import tidy, total
from mcml.store.ledger.history import Replaced, Sum

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Restatement:
    """A service on an account's bill of a month (`YYYY-MM`) whose amounts or rows a delivery changed; zero where it was not on it."""

    at: datetime
    delivery: str
    origin: str
    account: str
    month: str
    provider: str
    service: str
    currency: str
    billed_before: Decimal
    billed_after: Decimal
    effective_before: Decimal
    effective_after: Decimal
    rows_before: int
    rows_after: int

    @property
    def billed_change(self) -> Decimal:
        """After less before."""
        return tidy(total((self.billed_after, self.billed_before.copy_negate())))

    @property
    def effective_change(self) -> Decimal:
        """After less before."""
        return tidy(total((self.effective_after, self.effective_before.copy_negate())))


def restatements(found: Iterable[Replaced]) -> list[Restatement]:
    """Return what each delivery changed, in their order, the largest change first; what it only says again is left out."""
    return [line for each in found for line in sorted(_of(each), key=_largest_first)]


def _largest_first(line: Restatement) -> tuple[Decimal, str, str]:
    return line.effective_change.copy_abs().copy_negate(), line.account, line.service


def _of(each: Replaced) -> list[Restatement]:
    before, after = _added(each.before), _added(each.after)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, _NOTHING), after.get(key, _NOTHING)
        if was != now:
            amounts = (amount for pair in zip(was, now, strict=True) for amount in pair)
            lines.append(Restatement(each.at, each.delivery, each.origin, *key, *amounts))  # type: ignore[arg-type]
    return lines


_NOTHING = (Decimal(0), Decimal(0), 0)


def _added(sums: Iterable[Sum]) -> dict[Key, tuple[Decimal, Decimal, int]]:
    groups: dict[Key, list[Sum]] = {}
    for each in sums:
        groups.setdefault((each.account, each.month, each.provider, each.service, each.currency), []).append(each)
    return {
        key: (tidy(total(one.billed for one in some)), tidy(total(one.effective for one in some)), sum(one.rows for one in some))
        for key, some in groups.items()
    }
