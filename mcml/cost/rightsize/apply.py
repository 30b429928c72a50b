"""Change a machine's type: copy its disks, stop it, resize it, start it, watch it, and take it all back when it is not well.

Every step is written down before it is done, and its fact with the next step, so a kill -9 at any moment loses and doubles nothing: the
next `mcml cost rightsize apply TARGET/ID` asks for the snapshots with the same tokens, finds the machine as it is, and goes on.

What is refused after the machine may have been stopped (no capacity for the new type, most of all) leads back to the type before. Capacity
for that is asked for again and again, ever more slowly, for as long as the machine would be watched. When it fails, too, the change is
stuck: the journal says so, each further `apply` tries again, and `keep` leaves the machine as it is.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mcml.core.clock import Clock
from mcml.core.errors import (
    Conflict,
    Interrupted,
    McmlError,
    NotAuthenticated,
    PartlyDone,
    QuotaExceeded,
    StillRunning,
    Unavailable,
    said,
)
from mcml.core.report import Reporter
from mcml.core.schema_cost import HealthSignal
from mcml.core.when import span
from mcml.cost.rightsize import watch
from mcml.cost.rightsize.change import (
    Change,
    Overtaken,
    Tell,
    half_done,
    keep,
    keepable,
    known,
    latest,
    left,
    stuck,
    under_way,
)
from mcml.cost.rightsize.planned import Planned, Wish, undone
from mcml.cost.rightsize.steps import PATIENCE, PAUSE, TRIES, Gone, Site, Steps, text
from mcml.store import journal
from mcml.store.db import Store

SLOWEST = timedelta(minutes=1)
"""The longest pause between two questions for capacity; each is twice as long as the one before."""
DOUBLINGS = 8
"""After so many any first pause has become the longest."""


@dataclass
class Work:
    """Carries one machine's changes out. `twins`: the other targets that list the same machines."""

    store: Store
    site: Site
    health: Sequence[HealthSignal]
    clock: Clock
    reporter: Reporter
    sleep: Callable[[float], None] = time.sleep
    tell: Tell = journal.append
    twins: Collection[str] = ()
    _tries: int = 0
    _waits: bool = True
    _scarce: datetime | None = None
    _watching: bool = False

    def __post_init__(self) -> None:
        told = (self.clock, self.reporter, self.sleep, self.tell, self.twins)
        self._steps = Steps(self.store, self.site, self.health, *told)

    def begin(self, planned: Planned) -> Change:
        """Write a new change down. Raises Conflict when one is under way, or the machine is no longer as it was when this was planned."""
        change = planned.change
        earlier, self._steps.revision = latest(self.store, change.key)
        if earlier and earlier.under_way:
            raise under_way(earlier)
        machine = self._steps.machine(change)
        if machine.machine != change.before:
            why = f"it is {machine.machine} now, and was {change.before} when this was planned"
            raise Conflict(f"{change.key} has another type", why=why, next_step=f"mcml cost rightsize explain {change.key}")
        facts: dict[str, object] = {"saving": text(change.saving), "list_saving": text(change.list_saving), "currency": change.currency}
        facts |= {"risk": change.risk, "disks": list(change.disks), "watch_seconds": change.watch, "undoes": change.undoes}
        facts |= {"plan": planned.plan.digest}
        told = change.fact("planned", self.clock(), **facts)
        self._steps.revision = keep(self.store, change, self._steps.revision, self.clock(), told, tell=self.tell, twins=self.twins)
        return change

    def resume(self, key: str) -> Change:
        """Take a change up where it was left; a stuck one tries to go back again. Raises NotFound."""
        found = self.taken_up(key)
        return self._steps.save(replace(found, stage="stop", stopping=False)) if found.stage == "stuck" else found

    def taken_up(self, key: str) -> Change:
        """Take a change up as it is. Raises NotFound."""
        found, self._steps.revision = latest(self.store, key)
        return found or known(self.store, key)

    def undo(self, change: Change) -> Change:
        """Take a change back that is still watched; one whose disks are still being copied has changed nothing yet."""
        back = change.back("it was undone by hand")
        return self._steps.end(back, "rolled back") if change.stage == "snapshot" else self._steps.save(back)

    def keep(self, change: Change) -> Change:
        """Keep the type that it was given: its watch ends, or it is started as it is. Raises NotFound, Conflict when it has another one."""
        machine = self._steps.machine(keepable(self.store, change.key))
        if machine.machine != change.after:
            why, step = f"it is {machine.machine} by now", f"mcml cost rightsize apply {change.key}"
            raise Conflict(f"{change.key} is not {change.after}: there is nothing to keep", why=why, next_step=step)
        over = replace(change, kept=change.reason or change.kept or "its watch was ended by hand", reason="", problem="")
        if change.stage == "watch":
            return self._steps.end(over, "done")
        return self._steps.save(replace(over, stage="stop" if change.stopping else "start"))  # a stop on its way is waited for

    def undone(self, change: Change, wish: Wish) -> Planned:
        """Plan what takes a change back that is done. Raises as `planned.undone`, NotFound when its machine is gone."""
        types = self.site.instances.prices([change.after, change.before])
        return undone(change, self._steps.machine(change), types, wish, self.clock())

    def run(self, change: Change, *, wait: bool = True) -> Change:
        """Go on with a change until it has ended; without `wait` only until it is watched, and look once.

        Raises McmlError when it is stuck, Conflict when another mcml goes on with it, StillRunning when a schedule has stopped the machine.
        """
        self._waits = wait
        try:
            while change.under_way:
                if change.stage == "stuck":
                    raise stuck(change)
                watched = change.stage == "watch"
                if watched and not self._watching:
                    self._watching = True
                    self.reporter.start(f"{change.key}: watch", f"watching it for {span(change.watch)}")
                change = self._guarded(change)
                if watched and change.stage == "watch":
                    if not wait:
                        break
                    self.sleep(watch.tick(change).total_seconds())
        except KeyboardInterrupt as stopped:
            raise left(change, stopped) from None
        return change

    def _guarded(self, change: Change) -> Change:
        """Do one step; what fails leads back, or is tried again."""
        does = self._steps
        steps = {"snapshot": does.snapshot, "stop": does.stop, "resize": does.resize, "start": does.start, "watch": does.watch}
        try:
            after = steps[change.stage](change)
            self._tries, self._scarce = 0, None
            return after
        except (Overtaken, Interrupted):
            raise
        except NotAuthenticated as failed:
            if change.stage in ("stop", "resize") and not change.reason:
                return self._refused(change, failed)  # who may not resize it may still start it again
            why = "; ".join(filter(None, (said(failed), failed.next_step)))
            raise NotAuthenticated(half_done(change), why=why, next_step=f"mcml cost rightsize apply {change.key}") from failed
        except (Unavailable, StillRunning) as failed:
            return self._again(change, failed)
        except QuotaExceeded as scarce:
            return self._asked_again(change, scarce)
        except McmlError as refused:
            return self._refused(change, refused)

    def _again(self, change: Change, failed: McmlError) -> Change:
        """Try a step again, a few times, and for long while the machine is off; then leave the change as it is, to be gone on with.

        A watch goes on while its time lasts.
        """
        self._tries += 1
        most = PATIENCE // PAUSE if change.stage in ("resize", "start") else TRIES
        watching = change.began is not None and self.clock() < change.began + timedelta(seconds=change.watch)
        if isinstance(failed, StillRunning) or (self._tries >= most and not (change.stage == "watch" and watching)):
            kind = StillRunning if change.stage in ("snapshot", "watch") else PartlyDone
            raise kind(half_done(change), why=said(failed), next_step=f"mcml cost rightsize apply {change.key}") from failed
        self.reporter.note(f"{change.key}: {said(failed)}; trying again")
        if change.stage != "watch":
            self.sleep(self._steps.pause(change))
        return change

    def _asked_again(self, change: Change, scarce: QuotaExceeded) -> Change:
        """Ask again for a machine that runs nowhere else to go: there may be room for it a little later."""
        now, pause = self.clock(), min(self._steps.pause(change) * 2 ** min(self._tries, DOUBLINGS), SLOWEST.total_seconds())
        self._scarce = self._scarce or now
        last = self._scarce + timedelta(seconds=change.watch)
        if not self._waits and (change.reason or change.kept):
            raise PartlyDone(half_done(change), why=said(scarce), next_step=f"mcml cost rightsize apply {change.key}") from scarce
        if not (change.reason or change.kept) or now + timedelta(seconds=pause) > last:
            return self._refused(change, scarce)
        self._tries += 1
        self.reporter.note(f"{change.key}: {said(scarce)}; trying again until {last:%H:%M} UTC")
        self.sleep(pause)
        return change

    def _refused(self, change: Change, refused: McmlError) -> Change:
        why = said(refused)
        if change.stage == "snapshot" or isinstance(refused, Gone):
            self.reporter.finish(change.key, why, ok=False)
            return self._steps.end(replace(change, problem=why), "failed")
        if not (change.reason or change.kept):
            self.reporter.finish(change.key, f"{why}; going back to {change.before}", ok=False)
            return self._steps.save(change.back(why))
        at = self.clock()
        facts = {"reason": change.reason or change.kept, "problem": why, "needs": "a person"}
        facts["next"] = f"mcml cost rightsize apply {change.key}"
        self.reporter.finish(change.key, why, ok=False)
        self._steps.save(replace(change, stage="stuck", problem=why), change.fact("stuck", at, **facts))
        raise stuck(replace(change, stage="stuck", problem=why)) from refused
