"""The bill of Azure: Cost Management's query on the ARM stub, which pages and cuts off the seeded ledger; FocusCost exports on Azurite."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.billing import Billing, FocusRow, Period
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.billing import open_billing
from mcml.providers.azure.billing_export import ExportBilling
from mcml.providers.azure.billing_query import QueryBilling
from mcml.providers.azure.session import Session
from mcml.providers.azure.settings import Settings
from mcml.providers.resilience import Budget, Policy
from mcml.testing.contracts.billing import BillingContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Reset
from mcml.testing.stubs.seeded_azure import BILLING_ACCOUNT, NAMES, export_files, price_rows, serve, throttled_by_qpu
from mcml.testing.stubs.seeded_ledger import NOW, Charge, SeededLedger, total
from tests.providers.azure import prices_stub
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import SUBSCRIPTION, MakeSession, Waits, management_session

LEDGER = SeededLedger(seed=11)
WHOLE = Period(datetime(2025, 1, 1, tzinfo=UTC), NOW)
WEEK = Period(datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 17, tzinfo=UTC))
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


@pytest.fixture(scope="module")
def price_list() -> Iterator[str]:
    with prices_stub.serving(price_rows(NAMES.skus.values())) as url:
        yield url


@pytest.fixture
def query(arm: ArmStub, make_session: MakeSession, price_list: str) -> QueryBilling:
    """The costs of a billing account; answers have pages of 60 rows."""
    serve(arm, LEDGER.seen, page=60)
    options = {"billing_scope": BILLING_ACCOUNT, "clock": clock, "prices": price_list}
    return QueryBilling(management_session(make_session, arm.url, **options))


class TestQuery(BillingContract):
    @pytest.fixture
    def billing(self, query: QueryBilling) -> Billing:
        return query

    @pytest.fixture
    def billed(self) -> Period:
        return WEEK


@pytest.fixture
def container(key_session: Session, new_bucket: str) -> str:
    key_session.container(new_bucket).create_container()
    return new_bucket


def put_export(session: Session, container: str, charges: Iterable[Charge], **options: Any) -> None:
    for name, body in export_files(charges, **options).items():
        session.blob(container, name).upload_blob(body, overwrite=True)


def export_of(make_session: MakeSession, endpoint: str, container: str, **options: Any) -> ExportBilling:
    return ExportBilling(make_session(endpoint, billing_export=f"az://{container}/exports/acme-focus", **options))


class TestExport(BillingContract):
    @pytest.fixture
    def billing(self, azurite: Server, key_session: Session, make_session: MakeSession, container: str) -> Billing:
        put_export(key_session, container, LEDGER.seen())
        return export_of(make_session, azurite.endpoint, container)

    @pytest.fixture
    def billed(self) -> Period:
        return WEEK


def test_the_query_says_what_was_billed(query: QueryBilling, arm: ArmStub) -> None:
    """To the last digit: by month, by service, by subscription, and what it cost when commitments are spread."""
    rows, charges = list(query.rows(WHOLE)), LEDGER.seen()
    assert sums(rows, "BilledCost", "BillingPeriodStart") == wanted(charges, "billed", of_month)
    assert sums(rows, "EffectiveCost", "BillingPeriodStart") == wanted(charges, "effective", of_month)
    assert sums(rows, "BilledCost", "ServiceName") == wanted(charges, "billed", lambda c: (NAMES.services[c.service].name,))
    assert sums(rows, "BilledCost", "SubAccountId", "SubAccountName") == wanted(charges, "billed", lambda c: NAMES.accounts[c.account])
    assert {row["BillingAccountId"] for row in rows} == {BILLING_ACCOUNT}
    assert any("$skiptoken" in request.query for request in arm.sent("POST"))


def test_no_question_is_longer_than_azure_answers(query: QueryBilling, arm: ArmStub) -> None:
    """31 days by day; what is beyond would be left out without a word."""
    list(query.rows(WHOLE))
    for request in arm.sent("POST"):
        start, end = (datetime.fromisoformat(request.body["timePeriod"][name]) for name in ("from", "to"))
        assert end - start < timedelta(days=31)


def test_commitments_spot_tax_and_credits_are_told_apart(query: QueryBilling) -> None:
    rows, charges = list(query.rows(FEBRUARY)), [one for one in LEDGER.seen() if one.month.month == 2]

    def paid(kinds: tuple[str, ...], column: Any = "billed") -> Decimal:
        return sum((getattr(one, column) for one in charges if one.kind in kinds), Decimal(0))

    categories = sums(rows, "BilledCost", "ChargeCategory")
    assert categories["Purchase",] == paid(("fee",))
    assert categories["Tax",] == paid(("tax",))
    assert categories["Credit",] == paid(("credit",)) < 0
    assert categories["Adjustment",] == paid(("refund",)) < 0
    status = sums(rows, "EffectiveCost", "CommitmentDiscountStatus", "CommitmentDiscountCategory")
    assert status["Unused", "Spend"] == paid(("unused",), "effective")
    assert status["Unused", "Usage"] == paid(("idle",), "effective")
    assert status["Used", "Spend"] == paid(("covered",), "effective")
    assert sums(rows, "BilledCost", "PricingCategory")["Dynamic",] == paid(("spot",)) > 0


def test_a_tags_values(arm: ArmStub, make_session: MakeSession) -> None:
    serve(arm, LEDGER.seen)
    options = {"billing_scope": BILLING_ACCOUNT, "clock": clock, "billing_tag": "team"}
    rows = list(QueryBilling(management_session(make_session, arm.url, **options)).rows(FEBRUARY))
    charges = [one for one in LEDGER.seen() if one.month.month == 2]

    def tagged(charge: Charge) -> tuple[object, ...]:
        return (json.dumps({"team": charge.team}) if charge.team else None,)

    assert sums(rows, "BilledCost", "Tags") == wanted(charges, "billed", tagged)
    assert sums(rows, "EffectiveCost", "Tags") == wanted(charges, "effective", tagged)


@pytest.mark.parametrize("unknown", [("MeterId",), ("BenefitId", "BenefitName", "PricingModel"), ("MeterId", "ResourceGuid")])
def test_a_dimension_that_the_agreement_does_not_have(unknown: tuple[str, ...], arm: ArmStub, make_session: MakeSession) -> None:
    """What it would tell is missing, and no cost; a customer agreement calls the meter by another name."""
    serve(arm, LEDGER.seen, page=60, unknown=unknown)
    billing = QueryBilling(management_session(make_session, arm.url, billing_scope=BILLING_ACCOUNT, clock=clock))
    rows = list(billing.rows(FEBRUARY))
    charges = [one for one in LEDGER.seen() if one.month.month == 2]
    for column, name in (("billed", "BilledCost"), ("effective", "EffectiveCost")):
        assert sums(rows, name, "ServiceName") == wanted(charges, column, lambda c: (NAMES.services[c.service].name,))
    assert any(row["x_SkuMeterId"] for row in rows) == ("ResourceGuid" not in unknown)
    assert any(row.get("CommitmentDiscountId") for row in rows) == ("BenefitId" not in unknown)
    refused = len(arm.requests)
    list(billing.rows(FEBRUARY))
    assert len(arm.requests) - refused == refused - len(unknown), "a refused dimension is not asked for again"


def test_without_a_scope_it_is_the_subscription(arm: ArmStub, make_session: MakeSession) -> None:
    serve(arm, LEDGER.seen)
    rows = list(QueryBilling(management_session(make_session, arm.url, clock=clock)).rows(FEBRUARY))
    charges = [one for one in LEDGER.seen() if one.month.month == 2 and NAMES.accounts[one.account][0] == f"/subscriptions/{SUBSCRIPTION}"]
    assert sums(rows, "BilledCost") == wanted(charges, "billed", lambda _: ())
    assert {row["BillingAccountId"] for row in rows} == {f"/subscriptions/{SUBSCRIPTION}"}


def test_the_longest_of_the_waits_counts(query: QueryBilling, arm: ArmStub, make_session: MakeSession) -> None:
    """Three budgets, three headers; the question is asked again when the last of them has passed."""
    waits = Waits()
    options = {"billing_scope": BILLING_ACCOUNT, "clock": clock, "policy": waits.policy()}
    billing = QueryBilling(management_session(make_session, arm.url, **options))
    arm.fail(throttled_by_qpu(qpu=3, entity=11, tenant=7), throttled_by_qpu(qpu=20, entity=1, tenant=1))
    assert sums(billing.rows(FEBRUARY), "BilledCost") == sums(query.rows(FEBRUARY), "BilledCost")
    assert [seconds for seconds in waits.seconds if seconds >= 1] == [11, 20]
    arm.fail(throttled_by_qpu(tenant=3600))
    with pytest.raises(Unavailable) as told:
        list(QueryBilling(management_session(make_session, arm.url, **options)).rows(FEBRUARY))
    assert told.value.retry_after == 3600


def test_freshness_of_the_query(query: QueryBilling) -> None:
    fresh = query.freshness()
    assert fresh.complete_until == datetime(2025, 3, 28, tzinfo=UTC)
    assert fresh.complete_until <= fresh.changed_at <= NOW


def test_prices_of_the_meters(query: QueryBilling) -> None:
    prices = {(price.sku, price.region): price for price in query.unit_prices()}
    assert prices[NAMES.skus["vm-small"], "eastus"].price == Decimal("0.192")
    assert prices[NAMES.skus["vm-small"], "eastus"].unit == "1 Hours"
    assert prices[NAMES.skus["endpoint"], "westeurope"].price == Decimal("0.1265")
    assert {price.region for price in query.unit_prices("westeurope")} == {"westeurope"}


@pytest.mark.parametrize(
    ("error", "kind", "step"),
    [
        (ArmError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now"), NotAuthenticated, "az login"),
        (ArmError(403, "RBACAccessDenied", "The client does not have authorization to perform action"), NotAuthenticated, "az"),
        (ArmError(404, "SubscriptionNotFound", "The subscription could not be found."), NotFound, ""),
        (ArmError(400, "BadRequest", "Invalid query definition"), InvalidRequest, ""),
    ],
)
def test_what_azure_refuses_is_said(
    error: ArmError, kind: type[McmlError], step: str, arm: ArmStub, make_session: MakeSession
) -> None:
    arm.fail(error)
    with pytest.raises(kind, match="read the costs") as refused:
        QueryBilling(management_session(make_session, arm.url)).freshness()
    assert step in str(refused.value.next_step)
    assert "Bearer" not in f"{refused.value!r} {refused.value.why}"


def test_an_export_says_what_was_billed(azurite: Server, key_session: Session, make_session: MakeSession, container: str) -> None:
    """By each delivery, whether the export keeps old runs or overwrites them; of runs of a month the newest counts."""
    billing = export_of(make_session, azurite.endpoint, container)
    runs = ({"run": "202503280600", "run_id": "a"}, {"run": "202503290600", "run_id": "b"})
    for delivery, run in zip((1, 2), runs, strict=True):
        put_export(key_session, container, LEDGER.seen(delivery), gzipped=delivery == 1, **run)
        rows, charges = list(billing.rows(WHOLE)), LEDGER.seen(delivery)
        for column, name in (("billed", "BilledCost"), ("effective", "EffectiveCost"), ("listed", "ListCost")):
            assert sums(rows, name, "BillingPeriodStart") == wanted(charges, column, of_month)
        assert sums(rows, "BilledCost", "ServiceName") == wanted(charges, "billed", lambda c: (NAMES.services[c.service].name,))
        assert sums(rows, "BilledCost", "Tags").keys() >= {('{"team": "vision", "model": "defects"}',), ('{"team": "ops"}',)}
    assert {row["ServiceProviderName"] for row in rows} == {"Microsoft"}
    prices = {(price.sku, price.region): price.price for price in billing.unit_prices()}
    assert prices[NAMES.skus["vm-small"], "westeurope"] == Decimal("0.21120")


def test_what_is_wrong_with_an_export_is_said(azurite: Server, key_session: Session, make_session: MakeSession, container: str) -> None:
    billing = export_of(make_session, azurite.endpoint, container)
    with pytest.raises(NotFound, match="no export under"):
        list(billing.rows(FEBRUARY))
    place = "exports/acme-focus/20250201-20250228/r"

    def put(name: str, body: bytes, rows: int = 1, kind: str = "FocusCost") -> None:
        key_session.blob(container, f"{place}/{name}").upload_blob(body, overwrite=True)
        blob = {"blobName": f"{place}/{name}", "dataRowCount": rows}
        manifest = {"exportConfig": {"type": kind}, "blobs": [blob]}
        key_session.blob(container, f"{place}/manifest.json").upload_blob(json.dumps(manifest).encode(), overwrite=True)

    put("part_0_0001.parquet", b"PAR1")
    with pytest.raises(InvalidRequest) as parquet:
        list(billing.rows(FEBRUARY))
    assert str(parquet.value.next_step).startswith(f"mcml data cp az://{container}/{place}/part_0_0001.parquet . && mcml cost ingest")
    put("part_0_0001.csv", b"BilledCost,ChargePeriodStart\n1,2025-02-01\n", rows=2)
    with pytest.raises(Unavailable, match="is not whole"):
        list(billing.rows(FEBRUARY))
    put("part_0_0001.csv", b"Cost\n1\n", kind="ActualCost")
    with pytest.raises(InvalidRequest, match="no FOCUS bill"):
        list(billing.rows(FEBRUARY))
    key_session.blob(container, f"{place}/manifest.json").upload_blob(b'{"blobs": [', overwrite=True)
    with pytest.raises(InvalidRequest, match=r"cannot read az://.*/manifest\.json") as broken:
        list(billing.rows(FEBRUARY))
    assert str(broken.value.next_step).startswith(f"mcml data cp az://{container}/{place}/manifest.json .")
    key_session.blob(container, "exports/acme-focus/20250210-20250216/r/manifest.json").upload_blob(b"{}")
    with pytest.raises(InvalidRequest, match="overlap"):
        list(billing.rows(FEBRUARY))


def test_an_export_in_a_folder_that_is_called_as_the_container(
    azurite: Server, key_session: Session, make_session: MakeSession, container: str
) -> None:
    place = f"{container}/focus/20250201-20250228/r"
    part = {"blobName": f"{place}/part_0_0001.csv", "dataRowCount": None}
    manifest = json.dumps({"exportConfig": None, "blobs": [part]}).encode()
    for name, body in (("part_0_0001.csv", b"BilledCost,ChargePeriodStart\n1.5,2025-02-01\n"), ("manifest.json", manifest)):
        key_session.blob(container, f"{place}/{name}").upload_blob(body)
    billing = ExportBilling(make_session(azurite.endpoint, billing_export=f"az://{container}/{container}/focus"))
    assert [row["BilledCost"] for row in billing.rows(FEBRUARY)] == [Decimal("1.5")]


FAULTS: dict[str, Fault] = {
    "refused": Refuse(0.05),
    "reset": Reset(),
    "lost": Reset(reaches_server=True),
    "slow": Delay(30),
    "half a body": HalfBody(),
    "throttled": Answer(429, {"Retry-After": "7"}),
    "broken": Answer(500),
}
METHODS: dict[str, Callable[[Billing], object]] = {
    "rows": lambda billing: sums(billing.rows(WEEK), "BilledCost"),
    "freshness": lambda billing: billing.freshness(),
    "unit_prices": lambda billing: {(price.sku, price.region) for price in billing.unit_prices()},
}


def patient(slept: list[float]) -> Policy:
    """A policy that sleeps for a moment only, and notes what it would have slept."""

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(min(seconds, 0.02))

    return Policy(attempts=9, budget=Budget(60), sleep=sleep, jitter=lambda: 1.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_query_goes_on(
    fault: str, method: str, arm: ArmStub, query: QueryBilling, make_session: MakeSession, price_list: str, server_tls: Any
) -> None:
    slept: list[float] = []
    with FaultProxy(arm.url, **server_tls) as proxy:
        options = {"billing_scope": BILLING_ACCOUNT, "clock": clock, "prices": price_list, "policy": patient(slept), "read_seconds": 0.6}
        billing = QueryBilling(management_session(make_session, proxy.url, **options))
        proxy.script(FAULTS[fault])
        assert METHODS[method](billing) == METHODS[method](query)
        assert proxy.unused == []
    assert max(slept) >= (7 if fault == "throttled" else 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_export_goes_on(
    fault: str, method: str, azurite: Server, key_session: Session, make_session: MakeSession, container: str
) -> None:
    put_export(key_session, container, [charge for charge in LEDGER.seen() if charge.day.month == 2 and charge.day.day in (10, 11)])
    slept: list[float] = []
    with FaultProxy(azurite.origin) as proxy:
        options = {"policy": patient(slept), "read_seconds": 0.6}
        billing = export_of(make_session, f"{proxy.url}/{{account}}", container, **options)
        proxy.script(FAULTS[fault])
        assert METHODS[method](billing) == METHODS[method](export_of(make_session, azurite.endpoint, container))
        assert proxy.unused == []
    assert WELL_KNOWN_KEY not in repr(billing)


def test_the_settings_choose(tmp_path: Path) -> None:
    assert isinstance(open_billing(ProviderContext(Settings(), tmp_path)), QueryBilling)
    assert isinstance(open_billing(ProviderContext(Settings(billing_export="az://bill/exports/acme"), tmp_path)), ExportBilling)


def test_a_wrong_clock_is_named(query: QueryBilling, arm: ArmStub, make_session: MakeSession) -> None:
    ahead = partial(datetime.now, UTC)
    options = {"billing_scope": BILLING_ACCOUNT, "clock": lambda: ahead() + timedelta(hours=2)}
    arm.fail(ArmError(401, "InvalidAuthenticationToken", "The access token is not valid yet."))
    with pytest.raises(NotAuthenticated) as refused:
        QueryBilling(management_session(make_session, arm.url, **options)).freshness()
    assert "120 minutes ahead" in str(refused.value.why)
