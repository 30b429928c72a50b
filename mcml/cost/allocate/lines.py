"""The statement of an allocation: a line for each bearer, and what would be saved if one of them left. Pure and exact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from mcml.core.errors import unknown
from mcml.cost.allocate.rules import UNALLOCATED, Rule
from mcml.cost.allocate.share import Allocated, Portion, allocate
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import apportion, percent, tidy, total

_MINOR_UNITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_PLACES = {currency: places for places, currencies in _MINOR_UNITS.items() for currency in currencies.split()}


def minor_unit(currency: str) -> int:
    """Return the decimals of a currency's cent (ISO 4217, list one; all others have two)."""
    return _PLACES.get(currency, 2)


@dataclass(frozen=True)
class Line:
    """What one bearer bears in one currency. `rounded` is the effective cost in whole cents: the lines' add up to the rounded total."""

    currency: str
    bearer: str
    direct: Decimal
    shared: Decimal
    billed: Decimal
    effective: Decimal
    rounded: Decimal
    share: Decimal | None
    portions: tuple[Portion, ...]


def statement(allocated: Allocated) -> list[Line]:
    """Return the lines by currency, dearest first, what nobody bears last."""
    lines: list[Line] = []
    for _, mine in groupby(sorted(allocated.portions, key=_order), key=lambda portion: portion.currency):
        found = [_line(list(some)) for _, some in groupby(mine, key=lambda portion: portion.bearer)]
        lines += _rounded(sorted(found, key=lambda line: (line.bearer == UNALLOCATED, -line.effective, line.bearer)))
    return lines


def _order(portion: Portion) -> tuple[str, str, bool, str]:
    return portion.currency, portion.bearer, portion.shared, portion.rule


def _line(portions: Sequence[Portion]) -> Line:
    direct, shared = (tidy(total(each.effective for each in portions if each.shared == kind)) for kind in (False, True))
    billed = tidy(total(each.billed for each in portions))
    effective = tidy(total((direct, shared)))
    return Line(portions[0].currency, portions[0].bearer, direct, shared, billed, effective, effective, None, tuple(portions))


def _rounded(lines: Sequence[Line]) -> list[Line]:
    whole = total(line.effective for line in lines)
    cents = apportion([Fraction(line.effective) for line in lines], places=minor_unit(lines[0].currency))
    return [
        Line(**{**vars(line), "rounded": rounded, "share": percent(line.effective, whole)})
        for line, rounded in zip(lines, cents, strict=True)
    ]


@dataclass(frozen=True)
class Departure:
    """What happens in one currency when a bearer leaves: direct cost is saved, its share of shared cost falls to others.

    `others`: who bears how much more, what nobody would bear any more among them; they add up to `stays`.
    """

    currency: str
    bearer: str
    saved: Decimal
    stays: Decimal
    others: tuple[tuple[str, Decimal], ...]


def departure(rules: Sequence[Rule], groups: Iterable[Group], bearer: str) -> list[Departure]:
    """Return what would be saved if a bearer left. Raises NotFound for one that bears nothing."""
    listed = list(groups)
    before, after = (_by_bearer(statement(allocate(rules, listed, leaving=who))) for who in ("", bearer))
    mine = [line for line in before.values() if line.bearer == bearer]
    if not mine or bearer == UNALLOCATED:
        names = {line.bearer for line in before.values()} - {UNALLOCATED}
        raise unknown("bearer of costs", bearer, names, next_step="mcml cost allocate")
    found = []
    for line in mine:
        keys = sorted({key for key in [*before, *after] if key[0] == line.currency and key[1] != bearer})
        more = [(key[1], _more(before.get(key), after.get(key))) for key in keys]
        found.append(Departure(line.currency, bearer, line.direct, line.shared, tuple((who, extra) for who, extra in more if extra)))
    return found


def _by_bearer(lines: Iterable[Line]) -> dict[tuple[str, str], Line]:
    return {(line.currency, line.bearer): line for line in lines}


def _more(before: Line | None, after: Line | None) -> Decimal:
    was, now = (line.effective if line else Decimal(0) for line in (before, after))
    return tidy(total((now, was.copy_negate())))
