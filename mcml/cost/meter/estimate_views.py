"""What estimates and their errors look like."""

from collections.abc import Sequence

from mcml.core.view import Block, Column, Document, Section, State, Table
from mcml.cost.meter.estimate import Estimated
from mcml.cost.meter.live import Held
from mcml.cost.meter.live_views import old_prices, unpriced
from mcml.cost.meter.truth import DayError, UsualError

NO_TRUTH = "no estimate has been covered by a bill yet: estimate now, and ingest the bill when it has come"


def estimated(results: Sequence[Estimated], *, dry_run: bool) -> Document:
    """Show what was added for each provider and currency, and what runs without a price, or with an old one."""
    columns = (
        Column("provider", "Provider"),
        Column("account", "Account"),
        Column("rows", "Hours", "number"),
        Column("estimated_cost", "Estimated", "money"),
        Column("currency", "Currency"),
        Column("since", "From", "time"),
        Column("until", "Until", "time"),
        Column("state", "State", "state"),
    )
    items = [item for result in results for item in _items(result, dry_run=dry_run)]
    without: list[Held] = [held for result in results for held in result.unpriced]
    blocks: list[Block] = [Table(columns, items, empty="no target to ask: name one in mcml.toml"), *unpriced(without)]
    blocks += [line for result in results for line in old_prices(result.priced, result.until)]
    return Document("EstimateResult", items, blocks)


def _items(result: Estimated, *, dry_run: bool) -> list[dict[str, object]]:
    common = {
        "name": result.provider,
        "provider": result.provider,
        "account": result.account,
        "since": result.since,
        "until": result.until,
        "unpriced": [{"name": held.name, "why": held.why} for held in result.unpriced],
        "dry_run": dry_run,
    }
    if not result.amounts:
        return [{**common, "rows": 0, "estimated_cost": None, "currency": None, "state": State("nothing new", "idle")}]
    state = State("would be written", "warn") if dry_run else State("estimated")
    return [
        {**common, "rows": amount.rows, "estimated_cost": amount.cost, "currency": amount.currency, "state": state}
        for amount in result.amounts
    ]


def errors(days: Sequence[DayError], usual: Sequence[UsualError]) -> Document:
    """Show the usual error of each service, and every day below it; the days are the items."""
    items = [
        {
            "name": f"{each.day}/{each.service}",
            "day": each.day,
            "provider": each.provider,
            "service": each.service,
            "currency": each.currency,
            "estimated_cost": each.estimated,
            "billed_cost": each.billed,
            "error_percent": each.percent,
        }
        for each in days
    ]
    columns = (
        Column("day", "Day"),
        Column("provider", "Provider"),
        Column("service", "Service"),
        Column("estimated_cost", "Estimated", "money"),
        Column("billed_cost", "Billed", "money"),
        Column("currency", "Currency"),
        Column("error_percent", "Error", "percent"),
    )
    blocks: list[Block] = [_usual(usual)] if usual else []
    return Document("EstimateErrorList", items, (*blocks, Section("Days", (Table(columns, items, empty=NO_TRUTH),))))


def _usual(usual: Sequence[UsualError]) -> Section:
    columns = (
        Column("currency", "Currency"),
        Column("provider", "Provider"),
        Column("service", "Service"),
        Column("days", "Days", "number"),
        Column("usual", "Usual error", "percent"),
        Column("worst", "Worst", "percent"),
    )
    rows = [{**vars(each), "provider": each.provider or "all", "service": each.service or "all"} for each in usual]
    return Section("Usual errors", (Table(columns, rows),))
