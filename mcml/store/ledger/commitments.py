"""What commitment discounts (reservations, savings plans, committed use) cost, covered and left unused."""

from dataclasses import dataclass
from decimal import Decimal

from mcml.store.ledger.book import Ledger, Scope, where
from mcml.store.ledger.engine import sql
from mcml.store.ledger.paid import UNDISCOUNTED

_COMMITMENTS = """
    SELECT BillingCurrency, ServiceProviderName, CommitmentDiscountId, min(CommitmentDiscountName), min(CommitmentDiscountType),
           min(CommitmentDiscountCategory),
           sum(CASE WHEN ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Used' THEN EffectiveCost ELSE 0 END),
           sum(CASE WHEN ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Unused' THEN EffectiveCost ELSE 0 END),
           sum(CASE WHEN ChargeCategory = 'Usage' AND CommitmentDiscountStatus = 'Used' THEN ${undiscounted} ELSE 0 END)
    FROM cost WHERE CommitmentDiscountId IS NOT NULL AND ${condition}
    GROUP BY BillingCurrency, ServiceProviderName, CommitmentDiscountId
    ORDER BY BillingCurrency, ServiceProviderName, CommitmentDiscountId
"""
_SERVICES = """
    SELECT BillingCurrency, ServiceProviderName, ServiceName,
           sum(CASE WHEN CommitmentDiscountId IS NOT NULL THEN ${undiscounted} ELSE 0 END),
           sum(CASE WHEN CommitmentDiscountId IS NULL AND PricingCategory = 'Dynamic' THEN EffectiveCost ELSE 0 END),
           sum(CASE WHEN CommitmentDiscountId IS NULL AND PricingCategory IS DISTINCT FROM 'Dynamic' THEN EffectiveCost ELSE 0 END)
    FROM cost
    WHERE ChargeCategory = 'Usage' AND ChargeClass IS NULL AND CommitmentDiscountStatus IS DISTINCT FROM 'Unused' AND ${condition}
    GROUP BY BillingCurrency, ServiceProviderName, ServiceName
    HAVING count(CommitmentDiscountId) > 0
    ORDER BY BillingCurrency, ServiceProviderName, ServiceName
"""


@dataclass(frozen=True)
class Commitment:
    """One commitment: the effective cost of what was used and left unused of it, and what the used part would have cost without it."""

    currency: str
    provider: str
    id: str
    name: str | None
    type: str | None
    category: str | None
    used: Decimal
    unused: Decimal
    undiscounted: Decimal


@dataclass(frozen=True)
class CoveredService:
    """The usage of a service that commitments cover in part, at the price without them: covered, on spot, and the rest, on demand."""

    currency: str
    provider: str
    service: str | None
    covered: Decimal
    spot: Decimal
    on_demand: Decimal


def commitments(ledger: Ledger, scope: Scope) -> list[Commitment]:
    """Return every commitment with a charge in the scope, by currency, provider and id."""
    condition, parameters = where(scope)
    with ledger.opened("cannot add up the commitments") as connection:
        rows = connection.execute(sql(_COMMITMENTS, undiscounted=UNDISCOUNTED, condition=condition), parameters).fetchall()
    return [Commitment(*row) for row in rows]


def covered_services(ledger: Ledger, scope: Scope) -> list[CoveredService]:
    """Return the services in which a commitment covers any usage, by currency, provider and name."""
    condition, parameters = where(scope)
    with ledger.opened("cannot add up what commitments cover") as connection:
        rows = connection.execute(sql(_SERVICES, undiscounted=UNDISCOUNTED, condition=condition), parameters).fetchall()
    return [CoveredService(*row) for row in rows]
