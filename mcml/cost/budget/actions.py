"""What a budget does when too much of it is spent: which actions are due, and how each goes on from what was before. Pure.

An action is due while its share of the amount is spent, in this period. It begins once, holds while it is due, and ends when it is not any
more: a new period, a larger amount, a bill that was restated. A run that was missed is made good by the next. What somebody lifted stays
lifted for the rest of the period, unless the amount is changed. What a budget does not act on, it announces once in its stead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.schema_cost import BudgetAction
from mcml.cost.budget.standing import Standing
from mcml.store.ledger.exact import percent, plain

KIND = "cost.budget-action"
"""The kind of the documents: how far an action is, by budget, action and share."""

State = Literal["announced", "on", "lifted"]
Move = Literal["begin", "hold", "announce", "announced", "lifted", "end", "forget"]


@dataclass(frozen=True)
class Memory:
    """What is kept of an action: in which period and at which amount it was announced, begun or lifted, when, what was said then, and which
    profile of mcml.toml has its budget (None: it was written before that was kept)."""

    key: str
    period: str
    amount: str
    state: State
    since: datetime
    text: str
    profile: str | None = ""

    def document(self) -> dict[str, object]:
        """Return it as it is kept."""
        at = {"period": self.period, "amount": self.amount, "since": rfc3339(self.since)}
        return {**at, "state": self.state, "text": self.text, "profile": self.profile}

    @staticmethod
    def of(key: str, content: Mapping[str, Any]) -> "Memory":
        """Read it back."""
        since, profile = parse_rfc3339(content["since"]), content.get("profile")
        return Memory(key, content["period"], content["amount"], content["state"], since, content["text"], profile)


@dataclass(frozen=True)
class Turn:
    """What becomes of an action now, and why. `action` is None for one that mcml.toml has no more."""

    key: str
    move: Move
    text: str
    action: BudgetAction | None = None
    before: Memory | None = None

    @property
    def budget(self) -> str:
        """The budget's name."""
        return self.key.partition("/")[0]

    @property
    def do(self) -> str:
        """What is done: stop-idle, refuse-gpu-deploys."""
        return self.key.partition("/")[2].rpartition("@")[0]


def key_of(budget: str, action: BudgetAction) -> str:
    """Return what an action is remembered by."""
    return f"{budget}/{action.do}@{plain(Decimal(str(action.at)))}"


def turns(standing: Standing, known: Sequence[Memory], *, act: bool) -> list[Turn]:
    """Return what becomes of each action of a budget, those among `known` that it has no more at the end. `act`: they are carried out."""
    before = {memory.key: memory for memory in known if memory.key.startswith(f"{standing.name}/")}
    found = []
    for action in standing.budget.actions:
        key = key_of(standing.name, action)
        turn = _turn(standing, action, before.pop(key, None), key, act=act)
        found += [turn] if turn else []
    return found + [_ended(memory, "mcml.toml has it no more") for memory in before.values()]


def orphans(known: Sequence[Memory], budgets: Mapping[str, object], profile: str = "") -> list[Turn]:
    """Return the end of the actions whose budget is no more: `budgets` are all that `profile` has."""
    mine = [memory for memory in known if memory.profile == profile]
    return [_ended(memory, "the budget is no more") for memory in mine if memory.key.partition("/")[0] not in budgets]


def _turn(standing: Standing, action: BudgetAction, before: Memory | None, key: str, *, act: bool) -> Turn | None:
    limit = Decimal(str(action.at))
    share = percent(standing.spent, standing.amount) or Decimal(0)
    text = f"{plain(share)}% of {plain(standing.amount)} {standing.budget.currency} is spent"
    same = before is not None and before.period == standing.start.isoformat()
    if share < limit:
        if before is not None and same and standing.unconverted:  # what is spent is not known: nothing ends for that
            still: Mapping[State, Move] = {"on": "hold", "announced": "announced", "lifted": "lifted"}
            return Turn(key, still[before.state], before.text, action, before)
        if before is None or (before.state == "lifted" and same and before.amount == plain(standing.amount)):
            return None
        return _ended(before, f"{text}, less than {plain(limit)}%" if same else "a new period has begun", action)
    if before is not None and not same and before.state == "on" and not act:
        return _ended(before, "a new period has begun", action)  # and the next look announces it again
    if before is None or not same:
        return Turn(key, "begin" if act else "announce", text, action, before)
    if before.state == "on":
        return Turn(key, "hold", text, action, before)
    if before.state == "lifted" and before.amount == plain(standing.amount):
        return Turn(key, "lifted", before.text, action, before)
    if act:
        return Turn(key, "begin", text, action, before)
    return Turn(key, "announced" if before.state == "announced" else "announce", text, action, before)


def _ended(before: Memory, text: str, action: BudgetAction | None = None) -> Turn:
    return Turn(before.key, "end" if before.state == "on" else "forget", text, action, before)
