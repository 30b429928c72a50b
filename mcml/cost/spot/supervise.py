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
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable, said
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.cost.spot import decide, market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.offers import Offers
from mcml.cost.spot.order import KIND, Order, Place, Planning, Record, State, read
from mcml.cost.spot.progress import Reader
from mcml.cost.spot.site import THERE, Site
from mcml.store import documents
from mcml.store.db import Store
from mcml.store.ledger.exact import tidy

FAILURES = 3
"""A command that ends so often in a row without having saved anything is not started again."""
TRIES = 20
"""How often the record of a job is read again because somebody else has written it meanwhile."""
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
    revision: int = 0

    def __post_init__(self) -> None:
        self._offers = Offers(self.store, self.sites, self.clock, self.reporter)

    def begin(self, name: str, order: Order) -> Record:
        """Write a new job down. Raises Conflict for a name whose job still runs, InvalidRequest for an order that cannot be kept."""
        now = self.clock()
        currency, on_demand = self._offers.terms(order)
        kept = self._kept(name)
        if kept is not None and kept.state == "running":
            raise Conflict(f"the spot job {name!r} runs already", next_step=f"mcml cost spot status {name}")
        record = self._save(Record(name, order, now, now, currency=currency, on_demand=on_demand))
        self._tell(record, "started", work_seconds=order.work, deadline=record.due, candidates=[one.name for one in order.candidates])
        return record

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
        record = self._kept(name)
        if record is None:
            raise NotFound(f"no spot job {name!r}", next_step="mcml cost spot status")
        return record

    def run(self, record: Record) -> Record:
        """Look after a job until it ends, or until `sleep` says to leave off.

        Raises McmlError when its command fails again and again, Conflict when somebody else looks after it.
        """
        while record.state == "running":
            began = self.clock()
            record = self.look(record)
            if record.state == "running" and self._rest(record, max(0.0, record.order.tick - (self.clock() - began).total_seconds())):
                record = self.resume(record.name)  # who stops a job says so too
                if record.state == "running":
                    return record
        return self._settled(record)  # an end that was cut off is made whole

    def _rest(self, record: Record, seconds: float) -> bool:
        """Wait for the next tick, or for the notice that our machine is to be taken away. True says to leave off."""
        place, end = record.place, self.clock() + timedelta(seconds=seconds)
        if place is None or place.choice != Choice.SPOT or place.noticed or not self.sites[place.target].gives_notice:
            return bool(self.sleep(seconds))
        while (left := (end - self.clock()).total_seconds()) > 0:
            if self.sleep(min(left, NOTICE_SECONDS)):
                return True
            if left > NOTICE_SECONDS and self._notice(place):
                break
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
        places = [Place(Choice.WAIT, target, "", "", "", Decimal(0), self.clock()) for target in self.sites]
        back = order.fallback
        stopped = [Place(Choice.ON_DEMAND, back.target, "", "", back.instance, Decimal(0), self.clock())] if back.instance else []
        return [*places, *stopped]

    def _look(self, record: Record, now: datetime) -> Record:
        self._offers.refresh(record.order, now)
        record = self._asked(decide.account(record, now))
        record = self._health(decide.advanced(record, self._progress(record), now))
        if record.saved >= 1:
            return self.end(record, "done")
        if record.failures >= FAILURES:
            return self.end(record, "failed")
        return self._save(self._move(self._due(record, now)))

    def end(self, record: Record, state: State) -> Record:
        """Stop all machines of a job, and write down how it ended."""
        over = self._settled(self._save(replace(_freed(record), state=state, ended=self.clock())))
        self._tell(over, "ended", state=state, late=over.late, interruptions=over.interruptions, switches=over.switches)
        return over

    def stop(self, name: str) -> Record:
        """End a job from outside. Who looks after it writes at every tick, so the record may be read several times. Raises NotFound."""
        for attempt in range(TRIES):
            record = self.resume(name)
            if record.state != "running":
                break
            try:
                return self.end(record, "stopped")
            except Conflict:
                if attempt == TRIES - 1:
                    raise
        return self._settled(record)

    def _settled(self, record: Record) -> Record:
        """Stop what an ended job is to leave. Who looks after it and who stops it may both be at that: then the record is read again."""
        for _ in range(TRIES):
            try:
                return self._left(record)
            except Conflict:
                now = self.resume(record.name)
                record = replace(now, leaving=tuple(dict.fromkeys((*now.leaving, *record.leaving))))
        return record

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
            record = self._save(_freed(record))
        return self._left(record, hold=wanted == Choice.ON_DEMAND).tick(up=up)

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
                self._remember(candidate.name, lambda memory: memory.refusal())
        return record, False

    def _take_fallback(self, record: Record) -> Record:
        """Start or launch the on-demand machine; when there is no capacity even for that, it is tried again at the next tick.

        One that was asked for without an answer is asked for again: it may be there.
        """
        where = record.order.fallback
        token = next((one.token for one in record.leaving if one.choice == Choice.ON_DEMAND and not one.instance), where.instance)
        if not token:
            record, token = _token(record)
        return self._take(record, Place(Choice.ON_DEMAND, where.target, where.machine, "", token, record.on_demand, self.clock()))

    def _take(self, record: Record, place: Place) -> Record:
        """Write down what is asked for, ask, and return the record with the machine, or as it was when there is none to be had."""
        return self._asked(self._save(replace(_freed(record), place=place)), record.place)

    def _asked(self, record: Record, before: Place | None = None) -> Record:
        """Ask for the machine of the place that has none yet: for the first time, or again when the answer was never heard.

        The machine `before` is stopped after that; it is kept when there is none to be had. One of which no answer is heard is left, unless
        it is asked for again: if there is a machine, it is stopped once its cloud answers, and the job does not wait for that.
        """
        place = record.place
        if place is None or place.instance:
            return record
        try:
            machine = self.sites[place.target].ask(record.name, place, record.order.command)
        except McmlError as refused:
            if not record.history or record.history[-1] or place.choice == Choice.ON_DEMAND:
                self.reporter.note(f"{place.name}: {said(refused)}")
            kept = tuple(one for one in record.leaving if one != before)
            listed = any((one.target, one.choice, one.instance) == (place.target, place.choice, "") for one in kept)
            if isinstance(refused, Unavailable) and not listed:
                kept += (place,)
            return self._save(replace(record, place=before, leaving=kept))
        switches = record.switches + bool(before and before.instance)
        return self._left(self._moved(replace(record, place=replace(place, instance=machine.id), switches=switches)))

    def _left(self, record: Record, *, hold: bool = False) -> Record:
        """End the machines that are to be left; one whose cloud does not answer stays on the list.

        So does (`hold`) one on demand that was asked for without an answer, while one is wanted.
        """
        if not record.leaving:
            return record
        held = [one for one in record.leaving if hold and one.choice == Choice.ON_DEMAND and not one.instance]
        kept = tuple(one for one in record.leaving if one in held or not self._ended(record, one))
        return self._save(replace(record, leaving=kept))

    def _ended(self, record: Record, place: Place) -> bool:
        """End a machine, or find that it is gone or has ended; False when its cloud does not answer, or may do it later."""
        here = record.place
        if here and here.choice == Choice.ON_DEMAND and here.token == place.token:
            return True  # it is wanted again
        try:
            self.sites[place.target].leave(record.name, place, here.instance if here else "")
            self._ran(place)
        except Unavailable as failed:
            self.reporter.note(f"{place.name}: {said(failed)}")
            return False
        except NotFound:
            pass
        except InvalidRequest as refused:  # its cloud will not stop it, however often it is asked
            self.reporter.note(f"{place.name} {place.instance} still runs: {said(refused)}")
        except McmlError as failed:
            self.reporter.note(f"{place.name} {place.instance} still runs: {said(failed)}")
            return False
        return True

    def _health(self, record: Record) -> Record:
        """Notice a machine that was taken away, and a command that has ended by itself."""
        place = record.place
        if place is None or record.saved >= 1:
            return record
        try:
            found = self.sites[place.target].find(record.name, place)
        except (Unavailable, NotAuthenticated) as failed:  # it is taken to run: its progress, and the time, tell more
            self.reporter.note(f"{place.name}: {said(failed)}")
            return record
        if found is not None and found.state in THERE:
            return self._warned(record, place)
        if place.choice == Choice.SPOT and (found is None or found.state == "interrupted"):
            counted = record if place.noticed else self._taken(record, place)
            lost = self._save(replace(counted, place=None))
            self._tell(lost, "interrupted", place=place.name, instance=place.instance)
            return lost
        ended = self._save(replace(_freed(record), failures=record.failures + 1))
        self.reporter.note(f"the command ended on {place.target}/{place.instance} before it was done")
        return ended

    def _warned(self, record: Record, place: Place) -> Record:
        """Notice that our machine is about to be taken away: that counts as an interruption."""
        until = self._notice(place) if place.choice == Choice.SPOT and not place.noticed else None
        if until is None:
            return record
        warned = self._save(replace(self._taken(record, place), place=replace(place, noticed=until)))
        self._tell(warned, "noticed", place=place.name, instance=place.instance, until=until)
        return warned

    def _taken(self, record: Record, place: Place) -> Record:
        now = self.clock()
        self._remember(place.name, lambda memory: memory.ran((now - place.since).total_seconds()).taken(now))
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
        self._tell(late, "late", deadline=record.due)
        return late

    def _progress(self, record: Record) -> float:
        try:
            return self.progress()
        except McmlError as wrong:
            self.reporter.note(said(wrong))
            return record.saved

    def _ran(self, place: Place) -> None:
        """Remember how long spot stayed that was given back."""
        if place.choice == Choice.SPOT and place.instance and not place.noticed:
            self._remember(place.name, lambda memory: memory.ran((self.clock() - place.since).total_seconds()))

    def _moved(self, record: Record) -> Record:
        saved, place = self._save(record), record.place
        if place is not None:
            self._tell(saved, "moved", place=place.name, market=place.word, instance=place.instance)
        return saved

    def _remember(self, name: str, to: Callable[[market.Memory], market.Memory]) -> None:
        market.change(self.store, name, to, self.clock())

    def _kept(self, name: str) -> Record | None:
        with self.store.reading() as connection:
            kept = documents.get(connection, KIND, name)
        self.revision = kept.revision if kept else 0
        return read(kept.content) if kept else None

    def _save(self, record: Record) -> Record:
        """Write the record down. Raises Conflict when somebody else has changed it since: a stop, or another mcml that looks after it."""
        with self.store.writing() as connection:
            kept = documents.put(connection, KIND, record.name, record.document, self.clock(), after=self.revision)
        self.revision = kept.revision
        return record

    def _tell(self, record: Record, event: str, **facts: object) -> None:
        """Write what happened to the journal, with the cost so far and what was saved against on demand."""
        dear = decide.on_demand_cost(record)
        money = {"cost": str(tidy(record.cost)), "on_demand_cost": str(tidy(dear)), "saved": str(tidy(dear - record.cost))}
        plain = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in facts.items()}
        told = {"job": record.name, **plain, "done": round(record.saved, 6), **money, "currency": record.currency}
        self.store.append(Fact(f"cost.spot_{event}", "cost", record.name, told, at=self.clock()))
        self.reporter.note(f"{record.name}: {event}" + (f" {facts['place']}" if "place" in facts else ""))


def _freed(record: Record) -> Record:
    """Return the record without a place; the machine of the place is to be left."""
    return replace(record, place=None, leaving=(*record.leaving, *([record.place] if record.place else [])))


def _token(record: Record) -> tuple[Record, str]:
    """Return a token that no machine of this job was asked for with, and the record that knows of it."""
    attempt = record.attempt + 1
    return replace(record, attempt=attempt), f"{record.name}-{record.started:%Y%m%dT%H%M%S%f}-{attempt}"


def failed(record: Record) -> McmlError:
    """Return what to say of a job whose command does not work."""
    why = f"its command ended {record.failures} times without having saved anything more"
    return McmlError(f"the spot job {record.name!r} failed", why=why, next_step="look at the command's log, then run it under a new name")
