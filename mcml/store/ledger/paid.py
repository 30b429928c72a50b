"""What was paid for how much: costs and quantities by price, which is what a change of cost is split from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from mcml.store.ledger.book import Ledger, Scope, where
from mcml.store.ledger.dimensions import dimension
from mcml.store.ledger.engine import sql

Kind = Literal["usage", "no_quantity", "unused_commitment", "purchase", "credit", "tax", "adjustment"]

_KIND = """
    CASE WHEN ChargeClass = 'Correction' OR ChargeCategory = 'Adjustment' THEN 'adjustment'
         WHEN ChargeCategory IN ('Purchase', 'Credit', 'Tax') THEN lower(ChargeCategory)
         WHEN CommitmentDiscountStatus = 'Unused' THEN 'unused_commitment'
         WHEN PricingQuantity IS NULL OR PricingUnit IS NULL OR coalesce(SkuId, SkuPriceId) IS NULL THEN 'no_quantity'
         ELSE 'usage' END
"""
UNDISCOUNTED = """
    CASE WHEN CommitmentDiscountId IS NULL THEN EffectiveCost
         ELSE coalesce(nullif(ContractedCost, 0), nullif(ListCost, 0), EffectiveCost) END
"""
"""What a row would cost without commitment discounts. Some bills leave the contracted cost zero, then the list cost is the next best."""
_PAID = """
    SELECT BillingCurrency, kind, ServiceProviderName, ServiceName, sku, unit, price, pricing, min(ChargeDescription),
           sum(EffectiveCost), sum(undiscounted), coalesce(sum(quantity), 0::DECIMAL(38,24)), count(*) ${names}
    FROM (
        SELECT *, CASE WHEN kind = 'usage' THEN coalesce(SkuId, SkuPriceId) END AS sku,
               CASE WHEN kind = 'usage' THEN PricingUnit END AS unit,
               CASE WHEN kind = 'usage' THEN SkuPriceId END AS price, CASE WHEN kind = 'usage' THEN PricingCategory END AS pricing,
               CASE WHEN kind = 'usage' THEN PricingQuantity END AS quantity
        FROM (SELECT *, ${kind} AS kind, ${undiscounted} AS undiscounted ${keys} FROM cost WHERE ${condition})
    )
    GROUP BY BillingCurrency, kind, ServiceProviderName, ServiceName, sku, unit, price, pricing ${names}
"""


@dataclass(frozen=True)
class Paid:
    """The rows of one currency, kind of charge, price and key: their effective cost, what it would be without commitment discounts
    (`undiscounted`: the contracted cost of what commitments cover, the list cost where a bill has no contracted one), and the quantity.

    `sku`, `unit`, `price` (SkuPriceId) and `pricing` (PricingCategory) are set, and `quantity` counts, for usage only.
    """

    currency: str
    kind: Kind
    provider: str
    service: str | None
    sku: str | None
    unit: str | None
    price: str | None
    pricing: str | None
    description: str | None
    effective: Decimal
    undiscounted: Decimal
    quantity: Decimal
    rows: int
    key: tuple[str | None, ...] = ()


def paid(ledger: Ledger, by: Sequence[str], scope: Scope) -> list[Paid]:
    """Sum costs and quantities by price and by dimensions. Raises Usage for an unknown dimension."""
    condition, parameters = where(scope)
    names = "".join(f", key_{index}" for index in range(len(by)))
    keys = "".join(f", {dimension(name)} AS key_{index}" for index, name in enumerate(by))
    statement = sql(_PAID, kind=_KIND, undiscounted=UNDISCOUNTED, keys=keys, names=names, condition=condition)
    with ledger.opened("cannot add up what was paid") as connection:
        rows = connection.execute(statement, parameters).fetchall()
    return [replace(Paid(*row[:13]), key=tuple(row[13:])) for row in rows]
