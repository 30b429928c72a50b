"""The split of a change of cost into what it is made of. Pure and exact: the parts add up to the change to the last digit.

It is the price, volume and mix analysis of management accounting (Horngren, Datar, Rajan: Cost Accounting, "sales-volume, sales-mix and
sales-quantity variances"), on effective costs. For each SKU that was used in both spans, with cost C, quantity Q and average price
P = C / Q (0: before, 1: after):

    volume + between = (Q1 - Q0) P0       used more or less of it: against the average price of its service and unit (volume), and what
                                          this SKU is dearer or cheaper than that average (between, shown as mix)
    commitment       = -(D1 - D0 Q1/Q0)   D: what commitment discounts took off; so much less off for the same quantity
    rate             = sum (b1 - b0) q1   over the prices (SkuPriceId and PricingCategory) of the SKU that were paid in both spans;
                                          b: price without commitment discounts
    within           = the rest           the move between the prices of one SKU: tiers, spot, on demand (shown as mix)

Their sum is (Q1 - Q0) P0 + (P1 - P0) Q1 = C1 - C0. A SKU that was used in one span only is `new` or `gone` with its whole cost. Charges
that are no usage with a quantity are lines of their own: unused commitments, purchases, credits, taxes, adjustments, and usage for which
the bill tells no quantity; of these the whole difference is their part.

Everything is computed in fractions and rounded once, per SKU, so that the parts of a SKU add up to its change (largest remainder).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Literal

from mcml.cost.report import others
from mcml.store.ledger.exact import apportion, quotient, rounded, tidy, total
from mcml.store.ledger.paid import Paid

Part = Literal[
    "volume", "mix", "rate", "commitment", "new", "gone", "unused_commitment", "purchase", "credit", "tax", "adjustment", "no_quantity"
]
PARTS: tuple[Part, ...] = Part.__args__  # type: ignore[attr-defined]
PRICE_PLACES = 12
"""Decimals of a shown average price: a quotient, so it has to stop somewhere."""

Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Item:
    """One SKU in both spans: its cost and quantity, and the parts of its change that are not zero."""

    provider: str
    service: str | None
    sku: str
    unit: str
    description: str | None
    before: Decimal
    after: Decimal
    quantity_before: Decimal
    quantity_after: Decimal
    parts: Mapping[Part, Decimal]

    @property
    def delta(self) -> Decimal:
        """How much more it costs now."""
        return difference(self.before, self.after)

    @property
    def prices(self) -> tuple[Decimal | None, Decimal | None]:
        """The average price before and after; None where nothing was used."""
        pairs = (self.before, self.quantity_before), (self.after, self.quantity_after)
        before, after = (tidy(quotient(cost, quantity, places=PRICE_PLACES)) if quantity else None for cost, quantity in pairs)
        return before, after


@dataclass(frozen=True)
class Change:
    """A change of cost and its parts, which add up to it. `items` are the SKUs in it, those that moved most first.

    `others`: how many changes are folded into it (0: it is one itself).
    """

    key: Key
    before: Decimal
    after: Decimal
    parts: Mapping[Part, Decimal]
    items: tuple[Item, ...] = ()
    others: int = 0

    @property
    def delta(self) -> Decimal:
        """How much more it costs now."""
        return difference(self.before, self.after)


@dataclass(frozen=True)
class Why:
    """All changes in one currency: as a whole, and by key, those that moved most first."""

    currency: str
    whole: Change
    changes: tuple[Change, ...]


def difference(before: Decimal, after: Decimal) -> Decimal:
    """Return after - before, exactly."""
    return tidy(total((after, before.copy_negate())))  # `-before` would round to 28 digits


def explain(before: Iterable[Paid], after: Iterable[Paid], *, limit: int = 0) -> list[Why]:
    """Split the change between what was paid in two spans, by currency and key.

    Beyond `limit` changes a currency (0: no limit) the smallest are folded into one, which has their parts and not their SKUs.
    """
    rows = [(0, paid) for paid in before] + [(1, paid) for paid in after]
    found = []
    for currency, mine in groupby(sorted(rows, key=lambda row: row[1].currency), key=lambda row: row[1].currency):
        by_key: dict[Key, list[tuple[int, Paid]]] = {}
        for side, paid in mine:
            by_key.setdefault(paid.key, []).append((side, paid))
        changes = sorted((_change(key, some) for key, some in by_key.items()), key=lambda change: (-abs(change.delta), str(change.key)))
        found.append(Why(currency, together((), changes), tuple(_folded(changes, limit))))
    return found


def _folded(changes: list[Change], limit: int) -> list[Change]:
    if not limit or len(changes) <= limit:
        return changes
    rest = changes[limit:]
    key = (others(len(rest)), *[None] * (len(rest[0].key) - 1))
    return [*changes[:limit], replace(together(key, rest), others=len(rest))]


def together(key: Key, changes: Sequence[Change]) -> Change:
    """Add up changes into one of another key, without their SKUs."""
    before, after = (tidy(total(amounts)) for amounts in ([each.before for each in changes], [each.after for each in changes]))
    return Change(key, before, after, _added(change.parts for change in changes))


def _change(key: Key, rows: Sequence[tuple[int, Paid]]) -> Change:
    skus: dict[tuple[str, str | None, str, str], list[tuple[int, Paid]]] = {}
    parts: list[Mapping[Part, Decimal]] = []
    for side, paid in rows:
        if paid.kind == "usage":
            identity = (paid.provider, paid.service, paid.sku or "", paid.unit or "")
            skus.setdefault(identity, []).append((side, paid))
        else:
            parts.append({paid.kind: paid.effective if side else paid.effective.copy_negate()})
    sold = [_Sold(*identity, _sides(some)) for identity, some in skus.items()]
    averages = _averages(sold)
    items = [one.item(averages.get((one.provider, one.service, one.unit), Fraction(0))) for one in sold]
    was, now = (tidy(total(paid.effective for side, paid in rows if side == which)) for which in (0, 1))
    return Change(
        key,
        was,
        now,
        parts=_added([*parts, *(item.parts for item in items)]),
        items=tuple(sorted(items, key=lambda item: (-abs(item.delta), item.sku, item.unit))),
    )


def _added(several: Iterable[Mapping[Part, Decimal]]) -> dict[Part, Decimal]:
    """Add up parts; what comes to nothing is left out."""
    amounts: dict[Part, list[Decimal]] = {}
    for parts in several:
        for part, amount in parts.items():
            amounts.setdefault(part, []).append(amount)
    sums = {part: tidy(total(amounts[part])) for part in PARTS if part in amounts}
    return {part: amount for part, amount in sums.items() if amount}


@dataclass(frozen=True)
class _Side:
    """One SKU in one span: cost and quantity, what commitments took off, and (cost without them, quantity) by price."""

    cost: Fraction
    quantity: Fraction
    discount: Fraction
    prices: Mapping[tuple[str | None, str | None], tuple[Fraction, Fraction]]
    description: str | None

    @property
    def used(self) -> bool:
        return bool(self.cost or self.quantity or any(cost or quantity for cost, quantity in self.prices.values()))


def _sides(rows: Sequence[tuple[int, Paid]]) -> tuple[_Side, _Side]:
    return _side([paid for side, paid in rows if not side]), _side([paid for side, paid in rows if side])


def _side(rows: Sequence[Paid]) -> _Side:
    cost, undiscounted = (Fraction(total(amounts)) for amounts in ([row.effective for row in rows], [row.undiscounted for row in rows]))
    prices: dict[tuple[str | None, str | None], tuple[Fraction, Fraction]] = {}
    for row in rows:
        paid, bought = prices.get((row.price, row.pricing), (Fraction(0), Fraction(0)))
        prices[row.price, row.pricing] = (paid + Fraction(row.undiscounted), bought + Fraction(row.quantity))
    quantity = sum((bought for _, bought in prices.values()), Fraction(0))
    return _Side(cost, quantity, undiscounted - cost, prices, max((row.description for row in rows if row.description), default=None))


@dataclass(frozen=True)
class _Sold:
    """One SKU in both spans."""

    provider: str
    service: str | None
    sku: str
    unit: str
    sides: tuple[_Side, _Side]

    @property
    def compared(self) -> bool:
        """Whether it has a price in both spans."""
        return all(side.quantity > 0 for side in self.sides)

    def item(self, average: Fraction) -> Item:
        """Return it with the parts of its change; `average` is the price before of its service and unit."""
        before, after = self.sides
        parts = self._parts(average)
        shares = dict(zip(parts, map(tidy, apportion(list(parts.values()))), strict=True))
        return Item(
            self.provider,
            self.service,
            self.sku,
            self.unit,
            after.description or before.description,
            before=rounded(before.cost),
            after=rounded(after.cost),
            quantity_before=rounded(before.quantity),
            quantity_after=rounded(after.quantity),
            parts={part: amount for part, amount in shares.items() if amount},
        )

    def _parts(self, average: Fraction) -> dict[Part, Fraction]:
        before, after = self.sides
        if not before.used:
            return {"new": after.cost}
        if not after.used:
            return {"gone": -before.cost}
        if not self.compared:
            return {"no_quantity": after.cost - before.cost}
        grown, ratio = after.quantity - before.quantity, after.quantity / before.quantity
        commitment = before.discount * ratio - after.discount
        rate = sum(map(self._rate, before.prices.keys() & after.prices.keys()), Fraction(0))
        volume = grown * average
        return {
            "volume": volume,
            "mix": after.cost - before.cost - volume - commitment - rate,
            "rate": rate,
            "commitment": commitment,
        }

    def _rate(self, price: tuple[str | None, str | None]) -> Fraction:
        (paid, bought), (pays, buys) = (side.prices[price] for side in self.sides)
        return (pays / buys - paid / bought) * buys if bought > 0 and buys > 0 else Fraction(0)


def _averages(sold: Iterable[_Sold]) -> dict[tuple[str, str | None, str], Fraction]:
    """Return the average price before of each service and unit, over the SKUs that are compared."""
    sums: dict[tuple[str, str | None, str], tuple[Fraction, Fraction]] = {}
    for one in sold:
        if one.compared:
            cost, quantity = sums.get((one.provider, one.service, one.unit), (Fraction(0), Fraction(0)))
            sums[one.provider, one.service, one.unit] = (cost + one.sides[0].cost, quantity + one.sides[0].quantity)
    return {group: cost / quantity for group, (cost, quantity) in sums.items()}
