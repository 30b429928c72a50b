"""Estimates: what runs now, times its price, as FOCUS rows of the hours that no bill covers yet.

Truth is late: a bill comes 8 to 48 hours after the use. Until then a row of an hour of a machine is its part of the hour x list price,
marked x_Source "estimate", with the source and date of the price in x_Extra. Every estimate of a month stays in the ledger; the view that
all questions are asked of hides those that a bill or a meter covers (`store.ledger.cover`), and `truth` compares the two.

An hour keeps the price it was first estimated at. What tells its start counts from there; a group or a pool, which does not, from the last
look that saw it, else from the beginning of this hour. What was stopped since the last look keeps the hours that were seen.

A pod's row is a part of its machine's, the row of the machine is the rest: whatever was seen of an hour first, both come to no more than
the machine's price for it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from mcml.core.errors import Conflict
from mcml.cost.meter.live import Held
from mcml.store.ledger import estimates
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.estimates import Account, Standing
from mcml.store.ledger.exact import apportion, product, quotient, tidy, total
from mcml.store.ledger.intake import Intake

Row = dict[str, object]
Key = tuple[object, object]
"""What a row is the estimate of: its ResourceId, and the beginning of its hour."""
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
QUANTITY_PLACES = 12
SERVICE = "Virtual machines"
"""What a machine's service is called where no bill of its provider says another name."""
ENDPOINTS = "Model endpoints"
_BILL = ("BillingAccountId", "SubAccountId", "ServiceProviderName", "InvoiceIssuerName")
"""What tells which part of the ledger a row is in: a row that says more replaces the earlier one there, whatever was learned since."""
KINDS = {"machine": "Virtual machine", "group": "Machine group", "pool": "Node pool", "endpoint": "Model endpoint", "pod": "Pod"}
CATEGORIES = {"endpoint": ("AI and Machine Learning", "Machine Learning"), "pod": ("Compute", "Containers")}
HOST = "x_Host"
"""In x_Extra of a pod's row: the ResourceId of the machine that it is a part of."""
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
UNIT_PRICES = ("ListUnitPrice", "ContractedUnitPrice")
LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Amount:
    """What was added in one currency: rows that were not there, or say more than they did, and their cost."""

    currency: str
    rows: int
    cost: Decimal


@dataclass(frozen=True)
class Estimated:
    """What one look at a provider has written: from when to when, what of it was `priced`, and what runs without a price and so without a
    row."""

    provider: str
    account: str
    amounts: tuple[Amount, ...]
    since: datetime | None
    until: datetime
    unpriced: tuple[Held, ...]
    priced: tuple[Held, ...] = ()


def write(
    intake: Intake, ledger: Ledger, provider: str, account: str, held: Sequence[Held], *, now: datetime, since: datetime
) -> Estimated:
    """Book the estimates of what a provider's account holds now, at most back to `since`; with the intake's `dry_run` only say them.

    Raises Conflict when another one writes estimates, and what `Intake.rows` raises.
    """
    paid = [each for each in held if each.machine]  # what has none is metered by its use, see `mcml cost ingest --provider`
    with _locked(intake.folder, dry_run=intake.dry_run):
        standing = estimates.standing(ledger)
        known = standing.account(account) or Account(account, account, provider, provider, None)
        begin = max(since, known.until) if known.until else since
        kept = estimates.rows_of(ledger, {account, known.billing_account}, _months(begin, now))
        new = new_rows(paid, known, standing, kept, begin=begin, now=now)
        if new and not intake.dry_run:
            intake.rows(_joined(kept, new), origin=f"{ESTIMATE}:{provider}", source=ESTIMATE)
    starts = [start for row in new if isinstance(start := row["ChargePeriodStart"], datetime)]
    unpriced = tuple(each for each in held if each.price is None)
    priced = tuple(each for each in paid if each.price is not None)
    return Estimated(provider, account, _amounts(new), min(starts, default=None), now, unpriced, priced)


def new_rows(
    held: Sequence[Held], account: Account, standing: Standing, kept: Sequence[Mapping[str, object]], *, begin: datetime, now: datetime
) -> list[Row]:
    """Return the rows of [begin, now) that are not among `kept`, or were of a shorter part of their hour. Pure."""
    before = {_key(row): row for row in kept}
    last: dict[object, datetime] = {}
    for resource, start in before:
        if isinstance(start, datetime):
            last[resource] = max(last.get(resource, start), start)
    found: dict[Key, Row] = {}
    starts: dict[str, datetime] = {}
    for each in sorted(held, key=lambda each: each.kind == "pod"):  # their machines first
        if each.price is None:
            continue
        start = max(each.since or last.get(each.name) or _hour(now), begin, starts.get(each.host, begin))
        starts[each.name] = start
        for row in _hours(each, account, standing, start, now):
            earlier = before.get(_key(row))
            if earlier is None:
                found[_key(row)] = row
            elif _quantity(earlier) < _quantity(row):
                found[_key(row)] = row | {name: earlier[name] for name in _BILL}
    return list((found | _less_pods(before, found)).values())


def _less_pods(before: Mapping[Key, Mapping[str, object]], found: Mapping[Key, Row]) -> dict[Key, Row]:
    """Return the rows of machines without what their pods pay of the same hour. Where pods pay more, they share what the hour costs.

    They can where a price fell within the hour. Of an hour that says no more than before, the whole is what it was with its pods.
    """
    earlier, now = _pods_of(before), _pods_of({**before, **found})
    changed: dict[Key, Row] = {}
    for key, pods in now.items():
        machine = found.get(key) or before.get(key)
        if machine is None:
            continue
        whole = _cost(machine) if key in found else total((_cost(machine), *map(_cost, earlier.get(key, {}).values())))
        paid = total(map(_cost, pods.values()))
        if paid > whole:
            costs = apportion([Fraction(_cost(row)) * Fraction(whole) / Fraction(paid) for row in pods.values()])
            changed |= {pod: _costing(row, cost) for (pod, row), cost in zip(pods.items(), costs, strict=True)}
        rest = max(total((whole, paid.copy_negate())), Decimal(0))
        if key in found or rest != _cost(machine):
            changed[key] = _costing(machine, rest)
    return changed


def _pods_of(rows: Mapping[Key, Mapping[str, object]]) -> dict[Key, dict[Key, Mapping[str, object]]]:
    """Return the rows of pods by the key of their machine's row."""
    pods: dict[Key, dict[Key, Mapping[str, object]]] = {}
    for key, row in rows.items():
        host = json.loads(str(row.get("x_Extra") or "{}")).get(HOST) if row["ResourceType"] == KINDS["pod"] else None
        if host:
            pods.setdefault((host, key[1]), {})[key] = row
    return pods


def _cost(row: Mapping[str, object]) -> Decimal:
    said = row["EffectiveCost"]
    return said if isinstance(said, Decimal) else Decimal(0)


def _costing(row: Mapping[str, object], cost: Decimal) -> Row:
    """Return a row at another cost, with the price of its unit that this comes to."""
    quantity = _quantity(row)
    unit = quotient(cost, quantity) if quantity else Decimal(0)
    return {**row, **dict.fromkeys(COSTS, cost), **dict.fromkeys(UNIT_PRICES, unit)}


def _joined(kept: Sequence[Mapping[str, object]], new: Sequence[Row]) -> Iterator[Mapping[str, object]]:
    replaced = {_key(row) for row in new}
    yield from (row for row in kept if _key(row) not in replaced)
    yield from new


def _key(row: Mapping[str, object]) -> Key:
    return row["ResourceId"], row["ChargePeriodStart"]


def _quantity(row: Mapping[str, object]) -> Decimal:
    said = row["PricingQuantity"]
    return said if isinstance(said, Decimal) else Decimal(0)


def _hours(held: Held, account: Account, standing: Standing, start: datetime, now: datetime) -> Iterator[Row]:
    hour = _hour(start)
    while hour < now:
        used = min(hour + HOUR, now) - max(hour, start)
        yield _row(held, account, standing, hour, used)
        hour += HOUR


def _row(held: Held, account: Account, standing: Standing, hour: datetime, used: timedelta) -> Row:
    price = held.price
    if price is None:
        raise ValueError(f"{held.name} has no price")
    quantity = quotient(Decimal((used // MICROSECOND) * held.count), HOUR // MICROSECOND, places=QUANTITY_PLACES)
    cost = quotient(product(quantity, price.price), 1)
    extra = {"x_Count": held.count, "x_PriceAsOf": price.as_of.isoformat(), "x_PriceSource": price.source}
    return {
        **_when(hour),
        **_who(held, account),
        **_what(held, standing.services.get(account.provider) or SERVICE),
        **dict.fromkeys(COSTS, cost),
        **dict.fromkeys(UNIT_PRICES, quotient(price.price, 1)),
        **dict.fromkeys(("PricingQuantity", "ConsumedQuantity"), quantity),
        **dict.fromkeys(("PricingUnit", "ConsumedUnit"), "Hours"),
        "BillingCurrency": price.currency,
        "x_Source": ESTIMATE,
        "x_Extra": json.dumps(extra | ({HOST: held.host} if held.host else {})),
    }


def _when(hour: datetime) -> Row:
    month = hour.replace(day=1, hour=0)
    return {
        "ChargePeriodStart": hour,
        "ChargePeriodEnd": hour + HOUR,
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
    }


def _who(held: Held, account: Account) -> Row:
    return {
        "BillingAccountId": account.billing_account,
        "SubAccountId": account.account if account.account != account.billing_account else None,
        "InvoiceIssuerName": account.issuer,
        "ServiceProviderName": account.provider,
        "RegionId": held.place.region or None,
        "AvailabilityZone": held.zone or None,
        "Tags": json.dumps(dict(held.tags), sort_keys=True, ensure_ascii=False),
        "x_Target": held.target or None,
    }


def _what(held: Held, service: str) -> Row:
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"estimate: {held.sku} x {held.count}" if held.count > 1 else f"estimate: {held.sku}",
        "PricingCategory": "Dynamic" if held.spot else "Standard",
        **dict(zip(("ServiceCategory", "ServiceSubcategory"), CATEGORIES.get(held.kind, ("Compute", "Virtual Machines")), strict=True)),
        "ServiceName": ENDPOINTS if held.kind == "endpoint" else service,
        "ResourceId": held.name,
        "ResourceName": held.name,
        "ResourceType": KINDS[held.kind],
        "SkuId": held.sku,
    }


def _amounts(rows: Sequence[Row]) -> tuple[Amount, ...]:
    found: dict[str, list[Decimal]] = {}
    for row in rows:
        if isinstance(cost := row["EffectiveCost"], Decimal):
            found.setdefault(str(row["BillingCurrency"]), []).append(cost)
    return tuple(Amount(currency, len(costs), tidy(total(costs))) for currency, costs in sorted(found.items()))


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _months(begin: datetime, now: datetime) -> set[str]:
    """Return the months of [begin, now] as YYYY-MM-01."""
    month, found = _hour(begin).replace(day=1, hour=0), set()
    while month <= now:
        found.add(f"{month:%Y-%m-01}")
        month = (month + timedelta(days=32)).replace(day=1)
    return found


@contextmanager
def _locked(folder: Path, *, dry_run: bool) -> Iterator[None]:
    """Hold the lock of a ledger's estimates: two who read, add and write at once would lose rows. A dry run writes nothing."""
    from filelock import FileLock, Timeout

    if dry_run:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "estimate.lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as waited:
        raise Conflict("another process writes estimates", next_step="wait for it, then try again") from waited
    try:
        yield
    finally:
        lock.release()
