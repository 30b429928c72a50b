"""What the resources of a plan cost a month, and what the plan adds to it (pure).

A month is 730 hours, as on the clouds' own calculators; a price is a list price of its source's day, on demand unless the SKU is a spot
machine. What has no price is named and never counts as zero. Sizes are the desired ones, or the least where only a range is known.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from mcml.infra.plans.meters import Part, is_spot, parts_of
from mcml.infra.plans.resources import Resource
from mcml.providers.api.billing import UnitPrice

PriceOf = Callable[[str, str, str], UnitPrice | None]
"""Returns the newest price of (cloud, region, SKU), None when there is none."""

CURRENCY = "USD"
HOUR, MONTH = Decimal(730), Decimal(1)
A_MONTH = {"h": HOUR, "hour": HOUR, "hours": HOUR, "hrs": HOUR, "month": MONTH, "gb-mo": MONTH, "giby.mo": MONTH}
"""How often the unit of a price is paid in a month."""

REFERENCE = {"aws": "us-east-1"}
"""Where the price list of a cloud has one region only: said beside what has no price, never counted."""


@dataclass(frozen=True)
class Charge:
    """What one resource costs a month in one state: `monthly` is the sum of what is priced, `unpriced` says what is not."""

    monthly: Decimal = Decimal(0)
    what: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    prices: tuple[UnitPrice, ...] = ()
    by_use: bool = False


@dataclass(frozen=True)
class Line:
    """One resource before and after the plan."""

    unit: str
    cloud: str
    address: str
    kind: str
    region: str
    before: Charge
    after: Charge

    @property
    def delta(self) -> Decimal:
        """What the plan adds a month; less than nothing when it saves."""
        return self.after.monthly - self.before.monthly

    @property
    def changes(self) -> bool:
        """Tell whether the plan changes what is paid for."""
        return self.before != self.after


@dataclass(frozen=True)
class Estimate:
    """The lines of one or more units, sorted by unit, cloud and address. Resources that are free have none."""

    lines: tuple[Line, ...] = ()

    @property
    def before(self) -> Decimal:
        """What all that is priced costs a month before the plan."""
        return sum((line.before.monthly for line in self.lines), Decimal(0))

    @property
    def after(self) -> Decimal:
        """What all that is priced costs a month after the plan."""
        return sum((line.after.monthly for line in self.lines), Decimal(0))

    @property
    def unpriced(self) -> tuple[Line, ...]:
        """The lines with something that has no price after the plan: the sum is at least so much, not so much."""
        return tuple(line for line in self.lines if line.after.unpriced)

    @property
    def by_use(self) -> tuple[Line, ...]:
        """The lines of what costs by its use, which a plan cannot tell."""
        return tuple(line for line in self.lines if line.after.by_use)

    @property
    def uncertain(self) -> bool:
        """Tell whether something that the plan changes has no price, before or after."""
        return any(line.changes and (line.before.unpriced or line.after.unpriced) for line in self.lines)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the prices were read, each with the day on which it last said so."""
        prices = [price for line in self.lines for price in (*line.before.prices, *line.after.prices)]
        dated = ((price.source, f"{price.as_of:%Y-%m-%d}") for price in prices)
        return tuple(sorted({source if day in source else f"{source}, {day}" for source, day in dated}))

    def groups(self) -> dict[tuple[str, str], "Estimate"]:
        """Return the estimates by unit and cloud."""
        keys = dict.fromkeys((line.unit, line.cloud) for line in self.lines)
        return {key: Estimate(tuple(line for line in self.lines if (line.unit, line.cloud) == key)) for key in keys}


def merged(estimates: Iterable[Estimate]) -> Estimate:
    """Return the estimate of several units."""
    lines = (line for one in estimates for line in one.lines)
    return Estimate(tuple(sorted(lines, key=lambda line: (line.unit, line.cloud, line.address))))


def estimate(unit: str, resources: Sequence[Resource], price_of: PriceOf) -> Estimate:
    """Price the resources of a plan that belong to a cloud, before and after it. What belongs to none is not asked about."""
    found = []
    for resource in resources:
        if not resource.cloud:
            continue
        before, after = (_charge(resource, values, price_of) for values in (resource.before, resource.after))
        if before != Charge() or after != Charge():
            found.append(Line(unit, resource.cloud, resource.address, resource.kind, resource.region, before, after))
    return merged([Estimate(tuple(found))])


def _charge(resource: Resource, values: object, price_of: PriceOf) -> Charge:
    if values is None or not isinstance(values, dict):
        return Charge()
    parts = parts_of(resource.kind, values)
    if parts is None:
        return Charge(by_use=True)
    charge = Charge()
    for part in parts:
        charge = _with(charge, part, resource, price_of)
    return charge


def _with(charge: Charge, part: Part, resource: Resource, price_of: PriceOf) -> Charge:
    what = (*charge.what, f"{part.count.normalize():f} x {part.what}" if part.count != 1 else part.what)
    if part.sku and not part.count:
        return replace(charge, what=what)
    price = price_of(resource.cloud, resource.region, part.sku) if part.sku and resource.region else None
    times = A_MONTH.get(price.unit.lower()) if price and price.currency == CURRENCY else None
    if price is None or times is None:
        return replace(charge, what=what, unpriced=(*charge.unpriced, _reason(part, resource, price, price_of)))
    monthly = charge.monthly + price.price * part.count * times
    return replace(charge, what=what, monthly=monthly, prices=(*charge.prices, price))


def _reason(part: Part, resource: Resource, price: UnitPrice | None, price_of: PriceOf) -> str:
    """Say why a part has no price, and what is known instead."""
    if part.why:
        return f"{part.what}: {part.why}"
    if not resource.region:
        return f"{part.what}: its region cannot be told"
    if price:
        return f"{part.what}: its price is in {price.currency} per {price.unit}"
    hint = ""
    if is_spot(part.sku):
        listed = price_of(resource.cloud, resource.region, part.sku.removesuffix(" spot"))
        hint = f" (on demand {listed.price} {listed.currency}/h each)" if listed else ""
    elsewhere = REFERENCE.get(resource.cloud, resource.region)
    if not hint and elsewhere != resource.region:
        listed = price_of(resource.cloud, elsewhere, part.sku.removesuffix(" spot"))
        hint = f" ({elsewhere}: {listed.price} {listed.currency}/h each)" if listed else ""
    return f"{part.what}: no price in {resource.region}{hint}"
