"""What `mcml route explain` shows of a decision is enough to work its weights out by hand."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.records import decision_json
from mcml.route.weights.decide import Decision
from mcml.route.weights.score import Inputs, weigh

NOW = datetime(2026, 1, 1, tzinfo=UTC)
price = st.decimals(Decimal(0), Decimal(100), places=3).map(lambda value: PriceInfo(value, "USD/hour", "USD", "a test", NOW))
known = st.tuples(st.none() | st.floats(0.1, 5000), st.none() | st.floats(0, 1), st.none() | price)


@given(st.lists(known, min_size=1, max_size=6), st.integers(0, 25))
def test_every_weight_follows_from_the_numbers_beside_it(backends: list[Any], exploration: int) -> None:
    inputs = [Inputs(f"m@{number}", "up", latency, errors, value) for number, (latency, errors, value) in enumerate(backends)]
    scored = weigh(inputs, Route().score, NOW, exploration=exploration)
    shown = decision_json(Decision(NOW, "m", "m", "a test", {}, scored))["backends"]
    claims = {one["backend"]: by_hand(one) ** 2 * succeeded(one) for one in shown}
    floor = min(exploration, 100 // (2 * len(shown)))
    for one in shown:
        expected = floor + (100 - floor * len(shown)) * claims[one["backend"]] / (sum(claims.values()) or 1)
        assert abs(one["weight"] - expected) < 1.1 or sum(claims.values()) < 1e-4, one


def by_hand(one: Any) -> float:
    parts = [one[part] for part in ("latency", "cost", "reliability") if one[part]["score"] is not None]
    score = float(sum(part["share"] * part["score"] for part in parts) / sum(part["share"] for part in parts))
    assert abs(score - one["score"]) < 1e-3
    return score


def succeeded(one: Any) -> float:
    said = re.match(r"([\d.]+)% of attempts failed", one["reliability"]["why"])
    return max(0.01, 1 - float(said[1]) / 100) if said else 1.0
