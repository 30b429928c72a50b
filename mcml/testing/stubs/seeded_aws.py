"""The seeded ledger as AWS says it: Cost Explorer's answers, line items of CUR 2.0, and Data Exports in their S3 layout.

Cost Explorer: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
Data Exports: https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html
What a savings plan covers is a line at the on-demand price and a negation of the same amount; only the fee is paid.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.seeded_focus import Names, Row, Service, csv_file, focus_row, moment, plain, tags
from mcml.testing.stubs.seeded_ledger import NOW, SKUS, ZERO, Charge, price_of

Json = dict[str, Any]
PAYER = "999988887777"
NAMES = Names(
    provider="AWS",
    publisher="Amazon Web Services, Inc.",
    payer=(PAYER, "acme"),
    accounts=[(f"11112222000{number}", name) for number, name in enumerate(("research", "production", "platform"))],
    account_type="Account",
    regions=[("us-east-1", "US East (N. Virginia)"), ("eu-west-1", "EU (Ireland)")],
    services={
        "compute": Service("Amazon Elastic Compute Cloud - Compute", "Compute", "Virtual Machines"),
        "storage": Service("Amazon Simple Storage Service", "Storage", "Object Storage"),
        "ml": Service("Amazon SageMaker", "AI and Machine Learning", "Machine Learning"),
        "database": Service("Amazon Relational Database Service", "Databases", "Relational Databases"),
        "network": Service("AWS Data Transfer", "Networking", "Network Infrastructure"),
        "commitment": Service("Savings Plans for AWS Compute usage", "Compute", "Virtual Machines"),
        "tax": Service("Tax", "Other", "Other (Other)"),
    },
    skus={name: f"AWS{number:013X}" for number, name in enumerate(SKUS, 0xA0)},
    units={"hour": "Hrs", "gib-month": "GB-Mo", "request": "Requests", "gib": "GB"},
    commitments={
        "spend-1": (f"arn:aws:savingsplans::{PAYER}:savingsplan/5b0d", "compute plan", "Compute Savings Plan"),
        "usage-1": (f"arn:aws:rds:us-east-1:{PAYER}:ri:ri-2025", "ri-2025", "Reserved Instance"),
    },
    resource="arn:aws:mcml:us-east-1:{account}:{name}",
)
CODES = {"compute": "AmazonEC2", "storage": "AmazonS3", "ml": "AmazonSageMaker", "database": "AmazonRDS", "network": "AWSDataTransfer"}
USAGE_TYPES = {
    "vm-small": "BoxUsage:m5.xlarge", "vm-gpu": "BoxUsage:p3.2xlarge", "store": "TimedStorage-ByteHrs", "requests": "Requests-Tier2",
    "endpoint": "Host:ml.m5.large", "training": "Train:ml.p3.2xlarge", "database": "InstanceUsage:db.r5.large",
    "egress": "DataTransfer-Out-Bytes",
}  # fmt: skip
PREFIXES = ("", "EU-")
RECORD_TYPES = {
    "usage": "Usage", "spot": "Usage", "covered": "SavingsPlanCoveredUsage", "fee": "SavingsPlanRecurringFee",
    "unused": "SavingsPlanRecurringFee", "upfront": "Fee", "reserved": "DiscountedUsage", "idle": "RIFee", "tax": "Tax", "credit": "Credit",
    "refund": "Refund",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line item: what was paid (unblended), and what it cost when commitments are spread over what they cover (amortized)."""

    charge: Charge
    record_type: str
    unblended: Decimal
    amortized: Decimal
    quantity: Decimal = ZERO
    team: str = ""
    model: str = ""

    def value(self, kind: str, key: str) -> str:
        """Return the value of a dimension or tag, as Cost Explorer spells it ("" for a tag that is not there)."""
        if kind == "TAG":
            return {"team": self.team, "model": self.model}.get(key, "")
        account = NAMES.accounts[self.charge.account][0]
        return {
            "SERVICE": NAMES.services[self.charge.service].name,
            "USAGE_TYPE": usage_type(self.charge),
            "LINKED_ACCOUNT": account,
            "RECORD_TYPE": self.record_type,
            "REGION": NAMES.regions[self.charge.region][0],
        }[key]


def lines(charges: Iterable[Charge]) -> Iterator[Line]:
    """Yield the line items of charges; a covered one gives two."""
    for charge in charges:
        kind = RECORD_TYPES[charge.kind]
        paid = charge.listed if charge.kind == "covered" else charge.billed
        yield Line(charge, kind, paid, charge.effective, charge.quantity, charge.team, charge.model)
        if charge.kind == "covered":
            yield Line(charge, "SavingsPlanNegation", -charge.listed, ZERO)


def usage_type(charge: Charge) -> str:
    """Return the usage type: the region's prefix, and what was used."""
    if not charge.sku:
        return {"fee": "ComputeSP:1yrNoUpfront", "unused": "ComputeSP:1yrNoUpfront", "idle": "HeavyUsage:db.r5.large"}.get(charge.kind, "")
    used = USAGE_TYPES[charge.sku]
    return PREFIXES[charge.region] + (used.replace("BoxUsage", "SpotUsage") if charge.kind == "spot" else used)


def cost_and_usage(
    charges: Iterable[Charge], asked: Mapping[str, Any], *, page: int = 100, today: date | None = None
) -> dict[str, Any]:
    """Answer GetCostAndUsage: filter, group, add up, a page of groups at a time; what is not final yet is `Estimated`.

    Raises AwsError for what AWS refuses: more than two groups, a period that is empty or beyond 14 months.
    """
    today = today or NOW.date()
    start, end = (date.fromisoformat(asked["TimePeriod"][name]) for name in ("Start", "End"))
    if start >= end or len(asked.get("GroupBy", ())) > 2:
        raise AwsError("ValidationException", "Start date (and hour) should be before end date (and hour); at most 2 groups")
    if start < today - timedelta(days=14 * 31):
        raise AwsError("ValidationException", "You haven't enabled historical data beyond 14 months")
    found = [line for line in lines(charges) if start <= line.charge.day < end and _fits(line, asked.get("Filter"))]
    groups = [(one["Type"], one["Key"]) for one in asked.get("GroupBy", ())]
    sums: dict[tuple[date, tuple[str, ...]], list[Line]] = {}
    for line in found:
        when = line.charge.day if asked["Granularity"] == "DAILY" else max(start, line.charge.month)
        keys = tuple(f"{key}${line.value(kind, key)}" if kind == "TAG" else line.value(kind, key) for kind, key in groups)
        sums.setdefault((when, keys), []).append(line)
    at = int(asked.get("NextPageToken", "0"))
    ordered = sorted(sums)
    answer = _answer(asked, {key: sums[key] for key in ordered[at : at + page]}, bool(groups), today)
    more = {"NextPageToken": str(at + page)} if at + page < len(ordered) else {}
    accounts = [{"Value": one, "Attributes": {"description": name}} for one, name in NAMES.accounts]
    return {**answer, **more, "GroupDefinitions": asked.get("GroupBy", []), "DimensionValueAttributes": accounts}


def _answer(asked: Mapping[str, Any], sums: Mapping[tuple[date, tuple[str, ...]], list[Line]], grouped: bool, today: date) -> Json:
    days: dict[date, dict[str, Any]] = {}
    for (when, keys), found in sums.items():
        after = when + timedelta(days=1) if asked["Granularity"] == "DAILY" else (when + timedelta(days=32)).replace(day=1)
        period = {"Start": when.isoformat(), "End": after.isoformat()}
        day = days.setdefault(when, {"TimePeriod": period, "Total": {}, "Groups": [], "Estimated": when >= today.replace(day=1)})
        metrics = {name: _metric(name, found) for name in asked["Metrics"]}
        if grouped:
            day["Groups"].append({"Keys": list(keys), "Metrics": metrics})
        else:
            day["Total"] = metrics
    return {"ResultsByTime": list(days.values())}


def _metric(name: str, found: Sequence[Line]) -> dict[str, str]:
    if name == "UsageQuantity":
        units = {NAMES.units[SKUS[line.charge.sku].unit] if line.charge.sku else "N/A" for line in found}
        return {"Amount": plain(sum((line.quantity for line in found), ZERO)), "Unit": units.pop() if len(units) == 1 else "N/A"}
    amortized = name in ("AmortizedCost", "NetAmortizedCost")
    return {"Amount": plain(sum((line.amortized if amortized else line.unblended for line in found), ZERO)), "Unit": "USD"}


def _fits(line: Line, wanted: Mapping[str, Any] | None) -> bool:
    if not wanted:
        return True
    if "And" in wanted:
        return all(_fits(line, part) for part in wanted["And"])
    if "Or" in wanted:
        return any(_fits(line, part) for part in wanted["Or"])
    if "Not" in wanted:
        return not _fits(line, wanted["Not"])
    kind, of = ("TAG", wanted["Tags"]) if "Tags" in wanted else ("DIMENSION", wanted["Dimensions"])
    value = line.value(kind, of["Key"])
    return value in of.get("Values", ()) or (value == "" and "ABSENT" in of.get("MatchOptions", ()))


def focus_rows(charges: Iterable[Charge]) -> list[Row]:
    """Return charges as rows of the table FOCUS 1.2 with AWS columns."""
    return [
        focus_row(charge, NAMES)
        | {
            "x_Discounts": "{}",
            "x_Operation": "",
            "x_ServiceCode": CODES.get(charge.service, ""),
            "x_UsageType": usage_type(charge),
        }
        for charge in charges
    ]


def cur_rows(charges: Iterable[Charge]) -> list[Row]:
    """Return charges as line items of CUR 2.0 (COST_AND_USAGE_REPORT); a fee and what of it nothing used are one line."""
    charges = list(charges)
    left = {(one.day, one.commitment): one.effective for one in charges if one.kind == "unused"}
    return [_cur_row(line, left) for line in lines(charges) if line.charge.kind != "unused"]


def _cur_row(line: Line, left: Mapping[tuple[date, str], Decimal]) -> Row:
    charge, used = line.charge, line.record_type
    region = NAMES.regions[charge.region][0]
    arn = NAMES.commitments[charge.commitment][0] if charge.commitment else ""
    spend, fee = charge.commitment.startswith("spend"), used == "SavingsPlanRecurringFee"
    unused = left.get((charge.day, charge.commitment), ZERO) if fee else ZERO
    month_after = (charge.month + timedelta(days=32)).replace(day=1)
    sku = SKUS.get(charge.sku)
    named = {f"user_{key}": value for key, value in tags(charge).items()} if used != "SavingsPlanNegation" else {}
    return {
        "identity_line_item_id": f"{charge.id}-{used}",
        "bill_bill_type": "Anniversary", "bill_payer_account_id": PAYER, "bill_payer_account_name": NAMES.payer[1],
        "bill_billing_period_start_date": moment(charge.month, _MS), "bill_billing_period_end_date": moment(month_after, _MS),
        "bill_invoicing_entity": NAMES.publisher, "bill_billing_entity": "AWS", "bill_invoice_id": "",
        "line_item_usage_account_id": NAMES.accounts[charge.account][0],
        "line_item_usage_account_name": NAMES.accounts[charge.account][1],
        "line_item_line_item_type": used,
        "line_item_usage_start_date": moment(charge.day, _MS),
        "line_item_usage_end_date": moment(charge.day + timedelta(days=1), _MS),
        "line_item_product_code": CODES.get(charge.service, ""), "product_servicecode": CODES.get(charge.service, ""),
        "product": json.dumps({"product_name": NAMES.services[charge.service].name, "region": region}),
        "line_item_usage_type": usage_type(charge), "line_item_operation": "", "product_region_code": region,
        "line_item_usage_amount": plain(line.quantity) if sku else "",
        "line_item_currency_code": "USD", "line_item_unblended_cost": plain(line.unblended), "line_item_net_unblended_cost": "",
        "line_item_resource_id": NAMES.resource.format(account=NAMES.accounts[charge.account][0], name=charge.resource) if sku else "",
        "line_item_line_item_description": f"{charge.kind} of {charge.sku or charge.service}",
        "pricing_public_on_demand_cost": plain(charge.listed) if sku and used != "SavingsPlanNegation" else "",
        "pricing_public_on_demand_rate": plain(charge.price) if sku and used != "SavingsPlanNegation" else "",
        "pricing_unit": NAMES.units[sku.unit] if sku else "", "product_sku": NAMES.skus[charge.sku] if sku else "",
        "pricing_rate_code": f"{NAMES.skus[charge.sku]}.{charge.region}" if sku else "",
        "savings_plan_savings_plan_a_r_n": arn if spend else "",
        "savings_plan_savings_plan_effective_cost": plain(charge.effective) if used == "SavingsPlanCoveredUsage" else "",
        "savings_plan_total_commitment_to_date": plain(charge.billed) if fee else "",
        "savings_plan_used_commitment": plain(charge.billed - unused) if fee else "",
        "reservation_reservation_a_r_n": arn if charge.commitment and not spend else "",
        "reservation_effective_cost": plain(charge.effective) if used == "DiscountedUsage" else "",
        "reservation_unused_amortized_upfront_fee_for_billing_period": plain(charge.effective) if used == "RIFee" else "",
        "reservation_unused_recurring_fee": "0" if used == "RIFee" else "",
        "resource_tags": json.dumps(named),
    }


_MS = "T00:00:00.000Z"


def export_files(
    charges: Iterable[Charge],
    *,
    root: str = "exports/acme",
    table: Literal["focus", "cur"] = "focus",
    execution: str = "",
    rows_a_file: int = 300,
    bucket: str = "acme-bill",
) -> dict[str, bytes]:
    """Return the objects of an export by key: CSV in gzip, in chunks, and a manifest a billing period, which comes last.

    `root` is the prefix and the export's name. With an `execution` ("20250329T0600Z-1b2c") the export keeps old deliveries and puts each in
    a folder of its own; without, it overwrites.
    """
    name, files = root.rpartition("/")[2], {}
    by_month: dict[date, list[Charge]] = {}
    for charge in charges:
        by_month.setdefault(charge.month, []).append(charge)
    for month, found in by_month.items():
        rows = focus_rows(found) if table == "focus" else cur_rows(found)
        columns = sorted(rows[0])
        part = f"BILLING_PERIOD={month:%Y-%m}/" if table == "cur" else f"billing_period={month:%Y-%m}/"
        folder = f"{root}/data/{part}{execution and execution + '/'}"
        keys = []
        for number, at in enumerate(range(0, len(rows), rows_a_file), 1):
            keys.append(f"{folder}{name}-{number:05}.csv.gz")
            files[keys[-1]] = csv_file(rows[at : at + rows_a_file], columns)
        manifest = {
            "exportArn": f"arn:aws:bcm-data-exports:us-east-1:{PAYER}:export/{name}",
            "executionId": execution or "20250329-0000",
            "billingPeriod": {"start": month.isoformat(), "end": (month + timedelta(days=32)).replace(day=1).isoformat()},
            "columns": [{"name": column, "type": "string"} for column in columns],
            "dataFiles": [f"s3://{bucket}/{key}" for key in keys],
        }
        files[f"{root}/metadata/{part}{name}-Manifest.json"] = json.dumps(manifest).encode()
    return files


def serve(stub: AwsModel, charges: Callable[[], Iterable[Charge]], *, page: int = 100) -> None:
    """Answer Cost Explorer, the Price List and STS on a stub of `ce`, `pricing` and `sts`; `charges` is called for every request."""
    stub.on("ce", "GetCostAndUsage", lambda asked: cost_and_usage(charges(), asked, page=page))
    stub.on("sts", "GetCallerIdentity", {"Account": PAYER, "Arn": f"arn:aws:iam::{PAYER}:user/ada", "UserId": "AIDA"})

    def products(asked: Mapping[str, Any]) -> Json:
        found = price_list(asked["ServiceCode"], {one["Field"]: one["Value"] for one in asked["Filters"]})
        at = int(asked.get("NextToken", "0"))
        return {"FormatVersion": "aws_v1", "PriceList": found[at : at + 1]} | ({"NextToken": str(at + 1)} if at + 1 < len(found) else {})

    stub.on("pricing", "GetProducts", products)


def price_list(service_code: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the products of a service in the Price List's form (JSON texts), of those whose attributes are as `wanted`."""
    found = []
    for name, sku in SKUS.items():
        for number, (region, _) in enumerate(NAMES.regions):
            code = NAMES.skus[name]
            attributes = {"usagetype": PREFIXES[number] + USAGE_TYPES[name], "regionCode": region, "servicecode": CODES[sku.service]}
            attributes |= {"operation": "RunInstances", "preInstalledSw": "NA"} if sku.service == "compute" else {}
            if CODES[sku.service] != service_code or any(attributes.get(key) != value for key, value in wanted.items()):
                continue
            price = {"USD": plain(price_of(sku, number))}
            rate = {"unit": NAMES.units[sku.unit], "pricePerUnit": price, "beginRange": "0", "endRange": "Inf"}
            term = {"effectiveDate": "2025-01-01T00:00:00Z", "priceDimensions": {f"{code}.JRTC.6YS6": rate}}
            product = {"sku": f"{code}{number}", "productFamily": sku.service, "attributes": attributes}
            found.append(json.dumps({"product": product, "serviceCode": service_code, "terms": {"OnDemand": {f"{code}.JRTC": term}}}))
    return found
