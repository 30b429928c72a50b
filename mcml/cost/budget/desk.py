"""Budgets as they are asked for and remembered: an alert is told once when it comes on and once when it goes off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mcml.core.clock import Clock, midnight, utc_now
from mcml.core.errors import NotFound, Usage, said
from mcml.core.fact import Fact
from mcml.core.schema_cost import Budget
from mcml.cost.budget.standing import ASKED, Change, Standing, by_currency, changes, period, stand
from mcml.cost.rates.convert import convert
from mcml.cost.rates.table import Rates
from mcml.store import documents, journal
from mcml.store.db import Store
from mcml.store.ledger.book import Group, Ledger, Scope
from mcml.store.ledger.dimensions import Filter, parse
from mcml.store.ledger.exact import plain

KIND = "cost.budget"
"""The kind of the documents: which alerts of a budget are on."""
HISTORY = timedelta(days=366)

Append = Callable[[Any, Fact], object]
"""How a fact gets into the journal, within the transaction that it is given: alone, or with what it does to incidents.

An alert opens one only where its budget asks for that (`incident` in its facts); that all is well ends whichever is open.
"""


@dataclass(frozen=True)
class Told:
    """How a budget stands, and what was told of it just now."""

    standing: Standing
    changes: tuple[Change, ...] = ()


def look(ledger: Ledger, store: Store, budgets: Mapping[str, Budget], now: datetime, rates: Rates | None = None) -> list[Standing]:
    """Return how each budget stands; `rates` are for those that convert. Raises Usage for a condition that cannot be read."""
    with store.reading() as connection:
        known = {kept.key: kept for kept in documents.every(connection, KIND)}
    return [_stand(ledger, name, budget, now, _on(known.get(name)), rates) for name, budget in budgets.items()]


def check(
    ledger: Ledger,
    store: Store,
    budgets: Mapping[str, Budget],
    clock: Clock = utc_now,
    append: Append = journal.append,
    rates: Rates | None = None,
    *,
    profile: str = "",
    dry_run: bool = False,
) -> list[Told]:
    """Tell the journal of every alert that came on or went off since the last check.

    Facts and memory of a budget are one transaction: whoever is killed in between, or checks at the same time, tells nothing twice and
    loses nothing. `budgets` are all that `profile` has: the alerts of any other that it had go off, for it is no more.
    """
    asked = Asked(ledger, clock, rates, profile)
    found = [_checked(asked, store, name, budget, append, dry_run=dry_run) for name, budget in budgets.items()]
    if not dry_run:
        _forget(store, [*budgets], profile, clock(), append)
    return found


@dataclass(frozen=True)
class Asked:
    """What every check asks: the ledger, the time, the rates (None: there are none), and for which profile."""

    ledger: Ledger
    clock: Clock
    rates: Rates | None
    profile: str


def _checked(asked: Asked, store: Store, name: str, budget: Budget, append: Append, *, dry_run: bool) -> Told:
    """Look and tell; when another check was faster, look again: what this one saw is older."""
    while True:
        with store.reading() as connection:
            seen = documents.get(connection, KIND, name)
        standing = _stand(asked.ledger, name, budget, asked.clock(), _on(seen), asked.rates)
        found = tuple(changes(standing, _on(seen), str(seen.content["period"]) if seen else standing.start.isoformat()))
        unclaimed = seen is not None and seen.content.get("profile") is None  # it was written before that was kept
        if dry_run or not (found or unclaimed) or _keep(store, standing, found, seen, asked, append):
            return Told(standing, found)


def _keep(
    store: Store, standing: Standing, found: Sequence[Change], seen: documents.Kept | None, asked: Asked, append: Append
) -> bool:
    """Keep which alerts are on, and tell of the changes; False when it is no longer as it was seen."""
    start, at = standing.start.isoformat(), asked.clock()
    held = _on(seen) if standing.unconverted and seen and seen.content["period"] == start else {}
    content = {"on": {**held, **{alert.name: alert.text for alert in standing.alerts}}, "period": start, "profile": asked.profile}
    with store.writing() as connection:
        kept = documents.get(connection, KIND, standing.name)
        if (kept.revision if kept else 0) != (seen.revision if seen else 0):
            return False
        documents.put(connection, KIND, standing.name, content, at, after=kept.revision if kept else 0)
        for change in found:
            append(connection, _fact(standing, change, at))
    return True


def _forget(store: Store, names: Sequence[str], profile: str, at: datetime, append: Append) -> None:
    """Tell that the alerts of budgets that are no more went off: nobody else would, and their incidents would stay open."""
    with store.reading() as connection:
        if not _no_more(connection, names, profile):
            return
    with store.writing() as connection:
        for kept in _no_more(connection, names, profile):
            left = sorted(_on(kept))
            while left:
                about = {"budget": kept.key, "alert": left.pop(0), "text": "the budget is no more", "period": kept.content["period"]}
                append(connection, Fact("cost.budget_recovered", "cost", facts={**about, "on": list(left)}, at=at))
            documents.remove(connection, KIND, kept.key)


def _no_more(connection: Any, names: Sequence[str], profile: str) -> list[documents.Kept]:
    every = documents.every(connection, KIND)
    return [kept for kept in every if kept.key not in names and kept.content.get("profile") == profile]


def _on(kept: documents.Kept | None) -> Mapping[str, str]:
    return kept.content["on"] if kept else {}


def _stand(ledger: Ledger, name: str, budget: Budget, now: datetime, on: Mapping[str, str], rates: Rates | None) -> Standing:
    today = now.astimezone(UTC).date()
    start, end = period(budget, today)
    filters = _filters(name, budget)
    groups: Sequence[Group] = ledger.totals(ASKED, Scope(midnight(start) - HISTORY, midnight(end), filters=filters))
    if not (budget.convert and any(group.currency != budget.currency for group in groups)):
        return stand(name, budget, (start, end), today, groups, on)
    converted, refused = _converted(groups, budget.currency, rates, start)
    found = stand(name, budget, (start, end), today, converted, on)
    before = by_currency(group for group in groups if str(group.key[ASKED.index("day")]) >= start.isoformat())
    counted = {currency: amount for currency, amount in before.items() if currency not in found.other}
    return replace(found, unconverted=refused, converted_from=counted if counted.keys() - {budget.currency} else {})


def _filters(name: str, budget: Budget) -> tuple[Filter, ...]:
    try:
        return tuple(parse(text) for text in budget.where)
    except Usage as wrong:
        raise Usage(f"the budget {name}: {wrong.message}", why=wrong.why, next_step=wrong.next_step) from wrong


def _converted(groups: Sequence[Group], currency: str, rates: Rates | None, start: date) -> tuple[Sequence[Group], str]:
    """Return the costs in the budget's currency, and why some are as they were.

    Where rates are missing for the past alone, that is left out. A currency without rates keeps no other from being converted.
    """
    if rates is None:
        return groups, "there are no exchange rates that can be read: [cost.rates] in mcml.toml"
    place, found, refused = ASKED.index("day"), list[Group](), ""
    for each in sorted({group.currency for group in groups}):
        mine = [group for group in groups if group.currency == each]
        recent = [group for group in mine if str(group.key[place]) >= start.isoformat()]
        for some in (mine, recent):
            try:
                found += convert(some, ASKED, rates, currency).groups
                break
            except NotFound as missing:
                why = said(missing)
        else:
            found, refused = found + mine, refused or why
    return found, refused


def _fact(standing: Standing, change: Change, at: datetime) -> Fact:
    facts = {
        "budget": standing.name,
        "alert": change.name,
        "text": change.text,
        "period": standing.start.isoformat(),
        "amount": plain(standing.amount),
        "spent": plain(standing.spent),
        "forecast": None if standing.forecast is None else plain(standing.forecast),
        "currency": standing.budget.currency,
        "over": standing.level == "over",
        "on": [alert.name for alert in standing.alerts],
        "incident": standing.budget.incident,
    }
    return Fact("cost.budget_alerted" if change.on else "cost.budget_recovered", "cost", facts=facts, at=at)
