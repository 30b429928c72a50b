"""Restatements as a document."""

from collections.abc import Sequence

from mcml.core.view import Column, Document, Table
from mcml.cost.intake.restatements import Restatement

COLUMNS = (
    Column("at", "When", "time"),
    Column("account", "Account"),
    Column("month", "Bill"),
    Column("provider", "Provider"),
    Column("service", "Service"),
    Column("billed_before", "Billed", "money"),
    Column("billed_after", "Now", "money"),
    Column("billed_change", "Change", "money"),
    Column("effective_change", "Effective", "money"),
    Column("delivery", "Delivery"),
)


def restatements(found: Sequence[Restatement]) -> Document:
    """Show what changed, a table a currency, newest first."""
    items = [item(each) for each in found]
    tables = [
        Table(COLUMNS, [line for line in items if line["currency"] == currency], title=f"Restatements in {currency}")
        for currency in sorted({each.currency for each in found})
    ]
    return Document("Restatements", items, tuple(tables) or (Table([], [], empty="no bill has been restated"),))


def item(each: Restatement) -> dict[str, object]:
    """Return what scripts see of a restatement."""
    return {
        "at": each.at,
        "delivery": each.delivery,
        "source": each.origin,
        "account": each.account,
        "month": each.month,
        "provider": each.provider,
        "service": each.service or None,
        "currency": each.currency,
        "billed_before": each.billed_before,
        "billed_after": each.billed_after,
        "billed_change": each.billed_change,
        "effective_before": each.effective_before,
        "effective_after": each.effective_after,
        "effective_change": each.effective_change,
        "rows_before": each.rows_before,
        "rows_after": each.rows_after,
    }
