"""Documents of the infra room (pure)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING

from mcml.core.plan import Plan, Step
from mcml.core.schema import Target
from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text, listing
from mcml.infra.drift import Drift
from mcml.infra.plan import ORDER, Applied, Planned, loses_data
from mcml.infra.policy import Severity, Verdict
from mcml.infra.pricing import CURRENCY, Estimate, Line
from mcml.infra.state import State as TerraformState
from mcml.infra.state import applied_targets
from mcml.infra.units import Unit
from mcml.providers.api.inventory import Resource

if TYPE_CHECKING:
    from mcml.infra.binary import Binary

MOST_LINES = 50
"""A plan fits on one screen and into one comment of a review: 60 lines with headings, price and verdict."""
MOST_VERDICT_LINES = 20
"""What is left to the policies where the changes would fill the screen."""
NARROW = 56
"""Characters of a row that go into one line of a terminal of 80 columns."""

DONE = {"create": "created", "update": "changed", "replace": "replaced", "delete": "destroyed"}
ABOUT = (Column("name", "Target"), Column("provider", "Provider"), Column("region", "Region"), Column("ports", "Ports"))
LEVELS: Mapping[str, Level] = {"applied": "ok", "not applied": "idle", "half-made": "bad", "missing": "bad", "to be removed": "warn"}


def plan_document(planned: Planned) -> Document:
    """Show a plan: what loses data first, its price, and what the policies say. What stays as it is, is data but no line."""
    changes = [{"action": step.action, "name": _short(step), "why": _why(step)} for step in planned.plan.changes]
    needed = sum(_height(row, "name", "why") for row in changes)
    verdicts = _verdict_blocks(planned.verdicts, max(MOST_VERDICT_LINES, MOST_LINES - needed - 2))
    left = MOST_LINES - sum(_height(row, "rule", "what") for row in verdicts[0].rows) - 2 if verdicts else MOST_LINES
    rows = _fitting(changes, left, "name", "why")
    more = [Text(f"... and {len(changes) - len(rows)} more: -o json shows all")] if len(changes) > len(rows) else []
    verdict = f"{counts(planned.plan)} in {planned.unit.environment}; plan {planned.plan.digest[:12]}"
    table = [Table([Column("action", "Action"), Column("name", "What"), Column("why", "Why")], rows)] if rows else []
    blocks = (*table, *more, *price_summary(planned.estimate), *verdicts, Text(verdict))
    return Document("InfraPlan", _plan_items(planned), blocks)


def _plan_items(planned: Planned) -> list[dict[str, object]]:
    """Return the steps, each with its price and verdicts; what is said about no step of its own is with a last item, the plan itself."""
    lines = {line.address: line for line in planned.estimate.lines}
    said: dict[str, list[dict[str, object]]] = {}
    known = {step.name for step in planned.plan.steps}
    for verdict in planned.verdicts:
        said.setdefault(verdict.address if verdict.address in known else "", []).append(dict(vars(verdict)))
    items = [_item(step) | _price_fields(lines.get(step.name)) | {"verdicts": said.get(step.name, [])} for step in planned.plan.steps]
    if "" in said:
        items.append(_item(Step("keep", "plan", "plan")) | _price_fields(None) | {"verdicts": said[""]})
    return items


def _price_fields(line: Line | None) -> dict[str, object]:
    return {
        "monthly_cost": line.after.monthly if line else None,
        "monthly_delta": line.delta if line else None,
        "unpriced": list(line.after.unpriced) if line else [],
    }


def _fitting(rows: Sequence[Mapping[str, object]], lines: int, *keys: str) -> list[Mapping[str, object]]:
    """Return the first rows, as many as go into so many lines of a narrow terminal."""
    heights = accumulate(_height(row, *keys) for row in rows)
    return [row for row, height in zip(rows, heights, strict=True) if height <= lines]


def _height(row: Mapping[str, object], *keys: str) -> int:
    return -(-sum(len(str(row[key])) for key in keys) // NARROW) or 1


def _verdict_blocks(verdicts: Sequence[Verdict], lines: int) -> list[Table]:
    """Return one row for all resources of which a rule says the same, so that no rule is lost in the number of another's."""
    levels: Mapping[Severity, Level] = {"deny": "bad", "warn": "warn"}
    said: dict[tuple[Severity, str, str], list[str]] = {}
    for one in verdicts:
        said.setdefault((one.severity, one.rule, one.message), []).append(one.address)
    all_rows = [
        {"severity": State(severity, levels[severity]), "rule": rule, "what": f"{_some(addresses)}: {message}".removeprefix(": ")}
        for (severity, rule, message), addresses in said.items()
    ]
    rows = _fitting(all_rows, lines, "rule", "what")
    if len(rows) < len(all_rows):
        rest = f"... and {len(all_rows) - len(rows)} more: -o json shows all"
        rows.append({"severity": "", "rule": "", "what": rest})
    return [Table([Column("severity", "Policy", "state"), Column("rule", "Rule"), Column("what", "What")], rows)] if rows else []


def _some(addresses: Sequence[str]) -> str:
    return addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more"


def price_summary(estimate: Estimate) -> list[Block]:
    """Say in at most three lines what a plan costs, what has no price, and of when the prices are; nothing where nothing costs."""
    if not estimate.lines:
        return []
    sign = "+" if estimate.after >= estimate.before else ""
    unsure = " or more" if estimate.uncertain else ""
    text = f"{_at_least(estimate)}{money(estimate.after)} a month ({sign}{money(estimate.after - estimate.before)}{unsure})"
    said: list[Block] = [Status(State("cost", "warn" if estimate.unpriced else "ok"), text)]
    missing = [f"{len(estimate.unpriced)} without a price"] if estimate.unpriced else []
    missing += [f"{len(estimate.by_use)} paid by use"] if estimate.by_use else []
    if missing:
        said.append(Text(f"not in it: {', '.join(missing)}; mcml infra cost shows which"))
    if estimate.sources:
        said.append(Text(f"list prices of {'; '.join(estimate.sources)}"))
    return said


def _at_least(estimate: Estimate) -> str:
    return "at least " if estimate.unpriced else ""


def money(amount: Decimal) -> str:
    """Write an amount of US dollars, in cents."""
    return f"{amount:,.2f} {CURRENCY}"


def cost_document(estimate: Estimate) -> Document:
    """Show what every resource costs a month after the plan, and what the plan adds, by unit and cloud; what has no price says so."""
    blocks: list[Block] = [_cost_section(unit, cloud, group) for (unit, cloud), group in estimate.groups().items()]
    if not blocks:
        return Document("InfraCost", [], (Status(State("nothing", "idle"), "has a price: no resource here belongs to a cloud"),))
    return Document("InfraCost", [_cost_item(line) for line in estimate.lines], (*blocks, *price_summary(estimate)))


def _cost_section(unit: str, cloud: str, estimate: Estimate) -> Section:
    rows = [
        {
            "name": line.address,
            "what": ", ".join(line.after.what or line.before.what) or ("paid by use" if line.after.by_use else ""),
            "monthly": line.after.monthly if line.after.prices or not (line.after.unpriced or line.after.by_use) else None,
            "delta": line.delta if line.changes and not (line.after.unpriced or line.after.by_use) else None,
            "unpriced": "; ".join(line.after.unpriced),
        }
        for line in sorted(estimate.lines, key=lambda line: (-line.after.monthly, line.address))
    ]
    money_columns = (Column("monthly", "USD a month", "money"), Column("delta", "Change", "money"))
    columns = [Column("name", "Resource"), Column("what", "What"), *money_columns, Column("unpriced", "Without a price")]
    total = f"{_at_least(estimate)}{money(estimate.after)} a month, now {money(estimate.before)}"
    return Section(f"{unit} ({cloud}): {total}", (Table(columns, rows),))


def _cost_item(line: Line) -> dict[str, object]:
    return {
        "name": line.address,
        "unit": line.unit,
        "cloud": line.cloud,
        "kind": line.kind,
        "region": line.region,
        "what": list(line.after.what),
        "currency": CURRENCY,
        "monthly_before": line.before.monthly,
        "monthly_after": line.after.monthly,
        "monthly_delta": line.delta,
        "unpriced_before": list(line.before.unpriced),
        "unpriced": list(line.after.unpriced),
        "by_use": line.after.by_use,
        "prices": [dict(vars(price)) for price in line.after.prices],
    }


def applied_document(applied: Applied) -> Document:
    """Show what an apply or a destroy did."""
    plan = applied.planned.plan
    rows = [_item(step) | {"result": DONE[step.action]} for step in plan.changes]
    if not rows:
        nothing = "nothing to destroy" if applied.planned.destroys else "nothing to change: everything is as it should be"
        return Document("InfraResult", [], (Status(State("ok"), f"{applied.planned.unit.environment}: {nothing}"),))
    text = f"{applied.planned.unit.environment}: {counts(plan, DONE)} in {applied.seconds:.1f} s; plan {plan.digest[:12]}"
    return Document("InfraResult", rows, (Status(State("done"), text),))


def counts(plan: Plan, words: Mapping[str, str] | None = None) -> str:
    """Say how many changes of each kind a plan has, as in '1 to delete, 3 to create'."""
    numbers = {action: sum(step.action == action for step in plan.changes) for action in ORDER if action != "keep"}
    said = [f"{number} {words[action] if words else f'to {action}'}" for action, number in numbers.items() if number]
    return ", ".join(said) or "nothing to change"


def _item(step: Step) -> dict[str, object]:
    return {key: getattr(step, key) for key in ("name", "action", "kind", "target", "reason", "values")}


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


def output_document(state: TerraformState) -> Document:
    """Show the outputs: the targets as a table, whatever else there is as it is. A sensitive one is named, never shown."""
    rows = [
        {
            "name": target.name,
            "provider": target.provider,
            "region": target.region,
            "ports": _ports(target.ports),
            "folder": target.folder,
            "tags": dict(target.tags),
        }
        for target in applied_targets(state).values()
    ]
    columns = [*ABOUT, Column("folder", "Folder")]
    others: list[tuple[str, object]] = [(name, value) for name, value in state.outputs.items() if name != "targets"]
    others += [(name, "(sensitive)") for name in state.sensitive]
    blocks: list[Block] = [Table(columns, rows, empty="nothing is applied; next: mcml infra apply")]
    return Document("InfraOutput", rows, [*blocks, *([Pairs(others)] if others else [])])


def _ports(ports: Sequence[int]) -> str:
    """Write ports briefly: runs of neighbours as `first-last`."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def status_document(unit: Unit, state: TerraformState, wanted: Mapping[str, Target]) -> Document:
    """Show every target of mcml.toml and of the state, and whether somebody is at work."""
    applied = applied_targets(state)
    rows = []
    for name in sorted({*wanted, *state.made, *applied}):
        about = wanted.get(name) or applied.get(name)
        word = _word(name, state, wanted, name in applied)
        ports = _ports(applied[name].ports) if name in applied else ""
        provider, region = (about.provider, about.region) if about else ("", "")
        rows.append({"name": name, "state": State(word, LEVELS[word]), "provider": provider, "region": region, "ports": ports})
    columns = [ABOUT[0], Column("state", "State", "state"), *ABOUT[1:]]
    table = Table(columns, rows, title=f"environment {unit.environment}", empty="no target is defined; next: mcml config example")
    return Document("InfraStatus", rows, (table, *_lock(state), *_advice(rows)))


def _word(name: str, state: TerraformState, wanted: Mapping[str, object], there: bool) -> str:
    if name in state.made and not state.made[name]:
        return "half-made"
    if name in state.made and name not in wanted:
        return "to be removed"
    if there:
        return "applied"
    return "missing" if (state.outputs.get("targets") or {}).get(name) else "not applied"


def _lock(state: TerraformState) -> list[Status]:
    if not state.lock:
        return []
    return [Status(State("locked", "warn"), f"{state.lock.who} holds the state ({state.lock.operation}) since {state.lock.created}")]


def _advice(rows: Sequence[Mapping[str, object]]) -> list[Text]:
    off = [row for row in rows if str(getattr(row["state"], "text", "")) != "applied"]
    return [Text(f"{len(off)} of {len(rows)} not as they should be; next: mcml infra apply")] if off else []


def drift_document(drift: Drift) -> Document:
    """Show what differs, each with the command or step that mends it."""
    levels: Mapping[str, Level] = {"missing": "bad", "changed": "warn", "unmanaged": "warn"}
    rows = [
        {"name": one.target, "drift": State(one.kind, levels[one.kind]), "region": one.region, "detail": one.detail, "fix": list(one.fix)}
        for one in drift.drifted
    ]
    if not rows:
        text = f"{drift.environment}: no drift; {len(drift.looked_at)} targets are as Terraform left them"
        return Document("InfraDrift", [], (Status(State("ok"), text),))
    columns = [Column("name", "Target"), Column("drift", "Drift", "state"), Column("region", "Region"), Column("detail", "What")]
    steps = [Text(f"{one.target}: {step}") for one in drift.drifted for step in one.fix]
    return Document("InfraDrift", rows, (Table(columns, rows), *steps))


def init_document(binary: "Binary", unit: Unit, folder: str) -> Document:
    """Show which Terraform is used and where it works."""
    row = {"name": unit.name, "environment": unit.environment, "terraform": binary.name, "folder": folder}
    return Document("InfraInit", [row], (Pairs([("terraform", binary.name), ("environment", unit.environment), ("folder", folder)]),))


def removed_document(resource: Resource, *, removed: bool) -> Document:
    """Show that something unmanaged was removed, or in a dry run that it would be."""
    row = {"name": resource.id, "kind": resource.kind, "region": resource.region, "result": DONE["delete"] if removed else "to destroy"}
    columns = [Column("name", "Name"), Column("kind", "Kind"), Column("region", "Region"), Column("result", "Result")]
    return listing("InfraResult", columns, [row])
