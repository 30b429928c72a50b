"""What models cost: their rows added up beside the requests that were counted in them, and what was held while nobody asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from mcml.store.ledger.book import Ledger, Scope, where
from mcml.store.ledger.dimensions import dimension
from mcml.store.ledger.engine import literal, sql
from mcml.store.ledger.exact import product, tidy, total

FAILED = "x_Failed"
"""How many of a row's requests were answered with an error of ours (5xx), where its meter counted them; kept in x_Extra."""
TOKENS_IN, TOKENS_OUT = "x_InputTokens", "x_OutputTokens"
"""How many tokens went into and came out of a row's requests, where its meter counted them; kept in x_Extra."""

_FINEST = ("target", "model", "version")
_UNITS = """
    WITH counted AS (
        SELECT *, x_Requests IS NOT NULL AND NOT coalesce(regexp_full_match(lower(ConsumedUnit), ${unit}), false) AS by_request,
               CASE WHEN by_request THEN TRY(json_extract_string(x_Extra, ${entered})::BIGINT) END AS entered,
               CASE WHEN by_request THEN TRY(json_extract_string(x_Extra, ${left})::BIGINT) END AS gone
        FROM cost WHERE ${condition}
    ), period AS (
        SELECT BillingCurrency, sum(EffectiveCost) AS cost, sum(x_Requests) AS requests,
               sum(CASE WHEN x_Requests IS NOT NULL THEN EffectiveCost END) AS metered,
               sum(CASE WHEN x_Requests IS NOT NULL THEN TRY(json_extract_string(x_Extra, ${failed})::BIGINT) END) AS failed,
               sum(entered) AS entered, sum(gone) AS gone,
               sum(CASE WHEN entered IS NOT NULL OR gone IS NOT NULL THEN EffectiveCost END) AS on_tokens, ${named}
        FROM counted
        GROUP BY BillingCurrency, ChargePeriodStart, ChargePeriodEnd, ${keys}, ${finest}
    )
    SELECT BillingCurrency, sum(cost), coalesce(sum(metered), 0), sum(requests)::BIGINT, sum(failed)::BIGINT,
           sum(CASE WHEN requests = 0 THEN cost WHEN requests > 0 THEN 0 END),
           sum(entered), sum(gone), coalesce(sum(on_tokens), 0), ${outer}
    FROM period GROUP BY BillingCurrency, ${outer} ORDER BY BillingCurrency, sum(cost) DESC, ${outer}
"""
_TOKENS = """
    SELECT BillingCurrency, lower(ConsumedUnit), sum(ConsumedQuantity), sum(EffectiveCost), ${keys}
    FROM cost WHERE (${condition}) AND regexp_full_match(lower(ConsumedUnit), ${unit}) GROUP BY ALL
"""
_UNIT = r"([0-9]*) ?([km]?) ?tokens?"
"""Units of tokens, as bills write them: Tokens, 1K tokens, 1M Tokens, 1000 tokens."""
_SCALES = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class ModelCost:
    """The rows of one currency that share a key (None in it: they say no such thing), in effective cost.

    `metered` is what the rows that count requests cost: what one request more adds. `idle` is what charge periods cost in which the
    model's version was there on its target and had no request. `requests`, `failed` and `idle` are None where nobody counted.

    `tokens` is what rows count whose consumed unit is tokens, and what a meter counted with its requests (None: neither did);
    `input_tokens` and `output_tokens` are the meter's alone: each bill names them in words of its own. `on_tokens` is what
    all these rows cost.
    """

    currency: str
    key: tuple[str | None, ...]
    cost: Decimal
    metered: Decimal
    requests: int | None
    failed: int | None
    idle: Decimal | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: Decimal | None = None
    on_tokens: Decimal = Decimal(0)


def model_costs(ledger: Ledger, by: Sequence[str], scope: Scope) -> list[ModelCost]:
    """Return the cost of every key of `by` (at least one dimension), dearest first. Raises Usage for an unknown dimension."""
    condition, parameters = where(scope)
    texts = [dimension(name) for name in by]
    names = [f"key{number}" for number in range(len(texts))]
    pieces = {
        "failed": literal(f"$.{FAILED}"),
        "entered": literal(f"$.{TOKENS_IN}"),
        "left": literal(f"$.{TOKENS_OUT}"),
        "unit": literal(_UNIT),
        "named": ", ".join(f"{text} AS {name}" for text, name in zip(texts, names, strict=True)),
        "condition": condition,
        "keys": ", ".join(texts),
        "finest": ", ".join(map(dimension, _FINEST)),
        "outer": ", ".join(names),
    }
    with ledger.opened("cannot add up what models cost") as connection:
        rows = connection.execute(sql(_UNITS, **pieces), parameters).fetchall()
        asked = sql(_TOKENS, keys=pieces["keys"], condition=condition, unit=pieces["unit"])
        counted = connection.execute(asked, parameters).fetchall()
    tokens: dict[tuple[Any, ...], list[tuple[str, Decimal, Decimal]]] = {}
    for currency, unit, quantity, cost, *key in counted:
        if quantity is not None:
            tokens.setdefault((currency, *key), []).append((unit, quantity, cost))
    return [_with_tokens(ModelCost(row[0], tuple(row[9:]), *row[1:8]), row[8], tokens.get((row[0], *row[9:]), ())) for row in rows]


def _with_tokens(found: ModelCost, metered: Decimal, billed: Sequence[tuple[str, Decimal, Decimal]]) -> ModelCost:
    """Add all tokens to the cost that they are part of: the meter's, whose rows cost `metered`, and the bill's: unit, quantity, cost."""
    counts = [Decimal(count) for count in (found.input_tokens, found.output_tokens) if count is not None]
    counts += [product(quantity, tokens_in(unit)) for unit, quantity, _ in billed]
    if not counts:
        return found
    return replace(found, tokens=tidy(total(counts)), on_tokens=tidy(total((metered, *(cost for _, _, cost in billed)))))


def tokens_in(unit: str) -> int:
    """Return how many tokens one of a unit is: 1 of `tokens`, 1,000 of `1K tokens`. Raises ValueError for another unit."""
    found = re.fullmatch(_UNIT, unit.lower())
    if not found:
        raise ValueError(f"{unit!r} is no unit of tokens")
    return int(found[1] or 1) * _SCALES[found[2]]
