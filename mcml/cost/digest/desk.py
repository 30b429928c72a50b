"""A digest as it is asked for: the questions that the ledger and the store are asked."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from mcml.core.schema_cost import Budget, Cost
from mcml.cost.allocate import rules
from mcml.cost.anomaly import desk as anomalies
from mcml.cost.anomaly.daily import Limits
from mcml.cost.anomaly.desk import Explanation, Question
from mcml.cost.anomaly.scan import Anomaly, day_of
from mcml.cost.budget import desk as budgets
from mcml.cost.digest.compose import Asked, Entry, Material, build, reference
from mcml.cost.digest.parts import DAILY
from mcml.cost.forecast.series import ASKED as SERIES
from mcml.cost.meter.truth import usual_error
from mcml.cost.rates.table import Rates
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.dimensions import Filter, parse
from mcml.store.ledger.paid import paid

HISTORY = timedelta(days=400)
"""How many days are read for what is compared and drawn; the forecast reads all, as `mcml cost forecast` does."""
LOOKED_AT = timedelta(days=30)
"""Anomalies that began longer ago are known."""
OPEN = ("open", "growing", "new level")


def digest(ledger: Ledger, store: Store, cost: Cost, question: Asked, rates: Rates | None = None) -> list[Entry]:
    """Return the digest, an entry a currency; none of an empty ledger without budgets. Raises Usage for a condition that is none."""
    known = ledger.totals(DAILY, Scope(question.at - HISTORY, question.now, filters=question.filters))
    daily = [group for group in known if not question.past or day_of(group) < question.at.date()]
    against = reference(question, daily)
    span, before = (Scope(each.start, each.end, filters=question.filters) for each in (question.span, against))
    ordered = rules.read(cost.allocation)
    material = Material(
        daily=daily,
        reference=against,
        known=known,
        until=anomalies.ripe_until(ledger, question.now),
        series=ledger.totals(SERIES, Scope(until=question.at if question.past else None, filters=question.filters)),
        paid=(paid(ledger, question.by, before), paid(ledger, question.by, span)),
        rules=ordered,
        borne=ledger.totals(rules.dimensions(ordered), span),
        anomalies=() if question.past else _anomalies(ledger, store, cost, question),
        budgets=() if question.past else budgets.look(ledger, store, _within(cost.budgets, question.filters), question.at, rates),
        errors=usual_error(ledger),
    )
    return build(question, material)


def _anomalies(ledger: Ledger, store: Store, cost: Cost, question: Asked) -> list[tuple[Anomaly, Explanation]]:
    limits = Limits(Decimal(str(cost.anomalies.minimum)), cost.anomalies.percent / 100)
    asked = Question(cost.anomalies.by, question.at - LOOKED_AT, question.at, limits, question.filters)
    found = [each for each in anomalies.look(ledger, store, asked) if each.state in OPEN]
    return [(each, anomalies.explain(ledger, each, question.filters)) for each in found]


def _within(known: Mapping[str, Budget], filters: tuple[Filter, ...]) -> dict[str, Budget]:
    """Return the budgets of these costs: all of them, or those whose own conditions hold all that was asked for."""
    return {name: budget for name, budget in known.items() if set(filters) <= {parse(text) for text in budget.where}}
