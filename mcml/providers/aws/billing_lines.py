"""A group of Cost Explorer's sums as rows of FOCUS; pure.

Record types: https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html (LineItemType).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.providers.api.billing import FocusRow
from mcml.providers.aws.billing_names import is_spot, region_of, service_of
from mcml.providers.focus import month_after, month_of

ZERO = Decimal(0)
AWS, ISSUER = "AWS", "Amazon Web Services, Inc."
CATEGORY: Mapping[str, str] = {
    "Usage": "Usage", "DiscountedUsage": "Usage", "SavingsPlanCoveredUsage": "Usage", "SavingsPlanNegation": "Usage",
    "SavingsPlanRecurringFee": "Purchase", "SavingsPlanUpfrontFee": "Purchase", "RIFee": "Purchase", "Fee": "Purchase",
    "Upfront": "Purchase", "Recurring": "Purchase", "Tax": "Tax", "Credit": "Credit", "Refund": "Adjustment",
}  # fmt: skip
"""What is in no table (discounts of an agreement, record types to come) is an Adjustment: never dropped, and named in x_RecordType."""
RECURRING = ("SavingsPlanRecurringFee", "RIFee", "Recurring")
COMMITTED = ("DiscountedUsage", "SavingsPlanCoveredUsage")


@dataclass(frozen=True)
class Group:
    """One group of one day. `quantity` is None where units are mixed."""

    day: datetime
    payer: str
    account: str
    account_name: str
    record_type: str
    service: str
    usage_type: str
    tags: Mapping[str, str]
    unblended: Decimal
    amortized: Decimal
    currency: str
    quantity: Decimal | None
    unit: str
    estimated: bool


@dataclass
class Negations:
    """What savings plans' lines and their negations leave over, by day, account and service; nothing as a rule."""

    left: dict[tuple[datetime, str, str], tuple[Group, Decimal]] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        """Add a covered line or a negation."""
        key = (group.day, group.account, group.service)
        known = self.left.get(key, (group, ZERO))[1]
        self.left[key] = (group, known + group.unblended)

    def rows(self) -> Iterator[FocusRow]:
        """Yield an Adjustment for every day on which they do not cancel out: no cent is lost."""
        for group, amount in self.left.values():
            if amount:
                rest = replace(group, record_type="SavingsPlanNegation", usage_type="", tags={}, quantity=None)
                yield _row(rest, "Adjustment", billed=amount, effective=ZERO, listed=amount, note="savings plan lines and negations differ")


def group_rows(group: Group, negations: Negations) -> Iterator[FocusRow]:
    """Yield the rows of a group; what of a savings plan cancels out goes into `negations`."""
    category = CATEGORY.get(group.record_type, "Adjustment")
    if group.record_type == "SavingsPlanNegation":
        negations.add(group)
        return
    if group.record_type == "SavingsPlanCoveredUsage":
        negations.add(group)
        yield _row(group, category, billed=ZERO, effective=group.amortized, listed=group.unblended)
    elif group.record_type in RECURRING:
        yield _row(group, category, billed=group.unblended, effective=ZERO, listed=group.unblended)
        if group.amortized:
            yield _row(group, "Usage", billed=ZERO, effective=group.amortized, listed=ZERO, note="what nothing used of a commitment")
    else:
        listed = group.amortized if group.record_type == "DiscountedUsage" else group.unblended
        yield _row(group, category, billed=group.unblended, effective=group.amortized, listed=listed)


def _row(group: Group, category: str, *, billed: Decimal, effective: Decimal, listed: Decimal, note: str = "") -> FocusRow:
    usage, month, unused = category == "Usage", month_of(group.day), note != "" and category == "Usage"
    service = service_of(group.service)
    quantity = group.quantity if usage and not unused else None
    unit = group.unit if quantity is not None else None
    committed = group.record_type in COMMITTED or unused
    return {
        "BilledCost": billed, "EffectiveCost": effective, "ListCost": listed,
        "ContractedCost": billed if is_spot(group.usage_type) else listed,
        "BillingCurrency": group.currency, "BillingAccountId": group.payer, "BillingAccountName": None, "BillingAccountType": "Account",
        "SubAccountId": group.account, "SubAccountName": group.account_name or None, "SubAccountType": "Account",
        "BillingPeriodStart": month, "BillingPeriodEnd": month_after(month),
        "ChargePeriodStart": group.day, "ChargePeriodEnd": group.day + timedelta(days=1),
        "InvoiceIssuerName": ISSUER, "ServiceProviderName": AWS, "HostProviderName": None,
        "ChargeCategory": category, "ChargeClass": None,
        "ChargeDescription": note or f"{group.record_type} {group.usage_type}".strip(),
        "ChargeFrequency": "Usage-Based" if usage else "Recurring" if group.record_type in RECURRING else "One-Time",
        "ServiceCategory": service.category, "ServiceSubcategory": service.subcategory, "ServiceName": group.service,
        "PricingCategory": ("Committed" if committed else "Dynamic" if is_spot(group.usage_type) else "Standard") if usage else None,
        "PricingQuantity": quantity, "PricingUnit": unit, "ConsumedQuantity": quantity, "ConsumedUnit": unit,
        "SkuMeter": group.usage_type or None, "RegionId": region_of(group.usage_type), "RegionName": region_of(group.usage_type),
        "Tags": json.dumps(dict(group.tags)) if group.tags else None,
        "x_RecordType": group.record_type,
        "x_CommitmentStatus": ("Unused" if unused else "Used") if committed else None,
        "x_Estimated": "true" if group.estimated else "false",
        "x_Source": "billed",
        "x_From": "Cost Explorer",
    }
