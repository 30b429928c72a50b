"""What a model will cost by the hour where a deploy puts it, from the price catalogue (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from mcml.providers.api.billing import UnitPrice
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


def priced(target: str, provider: str, region: str, size: ReplicaSize, price_of: PriceOf) -> Price:
    """Return what a version of a size costs on a target of a provider and region."""
    parts = _parts(size)
    named = ", ".join(sku if sku == size.machine else f"{tidy(amount)} {_WORDS[sku]}" for sku, amount in parts)
    bare = Price(target, f"{size.replicas} x {named}" if named and size.replicas != 1 else named, by_use=size.by_use)
    found = [(price_of(provider, region, sku), amount) for sku, amount in parts]
    prices = [(price, amount) for price, amount in found if price is not None]
    if not parts:
        return replace(bare, why="its provider does not tell what it is given")
    if len(prices) < len(parts):
        missing = next(sku for (sku, _), (price, _) in zip(parts, found, strict=True) if price is None)
        return replace(bare, why=f"no price of {missing} in {region or 'its region'} is known")
    if len({price.currency for price, _ in prices}) > 1:
        return replace(bare, why="its prices are in several currencies")
    hourly = tidy(product(total(product(price.price, amount) for price, amount in prices), size.replicas))
    oldest = min((price for price, _ in prices), key=lambda price: price.as_of)
    why = "" if size.machine or size.memory_gib is not None else "memory comes on top, by what it holds"
    return replace(bare, hourly=hourly, currency=oldest.currency, why=why, source=oldest.source, as_of=oldest.as_of)


def _parts(size: ReplicaSize) -> list[tuple[str, Decimal]]:
    """Return what a replica takes, as SKUs and amounts."""
    if size.machine:
        return [(size.machine, Decimal(1))]
    return [(sku, amount) for sku, amount in ((CPU, size.vcpus), (MEMORY, size.memory_gib)) if amount is not None]
