"""A row of Google's own FOCUS export (preview; FOCUS 1.0 columns and `x_` columns) as a row of FOCUS 1.4. Pure.

https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/focus-export
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from mcml.providers.api.billing import FocusRow
from mcml.providers.gcp.billing_rows import GOOGLE, amount

RENAMED = {"ProviderName": "ServiceProviderName", "PublisherName": "x_PublisherName", "InvoiceIssuer": "InvoiceIssuerName"}
NULLABLE = ("BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit")


def focus_row(record: Mapping[str, Any]) -> FocusRow:
    """Return the row with today's names, every number a Decimal, and what is nested as JSON text."""
    row: dict[str, object] = dict.fromkeys(NULLABLE)
    row |= {RENAMED.get(name, name): _plain(value) for name, value in record.items()}
    row["ServiceProviderName"] = row.get("ServiceProviderName") or GOOGLE
    row["InvoiceIssuerName"] = row.get("InvoiceIssuerName") or GOOGLE
    row["HostProviderName"] = row.get("HostProviderName") or GOOGLE
    row["ServiceCategory"] = row.get("ServiceCategory") or "Other"
    return row


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | datetime):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal | int | float):
        return amount(value)
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(_nested(value), sort_keys=True, ensure_ascii=False)


def _nested(value: object) -> object:
    if isinstance(value, list):
        pairs = [entry for entry in value if isinstance(entry, Mapping) and set(entry) >= {"key", "value"}]
        if len(pairs) == len(value):  # labels, as an object
            return {str(pair["key"]): pair["value"] for pair in pairs}
        return [_nested(entry) for entry in value]
    if isinstance(value, Mapping):
        return {name: _nested(inner) for name, inner in value.items()}
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat() if isinstance(value, date) else value
