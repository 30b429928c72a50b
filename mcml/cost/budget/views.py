"""What budgets look like."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Column, Document, Pairs, Section, State, Status, Table
from mcml.core.view import Level as Colour
from mcml.cost.budget.desk import Told
from mcml.cost.budget.standing import Level, Standing
from mcml.store.ledger.exact import percent, plain

COLUMNS = (
    Column("name", "Budget"),
    Column("period", "Period"),
    Column("amount", "Amount", "money"),
    Column("spent", "Spent", "money"),
    Column("spent_percent", "Spent %", "percent"),
    Column("forecast", "Forecast", "money"),
    Column("currency", "Currency"),
    Column("state", "State", "state"),
)
_COLOURS: Mapping[Level, Colour] = {"ok": "ok", "warn": "warn", "over": "bad"}
EMPTY = "no budgets; add [cost.budgets.NAME] to mcml.toml (mcml config example shows one)"


def budgets(standings: Sequence[Standing]) -> Document:
    """Show a line a budget."""
    items = [_item(each) for each in standings]
    return Document("BudgetList", items, (Table(COLUMNS, items, empty=EMPTY), *_left_out(standings)))


def checked(told: Sequence[Told], *, dry_run: bool) -> Document:
    """Show what a check told, and how the budgets stand."""
    items = [{**_item(each.standing), "changes": [vars(change) for change in each.changes]} for each in told]
    lines = [
        Status(State(("would tell" if dry_run else "alert") if change.on else "recovered", "bad" if change.on else "ok"), text)
        for each in told
        for change in each.changes
        for text in [f"{each.standing.name} {change.name}: {change.text}"]
    ]
    table = Table(COLUMNS, items, empty=EMPTY)
    nothing = [Status(State("unchanged", "idle"), "no alert came on or went off")] if items and not lines else []
    return Document("BudgetCheck", items, (table, *lines, *nothing, *_left_out([each.standing for each in told])))


def budget(standing: Standing) -> Document:
    """Show all about one budget."""
    item = _item(standing)
    pairs = [
        ("period", f"{standing.start} until {standing.end} (not included)"),
        ("amount", f"{plain(standing.amount)} {standing.budget.currency}"),
        ("costs", ", ".join(standing.budget.where) or "all"),
        ("spent", f"{plain(standing.spent)}, of it {plain(standing.estimated)} estimated"),
        ("forecast", "too little history" if standing.forecast is None else plain(standing.forecast)),
        ("burn, last day", "not known" if standing.fast is None else f"{standing.fast} times the even pace"),
        ("burn, last 7 days", "not known" if standing.slow is None else f"{standing.slow} times the even pace"),
    ]
    columns = Column("name", "Alert"), Column("text", "What")
    alerts = Table(columns, [vars(alert) for alert in standing.alerts], empty="no alert is on")
    return Document("Budget", [item], (Pairs(pairs), Section("Alerts", (alerts,)), *_left_out([standing])))


def _item(standing: Standing) -> dict[str, object]:
    return {
        "name": standing.name,
        "period": standing.start.isoformat(),
        "period_end": standing.end.isoformat(),
        "amount": standing.amount,
        "spent": standing.spent,
        "spent_percent": percent(standing.spent, standing.amount),
        "estimated": standing.estimated,
        "forecast": standing.forecast,
        "burn_fast": standing.fast,
        "burn_slow": standing.slow,
        "currency": standing.budget.currency,
        "other_currencies": dict(standing.other),
        "state": State(standing.level, _COLOURS[standing.level]),
        "alerts": [vars(alert) for alert in standing.alerts],
    }


def _left_out(standings: Sequence[Standing]) -> list[Block]:
    """Name costs in other currencies: they are not counted, and nobody shall think that they are."""
    return [
        Status(State("not counted", "warn"), f"{each.name}: {plain(amount)} {currency}, because the budget is in {each.budget.currency}")
        for each in standings
        for currency, amount in each.other.items()
    ]
