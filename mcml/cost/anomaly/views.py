"""What anomalies look like."""

from collections.abc import Mapping, Sequence

from mcml.core.view import Block, Column, Document, Level, Section, State, Status, Table
from mcml.cost.anomaly.desk import Explanation
from mcml.cost.anomaly.scan import Anomaly, Feedback, Moved, compared_with

COLUMNS = (
    Column("name", "Id"),
    Column("first_day", "Day"),
    Column("scope", "Scope"),
    Column("kind", "What"),
    Column("range", "Usual"),
    Column("actual", "Actual", "money"),
    Column("impact", "Impact", "money"),
    Column("because", "Most of it"),
    Column("state", "State", "state"),
)
_STATES: Mapping[str, Level] = {"open": "bad", "growing": "bad", "new level": "warn", "expected": "idle", "over": "idle"}


def anomalies(found: Sequence[tuple[Anomaly, Explanation]], silent: int = 0, more: int = 0) -> Document:
    """Show anomalies, one table a currency, newest first; the whole explanation is in the JSON."""
    items = [_item(anomaly, explanation) for anomaly, explanation in found]
    blocks: list[Block] = []
    for currency in sorted({anomaly.currency for anomaly, _ in found}):
        rows = [_shown(item, explanation) for item, (_, explanation) in zip(items, found, strict=True) if item["currency"] == currency]
        blocks.append(Section(f"Anomalies in {currency}", (Table(COLUMNS, rows),)))
    if not items:
        blocks.append(Table(COLUMNS, [], empty="nothing unusual"))
    if more:
        blocks.append(Status(State("more", "idle"), f"{more} older ones: give a higher --limit"))
    if silent:
        blocks.append(Status(State("silent", "idle"), f"{silent} more that somebody expects: mcml cost anomalies --all"))
    return Document("AnomalyList", items, tuple(blocks))


def marked(anomaly: Anomaly, said: Feedback) -> Document:
    """Show what will be remembered of an anomaly."""
    item = {**_item(anomaly, Explanation({}, {})), "verdict": said.verdict, "note": said.note}
    means = "it and its like are silent from now on" if said.verdict == "expected" else "only what is larger is told of this scope"
    return Document("AnomalyFeedback", [item], (Status(State(said.verdict, "idle"), f"{anomaly.id} {anomaly.name}: {means}"),))


def _item(anomaly: Anomaly, explanation: Explanation) -> dict[str, object]:
    finding = anomaly.finding
    before = compared_with(finding)
    return {
        "name": anomaly.id,
        "scope": anomaly.name,
        **dict(zip(anomaly.by, anomaly.key, strict=True)),
        "kind": finding.kind,
        "first_day": finding.first.isoformat(),
        "last_day": finding.last.isoformat(),
        "currency": anomaly.currency,
        "expected": finding.expected,
        "expected_low": finding.low,
        "expected_high": finding.high,
        "actual": finding.actual,
        "impact": finding.impact,
        "state": State(anomaly.state, _STATES.get(anomaly.state, "warn")),
        "note": anomaly.feedback.note if anomaly.feedback else "",
        "compared_with": [day.isoformat() for day in before],
        "moved": {part: [_moved(each) for each in several] for part, several in explanation.moved.items()},
        "parts": dict(explanation.parts),
    }


def _moved(each: Moved) -> dict[str, object]:
    return {"name": each.name, "before": each.before, "after": each.after, "delta": each.delta, "others": each.others}


def _shown(item: Mapping[str, object], explanation: Explanation) -> dict[str, object]:
    return {**item, "range": f"{item['expected_low']} to {item['expected_high']}", "because": because(explanation)}


def because(explanation: Explanation) -> str:
    """Name the largest part of the finest split that has names (the resource, else the SKU, else the team), and its kind of change."""
    parts = {part: amount.copy_abs() for part, amount in explanation.parts.items() if part != "no_quantity"}
    largest = max(parts, key=lambda part: parts[part], default="")
    moved = ((part, each.name) for part in ("resource", "sku", "team") for each in explanation.moved.get(part, ())[:1])
    names = (f"{part} {name}" for part, name in moved if name is not None)
    return ", ".join(word for word in (next(names, ""), largest.replace("_", " ")) if word)
