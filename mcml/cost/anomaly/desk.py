"""Anomalies as they are asked for and kept: read from the ledger, told to the journal once each, and what people said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from mcml.core.clock import Clock, midnight, utc_now
from mcml.core.errors import NotFound
from mcml.core.fact import Fact
from mcml.cost.anomaly import scan
from mcml.cost.anomaly.daily import Limits
from mcml.cost.anomaly.scan import Anomaly, Feedback, Moved
from mcml.cost.why import split
from mcml.cost.why.split import Part
from mcml.store import documents, journal
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.dimensions import Filter
from mcml.store.ledger.exact import plain
from mcml.store.ledger.paid import paid

FOUND, FEEDBACK = "cost.anomaly", "cost.feedback"
"""The kinds of the documents."""
HISTORY = timedelta(days=180)
LOOKED_BACK = (timedelta(days=7), timedelta(days=14))
"""How long ago the ledger is asked what it lacked then; a ledger that is younger cannot tell."""


@dataclass(frozen=True)
class Question:
    """Which anomalies: of the scopes that `by` makes of the costs that `filters` choose, with days since `since`."""

    by: tuple[str, ...]
    since: datetime
    now: datetime
    limits: Limits
    filters: tuple[Filter, ...] = ()


def look(ledger: Ledger, store: Store, question: Question) -> list[Anomaly]:
    """Return the anomalies, newest first, also those that are silent (`feedback`). Raises Usage for an unknown dimension."""
    begin = (question.since - HISTORY).replace(day=1, hour=0, minute=0, second=0, microsecond=0)  # the same for a month of looks
    groups = ledger.totals((*question.by, *scan.ASKED), Scope(since=begin, filters=question.filters))
    found = scan.scan(question.by, groups, question.limits, feedback(store), ripe_until(ledger, question.now))
    return [each for each in found if each.finding.last >= question.since.date()]


def days_known(ledger: Ledger, question: Question) -> int:
    """Return over how many days the costs in question reach: with LEARN of them or fewer, nothing can be told of any."""
    days = sorted(scan.day_of(group) for group in ledger.totals(("day",), Scope(filters=question.filters)))
    return (days[-1] - days[0]).days + 1 if days else 0


def ripe_until(ledger: Ledger, now: datetime) -> dict[str | None, date]:
    """Return the first day that the bill of each provider usually lacks now: as late as it was both one week and two weeks ago."""
    ages: dict[str | None, int] = {}
    for back in LOOKED_BACK:
        then = now - back
        days = Scope(then - scan.RIPENING * scan.ONE_DAY, midnight(then.date()), filters=(Filter("source", "!=", ("estimate",)),))
        was, is_now = (each.totals(("provider", "day"), days) for each in (replace(ledger, as_of=then), ledger))
        for provider, age in scan.ripening(was, is_now, then.date()).items():
            ages[provider] = min(age, ages.get(provider, age))
    return {provider: now.date() - (age - 1) * scan.ONE_DAY for provider, age in ages.items()}


@dataclass(frozen=True)
class Explanation:
    """What moved between the days of an anomaly and those it is compared with: each of `moved`, and the `parts`, add up to the change.

    `moved` is by SKU, resource and team; `parts` are volume, mix, rate and so on, as `mcml cost why` has them.
    """

    moved: Mapping[str, Sequence[Moved]]
    parts: Mapping[Part, Decimal]


def explain(ledger: Ledger, anomaly: Anomaly, filters: Sequence[Filter] = ()) -> Explanation:
    """Explain an anomaly by the same weekdays before it. Billed and measured costs only, in its currency."""
    own = [Filter(name, "=", (value or "",)) for name, value in zip(anomaly.by, anomaly.key, strict=True)]
    wanted = (*filters, *own, Filter("source", "!=", ("estimate",)))
    finding = anomaly.finding
    spans = (scan.compared_with(finding), (finding.first, finding.last))
    asked = [Scope(midnight(first), midnight(last) + timedelta(days=1), filters=wanted) for first, last in spans]
    was, now = ([group for group in ledger.totals(scan.PARTS, each) if group.currency == anomaly.currency] for each in asked)
    why = split.explain(*([each for each in paid(ledger, (), scope) if each.currency == anomaly.currency] for scope in asked))
    return Explanation(scan.explain(was, now), why[0].whole.parts if why else {})


def tell(store: Store, anomalies: Sequence[Anomaly], clock: Clock = utc_now) -> list[Anomaly]:
    """Write those into the journal that it has not heard of, and return them: fact and memory are one transaction."""
    with store.writing() as connection:
        fresh = _untold(documents.every(connection, FOUND), anomalies)
        for each in fresh:
            documents.put(connection, FOUND, each.id, _content(each), clock(), after=0)
            journal.append(connection, Fact("cost.anomaly_found", "cost", _target(each), {"id": each.id, **_content(each)}, at=clock()))
    return fresh


def untold(store: Store, anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    """Return those that the journal has not heard of."""
    with store.reading() as connection:
        return _untold(documents.every(connection, FOUND), anomalies)


def mark(
    store: Store, anomaly: Anomaly, note: str = "", clock: Clock = utc_now, *, wrong: bool = False, dry_run: bool = False
) -> Feedback:
    """Remember that an anomaly was expected, or `wrong`, in place of what was said of it before."""
    content = {"verdict": "wrong" if wrong else "expected", "note": note, **_content(anomaly)}
    if dry_run:
        return _feedback(content)
    with store.writing() as connection:
        documents.put(connection, FEEDBACK, anomaly.id, content, clock())
        fact = Fact("cost.anomaly_marked", "cost", _target(anomaly), {"id": anomaly.id, **content}, at=clock())
        journal.append(connection, fact)
    return _feedback(content)


def forget(store: Store, identifier: str, clock: Clock = utc_now, *, dry_run: bool = False) -> None:
    """Take back what was said of an anomaly. Raises NotFound when nothing was."""
    with store.writing() as connection:
        if documents.get(connection, FEEDBACK, identifier) is None:
            raise NotFound(f"nothing was said of an anomaly {identifier!r}", next_step="mcml cost anomalies --all")
        if dry_run:
            return
        documents.remove(connection, FEEDBACK, identifier)
        journal.append(connection, Fact("cost.anomaly_marked", "cost", facts={"id": identifier, "verdict": ""}, at=clock()))


def pick(anomalies: Sequence[Anomaly], identifier: str) -> Anomaly:
    """Return the anomaly that a person named by its id. Raises NotFound."""
    for each in anomalies:
        if each.id == identifier.strip().lower():
            return each
    raise NotFound(
        f"no anomaly {identifier!r}", why="not with these --by, --where and --since", next_step="mcml cost anomalies --all -o name"
    )


def feedback(store: Store) -> list[Feedback]:
    """Return all that people said."""
    with store.reading() as connection:
        return [_feedback(kept.content) for kept in documents.every(connection, FEEDBACK)]


def _untold(told: Sequence[documents.Kept], anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    known = {kept.key for kept in told}
    return [each for each in anomalies if not each.feedback and each.id not in known]


def _content(anomaly: Anomaly) -> dict[str, Any]:
    finding = anomaly.finding
    return {
        "by": list(anomaly.by),
        "key": list(anomaly.key),
        "kind": finding.kind,
        "first": finding.first.isoformat(),
        "last": finding.last.isoformat(),
        "expected": plain(finding.expected),
        "actual": plain(finding.actual),
        "impact": plain(finding.impact),
        "currency": anomaly.currency,
    }


def _feedback(content: Any) -> Feedback:
    by, key = tuple(content["by"]), tuple(content["key"])
    impact = Decimal(content["impact"])
    return Feedback(content["verdict"], by, key, content["currency"], content["kind"], impact, content["note"])


def _target(anomaly: Anomaly) -> str:
    return dict(zip(anomaly.by, anomaly.key, strict=True)).get("target") or ""
