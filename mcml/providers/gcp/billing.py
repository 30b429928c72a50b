"""Billing on Google Cloud: the billing export to BigQuery (standard, detailed, or Google's own FOCUS export), and prices.

`[providers.gcp] billing_table` says where it is. The export cannot be asked for on demand: Google appends rows several times a day, late
ones too, which carry an old usage date and the invoice month they are billed in.
https://cloud.google.com/billing/docs/how-to/export-data-bigquery
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import Billing, FocusRow, Freshness, Period, UnitPrice
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import bigquery as jobs
from mcml.providers.gcp import billing_prices
from mcml.providers.gcp.billing_focus import focus_row
from mcml.providers.gcp.billing_rows import amount, focus_rows
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATENESS = timedelta(hours=48)
"""How late rows arrive, as a rule; Google promises nothing."""
USED_SINCE = timedelta(days=35)
"""What was used in the last month or so is what has a price."""
FOCUS_NAME = "gcp_billing_export_focus"
SETUP = "https://cloud.google.com/billing/docs/how-to/export-data-bigquery-setup"
WANTED = (
    "billing_account_id", "invoice", "cost_type", "service", "sku", "usage_start_time", "usage_end_time", "project", "labels", "tags",
    "location", "cost", "currency", "usage", "credits", "export_time", "cost_at_list", "price", "resource", "consumption_model",
    "seller_name",
)  # fmt: skip
"""The columns that are read, as far as the table has them: Google adds some from time to time."""


def open_billing(ctx: ProviderContext) -> Billing:
    """Return the bill in the export table."""
    return GcpBilling(Session(ctx, policy=Policy(budget=ctx.budget)))


class GcpBilling:
    """The export table, asked by usage date."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows of the charges that start in the period, page by page.

        ChargePeriod is when something was used, BillingPeriod the invoice month (`x_InvoiceMonth`), which may be a later one.
        Raises NotAuthenticated, NotFound for the table, InvalidRequest where none is set, Unavailable.
        """
        start = "ChargePeriodStart" if self._is_focus else "usage_start_time"
        columns = sorted(self._columns) if self._is_focus else [name for name in WANTED if name in self._columns]
        which = f"{start} >= @start AND {start} < @end"
        for record in self._records(columns, which, {"start": period.start, "end": period.end}, period.start):
            if self._is_focus:
                yield focus_row(record)
            else:
                yield from focus_rows(record)

    def freshness(self) -> Freshness:
        """Return when the last rows came (the newest export_time), and what lies `LATENESS` before that as complete."""
        column = next((name for name in ("export_time", "x_ExportTime", "ChargePeriodEnd", "usage_end_time") if name in self._columns), "")
        if not column:
            raise self._unlike()
        answer = jobs.ask(self._session, f"SELECT MAX({column}) AS changed FROM `{self._table}`")  # noqa: S608 - a column's name
        ((changed,),) = (row for page in answer.pages() for row in page)
        if not isinstance(changed, datetime):
            return Freshness(EPOCH, EPOCH)
        return Freshness(max(EPOCH, changed - LATENESS), changed)

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return what the SKUs cost that were used lately: by the pricing export if one is set, else by the public catalogue.

        From a FOCUS export without a pricing export: the list prices that it shows.
        """
        used = self._used()
        skus = sorted({str(sku) for _, sku, *_ in used})
        if self._session.settings.pricing_table:
            found = list(self._exported_prices(skus))
        elif self._is_focus:
            found = [price for row in used if (price := self._shown(row))]
        else:
            by_service: dict[str, set[str]] = {}
            for service, sku, *_ in used:
                by_service.setdefault(str(service), set()).add(str(sku))
            currency = next((str(told) for *_, told in used if told), "USD")
            wanted = {service: frozenset(members) for service, members in by_service.items()}
            found = list(billing_prices.from_catalog(self._session, wanted, currency))
        return [price for price in found if region in ("", price.region)]

    def _used(self) -> Sequence[tuple[Any, ...]]:
        """Return what was used lately: (service, sku, currency), of a FOCUS export (region, sku, unit, price, when, currency)."""
        since = self._session.ctx.clock() - USED_SINCE
        if self._is_focus:
            what = "RegionId AS region, SkuId AS sku, PricingUnit AS unit, ListUnitPrice AS price, MAX(ChargePeriodEnd) AS seen"
            where, group = "ChargePeriodStart >= @since AND ListUnitPrice IS NOT NULL AND SkuId IS NOT NULL", "1, 2, 3, 4, 6"
            what, order = f"{what}, BillingCurrency AS currency", "5"
        else:
            what = "service.id AS service, sku.id AS sku, currency AS currency"
            where = "usage_start_time >= @since AND sku.id IS NOT NULL"
            group, order = "1, 2, 3", "1, 2, 3"
        pruned = self._pruned(since, "@since")
        sql = f"SELECT {what} FROM `{self._table}` WHERE {where}{pruned} GROUP BY {group} ORDER BY {order}"  # noqa: S608 - own words
        return [row for page in jobs.ask(self._session, sql, {"since": since}, exact=True).pages() for row in page]

    def _shown(self, row: tuple[Any, ...]) -> UnitPrice | None:
        region, sku, unit, price, seen, currency = row
        if price is None or seen is None:
            return None
        source = f"BigQuery table {self._table}"
        return UnitPrice(sku, region or billing_prices.GLOBAL, unit or "unit", amount(price), currency, source, seen)

    def _exported_prices(self, skus: Sequence[str]) -> Iterator[UnitPrice]:
        table = self._session.settings.pricing_table
        known = self._describe(table)
        columns = (
            "pricing_as_of_time",
            "sku",
            "pricing_unit",
            "account_currency_code",
            "geo_taxonomy",
            "list_price",
            "billing_account_price",
        )
        named = ", ".join(name for name in columns if name in {field.name for field in known.schema})
        newest = f"pricing_as_of_time = (SELECT MAX(pricing_as_of_time) FROM `{table}`)"  # noqa: S608 - checked by the settings
        sql = f"SELECT {named} FROM `{table}` WHERE {newest} AND sku.id IN UNNEST(@skus)"  # noqa: S608
        answer = jobs.ask(self._session, sql, {"skus": list(skus)}, exact=True)
        yield from billing_prices.from_export(_named(answer), table)

    def _records(self, columns: Sequence[str], where: str, given: Mapping[str, object], since: datetime) -> Iterator[dict[str, Any]]:
        if not columns:
            raise self._unlike()
        pruned = self._pruned(since, "@start")
        sql = f"SELECT {', '.join(columns)} FROM `{self._table}` WHERE {where}{pruned}"  # noqa: S608 - names of the table's own columns
        yield from _named(jobs.ask(self._session, sql, given, exact=True))

    def _pruned(self, since: datetime, parameter: str) -> str:
        """Return the condition that spares reading old partitions: a row never arrives before its charge begins.

        A row that is still in the buffer of a stream is in no partition yet:
        https://cloud.google.com/bigquery/docs/querying-partitioned-tables#query_data_in_the_write-optimized_storage
        """
        partitioned = self._described.time_partitioning
        if not partitioned or partitioned.field or since <= EPOCH:
            return ""
        return f" AND (_PARTITIONTIME >= TIMESTAMP_TRUNC({parameter}, DAY) OR _PARTITIONTIME IS NULL)"

    @property
    def _table(self) -> str:
        table = self._session.settings.billing_table
        if not table:
            why = "[providers.gcp] billing_table is empty, and Google tells costs in no other way"
            step = f"set billing_table in mcml.toml; to make an export: {SETUP}"
            raise InvalidRequest("no billing export is set", why=why, next_step=step)
        return table

    @property
    def _is_focus(self) -> bool:
        return self._table.rpartition(".")[2].startswith(FOCUS_NAME)

    @cached_property
    def _described(self) -> Any:
        return self._describe(self._table)

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(field.name for field in self._described.schema)

    def _describe(self, table: str) -> Any:
        session = self._session
        return session.call(f"cannot look at table {table}", lambda: session.bigquery.get_table(table, **session.options))

    def _unlike(self) -> InvalidRequest:
        return InvalidRequest(f"{self._table} is no billing export", why="it has none of the columns of one", next_step=f"see {SETUP}")


def _named(answer: jobs.Answer) -> Iterator[dict[str, Any]]:
    names = [field.name for field in answer.columns]
    return (dict(zip(names, row, strict=True)) for page in answer.pages() for row in page)
