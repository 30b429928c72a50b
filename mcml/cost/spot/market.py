"""What is remembered of each place where spot may be had: prices, interruptions, refusals; and in which order places are asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from mcml.cost.spot.checkpoint import lost, mean_time_between
from mcml.cost.spot.order import Candidate, Order
from mcml.store import documents
from mcml.store.db import Store

KIND = "cost.spot.market"
KEPT = 100
"""Prices and interruptions of a place that are kept, the newest."""


@dataclass(frozen=True)
class Memory:
    """Of one place: seconds that our machines ran there on spot, when they were taken away, how often none was to be had, and the prices
    (time, price of an hour) when they changed."""

    seconds: float = 0.0
    interruptions: tuple[datetime, ...] = ()
    interrupted: int = 0
    refused: int = 0
    prices: tuple[tuple[datetime, Decimal], ...] = ()

    @property
    def between(self) -> float:
        """Mean seconds between interruptions."""
        return mean_time_between(self.seconds, self.interrupted)

    def ran(self, seconds: float) -> "Memory":
        """Return the memory after so many seconds more."""
        return replace(self, seconds=self.seconds + seconds)

    def taken(self, at: datetime) -> "Memory":
        """Return the memory after an interruption."""
        return replace(self, interrupted=self.interrupted + 1, interruptions=(*self.interruptions, at)[-KEPT:])

    def refusal(self) -> "Memory":
        """Return the memory after a request that got nothing."""
        return replace(self, refused=self.refused + 1)

    def priced(self, at: datetime, price: Decimal) -> "Memory":
        """Return the memory with the price of now; one that is as it was is not kept again."""
        if self.prices and self.prices[-1][1] == price:
            return self
        return replace(self, prices=(*self.prices, (at, price))[-KEPT:])


def ranked(order: Order, prices: Mapping[str, Decimal], memories: Mapping[str, Memory]) -> list[Candidate]:
    """Return the candidates that have a price, cheapest first: price of an hour over the share of it that interruptions do not lose."""

    def real(candidate: Candidate) -> float:
        between = memories.get(candidate.name, Memory()).between
        every = float(max(order.checkpoint, 1))
        return float(prices[candidate.name]) / max(1e-6, 1 - lost(every, 0.0, between, float(order.restart)))

    known = [candidate for candidate in order.candidates if candidate.name in prices]
    return sorted(known, key=lambda candidate: (real(candidate), candidate.name))


def recall(store: Store, candidates: Sequence[Candidate]) -> dict[str, Memory]:
    """Return what is remembered of each place."""
    known = every(store)
    return {candidate.name: known.get(candidate.name, Memory()) for candidate in candidates}


def every(store: Store) -> dict[str, Memory]:
    """Return what is remembered of every place that was ever a candidate."""
    with store.reading() as connection:
        return {kept.key: read(kept.content) for kept in documents.every(connection, KIND)}


def change(store: Store, name: str, to: Callable[[Memory], Memory], at: datetime) -> None:
    """Remember something more of a place, in one transaction."""
    with store.writing() as connection:
        kept = documents.get(connection, KIND, name)
        before = read(kept.content) if kept else Memory()
        if (after := to(before)) != before:
            documents.put(connection, KIND, name, asdict(after), at)


def read(content: object) -> Memory:
    """Return the memory of a document."""
    from pydantic import TypeAdapter

    return TypeAdapter(Memory).validate_python(content)
