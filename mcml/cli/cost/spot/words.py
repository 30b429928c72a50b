"""Lengths of time and prices as they are typed after `mcml cost spot`."""

from decimal import Decimal, InvalidOperation

from mcml.core.errors import Usage
from mcml.core.when import duration


def seconds(text: str, option: str) -> int:
    """Read a length of time in whole seconds. Raises Usage."""
    found = duration(text).total_seconds()
    if found != int(found):
        raise Usage(f"{option} {text} is not whole seconds", next_step=f"{option} {max(1, round(found))}s")
    return int(found)


def price(text: str) -> Decimal:
    """Read the price of an hour. Raises Usage."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found <= 0:
        raise Usage(f"{text!r} is no price of an hour", next_step="write it as 0.9731")
    return found
