"""What AWS billed, from FOCUS exports and from cost and usage reports in a bucket."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.api.billing import Billing, Period
from mcml.providers.aws.billing_cur import CurReader
from mcml.providers.aws.billing_export import ExportBilling
from mcml.providers.aws.session import Session
from mcml.testing.contracts.billing import BillingContract
from mcml.testing.stubs.seeded_aws import NAMES, PAYER, export_files
from tests.providers.aws.billing_rig import FEBRUARY, LEDGER, WHOLE, of_month, put_export, sums, wanted
from tests.providers.aws.conftest import MakeSession


class TestFocusExport(BillingContract):
    table: Any = "focus"

    @pytest.fixture
    def billing(self, make_session: MakeSession, session: Session, s3_bucket: str) -> Billing:
        put_export(session, s3_bucket, LEDGER.seen(), table=self.table)
        return ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme"))

    @pytest.fixture
    def billed(self) -> Period:
        return Period(datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 17, tzinfo=UTC))

    def test_a_row_is_whole(self, billing: Billing) -> None:
        """What FOCUS 1.2 calls otherwise has the name of 1.4; tags and resources are there."""
        rows = [row for row in billing.rows(FEBRUARY) if row.get("Tags")]
        assert {json.loads(str(row["Tags"]))["team"] for row in rows} == {"search", "vision", "ops"}
        assert all(str(row["ResourceId"]).startswith("arn:aws:") for row in rows)
        assert {row["ServiceProviderName"] for row in rows} == {"AWS"}
        assert not {"ProviderName", "PublisherName"} & set(rows[0])


class TestCurExport(TestFocusExport):
    table = "cur"


def test_what_is_unused_of_a_reservation_is_net_where_the_bill_is() -> None:
    """An agreement's discount is in the net columns: of what is billed, and so of what it cost."""
    about = {
        "line_item_line_item_type": "RIFee", "line_item_usage_start_date": "2025-02-01T00:00:00.000Z",
        "line_item_usage_end_date": "2025-03-01T00:00:00.000Z", "bill_billing_period_start_date": "2025-02-01T00:00:00.000Z",
        "bill_payer_account_id": PAYER, "line_item_currency_code": "USD", "line_item_unblended_cost": "100",
        "reservation_unused_amortized_upfront_fee_for_billing_period": "20", "reservation_unused_recurring_fee": "30",
    }  # fmt: skip
    net = {
        "line_item_net_unblended_cost": "90", "reservation_net_unused_recurring_fee": "27",
        "reservation_net_unused_amortized_upfront_fee_for_billing_period": "18",
    }  # fmt: skip
    for record, billed, unused in ((about, 100, 50), (about | net, 90, 45)):
        fee, idle = CurReader().rows(record)
        assert (fee["ChargeCategory"], fee["BilledCost"], fee["EffectiveCost"]) == ("Purchase", billed, 0)
        assert (idle["ChargeCategory"], idle["BilledCost"], idle["EffectiveCost"]) == ("Usage", 0, unused)


@pytest.mark.parametrize(("first", "last"), [("discount", "usage"), ("usage", "discount")])
@pytest.mark.parametrize("kind", ["EdpDiscount", "PrivateRateDiscount", "BundledDiscount", "Discount"])
def test_a_discount_counts_once(kind: str, first: str, last: str) -> None:
    """In the net costs of the other lines, or in a line of its own: also where the bill tells the first with a blank in the second."""
    common = {
        "line_item_usage_start_date": "2025-02-01T00:00:00.000Z", "line_item_usage_end_date": "2025-02-02T00:00:00.000Z",
        "bill_billing_period_start_date": "2025-02-01T00:00:00.000Z", "bill_payer_account_id": PAYER, "line_item_currency_code": "USD",
    }  # fmt: skip
    for usage_net, discount_net in (("90", ""), ("90", "0"), ("", "")):
        lines = {
            "usage": {"line_item_line_item_type": "Usage", "line_item_unblended_cost": "100", "line_item_net_unblended_cost": usage_net},
            "discount": {"line_item_line_item_type": kind, "line_item_unblended_cost": "-10", "line_item_net_unblended_cost": discount_net},
        }
        cur = CurReader()
        rows = [row for name in (first, last) for row in cur.rows(common | lines[name])] + list(cur.rest())
        assert sums(rows, "BilledCost") == {(): 90}
        assert sums(rows, "EffectiveCost") == {(): 90}
        assert {row["x_RecordType"] for row in rows} == {"Usage", kind}


@pytest.mark.parametrize("table", ["focus", "cur"])
def test_an_export_says_what_was_billed(table: Any, session: Session, s3_bucket: str, make_session: MakeSession) -> None:
    put_export(session, s3_bucket, LEDGER.seen(1), table=table)
    billing = ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme"))
    for delivery in (1, 2):
        put_export(session, s3_bucket, LEDGER.seen(delivery), table=table)  # it overwrites
        rows, charges = list(billing.rows(WHOLE)), LEDGER.seen(delivery)
        assert sums(rows, "BilledCost", "BillingPeriodStart") == wanted(charges, "billed", of_month)
        assert sums(rows, "EffectiveCost", "BillingPeriodStart") == wanted(charges, "effective", of_month)
        assert sums(rows, "ListCost", "BillingPeriodStart") == wanted(charges, "listed", of_month)
        by_service = wanted(charges, "billed", lambda c: (NAMES.services[c.service].name,))
        assert sums(rows, "BilledCost", "ServiceName") == by_service


def test_a_line_item_that_is_not_negated_is_kept(session: Session, s3_bucket: str, make_session: MakeSession) -> None:
    charges = [one for one in LEDGER.seen() if one.month.month == 2]
    files = export_files(charges, bucket=s3_bucket, table="cur", rows_a_file=10_000)
    for key, body in files.items():
        if key.endswith(".gz"):
            lines = gzip.decompress(body).splitlines(keepends=True)
            at = next(number for number, line in enumerate(lines) if b"SavingsPlanNegation" in line)
            body = gzip.compress(b"".join(lines[:at] + lines[at + 1 :]))
        session.client("s3").put_object(Bucket=s3_bucket, Key=key, Body=body)
    billing = ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme"))
    rows = list(billing.rows(FEBRUARY))
    covered = next(one for one in charges if one.kind == "covered")
    (kept,) = (row for row in rows if row["x_RecordType"] == "SavingsPlanNegation")
    assert (kept["ChargeCategory"], kept["BilledCost"]) == ("Adjustment", covered.listed)


def test_the_newest_of_deliveries_that_are_kept(session: Session, s3_bucket: str, make_session: MakeSession) -> None:
    """Old data lies beside new, and files of a delivery under way beside both: the manifest decides."""
    put_export(session, s3_bucket, LEDGER.seen(1), execution="20250328T0600-1b2c")
    put_export(session, s3_bucket, LEDGER.seen(2), execution="20250329T0600-9f00")
    stray = "exports/acme/data/billing_period=2025-02/20250329T1200-aaaa/acme-00001.csv.gz"
    session.client("s3").put_object(Bucket=s3_bucket, Key=stray, Body=b"half a file")
    billing = ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme/"))
    assert sums(billing.rows(WHOLE), "BilledCost", "BillingPeriodStart") == wanted(LEDGER.seen(2), "billed", of_month)


def test_prices_on_the_bill(session: Session, s3_bucket: str, make_session: MakeSession) -> None:
    put_export(session, s3_bucket, LEDGER.seen())
    billing = ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme"))
    prices = {(price.sku, price.region): price.price for price in billing.unit_prices()}
    assert prices[NAMES.skus["vm-small"], "eu-west-1"] == Decimal("0.21120")


def test_what_is_wrong_with_an_export_is_said(session: Session, s3_bucket: str, make_session: MakeSession) -> None:
    s3 = session.client("s3")
    billing = ExportBilling(make_session(billing_export=f"s3://{s3_bucket}/exports/acme"))
    with pytest.raises(NotFound, match="no export under"):
        list(billing.rows(FEBRUARY))

    def manifest(file: str, body: bytes) -> None:
        s3.put_object(Bucket=s3_bucket, Key=f"exports/acme/data/{file}", Body=body)
        text = json.dumps({"dataFiles": [f"s3://{s3_bucket}/exports/acme/data/{file}"]})
        s3.put_object(Bucket=s3_bucket, Key="exports/acme/metadata/BILLING_PERIOD=2025-02/acme-Manifest.json", Body=text.encode())

    manifest("acme-00001.snappy.parquet", b"PAR1")
    with pytest.raises(InvalidRequest) as parquet:
        list(billing.rows(FEBRUARY))
    assert parquet.value.next_step == (
        f"mcml data cp s3://{s3_bucket}/exports/acme/data/acme-00001.snappy.parquet . && mcml cost ingest acme-00001.snappy.parquet"
    )
    whole = gzip.compress(b"BilledCost,ChargePeriodStart\n" + b"1,2025-02-01\n" * 50)
    manifest("torn.csv.gz", whole[:-9])
    with pytest.raises(Unavailable, match="torn"):
        list(billing.rows(FEBRUARY))
    manifest("short.csv", b"BilledCost,ChargePeriodStart\n1\n")
    with pytest.raises(InvalidRequest, match="line 2"):
        list(billing.rows(FEBRUARY))
    manifest("bad.csv", b"BilledCost,ChargePeriodStart\none,2025-02-01\n")
    with pytest.raises(InvalidRequest, match="BilledCost 'one'"):
        list(billing.rows(FEBRUARY))
    manifest("empty.csv", b"")
    assert list(billing.rows(FEBRUARY)) == []
    place = "exports/acme/metadata/BILLING_PERIOD=2025-02/acme-Manifest.json"
    for text in (b'{"dataFiles": [', b"[]", b'{"dataFiles": "acme-00001.csv.gz"}', b'{"dataFiles": [1]}'):
        s3.put_object(Bucket=s3_bucket, Key=place, Body=text)
        with pytest.raises(InvalidRequest, match=f"cannot read the manifest s3://{s3_bucket}/{place}") as broken:
            list(billing.rows(FEBRUARY))
        assert broken.value.next_step.startswith(f"mcml data cp s3://{s3_bucket}/{place} .")
