"""What models cost: their rows added up beside the requests that were counted in them, and what was held while nobody asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mcml.store.ledger.book import Ledger, Scope, where
from mcml.store.ledger.dimensions import dimension
from mcml.store.ledger.engine import literal, sql

FAILED = "x_Failed"
"""How many of a row's requests were answered with an error of ours (5xx), where its meter counted them; kept in x_Extra."""

_FINEST = ("target", "model", "version")
_UNITS = """
    WITH period AS (
        SELECT BillingCurrency, sum(EffectiveCost) AS cost, sum(x_Requests) AS requests,
               sum(CASE WHEN x_Requests IS NOT NULL THEN EffectiveCost END) AS metered,
               sum(CASE WHEN x_Requests IS NOT NULL THEN TRY(json_extract_string(x_Extra, ${failed})::BIGINT) END) AS failed, ${named}
        FROM cost WHERE ${condition}
        GROUP BY BillingCurrency, ChargePeriodStart, ChargePeriodEnd, ${keys}, ${finest}
    )
    SELECT BillingCurrency, sum(cost), coalesce(sum(metered), 0), sum(requests)::BIGINT, sum(failed)::BIGINT,
           sum(CASE WHEN requests = 0 THEN cost WHEN requests > 0 THEN 0 END), ${outer}
    FROM period GROUP BY BillingCurrency, ${outer} ORDER BY BillingCurrency, sum(cost) DESC, ${outer}
"""


@dataclass(frozen=True)
class ModelCost:
    """The rows of one currency that share a key (None in it: they say no such thing), in effective cost.

    `metered` is what the rows that count requests cost: what one request more adds. `idle` is what charge periods cost in which the
    model's version was there on its target and had no request. `requests`, `failed` and `idle` are None where nobody counted.
    """

    currency: str
    key: tuple[str | None, ...]
    cost: Decimal
    metered: Decimal
    requests: int | None
    failed: int | None
    idle: Decimal | None


def model_costs(ledger: Ledger, by: Sequence[str], scope: Scope) -> list[ModelCost]:
    """Return the cost of every key of `by` (at least one dimension), dearest first. Raises Usage for an unknown dimension."""
    condition, parameters = where(scope)
    texts = [dimension(name) for name in by]
    names = [f"key{number}" for number in range(len(texts))]
    pieces = {
        "failed": literal(f"$.{FAILED}"),
        "named": ", ".join(f"{text} AS {name}" for text, name in zip(texts, names, strict=True)),
        "condition": condition,
        "keys": ", ".join(texts),
        "finest": ", ".join(map(dimension, _FINEST)),
        "outer": ", ".join(names),
    }
    with ledger.opened("cannot add up what models cost") as connection:
        rows = connection.execute(sql(_UNITS, **pieces), parameters).fetchall()
    return [ModelCost(row[0], tuple(row[6:]), *row[1:6]) for row in rows]
