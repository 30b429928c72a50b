"""Exact arithmetic on money: the one place where amounts are added, multiplied or divided outside a SQL SUM.

DuckDB turns a quotient of decimals into DOUBLE and refuses their product at this scale, and Python's own Decimal operators round to 28
digits. So SQL only sums and compares, and everything else comes here.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, localcontext
from fractions import Fraction

from mcml.store.ledger.schema import SCALE

EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact])
"""Two 38-digit numbers need 76 digits for their product; a sum of a million of them 7 more. Rounding would raise Inexact."""


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the sum, exactly."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def product(left: Decimal, right: Decimal | int) -> Decimal:
    """Return left x right, exactly: as many decimals as both have together."""
    return EXACT.multiply(left, Decimal(right))


def quotient(numerator: Decimal, denominator: Decimal | int, *, places: int = SCALE) -> Decimal:
    """Return numerator / denominator rounded once, half to even, to `places` decimals. Raises ZeroDivisionError."""
    if denominator == 0:
        raise ZeroDivisionError("a quotient of money by zero")
    return Decimal(round(Fraction(numerator) / Fraction(denominator) * 10**places)).scaleb(-places, EXACT)


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return part as a percentage of whole with one decimal; None when the whole is not positive (credits can outweigh charges)."""
    return quotient(product(part, 100), whole, places=1) if whole > 0 else None


def apportion(parts: Sequence[Fraction], *, places: int = SCALE) -> list[Decimal]:
    """Round parts to `places` decimals so that they add up to their sum, which is rounded once, half to even, if it has more of them.

    Largest remainder (Hamilton's method): all are rounded down, and what is left over goes, one last digit each, to the parts that lost
    most; of equal ones to the first. Each part is off by less than one last digit.
    """
    unit = 10**places
    floors = [(part * unit).__floor__() for part in parts]
    left = round(sum(parts, Fraction(0)) * unit) - sum(floors)
    most = set(sorted(range(len(parts)), key=lambda index: floors[index] - parts[index] * unit)[:left])
    return [Decimal(floor + (index in most)).scaleb(-places, EXACT) for index, floor in enumerate(floors)]


def rounded(number: Fraction) -> Decimal:
    """Return a fraction rounded once to the scale of the ledger, without zeros at the end."""
    return tidy(apportion([number])[0])


def tidy(amount: Decimal) -> Decimal:
    """Drop zeros at the end, and nothing else: 1.500 becomes 1.5, 0E-24 becomes 0."""
    trimmed = amount.normalize(EXACT)
    return trimmed.quantize(Decimal(1), context=EXACT) if trimmed == trimmed.to_integral_value() else trimmed


def plain(amount: Decimal) -> str:
    """Write an amount in full, without an exponent and without zeros at the end."""
    return format(tidy(amount), "f")
