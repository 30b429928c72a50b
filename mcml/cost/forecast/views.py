"""What a forecast looks like."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mcml.core.clock import midnight
from mcml.core.view import Block, Column, Document, Section, State, Status, Table
from mcml.cost import commands
from mcml.cost.forecast.project import ENOUGH, Forecast, PastMonth
from mcml.cost.span import Span
from mcml.cost.views import apart, conditions
from mcml.store.ledger.dimensions import Filter


@dataclass(frozen=True)
class Scoped:
    """The forecast of one currency and key; None, and the days of history there are, when that is too little."""

    currency: str
    key: tuple[str | None, ...]
    forecast: Forecast | None
    days: int
    past: tuple[PastMonth, ...] = ()


COLUMNS = (
    Column("booked_cost", "Booked", "money"),
    Column("expected_usage", "Usage to come", "money"),
    Column("expected_fees", "Fees to come", "money"),
    Column("forecast_cost", "Month's end", "money"),
    Column("low", "From", "money"),
    Column("high", "To", "money"),
    Column("usual_error_percent", "Usual error", "percent"),
)
PAST = (
    Column("month", "Month"),
    Column("forecast_cost", "Forecast", "money"),
    Column("actual_cost", "Cost", "money"),
    Column("error_percent", "Off by", "percent"),
)


def forecast(by: Sequence[str], found: Sequence[Scoped], filters: Iterable[Filter] = ()) -> Document:
    """Show a line a scope, how such forecasts did on past months, and which scopes have too little history.

    `filters` are those that all of them were asked with; `rows` of an item is the command that shows what is booked.
    """
    mine = [(each, each.forecast) for each in found if each.forecast]
    chosen = apart([_item(by, each, made) for each, made in mine], (each.currency for each in found))
    items = [{**item, "rows": _rows(made, filters, item["where"])} for item, (_, made) in zip(chosen, mine, strict=True)]
    columns = (*(Column(name, name.capitalize()) for name in by), Column("currency", "Currency"), *COLUMNS)
    blocks: list[Block] = [Table(columns, items)]
    for until in sorted({each.forecast.until for each in found if each.forecast}):
        blocks.append(Status(State("booked", "idle"), f"before {until}: the bills of later days are not complete yet"))
    for each in found:
        if each.forecast and each.past:
            title = f"{_name(each)}: forecast on the same day of past months"
            blocks.append(Section(title, (Table(PAST, [_past(month) for month in each.past]),)))
    blocks += [Status(State("refused", "idle"), f"{_name(each)}: {refusal(each.days)}") for each in found if not each.forecast]
    return Document("CostForecast", items, blocks)


def refusal(days: int) -> str:
    """Say that there is too little history."""
    return f"{days} day{'' if days == 1 else 's'} of complete history, {ENOUGH} are needed"


def _name(each: Scoped) -> str:
    return "/".join([*(part or "-" for part in each.key), each.currency])


def _rows(made: Forecast, filters: Iterable[Filter], where: object) -> str | None:
    """Return the command that shows the rows of what is booked; None on the first days of a month, of which nothing is complete."""
    if made.until <= made.month:
        return None
    also = where if isinstance(where, list) else []
    return commands.rows(Span(midnight(made.month), midnight(made.until)), [*map(str, filters), *also])


def _item(by: Sequence[str], each: Scoped, made: Forecast) -> Mapping[str, object]:
    return {
        "name": _name(each),
        "currency": each.currency,
        **dict(zip(by, each.key, strict=True)),
        "month": f"{made.month:%Y-%m}",
        "complete_until": made.until.isoformat(),
        "booked_cost": made.booked,
        "expected_usage": made.usage,
        "expected_fees": made.fees,
        "forecast_cost": made.total,
        "low": made.low,
        "high": made.high,
        "method": made.method,
        "trials": made.trials,
        "usual_error_percent": made.error,
        "past": [_past(month) for month in each.past],
        "where": conditions(by, each.key),
    }


def _past(month: PastMonth) -> dict[str, str | Decimal | None]:
    return {
        "month": f"{month.month:%Y-%m}",
        "forecast_cost": month.forecast,
        "actual_cost": month.actual,
        "error_percent": month.error,
    }
