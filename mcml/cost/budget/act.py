"""The actions of budgets as they are kept: begun, announced, lifted and ended, each written down once and told the journal with its undo.

What is remembered, what is refused and what the journal says of it change together, in one transaction. Machines are stopped afterwards,
each by its own written step: who is killed in between has an action that holds, and the next run stops what still idles.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mcml.core.clock import midnight
from mcml.core.fact import Fact
from mcml.core.plan import Plan
from mcml.cost.budget.actions import KIND, Memory, State, Turn, orphans, turns
from mcml.cost.budget.standing import Standing
from mcml.cost.budget.stop import by, undo
from mcml.cost.schedule.run import remembered as stopped
from mcml.store import documents, journal, refusals
from mcml.store.db import Store
from mcml.store.ledger.exact import plain

STOP, REFUSE = "stop-idle", "refuse-gpu-deploys"
WRITTEN: Mapping[str, State] = {"begin": "on", "announce": "announced"}
"""The moves after which an action is remembered otherwise."""
TOLD: Mapping[str, str] = {"begin": "cost.budget_acted", "announce": "cost.budget_would_act", "end": "cost.budget_action_ended"}
"""The kinds of facts, by move; no other move is told."""


@dataclass(frozen=True)
class Due:
    """What becomes of an action of a budget that stands like this (None: the budget is no more), and the machines it means, if any."""

    turn: Turn
    standing: Standing | None = None
    machines: Plan = field(default_factory=lambda: Plan("cost"))


def remembered(store: Store) -> list[Memory]:
    """Return what is kept of actions."""
    with store.reading() as connection:
        return [Memory.of(kept.key, kept.content) for kept in documents.every(connection, KIND)]


def off(store: Store) -> Counter[str]:
    """Return how many machines and groups are off because of each budget, by its name."""
    return Counter(one.by.partition(":")[2] for one in stopped(store)[0].values() if one.by and not one.back)


def due(
    store: Store, standings: Sequence[Standing], budgets: Mapping[str, object], acting: Iterable[str], profile: str = ""
) -> list[Due]:
    """Return what becomes of the actions of these budgets, and the end of those whose budget is none of all the `budgets` of a profile now.

    `acting` are the names of the budgets whose actions are carried out.
    """
    known, named = remembered(store), frozenset(acting)
    found = [Due(turn, standing) for standing in standings for turn in turns(standing, known, act=standing.name in named)]
    return found + [Due(turn) for turn in orphans(known, budgets, profile)]


def settle(store: Store, found: Iterable[Due], now: datetime, profile: str = "") -> list[Due]:
    """Write down what becomes of actions; return those of which it was still true, as somebody else may have been faster."""
    settled = []
    with store.writing() as connection:
        for each in sorted(found, key=lambda one: one.turn.move != "end"):  # of two that refuse, the one that holds has the last word
            kept = documents.get(connection, KIND, each.turn.key)
            if (Memory.of(kept.key, kept.content) if kept else None) == each.turn.before:
                _write(connection, each, now, profile)
                settled.append(each)
    return settled


def lift(store: Store, budget: str, now: datetime, only: str = "") -> list[str]:
    """Lift a budget's actions (`only` one kind of them) until its period ends or its amount is changed; return the keys of what held."""
    lifted = []
    with store.writing() as connection:
        for kept in documents.every(connection, KIND):
            memory = Memory.of(kept.key, kept.content)
            turn = Turn(memory.key, "lifted", "")
            if turn.budget == budget and only in ("", turn.do) and memory.state != "lifted":
                documents.put(connection, KIND, memory.key, {**memory.document(), "state": "lifted"}, now)
                lifted.append(memory.key)
        if only in ("", REFUSE):
            refusals.remove(connection, refusals.GPU_DEPLOYS, by(budget))
        if lifted:
            journal.append(connection, Fact("cost.budget_lifted", "cost", facts={"budget": budget, "actions": lifted}, at=now))
    return lifted


def _write(connection: Any, each: Due, now: datetime, profile: str) -> None:
    turn, standing = each.turn, each.standing
    if turn.before and turn.before.profile is None:  # it was written before that was kept
        documents.put(connection, KIND, turn.key, replace(turn.before, profile=profile).document(), now)
    if turn.move in WRITTEN and standing:
        memory = Memory(turn.key, standing.start.isoformat(), plain(standing.amount), WRITTEN[turn.move], now, turn.text, profile)
        documents.put(connection, KIND, turn.key, memory.document(), now)
    if turn.move in ("end", "forget"):
        documents.remove(connection, KIND, turn.key)
    if turn.do == REFUSE and turn.move in ("begin", "hold") and standing:
        began = turn.before.since if turn.before and turn.move == "hold" else now
        refusals.put(connection, _refusal(turn, standing, began))
    if turn.do == REFUSE and turn.move == "end":
        refusals.remove(connection, refusals.GPU_DEPLOYS, by(turn.budget))
    if turn.move in TOLD:
        journal.append(connection, Fact(TOLD[turn.move], "cost", facts=_facts(each), at=now))


def _refusal(turn: Turn, standing: Standing, began: datetime) -> refusals.Refusal:
    lifted_by = f"mcml cost budgets lift {turn.budget}"
    where = standing.budget.where
    until = midnight(standing.end)
    return refusals.Refusal(refusals.GPU_DEPLOYS, by(turn.budget), turn.text, lifted_by, began, until, where)


def _facts(each: Due) -> dict[str, object]:
    turn, standing = each.turn, each.standing
    facts: dict[str, object] = {"budget": turn.budget, "action": turn.do, "key": turn.key, "text": turn.text}
    if standing and turn.move != "end":
        facts |= {"period": standing.start.isoformat(), "amount": plain(standing.amount), "spent": plain(standing.spent)}
        facts |= {"currency": standing.budget.currency, "undo": undo(turn.budget)}
    if turn.do == STOP and turn.move != "end":
        facts["machines"] = [f"{step.target}/{step.name}" for step in each.machines.changes]
    return facts
