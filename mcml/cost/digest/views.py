"""What a digest looks like: a section a currency, one screen on a terminal; each part says the command that shows the rows behind it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Level, Pairs, Section, Series, State, Status, Table
from mcml.cost import commands
from mcml.cost.anomaly.scan import Anomaly
from mcml.cost.anomaly.views import because
from mcml.cost.budget.standing import Standing
from mcml.cost.budget.views import rows_of
from mcml.cost.commands import command, from_to
from mcml.cost.digest.compose import Asked, Entry
from mcml.cost.digest.parts import ONE_DAY, Step
from mcml.cost.forecast.project import Forecast
from mcml.cost.span import Span
from mcml.cost.views import EMPTY, conditions
from mcml.cost.why.split import Change, Part
from mcml.cost.why.views import TITLES
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.dimensions import Filter
from mcml.store.ledger.exact import percent, plain, tidy

SHOWN = 3
"""Anomalies and budgets on the screen; JSON has all."""
MOVING: frozenset[Part] = frozenset(("volume", "mix", "rate", "commitment"))
"""Parts that go up or down; the others say it by their name."""
SMALL = 10
"""A part that is so many times smaller than the largest is no reason."""
COSTS = (
    Column("span", "Effective cost"),
    Column("cost", "Cost", "money"),
    Column("against", "Against"),
    Column("was", "Was", "money"),
    Column("delta", "Change", "money"),
    Column("delta_percent", "Change %", "percent"),
)
MADE = (
    Column("source", "Of it"),
    Column("cost", "Cost", "money"),
    Column("share_percent", "Share", "share"),
    Column("until", "Charges until", "time"),
    Column("ingested", "Ingested", "time"),
)
MOVES = (
    Column("before", "Before", "money"),
    Column("after", "After", "money"),
    Column("delta", "Change", "money"),
    Column("because", "Because"),
)
ANOMALIES = (
    Column("name", "Id"),
    Column("first_day", "Day"),
    Column("scope", "Scope"),
    Column("kind", "What"),
    Column("actual", "Actual", "money"),
    Column("impact", "Impact", "money"),
    Column("because", "Most of it"),
    Column("state", "State", "state"),
)
BUDGETS = (
    Column("name", "Budget"),
    Column("spent", "Spent", "money"),
    Column("amount", "Amount", "money"),
    Column("spent_percent", "Spent %", "percent"),
    Column("forecast", "Forecast", "money"),
    Column("until", "Until"),
    Column("state", "State", "state"),
)
_ANOMALY_STATES: Mapping[str, Level] = {"open": "bad", "growing": "bad", "new level": "warn"}
_BUDGET_STATES: Mapping[str, Level] = {"ok": "ok", "warn": "warn", "over": "bad"}


def digest(question: Asked, entries: Sequence[Entry]) -> Document:
    """Show a section a currency."""
    asked = [_apart(question, entry) if len(entries) > 1 else question for entry in entries]
    items = [_item(each, entry) for each, entry in zip(asked, entries, strict=True)]
    sections = [_section(each, entry, item) for each, entry, item in zip(asked, entries, items, strict=True)]
    return Document("CostDigest", items, sections or [Table([], [], empty=EMPTY)])


def _apart(question: Asked, entry: Entry) -> Asked:
    """Ask for the currency of an entry, too: rows in another one are not behind its numbers."""
    return replace(question, filters=(*question.filters, Filter("billing_currency", "=", (entry.currency,))))


def _item(question: Asked, entry: Entry) -> dict[str, object]:
    return {
        "name": entry.currency,
        "currency": entry.currency,
        "period": question.period,
        "from": question.span.start.date().isoformat(),
        "until": question.span.end.date().isoformat(),
        "cost": entry.cost,
        "compared": [_step(step) for step in entry.steps],
        "daily": [{"day": day.isoformat(), "cost": cost} for day, cost in entry.daily],
        "sources": [
            {"source": made.source, "cost": made.cost, "share_percent": made.share, "until": made.until, "ingested": made.ingested,
             "usual_error_percent": entry.usual_error if made.source == ESTIMATE else None,
             "rows": rows(question.span, question.filters, f"source={made.source}")}
            for made in entry.made
        ],
        "unallocated": None if entry.cost is None else {
            "cost": entry.unallocated, "share_percent": entry.unallocated_share, "rows": _allocate(question)
        },
        "month": _month(question, entry),
        "movers": [_mover(question, entry, change) for change in entry.why.changes if change.delta] if entry.why else [],
        "movers_against": entry.reference and [f"{each:%Y-%m-%d}" for each in (entry.reference.start, entry.reference.end)],
        "movers_command": _why(question, entry.reference) if entry.why and entry.reference else None,
        "movers_without": list(entry.without),
        "anomalies": [{**_anomaly(question, anomaly), "because": because(explained)} for anomaly, explained in entry.anomalies],
        "budgets": [_budget(standing) for standing in entry.budgets],
        "omitted": dict(entry.omitted),
        "rows": rows(question.span, question.filters),
    }  # fmt: skip


def rows(span: Span, filters: Iterable[Filter], *more: str) -> str:
    """Return the command that shows the rows of a span and of all conditions."""
    return commands.rows(span, (*map(str, filters), *more))


def _allocate(question: Asked) -> str:
    return command("allocate", *from_to(question.span), *commands.conditions(map(str, question.filters)), "--explain")


def _why(question: Asked, against: Span) -> str:
    before, after = (each.days.replace(" to ", "..") for each in (against, question.span))
    return command("why", before, after, "--by", ",".join(question.by), *commands.conditions(map(str, question.filters)))


def _step(step: Step) -> dict[str, object]:
    return {
        "from": step.span.start.date().isoformat(),
        "until": step.span.end.date().isoformat(),
        "cost": step.cost,
        "before_from": step.before.start.date().isoformat(),
        "before_until": step.before.end.date().isoformat(),
        "was": step.was,
        "delta": step.delta,
        "delta_percent": step.percent,
    }


def _month(question: Asked, entry: Entry) -> dict[str, object] | None:
    if entry.month_cost is None:
        return None
    so_far = question.month.so_far(question.at)
    return {
        "month": str(question.month),
        "until": so_far.end.date().isoformat(),
        "cost": entry.month_cost,
        "compared": _step(entry.month_step) if entry.month_step else None,
        "forecast": _forecast(question, entry.forecast) if entry.forecast else None,
        "rows": rows(so_far, question.filters),
    }


def _forecast(question: Asked, made: Forecast) -> dict[str, object]:
    amounts = {"cost": made.total, "low": made.low, "high": made.high, "method": made.method, "usual_error_percent": made.error}
    return {**amounts, "command": command("forecast", *commands.conditions(map(str, question.filters)))}


def _mover(question: Asked, entry: Entry, change: Change) -> dict[str, object]:
    where = conditions(question.by, change.key)
    span = entry.reference if entry.reference and not change.after else question.span
    return {
        "name": "/".join(part or "-" for part in change.key),
        **dict(zip(question.by, change.key, strict=True)),
        "before": change.before,
        "after": change.after,
        "delta": change.delta,
        "parts": dict(change.parts),
        "because": _reasons(change),
        "others": change.others,
        "rows": None if change.others else rows(span, question.filters, *where),
    }


def _reasons(change: Change) -> str:
    """Name what the change is made of, the largest part first: `volume up, rate down`."""
    ordered = sorted(change.parts.items(), key=lambda part: -abs(part[1]))
    told = [(part, amount) for part, amount in ordered if abs(amount) * SMALL >= abs(ordered[0][1])]
    return ", ".join(TITLES[part].lower() + (_direction(amount) if part in MOVING else "") for part, amount in told)


def _direction(amount: Decimal) -> str:
    return " up" if amount > 0 else " down"


def _anomaly(question: Asked, anomaly: Anomaly) -> dict[str, object]:
    finding, key = anomaly.finding, conditions(anomaly.by, anomaly.key)
    return {
        "name": anomaly.id,
        "scope": anomaly.name,
        "kind": finding.kind,
        "first_day": finding.first.isoformat(),
        "last_day": finding.last.isoformat(),
        "expected": tidy(finding.expected),
        "actual": tidy(finding.actual),
        "impact": tidy(finding.impact),
        "state": State(anomaly.state, _ANOMALY_STATES.get(anomaly.state, "warn")),
        "rows": _rows_of_days(finding.first, finding.last, question.filters, key),
    }


def _budget(standing: Standing) -> dict[str, object]:
    return {
        "name": standing.name,
        "period": standing.start.isoformat(),
        "until": (standing.end - ONE_DAY).isoformat(),
        "amount": standing.amount,
        "spent": standing.spent,
        "spent_percent": percent(standing.spent, standing.amount),
        "forecast": standing.forecast,
        "state": State(standing.level, _BUDGET_STATES[standing.level]),
        "alerts": [alert.text for alert in standing.alerts],
        "rows": rows_of(standing),
    }


def _rows_of_days(first: date, last: date, filters: Iterable[Filter], more: Iterable[str]) -> str:
    start, end = (datetime.combine(day, datetime.min.time()) for day in (first, last + ONE_DAY))
    return rows(Span(start, end), filters, *more)


def _section(question: Asked, entry: Entry, item: Mapping[str, object]) -> Section:
    blocks = [*_costs(question, entry, item), *_movers(entry, question.by, item), *_anomalies(entry, item), *_budgets(entry, item)]
    return Section(f"{entry.currency}: the {question.period} {question.span.days}", blocks)


def _not_told(entry: Entry, *parts: str) -> list[Block]:
    """Say each reason once."""
    return [Status(State("not told", "idle"), why) for why in dict.fromkeys(entry.omitted[part] for part in parts if part in entry.omitted)]


def _costs(question: Asked, entry: Entry, item: Mapping[str, object]) -> list[Block]:
    blocks: list[Block] = [Table(COSTS, _lines(question, entry), empty="no costs")]
    if len(entry.daily) > 1:
        points = [None if cost is None else float(cost) for _, cost in entry.daily]
        blocks.append(Series(f"by day, {entry.daily[0][0]} to {entry.daily[-1][0]}", points, entry.currency))
    if entry.made:
        blocks.append(Table(MADE, item["sources"]))  # type: ignore[arg-type]
    if entry.usual_error is not None and any(made.source == ESTIMATE for made in entry.made):
        blocks.append(Status(State("estimate", "warn"), f"estimates in {entry.currency} are usually {entry.usual_error}% off"))
    if entry.unallocated:
        share = "" if entry.unallocated_share is None else f" ({entry.unallocated_share}%)"
        text = f"{_amount(entry.unallocated)}{share} is borne by nobody: {_allocate(question)}"
        blocks.append(Status(State("unallocated", "warn"), text))
    blocks += _not_told(entry, "cost", "compared", "compared_weekday", "month", "month_compared", "forecast")
    return [*blocks, Pairs(list(_commands(entry, item)))] if entry.made or entry.month_cost is not None else blocks


def _commands(entry: Entry, item: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    """Name the commands that show what is behind the costs."""
    month: Mapping[str, object] = item["month"] or {}  # type: ignore[assignment]
    made: Mapping[str, object] = month.get("forecast") or {}  # type: ignore[assignment]
    if entry.cost is not None:
        yield "rows", item["rows"]
    if month:
        yield "of the month", month["rows"]
    if made:
        yield "forecast", made["command"]


def _lines(question: Asked, entry: Entry) -> list[dict[str, object]]:
    """Return the span against each of its others, the month so far, its complete days against those of the last, and its end."""
    lines: list[dict[str, object]] = [_line(step) for step in entry.steps]
    if entry.cost is not None and not lines:
        lines.append({"span": question.span.days, "cost": entry.cost})
    if entry.month_cost is None:
        return lines
    step, so_far = entry.month_step, question.month.so_far(question.at)
    if step is None or step.span.end != so_far.end:
        lines.append({"span": f"{question.month} so far", "cost": entry.month_cost})
    lines += [_line(step)] if step else []
    if entry.forecast:
        low, high = entry.forecast.low, entry.forecast.high
        between = "" if low is None or high is None else f"{_amount(low)} to {_amount(high)}"
        lines.append({"span": f"{question.month} at its end, forecast", "cost": entry.forecast.total, "against": between})
    return lines


def _amount(amount: Decimal) -> str:
    return f"{amount:,.2f}" if abs(amount) >= 1 else plain(amount)


def _line(step: Step) -> dict[str, object]:
    return {**_step(step), "span": step.span.days, "against": step.before.days}


def _movers(entry: Entry, by: Sequence[str], item: Mapping[str, object]) -> list[Block]:
    if entry.cost is None or entry.reference is None:
        return []
    moves: Sequence[Mapping[str, object]] = item["movers"]  # type: ignore[assignment]
    columns = (*(Column(name, name.capitalize()) for name in by), *MOVES)
    blocks: list[Block] = [Table(columns, moves, empty="nothing changed")] if entry.why else []
    if entry.without:
        blocks.append(Status(State("left out", "idle"), f"{', '.join(entry.without)}: the bill of these days is not complete"))
    blocks += _not_told(entry, "movers")
    if moves:
        blocks.append(Pairs([("why", item["movers_command"]), ("rows", moves[0]["rows"] or item["rows"])]))
    return [Section(f"What moved most, against {entry.reference.days}", blocks)]


def _anomalies(entry: Entry, item: Mapping[str, object]) -> list[Block]:
    found: Sequence[Mapping[str, object]] = item["anomalies"]  # type: ignore[assignment]
    if not found and "anomalies" not in entry.omitted:
        return [Status(State("ok"), "nothing unusual goes on: mcml cost anomalies")]
    blocks: list[Block] = [Table(ANOMALIES, found[:SHOWN])] if found else []
    return [Section("Anomalies", [*blocks, *_more(found, "mcml cost anomalies"), *_not_told(entry, "anomalies"), *_behind(found)])]


def _budgets(entry: Entry, item: Mapping[str, object]) -> list[Block]:
    found: Sequence[Mapping[str, object]] = item["budgets"]  # type: ignore[assignment]
    if not found:
        return _not_told(entry, "budgets")
    return [Section("Budgets", [Table(BUDGETS, found[:SHOWN]), *_more(found, "mcml cost budgets"), *_behind(found)])]


def _more(found: Sequence[object], command: str) -> list[Block]:
    return [Status(State("more", "idle"), f"{len(found) - SHOWN} more: {command}")] if len(found) > SHOWN else []


def _behind(found: Sequence[Mapping[str, object]]) -> list[Block]:
    return [Pairs([("rows", found[0]["rows"])])] if found else []
