"""The columns of the ledger: those of FOCUS 1.4 "Cost and Usage" (https://focus.finops.org/focus-specification), and our own `x_` columns.

Older column sets are read by renaming (`ALIASES`): FOCUS 1.3 deprecated ProviderName and PublisherName and 1.4 removed them, in favour of
ServiceProviderName. PublisherName is kept as x_PublisherName, and a column that is unknown here as a member of the object in x_Extra.
"""

from dataclasses import dataclass
from typing import Literal

from mcml.providers.api.billing import REFUSED

Kind = Literal["text", "decimal", "time", "json", "count"]

SCALE = 24
"""Decimals of every money and quantity column: real exports carry up to 24. That leaves 14 digits before the point."""

SQL_TYPE: dict[Kind, str] = {
    "text": "VARCHAR",
    "decimal": f"DECIMAL(38,{SCALE})",
    "time": "TIMESTAMPTZ",
    "json": "VARCHAR",
    "count": "BIGINT",
}

SOURCES = ("billed", "measured", "estimate")
"""x_Source: from the provider's bill; metered by us and priced; metered by us until the bill comes."""

CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REQUIRED = _names(
    """
    BilledCost EffectiveCost BillingCurrency BillingAccountId BillingPeriodStart BillingPeriodEnd
    ChargePeriodStart ChargePeriodEnd ChargeCategory ServiceProviderName
    """
)
"""Without one of these a row cannot be added up or found. FOCUS asks for more; a row that lacks the rest is still money spent."""

_BY_KIND: dict[Kind, tuple[str, ...]] = {
    "decimal": _names(
        """
        BilledCost EffectiveCost ListCost ContractedCost ListUnitPrice ContractedUnitPrice PricingQuantity ConsumedQuantity
        CommitmentDiscountQuantity PricingCurrencyListUnitPrice PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost
        """
    ),
    "time": _names("BillingPeriodStart BillingPeriodEnd ChargePeriodStart ChargePeriodEnd"),
    "json": _names("Tags SkuPriceDetails CommitmentProgramEligibilityDetails ContractApplied AllocatedMethodDetails AllocatedTags"),
    "text": _names(
        """
        BillingCurrency BillingAccountId BillingAccountName BillingAccountType SubAccountId SubAccountName SubAccountType
        InvoiceIssuerName ServiceProviderName HostProviderName InvoiceId InvoiceDetailId
        ChargeCategory ChargeClass ChargeDescription ChargeFrequency PricingCategory PricingUnit PricingCurrency ConsumedUnit
        ServiceCategory ServiceSubcategory ServiceName SkuId SkuMeter SkuPriceId
        RegionId RegionName AvailabilityZone ResourceId ResourceName ResourceType
        CommitmentDiscountId CommitmentDiscountName CommitmentDiscountType CommitmentDiscountCategory CommitmentDiscountStatus
        CommitmentDiscountUnit CapacityReservationId CapacityReservationStatus
        AllocatedMethodId AllocatedResourceId AllocatedResourceName
        """
    ),
}
FOCUS: dict[str, Kind] = {name: kind for kind, names in _BY_KIND.items() for name in names}
"""The 65 columns of FOCUS 1.4."""

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "x_Team": ("team", "squad", "owner", "business_unit"),
    "x_Project": ("project", "application", "app"),
    "x_Model": ("model", "model_name"),
    "x_Environment": ("environment", "env", "stage"),
    "x_Target": ("target",),
    "x_Version": ("version", "model_version"),
}
"""What is read out of Tags at ingest: the column, and the tag keys that may hold it, best first.

Keys are compared in lower case, without what stands before the last `:` or `/`, and with `_` for blanks and dashes; a column of that
name in the export wins over any tag.
"""

GIVEN: dict[str, Kind] = {
    **dict.fromkeys(("x_Source", *DIMENSIONS, "x_PublisherName"), "text"),
    "x_Requests": "count",
    "x_Extra": "json",
}
"""Our columns that an export may bring."""

ADDED: dict[str, Kind] = {"x_IngestId": "text", "x_IngestedAt": "time", "x_File": "text", "x_Row": "count"}
"""Our columns that ingest writes: which delivery, when, from which file and which of its data rows (counted from 1)."""

INPUT: dict[str, Kind] = FOCUS | GIVEN
COLUMNS: dict[str, Kind] = INPUT | ADDED

ALIASES: dict[str, tuple[str, ...]] = {
    "ServiceProviderName": ("ServiceProviderName", "ProviderName", "PublisherName"),
    "x_PublisherName": ("x_PublisherName", "PublisherName"),
    "x_Environment": ("x_Environment", "x_Env"),
}
"""Columns of ours that are read from others when an export has none of that name, first found wins."""


@dataclass(frozen=True)
class ColumnMap:
    """How the columns of one export become ours: our name to theirs, the required ones it lacks, and those nobody here knows."""

    columns: dict[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def map_columns(header: list[str]) -> ColumnMap:
    """Find our columns in an export's header; case does not matter (some engines lower it)."""
    theirs = {name.lower(): name for name in reversed(header)}
    columns = {}
    for name in INPUT:
        found = next((theirs[alias.lower()] for alias in ALIASES.get(name, (name,)) if alias.lower() in theirs), None)
        if found is not None:
            columns[name] = found
    used = set(columns.values()) | {theirs[old] for old in ("providername", "publishername") if old in theirs}
    return ColumnMap(
        columns,
        missing=tuple(name for name in REQUIRED if name not in columns),
        unknown=tuple(name for name in header if name not in used and name not in ADDED and name != REFUSED),
    )
