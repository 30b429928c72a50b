"""What the right-sizing of models looks like: a line for each model and target, and the lines that go into mcml.toml."""

import json
from collections.abc import Sequence
from decimal import Decimal

from mcml.core.schema_cost import Rightsizing
from mcml.core.view import Block, Column, Document, Level, Section, State, Status, Table, Text
from mcml.cost.rightsize.model import GIB, Advice, highest, used_cpu
from mcml.cost.rightsize.values import Action, Step

COLUMNS = (
    Column("name", "Model"),
    Column("action", "Action", "state"),
    Column("vcpus", "vCPU", "number"),
    Column("used_vcpus", "used", "number"),
    Column("proposed_vcpus", "better", "number"),
    Column("memory_gib", "GiB", "number"),
    Column("highest_memory_gib", "used", "number"),
    Column("proposed_memory_gib", "better", "number"),
    Column("saving_per_month", "Saves a month", "money"),
    Column("currency", "Currency"),
)
LEVELS: dict[Action, Level] = {"shrink": "warn", "grow": "bad", "change": "warn", "keep": "ok", "unknown": "idle"}


def models(advices: Sequence[Advice], rules: Rightsizing) -> Document:
    """Show what each model has, uses and should be given. Used is the percentile of the rules; all numbers are of one replica."""
    items = [_item(advice, rules) for advice in advices]
    rows = [item | {"action": State(advice.action, LEVELS[advice.action])} for item, advice in zip(items, advices, strict=True)]
    blocks: list[Block] = [Table(COLUMNS, rows, empty="no model of mcml.toml runs on a target")]
    for advice in advices:
        other = [f"{advice.running.size.machine} to {advice.machine}"] if advice.machine else []
        said = [*other, *(reason.said for reason in advice.reasons), *([f"no saving is said: {advice.unsaid}"] if advice.unsaid else [])]
        blocks.append(Status(State(advice.action, LEVELS[advice.action]), f"{advice.running.key}: {'; '.join(said)}"))
    changed = [advice for advice in advices if advice.changes]
    if changed:
        blocks.append(_how(changed))
    return Document("ModelSizes", items, blocks)


def _how(changed: Sequence[Advice]) -> Section:
    names = dict.fromkeys(advice.running.model for advice in changed)
    snippet = "\n\n".join(toml(advice) for advice in changed)
    then = " && ".join(f"mcml deploy model {name}" for name in names)
    return Section("In mcml.toml, in place of these tables", (Text(snippet, verbatim=True), Text(f"then: {then}")))


def toml(advice: Advice) -> str:
    """Return the table of mcml.toml that says what is proposed."""
    lines = [f"[models.{advice.running.model}.resources.{advice.running.target}]"]
    return "\n".join([*lines, *(f"{word} = {json.dumps(value, ensure_ascii=False)}" for word, value in advice.resources.items())])


def _item(advice: Advice, rules: Rightsizing) -> dict[str, object]:
    running, use = advice.running, advice.use
    return {
        "name": running.key,
        "model": running.model,
        "target": running.target,
        "provider": running.provider,
        "region": running.region or None,
        "version": running.version or None,
        "action": advice.action,
        "replicas": running.size.replicas if running.version else None,
        "machine": running.size.machine or None,
        "proposed_machine": advice.machine or None,
        "vcpus": running.size.vcpus,
        "used_vcpus": _measured(used_cpu(use, rules)) if use and use.cpu else None,
        "highest_vcpus": _gib(use.cpu if use else (), 1),
        "proposed_vcpus": advice.vcpus,
        "memory_gib": running.size.memory_gib,
        "highest_memory_gib": _gib(use.memory if use else (), GIB),
        "proposed_memory_gib": advice.memory_gib,
        "measured_since": use.start if use and use.cpu else None,
        "coverage_percent": _measured(use.coverage) if use and use.cpu else None,
        "saving_per_month": advice.saving,
        "currency": advice.currency or None,
        "why_no_saving": advice.unsaid or None,
        "reasons": [{"code": reason.code, "said": reason.said} for reason in advice.reasons],
        "resources": advice.resources if advice.changes else None,
        "toml": toml(advice) if advice.changes else None,
        "next": f"mcml deploy model {running.model} --target {running.target}" if advice.changes else None,
    }


def _gib(steps: Sequence[Step], unit: int) -> Decimal | None:
    most = highest(steps)
    return None if most is None else _measured(most / unit)


def _measured(value: float) -> Decimal:
    """Return a measured number with three decimals: it is no more precise than that."""
    return Decimal(str(round(value, 3)))
