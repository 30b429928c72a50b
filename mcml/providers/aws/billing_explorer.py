"""The bill out of Cost Explorer (GetCostAndUsage), by day. EVERY PAGE COSTS $0.01, also one that is asked for again after a fault.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
It groups by two keys at most. So a month is asked which accounts have which record types (one page, mostly), and then each of those pairs
by day, grouped by service and usage type; or, with `billing_tag` in the settings, by service and the tag's value. A month of 3 accounts
costs some 15 to 30 cents. By day AWS keeps 14 months.

What it does not know: resources, list prices, commitments' names; more than one tag; the region, but for a usage type's prefix. BilledCost
is the unblended cost with every record type taken, so that discounts stand as lines of their own; EffectiveCost the amortized cost;
ListCost is the on-demand price where the line has it, else what was paid. What a savings plan covers is billed nothing: its line and its
negation cancel out, and what they do not cancel is an Adjustment. A fee is a Purchase, and what nothing used of it a Usage row beside it.
Amounts and times are those of UTC days; x_Estimated says "true" until the invoice is final.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any

from botocore.exceptions import ClientError

from mcml.core.errors import InvalidRequest, Unavailable
from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.providers.aws.billing_lines import Group, Negations, group_rows
from mcml.providers.aws.billing_prices import Used, unit_prices
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.session import Session
from mcml.providers.focus import first_day, month_after, months_of
from mcml.providers.resilience import NEXT_STEP

REGION = "us-east-1"
KEPT = timedelta(days=38 * 31)
"""What is older is nowhere in Cost Explorer: 38 months by the month, 14 by the day."""
OLDER = "set billing_export in [providers.aws] of mcml.toml to an export in S3, which keeps every month"
LATENESS = timedelta(hours=24)
DAY = timedelta(days=1)
NEXT_PAGE = "NextPageToken"
METRICS = ["UnblendedCost", "AmortizedCost", "UsageQuantity"]
USAGE_TYPES = ["Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"]


@dataclass(frozen=True)
class ExplorerBilling:
    """The bill of an account, or of an organization when the account is its payer."""

    session: Session
    _names: dict[str, str] = field(default_factory=dict)

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows whose day starts in a period, page by page; what AWS no longer keeps at all is an empty bill.

        Raises NotAuthenticated, Unavailable; InvalidRequest with AWS's own words for days beyond the 14 months.
        """
        now = self.session.ctx.clock()
        start = max(first_day(period.start), first_day(now - KEPT))
        end = min(first_day(period.end), first_day(now))
        if start < end:  # else no whole day that Cost Explorer has starts in it
            for month in months_of(Period(start, end)):
                yield from self._month(max(start, month), min(end, month_after(month)))

    def freshness(self) -> Freshness:
        """Return the end of the last day with a cost, at least 24 hours ago: AWS renews the numbers at least once a day ($0.01)."""
        now = self.session.ctx.clock()
        found = self._pages(first_day(now - 14 * DAY), first_day(now), "DAILY", ["UnblendedCost"])
        days = [_start(day) for page in found for day in page["ResultsByTime"] if Decimal(day["Total"]["UnblendedCost"]["Amount"])]
        settled = first_day(now - LATENESS - DAY)
        complete = min(max(days, default=settled - DAY) + DAY, settled)
        return Freshness(complete_until=complete, changed_at=min(now, complete + LATENESS))

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the on-demand list prices of what was used in the last 30 days, out of the Price List; its SKUs are those of the export.

        Cost Explorer says what was used ($0.01 or little more), GetProducts what it costs (free; one call a usage type).
        """
        now = self.session.ctx.clock()
        only = {"Dimensions": {"Key": "RECORD_TYPE", "Values": USAGE_TYPES}}
        groups = [_group("DIMENSION", "SERVICE"), _group("DIMENSION", "USAGE_TYPE")]
        pages = self._pages(first_day(now - 30 * DAY), first_day(now), "MONTHLY", ["UsageQuantity"], groups, only)
        used = {Used(*group["Keys"]) for page in pages for result in page["ResultsByTime"] for group in result["Groups"]}
        return unit_prices(self.session, used, region)

    def _month(self, start: datetime, end: datetime) -> Iterator[FocusRow]:
        negations = Negations()
        tag = self.session.settings.billing_tag
        second = _group("TAG", tag) if tag else _group("DIMENSION", "USAGE_TYPE")
        for account, record_type in self._pairs(start, end):
            only = {"And": [_is("LINKED_ACCOUNT", account), _is("RECORD_TYPE", record_type)]}
            for page in self._pages(start, end, "DAILY", METRICS, [_group("DIMENSION", "SERVICE"), second], only, True):
                for result in page["ResultsByTime"]:
                    for found in result["Groups"]:
                        yield from group_rows(self._read(result, found, account, record_type), negations)
        yield from negations.rows()

    def _pairs(self, start: datetime, end: datetime) -> list[tuple[str, str]]:
        """Return which accounts have which record types; what cost nothing at all is left out."""
        groups = [_group("DIMENSION", "LINKED_ACCOUNT"), _group("DIMENSION", "RECORD_TYPE")]
        found: dict[tuple[str, str], None] = {}
        for page in self._pages(start, end, "MONTHLY", METRICS, groups):
            for one in page.get("DimensionValueAttributes", ()):
                self._names[one["Value"]] = one.get("Attributes", {}).get("description", "")
            for result in page["ResultsByTime"]:
                for group in result["Groups"]:
                    account, record_type = group["Keys"]
                    if any(Decimal(metric["Amount"]) for metric in group["Metrics"].values()):
                        found[account, record_type] = None
        return sorted(found)

    def _read(self, result: Mapping[str, Any], found: Mapping[str, Any], account: str, record_type: str) -> Group:
        service, second = found["Keys"]
        tag = self.session.settings.billing_tag
        metrics = found["Metrics"]
        unit = metrics["UsageQuantity"]["Unit"]
        return Group(
            day=_start(result),
            payer=self._account,
            account=account,
            account_name=self._names.get(account, ""),
            record_type=record_type,
            service=service,
            usage_type="" if tag else second,
            tags={tag: second.partition("$")[2]} if tag and second.partition("$")[2] else {},
            unblended=Decimal(metrics["UnblendedCost"]["Amount"]),
            amortized=Decimal(metrics["AmortizedCost"]["Amount"]),
            currency=metrics["UnblendedCost"]["Unit"],
            quantity=Decimal(metrics["UsageQuantity"]["Amount"]) if unit not in ("N/A", "") else None,
            unit=unit,
            estimated=result["Estimated"],
        )

    def _pages(
        self, start: datetime, end: datetime, granularity: str, metrics: list[str],
        groups: list[dict[str, str]] | None = None, only: Mapping[str, Any] | None = None, known: bool = False,
    ) -> Iterator[Mapping[str, Any]]:  # fmt: skip
        """Yield the pages of an answer; `known` says that there is something to tell."""
        asked: dict[str, Any] = {"TimePeriod": {"Start": f"{start:%Y-%m-%d}", "End": f"{end:%Y-%m-%d}"}, "Granularity": granularity}
        asked |= {"Metrics": metrics} | ({"GroupBy": groups} if groups else {}) | ({"Filter": only} if only else {})
        doing = f"cannot read the costs of {start:%Y-%m-%d} to {end:%Y-%m-%d} from Cost Explorer"
        while True:
            page = self.session.call(doing, partial(self._page, dict(asked), known=known or NEXT_PAGE in asked))
            yield page
            if not page.get(NEXT_PAGE):
                return
            if page[NEXT_PAGE] == asked.get(NEXT_PAGE):  # each of them would be paid for
                raise Unavailable(doing, why="Cost Explorer gives the same page again and again", next_step=NEXT_STEP)
            asked[NEXT_PAGE] = page[NEXT_PAGE]

    def _page(self, asked: Mapping[str, Any], *, known: bool) -> Mapping[str, Any]:
        """Return a page. No data are an empty bill, but not where there are some (`known`): part of the bill would pass for all of it."""
        try:
            answer: Mapping[str, Any] = self.session.client("ce", REGION).get_cost_and_usage(**asked)
        except ClientError as failed:
            if code_of(failed) == "LimitExceededException":  # elsewhere a quota, here too many calls at once
                why = "too many in a short time (LimitExceededException)"
                raise Unavailable("Cost Explorer takes no more calls for now", why=why) from failed
            if code_of(failed) == "DataUnavailableException":
                if known:
                    why = "it has part of the bill, and not the rest for now (DataUnavailableException)"
                    raise Unavailable("Cost Explorer does not tell all of the bill", why=why) from failed
                return {"ResultsByTime": []}
            if code_of(failed) == "ValidationException" and "historical" in str(failed):
                why = "it keeps 14 months by the day"
                raise InvalidRequest("Cost Explorer has no such old days", why=why, next_step=OLDER) from failed
            raise
        return answer

    @cached_property
    def _account(self) -> str:
        asked = self.session.call("cannot tell whose bill it is", lambda: self.session.client("sts").get_caller_identity())
        return str(asked["Account"])


def _group(kind: str, key: str) -> dict[str, str]:
    return {"Type": kind, "Key": key}


def _is(key: str, value: str) -> dict[str, Any]:
    return {"Dimensions": {"Key": key, "Values": [value]}}


def _start(result: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(f"{result['TimePeriod']['Start'][:10]}T00:00:00+00:00")
