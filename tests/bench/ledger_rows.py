"""FOCUS rows for the ledger's benchmarks, made by DuckDB from a row's number alone: the same rows in every run, on every machine.

90 days from 1 July 2026, 3 clouds, 12 services, 9 teams, 5,000 resources: the shape of a bill, not its content. As in the Data Exports of
AWS money is DOUBLE (ten decimals, as the real bills we have seen), time is in milliseconds and tags are a JSON object; the columns are
those of FOCUS 1.2 that an export fills.
"""

from pathlib import Path
from typing import Any

from mcml.store.ledger.engine import connected, path_literal

DAYS, CLOUDS, SERVICES, TEAMS, RESOURCES = 90, 3, 12, 9, 5_000
ROWS_A_FILE = 1_000_000

_ROWS = """
    WITH numbered AS (
        SELECT i, hash(i) AS h, hash(i, 1) AS g, (hash(i, 2) % 5000)::INTEGER AS r FROM range({first}, {last}) numbers(i)
    ), chosen AS (
        SELECT *, r % 3 AS c, (r // 3) % 12 AS s, (r // 36) % 9 AS t,
               TIMESTAMP '2026-07-01' + to_hours(i * 2160 // {total}) AS hour,
               round(CASE WHEN h % 50 = 0 THEN 0 ELSE exp(ln(0.0001) + (h % 1000000) / 1000000.0 * ln(50000)) END, 10)::DOUBLE AS quantity,
               round(0.0001 * (1 + r % 977), 4)::DOUBLE AS price
        FROM numbered
    ), priced AS (
        SELECT *, round(quantity * price, 10) AS list, CASE WHEN g % 10 < 3 THEN 0.72 WHEN g % 10 = 9 THEN 0.31 ELSE 1 END AS discount,
               ['us-east-1', 'europe-west1', 'westeurope', 'eu-central-1'][r % 4 + 1] AS region
        FROM chosen
    )
    SELECT
        round(list * discount, 10) AS BilledCost, round(list * discount * 0.97, 10) AS EffectiveCost,
        list AS ListCost, round(list * 0.98, 10) AS ContractedCost,
        price AS ListUnitPrice, round(price * 0.98, 6) AS ContractedUnitPrice,
        quantity AS PricingQuantity, round(quantity * 3600, 6) AS ConsumedQuantity,
        'USD' AS BillingCurrency,
        ['111122223333', '0123AB-456789-CDEF01', '/providers/Microsoft.Billing/billingAccounts/8611537'][c + 1] AS BillingAccountId,
        'Acme' AS BillingAccountName, 'Billing Account' AS BillingAccountType,
        format('sub-{{:02}}', r % 40) AS SubAccountId, format('Department {{}}', r % 40) AS SubAccountName, 'Account' AS SubAccountType,
        date_trunc('month', hour)::TIMESTAMP_MS AS BillingPeriodStart,
        (date_trunc('month', hour) + INTERVAL 1 MONTH)::TIMESTAMP_MS AS BillingPeriodEnd,
        hour::TIMESTAMP_MS AS ChargePeriodStart, (hour + INTERVAL 1 HOUR)::TIMESTAMP_MS AS ChargePeriodEnd,
        ['Amazon Web Services', 'Google Cloud', 'Microsoft'][c + 1] AS ProviderName,
        ['Amazon Web Services', 'Google Cloud', 'Microsoft'][c + 1] AS PublisherName,
        ['Amazon Web Services, Inc.', 'Google Cloud', 'Microsoft'][c + 1] AS InvoiceIssuerName,
        format('inv-{{}}', strftime(hour, '%Y%m')) AS InvoiceId,
        CASE WHEN h % 400 = 1 THEN 'Credit' WHEN h % 400 = 2 THEN 'Tax' ELSE 'Usage' END AS ChargeCategory,
        NULL::VARCHAR AS ChargeClass, format('Usage of service {{}} in hours of machine kind {{}}', s, r % 71) AS ChargeDescription,
        'Usage-Based' AS ChargeFrequency,
        CASE WHEN g % 10 = 9 THEN 'Dynamic' WHEN g % 10 < 3 THEN 'Committed' ELSE 'Standard' END AS PricingCategory,
        'Hours' AS PricingUnit, 'Seconds' AS ConsumedUnit,
        ['Compute', 'Storage', 'AI and Machine Learning', 'Networking'][s % 4 + 1] AS ServiceCategory,
        ['Virtual Machines', 'Object Storage', 'Machine Learning', 'Content Delivery'][s % 4 + 1] AS ServiceSubcategory,
        format('Service {{:02}}', s) AS ServiceName,
        format('SKU{{:06}}', r % 600) AS SkuId, format('SKU{{:06}}.JRTCKXETXF', r % 600) AS SkuPriceId, 'Instance hours' AS SkuMeter,
        format('{{{{"CoreCount": {{}}, "OperatingSystem": "Linux"}}}}', 1 << (r % 6)) AS SkuPriceDetails,
        region AS RegionId,
        ['Virginia', 'Belgium', 'Netherlands', 'Frankfurt'][r % 4 + 1] AS RegionName,
        CASE WHEN s % 4 = 0 THEN region || 'abc'[r % 3 + 1] END AS AvailabilityZone,
        format('arn:acme:service-{{}}:region:111122223333:instance/i-{{:017x}}', s, r * 7919) AS ResourceId,
        format('node-{{:04}}', r) AS ResourceName, 'Instance' AS ResourceType,
        CASE WHEN g % 10 < 3 THEN format('arn:acme:savingsplans::111122223333:savingsplan/{{}}', r % 5) END AS CommitmentDiscountId,
        CASE WHEN g % 10 < 3 THEN 'Spend' END AS CommitmentDiscountCategory,
        CASE WHEN g % 10 < 3 THEN 'Savings Plan' END AS CommitmentDiscountType,
        CASE WHEN g % 10 < 3 THEN 'Used' END AS CommitmentDiscountStatus, NULL::DOUBLE AS CommitmentDiscountQuantity,
        format('{{{{"team": "team-{{}}", "project": "project-{{}}", "environment": "{{}}", "owner": "person-{{}}"}}}}',
               t, r % 25, ['prod', 'stage', 'dev'][r % 3 + 1], r % 200) AS Tags
    FROM priced
"""


def export(folder: Path, total: int) -> list[Path]:
    """Write `total` rows as Parquet files of at most ROWS_A_FILE below `folder`, in the order of time; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, first in enumerate(range(0, total, ROWS_A_FILE)):
        path = folder / f"focus-{total}-{number:03}.parquet"
        if not path.is_file():
            with connected("cannot make the rows") as connection:
                _write(connection, path, first, min(first + ROWS_A_FILE, total), total)
        paths.append(path)
    return paths


def _write(connection: Any, path: Path, first: int, last: int, total: int) -> None:
    unfinished = path.with_suffix(".unfinished")
    rows = _ROWS.format(first=first, last=last, total=total)
    connection.execute(f"COPY ({rows}) TO {path_literal(unfinished)} (FORMAT parquet, COMPRESSION snappy)")
    unfinished.replace(path)
