"""The seeded ledger as Azure says it: Cost Management's query answers, and FocusCost exports in their Blob layout.

https://learn.microsoft.com/rest/api/cost-management/query/usage
https://learn.microsoft.com/azure/cost-management-billing/costs/tutorial-improved-exports
ActualCost has purchases and bills nothing for what a commitment covers; AmortizedCost spreads purchases over what they cover and over what
nothing used. Real Cost Management leaves taxes and most credits to the invoice; here they are rows, so that the ledger stays whole.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request
from mcml.testing.stubs.seeded_focus import Names, Row, Service, csv_file, focus_row
from mcml.testing.stubs.seeded_ledger import SKUS, ZERO, Charge, Kind, price_of

BILLING_ACCOUNT = "/providers/Microsoft.Billing/billingAccounts/8611537"
SUBSCRIPTIONS = [f"8d8e1a2b-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)]
ORDER = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/5b0d/savingsPlans/1"
NAMES = Names(
    provider="Microsoft",
    publisher="Microsoft",
    payer=(BILLING_ACCOUNT, "acme"),
    accounts=list(zip([f"/subscriptions/{one}" for one in SUBSCRIPTIONS], ("research", "production", "platform"), strict=True)),
    account_type="Subscription",
    regions=[("eastus", "East US"), ("westeurope", "West Europe")],
    services={
        "compute": Service("Virtual Machines", "Compute", "Virtual Machines"),
        "storage": Service("Storage", "Storage", "Object Storage"),
        "ml": Service("Azure Machine Learning", "AI and Machine Learning", "Machine Learning"),
        "database": Service("SQL Database", "Databases", "Relational Databases"),
        "network": Service("Bandwidth", "Networking", "Network Infrastructure"),
        "commitment": Service("Azure Savings Plan for Compute", "Compute", "Virtual Machines"),
        "tax": Service("Tax", "Other", "Other (Other)"),
    },
    skus={name: f"0000{number:04x}-9e1c-4c4f-8b3d-5f0e9a7c0001" for number, name in enumerate(SKUS, 1)},
    units={"hour": "Hours", "gib-month": "GB/Month", "request": "Operations", "gib": "GB"},
    commitments={
        "spend-1": (ORDER, "compute plan", "Savings Plan"),
        "usage-1": ("/providers/Microsoft.Capacity/reservationOrders/77aa/reservations/1", "sql-2025", "Reservation"),
    },
    resource="{account}/resourceGroups/ml/providers/Microsoft.Mcml/things/{name}",
)
CHARGE_TYPES: Mapping[Kind, str] = {
    "fee": "Purchase", "upfront": "Purchase", "unused": "UnusedSavingsPlan", "idle": "UnusedReservation", "tax": "Tax", "credit": "Credit",
    "refund": "Refund",
}  # fmt: skip
MOST_DAYS = 31


def dimension(charge: Charge, name: str) -> str:
    """Return the value of a dimension of Cost Management. Raises KeyError for one that this stub does not know."""
    spot, plan = charge.kind == "spot", charge.commitment.startswith("spend")
    benefit = NAMES.commitments[charge.commitment] if charge.commitment else ("", "", "")
    return {
        "SubscriptionId": SUBSCRIPTIONS[charge.account],
        "SubscriptionName": NAMES.accounts[charge.account][1],
        "ServiceName": NAMES.services[charge.service].name,
        "ResourceLocation": NAMES.regions[charge.region][0],
        "ChargeType": CHARGE_TYPES.get(charge.kind, "Usage"),
        "PricingModel": "Spot" if spot else "SavingsPlan" if plan else "Reservation" if charge.commitment else "OnDemand",
        "Meter": charge.sku,
        "MeterId": NAMES.skus.get(charge.sku, ""),
        "ResourceGuid": NAMES.skus.get(charge.sku, ""),
        "BenefitId": benefit[0],
        "BenefitName": benefit[1],
    }[name]


def query_answer(
    charges: Iterable[Charge], scope: str, body: Mapping[str, Any], *, start: int = 0, page: int = 1000
) -> tuple[dict[str, Any], bool]:
    """Return the properties of an answer (without its nextLink), and whether there is more. Raises ArmError for what Azure refuses.

    By day, what lies beyond 31 days from the beginning is left out without a word.
    """
    first, last = (date.fromisoformat(body["timePeriod"][name][:10]) for name in ("from", "to"))
    dataset = body["dataset"]
    if body["timeframe"] != "Custom" or first > last:
        raise ArmError(400, "BadRequest", "Invalid query definition: the time period is none.")
    if dataset.get("granularity") == "Daily":
        last = min(last, first + timedelta(days=MOST_DAYS - 1))
    found = [one for one in charges if first <= one.day <= last and _in_scope(one, scope)]
    amounts = [(one, _amount(one, body["type"])) for one in found]
    groups = dataset.get("grouping", [])
    sums: dict[tuple[Any, ...], Decimal] = {}
    for one, amount in amounts:
        if amount is not None:
            key = (int(f"{one.day:%Y%m%d}"), *(value for group in groups for value in _values(one, group)))
            sums[key] = sums.get(key, ZERO) + amount
    (alias,) = dataset["aggregation"]
    names = [name for group in groups for name in (("TagKey", "TagValue") if group["type"] == "TagKey" else (group["name"],))]
    columns = [{"name": dataset["aggregation"][alias]["name"], "type": "Number"}, {"name": "UsageDate", "type": "Number"}]
    columns += [{"name": name, "type": "String"} for name in (*names, "Currency")]
    rows = [[float(amount), *key, "USD"] for key, amount in sorted(sums.items())]
    return {"columns": columns, "rows": rows[start : start + page]}, start + page < len(rows)


def _in_scope(charge: Charge, scope: str) -> bool:
    return f"/{scope.strip('/')}" in (BILLING_ACCOUNT, NAMES.accounts[charge.account][0])


def _amount(charge: Charge, kind: str) -> Decimal | None:
    """Return the amount of a charge in a view of the costs; None where the view has no such row."""
    if kind == "ActualCost":
        return None if charge.kind in ("unused", "idle") else charge.billed
    return None if charge.kind in ("fee", "upfront") else charge.effective


def _values(charge: Charge, group: Mapping[str, str]) -> tuple[str, ...]:
    if group["type"] == "TagKey":
        return (group["name"].lower(), {"team": charge.team, "model": charge.model}.get(group["name"], ""))
    return (dimension(charge, group["name"]),)


def serve(arm: ArmStub, charges: Callable[[], Iterable[Charge]], *, page: int = 1000, unknown: Collection[str] = ()) -> None:
    """Answer Cost Management's query on a stub of Azure Resource Manager; `charges` is called for every request.

    `unknown` are the dimensions that the agreement does not have: the first of them in a question is refused, as the service does.
    """

    def query(request: Request) -> Reply:
        for group in request.body["dataset"].get("grouping", ()):
            if group["name"] in unknown:
                known = "valid values: 'ResourceGroup','ResourceGuid','ServiceName',''.\r\n\r\n (Request ID: 0a1b)"
                raise ArmError(400, "BadRequest", f"Invalid query definition: Invalid dataset grouping: '{group['name']}'; {known}")
        at = int(request.query.get("$skiptoken", "0"))
        properties, more = query_answer(charges(), request.parts["scope"], request.body, start=at, page=page)
        link = f"{request.origin}{request.path}?api-version={request.query['api-version']}&$skiptoken={at + page}" if more else None
        named = {"id": f"{request.path}/0a1b", "name": "0a1b", "type": "Microsoft.CostManagement/query"}
        return Reply(200, {**named, "properties": {"nextLink": link, **properties}})

    path = "/{scope}/providers/Microsoft.CostManagement/query"
    arm.on("POST", path, query, sdk="azure.mgmt.costmanagement", body="QueryDefinition", answer="QueryResult")


def throttled_by_qpu(*, qpu: int = 1, entity: int = 1, tenant: int = 1) -> ArmError:
    """Return Cost Management's 429, with the seconds that each of its three budgets asks to wait."""
    prefix = "x-ms-ratelimit-microsoft.costmanagement"
    waits = {f"{prefix}-qpu-retry-after": qpu, f"{prefix}-entity-retry-after": entity, f"{prefix}-tenant-retry-after": tenant}
    told = {name: str(seconds) for name, seconds in waits.items()} | {f"{prefix}-qpu-consumed": "12", f"{prefix}-qpu-remaining": "0"}
    return ArmError(429, "429", "Too many requests. Please retry.", told)


def focus_rows(charges: Iterable[Charge]) -> list[Row]:
    """Return charges as rows of a FocusCost export, version 1.2-preview."""
    return [
        focus_row(charge, NAMES)
        | {
            "x_SkuMeterId": NAMES.skus.get(charge.sku, ""),
            "x_ResourceGroupName": "ml" if charge.resource else "",
            "x_BillingAccountId": "8611537",
            "x_ServicePeriodStart": "",
        }
        for charge in charges
    ]


def export_files(
    charges: Iterable[Charge],
    *,
    root: str = "exports/acme-focus",
    run: str = "202503290600",
    run_id: str = "9e8f7a6b-0000-4000-8000-000000000001",
    rows_a_file: int = 300,
    kind: str = "FocusCost",
    gzipped: bool = True,
) -> dict[str, bytes]:
    """Return the blobs of an export's run by name: CSV in parts, a manifest a month, which comes last.

    With `run` ("202503290600") the export makes new reports; with an empty one it overwrites.
    """
    files: dict[str, bytes] = {}
    by_month: dict[date, list[Charge]] = {}
    for charge in charges:
        by_month.setdefault(charge.month, []).append(charge)
    for month, found in by_month.items():
        end = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
        folder = "/".join(part for part in (root, f"{month:%Y%m%d}-{end:%Y%m%d}", run, run_id) if part)
        rows, blobs = focus_rows(found), []
        for number, at in enumerate(range(0, len(rows), rows_a_file)):
            name = f"{folder}/part_{number}_0001.csv{'.gz' if gzipped else ''}"
            part: Sequence[Row] = rows[at : at + rows_a_file]
            files[name] = csv_file(part, sorted(part[0]), gzipped=gzipped)
            blobs.append({"blobName": name, "byteCount": len(files[name]), "dataRowCount": len(part)})
        manifest = {
            "manifestVersion": "2024-04-01",
            "byteCount": sum(int(str(blob["byteCount"])) for blob in blobs),
            "blobCount": len(blobs),
            "dataRowCount": len(rows),
            "exportConfig": {"exportName": root.rpartition("/")[2], "type": kind, "dataVersion": "1.2-preview", "timeFrame": "Custom"},
            "deliveryConfig": {"partitionData": True, "dataOverwriteBehavior": "CreateNewReport" if run else "OverwritePreviousReport"},
            "runInfo": {"runId": run_id, "startDate": f"{month}T00:00:00", "endDate": f"{end}T00:00:00"},
            "blobs": blobs,
        }
        files[f"{folder}/manifest.json"] = json.dumps(manifest).encode()
    return files


def price_rows(meters: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of the Retail Prices API for meters: of every region, the price now and an older one."""
    found = []
    by_meter = {NAMES.skus[name]: sku for name, sku in SKUS.items()}
    for meter in meters:
        for number, (region, _) in enumerate(NAMES.regions):
            sku = by_meter[meter]
            price = price_of(sku, number)
            for since, factor in (("2024-01-01T00:00:00Z", 2), ("2025-01-01T00:00:00Z", 1)):
                named = dict.fromkeys(("meterName", "productName", "skuName"), sku.name)
                price_row: dict[str, Any] = {"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": float(price * factor)}
                price_row |= {"armRegionName": region, "effectiveStartDate": since, "meterId": meter}
                price_row["unitOfMeasure"] = f"1 {NAMES.units[sku.unit]}"
                found.append({**price_row, **named, "type": "Consumption", "armSkuName": ""})
    return found
