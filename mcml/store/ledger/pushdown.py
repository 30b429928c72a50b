"""The ledger's questions asked of a company's warehouse: the same queries over its own table of FOCUS costs, which stays where it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from mcml.core.errors import McmlError, NotFound
from mcml.providers.api.warehouse import Warehouse
from mcml.store.ledger import book
from mcml.store.ledger.book import Group, Scope, where
from mcml.store.ledger.dialect import Engine, columns_query, translated
from mcml.store.ledger.dimensions import dimension
from mcml.store.ledger.engine import sql
from mcml.store.ledger.manifest import Delivery


@dataclass(frozen=True)
class WarehouseLedger:
    """Costs in a table of a warehouse, asked as `Ledger` is.

    `tell` is given the bytes that a query reads: before it runs (BigQuery), after it where the engine tells them then only (Athena).
    """

    warehouse: Warehouse
    engine: Engine
    table: str
    tell: Callable[[int], None] = lambda _: None

    def totals(self, by: Sequence[str], scope: Scope | None = None) -> list[Group]:
        """Sum the rows by currency and dimensions, dearest first, as `Ledger.totals` does.

        `ingested` is the end of the last charge where the table does not say when its rows came. Raises Usage for an unknown dimension,
        NotFound for the table, InvalidRequest for one that has no FOCUS costs, what the warehouse raises.
        """
        condition, parameters = where(scope or Scope())
        query = sql(book._TOTALS, keys="".join(f", {dimension(name)}" for name in by), condition=condition)
        text = translated(query, self.table, self.columns, self.engine)
        size = self.warehouse.estimate(text, parameters)
        if size is not None:
            self.tell(size)
        answer = self.warehouse.query(text, parameters)
        if size is None and answer.scanned_bytes is not None:
            self.tell(answer.scanned_bytes)
        return [_group(row) for row in answer.rows]

    def waiting(self) -> list[Delivery]:
        """Return what is in quarantine: nothing, as nothing was ingested."""
        return []

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Return the names and types of the table's columns."""
        text, parameters = columns_query(self.table, self.engine)
        found = {str(name): str(kind) for name, kind in self.warehouse.query(text, parameters).rows}
        if not found:
            why, step = "the warehouse shows no columns of it", "look at [cost.warehouse] table in mcml.toml; mcml data --help"
            raise NotFound(f"no table {self.table}", why=why, next_step=step)
        return found


def _group(row: Sequence[Any]) -> Group:
    currency, billed, effective, rows, requests, first, last, ingested, *key = row
    begin, end = _moment(first), _moment(last)
    return Group(
        currency=str(currency),
        key=tuple(None if part is None else str(part) for part in key),
        billed=_exact(billed),
        effective=_exact(effective),
        rows=int(rows),
        requests=None if requests is None else int(requests),
        first=begin,
        last=end,
        ingested=_moment(ingested) if ingested is not None else end,
    )


def _exact(amount: object) -> Decimal:
    """Return a sum of money. Raises McmlError for a binary float, which no query here asks for, and for nothing at all."""
    if isinstance(amount, Decimal):
        return amount
    if isinstance(amount, int):
        return Decimal(amount)
    why = f"it says {amount!r}, a {type(amount).__name__}: costs have to be there, and decimal"
    raise McmlError("the warehouse gives no exact sum", why=why, next_step="look at the cost columns of the table")


def _moment(told: object) -> datetime:
    """Return a time; one without a zone is UTC. Raises McmlError for none."""
    found = datetime.fromisoformat(told) if isinstance(told, str) else told
    if not isinstance(found, datetime):
        raise McmlError("the warehouse gives no time of a charge", why=f"it says {told!r}", next_step="look at ChargePeriodStart and -End")
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
