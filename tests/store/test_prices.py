"""The price catalogue: the newest price of a SKU in a region, and no row twice, in whatever order the lists arrive."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import UnitPrice
from mcml.store.db import Store
from mcml.store.prices import CataloguePrice, latest, newest, record
from mcml.store.tables import PRICE

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
PRICE_LIST = UnitPrice("vcpu-hour", "us-east-1", "h", Decimal("0.0480"), "USD", "price-list", JANUARY)


def at(month: int, price: str, **changes: str) -> UnitPrice:
    return replace(PRICE_LIST, price=Decimal(price), as_of=JANUARY.replace(month=month), **changes)


def put(store: Store, *prices: UnitPrice, provider: str = "aws") -> int:
    with store.writing() as connection:
        return record(connection, provider, prices)


def in_force(store: Store, provider: str = "aws", region: str = "us-east-1", sku: str = "vcpu-hour") -> UnitPrice | None:
    with store.reading() as connection:
        return latest(connection, provider, region, sku)


def rows(store: Store) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(PRICE)).scalar_one()


def test_no_price_is_not_free(store: Store) -> None:
    put(store, PRICE_LIST)
    assert in_force(store) == PRICE_LIST
    assert in_force(store, provider="gcp") is None
    assert in_force(store, region="eu-west-1") is None
    assert in_force(store, sku="gib-hour") is None


def test_the_newest_counts_in_whatever_order_they_come(store: Store) -> None:
    assert put(store, at(3, "3"), at(1, "1"), at(2, "2")) == 3
    assert in_force(store) == at(3, "3")


def test_what_is_known_is_not_written_again(store: Store) -> None:
    prices = (at(1, "1"), at(2, "2"), at(3, "1"))
    assert put(store, *prices) == 3
    assert put(store, *prices) == 0
    assert put(store, at(4, "1.00")) == 0, "the same number says nothing new"
    assert put(store, at(4, "1", unit="s")) == 1
    assert rows(store) == 4


def test_a_price_that_is_said_again_is_as_fresh_as_that(store: Store) -> None:
    put(store, at(1, "1"), at(2, "2", source="contract"))
    assert put(store, at(5, "1")) == 0
    assert in_force(store) == at(5, "1"), "stated last, although it was known first"
    put(store, at(3, "1"))
    assert in_force(store) == at(5, "1"), "an older list takes nothing back"


def test_currencies_and_sources_stand_side_by_side(store: Store) -> None:
    prices = (at(1, "1"), at(1, "0.9", currency="EUR"), at(1, "1.1", source="bill"))
    assert put(store, *prices) == 3
    assert put(store, *prices) == 0
    assert put(store, PRICE_LIST, provider="gcp") == 1


def test_the_catalogue_is_the_newest_of_each_sorted(store: Store) -> None:
    put(store, at(1, "1"), at(2, "2"), at(1, "3", sku="gib-hour"), at(1, "4", region="eu-west-1"))
    put(store, at(1, "5"), provider="AZ")
    with store.reading() as connection:
        found = newest(connection)
    assert found == [
        CataloguePrice("AZ", at(1, "5")),
        CataloguePrice("aws", at(1, "4", region="eu-west-1")),
        CataloguePrice("aws", at(1, "3", sku="gib-hour")),
        CataloguePrice("aws", at(2, "2")),
    ]


def test_a_source_may_correct_itself(store: Store) -> None:
    put(store, at(2, "2"))
    assert put(store, at(2, "2.5")) == 1
    assert (in_force(store), rows(store)) == (at(2, "2.5"), 1)


def test_a_price_that_is_no_number_is_refused(store: Store) -> None:
    for wrong in ("NaN", "Infinity"):
        with pytest.raises(InvalidRequest, match=f"the price of 'vcpu-hour' in 'us-east-1' is {wrong}"):
            put(store, at(1, "1"), at(2, wrong))
    assert rows(store) == 0, "the good one before it is not kept either"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.decimals(0, 10, places=6)), max_size=8))
def test_a_history_in_order_is_kept_once_and_its_end_is_the_price(store: Store, said: list[tuple[int, Decimal]]) -> None:
    sku = str(uuid4())
    anyhow = [replace(PRICE_LIST, sku=sku, price=price, as_of=JANUARY + timedelta(days=day)) for day, price in said]
    in_order = sorted({price.as_of: price for price in anyhow}.values(), key=lambda price: price.as_of)
    put(store, *anyhow)
    put(store, *in_order)
    before = rows(store)
    assert (put(store, *in_order), rows(store)) == (0, before)
    found = in_force(store, sku=sku)
    assert (found.price if found else None) == (in_order[-1].price if in_order else None)
