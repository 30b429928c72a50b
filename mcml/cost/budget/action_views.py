"""What the actions of budgets look like: what a check made of them, and how far each is."""

from collections.abc import Mapping, Sequence

from mcml.core.errors import said
from mcml.core.plan import Step
from mcml.core.view import Block, Column, Level, Section, State, Status, Table
from mcml.cost.budget.act import Due
from mcml.cost.budget.actions import Memory, Move, key_of
from mcml.cost.budget.standing import Standing
from mcml.cost.budget.stop import undo
from mcml.cost.schedule.run import Done

WORDS: Mapping[Move, tuple[str, Level]] = {
    "begin": ("acts", "bad"),
    "hold": ("holds", "bad"),
    "announce": ("would act", "warn"),
    "announced": ("would act", "warn"),
    "lifted": ("lifted", "idle"),
    "end": ("ended", "ok"),
    "forget": ("ended", "ok"),
}
MACHINES = (Column("what", "Does", "state"), Column("name", "Machine"), Column("budget", "Budget"), Column("reason", "Why"))


def waiting(standing: Standing, known: Sequence[Memory]) -> list[dict[str, object]]:
    """Return the actions of a budget, and how far each was at the last check."""
    states = {memory.key: memory.state for memory in known if memory.period == standing.start.isoformat()}
    return [
        {"do": action.do, "at_percent": action.at, "state": states.get(key_of(standing.name, action), "waiting")}
        for action in standing.budget.actions
    ]


def on(known: Sequence[Memory]) -> list[Block]:
    """Return a line for each action that holds."""
    return [
        Status(State("holds", "bad"), f"{memory.key.replace('/', ' ')}% since {memory.since:%Y-%m-%d %H:%M} UTC: {memory.text}")
        for memory in known
        if memory.state == "on"
    ]


def still_off(counts: Mapping[str, int]) -> list[Block]:
    """Say how many machines are off because of each budget, also of one whose action has ended, and how they come back."""
    return [
        Status(State("off", "warn"), f"{count} of the machines and groups are off because of {name}; back: {undo(name)}")
        for name, count in sorted(counts.items())
    ]


def item(due: Due, done: Sequence[Done], *, dry_run: bool, acts: bool = True) -> dict[str, object]:
    """Return what a check made of an action; `acts`: it carried it out."""
    return {
        "name": due.turn.key,
        "do": due.turn.do,
        "at_percent": due.turn.action.at if due.turn.action else None,
        "what": _word(due.turn.move, dry_run=dry_run),
        "text": due.turn.text,
        "undo": undo(due.turn.budget) if due.turn.move in ("begin", "hold") else "",
        "machines": machines(due, done, dry_run=dry_run or not acts),
    }


def machines(due: Due, done: Sequence[Done], *, dry_run: bool) -> list[dict[str, object]]:
    """Return what becomes of each machine that an action means."""
    results = {(one.step.target, one.step.name): one for one in done}
    would = dry_run or due.turn.move in ("announce", "announced")
    return [
        {"name": f"{step.target}/{step.name}", "budget": due.turn.budget, **_step(step, results.get((step.target, step.name)), would=would)}
        for step in due.machines.steps
    ]


def _step(step: Step, done: Done | None, *, would: bool) -> dict[str, object]:
    if done and done.error:
        return {"what": State("failed", "bad"), "reason": said(done.error), "next_step": done.error.next_step}
    if step.action == "keep" or (done and done.left):
        return {"what": State("leave", "idle"), "reason": done.left if done and done.left else step.reason, "next_step": ""}
    verb, past = ("start", "started") if int(str(step.values["to"])) > int(str(step.values["from"])) else ("stop", "stopped")
    state = State(f"would {verb}", "warn") if would or done is None else State(past, "ok")
    return {"what": state, "reason": step.reason, "next_step": ""}


def _word(move: Move, *, dry_run: bool) -> State:
    text, level = WORDS[move]
    return State("would act", "warn") if dry_run and move == "begin" else State(text, level)


def blocks(due: Sequence[Due], done: Sequence[Done], *, dry_run: bool, acting: Sequence[str]) -> list[Block]:
    """Return a line an action, and a table of the machines."""
    lines: list[Block] = []
    rows: list[Mapping[str, object]] = []
    for each in due:
        back = f"; back: {undo(each.turn.budget)}" if each.turn.move in ("begin", "hold") and not dry_run else ""
        if each.turn.move in ("announce", "announced"):
            back = "; it acts with --act, or act = true in mcml.toml"
        lines.append(Status(_word(each.turn.move, dry_run=dry_run), f"{_name(each)}: {each.turn.text}{back}"))
        rows += machines(each, done, dry_run=dry_run or each.turn.budget not in acting)
    return [*lines, *([Section("Machines", (Table(MACHINES, rows),))] if rows else [])]


def _name(due: Due) -> str:
    at = f" at {due.turn.action.at:g}%" if due.turn.action else ""
    return f"{due.turn.budget} {due.turn.do}{at}"
