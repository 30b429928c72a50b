"""What recommendations look like: values of this folder in, documents out."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from mcml.core.errors import McmlError, said
from mcml.core.schema_cost import Rightsizing
from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.core.when import span
from mcml.cost.rightsize.fit import BITS, fits
from mcml.cost.rightsize.judge import needs
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.reasons import NAMES, number
from mcml.cost.rightsize.saving import HOURS, Rate
from mcml.cost.rightsize.values import Action, Fit, Need, Recommendation, Step, Subject, Usage
from mcml.providers.api.instances import MachinePrice
from mcml.providers.api.metrics import MACHINE_METRICS
from mcml.store.ledger.exact import plain, tidy, total

EMPTY: Mapping[str, McmlError] = MappingProxyType({})
NOTHING = "no such machine on the targets of mcml.toml"
POINTS = 24
"""How many points a sparkline of a span has."""
LEVELS: Mapping[Action, Level] = {"shrink": "warn", "change": "warn", "grow": "bad", "keep": "ok", "unknown": "idle"}
ORDER: tuple[Action, ...] = ("grow", "shrink", "change", "keep", "unknown")
LISTED = (
    Column("name", "Machine"),
    Column("does", "Action", "state"),
    Column("types", "Type"),
    Column("risk", "Risk"),
    Column("saving", "Saves a month", "money"),
    Column("currency", "In"),
    Column("why", "Why"),
)
MEASURED = (
    Column("measure", "Measure"),
    Column("unit", "In"),
    Column("has", "Has", "number"),
    Column("used", "P{percentile:g}", "number"),
    Column("highest", "Highest", "number"),
    Column("needed", "Needed", "number"),
    Column("known_percent", "Known", "percent"),
    Column("history", "Highest over time", "spark"),
)
FITS = (
    Column("measure", "Measure"),
    Column("unit", "In"),
    Column("needed", "Needed", "number"),
    Column("highest", "Highest", "number"),
    Column("has", "Has", "number"),
    Column("fits", "Fits", "state"),
)


def listed(found: Sequence[Recommendation], failed: Mapping[str, McmlError] = EMPTY) -> Document:
    """Show a line a machine: what grows, then what saves most of each currency; what it amounts to, and why of others nothing is known."""
    ordered = sorted(found, key=lambda one: (ORDER.index(one.action), one.currency, -(one.saving or Decimal(0)), one.key))
    items = [item(one) for one in ordered]
    rows = [row | _shown(one) for row, one in zip(items, ordered, strict=True)]
    blocks: list[Block] = [Table(LISTED, rows, empty=NOTHING)]
    blocks += [*_sums(ordered), *_unknown(ordered)]
    blocks += [Status(State("missing", "bad"), f"{target}: {said(error)}") for target, error in failed.items()]
    return Document("CostRightsizing", items, blocks)


def item(one: Recommendation) -> dict[str, object]:
    """Return what scripts see of a recommendation."""
    instance, first = one.subject.instance, one.reasons[0] if one.reasons else None
    return {
        "name": one.key,
        "target": one.subject.target,
        "provider": one.subject.provider,
        "region": one.subject.region or None,
        "id": instance.id,
        "action": one.action,
        "machine": instance.machine,
        "proposed": one.proposed.machine if one.proposed else None,
        "architecture": one.architecture or None,
        "risk": one.risk,
        "saving": one.saving,
        "list_saving": one.list_saving,
        "currency": one.currency or None,
        "reason": first.said if first else None,
        "reasons": [{"code": reason.code, "said": reason.said} for reason in one.reasons],
    }


def _shown(one: Recommendation) -> dict[str, object]:
    """Return what people see of a recommendation: its first reason without the numbers behind it."""
    why = one.reasons[0].said.partition(" (")[0] if one.reasons else ""
    return {"does": _state(one), "types": _types(one), "why": why, "currency": one.currency if one.proposed else ""}


def _state(one: Recommendation) -> State:
    return State(one.action, LEVELS[one.action])


def _types(one: Recommendation) -> str:
    machine = one.subject.instance.machine
    return f"{machine} -> {one.proposed.machine}" if one.proposed else machine


def _sums(found: Sequence[Recommendation]) -> list[Status]:
    """Say what all changes of a currency save, and what those that grow cost; amounts that are not known are counted."""
    lines = []
    for currency in sorted({one.currency for one in found if one.proposed}):
        mine = [one for one in found if one.proposed and one.currency == currency]
        saves, costs = ([one for one in mine if (one.action == "grow") is grows] for grows in (False, True))
        parts = [f"{len(saves)} to change save {_amount(saves)} {currency} a month"] if saves else []
        parts += [f"{len(costs)} to grow cost {_amount(costs, -1)} {currency} a month"] if costs else []
        untold = sum(one.saving is None for one in mine)
        parts += [f"of {untold} the saving is not known"] if untold else []
        lines.append(Status(State("sizes", "warn" if saves or costs else "ok"), "; ".join(parts)))
    if found and not lines:
        lines.append(Status(State("sizes", "ok"), "no machine should change"))
    return lines


def _amount(several: Sequence[Recommendation], sign: int = 1) -> str:
    whole = total(one.saving for one in several if one.saving is not None)
    return f"{whole if sign > 0 else whole.copy_negate():,.2f}"


def _unknown(found: Sequence[Recommendation]) -> list[Status]:
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.action == "unknown" and one.reasons:
            reasons.setdefault(one.reasons[0].code, []).append(one.key)
    return [Status(State("unknown", "idle"), f"{len(keys)} {code}: {', '.join(keys)}") for code, keys in sorted(reasons.items())]


def explained(seen: Seen, settings: Rightsizing) -> Document:
    """Show all that a recommendation was made from."""
    one, usage = seen.recommendation, seen.usage
    measured = _measured(one.subject, usage, settings) if usage and usage.measured else []
    data = {
        **item(one),
        "resized": one.subject.resized,
        "since": usage.start if usage else None,
        "until": usage.end if usage else None,
        "step_seconds": usage.step.total_seconds() if usage else None,
        "usage": [{key: value for key, value in row.items() if key != "history"} for row in measured],
        "fits": [_fit(fit) for fit in one.fits],
        "rejected": dict(one.rejected),
        "rate": _rate(seen.rate),
        "types": [_type(type) for type in (one.subject.type, one.proposed) if type],
        "queries": _queries(one.subject, usage) if usage else [],
    }
    return Document("CostRightsizingOfMachine", [data], _blocks(seen, settings, measured))


def _blocks(seen: Seen, settings: Rightsizing, measured: Sequence[Mapping[str, object]]) -> list[Block]:
    one, usage = seen.recommendation, seen.usage
    blocks: list[Block] = [Status(_state(one), f"{one.key}: {_types(one)}"), _about(seen)]
    if measured:
        columns = [Column(column.key, column.title.format(percentile=settings.percentile), column.kind) for column in MEASURED]
        blocks.append(Section("What it did", (Table(columns, [_numbers(row) for row in measured]),)))
    blocks.append(Section("Why", [Status(State(reason.code, "idle"), reason.said) for reason in one.reasons]))
    if one.fits:
        rows = [_numbers(_fit(fit)) | {"fits": State("yes" if fit.fits else "no", "ok" if fit.fits else "bad")} for fit in one.fits]
        blocks.append(Section(f"How it fits {(one.proposed or one.subject.type).machine}", (Table(FITS, rows),)))
    if one.rejected:
        blocks.append(Section("Cheaper types that do not fit", (Pairs(tuple(one.rejected.items())),)))
    if one.proposed:
        blocks.append(Section("What it saves", (Text(_computed(one, seen.rate), verbatim=True),)))
    if usage:
        blocks.append(Section("Where the numbers are from", (Text("\n".join(_queries(one.subject, usage)), verbatim=True),)))
    return blocks


def _about(seen: Seen) -> Pairs:
    subject, usage = seen.recommendation.subject, seen.usage
    pairs: list[tuple[str, object]] = [("state", subject.instance.state), ("has", _size(subject.type))]
    if seen.recommendation.proposed:
        pairs.append(("would have", _size(seen.recommendation.proposed)))
    if subject.resized:
        pairs.append(("resized, or started, at", subject.resized))
    if usage and usage.steps > 0:
        length = span((usage.end - usage.start).total_seconds())
        pairs += [("measured since", usage.start), ("for", f"{length} in steps of {span(usage.step.total_seconds())}")]
    return Pairs(tuple(pairs))


def _size(type: MachinePrice) -> str:
    if type.vcpus <= 0:
        return f"{type.machine}: not known"
    gpus = f", {plain(type.gpus)} x {type.gpu or 'GPU'}" if type.gpus else ""
    price = f"{plain(type.on_demand)} {type.currency} an hour" if type.on_demand is not None else "no price on demand"
    burstable = ", burstable" if type.burstable else ""
    named = f" {type.architecture}" if type.architecture else ""
    return f"{plain(type.vcpus)} vCPU{named}, {plain(type.memory_gib)} GiB{gpus}{burstable}; {price}"


def _type(type: MachinePrice) -> dict[str, object]:
    return {
        "machine": type.machine,
        "vcpus": type.vcpus,
        "memory_gib": type.memory_gib,
        "gpus": type.gpus,
        "gpu": type.gpu or None,
        "gpu_memory_gib": type.gpu_memory_gib,
        "network_gbps": type.network_gbps,
        "architecture": type.architecture or None,
        "burstable": type.burstable,
        "on_demand": type.on_demand,
        "currency": type.currency or None,
        "as_of": type.as_of,
    }


def _measured(subject: Subject, usage: Usage, settings: Rightsizing) -> list[dict[str, object]]:
    """Return a row for each measure: of a type's in its unit, of the disk in shares; one that is not known has no numbers."""
    known = needs(usage, settings)
    certificate = {fit.measure: fit for fit in fits(subject.type, known, subject.type)}
    rows = []
    for measure in MACHINE_METRICS:
        steps, fit = usage.measured.get(measure, ()), certificate.get(measure)
        if fit is None and measure in known:
            fit = _untyped(known[measure])
        if fit is not None:
            rows.append(_row(fit, steps, usage))
    return rows


def _untyped(need: Need) -> Fit:
    """Return what is needed of something that the type does not say it has: a share of the disk, bandwidth."""
    whole, unit, has = (BITS, "Gbit/s", None) if need.measure == "machine.network" else (1.0, "share", 1.0)
    return Fit(need.measure, need.needed * whole, need.highest * whole, has, unit, need.used * whole)


def _row(fit: Fit, steps: Sequence[Step], usage: Usage) -> dict[str, object]:
    used, highest, needed = (fit.used, fit.highest, fit.needed) if fit.measured else (None, None, None)
    return {
        "measure": NAMES[fit.measure],
        "unit": fit.unit,
        "has": fit.has,
        "used": used,
        "highest": highest,
        "needed": needed,
        "known_percent": round(100 * len(steps) / max(usage.steps, 1), 1),
        "history": _spark(steps, usage),
    }


def _spark(steps: Sequence[Step], usage: Usage) -> list[float | None]:
    """Return the highest sample in each of POINTS equal parts of the span, None where nothing was measured."""
    found: list[float | None] = [None] * POINTS
    length = usage.end - usage.start
    for step in steps:
        place = min(int((step.at - usage.start) / length * POINTS), POINTS - 1)
        found[place] = max(step.highest, found[place] or 0.0)
    return found


def _fit(fit: Fit) -> dict[str, object]:
    return {
        "measure": NAMES[fit.measure],
        "unit": fit.unit,
        "needed": fit.needed,
        "highest": fit.highest,
        "has": fit.has,
        "measured": fit.measured,
        "fits": fit.fits,
    }


def _numbers(row: Mapping[str, object]) -> dict[str, object]:
    """Write the numbers of a row for people, and none as a dash."""
    return {
        key: number(value) if isinstance(value, float) and key != "known_percent" else "-" if value is None else value
        for key, value in row.items()
    }


def _rate(rate: Rate) -> dict[str, object]:
    source = "bill" if rate.until else "list"
    return {"source": source, "covered": rate.covered, "paid": rate.paid, "until": rate.until, "why": rate.why or None}


def _computed(one: Recommendation, rate: Rate) -> str:
    """Write the saving as it was computed."""
    before, after = one.subject.type, one.proposed
    if after is None or before.on_demand is None or after.on_demand is None or one.list_saving is None or one.saving is None:
        return "not known: see why"
    hourly = f"({plain(before.on_demand)} - {plain(after.on_demand)})"
    lines = [
        f"by the price list  {hourly} x {HOURS} h = {plain(one.list_saving)} {one.currency} a month",
        f"prices of          {min(before.as_of, after.as_of):%Y-%m-%d}",
    ]
    if rate.until is None:
        return "\n".join([*lines, f"effective          the same: {rate.why}"])
    covered = f" x (1 - {plain(round(rate.covered, 6))} covered by commitments)" if one.list_saving > 0 else ""
    effective = f"x {plain(round(rate.paid, 6))} of the list price paid{covered} = {plain(tidy(one.saving))} {one.currency} a month"
    return "\n".join([*lines, f"effective          {effective}", f"bill until         {rate.until:%Y-%m-%d %H:%M} UTC"])


def _queries(subject: Subject, usage: Usage) -> list[str]:
    """Return what the metrics were asked, and how to see the rows of the bill."""
    name, step = subject.instance.id, span(usage.step.total_seconds())
    asked = [f'{measure}{{instance="{name}"}} average, maximum' for measure in usage.measured]
    when = f"{usage.start:%Y-%m-%dT%H:%M:%SZ} to {usage.end:%Y-%m-%dT%H:%M:%SZ} by {step}"
    return [*(f"{one}, {when}" for one in asked), f"mcml cost report --where 'resource~*{name.rpartition('/')[2]}' --since 30d --rows"]
