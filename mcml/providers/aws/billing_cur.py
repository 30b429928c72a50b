"""A line item of the Cost and Usage Report 2.0 as rows of FOCUS; pure.

Columns: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html. What a savings plan covers is billed nothing, and its
negation is no row: the two cancel out, and what they do not cancel is an Adjustment (`CurReader.rest`), so that no cent is lost. A
recurring fee is a Purchase, and what nothing used of it a Usage row beside it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from mcml.providers.api.billing import FocusRow
from mcml.providers.aws.billing_lines import AWS, CATEGORY, COMMITTED, ISSUER, RECURRING
from mcml.providers.aws.billing_names import is_spot, region_of, service_of
from mcml.providers.focus import KEPT, NotAValue, Row, moment, month_after, number, refused, tags_of

ZERO = Decimal(0)
NET = "line_item_net_unblended_cost"
DISCOUNTS = ("EdpDiscount", "PrivateRateDiscount", "BundledDiscount", "SppDiscount", "DistributorDiscount", "Discount")
"""Lines that tell a discount, which the net costs of the other lines hold already: the columns and the line "represent the same information
in different ways" (https://aws.amazon.com/blogs/aws-cloud-financial-management/bundled-discounts-in-aws-cost-and-usage-report/)."""


def is_cur(record: Mapping[str, str]) -> bool:
    """Tell whether a record is a line item of CUR 2.0."""
    return "line_item_line_item_type" in record


@dataclass
class CurReader:
    """Reads the line items of one month. `left` is what savings plans' lines and negations leave over, by day, account and service.

    A discount's line whose net cost is blank counts nothing where other lines have net costs, else its unblended cost: until it is known
    which (`net`), it waits in `held`.
    """

    left: dict[tuple[str, str, str], tuple[Mapping[str, str], Decimal]] = field(default_factory=dict)
    net: bool = False
    held: list[Mapping[str, str]] = field(default_factory=list)

    def rows(self, record: Mapping[str, str]) -> list[FocusRow]:
        """Return the rows of a line item; for a number or a time that is none, one that says so, and then it does not count here either."""
        self.net = self.net or bool(record.get(NET))
        if record["line_item_line_item_type"] in DISCOUNTS and record.get(NET) == "":
            if not self.net:
                self.held.append(record)
                return []
            record = {**record, NET: "0"}
        try:
            made = list(_rows(record))
        except NotAValue as wrong:
            return [_refused(record, wrong)]
        if record["line_item_line_item_type"] in ("SavingsPlanCoveredUsage", "SavingsPlanNegation"):
            day, account = record["line_item_usage_start_date"][:10], record.get("line_item_usage_account_id", "")
            key = (day, account, record.get("line_item_product_code", ""))
            known = self.left.get(key, (record, ZERO))
            self.left[key] = (known[0], known[1] + _number(record, NET, "line_item_unblended_cost"))
        return made

    def rest(self) -> Iterator[FocusRow]:
        """Yield what waits and what is left over when the month is read; nothing as a rule."""
        for record in self.held:
            try:
                yield from list(_rows({**record, NET: "0"} if self.net else record))
            except NotAValue as wrong:
                yield _refused(record, wrong)
        for record, amount in self.left.values():
            if amount:
                bare = {**record, "line_item_line_item_type": "SavingsPlanNegation", "resource_tags": "", "line_item_resource_id": ""}
                yield _row(bare, "Adjustment", billed=amount, effective=ZERO, listed=amount)


def _refused(record: Mapping[str, str], wrong: NotAValue) -> FocusRow:
    cost = record.get(NET) or record.get("line_item_unblended_cost")
    account, month = record.get("bill_payer_account_id"), record.get("bill_billing_period_start_date")
    return refused(record, wrong, cost=cost, currency=record.get("line_item_currency_code"), account=account, month=month)


def _rows(record: Mapping[str, str]) -> Iterator[FocusRow]:
    kind = record["line_item_line_item_type"]
    paid = _number(record, NET, "line_item_unblended_cost")
    category = CATEGORY.get(kind, "Adjustment")
    if kind == "SavingsPlanNegation":
        return
    if kind in RECURRING:
        yield _row(record, category, billed=paid, effective=ZERO, listed=paid)
        unused = _unused(record, kind)
        if unused:
            yield _row(record, "Usage", billed=ZERO, effective=unused, listed=ZERO, unused=True)
        return
    listed = _number(record, "pricing_public_on_demand_cost") if record.get("pricing_public_on_demand_cost") else paid
    billed = ZERO if kind == "SavingsPlanCoveredUsage" else paid
    yield _row(record, category, billed=billed, effective=_effective(record, kind, paid), listed=listed)


def _effective(record: Mapping[str, str], kind: str, paid: Decimal) -> Decimal:
    if kind == "SavingsPlanCoveredUsage":
        return _number(record, "savings_plan_net_savings_plan_effective_cost", "savings_plan_savings_plan_effective_cost")
    if kind == "DiscountedUsage":
        return _number(record, "reservation_net_effective_cost", "reservation_effective_cost")
    committed = record.get("reservation_reservation_a_r_n") or record.get("savings_plan_savings_plan_a_r_n")
    return ZERO if kind == "SavingsPlanUpfrontFee" or (kind in ("Fee", "Upfront") and committed) else paid


def _unused(record: Mapping[str, str], kind: str) -> Decimal:
    if kind == "SavingsPlanRecurringFee":
        return _number(record, "savings_plan_total_commitment_to_date") - _number(record, "savings_plan_used_commitment")
    unused = "unused_amortized_upfront_fee_for_billing_period", "unused_recurring_fee"
    return sum((_number(record, f"reservation_net_{name}", f"reservation_{name}") for name in unused), ZERO)


def _number(record: Mapping[str, str], *columns: str) -> Decimal:
    """Return the first of the columns that says something; 0 when none does."""
    found = next((column for column in columns if record.get(column)), "")
    return number(found, record[found]) if found else ZERO


def _row(
    record: Mapping[str, str], category: str, *, billed: Decimal, effective: Decimal, listed: Decimal, unused: bool = False
) -> FocusRow:
    kind, usage = record["line_item_line_item_type"], category == "Usage"
    start = moment("line_item_usage_start_date", record["line_item_usage_start_date"])
    month = moment("bill_billing_period_start_date", record["bill_billing_period_start_date"])
    spot = is_spot(record.get("line_item_usage_type", ""))
    return {
        "BilledCost": billed, "EffectiveCost": effective, "ListCost": listed, "ContractedCost": billed if spot else listed,
        "BillingCurrency": record["line_item_currency_code"],
        "PricingCurrency": record.get("pricing_currency") or record["line_item_currency_code"],
        "BillingPeriodStart": month, "BillingPeriodEnd": month_after(month), "ChargePeriodStart": start,
        "ChargePeriodEnd": moment("line_item_usage_end_date", record["line_item_usage_end_date"]),
        "ChargeCategory": category, "ChargeClass": None, "ChargeDescription": record.get("line_item_line_item_description") or None,
        "ChargeFrequency": "Usage-Based" if usage else "Recurring" if kind in RECURRING else "One-Time",
        "PricingCategory": ("Committed" if unused or kind in COMMITTED else "Dynamic" if spot else "Standard") if usage else None,
        **_who(record),
        **_what(record),
        **_price(record, measured=usage and not unused),
        **_commitment(record, "Unused" if unused else "Used" if kind in COMMITTED else None),
        "x_RecordType": kind, "x_UsageType": record.get("line_item_usage_type") or None, "x_Source": "billed", "x_From": "AWS Data Exports",
        **({} if kind in CATEGORY or kind in DISCOUNTS else {"x_Diagnostic": f"line type {kind!r} is not known: booked as an adjustment"}),
    }


def _who(record: Mapping[str, str]) -> Row:
    return {
        "BillingAccountId": record["bill_payer_account_id"],
        "BillingAccountName": record.get("bill_payer_account_name") or None,
        "BillingAccountType": "Account",
        "SubAccountId": record.get("line_item_usage_account_id") or None,
        "SubAccountName": record.get("line_item_usage_account_name") or None,
        "SubAccountType": "Account",
        "InvoiceIssuerName": record.get("bill_invoicing_entity") or ISSUER,
        "InvoiceId": record.get("bill_invoice_id") or None,
        "ServiceProviderName": AWS,
        "HostProviderName": None,
        "Tags": tags_of(record.get("resource_tags", ""), "user_", "user:"),
    }


@lru_cache(maxsize=KEPT)
def _product(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    return str(said.get("product_name", "")) if isinstance(said, dict) else ""


def _what(record: Mapping[str, str]) -> Row:
    code = record.get("product_servicecode") or record.get("line_item_product_code", "")
    name = _product(record.get("product") or "{}")
    service = service_of(name) if service_of(name).code else service_of(code)
    region = record.get("product_region_code") or region_of(record.get("line_item_usage_type", ""))
    return {
        "ServiceCategory": service.category,
        "ServiceSubcategory": service.subcategory,
        "ServiceName": name or code or "Other",
        "RegionId": region, "RegionName": region, "AvailabilityZone": record.get("line_item_availability_zone") or None,
        "ResourceId": record.get("line_item_resource_id") or None, "ResourceName": None, "ResourceType": None,
    }


def _price(record: Mapping[str, str], *, measured: bool) -> Row:
    sku = {"SkuId": record.get("product_sku") or None, "SkuPriceId": record.get("pricing_rate_code") or None}
    if not measured or not record.get("line_item_usage_amount"):
        return {**sku, "PricingQuantity": None, "PricingUnit": None}
    quantity, unit = _number(record, "line_item_usage_amount"), record.get("pricing_unit") or None
    rate = record.get("pricing_public_on_demand_rate")
    exact = rate and quantity * number("rate", rate) == _number(record, "pricing_public_on_demand_cost")  # else a tier's, or rounded
    return {
        **sku,
        "PricingQuantity": quantity, "PricingUnit": unit, "ConsumedQuantity": quantity, "ConsumedUnit": unit,
        "ListUnitPrice": number("pricing_public_on_demand_rate", rate) if rate and exact else None,
    }


def _commitment(record: Mapping[str, str], status: str | None) -> Row:
    plan, reservation = record.get("savings_plan_savings_plan_a_r_n"), record.get("reservation_reservation_a_r_n")
    if not plan and not reservation:
        return {}
    return {
        "CommitmentDiscountId": plan or reservation,
        "CommitmentDiscountCategory": "Spend" if plan else "Usage",
        "CommitmentDiscountType": "Savings Plan" if plan else "Reserved Instance",
        "CommitmentDiscountStatus": status,
    }
