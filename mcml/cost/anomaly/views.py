"""What anomalies look like."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mcml.core.view import Block, Column, Document, Level, Section, State, Status, Table
from mcml.cost.anomaly.daily import LEARN, Finding
from mcml.cost.anomaly.desk import Explanation
from mcml.cost.anomaly.scan import Anomaly, Feedback, Moved, compared_with
from mcml.cost.views import conditions, within
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.dimensions import Filter
from mcml.store.ledger.exact import tidy

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


def anomalies(found: Sequence[tuple[Anomaly, Explanation]], silent: int = 0, more: int = 0, known: int | None = None) -> Document:
    """Show anomalies, one table a currency, newest first; the whole explanation is in the JSON.

    `known`: over how many days the costs reach, where it may be too few to tell.
    """
    items = [_item(anomaly, explanation) for anomaly, explanation in found]
    blocks: list[Block] = []
    for currency in sorted({anomaly.currency for anomaly, _ in found}):
        rows = [_shown(item, explanation) for item, (_, explanation) in zip(items, found, strict=True) if item["currency"] == currency]
        blocks.append(Section(f"Anomalies in {currency}", (Table(COLUMNS, rows),)))
    if not items and known is not None and known <= LEARN:
        blocks.append(Status(State("not told", "idle"), too_short(known)))
    elif not items:
        blocks.append(Table(COLUMNS, [], empty="nothing unusual"))
    if more:
        blocks.append(Status(State("more", "idle"), f"{more} older ones: give a higher --limit"))
    if silent:
        blocks.append(Status(State("silent", "idle"), f"{silent} more that somebody expects: mcml cost anomalies --all"))
    return Document("AnomalyList", items, tuple(blocks))


def of_bills(document: Document) -> Document:
    """Say that estimates are no part of the numbers, in a document that says what its costs are made of."""
    made_of: Any = document.metadata.get("sources", ())
    left_out = [row["source"] for row in made_of if row["source"] == ESTIMATE]
    said = [Status(State("left out", "idle"), "estimates are no part of the numbers of anomalies")] if left_out else []
    return replace(document, blocks=(*document.blocks, *said), metadata={**document.metadata, "without_sources": [ESTIMATE]})


def too_short(known: int) -> str:
    """Say that so many days are too little history."""
    return f"{known} day{'' if known == 1 else 's'} of history, more than {LEARN} are needed to tell what is unusual"


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
        "expected": tidy(finding.expected),
        "expected_low": tidy(finding.low),
        "expected_high": tidy(finding.high),
        "actual": tidy(finding.actual),
        "impact": tidy(finding.impact),
        "state": State(anomaly.state, _STATES.get(anomaly.state, "warn")),
        "note": anomaly.feedback.note if anomaly.feedback else "",
        "compared_with": [day.isoformat() for day in before],
        "moved": {part: [_moved(each) for each in several] for part, several in explanation.moved.items()},
        "parts": {part: tidy(amount) for part, amount in explanation.parts.items()},
        "where": within([*conditions(anomaly.by, anomaly.key), *_rows_of(finding)], anomaly.currency),
    }


def _rows_of(finding: Finding) -> list[str]:
    """Return what chooses the rows of its days; estimates are no costs yet."""
    days = (finding.first + timedelta(days=number) for number in range((finding.last - finding.first).days + 1))
    return [str(Filter("day", "=", tuple(map(str, days)))), str(Filter("source", "!=", ("estimate",)))]


def _moved(each: Moved) -> dict[str, object]:
    amounts = {"before": tidy(each.before), "after": tidy(each.after), "delta": tidy(each.delta)}
    return {"name": each.name, **amounts, "others": each.others}


def _shown(item: Mapping[str, object], explanation: Explanation) -> dict[str, object]:
    return {**item, "range": f"{item['expected_low']} to {item['expected_high']}", "because": because(explanation)}


def because(explanation: Explanation) -> str:
    """Name the largest part of the finest split that has names (the resource, else the SKU, else the team), and its kind of change."""
    parts = {part: amount.copy_abs() for part, amount in explanation.parts.items() if part != "no_quantity"}
    largest = max(parts, key=lambda part: parts[part], default="")
    moved = ((part, each.name) for part in ("resource", "sku", "team") for each in explanation.moved.get(part, ())[:1])
    names = (f"{part} {name}" for part, name in moved if name is not None)
    return ", ".join(word for word in (next(names, ""), largest.replace("_", " ")) if word)
