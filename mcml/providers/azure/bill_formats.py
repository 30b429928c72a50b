"""Azure's cost details as a file: ActualCost and AmortizedCost exports of an Enterprise Agreement or a Microsoft Customer Agreement; pure.

https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-ea (and -mca). Names differ in their case only,
and where `NAMES` says. EA tags lack their braces: `"team": "risk","env": "prod"`.

Both exports have the same columns. In the actual one a commitment's purchase costs and what it covers does not; in the amortized one there
is no purchase, and its cost is in what it covers and in `Unused...` lines. So what is covered or unused is billed nothing, and its amount
is its EffectiveCost. A purchase counts where it was billed: with the actual export alone nothing says what it was spent on.
Quantities are in UnitOfMeasure, and EffectivePrice x Quantity is the cost; what PayGPrice is per is not told: no list cost is made of it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.api.spec import ProviderContext
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


def open_bill_formats(ctx: ProviderContext) -> BillFormats:  # noqa: ARG001 - a file needs no account
    """Return the formats of Azure's bills."""
    return (CostDetails(),)


class CostDetails:
    """Both exports of both agreements."""

    name = "Azure cost details"

    def recognises(self, header: Sequence[str]) -> bool:
        """A cost in the billing currency, by charge type, of a day."""
        return {COST, "date", "chargetype"} <= {name.lower() for name in header}

    def rows(self, records: Iterable[Record]) -> Iterator[FocusRow]:
        """Yield a row of each line. Raises InvalidRequest when actual and amortized lines are mixed: all else would count twice."""
        seen: dict[bool, str] = {}
        for record in records:
            line = _line(record)
            try:
                row, kind = _row(line), _tells(line)
            except NotAValue as wrong:
                yield refused(record, wrong, cost=line[COST], currency=line["billingcurrency"])
                continue
            if kind is not None:
                seen.setdefault(kind, f"{line['chargetype']} of {line.get('benefitid') or line.get('productname')}")
            if len(seen) > 1:
                raise InvalidRequest(
                    "these are an actual and an amortized export of the same bill",
                    why=f"{seen[False]} is on the actual one, {seen[True]} on the amortized one, and all the rest is on both",
                    next_step="ingest one of the two; an export of the type FocusCost has both costs in each row",
                )
            yield row


def _tells(line: Mapping[str, str]) -> bool | None:
    """Tell that a line can be on the amortized export only (True), on the actual one only (False); None for any other."""
    kind = line["chargetype"]
    if kind.startswith("Unused"):
        return True
    if not _is_committed(line):
        return None
    if kind == "Usage":
        return True if number(COST, line[COST]) else None
    return False if kind == "Purchase" else None


def _is_committed(line: Mapping[str, str]) -> bool:
    return bool(line.get("benefitid")) or line.get("pricingmodel") in COMMITTED


@cache
def _name(column: str) -> str:
    lower = column.strip().lower()
    return NAMES.get(lower, lower)


def _line(record: Record) -> dict[str, str]:
    line: dict[str, str] = {}
    for column, said in record.items():
        text = "" if said is None else said.strip() if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        line[_name(column)] = ("" if text in NULLS else text) or line.get(_name(column), "")
    for name in REQUIRED:
        if not line.get(name):
            step = "export the cost details again with all columns"
            raise InvalidRequest(f"the line has no {name}", why="without it the line cannot be booked", next_step=step)
    return line


def _row(line: Mapping[str, str]) -> FocusRow:
    kind, cost = line["chargetype"], number(COST, line[COST])
    unused = kind.startswith("Unused")
    category = "Usage" if unused else CATEGORY.get(kind, "Adjustment")
    usage, committed = category == "Usage", _is_committed(line)
    billed = ZERO if unused or (usage and committed) else cost
    listed = number("paygcostinbillingcurrency", line["paygcostinbillingcurrency"]) if line.get("paygcostinbillingcurrency") else cost
    known = kind in CATEGORY or kind in ADJUSTED or unused
    return {
        "BilledCost": billed, "EffectiveCost": cost, "ListCost": ZERO if unused else listed, "ContractedCost": ZERO if unused else cost,
        "BillingCurrency": line["billingcurrency"],
        **_who(line),
        **_when(line),
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


def _who(line: Mapping[str, str]) -> Row:
    account, subscription = line["billingaccountid"], line.get("subscriptionid") or line.get("subscriptionguid")
    return {
        "BillingAccountId": account if account.startswith("/") else f"/providers/Microsoft.Billing/billingAccounts/{account}",
        "BillingAccountName": line.get("billingaccountname") or None, "BillingAccountType": "Billing Account",
        "SubAccountId": f"/subscriptions/{subscription}" if subscription else None,
        "SubAccountName": line.get("subscriptionname") or None, "SubAccountType": "Subscription" if subscription else None,
        "InvoiceIssuerName": MICROSOFT, "ServiceProviderName": MICROSOFT, "HostProviderName": None,
        "InvoiceId": line.get("invoiceid") or None, "x_PublisherName": line.get("publishername") or None,
    }  # fmt: skip


def _when(line: Mapping[str, str]) -> Row:
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
