"""Billing on this machine: what every server process was measured to use, times the owner's prices, as FOCUS 1.4 rows.

A row is one hour of one run and one SKU. CPU time between two lines of the usage log is spread evenly over that time; memory counts
as held from the line before at the size the line says. Quantities have `SCALE` decimals and are differences of rounded running totals:
the rows of a run add up to its rounded total exactly, wherever the hours cut it. Cost is quantity x price, with all its digits.
The open hour is included and grows; today's prices apply to every hour, for there is no history of prices on one machine.
"""

import json
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import root_of
from mcml.providers.local.settings import Price, Settings
from mcml.providers.local.target import list_targets
from mcml.providers.local.usage import Segment, UsageRun, microseconds, moment, segments, usage_runs

SCALE = 12
HOUR = 3_600 * 1_000_000
GIB = 2**30
LATENESS = timedelta(minutes=2)
"""A server writes at least once a minute; two minutes after an hour has ended, its rows change no more."""
EXACT = Context(prec=100)
ISSUER = "mcml local"
Sku = Literal["vcpu-hour", "gib-hour"]
UNITS: dict[Sku, str] = {"vcpu-hour": "vCPU-Hours", "gib-hour": "GiB-Hours"}
METERS: dict[Sku, str] = {"vcpu-hour": "CPU time", "gib-hour": "memory held"}


class HourUse(NamedTuple):
    """What a run used in one hour: CPU in hours, memory in GiB-hours, requests served, those of them that it failed (5xx).

    `hour` counts hours since the epoch. Tokens are None where the run did not count them.
    """

    hour: int
    cpu: Fraction
    memory: Fraction
    requests: int
    failed: int
    input_tokens: int | None = None
    output_tokens: int | None = None


def open_billing(ctx: ProviderContext) -> "LocalBilling":
    """Return the bill of this machine: of all targets below the root."""
    return LocalBilling(ctx)


@dataclass(frozen=True)
class LocalBilling:
    """The usage logs below the root, priced."""

    ctx: ProviderContext

    @cached_property
    def _settings(self) -> Settings:
        settings: Settings = self.ctx.settings
        return settings

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows whose hour starts in the period: per run in the order of its hours, CPU before memory."""
        host = socket.gethostname()
        first, end = microseconds(period.start), microseconds(period.end)
        for run in usage_runs(root_of(self.ctx), since=period.start):
            hours = by_hour(segments(run.log, until_last_sign=True))
            cpu = rounded([use.cpu for use in hours])
            memory = rounded([use.memory for use in hours])
            for use, cpu_hours, gib_hours in zip(hours, cpu, memory, strict=True):
                if first <= use.hour * HOUR < end:
                    yield self._row(run, host, use, "vcpu-hour", cpu_hours)
                    yield self._row(run, host, use, "gib-hour", gib_hours)

    def freshness(self) -> Freshness:
        """Return until when the bill is complete: the last full hour that ended at least two minutes ago."""
        now = self.ctx.clock()
        written = [moment(run.log.stat().st_mtime_ns // 1000) for run in usage_runs(root_of(self.ctx))]
        settled = microseconds(now - LATENESS) // HOUR * HOUR
        return Freshness(complete_until=moment(settled), changed_at=max(written, default=now))

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the prices of one region, or of every region that has a price, a target or usage; as of now, when they were read."""
        root = root_of(self.ctx)
        known = {*self._settings.prices, *(target.region for target in list_targets(root)), *(run.region for run in usage_runs(root))}
        now = self.ctx.clock()
        return [
            UnitPrice(sku, place, UNITS[sku], _price(price, sku), self._settings.currency, source, now)
            for place in ([region] if region else sorted(known))
            for price, source in [self._price_of(place)]
            for sku in UNITS
        ]

    def _price_of(self, region: str) -> tuple[Price, str]:
        own = self._settings.prices.get(region)
        if own is not None:
            return own, f"mcml.toml [providers.local.prices.{region}]"
        if self._settings.price != Price():
            return self._settings.price, "mcml.toml [providers.local.price]"
        return self._settings.price, "default of the local provider"

    def _row(self, run: UsageRun, host: str, use: HourUse, sku: Sku, quantity: Decimal) -> FocusRow:
        price = _price(self._price_of(run.region)[0], sku)
        cost = EXACT.multiply(quantity, price)
        currency = self._settings.currency
        return {
            **_when(moment(use.hour * HOUR)),
            **_who(run, host),
            **_what(run, sku),
            **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"), cost),
            **dict.fromkeys(("BillingCurrency", "PricingCurrency"), currency),
            **dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice"), price),
            **dict.fromkeys(("PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice"), price),
            **dict.fromkeys(("PricingQuantity", "ConsumedQuantity"), quantity),
            **dict.fromkeys(("PricingUnit", "ConsumedUnit"), UNITS[sku]),
            **_counted(use, sku),
            "x_Source": "measured",
        }


def by_hour(used: Iterable[Segment]) -> list[HourUse]:
    """Cut segments at the hours and add them up: exact fractions, one entry for every hour that was touched, in order."""
    cpu: defaultdict[int, int | Fraction] = defaultdict(int)  # whole numbers as long as no hour cuts them: fractions are slow
    memory: defaultdict[int, int] = defaultdict(int)
    requests: defaultdict[int, int] = defaultdict(int)
    failed: defaultdict[int, int] = defaultdict(int)
    entered: defaultdict[int, int] = defaultdict(int)  # tokens, empty where no line speaks of them
    left: defaultdict[int, int] = defaultdict(int)
    for segment in used:
        for hour, part, whole in _cut(segment.start, segment.end):
            cpu[hour] += segment.cpu if part == whole else Fraction(segment.cpu * part, whole)
            memory[hour] += segment.rss * part
        requests[hour] += segment.requests  # whole requests: they count where they were reported
        failed[hour] += segment.errors
        for tokens, counted in ((entered, segment.input_tokens), (left, segment.output_tokens)):
            if counted is not None:
                tokens[hour] += counted
    return [
        HourUse(
            hour,
            cpu=Fraction(cpu[hour]) / HOUR,
            memory=Fraction(memory[hour], GIB * HOUR),
            requests=requests[hour],
            failed=failed[hour],
            input_tokens=entered[hour] if entered else None,
            output_tokens=left[hour] if left else None,
        )
        for hour in sorted(cpu)
    ]


def _cut(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (hour, microseconds in it, microseconds in all) of an interval; one of no length is whole in its hour."""
    at = start
    while True:
        hour = at // HOUR
        cut = min((hour + 1) * HOUR, end)
        yield hour, cut - at, end - start
        at = cut
        if at >= end:
            return


def rounded(parts: Sequence[Fraction]) -> list[Decimal]:
    """Round parts to `SCALE` decimals so that they add up to their rounded total (each is a difference of rounded running totals)."""
    totals = [0, *(round(total * 10**SCALE) for total in accumulate(parts))]
    return [Decimal(later - earlier).scaleb(-SCALE, EXACT) for earlier, later in pairwise(totals)]


def _counted(use: HourUse, sku: Sku) -> dict[str, object]:
    """Return what was counted in an hour; it stands in the row of CPU time alone, or every sum would have it twice."""
    counts = {"x_Requests": use.requests, "x_Failed": use.failed, "x_InputTokens": use.input_tokens, "x_OutputTokens": use.output_tokens}
    return {name: None if sku != "vcpu-hour" or count is None else Decimal(count) for name, count in counts.items()}


def _price(price: Price, sku: Sku) -> Decimal:
    return price.vcpu_hour if sku == "vcpu-hour" else price.gib_hour


def _when(hour: datetime) -> dict[str, object]:
    month = hour.replace(day=1, hour=0)
    return {
        "ChargePeriodStart": hour,
        "ChargePeriodEnd": hour + timedelta(hours=1),
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
    }


def _who(run: UsageRun, host: str) -> dict[str, object]:
    return {
        "BillingAccountId": host,
        "BillingAccountName": host,
        "BillingAccountType": "Machine",
        "SubAccountId": run.target,
        "SubAccountName": run.target,
        "SubAccountType": "Target",
        "InvoiceIssuerName": ISSUER,
        "ServiceProviderName": ISSUER,
        "HostProviderName": host,
        "RegionId": run.region or None,
        "RegionName": run.region or None,
        "Tags": json.dumps(dict(run.tags), sort_keys=True),
        "x_Target": run.target,
        "x_Model": run.model,
        "x_Version": run.version,
        "x_Run": run.id,
        "x_Team": run.tags.get("team") or None,
        "x_Project": run.tags.get("project") or None,
        "x_Environment": run.tags.get("environment") or None,
    }


def _what(run: UsageRun, sku: Sku) -> dict[str, object]:
    return {
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{METERS[sku]} of {run.model} version {run.version} on {run.target}",
        "PricingCategory": "Standard",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Machine Learning",
        "ServiceName": "Local model serving",
        "ResourceId": f"{run.model}@{run.target}",
        "ResourceName": run.model,
        "ResourceType": "Model endpoint",
        "SkuId": sku,
        "SkuMeter": METERS[sku],
        "SkuPriceId": f"{sku}/{run.region or 'default'}",
    }
