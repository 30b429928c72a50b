"""What the next tiers of a burst route cost today, for its spend ceiling: attempts that Envoy counted times the price of one.

Days are those of UTC. A price for 1,000 requests is taken as it is. A price for an hour is taken for the time that the attempts took: what
a machine costs while it answers. It is an estimate on the safe side: attempts that failed count, and a backend that two routes share
counts for both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from mcml.core.files import read_json, write_json
from mcml.core.price import PriceInfo
from mcml.route.weights.measure import Counters, mean

ASSUMED_MS = Decimal(1000)
"""What an attempt is taken to last before one was measured."""


SPEND_FILE = "spend.json"


@dataclass(frozen=True)
class Spend:
    """What each route spent on `day` (UTC, `2026-11-22`), and the attempts of each backend that are in it already."""

    day: str = ""
    routes: Mapping[str, Decimal] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Turn it into JSON values."""
        return {"day": self.day, "routes": {name: f"{value:f}" for name, value in self.routes.items()}, "counted": dict(self.counted)}


def from_json(about: Any) -> Spend:
    """Read what `to_json` wrote; nothing spent when it is anything else."""
    try:
        routes = {str(name): Decimal(value) for name, value in about["routes"].items()}
        day = date.fromisoformat(about["day"]).isoformat() if about["day"] else ""
        return Spend(day, routes, {str(name): int(count) for name, count in about["counted"].items()})
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return Spend()


def write_spend(folder: Path, spend: Spend) -> None:
    """Keep it for the router after this one."""
    write_json(folder / SPEND_FILE, spend.to_json(), durable=False)


def read_spend(folder: Path) -> Spend:
    """Return what the router before this one spent today."""
    try:
        return from_json(read_json(folder / SPEND_FILE))
    except (OSError, ValueError):
        return Spend()


def step(
    spend: Spend,
    later: Mapping[str, Iterable[str]],
    totals: Mapping[str, Counters],
    prices: Mapping[str, PriceInfo],
    at: datetime,
) -> Spend:
    """Add what was counted since the last step. `later`: by route the backends of its next tiers; `totals`: what Envoy counted of each.

    Envoy counts from zero when it starts anew: a total below the one before is all new. A clock that is put back begins no new day.
    """
    if not later:
        return spend
    day, same = _day(spend.day, at.astimezone(UTC).date())
    routes = {name: spend.routes.get(name, Decimal(0)) if same else Decimal(0) for name in later}
    counted = dict(spend.counted)
    for name in {backend for backends in later.values() for backend in backends}:
        if name not in totals:
            continue
        now, before = totals[name].attempts, counted.get(name, 0)
        added, counted[name] = now - before if now >= before else now, now
        cost = each(prices.get(name), totals[name])
        for route, backends in later.items():
            if cost is not None and name in backends:
                routes[route] += added * cost
    return Spend(day, routes, counted)


def _day(before: str, today: date) -> tuple[str, bool]:
    """Return the day that is charged, and whether that is no new one. Back by a day or less: the one before goes on until it is over."""
    ahead = date.fromisoformat(before) - today if before else -timedelta(days=1)
    return before if timedelta(0) < ahead <= timedelta(days=1) else today.isoformat(), ahead >= timedelta(0)


def each(price: PriceInfo | None, totals: Counters) -> Decimal | None:
    """Return what one attempt costs; None when its price is not known."""
    if price is None:
        return None
    if price.unit.endswith("/1000 requests"):
        return price.value / 1000
    if price.unit.endswith("/hour"):
        took = mean(totals.latencies)
        milliseconds = ASSUMED_MS if took is None else Decimal(str(round(took, 3)))
        return price.value * milliseconds / 3_600_000
    return None


def ceiling_reached(
    ceiling: Decimal | None, spent: Decimal, prices: Mapping[str, PriceInfo | None], totals: Mapping[str, Counters]
) -> str:
    """Say why nothing may burst; empty while it may. `prices` are those of the backends of the next tiers."""
    if ceiling is None:
        return ""
    unknown = sorted(name for name, price in prices.items() if each(price, totals.get(name, Counters())) is None)
    if unknown:
        return f"nothing bursts: the price of {', '.join(unknown)} is not known, so the ceiling of {ceiling.normalize():f} cannot be kept"
    currencies = {price.currency for price in prices.values() if price is not None}
    if len(currencies) > 1:
        return f"nothing bursts: the next tiers are priced in {', '.join(sorted(currencies))}, so the ceiling cannot be kept"
    if spent >= ceiling:
        currency = next(iter(currencies), "")
        return f"nothing bursts until midnight UTC: the ceiling of {ceiling.normalize():f} {currency} a day is reached"
    return ""
