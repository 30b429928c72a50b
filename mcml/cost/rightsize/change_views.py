"""What changes of a machine's type look like: their plan, how they stand, and what the bill says they saved."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.core.when import span
from mcml.cost.rightsize.change import Change, Stage, Taken
from mcml.cost.rightsize.planned import Planned
from mcml.cost.rightsize.reasons import NAMES, number
from mcml.cost.rightsize.savings import Realised, Total, Verdict
from mcml.store.ledger.exact import rounded

STEPS = (Column("does", "Does"), Column("what", "What"), Column("how", "How"))
FITS = (
    Column("measure", "Measure"), Column("unit", "In"), Column("needed", "Needed", "number"), Column("has", "Has", "number"),
    Column("fits", "Fits", "state"),
)  # fmt: skip
CHANGES = (
    Column("name", "Machine"), Column("is", "State", "state"), Column("types", "Type"), Column("saving", "Saves a month", "money"),
    Column("currency", "In"), Column("watched", "Watched"), Column("started_at", "Began", "time"), Column("copies", "Snapshots"),
)  # fmt: skip
SAVINGS = (
    Column("name", "Machine"), Column("types", "Type"), Column("done_at", "Done", "time"), Column("promised", "Promised a month", "money"),
    Column("realised_per_month", "By the bill", "money"), Column("realised_so_far", "So far", "money"), Column("currency", "In"),
    Column("billed_days", "Days billed", "number"), Column("is", "Verdict", "state"),
)  # fmt: skip
LEVELS: dict[Stage, Level] = {"done": "ok", "rolled back": "warn", "failed": "bad", "stuck": "bad"}
GRADES: dict[Verdict, Level] = {"confirmed": "ok", "partly": "warn", "not confirmed": "bad", "rolled back": "warn"}


def plan(planned: Planned) -> Document:
    """Show what a change would do, from what to what, and what it would save."""
    change = planned.change
    steps = [{"does": step.action, "what": f"{step.kind} {step.name}", "how": step.reason} for step in planned.plan.steps]
    fits = [{**asdict(fit), "fits": fit.fits} for fit in planned.fits]
    item = {**_item(change), "steps": steps, "fits": fits, "notes": list(planned.notes), "digest": planned.plan.digest}
    blocks: list[Block] = [Status(State("plan", "warn"), f"{change.key}: {change.before} -> {change.after}"), _about(planned)]
    blocks.append(Table(STEPS, steps))
    if fits:
        rows = [
            {"measure": NAMES[fit.measure], "unit": fit.unit, "needed": number(max(fit.needed, fit.highest))}
            | {"has": "-" if fit.has is None else number(fit.has), "fits": State("yes") if fit.fits else State("no", "bad")}
            for fit in planned.fits
        ]
        blocks.append(Section(f"How it fits {change.after}", (Table(FITS, rows),)))
    blocks += [Text(note) for note in planned.notes]
    return Document("CostRightsizingPlan", [item], blocks)


def _about(planned: Planned) -> Pairs:
    change = planned.change
    copied = f"{len(change.disks)} of its disks are copied first" if change.disks else "no disk is copied"
    pairs = [_monthly(change.saving, change.currency)]
    if change.list_saving != change.saving:
        pairs.append(("by the price list", _money(change.list_saving, change.currency)))
    pairs += [("risk", change.risk)] if change.risk else []
    pairs += [("snapshots", copied), ("downtime", "it is stopped and started again" if change.ran else "none: it is stopped already")]
    if change.ran:
        cpu = ", CPU above 95 %" if change.cpu else ""
        pairs.append(("goes back when", f"it ends, memory above 98 %{cpu}, a health signal, or trouble of the target that stays"))
    return Pairs(tuple(pairs))


def _monthly(amount: Decimal | None, currency: str) -> tuple[str, object]:
    if amount is None or amount >= 0:
        return "saves a month", _money(amount, currency)
    return "costs more a month", _money(amount.copy_negate(), currency)


def changes(found: Sequence[Change], now: datetime) -> Document:
    """Show how changes stand, the snapshots that are kept, and how to go on."""
    items = [_item(change) for change in found]
    rows = [item | _shown(change, now) for item, change in zip(items, found, strict=True)]
    blocks: list[Block] = [Table(CHANGES, rows, empty="no machine was changed yet: mcml cost rightsize list")]
    blocks += [Status(State(change.stage, LEVELS.get(change.stage, "warn")), _said(change)) for change in found if _said(change)]
    if kept := [change for change in found if change.taken and not change.under_way]:
        size = sum(one.size_bytes for change in kept for one in change.taken)
        count = sum(len(change.taken) for change in kept)
        are = "snapshots are" if count > 1 else "snapshot is"
        said = f"{count} {are} kept, {size:,} bytes; mcml cost rightsize clean TARGET/ID deletes those of a machine"
        blocks.append(Status(State("snapshots", "idle"), said))
    return Document("CostRightsizingChanges", items, blocks)


def _item(change: Change) -> dict[str, object]:
    return {
        "name": change.key,
        "change": change.id,
        "target": change.target,
        "id": change.instance,
        "from": change.before,
        "to": change.after,
        "state": change.stage,
        "saving": change.saving,
        "list_saving": change.list_saving,
        "currency": change.currency or None,
        "risk": change.risk or None,
        "reason": change.reason or None,
        "problem": change.problem or None,
        "undoes": change.undoes or None,
        "started_at": change.started,
        "stopped_at": change.down,
        "resized_at": change.resized,
        "watched_since": change.began,
        "watch_seconds": change.watch,
        "ended_at": change.ended,
        "signals_answered": change.answered,
        "signals": change.asked,
        "restarts": change.restarts,
        "kept": change.kept or None,
        "disks": list(change.disks),
        "snapshots": [asdict(one) for one in change.taken],
    }


def _shown(change: Change, now: datetime) -> dict[str, object]:
    watched = f"{change.answered} of {change.asked} signals answered" if change.asked else ""
    if change.stage == "watch" and change.began:
        left = change.began + timedelta(seconds=change.watch) - now
        watched = f"for another {span(max(left.total_seconds(), 0))}"
    copies = f"{len(change.taken)} of {len(change.disks)}" if change.disks else ""
    level = LEVELS.get(change.stage, "warn")
    return {"is": State(change.stage, level), "types": f"{change.before} -> {change.after}", "watched": watched, "copies": copies}


def _said(change: Change) -> str:
    """Say what a table cannot; empty for what went well."""
    again = f"mcml cost rightsize apply {change.key}"
    if change.stage == "done" and change.kept:
        return f"{change.key} was kept by hand: {change.kept}; mcml cost rightsize undo {change.key} takes it back"
    if change.stage == "done":
        signals = f"watched: {change.answered} of {change.asked} signals answered" if change.asked else "it was stopped, and not watched"
        return f"{change.key}: {signals}; mcml cost rightsize undo {change.key} takes it back"
    if change.stage == "rolled back":
        return f"{change.key} is {change.before} again: {change.reason}"
    if change.stage == "stuck":
        to = f"start it as {change.after}" if change.kept else f"go back to {change.before}"
        leave = f"mcml cost rightsize keep {change.key} leaves it as it is"
        return f"{change.key} needs a person: {change.problem}; {again} tries again to {to}, {leave}"
    if change.stage == "failed":
        return f"{change.key}: {change.problem}"
    return f"{change.key}: still under way; {again} goes on"


def cleaned(key: str, deleted: Sequence[Taken]) -> Document:
    """Show which snapshots of a machine are deleted."""
    rows = [{"name": one.snapshot, "machine": key, **asdict(one)} for one in deleted]
    columns = (Column("snapshot", "Snapshot"), Column("source", "Of"), Column("size_bytes", "Size", "bytes"))
    return Document("CostRightsizingSnapshots", rows, [Table(columns, rows, empty=f"no snapshot of {key} is kept")])


def savings(found: Sequence[Realised], sums: Sequence[Total]) -> Document:
    """Show what was promised, and what the bill says came of it."""
    items = [_realised(one) for one in found]
    shown = [
        item | {"types": f"{one.change.before} -> {one.change.after}", "is": State(one.verdict, GRADES.get(one.verdict, "idle"))}
        for item, one in zip(items, found, strict=True)
    ]
    blocks: list[Block] = [Table(SAVINGS, shown, empty="no machine was changed yet: mcml cost rightsize list")]
    blocks += [Status(State("total"), _total(one)) for one in sums]
    return Document("CostRightsizingSavings", items, blocks)


def _total(one: Total) -> str:
    count = f"{one.changes} change{'s' if one.changes > 1 else ''}"
    promised = f"{count}: {_money(one.promised, one.currency)} a month promised"
    if not one.billed:
        return f"{promised}; the bill says nothing of it yet"
    which = "" if one.billed == one.changes else f", {_money(one.of_billed, one.currency)} of it by the {one.billed} that are billed"
    return f"{promised}{which}; {_money(one.per_month, one.currency)} by the bill, {_money(one.so_far, one.currency)} saved so far"


def _realised(one: Realised) -> dict[str, object]:
    change = one.change
    return {
        "name": change.key,
        "change": change.id,
        "from": change.before,
        "to": change.after,
        "done_at": change.ended,
        "promised": change.saving,
        "realised_per_month": one.per_month,
        "realised_so_far": one.so_far,
        "currency": change.currency or None,
        "rate_before": one.rate_before,
        "rate_after": one.rate_after,
        "hours_before": rounded(one.hours_before),
        "hours_after": rounded(one.hours_after),
        "billed_days": one.days,
        "billed_until": one.until,
        "verdict": one.verdict,
    }


def _money(amount: Decimal | None, currency: str) -> str:
    return "not known" if amount is None else f"{amount:,.2f} {currency}"
