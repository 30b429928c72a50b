"""Where a job stands, written down: its record, the memory of its places, and what the journal is told."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, NotFound
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.cost.spot import decide, market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import KIND, Fallback, Place, Record, read
from mcml.store import documents
from mcml.store.db import Store
from mcml.store.ledger.exact import tidy


@dataclass
class Keeper:
    """Keeps the record of one job. `revision` is that of the record as we read or wrote it last."""

    store: Store
    clock: Clock
    reporter: Reporter
    revision: int = 0

    def kept(self, name: str) -> Record | None:
        """Return the record as it stands; None when there is none."""
        with self.store.reading() as connection:
            kept = documents.get(connection, KIND, name)
        self.revision = kept.revision if kept else 0
        return read(kept.content) if kept else None

    def alone(self, name: str, fallback: Fallback) -> None:
        """Raise Conflict when another job that is not over has the same machine, or the same group, to fall back on."""
        if not (what := fallback.instance or fallback.group):
            return
        with self.store.reading() as connection:
            others = [read(one.content) for one in documents.every(connection, KIND) if one.key != name]
        for one in others:
            if one.order.fallback == fallback and (one.state == "running" or one.leaving):
                why = f"the spot job {one.name} falls back on it, too, and would end it for this one"
                step = f"name another --fallback, or mcml cost spot stop {one.name}"
                raise Conflict(f"{fallback.target}/{what} is taken", why=why, next_step=step)

    def resume(self, name: str) -> Record:
        """Return the record as it stands. Raises NotFound."""
        record = self.kept(name)
        if record is None:
            raise NotFound(f"no spot job {name!r}", next_step="mcml cost spot status")
        return record

    def save(self, record: Record) -> Record:
        """Write the record down. Raises Conflict when somebody else has changed it since: a stop, or another mcml that looks after it."""
        with self.store.writing() as connection:
            kept = documents.put(connection, KIND, record.name, record.document, self.clock(), after=self.revision)
        self.revision = kept.revision
        return record

    def tell(self, record: Record, event: str, **facts: object) -> None:
        """Write what happened to the journal, with the cost so far and what was saved against on demand."""
        dear = decide.on_demand_cost(record)
        money = {"cost": str(tidy(record.cost)), "on_demand_cost": str(tidy(dear)), "saved": str(tidy(dear - record.cost))}
        plain = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in facts.items()}
        told = {"job": record.name, **plain, "done": round(record.saved, 6), **money, "currency": record.currency}
        self.store.append(Fact(f"cost.spot_{event}", "cost", record.name, told, at=self.clock()))
        self.reporter.note(f"{record.name}: {event}" + (f" {facts['place']}" if "place" in facts else ""))

    def remember(self, name: str, to: Callable[[market.Memory], market.Memory]) -> None:
        """Remember something more of a place."""
        market.change(self.store, name, to, self.clock())

    def ran(self, place: Place) -> None:
        """Remember how long spot stayed that was given back."""
        if place.choice == Choice.SPOT and place.instance and not place.noticed:
            self.remember(place.name, lambda memory: memory.ran((self.clock() - place.since).total_seconds()))
