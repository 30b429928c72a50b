"""The room's ingest: what is told to the journal, which months are asked for, and the price book."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.backend import Backend
from mcml.core.errors import McmlError, NotAuthenticated, Unavailable
from mcml.core.report import Silent
from mcml.cost.intake.ingest import ingest_files, ingest_provider, ingest_sample, whole_months
from mcml.cost.meter.prices import PriceBook, price_all
from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.store import prices
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from tests.cost.focus import row, text_row, write_csv

NOW = datetime(2026, 10, 6, 9, tzinfo=UTC)


def vcpu(region: str, price: str, *, currency: str = "USD", as_of: datetime = NOW) -> list[UnitPrice]:
    return [
        UnitPrice(sku, region, "hour", Decimal(price) if sku == "vcpu-hour" else Decimal("0.005"), currency, "mcml.toml", as_of)
        for sku in ("vcpu-hour", "gib-hour")
    ]


@dataclass
class Bill:
    """A provider's bill that remembers what it was asked."""

    said: list[FocusRow] = field(default_factory=list)
    listed: list[UnitPrice] = field(default_factory=list)
    asked: list[Period] = field(default_factory=list)
    failure: McmlError | None = None

    def rows(self, period: Period) -> Iterator[FocusRow]:
        self.asked.append(period)
        yield from self.said
        if self.failure:
            raise self.failure

    def freshness(self) -> Freshness:
        return Freshness(NOW, NOW)

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        return self.listed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'mcml.db'}") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cost"


def test_the_journal_is_told_once_a_currency(store: Store, folder: Path, tmp_path: Path) -> None:
    rows = [
        text_row(BilledCost="1.25"),
        text_row(BilledCost="2", BillingCurrency="EUR"),
        text_row(BilledCost="0.75", ServiceProviderName="Other"),
        text_row(BilledCost="9", ChargeCategory="?"),
        text_row(BillingCurrency=""),
    ]
    path = write_csv(tmp_path / "bill.csv", rows)
    done = ingest_files(Intake(folder), store, [path], Silent())
    found = [(entry.kind, entry.facts) for entry in store.entries()]
    common = {"source": "bill.csv", "delivery": done.delivery.id}
    assert found == [
        ("cost.ingested", {**common, "provider": "Acme Cloud", "currency": "EUR", "rows": 1, "quarantined": 0, "billed": "2"}),
        ("cost.ingested", {**common, "provider": "Acme Cloud, Other", "currency": "USD", "rows": 2, "quarantined": 1, "billed": "2"}),
        ("cost.ingested", {**common, "provider": "", "currency": "", "rows": 0, "quarantined": 1, "billed": "0"}),
    ]
    assert ingest_files(Intake(folder), store, [path], Silent()).unchanged
    assert len(store.entries()) == 3


def test_the_sample_ships_with_its_attribution(store: Store, folder: Path) -> None:
    done = ingest_sample(Intake(folder, dry_run=True), store, Silent())
    assert done.delivery.rows == 1000
    assert store.entries() == []
    from mcml.cost.intake.ingest import SAMPLE

    notice = (SAMPLE.parent / "NOTICE").read_text()
    assert "CC BY 4.0" in notice
    assert SAMPLE.name in notice


def test_a_provider_is_asked_for_whole_months(store: Store, folder: Path) -> None:
    assert whole_months(datetime(2026, 9, 29, 17, tzinfo=UTC), NOW) == Period(datetime(2026, 9, 1, tzinfo=UTC), NOW)
    bill = Bill([row("1", x_Source="measured")], vcpu("eu", "0.04"))
    done = ingest_provider(Intake(folder), store, bill, "acme", whole_months(NOW, NOW), Silent())
    assert bill.asked == [Period(datetime(2026, 10, 1, tzinfo=UTC), NOW)]
    assert done.delivery.booked[0]["source"] == "measured"
    with store.reading() as connection:
        assert [(each.provider, each.price.sku, each.price.price) for each in prices.newest(connection)] == [
            ("acme", "gib-hour", Decimal("0.005")),
            ("acme", "vcpu-hour", Decimal("0.04")),
        ]


def test_what_was_not_fetched_stays_on_the_bills_of_what_was(store: Store, folder: Path) -> None:
    """Charges of two months on the bill of each other: October is fetched, so what is known of September's charges stays."""
    september, october = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
    on_september = {"BillingPeriodStart": september, "BillingPeriodEnd": october}
    in_september = {"ChargePeriodStart": september, "ChargePeriodEnd": september + timedelta(hours=1)}
    both: list[FocusRow] = [row("5", **on_september, **in_september), row("7", **in_september), row("1"), row("2", **on_september)]
    first = ingest_provider(Intake(folder), store, Bill(both), "acme", Period(september, NOW), Silent())
    assert (first.delivery.rows, first.replaced) == (4, 0)
    second = ingest_provider(Intake(folder), store, Bill([row("10"), row("20")]), "acme", Period(october, NOW), Silent())
    assert (second.delivery.rows, second.replaced) == (2, 2)
    (found,) = Ledger(folder).totals(())
    assert (found.billed, found.rows) == (Decimal(5 + 7 + 10 + 20), 4)
    third = ingest_provider(Intake(folder), store, Bill([row("3", **in_september)]), "acme", Period(september, october), Silent())
    assert (third.delivery.rows, third.replaced) == (1, 2)
    assert Ledger(folder).totals(())[0].billed == Decimal(3 + 10 + 20)


def test_a_bill_that_breaks_off_books_nothing(store: Store, folder: Path) -> None:
    bill = Bill([row("1")], failure=NotAuthenticated("the token has expired"))
    with pytest.raises(NotAuthenticated):
        ingest_provider(Intake(folder), store, bill, "acme", Period(NOW, NOW), Silent())
    assert Ledger(folder).totals(()) == []
    assert store.entries() == []


# What the router reads


def backend(target: str, region: str) -> Backend:
    return Backend(target, "fraud", "127.0.0.1", 1, "acme", region)


EU, US = backend("eu-1", "eu"), backend("us-1", "us")


def record(store: Store, *listed: UnitPrice) -> None:
    with store.writing() as connection:
        prices.record(connection, "acme", listed)


def test_the_price_of_an_hour_comes_from_the_catalogue(store: Store, folder: Path) -> None:
    record(store, *vcpu("eu", "0.04", as_of=NOW - timedelta(days=2)), *vcpu("us", "0.06"), vcpu("ap", "0.01")[0])
    found = price_all(store, Ledger(folder), [EU, US, backend("ap-1", "ap"), backend("no-1", "nowhere")], NOW)
    assert {name: (price.value, price.unit) for name, price in found.items()} == {
        "fraud@eu-1": (Decimal("0.045"), "USD/hour"),
        "fraud@us-1": (Decimal("0.065"), "USD/hour"),
    }
    assert (found["fraud@eu-1"].source, found["fraud@eu-1"].as_of) == ("mcml.toml", NOW - timedelta(days=2))


def test_the_bill_sets_the_price_once_there_are_enough_requests(store: Store, folder: Path) -> None:
    record(store, *vcpu("eu", "0.04"), *vcpu("us", "0.06"))
    hour = NOW - timedelta(hours=3)
    times = {"ChargePeriodStart": hour, "ChargePeriodEnd": hour + timedelta(hours=1), "x_Source": "measured", "x_Model": "fraud"}
    memory = {**times, "SkuId": "gib-hour", "x_Target": "eu-1"}
    old = {**times, "ChargePeriodStart": NOW - timedelta(days=2), "ChargePeriodEnd": NOW - timedelta(days=1), "x_Target": "eu-1"}
    rows = [
        row("0.002", **times, x_Target="eu-1", x_Requests=4000),
        row("5", **memory),
        row("9", **old, x_Requests=9000),
        row("0.003", **times, x_Target="us-1", x_Requests=1000),
    ]
    Intake(folder, clock=lambda: NOW).rows(rows, origin="acme")
    found = price_all(store, Ledger(folder), [EU, US], NOW)
    assert {name: (price.value, price.unit, price.as_of) for name, price in found.items()} == {
        "fraud@eu-1": (Decimal("0.0005"), "USD/1000 requests", hour + timedelta(hours=1)),
        "fraud@us-1": (Decimal("0.003"), "USD/1000 requests", hour + timedelta(hours=1)),
    }


def test_the_price_book_reads_anew_once_a_minute_and_survives_a_failure(store: Store, folder: Path) -> None:
    now, told, broken = NOW, list[McmlError](), False

    def backends() -> list[Backend]:
        if broken:
            raise Unavailable("cannot list the endpoints")
        return [EU, US]

    book = PriceBook(store, Ledger(folder), backends, lambda: now, told.append)
    record(store, *vcpu("eu", "0.04"))

    def price(one: Backend) -> Decimal | None:
        found = book(one)
        return found.value if found else None

    assert (price(EU), price(US)) == (Decimal("0.045"), None)
    record(store, *vcpu("eu", "0.05", as_of=NOW + timedelta(seconds=1)))
    now += timedelta(seconds=59)
    assert price(EU) == Decimal("0.045")
    now += timedelta(seconds=1)
    assert price(EU) == Decimal("0.055")
    broken = True
    now += timedelta(minutes=2)
    assert price(EU) == Decimal("0.055")
    assert [failed.message for failed in told] == ["cannot list the endpoints"]
    assert price(backend("eu-9", "eu")) is None
    broken = False
    now += timedelta(minutes=1)
    assert price(backend("eu-9", "eu")) == Decimal("0.055")
