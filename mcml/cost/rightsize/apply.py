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
    NotFound,
    PartlyDone,
    ProviderCannot,
    QuotaExceeded,
    StillRunning,
    Unavailable,
    said,
)
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.core.schema_cost import HealthSignal
from mcml.core.when import span
from mcml.cost.rightsize import offs, watch
from mcml.cost.rightsize.change import (
    Change,
    Overtaken,
    Stage,
    Taken,
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
from mcml.providers.api.instances import Instance, Instances, InstanceState
from mcml.providers.api.metrics import Metrics
from mcml.providers.api.snapshots import Snapshot, Snapshots
from mcml.store import journal
from mcml.store.db import Store
from mcml.store.journal import Query

TAG = "mcml-rightsize"
"""The tag of a snapshot: the id of the change that it was taken before."""
TRIES = 3
"""How often a cloud is asked that does not answer, and how often a machine is stopped that somebody else starts meanwhile."""
PAUSE = timedelta(seconds=5)
PATIENCE = timedelta(minutes=15)
"""How long a machine may take to stop or to start."""
COPYING = timedelta(hours=2)
"""How long is waited for a snapshot; it goes on by itself."""
SLOWEST = timedelta(minutes=1)
"""The longest pause between two questions for capacity; each is twice as long as the one before."""
DOUBLINGS = 8
"""After so many any first pause has become the longest."""
RESTARTS = 3
"""How often a watch begins anew because something started the machine again. The next time it goes back, unless we had turned it off."""
RESTARTED = timedelta(minutes=1)
"""A machine that says it was launched so much later than its watch began was started again by somebody; it may be a clock, before that."""


@dataclass(frozen=True)
class Site:
    """A target: its machines, their snapshots and metrics; None where its provider has no such thing."""

    instances: Instances
    snapshots: Snapshots | None = None
    metrics: Metrics | None = None


class Gone(NotFound):
    """The machine is gone, or somebody else has made it another one: there is nothing to take back."""


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
    revision: int = 0
    _tries: int = 0
    _waits: bool = True
    _scarce: datetime | None = None
    _restarted: int = 0
    _watching: bool = False

    def begin(self, planned: Planned) -> Change:
        """Write a new change down. Raises Conflict when one is under way, or the machine is no longer as it was when this was planned."""
        change = planned.change
        earlier, self.revision = latest(self.store, change.key)
        if earlier and earlier.under_way:
            raise under_way(earlier)
        machine = self._machine(change)
        if machine.machine != change.before:
            why = f"it is {machine.machine} now, and was {change.before} when this was planned"
            raise Conflict(f"{change.key} has another type", why=why, next_step=f"mcml cost rightsize explain {change.key}")
        facts: dict[str, object] = {"saving": _text(change.saving), "list_saving": _text(change.list_saving), "currency": change.currency}
        facts |= {"risk": change.risk, "disks": list(change.disks), "watch_seconds": change.watch, "undoes": change.undoes}
        facts |= {"plan": planned.plan.digest}
        told = change.fact("planned", self.clock(), **facts)
        self.revision = keep(self.store, change, self.revision, self.clock(), told, tell=self.tell, twins=self.twins)
        return change

    def resume(self, key: str) -> Change:
        """Take a change up where it was left; a stuck one tries to go back again. Raises NotFound."""
        found = self.taken_up(key)
        return self._save(replace(found, stage="stop")) if found.stage == "stuck" else found

    def taken_up(self, key: str) -> Change:
        """Take a change up as it is. Raises NotFound."""
        found, self.revision = latest(self.store, key)
        return found or known(self.store, key)

    def undo(self, change: Change) -> Change:
        """Take a change back that is still watched; one whose disks are still being copied has changed nothing yet."""
        back = change.back("it was undone by hand")
        return self._end(back, "rolled back") if change.stage == "snapshot" else self._save(back)

    def keep(self, change: Change) -> Change:
        """Keep the type that it was given: its watch ends, or it is started as it is. Raises NotFound, Conflict when it has another one."""
        machine = self._machine(keepable(self.store, change.key))
        if machine.machine != change.after:
            why, step = f"it is {machine.machine} by now", f"mcml cost rightsize apply {change.key}"
            raise Conflict(f"{change.key} is not {change.after}: there is nothing to keep", why=why, next_step=step)
        over = replace(change, kept=change.reason or change.kept or "its watch was ended by hand", reason="", problem="")
        if change.stage == "watch":
            return self._end(over, "done")
        return self._save(replace(over, stage="stop" if change.stage == "stop" else "start"))  # a stop on its way is waited for

    def undone(self, change: Change, wish: Wish) -> Planned:
        """Plan what takes a change back that is done. Raises as `planned.undone`, NotFound when its machine is gone."""
        types = self.site.instances.prices([change.after, change.before])
        return undone(change, self._machine(change), types, wish, self.clock())

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
        steps = {"snapshot": self._snapshot, "stop": self._stop, "resize": self._resize, "start": self._start, "watch": self._watch}
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
            self.sleep(self._pause(change))
        return change

    def _asked_again(self, change: Change, scarce: QuotaExceeded) -> Change:
        """Ask again for a machine that runs nowhere else to go: there may be room for it a little later."""
        now, pause = self.clock(), min(self._pause(change) * 2 ** min(self._tries, DOUBLINGS), SLOWEST.total_seconds())
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
            return self._end(replace(change, problem=why), "failed")
        if not (change.reason or change.kept):
            self.reporter.finish(change.key, f"{why}; going back to {change.before}", ok=False)
            return self._save(change.back(why))
        at = self.clock()
        facts = {"reason": change.reason or change.kept, "problem": why, "needs": "a person"}
        facts["next"] = f"mcml cost rightsize apply {change.key}"
        self.reporter.finish(change.key, why, ok=False)
        self._save(replace(change, stage="stuck", problem=why), change.fact("stuck", at, **facts))
        raise stuck(replace(change, stage="stuck", problem=why)) from refused

    def _snapshot(self, change: Change) -> Change:
        """Copy the next disk, or go on when all are."""
        left = change.disks[len(change.taken) :]
        if not left:
            return self._save(replace(change, stage="stop"))
        if self.site.snapshots is None:
            raise ProviderCannot(f"the disks of {change.key} cannot be copied", why="its provider has no snapshots")
        source, token = left[0], f"{change.id}-{len(change.taken) + 1}"
        self.reporter.start(change.key, f"taking a snapshot of {source}")
        made = self._complete(change, self.site.snapshots.create(source, token=token, tags={TAG: change.id}), self.site.snapshots)
        self.reporter.finish(change.key, f"{made.id} of {source}")
        taken = Taken(source, made.id, made.size_bytes)
        told = change.fact("snapshot", self.clock(), source=source, snapshot=made.id, size_bytes=made.size_bytes)
        return self._save(replace(change, taken=(*change.taken, taken)), told)

    def _complete(self, change: Change, made: Snapshot, snapshots: Snapshots) -> Snapshot:
        end = self.clock() + COPYING
        while not made.complete:
            if self.clock() > end:
                raise StillRunning(f"the snapshot {made.id} is not complete yet", why="it goes on by itself")
            self.sleep(self._pause(change))
            made = next((one for one in snapshots.list(made.source) if one.id == made.id), made)
        return made

    def _stop(self, change: Change) -> Change:
        """Stop the machine, unless it has the wanted type already. One that others have stopped until then is left stopped in the end."""
        machine = self._machine(change)
        runs = machine.state in ("running", "pending")
        if machine.machine not in (change.before, change.after):
            raise Gone(f"{change.key} has another type", why=f"somebody has made it {machine.machine}")
        if machine.machine == change.wanted and not (change.kept and runs):
            return self._save(replace(change, stage="resize"))
        if change.down is None or (runs and not change.ran):
            return self._save(replace(change, down=change.down or self.clock(), ran=runs))  # from here on it is we who stop it
        if machine.state != "stopped":
            self.reporter.start(change.key, f"stopping {machine.machine}")
            self.site.instances.stop(change.instance)
            self._until(change, "stopped")
            self.reporter.finish(change.key, "stopped")
        return self._save(replace(change, stage="resize"))

    def _resize(self, change: Change) -> Change:
        """Give it the wanted type; one that somebody has started meanwhile is stopped again."""
        machine = self._machine(change)
        if machine.machine != change.wanted:
            self._restarted += machine.state != "stopped"
            if machine.state != "stopped" and self._restarted <= TRIES:
                return self._save(replace(change, stage="stop"))
            self.site.instances.resize(change.instance, change.wanted)
        if change.told == change.wanted:
            return self._save(replace(change, stage="start"))
        now = self.clock()
        self.reporter.note(f"{change.key}: {change.told} -> {change.wanted}")
        fact = change.fact("resized", now, **{"from": change.told, "to": change.wanted, "reason": change.reason})
        return self._save(replace(change, stage="start", told=change.wanted, resized=now), fact)

    def _start(self, change: Change) -> Change:
        """Start it, if it ran before, and begin to watch it."""
        if change.ran:
            machine = self._machine(change)
            self.reporter.start(change.key, f"starting {change.wanted}")
            if machine.state not in ("running", "pending"):
                self.site.instances.start(change.instance)
            self._until(change, "running")
            self.reporter.finish(change.key, f"runs as {change.wanted}")
        if change.reason:
            return self._end(change, "rolled back")
        if change.kept:
            return self._end(change, "done")
        return self._save(replace(change, stage="watch", began=self.clock())) if change.ran else self._end(change, "done")

    def _watch(self, change: Change) -> Change:
        """Look at it once."""
        kept, revision = latest(self.store, change.key)
        if kept is None or revision != self.revision:
            step = f"mcml cost rightsize status {change.key}"
            raise Overtaken(f"another mcml goes on with the change of {change.key}", next_step=step)
        machine, now = self._machine(change), self.clock()
        if machine.state not in ("running", "pending"):
            offs.check_schedule(self.store, change, self._names(change))
            return self._save(*self._bad(change, f"it is {machine.state}"))
        began = change.began or now
        if machine.launched - began > RESTARTED:
            if change.restarts < RESTARTS:
                change = self._save(replace(change, began=(began := machine.launched), restarts=change.restarts + 1))
            elif not offs.turned_off(self.store, change, self._names(change)):
                return self._save(*self._bad(change, f"something started it again {RESTARTS + 1} times within its watch"))
        length = timedelta(seconds=change.watch)
        until = min(now, began + length)
        asked = watch.signals(change, self.health)
        found = watch.look(self.site.metrics, asked, began, until, watch.step(change))
        told = self.store.entries(Query(since=change.down or began, kinds=(*watch.TROUBLE, *watch.RECOVERY), target=change.target))
        bad = "; ".join(filter(None, (found.bad, watch.troubled(told, change, now))))
        if bad:
            return self._save(*self._bad(change, bad))
        seen = replace(change, answered=max(change.answered, found.answered), asked=found.asked)
        answers = f"{seen.answered} of {seen.asked} signals answered"
        if now >= began + length:
            self.reporter.finish(f"{change.key}: watch", answers)
            return self._end(seen, "done")
        self.reporter.update(f"{change.key}: watch", f"well for {span((now - began).total_seconds())} of {span(change.watch)}; {answers}")
        return seen

    def _bad(self, change: Change, bad: str) -> tuple[Change, Fact]:
        self.reporter.finish(f"{change.key}: watch", f"{bad}; going back to {change.before}", ok=False)
        return change.back(bad), change.fact("watched", self.clock(), well=False, reason=bad)

    def _end(self, change: Change, stage: Stage) -> Change:
        """Write down how it ended."""
        now = self.clock()
        over = replace(change, stage=stage, ended=now)
        watched = change.fact("watched", now, well=True, answered=over.answered, asked=over.asked, seconds=change.watch)
        facts: dict[str, object] = {"saving": _text(change.saving), "currency": change.currency, "undoes": change.undoes}
        facts |= {"reason": change.reason or change.problem, "snapshots": [one.snapshot for one in change.taken], "kept": change.kept}
        told = change.fact(stage.replace(" ", "_"), now, **facts)
        return self._save(over, *([watched] if stage == "done" and change.began and not change.kept else []), told)

    def _names(self, change: Change) -> set[str]:
        return {change.target, *self.twins}

    def _machine(self, change: Change) -> Instance:
        """Return the machine as it is. Raises Gone."""
        found = next((one for one in self.site.instances.list() if one.id == change.instance), None)
        if found is None or found.state == "terminated":
            raise Gone(f"{change.key} is gone", why="it was terminated")
        return found

    def _until(self, change: Change, state: InstanceState) -> None:
        """Wait until it runs, or is stopped. One that is seen stopped twice in a row after its start has ended by itself."""
        end, stopped = self.clock() + PATIENCE, 0
        while (now := self._machine(change).state) != state:
            stopped = stopped + 1 if now in ("stopped", "interrupted") else 0
            if state == "running" and stopped > 1:
                offs.check_schedule(self.store, change, self._names(change))
                raise McmlError(f"{change.key} stopped by itself", why=f"it was started as {change.wanted}, and is {now} again")
            if self.clock() > end:
                kind = StillRunning if state == "stopped" else McmlError  # one that does not start is taken back
                raise kind(f"{change.key} is {now}", why=f"it is not {state} after {PATIENCE.total_seconds() / 60:.0f} minutes")
            self.sleep(self._pause(change))

    def _pause(self, change: Change) -> float:
        return min(PAUSE, watch.tick(change)).total_seconds()

    def _save(self, change: Change, *told: Fact) -> Change:
        self.revision = keep(self.store, change, self.revision, self.clock(), *told, tell=self.tell)
        return change


def _text(amount: object) -> str | None:
    return None if amount is None else str(amount)
