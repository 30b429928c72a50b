"""A seeded bill, on the stub of Cost Explorer and in exports, for the tests of what AWS billed."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mcml.providers.api.billing import FocusRow, Period
from mcml.providers.aws.billing_explorer import ExplorerBilling
from mcml.providers.aws.session import Session
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.seeded_aws import export_files, serve
from mcml.testing.stubs.seeded_ledger import NOW, Charge, SeededLedger, total
from tests.providers.aws.conftest import MakeSession

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


def put_export(session: Session, bucket: str, charges: Iterable[Charge], **options: Any) -> None:
    for key, body in export_files(charges, bucket=bucket, **options).items():
        session.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
