"""A group of Cost Management's sums as a row of FOCUS; pure.

Charge types and pricing models: https://learn.microsoft.com/azure/cost-management-billing/automate/understand-usage-details-fields
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mcml.providers.api.billing import FocusRow
from mcml.providers.focus import month_after, month_of

ZERO = Decimal(0)
MICROSOFT = "Microsoft"
CATEGORY: Mapping[str, str] = {"Usage": "Usage", "Purchase": "Purchase", "Tax": "Tax", "Credit": "Credit"}
"""Unused commitments are Usage too; what is left (Refund, RoundingAdjustment, types to come) is an Adjustment: never dropped."""
PRICING: Mapping[str, str] = {"OnDemand": "Standard", "Spot": "Dynamic", "Reservation": "Committed", "SavingsPlan": "Committed"}
_SERVICES = """
    Virtual Machines | Compute | Virtual Machines
    Virtual Machine Scale Sets | Compute | Virtual Machines
    Azure Kubernetes Service | Compute | Containers
    Container Instances | Compute | Containers
    Container Registry | Compute | Containers
    Azure Container Apps | Compute | Containers
    Functions | Compute | Serverless Compute
    Azure Functions | Compute | Serverless Compute
    Azure App Service | Compute | Other (Compute)
    Azure Savings Plan for Compute | Compute | Virtual Machines
    Azure Machine Learning | AI and Machine Learning | Machine Learning
    Cognitive Services | AI and Machine Learning | Other (AI and Machine Learning)
    Azure OpenAI Service | AI and Machine Learning | Generative AI
    Foundry Models | AI and Machine Learning | Generative AI
    Storage | Storage | Object Storage
    Storage Accounts | Storage | Object Storage
    Backup | Storage | Backup Storage
    SQL Database | Databases | Relational Databases
    Azure Database for PostgreSQL | Databases | Relational Databases
    Azure Database for MySQL | Databases | Relational Databases
    Azure Cosmos DB | Databases | NoSQL Databases
    Redis Cache | Databases | Caching
    Bandwidth | Networking | Network Infrastructure
    Virtual Network | Networking | Network Infrastructure
    Load Balancer | Networking | Application Networking
    Application Gateway | Networking | Application Networking
    Azure DNS | Networking | Network Routing
    Azure Front Door Service | Networking | Content Delivery
    VPN Gateway | Networking | Network Connectivity
    Azure Synapse Analytics | Analytics | Data Warehouses
    Azure Databricks | Analytics | Analytics Platforms
    Event Hubs | Integration | Messaging
    Service Bus | Integration | Messaging
    Azure Monitor | Management and Governance | Observability
    Log Analytics | Management and Governance | Observability
    Key Vault | Security | Secret Management
    Microsoft Defender for Cloud | Security | Security Posture Management
"""
_LINES = ([part.strip() for part in line.split("|")] for line in _SERVICES.strip().splitlines())
SERVICES = {name: (category, subcategory) for name, category, subcategory in _LINES}


@dataclass
class Group:
    """One group of one day: what is billed, and what it costs when commitments are spread. `line` has the dimensions' values."""

    day: datetime
    currency: str
    line: Mapping[str, Any]
    scope: str
    tag: str
    billed: Decimal = field(default=ZERO)
    effective: Decimal = field(default=ZERO)

    def add(self, kind: str, cost: Decimal) -> None:
        """Add an amount of ActualCost or AmortizedCost."""
        if kind == "ActualCost":
            self.billed += cost
        else:
            self.effective += cost


def group_row(group: Group) -> FocusRow:
    """Return the row of a group."""
    line, month = group.line, month_of(group.day)
    kind = line["ChargeType"] or ""
    unused = kind.startswith("Unused")
    category = "Usage" if unused else CATEGORY.get(kind, "Adjustment")
    listed = group.effective if category == "Usage" and not unused and not group.billed else group.billed
    service = line["ServiceName"] or "Other"
    known = SERVICES.get(service, ("Other", "Other (Other)"))
    region = line["ResourceLocation"] or None
    value = line.get("TagValue")
    return {
        "BilledCost": group.billed, "EffectiveCost": group.effective, "ListCost": listed, "ContractedCost": listed,
        "BillingCurrency": group.currency,
        "BillingAccountId": _account(group.scope), "BillingAccountName": None, "BillingAccountType": "Billing Account",
        "SubAccountId": f"/subscriptions/{line['SubscriptionId']}" if line["SubscriptionId"] else None,
        "SubAccountName": line["SubscriptionName"] or None, "SubAccountType": "Subscription",
        "BillingPeriodStart": month, "BillingPeriodEnd": month_after(month),
        "ChargePeriodStart": group.day, "ChargePeriodEnd": group.day + timedelta(days=1),
        "InvoiceIssuerName": MICROSOFT, "ServiceProviderName": MICROSOFT, "HostProviderName": None,
        "ChargeCategory": category, "ChargeClass": None,
        "ChargeDescription": " ".join(part for part in (kind, service, line["Meter"]) if part),
        "ChargeFrequency": "Usage-Based" if category == "Usage" else "One-Time",
        "ServiceCategory": known[0], "ServiceSubcategory": known[1], "ServiceName": service,
        "PricingCategory": PRICING.get(line["PricingModel"] or "", "Other") if category == "Usage" else None,
        "PricingQuantity": None, "PricingUnit": None,
        "SkuMeter": line["Meter"] or None, "x_SkuMeterId": line["MeterId"] or None,
        "RegionId": region, "RegionName": region,
        "Tags": json.dumps({group.tag: value}) if group.tag and value else None,
        **_commitment(line, category, unused=unused),
        "x_ChargeType": kind or None,
        "x_Source": "billed",
        "x_From": "Cost Management",
    }  # fmt: skip


def _commitment(line: Mapping[str, Any], category: str, *, unused: bool) -> dict[str, object]:
    benefit = line["BenefitId"]
    if not benefit:
        return {}
    plan = "billingbenefits" in benefit.lower()
    return {
        "CommitmentDiscountId": benefit,
        "CommitmentDiscountName": line["BenefitName"] or None,
        "CommitmentDiscountCategory": "Spend" if plan else "Usage",
        "CommitmentDiscountType": "Savings Plan" if plan else "Reservation",
        "CommitmentDiscountStatus": ("Unused" if unused else "Used") if category == "Usage" else None,
    }


def _account(scope: str) -> str:
    """Return the billing account that a scope is in, or the scope itself (a subscription does not say whose it is)."""
    parts = scope.strip("/").split("/")
    if len(parts) > 3 and parts[2].lower() == "billingaccounts":
        return "/" + "/".join(parts[:4])
    return f"/{scope.strip('/')}"
