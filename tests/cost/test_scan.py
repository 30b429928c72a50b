"""What a query will read, in words."""

from decimal import Decimal

import pytest

from mcml.cost.scan import said


@pytest.mark.parametrize(
    ("size", "price", "words"),
    [
        (0, None, "the query reads 0 B of acme.focus"),
        (2**40, Decimal("6.25"), "the query reads 1.0 TiB of acme.focus, about 6.25 USD"),
        (3 * 2**29, Decimal("6.25"), "the query reads 1.5 GiB of acme.focus, about 0.009155 USD"),
        (10, Decimal(5), "the query reads 10 B of acme.focus, about 0 USD"),
    ],
)
def test_bytes_and_their_price(size: int, price: Decimal | None, words: str) -> None:
    assert said("acme.focus", size, price) == words
