"""Costs of a month, a budget of it, and a ledger with them, for the tests of budgets."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from mcml.core.clock import Clock
from mcml.core.schema_cost import Budget
from mcml.cost.budget.standing import Standing, period, stand
from mcml.store.db import Store
from mcml.store.ledger.book import Group
from mcml.store.ledger.intake import Intake
from tests.cost.focus import row

MONTH = (date(2026, 10, 1), date(2026, 11, 1))
TODAY = date(2026, 10, 21)
RISK = Budget(amount=3100, currency="USD")
ONE_DAY = timedelta(days=1)


def group(day: date, cost: str | Decimal, *, currency: str = "USD", source: str = "billed", charge: str = "Usage") -> Group:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    amount = Decimal(cost)
    key = (source, day.isoformat(), charge, None, "aws")
    return Group(currency, key, amount, amount, 1, None, start, start + ONE_DAY, start + 3 * ONE_DAY)


def daily(cost: str, first: date, days: int) -> list[Group]:
    return [group(first + at * ONE_DAY, cost) for at in range(days)]


def standing(groups: list[Group], budget: Budget = RISK, on: tuple[str, ...] = (), today: date = TODAY) -> Standing:
    return stand("risk", budget, period(budget, today), today, groups, on)


def names(found: Standing) -> list[str]:
    return [alert.name for alert in found.alerts]


def fill(folder: Path, cost: str) -> None:
    starts = [datetime(2026, 10, 1, tzinfo=UTC) + at * ONE_DAY for at in range(20)]
    rows = [row(cost, ChargePeriodStart=start, ChargePeriodEnd=start + ONE_DAY, x_Team="risk") for start in starts]
    Intake(folder / "cost").rows(rows, origin="test")


def clock(day: date = TODAY) -> Clock:
    return lambda: datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'mcml.db'}"


def told(store: Store) -> list[tuple[str, object]]:
    return [(entry.kind, entry.facts["alert"]) for entry in store.entries() if entry.kind.startswith("cost.budget")]
