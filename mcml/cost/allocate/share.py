"""The allocation itself: costs to those who bear them, shared costs by a driver. Pure and exact: nothing is lost and nothing is double.

First each group of costs goes to the first rule that takes it: to one bearer (direct cost), or into the pool of a rule that splits. Then
each pool is split in its currency: evenly, by fixed weights, in proportion to positive direct cost, or to the requests that were counted
with direct cost. Shared cost is no driver of other shared cost, so the order of pools does not matter. A pool without anyone to bear it
stays unallocated, under its rule's name. Amounts are split at the full scale of the ledger by largest remainder.

A split is described as FOCUS 1.3 and later has it for split cost allocation: AllocatedMethodId names the method, and the `Elements` of
AllocatedMethodDetails hold AllocatedRatio, which adds up to 1 over all bearers, UsageUnit and UsageQuantity.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from mcml.cost.allocate.rules import UNALLOCATED, Rule, dimensions, first
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import apportion, tidy, total

UNITS = {"even": "Bearers", "proportional": "", "requests": "Requests", "weights": "Weights"}
"""The unit of each driver; that of direct cost is its currency."""


@dataclass(frozen=True)
class Portion:
    """What one rule gave to one bearer in one currency. `rule` is empty for what no rule took.

    Of a split: `ratio` of the pool, for `quantity` of the driver's `unit`; both are None for direct cost and where nobody could bear it.
    `rows` is None for a part of a pool; `groups` are those of direct cost, dearest first.
    """

    currency: str
    bearer: str
    rule: str
    shared: bool
    billed: Decimal
    effective: Decimal
    rows: int | None = None
    method: str = ""
    ratio: Decimal | None = None
    quantity: Decimal | None = None
    unit: str = ""
    groups: tuple[Group, ...] = field(default=(), compare=False)

    @property
    def method_id(self) -> str | None:
        """FOCUS AllocatedMethodId: None for direct cost, which is not allocated from another charge."""
        return f"{self.method}:{self.rule}" if self.ratio is not None else None

    @property
    def method_details(self) -> dict[str, object] | None:
        """FOCUS AllocatedMethodDetails."""
        if self.ratio is None:
            return None
        return {"Elements": [{"AllocatedRatio": self.ratio, "UsageUnit": self.unit, "UsageQuantity": self.quantity}]}


@dataclass(frozen=True)
class Taken:
    """What one rule took in one currency: how many rows, what they cost, and the groups they were in, dearest first."""

    currency: str
    rule: str
    rows: int
    billed: Decimal
    effective: Decimal
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Allocated:
    """All portions, and what each rule took; both add up to what there was."""

    portions: tuple[Portion, ...]
    taken: tuple[Taken, ...]


@dataclass(frozen=True)
class _Bag:
    """Groups of one currency, rule and bearer; the bearer of a pool is empty."""

    currency: str
    bearer: str
    rule: Rule | None
    groups: Sequence[Group]

    @property
    def billed(self) -> Decimal:
        return total(group.billed for group in self.groups)

    @property
    def effective(self) -> Decimal:
        return total(group.effective for group in self.groups)

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)


def allocate(rules: Sequence[Rule], groups: Iterable[Group], *, leaving: str = "") -> Allocated:
    """Allocate groups of the ledger by `dimensions(rules)`. Who is `leaving` takes the direct cost along and shares no more."""
    bags = [bag for bag in _bags(rules, groups) if not leaving or bag.bearer != leaving]
    direct = [bag for bag in bags if not bag.rule or not bag.rule.split]
    portions = [_direct(bag) for bag in direct]
    for pool in bags:
        if pool.rule and pool.rule.split:
            mine = [bag for bag in direct if bag.currency == pool.currency and bag.bearer != UNALLOCATED]
            weights = {bearer: weight for bearer, weight in _weights(pool.rule, mine).items() if bearer != leaving}
            portions += _split(pool, pool.rule, weights)
    return Allocated(tuple(portions), tuple(_taken(bags, [rule.name for rule in rules])))


def _bags(rules: Sequence[Rule], groups: Iterable[Group]) -> list[_Bag]:
    names = dimensions(rules)
    named = {rule.name: rule for rule in rules}
    found: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        values = dict(zip(names, group.key, strict=True))
        rule = first(rules, values)
        bearer = (rule.bearer(values) if rule else "") or ("" if rule and rule.split else UNALLOCATED)
        found.setdefault((group.currency, bearer, rule.name if rule else ""), []).append(group)
    return [_Bag(currency, bearer, named.get(name), some) for (currency, bearer, name), some in sorted(found.items())]


def _direct(bag: _Bag) -> Portion:
    name = bag.rule.name if bag.rule else ""
    billed, effective, groups = tidy(bag.billed), tidy(bag.effective), _dearest(bag.groups)
    return Portion(bag.currency, bag.bearer, name, shared=False, billed=billed, effective=effective, rows=bag.rows, groups=groups)


def _weights(rule: Rule, direct: Sequence[_Bag]) -> dict[str, Decimal]:
    """Return how much of the driver each bearer has; zeros are left out."""
    if rule.split == "weights":
        found = dict(rule.weights)
    else:
        costs: dict[str, list[Decimal]] = {name: [] for name in rule.among or sorted({bag.bearer for bag in direct})}
        for bag in direct:
            if bag.bearer in costs:
                costs[bag.bearer].append(bag.effective if rule.split == "proportional" else _requests(bag))
        found = {name: Decimal(1) if rule.split == "even" else total(amounts) for name, amounts in costs.items()}
    return {name: weight for name, weight in found.items() if weight > 0}


def _requests(bag: _Bag) -> Decimal:
    return Decimal(sum(group.requests or 0 for group in bag.groups))


def _split(pool: _Bag, rule: Rule, weights: Mapping[str, Decimal]) -> list[Portion]:
    if not weights:
        nobody = Portion(pool.currency, UNALLOCATED, rule.name, shared=True, billed=tidy(pool.billed), effective=tidy(pool.effective))
        return [nobody]
    whole = Fraction(total(weights.values()))
    ratios = [Fraction(weight) / whole for weight in weights.values()]
    billed, effective = ([Fraction(amount) * ratio for ratio in ratios] for amount in (pool.billed, pool.effective))
    rounded = zip(weights, apportion(billed), apportion(effective), apportion(ratios), strict=True)
    unit = UNITS[rule.split] or pool.currency
    return [
        Portion(
            pool.currency,
            bearer,
            rule.name,
            shared=True,
            billed=tidy(bill),
            effective=tidy(cost),
            method=rule.split,
            ratio=tidy(ratio),
            quantity=tidy(weights[bearer]),
            unit=unit,
        )
        for bearer, bill, cost, ratio in rounded
    ]


def _taken(bags: Sequence[_Bag], order: Sequence[str]) -> list[Taken]:
    """Return what each rule took, in the order of the rules; what none took is last."""
    found: dict[tuple[str, str], list[_Bag]] = {}
    for bag in bags:
        found.setdefault((bag.currency, bag.rule.name if bag.rule else ""), []).append(bag)
    places = {name: place for place, name in enumerate(order)}
    keys = sorted(found, key=lambda key: (key[0], places.get(key[1], len(order))))
    return [_took(currency, rule, found[currency, rule]) for currency, rule in keys]


def _took(currency: str, rule: str, bags: Sequence[_Bag]) -> Taken:
    billed, effective = (tidy(total(amounts)) for amounts in ([bag.billed for bag in bags], [bag.effective for bag in bags]))
    groups = _dearest(group for bag in bags for group in bag.groups)
    return Taken(currency, rule, sum(bag.rows for bag in bags), billed, effective, groups)


def _dearest(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: (-abs(group.effective), str(group.key))))
