"""A change of a machine's type: what was decided and how far it is, kept as one document, so that any mcml can go on with it.

The document of a machine is its latest change; when the next one begins, the one before it goes to the past, from where the ledger of
savings reads it.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from mcml.core.errors import Conflict, Interrupted, InvalidRequest, McmlError, NotFound, StillRunning, TimeUp, unknown
from mcml.core.fact import Fact
from mcml.store import documents, journal
from mcml.store.db import Store

KIND, PAST = "cost.rightsize", "cost.rightsize-past"
"""The kinds of our documents: the latest change of a machine by TARGET/ID, and those before it by their id."""
Stage = Literal["snapshot", "stop", "resize", "start", "watch", "done", "rolled back", "failed", "stuck"]
"""What comes next, or how it ended. failed: given up before anything was changed, or the
machine is gone. stuck: it could not be taken back, and needs a person."""
Tell = Callable[[Any, Fact], object]
"""Writes a fact to the journal within somebody's transaction, and does what follows from it."""
UNDONE: tuple[Stage, ...] = ("snapshot", "watch")
"""Where a change that is under way can be undone by hand: in between it goes on, or back by itself."""
ENDED: tuple[Stage, ...] = ("done", "rolled back", "failed")


@dataclass(frozen=True)
class Taken:
    """A snapshot of a disk that was taken before the change."""

    source: str
    snapshot: str
    size_bytes: int


@dataclass(frozen=True)
class Change:
    """A machine's way from the type `before` to `after`.

    `ran`: it ran when it was planned; one that did not is left stopped, and not watched. `disks` are copied first. `watch` is for how many
    seconds it is watched, `cpu` whether its CPU is. `saving` and `list_saving` are what was promised per month of 730 hours. `reason` is
    why it is taken back (empty: it is not), `kept` why it was to be when a person kept it as it is, `problem` why it is stuck or failed.
    `told` is the type that the journal says it has, `resized` since when. `down`: when we stopped it; `began`: since when it is watched,
    `restarts` how often that began anew; `answered` of `asked` signals said something meanwhile. `undoes`: the id of the change it takes
    back. `account`: whose the machine is, as the bill writes it, where that is told. `stopping`: it is told to stop about now.
    """

    id: str
    key: str
    target: str
    instance: str
    before: str
    after: str
    told: str
    started: datetime
    ran: bool = True
    disks: tuple[str, ...] = ()
    watch: float = 0.0
    cpu: bool = True
    saving: Decimal | None = None
    list_saving: Decimal | None = None
    currency: str = ""
    risk: str = ""
    undoes: str = ""
    stage: Stage = "snapshot"
    reason: str = ""
    problem: str = ""
    taken: tuple[Taken, ...] = ()
    down: datetime | None = None
    resized: datetime | None = None
    began: datetime | None = None
    ended: datetime | None = None
    answered: int = 0
    asked: int = 0
    restarts: int = 0
    kept: str = ""
    account: str = ""
    stopping: bool = False

    @property
    def wanted(self) -> str:
        """The type that it is to have: the one before, when it is taken back."""
        return self.before if self.reason else self.after

    @property
    def under_way(self) -> bool:
        """True until it has ended; a stuck one has not."""
        return self.stage not in ENDED

    def fact(self, event: str, at: datetime, **facts: object) -> Fact:
        """Return what happened for the journal: `cost.rightsize_EVENT` about TARGET/ID."""
        about = {"change": self.id, "target": self.target, "id": self.instance, "from": self.before, "to": self.after}
        return Fact(f"cost.rightsize_{event}", "cost", self.key, about | facts, at=at)

    def back(self, reason: str) -> "Change":
        """Return it on its way back."""
        return replace(self, stage="stop", stopping=False, reason=reason)


def identified(key: str, started: datetime) -> str:
    """Return the id of a change: from it the tokens of its snapshots are made, so it has only what every cloud takes."""
    return f"rs-{started:%Y%m%dt%H%M%S%f}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def read(content: Mapping[str, Any]) -> Change:
    """Return the change of a document. Raises InvalidRequest for one that this version does not understand."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Change).validate_python(content)
    except ValidationError as wrong:
        why = wrong.errors()[0]["msg"]
        raise InvalidRequest("the state of this change cannot be read", why=why, next_step="mcml cost rightsize list") from None


def every(store: Store) -> list[Change]:
    """Return all changes, of the past and the latest of each machine, oldest first."""
    with store.reading() as connection:
        kept = [one for kind in (PAST, KIND) for one in documents.every(connection, kind)]
    return sorted((read(one.content) for one in kept), key=lambda change: (change.started, change.key))


def latest(store: Store, key: str) -> tuple[Change | None, int]:
    """Return the latest change of a machine and the revision of its document; None and 0 when there was none."""
    with store.reading() as connection:
        kept = documents.get(connection, KIND, key)
    return (read(kept.content), kept.revision) if kept else (None, 0)


def known(store: Store, key: str) -> Change:
    """Return the latest change of a machine. Raises NotFound with the nearest name."""
    found, _ = latest(store, key)
    if found is None:
        with store.reading() as connection:
            keys = [one.key for one in documents.every(connection, KIND)]
        raise NotFound(*unknown("change of a machine", key, keys).args, next_step="mcml cost rightsize list")
    return found


class Overtaken(Conflict):
    """Another mcml goes on with the change."""


class OtherName(Conflict):
    """The machine's changes are kept under the name that it has on another target."""


def keep(
    store: Store, change: Change, revision: int, at: datetime, *told: Fact, tell: Tell = journal.append, twins: Collection[str] = ()
) -> int:
    """Write a change down, and what is told of it, as one; return its revision.

    `twins` are targets that list the same machines. Raises Overtaken when somebody else has written since, OtherName when the machine
    has changes under the name that it has on one of them: two names would count its savings twice.
    """
    step = f"mcml cost rightsize status {change.key}"
    try:
        with store.writing() as connection:
            _only_name(connection, change, twins, first=not revision)
            if revision:
                _to_past(connection, change, at)
            kept = documents.put(connection, KIND, change.key, asdict(change), at, after=revision)
            for fact in told:
                tell(connection, fact)
    except OtherName:
        raise
    except Conflict as changed:
        raise Overtaken(f"another mcml goes on with the change of {change.key}", why=changed.why, next_step=step) from changed
    return kept.revision


def _only_name(connection: Any, change: Change, twins: Collection[str], *, first: bool) -> None:
    """Raise OtherName when the machine has changes under another name: it is the `first` under this one, or that is under way."""
    for target in twins:
        other = documents.get(connection, KIND, f"{target}/{change.instance}")
        if other and other.key != change.key and (first or read(other.content).under_way):
            why = "two targets list it; what was changed, and what that saved, is kept under the name that came first"
            raise OtherName(f"{change.key} is {other.key}", why=why, next_step=f"mcml cost rightsize apply {other.key}")


def _to_past(connection: Any, change: Change, at: datetime) -> None:
    """Put the change that stood there into the past when this is another one."""
    kept = documents.get(connection, KIND, change.key)
    if kept and kept.content["id"] != change.id:
        documents.put(connection, PAST, kept.content["id"], kept.content, at)


def forget_snapshots(store: Store, key: str, at: datetime) -> None:
    """Write down that no snapshot of a machine's changes is kept any more."""
    with store.writing() as connection:
        for kept in [one for kind in (PAST, KIND) for one in documents.every(connection, kind) if one.content["key"] == key]:
            documents.put(connection, kept.kind, kept.key, {**kept.content, "taken": []}, at)


def unfinished(store: Store, key: str, to: str = "") -> Change | None:
    """Return the change of a machine that is under way, if any. Raises Conflict when another type than its own is wished for."""
    found, _ = latest(store, key)
    if found is None or not found.under_way:
        return None
    if to not in ("", found.after):
        raise under_way(found)
    return found


def undoable(store: Store, key: str) -> Change:
    """Return the latest change of a machine, which is done, still watched, or before its stop. Raises NotFound, Conflict for another."""
    found = known(store, key)
    if found.under_way and not _can_be_undone(found):
        raise under_way(found)
    if found.stage not in ("done", *UNDONE):
        why, step = f"its last change is {found.stage}", f"mcml cost rightsize status {key}"
        raise Conflict(f"there is nothing to undo: {key} is {found.before}", why=why, next_step=step)
    return found


def keepable(store: Store, key: str) -> Change:
    """Return the change of a machine that is watched, on its way back, or stuck. Raises NotFound, Conflict for another."""
    found = known(store, key)
    if found.under_way and (found.stage in ("watch", "stuck") or found.reason):
        return found
    if found.under_way:
        raise under_way(found)
    why, step = f"its last change is {found.stage}", f"mcml cost rightsize status {key}"
    raise Conflict(f"there is nothing to keep: no change of {key} is under way", why=why, next_step=step)


def _can_be_undone(change: Change) -> bool:
    return change.stage in UNDONE and not change.reason


def under_way(change: Change) -> Conflict:
    """Return what to say to who wants to begin a change while there is one."""
    why = f"{change.before} -> {change.after} is under way since {change.started:%Y-%m-%d %H:%M} UTC: {change.stage}"
    step = f"mcml cost rightsize apply {change.key} goes on with it"
    step += f", mcml cost rightsize undo {change.key} takes it back" if _can_be_undone(change) else ""
    return Conflict(f"{change.key} is being changed", why=why, next_step=step)


def stuck(change: Change) -> McmlError:
    """Return what to say of a machine that could not be taken back."""
    why = f"{change.problem}; {'it is kept' if change.kept else f'it was to go back to {change.before}'}"
    why += f" because: {change.reason}" if change.reason else ""
    step = f"mcml cost rightsize apply {change.key} tries again, mcml cost rightsize keep {change.key} starts it as it is"
    return McmlError(f"{change.key} is stuck, and may not run: this needs a person", why=why, next_step=step)


def half_done(change: Change) -> str:
    """Say what is half-done."""
    doing = {
        "snapshot": f"its disks are being copied ({len(change.taken)} of {len(change.disks)} are), it runs as before",
        "stop": "it is being stopped",
        "resize": f"it is stopped, and {change.before} or {change.after}",
        "start": f"it is {change.wanted}, and being started",
        "watch": f"it runs as {change.wanted}, and is not watched to the end",
    }
    back = f", on its way back to {change.before}" if change.reason else ""
    return f"{change.key}: {doing.get(change.stage, change.stage)}{back}"


def left(change: Change, cause: BaseException) -> McmlError:
    """Return what to say when somebody presses Ctrl-C, or --timeout runs out."""
    kind = StillRunning if isinstance(cause, TimeUp) else Interrupted
    why = "--timeout ran out" if kind is StillRunning else "interrupted"
    return kind(half_done(change), why=why, next_step=f"mcml cost rightsize apply {change.key}")
