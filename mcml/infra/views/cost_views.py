"""The screens of what things cost a month (pure)."""

from decimal import Decimal
from typing import TYPE_CHECKING

from mcml.core.view import Block, Column, Document, Section, State, Status, Table, Text
from mcml.infra.plans.pricing import CURRENCY, Estimate, Line

if TYPE_CHECKING:
    from mcml.infra.fleet import Plans


def price_summary(estimate: Estimate) -> list[Block]:
    """Say in at most three lines what a plan costs, what has no price, and of when the prices are; nothing where nothing costs."""
    if not estimate.lines:
        return []
    unsure = " or more" if estimate.uncertain else ""
    text = f"{_at_least(estimate)}{money(estimate.after)} a month ({_sign(estimate)}{money(_delta(estimate))}{unsure})"
    said: list[Block] = [Status(State("cost", "warn" if estimate.unpriced else "ok"), text)]
    missing = [f"{len(estimate.unpriced)} without a price"] if estimate.unpriced else []
    missing += [f"{len(estimate.by_use)} paid by use"] if estimate.by_use else []
    if missing:
        said.append(Text(f"not in it: {', '.join(missing)}; mcml infra cost shows which"))
    if estimate.sources:
        said.append(Text(f"list prices of {'; '.join(estimate.sources)}"))
    return said


def signed(estimate: Estimate) -> str:
    """Write what a plan adds a month, as in '+1,234.50' or '-3.00 or more'; 'not known' when nothing of it has a price."""
    if estimate.uncertain and not estimate.before and not estimate.after:
        return "not known"
    return f"{_sign(estimate)}{_delta(estimate):,.2f}{' or more' if estimate.uncertain else ''}"


def _delta(estimate: Estimate) -> Decimal:
    return estimate.after - estimate.before


def _sign(estimate: Estimate) -> str:
    return "+" if estimate.after >= estimate.before else ""


def _at_least(estimate: Estimate) -> str:
    return "at least " if estimate.unpriced else ""


def money(amount: Decimal) -> str:
    """Write an amount of US dollars, in cents."""
    return f"{amount:,.2f} {CURRENCY}"


def cost_document(plans: "Plans") -> Document:
    """Show what every resource costs a month after the plans, and what these add, by unit and cloud; what has no price says so."""
    estimate = plans.estimate
    missing = _not_in_it(plans)
    blocks: list[Block] = [_cost_section(unit, cloud, group) for (unit, cloud), group in estimate.groups().items()]
    if not blocks:
        return Document("InfraCost", [], (Status(State("nothing", "idle"), "has a price: no resource here belongs to a cloud"), *missing))
    return Document("InfraCost", [_cost_item(line) for line in estimate.lines], (*blocks, *price_summary(estimate), *missing))


def _not_in_it(plans: "Plans") -> list[Block]:
    """Name the units whose price is not known, or only in part."""
    partly = [one.unit.name for one in plans.planned if one.waits_for and one.shown]
    unknown = [one.unit.name for one in plans.planned if not one.shown]
    found = (
        (State("failed", "bad"), list(plans.results.failed), "no plan, so no price"),
        (State("waits", "warn"), [*unknown, *plans.results.skipped], "no plan before what they wait for is applied, so no price"),
        (State("in part", "warn"), partly, "priced as far as they are known before what they wait for is applied"),
    )
    return [Status(state, f"{', '.join(names)}: {why}") for state, names, why in found if names]


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
