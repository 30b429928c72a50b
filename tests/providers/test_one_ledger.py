"""One seeded ledger through the billing of every cloud: the same totals, whichever API or file says them."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import duckdb
import pytest

from mcml.providers.api.billing import Billing, FocusRow, Period
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws import billing_explorer
from mcml.providers.aws import billing_export as aws_export
from mcml.providers.aws import session as aws
from mcml.providers.aws.settings import Settings as AwsSettings
from mcml.providers.azure import billing_export as azure_export
from mcml.providers.azure import billing_query
from mcml.providers.azure import session as azure
from mcml.providers.azure.settings import Settings as AzureSettings
from mcml.providers.gcp.billing import GcpBilling
from mcml.providers.gcp.session import Session as GcpSession
from mcml.providers.gcp.settings import Settings as GcpSettings
from mcml.providers.resilience import Policy
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.testing.stubs import seeded_aws, seeded_azure, seeded_gcp
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.azure_arm import ArmStub
from mcml.testing.stubs.seeded_focus import csv_file
from mcml.testing.stubs.seeded_ledger import NOW, Charge, Kind, SeededLedger, total
from tests.providers.aws.conftest import aws_environment, moto_url
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import GivenToken, azurite, certificate, no_credentials, trusted
from tests.providers.gcp.billing_table import make_table
from tests.providers.gcp.conftest import PROJECT, bigquery, bigquery_servers

__all__ = ["aws_environment", "azurite", "bigquery", "bigquery_servers", "certificate", "moto_url", "no_credentials", "trusted"]
pytestmark = pytest.mark.cloud
LEDGER = SeededLedger(seed=3, per_day=5)
WHOLE = Period(datetime(2025, 1, 1, tzinfo=UTC), NOW)
CENT = Decimal("0.01")
EXPORT = "exports/acme"
Sums = dict[tuple[object, ...], Decimal]
Deliver = Callable[[int], Billing]
"""Makes a vendor's stub say a delivery of the ledger, and returns the bill as our connector reads it there."""


def sleepless() -> Policy:
    return Policy(attempts=6, sleep=lambda _: None, jitter=lambda: 1.0)


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: NOW


@pytest.fixture
def explorer(tmp_path: Path, clock: Any) -> Iterator[Deliver]:
    shown = {"delivery": 1}
    with AwsModel("ce", "pricing", "sts") as stub:
        seeded_aws.serve(stub, lambda: LEDGER.seen(shown["delivery"]), page=50)
        throttle(stub)
        ctx = ProviderContext(AwsSettings(endpoint_url=stub.url, billing_tag="team"), tmp_path, region="eu-west-1", clock=clock)
        session = aws.Session(ctx, policy=sleepless())

        def deliver(delivery: int) -> Billing:
            shown["delivery"] = delivery
            return billing_explorer.ExplorerBilling(session)

        yield deliver
        session.close()


def throttle(stub: AwsModel) -> None:
    """Refuse every seventh question, as Cost Explorer does when it is asked too often."""
    answer, asked = stub._handlers["ce", "GetCostAndUsage"], [0]

    def sometimes(request: dict[str, Any]) -> Any:
        asked[0] += 1
        if asked[0] % 7 == 3:
            raise AwsError("ThrottlingException" if asked[0] % 2 else "LimitExceededException", "Rate exceeded")
        return answer(request)

    stub.on("ce", "GetCostAndUsage", sometimes)


@pytest.fixture
def aws_focus(moto_url: str, tmp_path: Path, clock: Any) -> Iterator[Deliver]:
    yield from aws_files("focus", moto_url, tmp_path, clock)


@pytest.fixture
def aws_cur(moto_url: str, tmp_path: Path, clock: Any) -> Iterator[Deliver]:
    yield from aws_files("cur", moto_url, tmp_path, clock)


def aws_files(table: Any, moto_url: str, tmp_path: Path, clock: Any) -> Iterator[Deliver]:
    bucket = f"bill-{uuid4().hex[:12]}"
    settings = AwsSettings(endpoint_url=moto_url, billing_export=f"s3://{bucket}/{EXPORT}")
    session = aws.Session(ProviderContext(settings, tmp_path, region="us-east-1", clock=clock))
    session.client("s3").create_bucket(Bucket=bucket)

    def deliver(delivery: int) -> Billing:
        files = seeded_aws.export_files(LEDGER.seen(delivery), root=EXPORT, bucket=bucket, table=table, execution=f"run-{delivery}")
        for key, body in files.items():
            session.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return aws_export.ExportBilling(session)

    yield deliver
    session.close()


@pytest.fixture
def query(certificate: tuple[Path, Path], trusted: None, tmp_path: Path, clock: Any) -> Iterator[Deliver]:
    shown = {"delivery": 1}
    with ArmStub(*certificate) as arm:
        seeded_azure.serve(arm, lambda: LEDGER.seen(shown["delivery"]), page=100)
        settings = AzureSettings(management=arm.url, billing_scope=seeded_azure.BILLING_ACCOUNT, billing_tag="team")
        ctx = ProviderContext(settings, tmp_path, clock=clock)

        def deliver(delivery: int) -> Billing:
            shown["delivery"] = delivery
            arm.fail(seeded_azure.throttled_by_qpu(qpu=4, entity=9), seeded_azure.throttled_by_qpu(tenant=7))
            return billing_query.QueryBilling(azure.Session(ctx, credential=GivenToken(), policy=sleepless()))

        yield deliver


@pytest.fixture
def azure_files(azurite: Server, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Deliver:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    container = f"bill-{uuid4().hex[:12]}"
    settings = AzureSettings(storage_account=ACCOUNT, endpoint=azurite.endpoint, billing_export=f"az://{container}/{EXPORT}")
    session = azure.Session(ProviderContext(settings, tmp_path, clock=clock))
    session.container(container).create_container()

    def deliver(delivery: int) -> Billing:
        for name, body in seeded_azure.export_files(LEDGER.seen(delivery), root=EXPORT, run=f"20250329060{delivery}").items():
            session.blob(container, name).upload_blob(body)
        return azure_export.ExportBilling(session)

    return deliver


@pytest.fixture
def big_table(bigquery: ProviderContext, tmp_path: Path, clock: Any) -> Deliver:
    def deliver(delivery: int) -> Billing:
        table = make_table(bigquery, tmp_path, seeded_gcp.export_rows(LEDGER, delivery))
        return GcpBilling(GcpSession(replace(bigquery, settings=GcpSettings(project=PROJECT, billing_table=table), clock=clock)))

    return deliver


WAYS: dict[str, Any] = {
    "explorer": seeded_aws,
    "aws_focus": seeded_aws,
    "aws_cur": seeded_aws,
    "query": seeded_azure,
    "azure_files": seeded_azure,
    "big_table": seeded_gcp,
}
WAY = [pytest.param(way, marks=pytest.mark.slow if way == "big_table" else ()) for way in WAYS]


def cents(sums: Sums) -> Sums:
    return {key: rounded for key, amount in sums.items() if (rounded := amount.quantize(CENT, ROUND_HALF_EVEN))}


def said(rows: Iterable[FocusRow], column: str, *by: Callable[[FocusRow], object]) -> Sums:
    found: Sums = {}
    for row in rows:
        key, amount = tuple(name(row) for name in by), row[column]
        assert isinstance(amount, Decimal)
        found[key] = found.get(key, Decimal(0)) + amount
    return cents(found)


def month(row: FocusRow) -> object:
    start = row["BillingPeriodStart"]
    assert isinstance(start, datetime)
    return start.date()


def team(row: FocusRow) -> object:
    return json.loads(str(row.get("Tags") or "{}")).get("team", "")


def billed(delivery: int, *by: Callable[[Charge], object], column: Any = "billed") -> Sums:
    return cents(total(LEDGER.seen(delivery), column, lambda charge: tuple(name(charge) for name in by)))


@pytest.mark.parametrize("way", WAY)
def test_the_same_totals_to_the_cent(way: str, request: pytest.FixtureRequest) -> None:
    """By month, team, service and account; before and after late and restated rows, with 429s between."""
    deliver, names = request.getfixturevalue(way), WAYS[way].NAMES
    for delivery in (1, 2):
        rows = list(deliver(delivery).rows(WHOLE))
        assert said(rows, "BilledCost", month) == billed(delivery, lambda charge: charge.month)
        assert said(rows, "BilledCost", month, team) == billed(delivery, lambda charge: charge.month, lambda charge: charge.team)
        services = said(rows, "BilledCost", lambda row: names.service_of(str(row["ServiceName"])))
        assert services == billed(delivery, lambda charge: charge.service)
        accounts = said(rows, "BilledCost", lambda row: row["SubAccountId"])
        assert accounts == billed(delivery, lambda charge: names.accounts[charge.account][0])
        if way != "big_table":  # Google spreads no commitment
            spread = said(rows, "EffectiveCost", month, team)
            assert spread == billed(delivery, lambda charge: charge.month, lambda charge: charge.team, column="effective")


def booked(folder: Path) -> Sums:
    return cents({(key[0], key[1] or ""): found.billed for found in Ledger(folder).totals(["month", "team"]) for key in [found.key]})


@pytest.mark.parametrize("way", WAY)
def test_the_ledger_takes_every_row(way: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Nothing is quarantined, the same bill twice is booked once, and the second delivery takes the place of the first."""
    deliver, intake = request.getfixturevalue(way), Intake(tmp_path / "cost")
    for delivery in (1, 2):
        billing = deliver(delivery)
        done = intake.rows(billing.rows(WHOLE), origin=way)
        assert done.delivery.quarantined == 0
        assert booked(intake.folder) == billed(delivery, lambda charge: f"{charge.month:%Y-%m}", lambda charge: charge.team)
    assert intake.rows(billing.rows(WHOLE), origin=way).unchanged


@pytest.mark.parametrize("rows", [seeded_aws.focus_rows, seeded_azure.focus_rows])
def test_the_same_exports_in_parquet(rows: Any, tmp_path: Path) -> None:
    """What the providers do not read goes through `mcml cost ingest`, as the vendors write it: numbers as DECIMAL, times as TIMESTAMP."""
    numbers = ("Cost", "UnitPrice", "Quantity")
    for delivery in (1, 2):
        text, files = tmp_path / "rows.csv", []
        for first in {charge.month for charge in LEDGER.seen(delivery)}:
            found = rows(one for one in LEDGER.seen(delivery) if one.month == first)
            text.write_bytes(csv_file(found, sorted(found[0]), gzipped=False))
            kinds = {name: "DECIMAL(38, 15)" if name.endswith(numbers) else "VARCHAR" for name in sorted(found[0])}
            kinds |= {name: "TIMESTAMP" for name in kinds if name.endswith(("PeriodStart", "PeriodEnd")) and not name.startswith("x_")}
            files.append(tmp_path / f"{delivery}-{first}.snappy.parquet")
            with duckdb.connect() as connection:
                read = f"read_csv('{text}', header = true, columns = {kinds})"
                connection.execute(f"COPY (FROM {read}) TO '{files[-1]}' (FORMAT parquet, COMPRESSION snappy)")
        done = Intake(tmp_path / "cost").files(files)
        assert done.delivery.quarantined == 0
        assert booked(tmp_path / "cost") == billed(delivery, lambda charge: f"{charge.month:%Y-%m}", lambda charge: charge.team)


def test_the_second_delivery_differs() -> None:
    """Else the test above would prove nothing about late and restated rows."""
    first, second = (billed(delivery, lambda charge: charge.month) for delivery in (1, 2))
    assert [key for key in first if first[key] != second[key]] == [(datetime(2025, 1, 1).date(),), (datetime(2025, 2, 1).date(),)]
    assert {charge.kind for charge in LEDGER.seen()} == set(get_args(Kind))
    assert any(charge.first == 2 and not charge.restates for charge in LEDGER.every())
    assert any(charge.restates for charge in LEDGER.every())
