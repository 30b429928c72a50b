"""A line of Azure's cost details, whichever export and agreement it is of, as a row of FOCUS; pure.

https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-ea (and -mca). Names differ in their case only,
and where `NAMES` says. EA tags lack their braces: `"team": "risk","env": "prod"`.
Quantities are in UnitOfMeasure, and EffectivePrice x Quantity is the cost; what PayGPrice is per is not told: no list cost is made of it.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.azure.billing_rows import CATEGORY, MICROSOFT, PRICING, SERVICES
from mcml.providers.focus import NULLS, NotAValue, Row, moment, month_after, month_of, number, refused, tags_of

ZERO = Decimal(0)
DAY = timedelta(days=1)
COST = "costinbillingcurrency"
REQUIRED = (COST, "date", "chargetype", "billingcurrency", "billingaccountid")
NAMES: Mapping[str, str] = {
    "billingcurrencycode": "billingcurrency", "product": "productname", "resourcegroupname": "resourcegroup",
    "location": "resourcelocation", "instanceid": "resourceid", "instancename": "resourcename", "reservationid": "benefitid",
    "reservationname": "benefitname",
}  # fmt: skip
"""Names in one agreement's files, or in older ones, to those that are read here; a file that has both says the same in both."""
ADJUSTED = ("Refund", "RoundingAdjustment", "Adjustment")
COMMITTED = ("Reservation", "SavingsPlan")


def tells(line: Mapping[str, str]) -> bool | None:
    """Tell that a line can be on the amortized export only (True), on the actual one only (False); None for any other."""
    kind = line["chargetype"]
    if kind.startswith("Unused"):
        return True
    if not is_committed(line):
        return None
    if kind == "Usage":
        return True if number(COST, line[COST]) else None
    return False if kind == "Purchase" else None


def is_committed(line: Mapping[str, str]) -> bool:
    """Tell whether a line is of a reservation or a savings plan, bought, used or unused."""
    return bool(line.get("benefitid")) or line.get("pricingmodel") in COMMITTED


@lru_cache(maxsize=64)
def _names(header: tuple[str, ...]) -> tuple[str, ...]:
    lower = (column.strip().lower() for column in header)
    return tuple(NAMES.get(name, name) for name in lower)


def line_of(record: Record) -> dict[str, str]:
    """Return a record as texts under the names that are read here. Raises InvalidRequest when one of REQUIRED is not said."""
    line: dict[str, str] = {}
    for name, said in zip(_names(tuple(record)), record.values(), strict=True):
        text = said.strip() if isinstance(said, str) else "" if said is None else json.dumps(said, ensure_ascii=False)
        if text not in NULLS:
            line[name] = text
        elif name not in line:
            line[name] = ""
    for name in REQUIRED:
        if not line.get(name):
            step = "export the cost details again with all columns"
            raise InvalidRequest(f"the line has no {name}", why="without it the line cannot be booked", next_step=step)
    return line


def row_of(line: Mapping[str, str]) -> FocusRow:
    """Return the row of a line; what is covered or unused is billed nothing. Raises NotAValue."""
    kind, cost = line["chargetype"], number(COST, line[COST])
    unused = kind.startswith("Unused")
    category = "Usage" if unused else CATEGORY.get(kind, "Adjustment")
    usage, committed = category == "Usage", is_committed(line)
    billed = ZERO if unused or (usage and committed) else cost
    listed = number("paygcostinbillingcurrency", line["paygcostinbillingcurrency"]) if line.get("paygcostinbillingcurrency") else cost
    known = kind in CATEGORY or kind in ADJUSTED or unused
    return {
        "BilledCost": billed, "EffectiveCost": cost, "ListCost": ZERO if unused else listed, "ContractedCost": ZERO if unused else cost,
        "BillingCurrency": line["billingcurrency"],
        "PricingCurrency": line.get("pricingcurrency") or line["billingcurrency"],
        **_who(line),
        **when(line),
        "ChargeCategory": category, "ChargeClass": None,
        "ChargeDescription": line.get("productname") or line.get("metername") or None,
        "ChargeFrequency": {"OneTime": "One-Time", "Recurring": "Recurring"}.get(line.get("frequency", ""), "Usage-Based"),
        "PricingCategory": PRICING.get(line.get("pricingmodel", ""), "Standard") if usage else None,
        **_what(line, measured=usage and not unused),
        **(_commitment(line, unused=unused, usage=usage) if committed or unused else {}),
        "Tags": _tags(line.get("tags", "")),
        "x_ChargeType": kind, "x_Source": "billed", "x_From": "Azure cost details",
        "x_CostCentre": line.get("costcenter") or None, "x_ResourceGroup": line.get("resourcegroup") or None,
        **({} if known else {"x_Diagnostic": f"charge type {kind!r} is not known: booked as an adjustment"}),
    }  # fmt: skip


def refused_line(record: Record, line: Mapping[str, str], wrong: NotAValue) -> FocusRow:
    """Return the row of a line that cannot be read."""
    try:
        month = when(line)["BillingPeriodStart"]
    except NotAValue:
        month = None
    return refused(record, wrong, cost=line[COST], currency=line["billingcurrency"], account=account_of(line), month=month)


def account_of(line: Mapping[str, str]) -> str:
    """Return the id of a line's billing account, as the resource that it is."""
    account = line["billingaccountid"]
    return account if account.startswith("/") else f"/providers/Microsoft.Billing/billingAccounts/{account}"


def _who(line: Mapping[str, str]) -> Row:
    subscription = line.get("subscriptionid") or line.get("subscriptionguid")
    return {
        "BillingAccountId": account_of(line),
        "BillingAccountName": line.get("billingaccountname") or None, "BillingAccountType": "Billing Account",
        "SubAccountId": f"/subscriptions/{subscription}" if subscription else None,
        "SubAccountName": line.get("subscriptionname") or None, "SubAccountType": "Subscription" if subscription else None,
        "InvoiceIssuerName": MICROSOFT, "ServiceProviderName": MICROSOFT, "HostProviderName": None,
        "InvoiceId": line.get("invoiceid") or None, "x_PublisherName": line.get("publishername") or None,
    }  # fmt: skip


def when(line: Mapping[str, str]) -> Row:
    """Return the periods of a line: its day, and the bill's month. Raises NotAValue."""
    day = moment("date", line["date"])
    first, last = line.get("billingperiodstartdate"), line.get("billingperiodenddate")
    month = moment("billingperiodstartdate", first) if first else month_of(day)
    after: datetime = moment("billingperiodenddate", last) + DAY if last else month_after(month)  # the last day is in the period
    return {
        "ChargePeriodStart": day, "ChargePeriodEnd": day + DAY, "BillingPeriodStart": month, "BillingPeriodEnd": after,
    }  # fmt: skip


def _what(line: Mapping[str, str], *, measured: bool) -> Row:
    service = line.get("metercategory") or line.get("consumedservice") or "Other"
    category = SERVICES.get(service, ("Other", "Other (Other)"))
    quantity = number("quantity", line["quantity"]) if measured and line.get("quantity") else None
    unit = line.get("unitofmeasure") if quantity is not None else None
    place = line.get("resourcelocation") or None
    return {
        "ServiceCategory": category[0], "ServiceSubcategory": category[1], "ServiceName": service,
        "PricingQuantity": quantity, "PricingUnit": unit, "ConsumedQuantity": quantity, "ConsumedUnit": unit,
        "SkuId": line.get("partnumber") or line.get("productid") or None, "SkuMeter": line.get("metername") or None,
        "RegionId": place, "RegionName": place, "AvailabilityZone": line.get("availabilityzone") or None,
        "ResourceId": line.get("resourceid") or None, "ResourceName": line.get("resourcename") or None,
        "x_SkuMeterId": line.get("meterid") or None,
    }  # fmt: skip


def _commitment(line: Mapping[str, str], *, unused: bool, usage: bool) -> Row:
    plan = "billingbenefits" in line.get("benefitid", "").lower() or "SavingsPlan" in (line.get("pricingmodel"), line["chargetype"][6:])
    return {
        "CommitmentDiscountId": line.get("benefitid") or None,
        "CommitmentDiscountName": line.get("benefitname") or None,
        "CommitmentDiscountCategory": "Spend" if plan else "Usage",
        "CommitmentDiscountType": "Savings Plan" if plan else "Reservation",
        "CommitmentDiscountStatus": ("Unused" if unused else "Used") if usage else None,
    }


def _tags(text: str) -> str | None:
    braced = text if text.startswith("{") or not text else f"{{{text}}}"
    return tags_of(braced)
