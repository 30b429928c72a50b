"""The prices that the router reads: from the ledger what requests cost, from the catalogue what an hour costs."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from mcml.core.backend import Backend
from mcml.core.clock import Clock, utc_now
from mcml.core.errors import McmlError
from mcml.core.price import PriceInfo
from mcml.cost.meter.basis import Measured, choose
from mcml.providers.api.billing import UnitPrice
from mcml.store import prices
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.exact import tidy, total

HOUR_OF_A_MACHINE = ("vcpu-hour", "gib-hour")
"""The SKUs that add up to an hour of 1 vCPU and 1 GiB: a size that every region has, so that regions can be compared."""
WINDOW = timedelta(hours=24)
REFRESH = timedelta(minutes=1)


class PriceBook:
    """`price(backend)` for a router that runs for days: read anew at most once a minute, and when an unknown backend appears.

    `backends` returns all backends of today; those of one model are priced on one basis (see `basis`). It may take as long as it does
    now and then: between two readings a price is a look-up. Traffic outlives the store: when a reading fails the last prices stay (their
    `as_of` tells their age), `failed` is told, and it is tried again a minute later.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        backends: Callable[[], Iterable[Backend]],
        clock: Clock = utc_now,
        failed: Callable[[McmlError], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._backends = backends
        self._clock = clock
        self._failed = failed
        self._read_at: datetime | None = None
        self._known: frozenset[str] = frozenset()
        self._prices: dict[str, PriceInfo] = {}

    def __call__(self, backend: Backend) -> PriceInfo | None:
        """Return the price of a backend; None when there is none, or none that compares with its peers'."""
        now = self._clock()
        # a clock that was put back must not keep old prices until it has caught up
        fresh = self._read_at is not None and timedelta(0) <= now - self._read_at < REFRESH
        if not fresh or backend.name not in self._known:
            self._read(backend, now)
        return self._prices.get(backend.name)

    def _read(self, asked: Backend, now: datetime) -> None:
        self._read_at, self._known = now, self._known | {asked.name}
        try:
            found = {each.name: each for each in (*self._backends(), asked)}
            self._prices = price_all(self._store, self._ledger, list(found.values()), now)
            self._known = frozenset(found)
        except McmlError as failed:
            self._failed(failed)


def price_all(store: Store, ledger: Ledger, backends: Sequence[Backend], now: datetime) -> dict[str, PriceInfo]:
    """Return the price of each backend that has one, by its name, the backends of one model all in one unit."""
    measured = measured_costs(ledger, now)
    with store.reading() as connection:
        listed = {
            backend.name: [prices.latest(connection, backend.provider, backend.region, sku) for sku in HOUR_OF_A_MACHINE]
            for backend in backends
        }
    hourly = {name: hour_of_a_machine(parts) for name, parts in listed.items()}
    known = {name: price for name, price in hourly.items() if price}
    found: dict[str, PriceInfo] = {}
    for model in {backend.model for backend in backends}:
        found |= choose([backend.name for backend in backends if backend.model == model], measured, known)
    return found


def measured_costs(ledger: Ledger, now: datetime) -> dict[str, Measured]:
    """Return what the requests of the last 24 hours cost by backend name; a backend billed in two currencies is left out."""
    if not ledger.manifest.files:
        return {}
    found: dict[str, list[Measured]] = {}
    for group in ledger.totals(("model", "target"), Scope(since=now - WINDOW, until=now, with_requests=True)):
        model, target = group.key
        if model and target and group.requests:
            until = min(group.last, group.ingested)
            found.setdefault(f"{model}@{target}", []).append(Measured(group.requests, group.effective, group.currency, until))
    return {name: several[0] for name, several in found.items() if len(several) == 1}


def hour_of_a_machine(parts: Sequence[UnitPrice | None]) -> PriceInfo | None:
    """Add up the prices of the SKUs of an hour of 1 vCPU and 1 GiB; None when one is missing, or they are in two currencies."""
    known = [price for price in parts if price]
    if not known or len(known) < len(parts) or len({price.currency for price in known}) > 1:
        return None
    return PriceInfo(
        value=tidy(total(price.price for price in known)),
        unit=f"{known[0].currency}/hour",
        currency=known[0].currency,
        source=", ".join(dict.fromkeys(price.source for price in known)),
        as_of=min(price.as_of for price in known),
    )
