"""What budgets look like."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Column, Document, Pairs, Section, State, Status, Table, listing
from mcml.core.view import Level as Colour
from mcml.cost.budget import action_views
from mcml.cost.budget.act import Due
from mcml.cost.budget.actions import Memory
from mcml.cost.budget.desk import Told
from mcml.cost.budget.standing import Level, Standing
from mcml.cost.schedule.run import Done
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
ACTIONS = (Column("do", "Does"), Column("at_percent", "At %", "number"), Column("state", "State"))
_COLOURS: Mapping[Level, Colour] = {"ok": "ok", "warn": "warn", "over": "bad"}
EMPTY = "no budgets; add [cost.budgets.NAME] to mcml.toml (mcml config example shows one)"


def budgets(standings: Sequence[Standing], known: Sequence[Memory] = ()) -> Document:
    """Show a line a budget."""
    items = [_item(each, known) for each in standings]
    on = action_views.on(known)
    return Document("BudgetList", items, (Table(COLUMNS, items, empty=EMPTY), *on, *_left_out(standings)))


def checked(
    told: Sequence[Told], due: Sequence[Due] = (), done: Sequence[Done] = (), *, dry_run: bool, acting: Sequence[str] = ()
) -> Document:
    """Show what a check told, how the budgets stand, and what became of their actions; `acting` are the budgets that carry theirs out."""
    items = []
    for each in told:
        name = each.standing.name
        mine = [action_views.item(one, done, dry_run=dry_run, acts=name in acting) for one in due if one.turn.budget == name]
        items.append({**_item(each.standing), "changes": [vars(change) for change in each.changes], "actions": mine})
    lines = [
        Status(State(("would tell" if dry_run else "alert") if change.on else "recovered", "bad" if change.on else "ok"), text)
        for each in told
        for change in each.changes
        for text in [f"{each.standing.name} {change.name}: {change.text}"]
    ]
    table = Table(COLUMNS, items, empty=EMPTY)
    nothing = [Status(State("unchanged", "idle"), "no alert came on or went off")] if items and not lines else []
    acted = action_views.blocks(due, done, dry_run=dry_run, acting=acting)
    return Document("BudgetCheck", items, (table, *lines, *nothing, *acted, *_left_out([each.standing for each in told])))


def undone(due: Sequence[Due], done: Sequence[Done], *, dry_run: bool) -> Document:
    """Show which machines were given back."""
    rows = [row for each in due for row in action_views.machines(each, done, dry_run=dry_run)]
    return listing("BudgetUndo", action_views.MACHINES, rows, empty="no machine is off because of this budget")


def budget(standing: Standing, known: Sequence[Memory] = ()) -> Document:
    """Show all about one budget."""
    item = _item(standing, known)
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
    blocks: list[Block] = [Pairs(pairs), Section("Alerts", (alerts,))]
    if standing.budget.actions:
        blocks.append(Section("Actions", (Table(ACTIONS, action_views.waiting(standing, known)),)))
    return Document("Budget", [item], (*blocks, *_left_out([standing])))


def _item(standing: Standing, known: Sequence[Memory] = ()) -> dict[str, object]:
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
        "unconverted": standing.unconverted,
        "state": State(standing.level, _COLOURS[standing.level]),
        "alerts": [vars(alert) for alert in standing.alerts],
        "actions": action_views.waiting(standing, known),
    }


def _left_out(standings: Sequence[Standing]) -> list[Block]:
    """Name costs in other currencies: they are not counted, and nobody shall think that they are."""
    return [
        Status(State("not counted", "bad" if each.unconverted else "warn"), f"{each.name}: {plain(amount)} {currency}, because {why}")
        for each in standings
        for currency, amount in each.other.items()
        for why in [each.unconverted or f"the budget is in {each.budget.currency}"]
    ]
