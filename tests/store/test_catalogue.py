"""The shipped price lists: in the catalogue once a list and region, newer prices before them, and small enough to ship."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mcml.providers.api.billing import UnitPrice
from mcml.store import catalogue, prices
from mcml.store.db import Store
from mcml.store.tables import PRICE


def rows(store: Store) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(PRICE)).scalar_one()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        yield store


@pytest.mark.parametrize(
    ("provider", "region", "sku", "price"),
    [
        ("aws", "us-east-1", "m5.large", "0.096"),
        ("aws", "us-east-1", "g5.xlarge", "1.006"),
        ("aws", "us-east-1", "p5.48xlarge", "55.04"),
        ("azure", "eastus", "Standard_D4s_v5", "0.192"),
        ("azure", "westeurope", "Standard_NC24ads_A100_v4", "4.775"),
        ("gcp", "us-central1", "e2-standard-4", "0.13402284"),
        ("gcp", "us-central1", "e2-standard-4 spot", "0.048544"),
    ],
)
def test_the_lists_hold_what_their_sources_say(provider: str, region: str, sku: str, price: str) -> None:
    assert catalogue.shipped(provider, region)[sku] == Decimal(price)


def test_no_price_of_a_list_is_zero_and_all_files_are_accounted_for() -> None:
    files = {path.name for path in catalogue.FOLDER.iterdir()}
    assert files == {"NOTICE", *(f"{provider}.csv.gz" for provider in catalogue.LISTS)}
    assert sum(path.stat().st_size for path in catalogue.FOLDER.iterdir()) < 500_000
    notice = (catalogue.FOLDER / "NOTICE").read_text()
    for provider, listed in catalogue.LISTS.items():
        assert f"{provider}.csv.gz" in notice
        assert f"{listed.as_of:%Y-%m-%d}" in notice
    found = catalogue.shipped("azure", "westeurope") | catalogue.shipped("gcp", "europe-west1") | catalogue.shipped("aws", "us-east-1")
    assert min(found.values()) > 0
    assert len(found) > 3000


def test_a_region_is_put_in_once(own: Store) -> None:
    price = catalogue.price_book(own)
    found = price("gcp", "europe-west1", "e2-standard-4")
    assert found == UnitPrice(
        "e2-standard-4", "europe-west1", "h", Decimal("0.14743092"), "USD", "coroot/cloud-pricing, 2024-08-09", catalogue.LISTS["gcp"].as_of
    )
    before = rows(own)
    assert before == len(catalogue.shipped("gcp", "europe-west1"))
    assert catalogue.add_region(own, "gcp", "europe-west1") == 0
    assert catalogue.price_book(own)("gcp", "europe-west1", "no-such-type") is None
    assert rows(own) == before


def test_what_no_list_has_has_no_price(own: Store) -> None:
    price = catalogue.price_book(own)
    assert price("aws", "eu-west-1", "m5.large") is None, "that list has one region"
    assert price("oracle", "eu", "vm") is None
    assert rows(own) == 0


def test_a_newer_price_goes_before_the_list(own: Store) -> None:
    as_of = catalogue.LISTS["aws"].as_of
    mine = UnitPrice("m5.large", "us-east-1", "h", Decimal("0.05"), "USD", "contract", as_of + timedelta(days=1))
    older = replace(mine, source="old", price=Decimal(9), as_of=as_of - timedelta(days=1))
    with own.writing() as connection:
        prices.record(connection, "aws", [mine, older])
    assert catalogue.price_book(own)("aws", "us-east-1", "m5.large") == mine


def test_two_at_once_put_it_in_once(own: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: catalogue.add_region(own, "aws", "us-east-1"), range(4)))
    assert sorted(added) == [0, 0, 0, 1367]
    assert rows(own) == 1367


def test_the_whole_catalogue_is_read_with_one_question(own: Store) -> None:
    catalogue.add_region(own, "azure", "westeurope")
    with own.reading() as connection:
        found = prices.newest(connection)
    assert len(found) == len(catalogue.shipped("azure", "westeurope"))
    assert [one.price.sku for one in found] == sorted(one.price.sku for one in found)
