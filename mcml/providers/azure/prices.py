"""Prices of machine types: the public Azure Retail Prices API (no login), with sizes from Resource SKUs.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices: pay-as-you-go, USD, one row a meter; spot rows say
so in their SKU's name. Windows, "Low Priority" (of Batch) and Cloud Services rows are other offers.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

from mcml.core.clock import Clock, parse_rfc3339
from mcml.core.errors import InvalidRequest, McmlError, Unavailable, did_you_mean
from mcml.providers.api.instances import MachinePrice
from mcml.providers.azure.error_table import retry_after
from mcml.providers.azure.machine_types import machine_type_of
from mcml.providers.azure.session import Session
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Policy, guarded

PATH = "/api/retail/prices"
CURRENCY = "USD"
NAMES_A_QUESTION = 15  # the filter is in the address
MOST_PAGES = 1000
_MACHINE = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class RetailPrices:
    """The price list at `base`. Unauthenticated; `clock` reads dates in Retry-After."""

    base: str
    policy: Policy
    clock: Clock
    read_seconds: float = READ_SECONDS

    def rows(self, wanted: str) -> Iterator[dict[str, Any]]:
        """Yield the rows that an OData filter picks, page after page; numbers are Decimals. Raises Unavailable, InvalidRequest."""
        with httpx.Client(timeout=httpx.Timeout(self.read_seconds, connect=CONNECT_SECONDS)) as client:
            query = str(httpx.QueryParams({"$filter": wanted}))
            for _ in range(MOST_PAGES):
                page = guarded(lambda at=query: self._page(client, at), self._told, self.policy)  # type: ignore[misc]
                yield from page["Items"]
                query = urlsplit(page.get("NextPageLink") or "").query
                if not query:
                    return
        raise InvalidRequest("cannot read Azure's prices", why=f"the list has no end after {MOST_PAGES} pages")

    def _page(self, client: httpx.Client, query: str) -> dict[str, Any]:
        answer = client.get(f"{self.base}{PATH}?{query}")
        answer.raise_for_status()
        page = json.loads(answer.text, parse_float=Decimal)
        if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
            raise ValueError("no list of prices")
        return page

    def _told(self, failed: Exception) -> McmlError | None:
        what = "cannot read Azure's prices"
        if isinstance(failed, httpx.HTTPStatusError):
            status = failed.response.status_code
            if status == 429 or status >= 500:
                wait = retry_after(failed.response.headers, self.clock)
                return Unavailable(what, why=f"the price list answers {status}", next_step="mcml doctor", retry_after=wait)
            return InvalidRequest(what, why=f"the price list answers {status}", next_step="check prices in [providers.azure]")
        if isinstance(failed, httpx.HTTPError):
            return Unavailable(what, why=f"no whole answer came: {type(failed).__name__}: {failed}", next_step=f"curl {self.base}{PATH}")
        if isinstance(failed, ValueError):
            return Unavailable(what, why="what answers is not the price list", next_step="check prices in [providers.azure]")
        return None


def machine_prices(session: Session, region: str, sizes: Iterable[Any], machines: Sequence[str]) -> list[MachinePrice]:
    """Return the prices of machine types in a region, in the order named, or of all by name. Raises InvalidRequest for an unknown one."""
    known = {str(size.name): {pair.name: pair.value for pair in size.capabilities or ()} for size in sizes}
    for machine in machines:
        if machine not in known or not _MACHINE.fullmatch(machine):
            near = did_you_mean(machine, known)
            why = near if near.startswith("did") else f"it is not among the {len(known)} types of this region"
            step = f"az vm list-skus --location {region} --resource-type virtualMachines"
            raise InvalidRequest(f"no machine type {machine[:100]!r} in {region}", why=why, next_step=step)
    now = session.clock()
    rows = _rows(RetailPrices(session.settings.prices, session.policy, session.clock, session.read_seconds), region, machines)
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_machine.setdefault(str(row["armSkuName"]), []).append(row)
    return [to_price(machine, region, known[machine], by_machine.get(machine, []), now) for machine in machines or sorted(known)]


def _rows(prices: RetailPrices, region: str, machines: Sequence[str]) -> Iterator[dict[str, Any]]:
    common = f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
    if not machines:
        yield from prices.rows(common)
    for start in range(0, len(machines), NAMES_A_QUESTION):
        names = " or ".join(f"armSkuName eq '{machine}'" for machine in machines[start : start + NAMES_A_QUESTION])
        yield from prices.rows(f"{common} and ({names})")


def to_price(machine: str, region: str, has: Mapping[str, str], rows: Iterable[Mapping[str, Any]], now: datetime) -> MachinePrice:
    """Return the price of a machine type: what it `has` of capabilities (vCPUs, MemoryGB), and its rows of the price list."""
    rows, kind = list(rows), machine_type_of(machine, has)
    return MachinePrice(
        machine,
        region,
        kind.vcpus,
        kind.memory_gib,
        newest((row for row in rows if _is_linux(row) and not _is_spot(row)), now),
        newest((row for row in rows if _is_linux(row) and _is_spot(row)), now),
        CURRENCY,
        now,
        kind.architecture,
        kind.gpus,
        kind.gpu,
        kind.gpu_memory_gib,
        burstable=kind.burstable,
        local_disk_gb=kind.local_disk_gb,
    )


def newest(rows: Iterable[Mapping[str, Any]], now: datetime) -> Decimal | None:
    """Return the hourly price that holds now: of the row that began last; None where no row does, or that one costs nothing.

    A size that is listed before it is sold has rows of zero.
    """
    begun = [(parse_rfc3339(row["effectiveStartDate"]), Decimal(row["retailPrice"])) for row in rows if row["unitOfMeasure"] == "1 Hour"]
    return max(((at, price) for at, price in begun if at <= now), default=(now, None))[1] or None


def _is_linux(row: Mapping[str, Any]) -> bool:
    other = ("Windows", "CloudServices", "Cloud Services", "Dedicated Host")
    named = f"{row['productName']} {row['skuName']}"
    ours = row["currencyCode"] == CURRENCY and row["type"] == "Consumption"
    return ours and "Low Priority" not in named and not any(word in row["productName"] for word in other)


def _is_spot(row: Mapping[str, Any]) -> bool:
    return " Spot" in f" {row['skuName']} {row['meterName']}"
