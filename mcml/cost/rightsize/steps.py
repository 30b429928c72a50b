"""The steps of a change: copy the disks, stop, resize, start, watch. Each does what is to be done, and writes down what comes next."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from mcml.core.clock import Clock
from mcml.core.errors import McmlError, NotFound, ProviderCannot, StillRunning
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.core.schema_cost import HealthSignal
from mcml.core.when import span
from mcml.cost.rightsize import offs, watch
from mcml.cost.rightsize.change import Change, Overtaken, Stage, Taken, Tell, keep, latest
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
class Steps:
    """Takes the steps of one machine's change. `twins`: the other targets that list the same machines."""

    store: Store
    site: Site
    health: Sequence[HealthSignal]
    clock: Clock
    reporter: Reporter
    sleep: Callable[[float], None] = time.sleep
    tell: Tell = journal.append
    twins: Collection[str] = ()
    revision: int = 0
    _restarted: int = 0

    def snapshot(self, change: Change) -> Change:
        """Copy the next disk, or go on when all are."""
        left = change.disks[len(change.taken) :]
        if not left:
            return self.save(replace(change, stage="stop"))
        if self.site.snapshots is None:
            raise ProviderCannot(f"the disks of {change.key} cannot be copied", why="its provider has no snapshots")
        source, token = left[0], f"{change.id}-{len(change.taken) + 1}"
        self.reporter.start(change.key, f"taking a snapshot of {source}")
        made = self._complete(change, self.site.snapshots.create(source, token=token, tags={TAG: change.id}), self.site.snapshots)
        self.reporter.finish(change.key, f"{made.id} of {source}")
        taken = Taken(source, made.id, made.size_bytes)
        told = change.fact("snapshot", self.clock(), source=source, snapshot=made.id, size_bytes=made.size_bytes)
        return self.save(replace(change, taken=(*change.taken, taken)), told)

    def _complete(self, change: Change, made: Snapshot, snapshots: Snapshots) -> Snapshot:
        end = self.clock() + COPYING
        while not made.complete:
            if self.clock() > end:
                raise StillRunning(f"the snapshot {made.id} is not complete yet", why="it goes on by itself")
            self.sleep(self.pause(change))
            made = next((one for one in snapshots.list(made.source) if one.id == made.id), made)
        return made

    def stop(self, change: Change) -> Change:
        """Stop the machine, unless it has the wanted type already. One that others have stopped until then is left stopped in the end."""
        machine = self.machine(change)
        runs = machine.state in ("running", "pending")
        if machine.machine not in (change.before, change.after):
            raise Gone(f"{change.key} has another type", why=f"somebody has made it {machine.machine}")
        if machine.machine == change.wanted and not (change.stopping and runs):
            return self.save(replace(change, stage="resize", stopping=False))
        if change.down is None or (runs and not change.ran):
            return self.save(replace(change, down=change.down or self.clock(), ran=runs))  # from here on it is we who stop it
        if machine.state != "stopped":
            if not change.stopping:
                return self.save(replace(change, stopping=True))  # who keeps it as it is waits for the stop from here on
            self.reporter.start(change.key, f"stopping {machine.machine}")
            self.site.instances.stop(change.instance)
            self._until(change, "stopped")
            self.reporter.finish(change.key, "stopped")
        return self.save(replace(change, stage="resize", stopping=False))

    def resize(self, change: Change) -> Change:
        """Give it the wanted type; one that somebody has started meanwhile is stopped again."""
        machine = self.machine(change)
        if machine.machine != change.wanted:
            self._restarted += machine.state != "stopped"
            if machine.state != "stopped" and self._restarted <= TRIES:
                return self.save(replace(change, stage="stop"))
            self.site.instances.resize(change.instance, change.wanted)
        if change.told == change.wanted:
            return self.save(replace(change, stage="start"))
        now = self.clock()
        self.reporter.note(f"{change.key}: {change.told} -> {change.wanted}")
        fact = change.fact("resized", now, **{"from": change.told, "to": change.wanted, "reason": change.reason})
        return self.save(replace(change, stage="start", told=change.wanted, resized=now), fact)

    def start(self, change: Change) -> Change:
        """Start it, if it ran before, and begin to watch it."""
        if change.ran:
            machine = self.machine(change)
            self.reporter.start(change.key, f"starting {change.wanted}")
            if machine.state not in ("running", "pending"):
                self.site.instances.start(change.instance)
            self._until(change, "running")
            self.reporter.finish(change.key, f"runs as {change.wanted}")
        if change.reason:
            return self.end(change, "rolled back")
        if change.kept:
            return self.end(change, "done")
        return self.save(replace(change, stage="watch", began=self.clock())) if change.ran else self.end(change, "done")

    def watch(self, change: Change) -> Change:
        """Look at it once."""
        kept, revision = latest(self.store, change.key)
        if kept is None or revision != self.revision:
            step = f"mcml cost rightsize status {change.key}"
            raise Overtaken(f"another mcml goes on with the change of {change.key}", next_step=step)
        machine, now = self.machine(change), self.clock()
        if machine.state not in ("running", "pending"):
            offs.check_schedule(self.store, change, self._names(change))
            return self.save(*self._bad(change, f"it is {machine.state}"))
        began = change.began or now
        if machine.launched - began > RESTARTED:
            if change.restarts < RESTARTS:
                change = self.save(replace(change, began=(began := machine.launched), restarts=change.restarts + 1))
            elif not offs.turned_off(self.store, change, self._names(change)):
                return self.save(*self._bad(change, f"something started it again {RESTARTS + 1} times within its watch"))
        length = timedelta(seconds=change.watch)
        until = min(now, began + length)
        asked = watch.signals(change, self.health)
        found = watch.look(self.site.metrics, asked, began, until, watch.step(change))
        told = self.store.entries(Query(since=change.down or began, kinds=(*watch.TROUBLE, *watch.RECOVERY), target=change.target))
        bad = "; ".join(filter(None, (found.bad, watch.troubled(told, change, now))))
        if bad:
            return self.save(*self._bad(change, bad))
        seen = replace(change, answered=max(change.answered, found.answered), asked=found.asked)
        answers = f"{seen.answered} of {seen.asked} signals answered"
        if now >= began + length:
            self.reporter.finish(f"{change.key}: watch", answers)
            return self.end(seen, "done")
        self.reporter.update(f"{change.key}: watch", f"well for {span((now - began).total_seconds())} of {span(change.watch)}; {answers}")
        return seen

    def _bad(self, change: Change, bad: str) -> tuple[Change, Fact]:
        self.reporter.finish(f"{change.key}: watch", f"{bad}; going back to {change.before}", ok=False)
        return change.back(bad), change.fact("watched", self.clock(), well=False, reason=bad)

    def end(self, change: Change, stage: Stage) -> Change:
        """Write down how it ended."""
        now = self.clock()
        over = replace(change, stage=stage, ended=now)
        watched = change.fact("watched", now, well=True, answered=over.answered, asked=over.asked, seconds=change.watch)
        facts: dict[str, object] = {"saving": text(change.saving), "currency": change.currency, "undoes": change.undoes}
        facts |= {"reason": change.reason or change.problem, "snapshots": [one.snapshot for one in change.taken], "kept": change.kept}
        told = change.fact(stage.replace(" ", "_"), now, **facts)
        return self.save(over, *([watched] if stage == "done" and change.began and not change.kept else []), told)

    def _names(self, change: Change) -> set[str]:
        return {change.target, *self.twins}

    def machine(self, change: Change) -> Instance:
        """Return the machine as it is. Raises Gone."""
        found = next((one for one in self.site.instances.list() if one.id == change.instance), None)
        if found is None or found.state == "terminated":
            raise Gone(f"{change.key} is gone", why="it was terminated")
        return found

    def _until(self, change: Change, state: InstanceState) -> None:
        """Wait until it runs, or is stopped. One that is seen stopped twice in a row after its start has ended by itself."""
        end, stopped = self.clock() + PATIENCE, 0
        while (now := self.machine(change).state) != state:
            stopped = stopped + 1 if now in ("stopped", "interrupted") else 0
            if state == "running" and stopped > 1:
                offs.check_schedule(self.store, change, self._names(change))
                raise McmlError(f"{change.key} stopped by itself", why=f"it was started as {change.wanted}, and is {now} again")
            if self.clock() > end:
                kind = StillRunning if state == "stopped" else McmlError  # one that does not start is taken back
                raise kind(f"{change.key} is {now}", why=f"it is not {state} after {PATIENCE.total_seconds() / 60:.0f} minutes")
            self.sleep(self.pause(change))

    def pause(self, change: Change) -> float:
        """Return the seconds between two questions."""
        return min(PAUSE, watch.tick(change)).total_seconds()

    def save(self, change: Change, *told: Fact) -> Change:
        """Write a change down, and what is told of it. Raises Overtaken."""
        self.revision = keep(self.store, change, self.revision, self.clock(), *told, tell=self.tell)
        return change


def text(amount: object) -> str | None:
    """Return an amount as text."""
    return None if amount is None else str(amount)
