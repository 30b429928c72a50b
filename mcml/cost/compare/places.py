"""One model in all its places: its cost on each target now and at the proposed size, and an hour of it wherever that has a price. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from mcml.core.errors import unknown
from mcml.cost.meter.live import Held
from mcml.cost.meter.prices import HOUR_OF_A_MACHINE
from mcml.cost.report import per_thousand
from mcml.providers.api.billing import UnitPrice
from mcml.store.ledger.exact import percent, product, quotient, tidy, total
from mcml.store.ledger.units import ModelCost

Everywhere = Callable[[str], Iterable[tuple[str, UnitPrice]]]
"""Returns the newest price of a SKU in every region, with its provider."""
Basis = Literal["now", "proposed", "nearest"]
"""The size that is held now, the one that right-sizing proposes, or the cheapest type of another provider that has what is needed."""


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
    """A size on a target, and the list price of an hour of it (None and no currency: not known).

    One that is not held now stands for `instead_of`, whose price is `before`, in `currency`; a size of one `provider` is priced there only;
    `assumed` is what it was chosen by.
    """

    size: Size
    hourly: Decimal | None = None
    currency: str = ""
    basis: Basis = "now"
    instead_of: Size | None = None
    before: Decimal | None = None
    provider: str = ""
    assumed: str = ""


@dataclass(frozen=True)
class Here:
    """A model on a target, in one currency (empty: neither a price nor a cost is known).

    `hourly` is the list price of what it holds now, None when it holds nothing or the price is not known. `cost` (None: no rows carry the
    model and this target), `requests`, their share of all that were counted, and the usage cost of 1,000 of them are what the ledger has of
    the span that was asked for. Without a target, `provider` and `region` are those of the rows. `proposed` is what right-sizing would have
    it hold, at the list price `proposed_hourly`; empty, with `unproposed`, where nothing can be said.
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
    cost: Decimal | None = None
    proposed: str = ""
    proposed_hourly: Decimal | None = None
    unproposed: str = ""


@dataclass(frozen=True)
class There:
    """A region where a size has a price: the list price of an hour, and by how many percent it is dearer than what it is instead of where
    that runs now."""

    provider: str
    region: str
    size: str
    hourly: Decimal
    currency: str
    dearer: Decimal | None
    source: str
    as_of: datetime
    basis: Basis = "now"
    instead_of: str = ""
    assumed: str = ""


BY = ("model", "target", "provider", "region")
"""The dimensions that the ledger must be asked for."""
_Key = tuple[str, str, str, str]
"""Target, currency, and of rows without a target their provider and region, which else are the target's."""


def here(model: str, targets: Mapping[str, tuple[str, str]], held: Sequence[Held], costs: Sequence[ModelCost]) -> list[Here]:
    """Return a line for each target and currency that the model has something in, the most asked first.

    `targets` are those of the settings as name to (provider, region); `costs` are by BY. Raises NotFound when nobody knows the model.
    """
    mine = [each for each in held if each.model == model]
    spent: dict[_Key, list[ModelCost]] = {}
    for cost in costs:
        if cost.key[0] == model:
            target, provider, region = (part or "" for part in cost.key[1:])
            spent.setdefault((target, cost.currency, *(("", "") if target else (provider, region))), []).append(cost)
    keys: set[_Key] = {(each.target, each.price.currency if each.price else "", "", "") for each in mine} | set(spent)
    keys |= {(target, "", "", "") for target in targets if target not in {key[0] for key in keys}}
    if not keys:
        raise unknown("model with costs", model, sorted({str(cost.key[0]) for cost in costs if cost.key[0]}), next_step="mcml cost model")
    asked = sum(cost.requests or 0 for several in spent.values() for cost in several)
    places = {each.target: (each.place.provider, each.place.region) for each in mine} | dict(targets)
    lines = [
        _here(key, places.get(key[0], key[2:]), [each for each in mine if each.target == key[0]], spent.get(key, ()), asked) for key in keys
    ]
    return sorted(lines, key=_order)


def _order(line: Here) -> tuple[object, ...]:
    return -(line.requests or 0), line.target, line.currency, -(line.cost or 0), line.provider, line.region


def _here(key: _Key, place: tuple[str, str], held: Sequence[Held], costs: Sequence[ModelCost], asked: int) -> Here:
    target, currency = key[:2]
    priced = [each for each in held if each.price and each.price.currency == currency]
    counted = [cost.requests for cost in costs if cost.requests is not None]
    requests = sum(counted) if counted else None
    return Here(
        target=target,
        provider=place[0],
        region=place[1],
        size=", ".join(sorted(str(each.size) for each in holdings(held))),
        hourly=tidy(total(each.hourly or Decimal(0) for each in priced)) if priced else None,
        currency=currency,
        requests=requests,
        share=percent(Decimal(requests), Decimal(asked)) if requests else None,
        per_thousand=per_thousand(total(cost.metered for cost in costs), requests) if requests else None,
        cost=tidy(total(cost.cost for cost in costs)) if costs else None,
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
    """Return every region with a price of these sizes, by currency and what they stand for, cheapest first.

    `dearer` is measured against the lowest price of what a size stands for where that runs now, in that currency.
    """
    now: dict[tuple[Size, str], Decimal] = {}
    wanted: dict[tuple[Size, Basis, Size, str], Holding] = {}
    for each in holdings:
        stands_for, price = each.instead_of or each.size, each.hourly if each.basis == "now" else each.before
        wanted.setdefault((each.size, each.basis, stands_for, each.provider), each)
        if price is not None:
            now[stands_for, each.currency] = min(price, now.get((stands_for, each.currency), price))
    found = [line for each in wanted.values() for line in _there(each, everywhere, now)]
    return sorted(found, key=lambda line: (line.currency, line.instead_of or line.size, line.hourly, line.provider, line.region, line.size))


def _there(holding: Holding, everywhere: Everywhere, now: Mapping[tuple[Size, str], Decimal]) -> list[There]:
    found = []
    instead, size = holding.instead_of, str(holding.size)
    for provider, price, hourly in _prices(holding.size, everywhere):
        if holding.provider in ("", provider):
            before = now.get((instead or holding.size, price.currency))
            dearer = quotient(product(total((hourly, before.copy_negate())), 100), before, places=1) if before else None
            line = There(provider, price.region, size, hourly, price.currency, dearer, price.source, price.as_of, holding.basis)
            found.append(replace(line, instead_of=str(instead) if instead else "", assumed=holding.assumed))
    return found


def _prices(size: Size, everywhere: Everywhere) -> list[tuple[str, UnitPrice, Decimal]]:
    if size.sku:
        return [(provider, price, tidy(product(price.price, size.count))) for provider, price in everywhere(size.sku)]
    cpu, memory = ({(provider, price.region, price.currency): price for provider, price in everywhere(sku)} for sku in HOUR_OF_A_MACHINE)
    return [
        (key[0], price, tidy(total((product(price.price, size.vcpus), product(memory[key].price, size.gib)))))
        for key, price in cpu.items()
        if key in memory
    ]
