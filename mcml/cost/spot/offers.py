"""What the places of a job cost: spot as of a few minutes ago, and on demand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.clock import Clock
from mcml.core.errors import InvalidRequest, McmlError, NotFound, Unavailable, said
from mcml.core.report import Reporter
from mcml.cost.spot import market
from mcml.cost.spot.order import Candidate, Fallback, Order
from mcml.cost.spot.site import Site
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.instances import MachinePrice
from mcml.store import prices
from mcml.store.db import Store

PRICES_SECONDS = 600.0
"""How long prices are taken as they were."""


@dataclass
class Offers:
    """The prices of a job's candidates; each that is read goes to the market's memory and to the price catalogue."""

    store: Store
    sites: Mapping[str, Site]
    clock: Clock
    reporter: Reporter
    _prices: dict[str, MachinePrice] = field(default_factory=dict)
    _priced: datetime | None = None

    def refresh(self, order: Order, now: datetime) -> None:
        """Read the prices of the candidates again when they are old; those of a cloud that fails stay as they were.

        Raises McmlError when they are read for the first time and the cloud refuses.
        """
        if self._priced is not None and abs(now - self._priced) < timedelta(seconds=PRICES_SECONDS):  # also when the clock was set back
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
                self._note(candidate, price, price.spot)
        self._priced = now

    def spot(self) -> dict[str, Decimal]:
        """Return the spot price of an hour at each candidate that has one."""
        return {name: price.spot for name, price in self._prices.items() if price.spot is not None}

    def cheapest(self, on_demand: Decimal) -> Decimal:
        """Return the cheapest spot price of now; as dear as on demand where nobody offers any."""
        return min([*self.spot().values(), on_demand])

    def terms(self, order: Order) -> tuple[str, Decimal]:
        """Return the currency and the price of an hour on demand of the fallback, and check that the job can be done.

        Raises InvalidRequest for prices in two currencies, or a deadline that cannot be kept; NotFound for the fallback.
        """
        self.refresh(order, self.clock())
        machine = self._fallback_type(order.fallback)
        (price,) = self.sites[order.fallback.target].instances.prices([machine])
        currencies = sorted({price.currency, *(one.currency for one in self._prices.values())})
        if len(currencies) > 1 or price.on_demand is None:
            why = f"its places are priced in {', '.join(currencies)}" if len(currencies) > 1 else f"{machine} has no price on demand"
            raise InvalidRequest("these places cannot be compared", why=why, next_step="mcml cost prices")
        order.job(self.cheapest(price.on_demand), price.on_demand)
        return price.currency, price.on_demand

    def _fallback_type(self, where: Fallback) -> str:
        if where.machine:
            return where.machine
        if where.group:
            return self.sites[where.target].group_type(where.group)
        machine = next((one for one in self.sites[where.target].instances.list() if one.id == where.instance), None)
        if machine is None:
            raise NotFound(f"no machine {where.instance!r} on the target {where.target}", next_step="name a stopped on-demand machine")
        if machine.spot:
            step = "name a machine type, a stopped on-demand machine or an empty group"
            why = "a fallback must not be taken away"
            raise InvalidRequest(f"the machine {where.instance!r} is a spot machine", why=why, next_step=step)
        return machine.machine

    def _note(self, candidate: Candidate, price: MachinePrice, spot: Decimal) -> None:
        site = self.sites[candidate.target]
        unit = UnitPrice(f"spot {price.machine}", price.region, "hour", spot, price.currency, "Instances", price.as_of)
        market.change(self.store, candidate.name, lambda memory: memory.priced(price.as_of, spot), self.clock())
        with self.store.writing() as connection:
            prices.record(connection, site.provider, [unit])
