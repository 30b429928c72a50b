"""What a query over a warehouse will read, and what that costs, in words. Pure."""

from decimal import Decimal

from mcml.core.sizes import size_text
from mcml.store.ledger.exact import plain, product, quotient

TIB = 2**40
PLACES = 6
"""Decimals of a query's price: a gibibyte at a few dollars a tebibyte is some thousandths."""


def said(table: str, size: int, price_per_tib: Decimal | None) -> str:
    """Say it: `the query reads 1.5 GiB of acme.finops.focus, about 0.009155 USD`; without a price the bytes alone."""
    text = f"the query reads {size_text(size)} of {table}"
    if price_per_tib is None:
        return text
    return f"{text}, about {plain(quotient(product(price_per_tib, size), TIB, places=PLACES))} USD"
