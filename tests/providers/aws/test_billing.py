"""The bill of AWS: Cost Explorer on a stub of its model that filters, groups and pages the seeded ledger; exports in S3 on moto."""

import gzip
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.billing import Billing, FocusRow, Period
from mcml.providers.aws.billing import open_billing
from mcml.providers.aws.billing_cur import CurReader
from mcml.providers.aws.billing_explorer import ExplorerBilling
from mcml.providers.aws.billing_export import ExportBilling
from mcml.providers.aws.session import Session
from mcml.testing.contracts.billing import BillingContract
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Reset
from mcml.testing.stubs.seeded_aws import NAMES, PAYER, export_files, serve
from mcml.testing.stubs.seeded_ledger import NOW, Charge, SeededLedger, total
from tests.providers.aws.conftest import CREDENTIALS, MakeContext, MakeSession, Waits

LEDGER = SeededLedger(seed=11)
WHOLE = Period(datetime(2025, 1, 1, tzinfo=UTC), NOW)
FEBRUARY = Period(datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC))


def clock() -> datetime:
    return NOW


def sums(rows: Iterable[FocusRow], column: str, *by: str) -> dict[tuple[object, ...], Decimal]:
    """Add a column up by other columns; zeros are left out."""
    found: dict[tuple[object, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        amount = row[column]
        assert isinstance(amount, Decimal)
        found[tuple(row.get(name) for name in by)] += amount
    return {key: amount for key, amount in found.items() if amount}


def wanted(charges: Iterable[Charge], column: Any, by: Callable[[Charge], tuple[object, ...]]) -> dict[tuple[object, ...], Decimal]:
    return {key: amount for key, amount in total(charges, column, by).items() if amount}


def of_month(charge: Charge) -> tuple[object, ...]:
    return (datetime(charge.month.year, charge.month.month, 1, tzinfo=UTC),)


@pytest.fixture
def stub() -> Iterator[AwsModel]:
    with AwsModel("ce", "pricing", "sts") as standing:
        serve(standing, LEDGER.seen, page=40)
        yield standing


@pytest.fixture
def explorer(stub: AwsModel, make_session: MakeSession) -> ExplorerBilling:
    return ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock))


class TestCostExplorer(BillingContract):
    @pytest.fixture
    def billing(self, explorer: ExplorerBilling) -> Billing:
        return explorer

    @pytest.fixture
    def billed(self) -> Period:
        return Period(datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 17, tzinfo=UTC))


def put_export(session: Session, bucket: str, charges: Iterable[Charge], **options: Any) -> None:
    for key, body in export_files(charges, bucket=bucket, **options).items():
        session.client("s3").put_object(Bucket=bucket, Key=key, Body=body)


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


def test_cost_explorer_says_what_was_billed(explorer: ExplorerBilling, stub: AwsModel) -> None:
    """To the last digit: by month, by service, by account, and what it cost when commitments are spread."""
    rows, charges = list(explorer.rows(WHOLE)), LEDGER.seen()
    assert sums(rows, "BilledCost", "BillingPeriodStart") == wanted(charges, "billed", of_month)
    assert sums(rows, "EffectiveCost", "BillingPeriodStart") == wanted(charges, "effective", of_month)
    assert sums(rows, "BilledCost", "ServiceName") == wanted(charges, "billed", lambda c: (NAMES.services[c.service].name,))
    assert sums(rows, "BilledCost", "SubAccountId", "SubAccountName") == wanted(charges, "billed", lambda c: NAMES.accounts[c.account])
    assert {row["BillingAccountId"] for row in rows} == {PAYER}
    assert {row["x_Estimated"] for row in rows if row["BillingPeriodStart"] == datetime(2025, 3, 1, tzinfo=UTC)} == {"true"}
    assert {row["x_Estimated"] for row in rows if row["BillingPeriodStart"] == datetime(2025, 2, 1, tzinfo=UTC)} == {"false"}
    assert any("NextPageToken" in asked for asked in stub.requests("ce", "GetCostAndUsage"))


def test_commitments_spot_tax_and_credits_are_told_apart(explorer: ExplorerBilling) -> None:
    rows, charges = list(explorer.rows(FEBRUARY)), [one for one in LEDGER.seen() if one.month.month == 2]

    def paid(kinds: tuple[str, ...], column: Any = "billed") -> Decimal:
        return sum((getattr(one, column) for one in charges if one.kind in kinds), Decimal(0))

    categories = sums(rows, "BilledCost", "ChargeCategory")
    assert categories["Purchase",] == paid(("fee",))
    assert categories["Tax",] == paid(("tax",))
    assert categories["Credit",] == paid(("credit",)) < 0
    assert categories["Adjustment",] == paid(("refund",)) < 0
    assert sums(rows, "EffectiveCost", "x_CommitmentStatus")["Unused",] == paid(("unused", "idle"), "effective")
    assert sums(rows, "EffectiveCost", "x_CommitmentStatus")["Used",] == paid(("covered", "reserved"), "effective")
    spot = [row for row in rows if row["PricingCategory"] == "Dynamic"]
    assert sum(Decimal(str(row["BilledCost"])) for row in spot) == paid(("spot",)) > 0
    assert {row["RegionId"] for row in rows if str(row.get("SkuMeter")).startswith("EU-")} == {"eu-west-1"}


def test_a_tag_in_place_of_usage_types(stub: AwsModel, make_session: MakeSession) -> None:
    billing = ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock, billing_tag="team"))
    rows = list(billing.rows(FEBRUARY))
    charges = [one for one in LEDGER.seen() if one.month.month == 2]

    def tagged(charge: Charge) -> tuple[object, ...]:
        return (json.dumps({"team": charge.team}) if charge.team else None,)

    assert sums(rows, "BilledCost", "Tags") == wanted(charges, "billed", tagged)
    assert sums(rows, "EffectiveCost", "Tags") == wanted(charges, "effective", tagged)


def test_what_a_negation_does_not_cancel_is_kept(stub: AwsModel, explorer: ExplorerBilling) -> None:
    """A line that AWS negates tomorrow: today's bill still adds up."""
    from mcml.testing.stubs.seeded_aws import cost_and_usage

    def short(asked: dict[str, Any]) -> dict[str, Any]:
        answer = cost_and_usage(LEDGER.seen(), asked, page=10_000)
        for day in answer["ResultsByTime"]:
            for group in day["Groups"]:
                if "SavingsPlanNegation" in json.dumps(asked.get("Filter", "")) and day["TimePeriod"]["Start"] == "2025-02-11":
                    group["Metrics"]["UnblendedCost"]["Amount"] = "-1.5"
        return answer

    stub.on("ce", "GetCostAndUsage", short)
    rows = [row for row in explorer.rows(FEBRUARY) if row["x_RecordType"] == "SavingsPlanNegation"]
    assert {row["ChargeCategory"] for row in rows} == {"Adjustment"}
    assert {row["ChargePeriodStart"] for row in rows} == {datetime(2025, 2, 11, tzinfo=UTC)}
    assert sum(Decimal(str(row["BilledCost"])) for row in rows) > 0


def test_what_amazon_asks_to_pay(explorer: ExplorerBilling, stub: AwsModel) -> None:
    """A month is some pages: the docstring promises no more than 30 cents for three accounts."""
    list(explorer.rows(FEBRUARY))
    pages = [asked for asked in stub.requests("ce", "GetCostAndUsage") if "NextPageToken" not in asked]
    assert len(pages) <= 25


def test_days_beyond_fourteen_months_are_refused_with_the_way_out(explorer: ExplorerBilling) -> None:
    with pytest.raises(InvalidRequest) as refused:
        list(explorer.rows(Period(datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC))))
    assert "14 months" in str(refused.value.why)
    assert "billing_export" in refused.value.next_step


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 10, tzinfo=UTC)),
        (datetime(2025, 2, 10, 10, tzinfo=UTC), datetime(2025, 2, 10, 12, tzinfo=UTC)),
        (NOW + timedelta(days=2), NOW + timedelta(days=9)),
        (datetime(2020, 2, 10, tzinfo=UTC), datetime(2020, 2, 20, tzinfo=UTC)),
    ],
)
def test_a_period_without_a_day_is_not_paid_for(explorer: ExplorerBilling, stub: AwsModel, start: datetime, end: datetime) -> None:
    """Amazon refuses a period that is empty."""
    assert list(explorer.rows(Period(start, end))) == []
    assert stub.requests("ce", "GetCostAndUsage") == []


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
@pytest.mark.parametrize("kind", ["EdpDiscount", "PrivateRateDiscount"])
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


def test_freshness_of_cost_explorer(explorer: ExplorerBilling) -> None:
    fresh = explorer.freshness()
    assert fresh.complete_until == datetime(2025, 3, 28, tzinfo=UTC)
    assert fresh.complete_until <= fresh.changed_at <= NOW


def test_prices_of_what_was_used(explorer: ExplorerBilling, stub: AwsModel) -> None:
    prices = {(price.sku, price.region): price for price in explorer.unit_prices()}
    assert prices[NAMES.skus["vm-small"] + "0", "us-east-1"].price == Decimal("0.1920")
    assert prices[NAMES.skus["vm-small"] + "1", "eu-west-1"].price == Decimal("0.21120")
    assert prices[NAMES.skus["requests"] + "0", "us-east-1"].price == Decimal("0.0000004")
    assert {price.as_of for price in prices.values()} == {NOW}
    assert {price.region for price in explorer.unit_prices("eu-west-1")} == {"eu-west-1"}


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


def test_the_settings_choose(make_context: MakeContext) -> None:
    assert isinstance(open_billing(make_context()), ExplorerBilling)
    assert isinstance(open_billing(make_context(billing_export="s3://acme-bill/exports/acme")), ExportBilling)


SLOW_DOWN = Answer(429, {"Retry-After": "7"}, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
LIMIT = Answer(400, {"Content-Type": "application/x-amz-json-1.1"}, b'{"__type": "LimitExceededException", "message": "too many calls"}')
FAULTS: dict[str, Fault] = {
    "refused": Refuse(0.05),
    "reset": Reset(),
    "lost": Reset(reaches_server=True),
    "slow": Delay(30),
    "half a body": HalfBody(),
    "throttled": SLOW_DOWN,
    "limited": LIMIT,
    "broken": Answer(500),
}
METHODS: dict[str, Callable[[Billing], object]] = {
    "rows": lambda billing: sums(billing.rows(FEBRUARY), "BilledCost"),
    "freshness": lambda billing: billing.freshness(),
    "unit_prices": lambda billing: {(price.sku, price.region) for price in billing.unit_prices()},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_cost_explorer_goes_on(fault: str, method: str, stub: AwsModel, make_session: MakeSession, waits: Waits) -> None:
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=clock, timeout=(5, 0.5), attempts=9))
        straight = ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock))
        waits.after = partial(time.sleep, 0.02)
        proxy.script(FAULTS[fault])
        assert METHODS[method](billing) == METHODS[method](straight)
        assert proxy.unused == []
        assert fault != "throttled" or max(waits.seconds) >= 7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "limited"])
def test_an_export_goes_on(
    fault: str, method: str, waits: Waits, proxy: FaultProxy, session: Session, s3_bucket: str, make_session: MakeSession
) -> None:
    waits.after = partial(time.sleep, 0.02)
    put_export(session, s3_bucket, [charge for charge in LEDGER.seen() if charge.day.day < 4])
    place = {"billing_export": f"s3://{s3_bucket}/exports/acme"}
    billing = ExportBilling(make_session(endpoint_url=proxy.url, timeout=(5, 0.5), attempts=9, **place))
    proxy.script(FAULTS[fault])
    assert METHODS[method](billing) == METHODS[method](ExportBilling(make_session(**place)))
    assert proxy.unused == []


@pytest.mark.parametrize(
    ("code", "step"),
    [("ExpiredTokenException", "aws configure"), ("AccessDeniedException", "aws sts get-caller-identity")],
)
def test_who_may_not_look_is_told(code: str, step: str, stub: AwsModel, make_session: MakeSession) -> None:
    body = json.dumps({"__type": code, "message": f"no: {CREDENTIALS[0]}"}).encode()
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=lambda: datetime.now(UTC)))
        proxy.script(*[Answer(400, {"Content-Type": "application/x-amz-json-1.1"}, body)] * 3)
        with pytest.raises(NotAuthenticated) as refused:
            billing.freshness()
    told = f"{refused.value} {refused.value.why} {refused.value.next_step} {refused.value.__cause__!r}"
    assert code in told
    assert not any(secret in told for secret in CREDENTIALS)
    assert step in str(refused.value.next_step)


def test_a_wrong_clock_is_named(stub: AwsModel, make_session: MakeSession) -> None:
    body = json.dumps({"__type": "InvalidSignatureException", "message": "Signature expired: 20250101T000000Z"}).encode()
    now = datetime.now(UTC)
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=lambda: now + timedelta(hours=2)))
        headers = {"Content-Type": "application/x-amz-json-1.1", "Date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}
        proxy.script(Answer(403, headers, body))
        with pytest.raises(NotAuthenticated) as refused:
            billing.freshness()
    assert "120 minutes ahead" in str(refused.value.why)


def test_no_answer_in_the_budget_is_unavailable(stub: AwsModel, make_session: MakeSession) -> None:
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=clock, attempts=2))
        proxy.script(Answer(500), Answer(503))
        with pytest.raises(Unavailable, match="cannot read the costs of 2025-03-16 to 2025-03-30"):
            billing.freshness()
