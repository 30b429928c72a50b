"""What runs now and its cost an hour, as a document."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from mcml.core.errors import McmlError, said
from mcml.core.price import STALE_AFTER
from mcml.core.view import Block, Column, Document, Section, State, Status, Table
from mcml.cost.meter.live import Held
from mcml.store.ledger.exact import product, tidy, total

EMPTY: Mapping[str, McmlError] = MappingProxyType({})
NOTHING = "nothing that is paid for by the hour runs on the targets of mcml.toml"
COLUMNS = (
    Column("provider", "Provider"),
    Column("target", "Target"),
    Column("model", "Model"),
    Column("running", "Running", "number"),
    Column("hourly_cost", "Per hour", "money"),
    Column("daily_cost", "Per day", "money"),
)


def live(everything: Sequence[Held], now: datetime, failed: Mapping[str, McmlError] = EMPTY) -> Document:
    """Show the burn by provider, target and model, a table a currency, dearest first. JSON has each thing.

    What has no price, or an old one, is said, and so are the targets that have `failed` to answer.
    """
    items = [item(each) for each in everything]
    currencies = sorted({each.price.currency for each in everything if each.price})
    blocks: list[Block] = [_burn(currency, everything) for currency in currencies]
    if not items:
        blocks.append(Table([], [], empty=NOTHING))
    missing = [Status(State("missing", "bad"), f"{target}: {said(error)}") for target, error in failed.items()]
    return Document("LiveCost", items, (*blocks, *unpriced(everything), *old_prices(everything, now), *missing))


def item(held: Held) -> dict[str, object]:
    """Return what scripts see of something that runs."""
    return {
        "name": held.name,
        "kind": held.kind,
        "provider": held.place.provider,
        "target": held.target or None,
        "region": held.place.region or None,
        "model": held.model or None,
        "machine": held.machine or None,
        "spot": held.spot,
        "count": held.count,
        "since": held.since,
        "hourly_cost": held.hourly,
        "currency": held.price.currency if held.price else None,
        "price_source": held.price.source if held.price else None,
        "price_as_of": held.price.as_of if held.price else None,
        "why_no_price": held.why or None,
    }


def unpriced(everything: Sequence[Held]) -> list[Block]:
    """Return a line for each reason why something has no price: it is in no sum, which is not the same as free."""
    reasons: dict[str, list[str]] = {}
    for each in everything:
        if each.price is None:
            reasons.setdefault(each.why, []).append(each.name)
    return [Status(State("no price", "warn"), f"{', '.join(names)}: {why}") for why, names in reasons.items()]


def old_prices(everything: Sequence[Held], now: datetime) -> list[Block]:
    """Return a line for each price that is older than `STALE_AFTER`, with its day and source; a pod's price is that of its machine."""
    old = [each.price for each in everything if each.price and each.kind != "pod" and now - each.price.as_of > STALE_AFTER]
    said = dict.fromkeys(f"{price.sku} in {price.region}: of {price.as_of:%Y-%m-%d} ({price.source})" for price in old)
    return [Status(State("old price", "warn"), text) for text in said]


def _burn(currency: str, everything: Sequence[Held]) -> Section:
    found: dict[tuple[str, str, str], list[Held]] = {}
    for each in everything:
        if each.price and each.price.currency == currency:
            found.setdefault((each.place.provider, each.target, each.model), []).append(each)
    rows = [{"provider": key[0], "target": key[1], "model": key[2], **_sum(several)} for key, several in found.items()]
    rows.sort(key=lambda row: (-Decimal(str(row["hourly_cost"])), str(row["target"]), str(row["model"])))
    if len(rows) > 1:
        rows.append({"provider": "all", "target": "", "model": "", **_sum([each for several in found.values() for each in several])})
    return Section(f"Running now, in {currency}", (Table(COLUMNS, rows),))


def _sum(several: Sequence[Held]) -> dict[str, object]:
    hourly = tidy(total(each.hourly or Decimal(0) for each in several))
    return {"running": sum(each.count for each in several), "hourly_cost": hourly, "daily_cost": tidy(product(hourly, 24))}
