"""What budgets look like."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from mcml.core.clock import midnight
from mcml.core.view import Block, Column, Document, Pairs, Section, State, Status, Table, listing
from mcml.core.view import Level as Colour
from mcml.cost.budget import action_views
from mcml.cost.budget.act import Due
from mcml.cost.budget.actions import Memory
from mcml.cost.budget.desk import Told
from mcml.cost.budget.standing import Level, Standing
from mcml.cost.commands import rows
from mcml.cost.schedule.run import Done
from mcml.cost.span import Span
from mcml.cost.views import NO_ERRORS, USUAL_ERROR
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.dimensions import parse
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
MADE_OF = (Column("source", "Source"), Column("effective_cost", "Effective", "money"), Column("share_percent", "Share", "percent"))
ACTIONS = (Column("do", "Does"), Column("at_percent", "At %", "number"), Column("state", "State"))
_COLOURS: Mapping[Level, Colour] = {"ok": "ok", "warn": "warn", "over": "bad"}
NOTHING_OFF: Mapping[str, int] = MappingProxyType({})
EMPTY = "no budgets; add [cost.budgets.NAME] to mcml.toml (mcml config example shows one)"


def budgets(
    standings: Sequence[Standing],
    known: Sequence[Memory] = (),
    errors: Mapping[str, Decimal] = NO_ERRORS,
    off: Mapping[str, int] = NOTHING_OFF,
) -> Document:
    """Show a line a budget. `errors`: by how many percent the estimates in what it spent are usually off, by the name of the budget; `off`:
    how many machines and groups are off because of it."""
    items = [{**_item(each, known, errors), "machines_off": off.get(each.name, 0)} for each in standings]
    blocks = (*action_views.on(known), *action_views.still_off(off), *_left_out(standings), *_estimated(standings, errors))
    return Document("BudgetList", items, (Table(COLUMNS, items, empty=EMPTY), *blocks))


def checked(
    told: Sequence[Told],
    due: Sequence[Due] = (),
    done: Sequence[Done] = (),
    *,
    dry_run: bool,
    acting: Sequence[str] = (),
    errors: Mapping[str, Decimal] = NO_ERRORS,
) -> Document:
    """Show what a check told, how the budgets stand, and what became of their actions; `acting` are the budgets that carry theirs out."""
    items = []
    for each in told:
        name = each.standing.name
        mine = [action_views.item(one, done, dry_run=dry_run, acts=name in acting) for one in due if one.turn.budget == name]
        items.append({**_item(each.standing, (), errors), "changes": [vars(change) for change in each.changes], "actions": mine})
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


def budget(
    standing: Standing,
    known: Sequence[Memory] = (),
    errors: Mapping[str, Decimal] = NO_ERRORS,
    off: Mapping[str, int] = NOTHING_OFF,
) -> Document:
    """Show all about one budget, and the command that shows the rows of what it spent."""
    item = {**_item(standing, known, errors), "machines_off": off.get(standing.name, 0)}
    pairs = [
        ("period", f"{standing.start} until {standing.end} (not included)"),
        ("costs", ", ".join(standing.budget.where) or "all"),
        *([("forecast", "too little history, or none of late")] if standing.forecast is None else []),
        ("burn, last day", "not known" if standing.fast is None else f"{standing.fast} times the even pace"),
        ("burn, last 7 days", "not known" if standing.slow is None else f"{standing.slow} times the even pace"),
        ("rows", item["rows"]),
    ]
    columns = Column("name", "Alert"), Column("text", "What")
    alerts = Table(columns, [vars(alert) for alert in standing.alerts], empty="no alert is on")
    sources = [{**row, USUAL_ERROR.key: row["usual_error_percent"]} for row in _sources(standing, errors)]
    made_of = Table((*MADE_OF, *([USUAL_ERROR] if ESTIMATE in standing.sources else [])), sources, empty="nothing is spent")
    spent = Section("What is spent", (made_of, *_own(standing)))
    blocks: list[Block] = [Table(COLUMNS, [item]), Pairs(pairs), spent, Section("Alerts", (alerts,))]
    if standing.budget.actions:
        blocks.append(Section("Actions", (Table(ACTIONS, action_views.waiting(standing, known)),)))
    mine = {name: count for name, count in off.items() if name == standing.name}
    return Document("Budget", [item], (*blocks, *action_views.still_off(mine), *_left_out([standing])))


def _item(standing: Standing, known: Sequence[Memory] = (), errors: Mapping[str, Decimal] = NO_ERRORS) -> dict[str, object]:
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
        "sources": _sources(standing, errors),
        "other_currencies": dict(standing.other),
        "converted_from": dict(standing.converted_from),
        "unconverted": standing.unconverted,
        "state": State(standing.level, _COLOURS[standing.level]),
        "alerts": [vars(alert) for alert in standing.alerts],
        "actions": action_views.waiting(standing, known),
        "where": _where(standing),
        "rows": rows_of(standing),
    }


def rows_of(standing: Standing) -> str:
    """Return the command that shows the rows of what is spent."""
    return rows(Span(midnight(standing.start), midnight(standing.end)), _where(standing))


def _where(standing: Standing) -> list[str]:
    """Return what chooses the rows of what is spent, within its period: in the budget's currency, or in those that it counts."""
    counted = ",".join(standing.converted_from) or standing.budget.currency
    return [*(str(parse(text)) for text in standing.budget.where), f"billing_currency={counted}"]


def _sources(standing: Standing, errors: Mapping[str, Decimal]) -> list[dict[str, object]]:
    return [
        {
            "source": source,
            "effective_cost": cost,
            "share_percent": percent(cost, standing.spent),
            "usual_error_percent": errors.get(standing.name) if source == ESTIMATE else None,
        }
        for source, cost in standing.sources.items()
    ]


def _own(standing: Standing) -> list[Status]:
    """Say what costs were before they were converted: their rows are in their own currencies."""
    amounts = " and ".join(f"{plain(amount)} {currency}" for currency, amount in standing.converted_from.items())
    return [Status(State("converted", "warn"), f"from {amounts}, as the rows have it")] if amounts else []


def _estimated(standings: Sequence[Standing], errors: Mapping[str, Decimal]) -> list[Status]:
    """Say how much of what is spent no bill has yet, and how far off that usually is."""
    return [
        Status(State("estimated", "idle"), f"{each.name}: {share} % of what is spent; estimates are {off}")
        for each in standings
        if each.estimated > 0 and each.spent > 0
        for share in [percent(each.estimated, each.spent)]
        for off in [f"usually {errors[each.name]} % off" if each.name in errors else "not checked by any bill yet"]
    ]


def _left_out(standings: Sequence[Standing]) -> list[Block]:
    """Name costs in other currencies: they are not counted, and nobody shall think that they are."""
    return [
        Status(State("not counted", "bad" if each.unconverted else "warn"), f"{each.name}: {plain(amount)} {currency}, because {why}")
        for each in standings
        for currency, amount in each.other.items()
        for why in [each.unconverted or f"the budget is in {each.budget.currency}"]
    ]
