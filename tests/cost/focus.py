"""FOCUS rows and files for tests."""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

HOUR = timedelta(hours=1)
START = datetime(2026, 10, 5, 10, tzinfo=UTC)


def row(billed: str | Decimal = "1", **changes: object) -> dict[str, object]:
    """One row of an hour of usage; keywords change or add columns."""
    amount = Decimal(billed)
    return {
        "BilledCost": amount,
        "EffectiveCost": amount,
        "BillingCurrency": "USD",
        "BillingAccountId": "acct",
        "BillingPeriodStart": datetime(2026, 10, 1, tzinfo=UTC),
        "BillingPeriodEnd": datetime(2026, 11, 1, tzinfo=UTC),
        "ChargePeriodStart": START,
        "ChargePeriodEnd": START + HOUR,
        "ChargeCategory": "Usage",
        "ServiceProviderName": "Acme Cloud",
        "ServiceName": "Machines",
        **changes,
    }


def text_row(**changes: str) -> dict[str, str]:
    """The same as texts of a CSV file."""
    return {
        "BilledCost": "1.5",
        "EffectiveCost": "1.25",
        "BillingCurrency": "USD",
        "BillingAccountId": "acct",
        "BillingPeriodStart": "2026-10-01T00:00:00Z",
        "BillingPeriodEnd": "2026-11-01T00:00:00Z",
        "ChargePeriodStart": "2026-10-05T10:00:00Z",
        "ChargePeriodEnd": "2026-10-05T11:00:00Z",
        "ChargeCategory": "Usage",
        "ServiceProviderName": "Acme Cloud",
        "ServiceName": "Machines",
        "Tags": "",
        **changes,
    }


def csv_text(rows: Iterable[Mapping[str, str]], *, delimiter: str = ",", newline: str = "\n") -> str:
    """Rows as the text of a CSV file; the columns are those of the first one."""
    listed = list(rows)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(listed[0]), delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows(listed)
    return out.getvalue()


def write_csv(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    path.write_text(csv_text(rows), newline="")
    return path
