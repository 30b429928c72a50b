"""The screen of a plan, of one unit or of many, and its data (pure)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mcml.core.errors import McmlError, said
from mcml.core.plan import Plan, Step
from mcml.core.view import Block, Column, Document, Level, State, Status, Table, Text
from mcml.core.when import span
from mcml.infra import outcome
from mcml.infra.plans.durations import longest, shipped
from mcml.infra.plans.plan import HOLDS_DATA, ORDER, Planned, loses_data
from mcml.infra.plans.policy import Severity, Verdict
from mcml.infra.plans.pricing import Line
from mcml.infra.views.cost_views import price_summary, signed
from mcml.infra.views.fitting import Row, fitting, heights, lines_of

if TYPE_CHECKING:
    from mcml.infra.fleet import Plans

SCREEN = 60
"""Lines of a plan at most: it fits on one screen and into one comment of a review."""
MOST_CHANGE_LINES = 50
FEWEST_VERDICT_LINES, FEWEST_UNIT_LINES = 12, 18
"""What is left to the policies, and to the units, where the changes would fill the screen."""
MOST_FAILURES = 5

CHANGES = (Column("action", "Action"), Column("name", "What"), Column("why", "Why"))
UNIT = Column("unit", "Unit")
VERDICTS = (Column("severity", "Policy", "state"), Column("rule", "Rule"), Column("what", "What"))
UNITS = (UNIT, Column("plan", "Plan", "state"), Column("changes", "Changes"), Column("cost", "USD a month"), Column("waits", "Waits for"))
FOLDS: tuple[Mapping[str, str], ...] = (
    {},
    {"create": "kind"},
    {"create": "unit"},
    {"create": "first"},
    {"create": "number"},
    {"create": "number", "update": "kind"},
    {"create": "number", "update": "unit"},
    {"create": "number", "update": "unit", "replace": "kind", "delete": "kind"},
    {"create": "number", "update": "number", "replace": "unit", "delete": "unit"},
    {"create": "number", "update": "number", "replace": "number", "delete": "number"},
    {"create": "number", "update": "number", "replace": "number", "delete": "number", "lost": "kind"},
)
"""What becomes one row where the screen is too small: all of a kind in a unit, all of a unit with its main kinds or kind, or without.

What loses its data is named as long as there is room, and by its kind else.
"""


def plan_document(plans: "Plans") -> Document:
    """Show plans: what loses data first, then what else goes, changes and comes; their price, what the policies say, and what waits.

    What stays as it is, is data but no line.
    """
    several = len(plans.graph.units) > 1
    price, ends = price_summary(plans.estimate), [*_failures(plans), Text(_last_line(plans))]
    room = SCREEN - sum(_lines(block) for block in (*price, *ends))
    unit_rows = list(_unit_rows(plans)) if several else []
    unit_columns = [column for column in UNITS if any(row[column.key] for row in unit_rows)]
    verdict_rows = _verdict_rows(plans)
    units_need, verdicts_need = _needed(unit_rows, unit_columns), _needed(verdict_rows, VERDICTS)
    units_least, verdicts_least = min(units_need, FEWEST_UNIT_LINES), min(verdicts_need, FEWEST_VERDICT_LINES)
    changes = _change_blocks(plans, min(MOST_CHANGE_LINES + 3, room - units_least - verdicts_least))
    room -= sum(_lines(block) for block in changes)
    verdicts = _table(VERDICTS, verdict_rows, room - units_least)
    room -= sum(_lines(block) for block in verdicts)
    units = _table(unit_columns, unit_rows, room)
    return Document("InfraPlan", _plan_items(plans), (*changes, *units, *price, *verdicts, *ends))


def _lines(block: Block) -> int:
    """Return the lines of a block, with the blank one before a table."""
    if isinstance(block, Table):
        return _needed(block.rows, block.columns)
    return lines_of(f"{block.state.text}  {block.text}" if isinstance(block, Status) else block.text if isinstance(block, Text) else "")


def _needed(rows: Sequence[Row], columns: Sequence[Column]) -> int:
    return sum(heights(rows, columns)) + 2 if rows else 0


def _table(columns: Sequence[Column], rows: Sequence[Row], lines: int) -> list[Block]:
    """Return the rows as a table, with the number of those for which there is no room."""
    if not rows:
        return []
    if _needed(rows, columns) <= lines:
        return [Table(columns, rows)]
    shown = fitting(rows, columns, lines - 3)
    return [*([Table(columns, shown)] if shown else []), Text(f"... and {len(rows) - len(shown)} more: -o json shows all")]


# Changes


def _change_blocks(plans: "Plans", lines: int) -> list[Block]:
    steps = [(planned, step) for planned in plans.planned for step in planned.plan.changes]
    steps.sort(key=lambda one: (not loses_data(one[1]), ORDER.index(one[1].action)))
    single = len(plans.graph.units) == 1
    columns = CHANGES if single else (UNIT, *CHANGES)
    folds = FOLDS[:1] if single and plans.graph.units[0].healed_by else FOLDS
    rows: list[Row] = []
    for fold in folds:
        rows = list(_change_rows(steps, fold))
        if _needed(rows, columns) <= lines:
            return [Table(columns, rows)] if rows else []
    shown = fitting(rows, columns, lines - 3)
    left = rows[len(shown) :]
    number = sum(int(str(row["number"])) for row in left)
    lost = sum(bool(row["lost"]) for row in left)
    losing = f", {lost} of which lose their data" if lost else ""
    table: list[Block] = [Table(columns, shown)] if shown else []
    return [*table, Text(f"... and {number} more{losing}: -o json shows all")]


def _change_rows(steps: Sequence[tuple[Planned, Step]], fold: Mapping[str, str]) -> Iterator[Row]:
    groups: dict[tuple[str, str, str, str], list[tuple[Planned, Step]]] = {}
    for planned, step in steps:
        grain = fold.get("lost" if loses_data(step) else step.action, "")
        key = {"": step.name, "kind": step.kind}.get(grain, "")
        groups.setdefault((planned.unit.name, step.action, grain, key), []).append((planned, step))
    for (unit, action, grain, _), group in groups.items():
        made = [step for _, step in group]
        row: dict[str, object] = {"unit": unit, "action": action, "number": len(made), "lost": loses_data(made[0])}
        if len(made) == 1:
            yield row | {"name": _short(made[0]), "why": _why(made[0])}
        elif grain == "kind":
            yield row | {"name": f"{len(made)} x {made[0].kind}", "why": _shared_why(made)}
        else:
            yield row | {"name": f"{len(made)} resources", "why": _kinds(made, {"unit": 2, "first": 1}.get(grain, 0))}


def _shared_why(steps: Sequence[Step]) -> str:
    reasons = {step.reason for step in steps}
    loses = "lose their data" if loses_data(steps[0]) else ""
    return "; ".join(part for part in (loses, reasons.pop() if len(reasons) == 1 else "") if part)


def _kinds(steps: Sequence[Step], most: int) -> str:
    """Name the kinds that take longest, then those that hold data: they are what a person would look for."""
    if not most:
        return ""
    numbers = Counter(step.kind for step in steps)
    first = sorted(numbers, key=lambda kind: (-(shipped(kind, "create") or 0), kind not in HOLDS_DATA, -numbers[kind], kind))
    named = [f"{numbers[kind]} x {kind}" if numbers[kind] > 1 else kind for kind in first[:most]]
    more = len(first) - len(named)
    return ", ".join([*named, f"{more} more kind{'s' if more > 1 else ''}"] if more else named)


def _short(step: Step) -> str:
    return f"target {step.target}" if step.kind == "terraform_data" and step.target else step.name


def _why(step: Step) -> str:
    changed = step.values.get("changed")
    said = [f"{path}: {_value(old)} -> {_value(new)}" for path, (old, new) in changed.items()] if isinstance(changed, Mapping) else []
    causes = [text for text in said if not text.startswith("triggers_replace")] or said
    loses = "loses its data" if loses_data(step) else ""
    return "; ".join([part for part in (loses, step.reason, ", ".join(causes[:3])) if part])


def _value(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# Units


def _unit_rows(plans: "Plans") -> Iterator[Row]:
    """Yield a row a unit; those that stay as they are, are one row where they are many."""
    results = plans.results
    same = [name for name, one in results.done.items() if not one.plan.changes and not one.waits_for]
    if len(same) == len(plans.graph.units):
        return
    for unit in plans.graph.units:
        name = unit.name
        if name in results.done and not (len(same) > 3 and name in same):
            one = results.done[name]
            changes = counts(one.plan) if one.plan.changes or one.shown else ""
            cost = signed(one.estimate) if one.estimate.lines else ""
            yield {"unit": name, "plan": _word(one), "changes": changes, "cost": cost, "waits": ", ".join(_last(plans, one.waits_for))}
        elif name in results.failed:
            yield {"unit": name, "plan": State("failed", "bad"), "changes": "", "cost": "", "waits": ""}
        elif name in results.skipped:
            waits = ", ".join(results.skipped[name])
            yield {"unit": name, "plan": State("not planned", "warn"), "changes": "", "cost": "", "waits": waits}
    if len(same) > 3:
        yield {"unit": f"{len(same)} more", "plan": State("unchanged", "idle"), "changes": "", "cost": "", "waits": ""}


def _word(planned: Planned) -> State:
    if not planned.shown:
        return State("not planned", "warn")
    if planned.waits_for:
        return State("in part", "warn")
    return State("whole") if planned.plan.changes else State("unchanged", "idle")


def _last(plans: "Plans", names: Sequence[str]) -> list[str]:
    """Return those of the units that none of the others needs: when these are applied, all are."""
    known = {unit.name for unit in plans.graph.units}
    before = {needed for name in known.intersection(names) for needed in plans.graph.needed_by(name)}
    return [name for name in names if name not in before]


def _failures(plans: "Plans") -> Iterator[Block]:
    partly = [one for one in plans.planned if one.waits_for and one.shown]
    if partly and len(plans.graph.units) > 1:
        yield Text("in part: as far as it is known before what it waits for is applied; the rest is planned then")
    elif partly:
        yield Text(f"as far as it is known before {', '.join(partly[0].waits_for)} is applied")
    failed = list(plans.results.failed.items())
    for name, error in failed[:MOST_FAILURES]:
        yield Status(State("failed", "bad"), f"{name}: {first_line(error)}")
    if len(failed) > MOST_FAILURES:
        yield Text(f"... and {len(failed) - MOST_FAILURES} more without a plan")


def first_line(error: McmlError) -> str:
    """Say in one line what failed; why, and what to do, the error itself says."""
    line = error.message.splitlines()[0] if error.message else ""
    return line if len(line) <= 140 else f"{line[:137]}..."


def _last_line(plans: "Plans") -> str:
    whole = Plan("infra", tuple(step for one in plans.planned for step in one.plan.steps))
    units = plans.graph.units
    where, of = outcome.place(units[0]), ""
    if len(units) > 1:
        planned = len(plans.planned)
        where, of = units[0].environment, f"{planned} units: " if planned == len(units) else f"{planned} of {len(units)} units: "
    return f"{of}{counts(whole)} in {where}{_about(plans)}; plan {plans.digest[:12]}"


def _about(plans: "Plans") -> str:
    """Say how long an apply takes when that can be told of most of the units: the longest way through them."""
    known = {one.unit.name: one.expected for one in plans.changing if one.expected is not None}
    if len(known) * 2 < len(plans.changing):
        return ""
    seconds = longest(known, {unit.name: unit.needs for unit in plans.graph.units})
    more = " or more" if len(known) < len(plans.changing) else ""
    if seconds < 10:
        return ""
    return f", about {round(seconds / 60)} min{more}" if seconds >= 90 else f", about {span(round(seconds))}{more}"


# Policies


def _verdict_rows(plans: "Plans") -> list[Row]:
    """Return one row for all resources of which a rule says the same, so that no rule is lost in the number of another's."""
    levels: Mapping[Severity, Level] = {"deny": "bad", "warn": "warn"}
    several = len(plans.graph.units) > 1
    verdicts = [named(one, verdict) if several else verdict for one in plans.planned for verdict in one.verdicts]
    grouped: dict[tuple[Severity, str, str], list[str]] = {}
    for one in sorted((*verdicts, *plans.verdicts), key=lambda one: (one.severity, one.rule)):
        grouped.setdefault((one.severity, one.rule, one.message), []).append(one.address)
    return [
        {"severity": State(severity, levels[severity]), "rule": rule, "what": f"{_some(addresses)}: {message}".removeprefix(": ")}
        for (severity, rule, message), addresses in grouped.items()
    ]


def named(planned: Planned, verdict: Verdict) -> Verdict:
    """Return a verdict that says of which unit it is."""
    unit = planned.unit.name
    return replace(verdict, address=f"{unit}: {verdict.address}" if verdict.address else unit)


def _some(addresses: Sequence[str]) -> str:
    return addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more"


# Data


def _plan_items(plans: "Plans") -> list[dict[str, object]]:
    """Return the steps of every unit; then what is said about all of them, and the units that have no plan, each with its reason."""
    items = [item for planned in plans.planned for item in _items(planned)]
    if plans.verdicts:
        items.append(step_item("", Step("keep", "plan", "plan")) | _priced(None, plans.verdicts, ()))
    for name, error in plans.results.failed.items():
        items.append(unit_item(name, f"it could not be planned: {said(error)}") | _priced(None, (), ()))
    for name, roots in plans.results.skipped.items():
        items.append(unit_item(name, "it is not planned without what it waits for") | _priced(None, (), roots))
    return items


def _items(planned: Planned) -> Iterator[dict[str, object]]:
    """Yield the steps, each with its price and verdicts; what is said about no step of its own is with a last item, the plan itself."""
    lines = {line.address: line for line in planned.estimate.lines}
    told: dict[str, list[Verdict]] = {}
    known = {step.name for step in planned.plan.steps}
    for verdict in planned.verdicts:
        told.setdefault(verdict.address if verdict.address in known else "", []).append(verdict)
    for step in planned.plan.steps:
        yield step_item(planned.unit.name, step) | _priced(lines.get(step.name), told.get(step.name, ()), planned.waits_for)
    if "" in told:
        yield step_item(planned.unit.name, Step("keep", "plan", "plan")) | _priced(None, told[""], planned.waits_for)
    if not planned.shown:
        why = "it cannot be planned before what it waits for is applied"
        yield unit_item(planned.unit.name, why) | _priced(None, (), planned.waits_for)


def _priced(line: Line | None, verdicts: Iterable[Verdict], waits_for: Sequence[str]) -> dict[str, object]:
    return {
        "monthly_cost": line.after.monthly if line else None,
        "monthly_delta": line.delta if line else None,
        "unpriced": list(line.after.unpriced) if line else [],
        "verdicts": [dict(vars(verdict)) for verdict in verdicts],
        "waits_for": list(waits_for),
    }


def step_item(unit: str, step: Step) -> dict[str, object]:
    """Return a step as data."""
    return {key: getattr(step, key) for key in ("name", "action", "kind", "target", "reason", "values")} | {"unit": unit}


def unit_item(name: str, reason: str) -> dict[str, object]:
    """Return what is known of a unit without steps."""
    return step_item(name, Step("keep", "unit", name, reason=reason)) | {"action": "unknown"}


def counts(plan: Plan, words: Mapping[str, str] | None = None) -> str:
    """Say how many changes of each kind a plan has, as in '1 to delete, 3 to create'."""
    numbers = {action: sum(step.action == action for step in plan.changes) for action in ORDER if action != "keep"}
    told = [f"{number} {words[action] if words else f'to {action}'}" for action, number in numbers.items() if number]
    return ", ".join(told) or ("nothing changed" if words else "nothing to change")
