"""Run a job on spot: look at it once a tick, take what the policy says, and leave nothing running that nobody knows of.

Every step is written down before it is done (which machine is asked for, under which token; which one is to be stopped), so a kill -9 at
any moment loses nothing: the next `mcml cost spot run NAME` asks with the same token, gets the same machine, and goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, ProviderCannot, QuotaExceeded, Unavailable, said
from mcml.core.report import Reporter
from mcml.cost.spot import decide, market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.keeper import Keeper
from mcml.cost.spot.leave import TRIES, Leaver, freed
from mcml.cost.spot.offers import Offers
from mcml.cost.spot.order import RUNS, Order, Place, Planning, Record, State
from mcml.cost.spot.progress import Reader
from mcml.cost.spot.site import THERE, Site, tags_of
from mcml.store.db import Store

FAILURES = 3
"""A command that ends so often in a row without having saved anything is not started again."""
LEAVE_SECONDS, LEAVE_TRIES = 15.0, 240
"""How often, and how many times, the machines of an ended job are told to stop whose cloud does not do it: for an hour."""
NONE_MADE = (InvalidRequest, NotFound, ProviderCannot, QuotaExceeded)
"""Refusals that leave no machine behind; after any other there may be one."""
NOTICE_SECONDS = 20.0
"""How often a cloud that gives notice is asked between two ticks: a notice is of two minutes at most."""


@dataclass
class Supervisor:
    """Looks after one job. `sites` are the targets of its candidates and of its fallback."""

    store: Store
    sites: Mapping[str, Site]
    progress: Reader
    clock: Clock
    reporter: Reporter
    sleep: Callable[[float], bool | None] = time.sleep
    """Waits so many seconds; True says to leave off, with the job as it is."""

    def __post_init__(self) -> None:
        self._keeper = Keeper(self.store, self.clock, self.reporter)
        self._leaver = Leaver(self._keeper, self.sites)
        self._behind = False
        self._offers = Offers(self.store, self.sites, self.clock, self.reporter)

    def begin(self, name: str, order: Order) -> Record:
        """Write a new job down. Raises Conflict for a name whose job still runs, or has a machine that is still to be stopped, and for a
        fallback that another job has; InvalidRequest for an order that cannot be kept, or is carried out already; what reading its progress
        raises.
        """
        now = self.clock()
        currency, on_demand = self._offers.terms(order)
        kept = self._keeper.kept(name)
        if kept is not None and kept.state == "running":
            raise Conflict(f"the spot job {name!r} runs already", next_step=f"mcml cost spot status {name}")
        if kept is not None and kept.leaving:
            why = "a machine of the job of that name before may still run"
            raise Conflict(f"the spot job {name!r} is not over", why=why, next_step=f"mcml cost spot stop {name}")
        self._keeper.alone(name, order.fallback)
        begun = replace(_new(name, order, now, kept), found=(found := self._found(order)), saved=found)
        record = self._keeper.save(replace(begun, currency=currency, on_demand=on_demand))
        places = [one.name for one in order.candidates]
        self._keeper.tell(record, "started", work_seconds=order.work, deadline=record.due, candidates=places)
        return record

    def _found(self, order: Order) -> float:
        """Return what is saved before the job begins."""
        found = self.progress()
        if found >= 1:
            why, step = f"{order.progress} says so", "remove it with its checkpoint, or name another --progress"
            raise InvalidRequest("this job is done already", why=why, next_step=step)
        return found

    def planned(self, order: Order) -> Planning:
        """Return where a job would be asked for, in turn, and what it is expected to cost in a market that nothing is known of. Raises as
        `begin`."""
        now = self.clock()
        currency, on_demand = self._offers.terms(order)
        memories = market.recall(self.store, order.candidates)
        offered = self._offers.spot()
        places = [(one.name, offered[one.name], memories[one.name]) for one in market.ranked(order, offered, memories)]
        record = Record("", order, now, now, currency=currency, on_demand=on_demand)
        first = decide.choose(record, now, self._offers.cheapest(on_demand), up=bool(places))
        return decide.planning(record, self._offers.cheapest(on_demand), first, places)

    def resume(self, name: str) -> Record:
        """Take a job up where it was left. Raises NotFound."""
        return self._keeper.resume(name)

    def run(self, record: Record) -> Record:
        """Look after a job until it ends and its machines have ended, or until `sleep` says to leave off.

        A store that does not answer is asked again until the job is late. Raises Conflict when somebody else looks after the job.
        """
        while record.state == "running":
            began = self.clock()
            record = self._looked(record)
            tick = float(record.order.tick)  # the clock may be set meanwhile, also back
            if record.state == "running" and self._rest(record, min(max(tick - (self.clock() - began).total_seconds(), 0.0), tick)):
                record = self.resume(record.name)  # who stops a job says so too
                if record.state == "running":
                    return record
        return self._over(record)

    def _looked(self, record: Record) -> Record:
        """Look once. When the store does not answer, what was done unwritten is taken up with the record, as after a kill."""
        try:
            if self._behind:
                record, self._behind = self.resume(record.name), False
            return self.look(record) if record.state == "running" else record
        except Unavailable as failed:
            if self.clock() > record.due:
                raise
            self.reporter.note(f"{record.name}: {said(failed)}; trying again")
            self._behind = True
            return record

    def _over(self, record: Record) -> Record:
        """Stop what an ended job is to leave, as often as it takes: its machines cost on. An end that was cut off is made whole."""
        record = self._leaver.settled(record)
        for _ in range(LEAVE_TRIES):
            if not record.leaving or self.sleep(LEAVE_SECONDS):
                break
            record = self._leaver.settled(record)
        return record

    def _rest(self, record: Record, seconds: float) -> bool:
        """Wait for the next tick, or for the notice that our machine is to be taken away. True says to leave off."""
        place = record.place
        if place is None or place.choice != Choice.SPOT or place.noticed or not self.sites[place.target].gives_notice:
            return bool(self.sleep(seconds))
        while seconds > 0:
            began, part = self.clock(), min(seconds, NOTICE_SECONDS)
            if self.sleep(part):
                return True
            if seconds > NOTICE_SECONDS and self._notice(place):
                break
            seconds -= max(part, (self.clock() - began).total_seconds())
        return False

    def look(self, record: Record) -> Record:
        """Do what is to be done in one tick. A cloud that does not answer is asked again at the next one; the others are not kept waiting.

        Raises Conflict when somebody else looks after the job.
        """
        try:
            return self._look(record, self.clock())
        except Conflict:
            now = self.resume(record.name)
            if now.state == "running":
                raise
            return replace(now, leaving=(*now.leaving, *self._unheard(now.order)))

    def _unheard(self, order: Order) -> list[Place]:
        """Return all that may have been asked for while somebody else ended the job."""
        back = order.fallback
        own, at = back.instance or back.group, self.clock()
        stopped = [Place(Choice.ON_DEMAND, back.target, "", "", own, Decimal(0), at, group=bool(back.group))] if own else []
        return [*self._everywhere(), *stopped]

    def _everywhere(self) -> list[Place]:
        """Return all that carries the tags of the job."""
        return [Place(Choice.WAIT, target, "", "", "", Decimal(0), self.clock()) for target in self.sites]

    def _look(self, record: Record, now: datetime) -> Record:
        self._offers.refresh(record.order, now)
        record = self._asked(decide.account(record, now))
        record = self._health(decide.advanced(record, self._progress(record), now))
        if record.saved >= 1:
            return self.end(record, "done")
        if record.failures >= FAILURES:
            return self.end(record, "failed")
        return self._keeper.save(self._move(self._due(record, now)))

    def end(self, record: Record, state: State) -> Record:
        """Stop all machines of a job, and write down how it ended."""
        over = self._leaver.settled(self._keeper.save(replace(freed(record), state=state, ended=self.clock())))
        self._keeper.tell(over, "ended", state=state, late=over.late, interruptions=over.interruptions, switches=over.switches)
        return over

    def stop(self, name: str) -> Record:
        """End a job from outside; of one that has ended, stop all that still carries its tags.

        Who looks after it writes at every tick, so the record may be read several times. Raises NotFound.
        """
        for attempt in range(TRIES):
            record = self.resume(name)
            if record.state != "running":
                break
            try:
                return self.end(record, "stopped")
            except Conflict:
                if attempt == TRIES - 1:
                    raise
        told_apart = self._everywhere() if record.run else []
        return self._leaver.settled(replace(record, leaving=(*record.leaving, *told_apart)))

    def _move(self, record: Record) -> Record:
        """Take the place that the policy wants, and remember whether spot was to be had. What is to be left is left after that.

        A machine of which there is notice counts as gone, but is not stopped before there is another one.
        """
        here = record.place if record.place and not record.place.noticed else None
        on_spot = here is not None and here.choice == Choice.SPOT
        wanted = self._wanted(record, up=True)
        up = on_spot or (record.history[-1] if record.history else True)  # nobody asked: as it was
        if wanted == Choice.SPOT and not on_spot:
            record, up = self._take_spot(record)
            if not up:
                wanted = self._wanted(record, up=False)
        if wanted == Choice.ON_DEMAND and (here is None or here.choice != Choice.ON_DEMAND):
            record = self._take_fallback(record)
        if wanted == Choice.WAIT and here is not None:
            record = self._keeper.save(freed(record))
        return self._leaver.left(record, hold=wanted == Choice.ON_DEMAND).tick(up=up)

    def _wanted(self, record: Record, *, up: bool) -> Choice:
        """Return what the policy says now: to ask for a machine takes time."""
        return decide.choose(record, self.clock(), self._offers.cheapest(record.on_demand), up=up)

    def _take_spot(self, record: Record) -> tuple[Record, bool]:
        """Ask the places in turn; return whether one gave a machine. What ran until then is stopped after that.

        Once the time that asking takes has used up the slack, no other place is asked.
        """
        memories, offered = market.recall(self.store, record.order.candidates), self._offers.spot()
        for number, candidate in enumerate(market.ranked(record.order, offered, memories)):
            if number and self._wanted(record, up=True) != Choice.SPOT:
                break
            record, token = _token(record)
            place = Place(Choice.SPOT, candidate.target, candidate.machine, "", token, offered[candidate.name], self.clock())
            here = self._take(record, place)
            if here.place is not None and here.place.token == token:
                return here, True
            record = here
            if not record.history or record.history[-1]:  # the first time; while it lasts, each tick asks again
                self._keeper.remember(candidate.name, lambda memory: memory.refusal())
        return record, False

    def _take_fallback(self, record: Record) -> Record:
        """Start or launch the on-demand machine; when there is no capacity even for that, it is tried again at the next tick.

        One that was asked for without an answer is asked for again: it may be there.
        """
        where = record.order.fallback
        token = next((one.token for one in record.leaving if one.choice == Choice.ON_DEMAND and not one.instance), "")
        token = token or where.instance or where.group
        if not token:
            record, token = _token(record)
        place = Place(Choice.ON_DEMAND, where.target, where.machine, "", token, record.on_demand, self.clock())
        return self._take(record, replace(place, group=bool(where.group)))

    def _take(self, record: Record, place: Place) -> Record:
        """Write down what is asked for, ask, and return the record with the machine, or as it was when there is none to be had."""
        return self._asked(self._keeper.save(replace(freed(record), place=place)), record.place)

    def _asked(self, record: Record, before: Place | None = None) -> Record:
        """Ask for the machine of the place that has none yet: for the first time, or again when the answer was never heard.

        The machine `before` is stopped after that; it is kept when there is none to be had. One of which no answer is heard is left, unless
        it is asked for again: if there is a machine, it is stopped once its cloud answers, and the job does not wait for that.
        """
        place = record.place
        if place is None or place.instance:
            return record
        try:
            machine = self.sites[place.target].ask(tags_of(record), place, record.order.command)
        except McmlError as refused:
            if not record.history or record.history[-1] or place.choice == Choice.ON_DEMAND:
                self.reporter.note(f"{place.name}: {said(refused)}")
            kept = tuple(one for one in record.leaving if one != before)
            if not isinstance(refused, NONE_MADE):
                others = [one for one in kept if _same(one, place)]  # one search finds all of them, each maybe at another time
                several = any(one.several or one.token != place.token for one in others)
                kept = (*(one for one in kept if one not in others), replace(place, several=several))
            return self._keeper.save(replace(record, place=before, leaving=kept))
        switches = record.switches + bool(before and before.instance)
        since = max(place.since, min(machine.launched, self.clock()))  # asked for again, it may be much younger than the first question
        heard = replace(record, place=replace(place, instance=machine.id, since=since), switches=switches)
        unheard = tuple(one for one in heard.leaving if one.instance or one.several or one.token != place.token)
        return self._leaver.left(self._moved(replace(heard, leaving=unheard)))

    def _health(self, record: Record) -> Record:
        """Notice a machine that was taken away, and a command that has ended by itself."""
        place = record.place
        if place is None or record.saved >= 1:
            return record
        try:
            found = self.sites[place.target].find(tags_of(record), place)
        except McmlError as failed:  # it is taken to run: its progress, and the time, tell more
            self.reporter.note(f"{place.name}: {said(failed)}")
            return record
        if found is not None and found.state in THERE:
            return self._waited(record, place) if place.group and found.state == "pending" else self._warned(record, place)
        now = self.clock()
        if found is None and timedelta(0) <= now - place.since < timedelta(seconds=record.order.restart):
            return record  # it may not be listed yet; until it would make progress there is nothing to lose
        gone = replace(place, since=now, noticed=place.noticed or now)  # listed again, it would run for nobody
        unseen = (gone,) if found is None else ()
        if place.choice == Choice.SPOT and (found is None or found.state == "interrupted"):
            counted = record if place.noticed else self._taken(record, place)
            lost = self._keeper.save(replace(counted, place=None, leaving=(*counted.leaving, *unseen)))
            self._keeper.tell(lost, "interrupted", place=place.name, instance=place.instance)
            return lost
        left = (*record.leaving, *(unseen or (place,)))
        ended = self._keeper.save(replace(record, place=None, leaving=left, failures=record.failures + (not place.group)))
        ran = f"the command ended on {place.target}/{place.instance} before it was done"
        self.reporter.note(f"no member of {place.name} runs" if place.group else ran)
        return ended

    def _waited(self, record: Record, place: Place) -> Record:
        """Wait for the member of a group: a cloud takes the wanted size at once, and makes the machine when it has room for one."""
        self.reporter.note(f"{place.name} has no member yet")
        return replace(record, place=replace(place, since=self.clock()))

    def _warned(self, record: Record, place: Place) -> Record:
        """Notice that our machine is about to be taken away: that counts as an interruption."""
        until = self._notice(place) if place.choice == Choice.SPOT and not place.noticed else None
        if until is None:
            return record
        warned = self._keeper.save(replace(self._taken(record, place), place=replace(place, noticed=until)))
        self._keeper.tell(warned, "noticed", place=place.name, instance=place.instance, until=until)
        return warned

    def _taken(self, record: Record, place: Place) -> Record:
        now = self.clock()
        self._keeper.remember(place.name, lambda memory: memory.ran((now - place.since).total_seconds()).taken(now))
        return replace(record, interruptions=record.interruptions + 1)

    def _notice(self, place: Place) -> datetime | None:
        """Return when our machine is to be taken away; a cloud that does not answer gives no notice."""
        try:
            return self.sites[place.target].notice(place)
        except McmlError as failed:
            self.reporter.note(f"{place.name}: {said(failed)}")
            return None

    def _due(self, record: Record, now: datetime) -> Record:
        if record.late or now <= record.due:
            return record
        late = replace(record, late=True)
        self._keeper.tell(late, "late", deadline=record.due)
        return late

    def _progress(self, record: Record) -> float:
        try:
            return self.progress()
        except McmlError as wrong:
            self.reporter.note(said(wrong))
            return record.saved

    def _moved(self, record: Record) -> Record:
        saved, place = self._keeper.save(record), record.place
        if place is not None:
            self._keeper.tell(saved, "moved", place=place.name, market=place.word, instance=place.instance)
        return saved


def _token(record: Record) -> tuple[Record, str]:
    """Return a token that no machine of this job was asked for with, and the record that knows of it."""
    attempt = record.attempt + 1
    return replace(record, attempt=attempt), f"{record.name}-{record.started:%Y%m%dT%H%M%S%f}-{attempt}"


def _new(name: str, order: Order, now: datetime, before: Record | None) -> Record:
    """Return the record of a job that begins; `before` is that of its name before it. A run may be a label of every cloud."""
    earlier = tuple(run for run in (*before.earlier, before.run) if run)[-RUNS:] if before else ()
    return Record(name, order, now, now, run=f"{name}-{now:%Y%m%dt%H%M%S%f}", earlier=earlier)


def _same(one: Place, asked: Place) -> bool:
    """Tell whether two places whose machines were never heard of are found by the same search: the later one is looked for longer."""
    return (one.target, one.choice, one.instance) == (asked.target, asked.choice, "")


def failed(record: Record) -> McmlError:
    """Return what to say of a job whose command does not work."""
    why = f"its command ended {record.failures} times without having saved anything more"
    return McmlError(f"the spot job {record.name!r} failed", why=why, next_step="look at the command's log, then run it under a new name")
