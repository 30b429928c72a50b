"""The bill of Google Cloud: export rows in, FOCUS rows out, from the BigQuery emulator; prices from a stub of the catalogue."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, McmlError, NotFound
from mcml.providers.api.billing import Billing, FocusRow, Period
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import bigquery as jobs
from mcml.providers.gcp import billing_prices
from mcml.providers.gcp.billing import EPOCH, GcpBilling, open_billing
from mcml.providers.gcp.billing_prices import first_paid
from mcml.providers.gcp.billing_rows import amount, focus_rows, month_of, total
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.settings import Settings
from mcml.store.ledger.intake import Intake
from mcml.testing.contracts.billing import BillingContract
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub
from tests.providers.gcp.billing_table import DETAILED, JAN, JANUARY, PRICING, credit, field, line, make_table, price_line, rates, struct
from tests.providers.gcp.conftest import PROJECT, MakeSession

MakeBilling = Callable[..., GcpBilling]

LINES = [
    line(0),
    line(1, credits=[credit("SUSTAINED_USAGE_DISCOUNT", -0.0063222), credit("PROMOTION", -0.05, "Coupon")]),
    line(2, credits=[credit("COMMITTED_USAGE_DISCOUNT", -0.03, "CUD 1 year")]),
    line(3, sku={"id": "X", "description": "Spot Preemptible N1 Instance Core"}, cost=1.8e-05, cost_at_list=None),
    line(30, cost_type="tax", cost=0.01, usage=None, resource=None, cost_at_list=None, sku={"id": None, "description": "Tax"}),
    line(31, cost_type="rounding_error", cost=-1e-06, cost_at_list=None, usage=None),
    line(40, invoice={"month": "202602"}, cost_type="adjustment", cost=-0.5, cost_at_list=None, export_time="2026-02-03T00:00:00Z"),
]


@pytest.fixture
def make_billing(bigquery: ProviderContext, tmp_path: Path) -> MakeBilling:
    """Makes a bill of rows; keywords are those of `make_table`, or settings."""

    def make(rows: Sequence[dict[str, Any]], *, pricing_table: str = "", **options: Any) -> GcpBilling:
        table = make_table(bigquery, tmp_path, rows, **options)
        settings = Settings(project=PROJECT, billing_table=table, pricing_table=pricing_table)
        return GcpBilling(Session(replace(bigquery, settings=settings, clock=lambda: JAN + timedelta(days=31))))

    return make


@pytest.fixture
def pricing(bigquery: ProviderContext, tmp_path: Path) -> str:
    rows = [
        price_line("2E27-4F75-95CD", 20),
        price_line("2E27-4F75-95CD", 19, list_price=rates(("0", "9")), billing_account_price=None),
        price_line("X", 20, geo_taxonomy={"type": "GLOBAL"}, billing_account_price=None, list_price=rates(("0", "5"), quantity="1000")),
        price_line("never used", 20),
    ]
    return make_table(bigquery, tmp_path, rows, name="cloud_pricing_export", schema=PRICING, partitioned=False)


class TestOnTheEmulator(BillingContract):
    """The detailed export, with the pricing export beside it."""

    @pytest.fixture
    def billing(self, make_billing: MakeBilling, pricing: str) -> Billing:
        return make_billing(LINES, pricing_table=pricing)

    @pytest.fixture
    def billed(self) -> Period:
        return JANUARY


FOCUS = [
    *(field(name, "STRING") for name in ("BillingAccountId", "BillingAccountName", "BillingCurrency", "ChargeCategory", "ChargeClass")),
    *(field(name, "STRING") for name in ("ChargeDescription", "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceName")),
    *(field(name, "STRING") for name in ("ServiceCategory", "SkuId", "RegionId", "PricingUnit", "SubAccountId")),
    *(field(name, "NUMERIC") for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ListUnitPrice", "PricingQuantity")),
    *(field(f"{name}Period{end}", "TIMESTAMP") for name in ("Charge", "Billing") for end in ("Start", "End")),
    field("x_ExportTime", "TIMESTAMP"),
    struct("Tags", "REPEATED", key="STRING", value="STRING"),
    struct("x_Credits", "REPEATED", Name="STRING", Amount="FLOAT"),
]
FOCUS_LINE = {
    "BillingAccountId": "A", "BillingCurrency": "EUR", "ChargeCategory": "Usage", "ProviderName": "Google Cloud",
    "PublisherName": "Google",
    "InvoiceIssuerName": "Google Cloud", "ServiceName": "Compute Engine", "ServiceCategory": "Compute", "SkuId": "S",
    "RegionId": "us-east1",
    "PricingUnit": "hour", "BilledCost": "1.5", "EffectiveCost": "1.25", "ListCost": "3", "ContractedCost": "2", "ListUnitPrice": "1.5",
    "PricingQuantity": "2", "ChargePeriodStart": "2026-01-02T00:00:00Z", "ChargePeriodEnd": "2026-01-02T01:00:00Z",
    "BillingPeriodStart": "2026-01-01T08:00:00Z", "BillingPeriodEnd": "2026-02-01T08:00:00Z", "x_ExportTime": "2026-01-04T00:00:00Z",
    "Tags": [{"key": "team", "value": "risk"}], "x_Credits": [{"Name": "c", "Amount": -0.1}],
}  # fmt: skip


class TestGooglesFocusExport(BillingContract):
    @pytest.fixture
    def billing(self, make_billing: MakeBilling) -> Billing:
        other = FOCUS_LINE | {"RegionId": None, "SkuId": "T"}
        rows = [FOCUS_LINE, other]
        return make_billing(rows, name="gcp_billing_export_focus_010101_F0FFF0_61C528", schema=FOCUS, partitioned=False)

    @pytest.fixture
    def billed(self) -> Period:
        return JANUARY

    def test_old_names_become_todays(self, billing: Billing) -> None:
        row = next(iter(billing.rows(JANUARY)))
        assert (row["ServiceProviderName"], row["x_PublisherName"], row["HostProviderName"]) == ("Google Cloud", "Google", "Google Cloud")
        assert (row["Tags"], row["x_Credits"]) == ('{"team": "risk"}', '[{"Amount": "-0.1", "Name": "c"}]')
        assert "ProviderName" not in row


def sums(rows: Sequence[FocusRow], column: str = "BilledCost") -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        category = str(row["ChargeCategory"])
        found[category] = total([found.get(category, Decimal(0)), amount(row[column])])
    return found


def test_the_invoice_is_cost_and_all_credits_to_the_last_digit(make_billing: MakeBilling) -> None:
    rows = list(make_billing(LINES).rows(JANUARY))
    assert sums(rows) == {
        "Usage": Decimal("0.063222") * 3 - Decimal("0.0063222") - Decimal("0.03") + Decimal("0.000018"),
        "Credit": Decimal("-0.05"),
        "Tax": Decimal("0.01"),
        "Adjustment": Decimal("-0.500001"),
    }
    assert [row["ChargeClass"] for row in rows if row["x_CostType"] == "adjustment"] == ["Correction"]


def test_what_a_row_says(make_billing: MakeBilling) -> None:
    (row,) = make_billing([line(5)]).rows(JANUARY)
    told = {
        name: row[name]
        for name in ("BillingAccountId", "SubAccountId", "SubAccountName", "ServiceName", "ServiceCategory", "RegionId", "SkuId")
    }
    assert list(told.values()) == [
        "010101-F0FFF0-61C528",
        "ml-prod",
        "ML production",
        "Compute Engine",
        "Compute",
        "us-east1",
        "2E27-4F75-95CD",
    ]
    assert (row["ListUnitPrice"], row["PricingQuantity"], row["ListCost"]) == (Decimal("0.031611"), Decimal("2.0"), Decimal("0.063222"))
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["PricingCategory"]) == (Decimal("7200.0"), "seconds", "Standard")
    assert json.loads(str(row["Tags"])) == {"1234/cost-center": "42", "env": "prod", "team": "risk"}
    assert (row["ResourceName"], row["AvailabilityZone"]) == ("vm-1", "us-east1-b")
    assert (row["SkuPriceId"], row["x_InvoiceMonth"]) == ("2E27-4F75-95CD/0", "202601")


def test_a_late_row_has_its_day_of_use_and_the_month_of_its_invoice(make_billing: MakeBilling) -> None:
    billing = make_billing([line(40, invoice={"month": "202602"}, export_time="2026-02-03T10:00:00Z")])
    (row,) = billing.rows(JANUARY)
    assert row["ChargePeriodStart"] == datetime(2026, 1, 2, 16, tzinfo=UTC)
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert list(billing.rows(Period(JANUARY.end, datetime(2026, 3, 1, tzinfo=UTC)))) == []
    fresh = billing.freshness()
    assert (fresh.changed_at, fresh.complete_until) == (datetime(2026, 2, 3, 10, tzinfo=UTC), datetime(2026, 2, 1, 10, tzinfo=UTC))


def test_categories_and_commitments(make_billing: MakeBilling) -> None:
    rows = list(make_billing(LINES).rows(JANUARY))
    by_hour = {row["ChargePeriodStart"].hour: row for row in rows if row["ChargeCategory"] == "Usage"}  # type: ignore[attr-defined]
    assert [by_hour[hour]["PricingCategory"] for hour in range(4)] == ["Standard", "Standard", "Committed", "Dynamic"]
    committed = by_hour[2]
    assert (committed["CommitmentDiscountId"], committed["CommitmentDiscountCategory"]) == ("id of CUD 1 year", "Usage")
    assert committed["CommitmentDiscountStatus"] == "Used"


def test_what_is_not_known_is_booked_and_says_so() -> None:
    record = line(0, cost_type="surcharge", credits=[credit("NEW_KIND", -0.01), credit("PROMOTION", -0.02)])
    record |= {name: datetime.fromisoformat(record[name]) for name in ("usage_start_time", "usage_end_time")}
    charge, new, promotion = focus_rows(record)
    assert (charge["ChargeCategory"], charge["x_Diagnostic"]) == (
        "Adjustment",
        "cost type 'surcharge' is not known: booked as an adjustment",
    )
    assert (new["ChargeCategory"], new["x_Diagnostic"]) == ("Adjustment", "credit type 'NEW_KIND' is not known: booked as an adjustment")
    assert (promotion["ChargeCategory"], promotion["BilledCost"]) == ("Credit", Decimal("-0.02"))


@given(
    st.lists(st.tuples(st.decimals(-1000, 1000, places=12), st.lists(st.decimals(-9, 0, places=15), max_size=4)), max_size=8), st.randoms()
)
def test_not_a_digit_is_lost(bill: list[tuple[Decimal, list[Decimal]]], random: Any) -> None:
    kinds = ["PROMOTION", "SUSTAINED_USAGE_DISCOUNT", "NEVER_SEEN", "FREE_TIER"]
    rows: list[FocusRow] = []
    for cost, paid in bill:
        made = line(0, cost=cost, credits=[credit(random.choice(kinds), one) for one in paid])  # type: ignore[arg-type]
        made |= {name: datetime.fromisoformat(made[name]) for name in ("usage_start_time", "usage_end_time")}
        rows += focus_rows(made)
    assert total([amount(row["BilledCost"]) for row in rows]) == total(
        [cost for cost, _ in bill] + [one for _, paid in bill for one in paid]
    )


def test_amounts_fit_the_ledger() -> None:
    assert amount(Decimal("1.2345678901234567e-12")) == Decimal("1.234567890123E-12")
    assert amount("0.1") == Decimal("0.1")
    assert amount(None) == 0
    assert month_of("202612") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_the_ledger_books_every_row(make_billing: MakeBilling, tmp_path: Path) -> None:
    booked = Intake(tmp_path / "ledger").rows(make_billing(LINES).rows(JANUARY), origin="gcp")
    assert (booked.delivery.rows, booked.delivery.quarantined) == (8, 0)


def test_a_bill_of_many_pages(make_billing: MakeBilling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PAGE_ROWS", 5)
    rows = list(make_billing([line(hour) for hour in range(23)]).rows(JANUARY))
    assert sorted(row["ChargePeriodStart"] for row in rows) == [JAN + timedelta(hours=hour) for hour in range(23)]  # type: ignore[type-var]


def test_a_standard_export_has_no_resources(make_billing: MakeBilling) -> None:
    """And an old one lacks what Google added later."""
    later = ("resource", "price", "cost_at_list", "consumption_model", "seller_name", "tags")
    schema = [one for one in DETAILED if one.name not in later]
    row = {name: value for name, value in line(0).items() if name not in later}
    billing = make_billing([row], name="gcp_billing_export_v1_010101_F0FFF0_61C528", schema=schema)
    (found,) = billing.rows(JANUARY)
    assert (found["ResourceId"], found["ListCost"], found["ListUnitPrice"], found["SkuPriceId"]) == (None, Decimal("0.063222"), None, None)


def test_a_row_that_is_still_in_a_stream_counts(make_billing: MakeBilling) -> None:
    """It is in no partition yet. The emulator puts it into one at once, so the question itself is looked at, too."""
    billing = make_billing([line(0)])
    session = billing._session
    assert session.bigquery.insert_rows_json(session.bigquery.get_table(billing._table, retry=None), [line(1)], retry=None) == []
    assert len(list(billing.rows(JANUARY))) == 2
    assert "OR _PARTITIONTIME IS NULL)" in billing._pruned(JANUARY.start, "@start")


def test_an_empty_export(make_billing: MakeBilling) -> None:
    billing = make_billing([])
    assert list(billing.rows(JANUARY)) == []
    assert (billing.freshness().changed_at, billing.freshness().complete_until) == (EPOCH, EPOCH)


def test_prices_of_the_account_go_before_list_prices(make_billing: MakeBilling, pricing: str) -> None:
    found = {price.sku: price for price in make_billing(LINES, pricing_table=pricing).unit_prices()}
    assert set(found) == {"2E27-4F75-95CD", "X"}
    core, other = found["2E27-4F75-95CD"], found["X"]
    assert (core.price, core.unit, core.region, core.as_of) == (Decimal("0.031611"), "h", "us-east1", datetime(2026, 1, 20, 7, tzinfo=UTC))
    assert (other.price, other.unit, other.region) == (Decimal(5), "1000 h", "global")
    assert core.source == f"BigQuery table {pricing}"


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ("", InvalidRequest, "no billing export is set"),
        (f"{PROJECT}.never.was", NotFound, "cannot look at table"),
        ("other", InvalidRequest, "is no billing export"),
    ],
)
def test_an_export_that_is_none(bigquery: ProviderContext, tmp_path: Path, table: str, error: type[McmlError], message: str) -> None:
    if table == "other":
        table = make_table(bigquery, tmp_path, [], schema=[field("a", "STRING")])
    billing = open_billing(replace(bigquery, settings=Settings(project=PROJECT, billing_table=table)))
    for ask in (lambda: list(billing.rows(JANUARY)), billing.freshness):
        with pytest.raises(error, match=message) as caught:
            ask()
        assert error is NotFound or "https://cloud.google.com/billing/docs/" in caught.value.next_step


@pytest.fixture
def catalogue() -> Iterator[DiscoveryStub]:
    with DiscoveryStub("cloudbilling.v1") as stub:
        yield stub


def sku(
    number: int, *tiers: tuple[float, int, int], regions: Sequence[str] = ("us-east1", "europe-west1"), at: str = "2026-01-01"
) -> dict[str, Any]:
    rated = [
        {"startUsageAmount": start, "unitPrice": {"currencyCode": "EUR", "units": str(units), "nanos": nanos}}
        for start, units, nanos in tiers
    ]
    expression = {"usageUnit": "h", "displayQuantity": 1, "tieredRates": rated}
    return {
        "name": f"services/6F81-5844-456A/skus/SKU-{number}",
        "skuId": f"SKU-{number}",
        "serviceRegions": list(regions),
        "pricingInfo": [{"effectiveTime": f"{at}T00:00:00Z", "pricingExpression": expression}],
    }


def test_list_prices_come_from_the_catalogue_page_by_page(
    catalogue: DiscoveryStub, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_prices, "PAGE", 2)
    skus = [
        sku(1, (0, 0, 31_611_000)),
        sku(2, (0, 0, 0), (5, 1, 500_000_000)),
        sku(3, (0, 9, 0)),
        sku(4, regions=()),
        sku(5, (0, 2, 1), regions=()),
    ]

    def page(call: Call) -> dict[str, Any]:
        assert (call["parent"], call["currencyCode"], call["pageSize"]) == ("services/6F81-5844-456A", "EUR", "2")
        start = int(call.get("pageToken", "") or 0)
        return {"skus": skus[start : start + 2], "nextPageToken": str(start + 2) if start + 2 < len(skus) else ""}

    catalogue.on("cloudbilling.services.skus.list", page)
    used = {"6F81-5844-456A": frozenset({"SKU-1", "SKU-2", "SKU-4", "SKU-5"})}
    found = list(billing_prices.from_catalog(make_session(endpoint=catalogue.url), used, "EUR"))
    assert [(price.sku, price.region, price.price) for price in found] == [
        ("SKU-1", "us-east1", Decimal("0.031611000")), ("SKU-1", "europe-west1", Decimal("0.031611000")),
        ("SKU-2", "us-east1", Decimal("1.5")), ("SKU-2", "europe-west1", Decimal("1.5")),
        ("SKU-5", "global", Decimal("2.000000001")),
    ]  # fmt: skip
    assert {(price.unit, price.currency, price.as_of) for price in found} == {("h", "EUR", JAN)}
    assert found[0].source == "Cloud Billing Catalog, services/6F81-5844-456A/skus/SKU-1"


def test_the_first_price_that_is_none_is_shown_when_all_are_free() -> None:
    zero = Decimal(0)
    assert first_paid([(zero, zero)]) == 0
    assert first_paid([(Decimal(10), Decimal(3)), (zero, zero), (Decimal(5), Decimal(4))]) == 4
