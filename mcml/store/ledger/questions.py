"""A question in SQL, answered by the ledger under the name that the FOCUS use cases give it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite

from mcml.store.ledger.book import Ledger
from mcml.store.ledger.engine import identifier, literal, sql
from mcml.store.ledger.exact import plain
from mcml.store.ledger.schema import FOCUS

Value = str | int | Decimal | datetime | bool | None

_SORTED = "FROM (${query}) ORDER BY ALL"
_VIEW = "CREATE VIEW focus_data_table AS SELECT ${columns} FROM cost WHERE ${condition}"
CURRENCY = "BillingCurrency"


@dataclass(frozen=True)
class Answer:
    """Columns and rows. Sums are exact; a quotient was one of floats, good for about 15 digits."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def ask_apart(ledger: Ledger, query: str, parameters: Sequence[str | datetime], currencies: Collection[str]) -> dict[str, Answer]:
    """Run a query once, under "", or where it would add up several currencies without a word, once for each of them."""
    found = ask(ledger, query, parameters)
    if CURRENCY in found.columns or len(currencies) < 2:
        return {"": found}
    return {currency: ask(ledger, query, parameters, currency) for currency in sorted(currencies)}


def ask(ledger: Ledger, query: str, parameters: Sequence[str | datetime], currency: str = "") -> Answer:
    """Run a query of our own library on `focus_data_table`, the FOCUS 1.4 columns of all rows; `parameters` are its `?`, in order.

    With a `currency` it sees only the rows that are billed in it.
    """
    condition = f"{CURRENCY} = {literal(currency)}" if currency else "true"
    with ledger.opened("cannot answer the question") as connection:
        view = sql(_VIEW, columns=", ".join(f"{_column(name)} AS {identifier(name)}" for name in FOCUS), condition=condition)
        connection.execute(view)
        # groups come in any order; an order of the query's own is kept
        ordered = query if "order by" in query.lower() else sql(_SORTED, query=query)
        values = [each if isinstance(each, str) else each.astimezone(UTC).replace(tzinfo=None) for each in parameters]
        found = connection.execute(ordered, values)
        columns = tuple(each[0] for each in found.description)
        return Answer(columns, tuple(tuple(map(_value, row)) for row in found.fetchall()))


def _column(name: str) -> str:
    """Times go without their zone, UTC: DuckDB needs a package of its own to hand the others out."""
    return f"{identifier(name)}::TIMESTAMP" if FOCUS[name] == "time" else identifier(name)


def _value(said: object) -> Value:
    """Return what a cell holds: dates become text, floats the Decimal of their shortest text, and no Decimal has zeros at its end."""
    if isinstance(said, float):
        return Decimal(plain(Decimal(repr(said)))) if isfinite(said) else str(said)
    if isinstance(said, Decimal):
        return Decimal(plain(said))
    if isinstance(said, datetime):
        return said.replace(tzinfo=UTC)
    if said is None or isinstance(said, str | int):
        return said
    return str(said)
