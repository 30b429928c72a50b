"""A billing export for the tests: the detailed export's schema, and rows of it.

Schema: https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage
"""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from mcml.providers.api.billing import Period
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.warehouse import open_warehouse

Row = dict[str, Any]
JAN = datetime(2026, 1, 1, tzinfo=UTC)
JANUARY = Period(JAN, datetime(2026, 2, 1, tzinfo=UTC))


def field(name: str, kind: str, *inner: bigquery.SchemaField, mode: str = "NULLABLE") -> bigquery.SchemaField:
    return bigquery.SchemaField(name, kind, mode=mode, fields=inner)


def struct(name: str, mode: str = "NULLABLE", /, **kinds: str) -> bigquery.SchemaField:
    return field(name, "RECORD", *(field(inner, kind) for inner, kind in kinds.items()), mode=mode)


LABELS = {"key": "STRING", "value": "STRING"}
DETAILED = [
    field("billing_account_id", "STRING"),
    struct("service", id="STRING", description="STRING"),
    struct("sku", id="STRING", description="STRING"),
    field("usage_start_time", "TIMESTAMP"),
    field("usage_end_time", "TIMESTAMP"),
    field("project", "RECORD", field("id", "STRING"), field("name", "STRING"), struct("labels", "REPEATED", **LABELS)),
    struct("labels", "REPEATED", **LABELS),
    struct("tags", "REPEATED", key="STRING", value="STRING", namespace="STRING"),
    struct("location", location="STRING", country="STRING", region="STRING", zone="STRING"),
    field("export_time", "TIMESTAMP"),
    field("cost", "FLOAT"),
    field("currency", "STRING"),
    field("currency_conversion_rate", "FLOAT"),
    struct("usage", amount="FLOAT", unit="STRING", amount_in_pricing_units="FLOAT", pricing_unit="STRING"),
    struct("credits", "REPEATED", name="STRING", amount="FLOAT", full_name="STRING", id="STRING", type="STRING"),
    struct("invoice", month="STRING"),
    field("cost_type", "STRING"),
    struct("resource", name="STRING", global_name="STRING"),
    struct("price", effective_price="NUMERIC", tier_start_amount="NUMERIC", unit="STRING", list_price="NUMERIC"),
    field("cost_at_list", "NUMERIC"),
    struct("consumption_model", id="STRING", description="STRING"),
    field("seller_name", "STRING"),
]


def line(hour: int = 0, **changes: Any) -> Row:
    """A row of the export: an hour of a machine's core, in January 2026."""
    made: Row = {
        "billing_account_id": "010101-F0FFF0-61C528",
        "service": {"id": "6F81-5844-456A", "description": "Compute Engine"},
        "sku": {"id": "2E27-4F75-95CD", "description": "N1 Predefined Instance Core running in Americas"},
        "usage_start_time": f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z",
        "usage_end_time": f"2026-01-{1 + (hour + 1) // 24:02}T{(hour + 1) % 24:02}:00:00Z",
        "project": {
            "id": "ml-prod",
            "name": "ML production",
            "labels": [{"key": "env", "value": "prod"}, {"key": "team", "value": "none"}],
        },
        "labels": [{"key": "team", "value": "risk"}],
        "tags": [{"key": "cost-center", "value": "42", "namespace": "1234"}],
        "location": {"location": "us-east1", "country": "US", "region": "us-east1", "zone": "us-east1-b"},
        "export_time": "2026-01-05T00:00:00Z",
        "cost": 0.063222,
        "currency": "USD",
        "currency_conversion_rate": 1.0,
        "usage": {"amount": 7200.0, "unit": "seconds", "amount_in_pricing_units": 2.0, "pricing_unit": "hour"},
        "credits": [],
        "invoice": {"month": "202601"},
        "cost_type": "regular",
        "resource": {"name": "vm-1", "global_name": "//compute.googleapis.com/projects/1/zones/us-east1-b/instances/7"},
        "price": {"effective_price": "0.031611", "tier_start_amount": "0", "unit": "hour", "list_price": "0.031611"},
        "cost_at_list": "0.063222",
        "consumption_model": {"id": "7754-699E-0EBF", "description": "Default"},
        "seller_name": None,
    }
    return made | changes


def credit(kind: str, amount: float, name: str = "a credit") -> Row:
    return {"name": name, "amount": amount, "full_name": f"{name}, in full", "id": f"id of {name}", "type": kind}


PRICING = [
    field("export_time", "TIMESTAMP"),
    field("pricing_as_of_time", "TIMESTAMP"),
    struct("sku", id="STRING", description="STRING"),
    field("geo_taxonomy", "RECORD", field("type", "STRING"), field("regions", "STRING", mode="REPEATED")),
    field("pricing_unit", "STRING"),
    field("account_currency_code", "STRING"),
    *(
        field(
            name,
            "RECORD",
            struct(
                "tiered_rates", "REPEATED", pricing_unit_quantity="NUMERIC", start_usage_amount="NUMERIC", account_currency_amount="NUMERIC"
            ),
        )
        for name in ("list_price", "billing_account_price")
    ),
]


def rates(*tiers: tuple[str, str], quantity: str = "1") -> dict[str, Any]:
    names = ("start_usage_amount", "account_currency_amount")
    return {"tiered_rates": [{**dict(zip(names, tier, strict=True)), "pricing_unit_quantity": quantity} for tier in tiers]}


def price_line(sku: str, day: int, **changes: Any) -> dict[str, Any]:
    made = {
        "export_time": f"2026-01-{day:02}T08:00:00Z",
        "pricing_as_of_time": f"2026-01-{day:02}T07:00:00Z",
        "sku": {"id": sku, "description": "a SKU"},
        "geo_taxonomy": {"type": "REGIONAL", "regions": ["us-east1"]},
        "pricing_unit": "h",
        "account_currency_code": "USD",
        "list_price": rates(("0", "0.04")),
        "billing_account_price": rates(("0", "0"), ("100", "0.031611")),
    }
    return made | changes


def make_table(
    ctx: ProviderContext,
    folder: Path,
    rows: Sequence[Row],
    *,
    name: str = "gcp_billing_export_resource_v1_010101_F0FFF0_61C528",
    schema: Sequence[bigquery.SchemaField] = DETAILED,
    partitioned: bool = True,
) -> str:
    """Make a table of a data set of its own, partitioned by the day of arrival as Google's are; return its full name."""
    session, dataset = Session(ctx), f"billing_{uuid.uuid4().hex[:12]}"
    project = session.project()
    session.bigquery.create_dataset(f"{project}.{dataset}", retry=None)
    table = bigquery.Table(f"{project}.{dataset}.{name}", schema=schema)
    if partitioned:
        table.time_partitioning = bigquery.TimePartitioning(type_="DAY")
    session.bigquery.create_table(table, retry=None)
    if rows:
        path = folder / f"{dataset}.json"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        open_warehouse(ctx).load(dataset, name, str(path), "json")
    return f"{project}.{dataset}.{name}"
