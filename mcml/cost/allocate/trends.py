"""How much is borne by nobody, month by month: whether an allocation gets better or worse. Pure and exact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mcml.cost.allocate.lines import statement
from mcml.cost.allocate.rules import UNALLOCATED, Rule
from mcml.cost.allocate.rules import dimensions as looked_at
from mcml.cost.allocate.share import allocate
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import percent, tidy, total

MONTH = "month"


@dataclass(frozen=True)
class MonthShare:
    """What a month (`YYYY-MM`) cost in a currency, and how much of it nobody bears; `share` in percent, None where it cost nothing."""

    currency: str
    month: str
    effective: Decimal
    nobody: Decimal

    @property
    def share(self) -> Decimal | None:
        """The part that nobody bears, with one decimal."""
        return percent(self.nobody, self.effective)


def dimensions(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Return what the ledger must be asked for: what the rules look at, and the month."""
    return (*looked_at(rules), MONTH)


def unallocated(rules: Sequence[Rule], groups: Iterable[Group]) -> list[MonthShare]:
    """Allocate groups by `dimensions(rules)` month by month, oldest first in each currency."""
    months: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        months.setdefault((group.currency, str(group.key[-1])), []).append(group._replace(key=group.key[:-1]))
    return [_month(currency, month, rules, months[currency, month]) for currency, month in sorted(months)]


def _month(currency: str, month: str, rules: Sequence[Rule], groups: Sequence[Group]) -> MonthShare:
    lines = statement(allocate(rules, groups))
    nobody = total(line.effective for line in lines if line.bearer == UNALLOCATED)
    return MonthShare(currency, month, tidy(total(group.effective for group in groups)), tidy(nobody))


def every_month(first: str, last: str) -> list[str]:
    """Return the months (`YYYY-MM`) from the first to the last, also those without costs."""
    start, end = (int(text[:4]) * 12 + int(text[5:]) - 1 for text in (first, last))
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(start, end + 1)]
