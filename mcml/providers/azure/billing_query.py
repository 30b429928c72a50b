"""The bill out of Cost Management (POST {scope}/providers/Microsoft.CostManagement/query), by day; free, renewed every four hours.

https://learn.microsoft.com/rest/api/cost-management/query/usage
A month is asked twice, as ActualCost (what is billed) and as AmortizedCost (what it costs when commitments are spread), and put together by
day and group. By day the service answers 31 days at most and leaves out the rest without a word, so no question is longer than a month.
It groups by subscription, service, region, charge type, pricing model, meter and benefit (its reference says two groups, the portal and
Microsoft's own samples take more, up to 15), and by the values of one tag (`billing_tag`). Which of them there are depends on the agreement
(a customer agreement has no MeterId but ResourceGuid, a pay-as-you-go subscription may have no benefits): one that Azure refuses is left
out, and so is what it would tell. `nextLink` is followed here: the SDK does not.
A tenant has a budget of query units: a 429 says in several headers how long to wait, and the longest counts.

What it does not know: resources, quantities, list prices (ListCost is what was paid, or the amortized cost of what a commitment covers);
taxes and credits of the invoice. Amounts are read as decimals from the text of the answer, never as binary floats.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from azure.mgmt.costmanagement import CostManagementClient
from azure.mgmt.costmanagement.models import QueryAggregation, QueryDataset, QueryDefinition, QueryGrouping, QueryTimePeriod

from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.providers.azure.billing_prices import unit_prices
from mcml.providers.azure.billing_rows import Group, group_row
from mcml.providers.azure.session import Session
from mcml.providers.focus import first_day, month_after, months_of

DAY = timedelta(days=1)
LATENESS = timedelta(hours=24)
KEPT = timedelta(days=37 * 30)
"""A question about older days is refused (37 months)."""
MOST_PAGES = 10_000
DIMENSIONS = (
    "SubscriptionId", "SubscriptionName", "ServiceName", "ResourceLocation", "ChargeType", "PricingModel", "MeterId", "Meter", "BenefitId",
    "BenefitName",
)  # fmt: skip
STANDS_IN = {"MeterId": "ResourceGuid"}
"""What tells the same where an agreement does not know the first name."""
COST = "Cost"
_REFUSED = re.compile(r"Invalid dataset grouping: '(\w+)'")
Line = dict[str, Any]


@dataclass(frozen=True)
class QueryBilling:
    """The costs of a scope: that of the settings (a billing account, a management group, ...), else the subscription."""

    session: Session
    renamed: dict[str, str] = field(default_factory=dict, compare=False)
    """Of the dimensions that Azure refused: what is asked instead ("": nothing)."""

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows whose day starts in a period, a month at a time; what Azure no longer keeps is an empty bill.

        Raises NotAuthenticated, NotFound for a scope that is not there, Unavailable, Usage when neither scope nor subscription is named.
        """
        now = self.session.clock()
        start = max(first_day(period.start), first_day(now - KEPT))
        end = min(first_day(period.end), first_day(now))
        for month in months_of(Period(start, end)):
            yield from self._slice(max(start, month), min(end, month_after(month)))

    def freshness(self) -> Freshness:
        """Return the end of the last day with a cost, at least 24 hours ago: usage arrives within a day, mostly."""
        now = self.session.clock()
        found = self._lines("ActualCost", first_day(now - 14 * DAY), first_day(now), (), "")
        days = [_day(line) for line in found if line[COST]]
        settled = first_day(now - LATENESS - DAY)
        complete = min(max(days, default=settled - DAY) + DAY, settled)
        return Freshness(complete_until=complete, changed_at=min(now, complete + LATENESS))

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the list prices of the meters used in the last 30 days, out of the public Retail Prices API; `sku` is the meter's id."""
        now = self.session.clock()
        found = self._lines("ActualCost", first_day(now - 30 * DAY), first_day(now), ("MeterId", "ResourceLocation"), "")
        return unit_prices(self.session, {(line["MeterId"], line["ResourceLocation"]) for line in found}, region)

    @property
    def _scope(self) -> str:
        return (self.session.settings.billing_scope or f"/subscriptions/{self.session.named_subscription()}").strip("/")

    def _slice(self, start: datetime, end: datetime) -> Iterator[FocusRow]:
        tag = self.session.settings.billing_tag
        groups: dict[tuple[Any, ...], Group] = {}
        for kind in ("ActualCost", "AmortizedCost"):
            for line in self._lines(kind, start, end, DIMENSIONS, tag):
                key = (_day(line), line["Currency"], *(line[name] for name in DIMENSIONS), line.get("TagValue"))
                group = groups.setdefault(key, Group(_day(line), line["Currency"], line, self._scope, tag))
                group.add(kind, line[COST])
        for group in groups.values():
            if group.billed or group.effective:
                yield group_row(group)

    def _lines(self, kind: str, start: datetime, end: datetime, dimensions: Iterable[str], tag: str) -> Iterator[Line]:
        """Yield the rows of a question as mappings, page by page; a dimension that the agreement does not have is None in them."""
        wanted = tuple(dimensions)
        while True:
            asked = {name: self.renamed.get(name, name) for name in wanted}
            try:
                for line in self._answers(kind, start, end, [name for name in asked.values() if name], tag):
                    yield line | {name: line.get(other) for name, other in asked.items()}
                return
            except InvalidRequest as refused:  # of the first page: the others ask the same
                said = _REFUSED.search(refused.why)
                name = next((name for name, other in asked.items() if said and other == said[1]), "")
                if not name:
                    raise
                self.renamed[name] = "" if name in self.renamed else STANDS_IN.get(name, "")

    def _answers(self, kind: str, start: datetime, end: datetime, dimensions: Iterable[str], tag: str) -> Iterator[Line]:
        grouping = [QueryGrouping(type="Dimension", name=name) for name in dimensions]
        grouping += [QueryGrouping(type="TagKey", name=tag)] if tag else []
        dataset = QueryDataset(
            granularity="Daily", aggregation={"totalCost": QueryAggregation(name=COST, function="Sum")}, grouping=grouping or None
        )
        last = end - timedelta(seconds=1)
        asked = QueryDefinition(
            type=kind, timeframe="Custom", time_period=QueryTimePeriod(from_property=start, to=last), dataset=dataset
        )
        what = f"read the costs ({kind}) of {start:%Y-%m-%d} to {last:%Y-%m-%d} from Cost Management"
        params: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            page = self.session.call(what, partial(self._page, asked, params))
            names = [column["name"] for column in page.get("columns") or ()]
            yield from (dict(zip(names, row, strict=True)) for row in page.get("rows") or ())
            if not page.get("nextLink"):
                return
            params = {name: value for name, value in parse_qsl(urlsplit(page["nextLink"]).query) if name.lower() != "api-version"}
        raise InvalidRequest(f"cannot {what}", why=f"the answer has no end after {MOST_PAGES} pages")

    def _page(self, asked: QueryDefinition, params: Mapping[str, str]) -> dict[str, Any]:
        client = self.session.management(CostManagementClient, of_subscription=False)
        text: str = client.query.usage(self._scope, asked, params=dict(params), cls=_text)
        answer: dict[str, Any] = json.loads(text or "{}", parse_float=Decimal).get("properties") or {}
        costs = [number for number, column in enumerate(answer.get("columns") or ()) if column["name"] == COST]
        for row in answer.get("rows") or ():
            for number in costs:
                row[number] = Decimal(row[number])
        return answer


def _text(answer: Any, _model: object, _headers: object) -> str:
    """Return the text of an answer: the SDK's own model has read its numbers as binary floats."""
    text: str = answer.http_response.text()
    return text


def _day(line: Line) -> datetime:
    """Return the day of a row: a number such as 20250131, or a text that begins with a date."""
    digits = str(line["UsageDate"]).replace("-", "")[:8]
    return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
