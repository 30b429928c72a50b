"""What a model will cost by the hour where a deploy puts it, from the price catalogue (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from mcml.core.price import STALE_AFTER
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import PriceOfReplica, ReplicaPrice
from mcml.providers.api.endpoint_size import ReplicaSize
from mcml.store.ledger.exact import product, tidy, total

PriceOf = Callable[[str, str, str], UnitPrice | None]
"""Returns the newest price of (provider, region, SKU), None when there is none."""
MONTH = Decimal(730)
"""Hours of a month, as on the clouds' own calculators."""
CPU, MEMORY = "vcpu-hour", "gib-hour"
_WORDS = {CPU: "vCPU", MEMORY: "GiB"}


@dataclass(frozen=True)
class Price:
    """What a version costs an hour on a target, by list price and for the replicas it starts with; None where nobody knows.

    `why` says what is missing of it. With `by_use` the place takes money for what is used: it is the most that can be.
    """

    target: str
    size: str
    hourly: Decimal | None = None
    currency: str = ""
    why: str = ""
    by_use: bool = False
    source: str = ""
    as_of: datetime | None = None

    @property
    def monthly(self) -> Decimal | None:
        """What 730 hours cost."""
        return None if self.hourly is None else tidy(product(self.hourly, MONTH))


def priced(
    target: str,
    provider: str,
    region: str,
    size: ReplicaSize,
    price_of: PriceOf,
    *,
    now: datetime,
    price_of_replica: PriceOfReplica | None = None,
) -> Price:
    """Return what a version of a size costs on a target of a provider and region, and that its price is old where it is.

    `price_of_replica` tells the price of its machine where that is not the one of the plain machine.
    """
    parts = _parts(size)
    named = ", ".join(sku if sku == size.machine else f"{tidy(amount)} {_WORDS[sku]}" for sku, amount in parts)
    bare = Price(target, f"{size.replicas} x {named}" if named and size.replicas != 1 else named, by_use=size.by_use)
    found = [_told(sku, provider, region, price_of, price_of_replica if sku == size.machine else None) for sku, _ in parts]
    prices = [told.price for told in found if told.price is not None]
    if not parts:
        return replace(bare, why="its provider does not tell what it is given")
    if len(prices) < len(parts):
        return replace(bare, why=next(told.why for told in found if told.price is None))
    if len({price.currency for price in prices}) > 1:
        return replace(bare, why="its prices are in several currencies")
    costs = (product(price.price, amount) for price, (_, amount) in zip(prices, parts, strict=True))
    oldest = min(prices, key=lambda price: price.as_of)
    why = [] if size.machine or size.memory_gib is not None else ["memory comes on top, by what it holds"]
    why += [f"an old price, of {oldest.as_of:%Y-%m-%d}"] if now - oldest.as_of > STALE_AFTER else []
    hourly = tidy(product(total(costs), size.replicas))
    return replace(bare, hourly=hourly, currency=oldest.currency, why="; ".join(why), source=oldest.source, as_of=oldest.as_of)


def _told(sku: str, provider: str, region: str, price_of: PriceOf, price_of_replica: PriceOfReplica | None) -> ReplicaPrice:
    if price_of_replica is not None:
        return price_of_replica(sku)
    price = price_of(provider, region, sku)
    return ReplicaPrice(price, "" if price else f"no price of {sku} in {region or 'its region'} is known")


def _parts(size: ReplicaSize) -> list[tuple[str, Decimal]]:
    """Return what a replica takes, as SKUs and amounts."""
    if size.machine:
        return [(size.machine, Decimal(1))]
    return [(sku, amount) for sku, amount in ((CPU, size.vcpus), (MEMORY, size.memory_gib)) if amount is not None]
