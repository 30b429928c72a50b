"""Run a job on spot: look at it once a tick, take what the policy says, and leave nothing running that nobody knows of.

Every step is written down before it is done (which machine is asked for, under which token; which one is to be stopped), so a kill -9 at
any moment loses nothing: the next `mcml cost spot run NAME` asks with the same token, gets the same machine, and goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, Unavailable, said
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.cost.spot import decide, market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import KIND, Candidate, Order, Place, Planning, Record, State, read
from mcml.cost.spot.progress import Reader
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.instances import Instance, Instances, MachinePrice, MachineRequest
from mcml.providers.api.inventory import Inventory
from mcml.store import documents, prices
from mcml.store.db import Store
from mcml.store.ledger.exact import tidy

TAG = "mcml-spot-job"
PRICES_SECONDS = 600.0
"""How long prices are taken as they were."""
FAILURES = 3
"""A command that ends so often in a row without having saved anything is not started again."""
TRIES = 20
"""How often the record of a job is read again because somebody else has written it meanwhile."""


@dataclass(frozen=True)
class Site:
    """A target: its machines, whose they are, and where. A machine that its cloud never stops is deleted, where it has an inventory."""

    instances: Instances
    provider: str
    region: str
    inventory: Inventory | None = None

    def end(self, instance: str, tags: Mapping[str, str]) -> None:
        """Stop a machine, or delete the one with these tags where it cannot be stopped. Raises InvalidRequest when neither can be done."""
        try:
            self.instances.stop(instance)
        except InvalidRequest:
            name = instance.rpartition("/")[2]
            there = self.inventory.find_by_tag(tags) if self.inventory else []
            mine = [one for one in there if one.id.rpartition("/")[2] == name]
            if self.inventory is None or not mine:
                raise
            for one in mine:
                self.inventory.delete(one)


@dataclass
class Supervisor:
    """Looks after one job. `sites` are the targets of its candidates and of its fallback."""

    store: Store
    sites: Mapping[str, Site]
    progress: Reader
    clock: Clock
    reporter: Reporter
    sleep: Callable[[float], None] = time.sleep
    revision: int = 0
    _prices: dict[str, MachinePrice] = field(default_factory=dict)
    _priced: datetime | None = None

    def begin(self, name: str, order: Order) -> Record:
        """Write a new job down. Raises Conflict for a name whose job still runs, InvalidRequest for an order that cannot be kept."""
        now = self.clock()
        currency, on_demand = self._terms(order)
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
        currency, on_demand = self._terms(order)
        memories = market.recall(self.store, order.candidates)
        offered = {name: price.spot for name, price in self._prices.items() if price.spot is not None}
        places = [(one.name, offered[one.name], memories[one.name]) for one in market.ranked(order, offered, memories)]
        record = Record("", order, now, now, currency=currency, on_demand=on_demand)
        first = decide.choose(record, now, self._spot_price(record), up=bool(places))
        return decide.planning(record, self._spot_price(record), first, places)

    def resume(self, name: str) -> Record:
        """Take a job up where it was left. Raises NotFound."""
        record = self._kept(name)
        if record is None:
            raise NotFound(f"no spot job {name!r}", next_step="mcml cost spot status")
        return record

    def run(self, record: Record) -> Record:
        """Look after a job until it ends. Raises McmlError when its command fails again and again, Conflict when somebody else does it."""
        while record.state == "running":
            began = self.clock()
            record = self.look(record)
            if record.state == "running":
                self.sleep(max(0.0, record.order.tick - (self.clock() - began).total_seconds()))
        return self._settled(record)  # an end that was cut off is made whole

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
            unheard = [Place(Choice.SPOT, target, "", "", "", Decimal(0), self.clock()) for target in self.sites]
            return replace(now, leaving=(*now.leaving, *unheard))  # what was asked for while it was ended

    def _look(self, record: Record, now: datetime) -> Record:
        self._refresh(record.order, now)
        record = self._left(self._asked(decide.account(record, now)))
        record = self._health(decide.advanced(record, self._progress(record), now), now)
        if record.saved >= 1:
            return self.end(record, "done")
        if record.failures >= FAILURES:
            return self.end(record, "failed")
        return self._save(self._move(self._due(record, now), now))

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

    def _move(self, record: Record, now: datetime) -> Record:
        """Take the place that the policy wants, and remember whether spot was to be had."""
        on_spot = record.place is not None and record.place.choice == Choice.SPOT
        wanted = decide.choose(record, now, self._spot_price(record), up=True)
        up = on_spot or (record.history[-1] if record.history else True)  # nobody asked: as it was
        if wanted == Choice.SPOT and not on_spot:
            record, up = self._take_spot(record)
            if not up:
                wanted = decide.choose(record, now, self._spot_price(record), up=False)
        if wanted == Choice.ON_DEMAND and (record.place is None or record.place.choice != Choice.ON_DEMAND):
            record = self._take_fallback(record)
        if wanted == Choice.WAIT and record.place is not None:
            record = self._left(self._save(_freed(record)))
        return record.tick(up=up)

    def _take_spot(self, record: Record) -> tuple[Record, bool]:
        """Ask the places in turn; return whether one gave a machine. What ran until then is stopped after that."""
        memories = market.recall(self.store, record.order.candidates)
        offered = {name: price.spot for name, price in self._prices.items() if price.spot is not None}
        for candidate in market.ranked(record.order, offered, memories):
            attempt = record.attempt + 1
            token = f"{record.name}-{record.started:%Y%m%dT%H%M%S%f}-{attempt}"
            place = Place(Choice.SPOT, candidate.target, candidate.machine, "", token, offered[candidate.name], self.clock())
            here = self._take(replace(record, attempt=attempt), place)
            if here.place is not None and here.place.token == token:
                return here, True
            record = here
            if not record.history or record.history[-1]:  # the first time; while it lasts, each tick asks again
                self._remember(candidate.name, lambda memory: memory.refusal())
        return record, False

    def _take_fallback(self, record: Record) -> Record:
        """Start the on-demand machine; when there is no capacity even for that, it is tried again at the next tick."""
        where = record.order.fallback
        return self._take(record, Place(Choice.ON_DEMAND, where.target, "", "", where.instance, record.on_demand, self.clock()))

    def _take(self, record: Record, place: Place) -> Record:
        """Write down what is asked for, ask, and return the record with the machine, or as it was when there is none to be had."""
        return self._asked(self._save(replace(_freed(record), place=place)), record.place)

    def _asked(self, record: Record, before: Place | None = None) -> Record:
        """Ask for the machine of the place that has none yet: for the first time, or again when the answer was never heard.

        The machine `before` is stopped after that; it is kept when there is none to be had. Spot of which no answer is heard is left: if
        there is a machine, it is stopped once its cloud answers again, and the job does not wait for that.
        """
        place = record.place
        if place is None or place.instance:
            return record
        try:
            machine = self._request(record, place)
        except McmlError as refused:
            if not record.history or record.history[-1] or place.choice == Choice.ON_DEMAND:
                self.reporter.note(f"{place.name}: {said(refused)}")
            kept = tuple(one for one in record.leaving if one != before)
            unheard = isinstance(refused, Unavailable) and place.choice == Choice.SPOT
            if unheard and not any(one.target == place.target and not one.instance for one in kept):
                kept += (place,)
            return self._save(replace(record, place=before, leaving=kept))
        switches = record.switches + bool(record.leaving)
        return self._left(self._moved(replace(record, place=replace(place, instance=machine.id), switches=switches)))

    def _request(self, record: Record, place: Place) -> Instance:
        """Ask for a machine: the same token gives the same one."""
        instances = self.sites[place.target].instances
        if place.choice == Choice.ON_DEMAND:
            return instances.start(place.token)
        return instances.request(MachineRequest(place.machine, place.token, record.order.command, tags={TAG: record.name}))

    def _left(self, record: Record) -> Record:
        """Stop the machines that are to be left; one whose cloud does not answer stays on the list."""
        if not record.leaving:
            return record
        return self._save(replace(record, leaving=tuple(place for place in record.leaving if not self._stopped(record, place))))

    def _stopped(self, record: Record, place: Place) -> bool:
        """Stop a machine, or find that it is gone or has ended; False when its cloud does not answer. One whose name was never heard is
        found by its tag."""
        site, here = self.sites[place.target], record.place.instance if record.place else ""
        if record.place and place.choice == record.place.choice == Choice.ON_DEMAND:
            return True  # it is wanted again
        try:
            spot = [one for one in site.instances.list({TAG: record.name}) if one.id != here]
            wanted = [one.id for one in spot if place.instance in ("", one.id) and one.state in ("running", "pending")]
            for instance in wanted if place.choice == Choice.SPOT else [place.instance or place.token]:
                site.end(instance, {TAG: record.name})
            self._ran(place)
        except Unavailable as failed:
            self.reporter.note(f"{place.name}: {said(failed)}")
            return False
        except NotFound:
            pass
        except McmlError as refused:
            self.reporter.note(f"{place.name} {place.instance} still runs: {said(refused)}")
        return True

    def _health(self, record: Record, now: datetime) -> Record:
        """Notice a machine that was taken away, and a command that has ended by itself."""
        place = record.place
        if place is None or record.saved >= 1:
            return record
        try:
            found = _found(self.sites[place.target].instances, record.name, place)
        except Unavailable as failed:  # it is taken to run: its progress, and the time, tell more
            self.reporter.note(f"{place.name}: {said(failed)}")
            return record
        if found is not None and found.state in ("running", "pending"):
            return record
        if place.choice == Choice.SPOT and (found is None or found.state == "interrupted"):
            self._remember(place.name, lambda memory: memory.ran((now - place.since).total_seconds()).taken(now))
            lost = self._save(replace(record, place=None, interruptions=record.interruptions + 1))
            self._tell(lost, "interrupted", place=place.name, instance=place.instance)
            return lost
        ended = self._save(replace(record, place=None, failures=record.failures + 1))
        self.reporter.note(f"the command ended on {place.target}/{place.instance} before it was done")
        return ended

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

    def _refresh(self, order: Order, now: datetime) -> None:
        """Read the prices of the candidates again when they are old; those of a cloud that fails stay as they were."""
        if self._priced is not None and now - self._priced < timedelta(seconds=PRICES_SECONDS):
            return
        for candidate in order.candidates:
            try:
                (price,) = self.sites[candidate.target].instances.prices([candidate.machine])
            except McmlError as failed:
                if self._priced is None and not isinstance(failed, Unavailable):
                    raise
                self.reporter.note(f"{candidate.name}: {said(failed)}")
                continue
            self._prices[candidate.name] = price
            if price.spot is not None:
                self._note_price(candidate, price, price.spot)
        self._priced = now

    def _note_price(self, candidate: Candidate, price: MachinePrice, spot: Decimal) -> None:
        site = self.sites[candidate.target]
        unit = UnitPrice(f"spot {price.machine}", price.region, "hour", spot, price.currency, "Instances", price.as_of)
        self._remember(candidate.name, lambda memory: memory.priced(price.as_of, spot))
        with self.store.writing() as connection:
            prices.record(connection, site.provider, [unit])

    def _spot_price(self, record: Record) -> Decimal:
        """The cheapest spot price of now; as dear as on demand where nobody offers any."""
        offered = [price.spot for price in self._prices.values() if price.spot is not None]
        return min([*offered, record.on_demand])

    def _terms(self, order: Order) -> tuple[str, Decimal]:
        """Return the currency and the price of an hour on demand of the fallback, and check that the job can be done.

        Raises InvalidRequest for prices in two currencies, or a deadline that cannot be kept; NotFound for the fallback.
        """
        self._refresh(order, self.clock())
        where = order.fallback
        instances = self.sites[where.target].instances
        machine = next((one for one in instances.list() if one.id == where.instance), None)
        if machine is None:
            raise NotFound(f"no machine {where.instance!r} on the target {where.target}", next_step="name a stopped on-demand machine")
        if machine.spot:
            raise InvalidRequest(f"the machine {where.instance!r} is a spot machine", why="a fallback must not be taken away")
        (price,) = instances.prices([machine.machine])
        currencies = sorted({price.currency, *(one.currency for one in self._prices.values())})
        if len(currencies) > 1 or price.on_demand is None:
            why = f"its places are priced in {', '.join(currencies)}" if len(currencies) > 1 else f"{machine.machine} has no price"
            raise InvalidRequest("these places cannot be compared", why=why)
        order.job(min([price.on_demand, *(one.spot for one in self._prices.values() if one.spot is not None)]), price.on_demand)
        return price.currency, price.on_demand

    def _ran(self, place: Place) -> None:
        """Remember how long spot stayed that was given back."""
        if place.choice == Choice.SPOT and place.instance:
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


def _found(instances: Instances, name: str, place: Place) -> Instance | None:
    """Return the machine of a place as it is now, or None."""
    tags = {TAG: name} if place.choice == Choice.SPOT else None
    return next((one for one in instances.list(tags) if one.id == place.instance), None)


def failed(record: Record) -> McmlError:
    """Return what to say of a job whose command does not work."""
    why = f"its command ended {record.failures} times without having saved anything more"
    return McmlError(f"the spot job {record.name!r} failed", why=why, next_step="look at the command's log, then run it under a new name")
