"""One model in all its places: what it costs on each target now, and what an hour of its size costs in every region with a price. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mcml.core.errors import unknown
from mcml.cost.live import Held
from mcml.cost.prices import HOUR_OF_A_MACHINE
from mcml.cost.report import per_thousand
from mcml.providers.api.billing import UnitPrice
from mcml.store.ledger.exact import percent, product, quotient, tidy, total
from mcml.store.ledger.units import ModelCost

Everywhere = Callable[[str], Iterable[tuple[str, UnitPrice]]]
"""Returns the newest price of a SKU in every region, with its provider."""


@dataclass(frozen=True)
class Size:
    """What a model holds: `count` machines of a type (its SKU), or so many vCPUs and GiB."""

    sku: str = ""
    count: int = 1
    vcpus: Decimal = Decimal(0)
    gib: Decimal = Decimal(0)

    def __str__(self) -> str:
        if self.sku:
            return f"{self.count} x {self.sku}" if self.count > 1 else self.sku
        return f"{self.vcpus} vCPU, {self.gib} GiB"


@dataclass(frozen=True)
class Holding:
    """A size on a target, and the list price of an hour of it (None and no currency: not known)."""

    size: Size
    hourly: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True)
class Here:
    """A model on a target, in one currency (empty: neither a price nor a cost is known).

    `hourly` is the list price of what it holds now, None when it holds nothing or the price is not known; `requests`, their share of all
    that were counted, and the usage cost of 1,000 of them are of the span that was asked for.
    """

    target: str
    provider: str
    region: str
    size: str
    hourly: Decimal | None
    currency: str
    requests: int | None
    share: Decimal | None
    per_thousand: Decimal | None


@dataclass(frozen=True)
class There:
    """A region where a size has a price: the list price of an hour, and by how many percent it is dearer than where it runs now."""

    provider: str
    region: str
    size: str
    hourly: Decimal
    currency: str
    dearer: Decimal | None
    source: str
    as_of: datetime


def here(model: str, targets: Mapping[str, tuple[str, str]], held: Sequence[Held], costs: Sequence[ModelCost]) -> list[Here]:
    """Return a line for each target and currency that the model has something in, the most asked first.

    `targets` are those of the settings as name to (provider, region); `costs` are by model and target. Raises NotFound when nobody knows
    the model.
    """
    mine = [each for each in held if each.model == model]
    spent = {(str(cost.key[1] or ""), cost.currency): cost for cost in costs if cost.key[0] == model}
    held_in = {(each.target, each.price.currency if each.price else "") for each in mine}
    keys = held_in | set(spent)
    keys |= {(target, "") for target in targets if target not in {key[0] for key in keys}}
    if not keys:
        raise unknown("model with costs", model, sorted({str(cost.key[0]) for cost in costs if cost.key[0]}), next_step="mcml cost model")
    asked = sum(cost.requests or 0 for cost in spent.values())
    places = {each.target: (each.place.provider, each.place.region) for each in mine} | dict(targets)
    lines = [
        _here(key, places.get(key[0], ("", "")), [each for each in mine if each.target == key[0]], spent.get(key), asked) for key in keys
    ]
    return sorted(lines, key=lambda line: (-(line.requests or 0), line.target, line.currency))


def _here(key: tuple[str, str], place: tuple[str, str], held: Sequence[Held], cost: ModelCost | None, asked: int) -> Here:
    target, currency = key
    priced = [each for each in held if each.price and each.price.currency == currency]
    requests = cost.requests if cost else None
    return Here(
        target=target,
        provider=place[0],
        region=place[1],
        size=", ".join(sorted(str(each.size) for each in holdings(held))),
        hourly=tidy(total(each.hourly or Decimal(0) for each in priced)) if priced else None,
        currency=currency,
        requests=requests,
        share=percent(Decimal(requests), Decimal(asked)) if requests else None,
        per_thousand=per_thousand(cost.metered, requests) if cost and requests else None,
    )


def holdings(held: Iterable[Held]) -> list[Holding]:
    """Return what is held on each target: machines of a type added up, and each endpoint by its use."""
    found: dict[tuple[str, str], list[Held]] = {}
    used = []
    for each in held:
        if each.use:
            used.append(Holding(Size(vcpus=each.use[0], gib=each.use[1]), each.hourly, each.price.currency if each.price else ""))
        elif each.machine:
            found.setdefault((each.target, each.sku), []).append(each)
    return [*(_holding(sku, several) for (_, sku), several in sorted(found.items())), *used]


def _holding(sku: str, several: Sequence[Held]) -> Holding:
    currencies = {each.price.currency if each.price else "" for each in several}
    known = len(currencies) == 1 and "" not in currencies
    hourly = tidy(total(each.hourly or Decimal(0) for each in several)) if known else None
    return Holding(Size(sku, sum(each.count for each in several)), hourly, currencies.pop() if known else "")


def there(holdings: Iterable[Holding], everywhere: Everywhere) -> list[There]:
    """Return every region with a price of a size that is held, cheapest first by currency.

    `dearer` is measured against the lowest price of that size where it runs now, in that currency.
    """
    now: dict[tuple[Size, str], Decimal] = {}
    wanted: dict[Size, None] = {}
    for each in holdings:
        wanted[each.size] = None
        if each.hourly is not None:
            now[each.size, each.currency] = min(each.hourly, now.get((each.size, each.currency), each.hourly))
    found = []
    for size in wanted:
        for provider, price, hourly in _prices(size, everywhere):
            before = now.get((size, price.currency))
            dearer = quotient(product(total((hourly, before.copy_negate())), 100), before, places=1) if before else None
            found.append(There(provider, price.region, str(size), hourly, price.currency, dearer, price.source, price.as_of))
    return sorted(found, key=lambda line: (line.currency, line.size, line.hourly, line.provider, line.region))


def _prices(size: Size, everywhere: Everywhere) -> list[tuple[str, UnitPrice, Decimal]]:
    if size.sku:
        return [(provider, price, tidy(product(price.price, size.count))) for provider, price in everywhere(size.sku)]
    cpu, memory = ({(provider, price.region, price.currency): price for provider, price in everywhere(sku)} for sku in HOUR_OF_A_MACHINE)
    return [
        (key[0], price, tidy(total((product(price.price, size.vcpus), product(memory[key].price, size.gib)))))
        for key, price in cpu.items()
        if key in memory
    ]
