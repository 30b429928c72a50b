"""The rows behind a number: those that a scope chooses, dearest first, with the query that anyone can run again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mcml.store.ledger.book import EPOCH, Ledger, Scope, where
from mcml.store.ledger.engine import identifier, literal, sql
from mcml.store.ledger.exact import tidy
from mcml.store.ledger.schema import COLUMNS

_ROWS = """SELECT ${columns} FROM ${source} WHERE ${condition}
ORDER BY abs(EffectiveCost) DESC, abs(BilledCost) DESC, x_IngestId, x_File, x_Row LIMIT ${limit}"""
_SUMS = """
    SELECT BillingCurrency, count(*), sum(BilledCost), sum(EffectiveCost) FROM ${source} WHERE ${condition}
    GROUP BY BillingCurrency ORDER BY BillingCurrency
"""
_TOKEN = re.compile(r"'(?:[^']|'')*'|\?")


@dataclass(frozen=True)
class Sum:
    """What all the rows of one currency add up to."""

    currency: str
    rows: int
    billed: Decimal
    effective: Decimal


@dataclass(frozen=True)
class Behind:
    """The rows (column to value, at most as many as asked for), what all of them add up to, and the query over the view `cost`."""

    rows: tuple[Mapping[str, object], ...]
    sums: tuple[Sum, ...]
    query: str

    @property
    def count(self) -> int:
        """How many rows there are, also those that are not in `rows`."""
        return sum(each.rows for each in self.sums)


def behind(ledger: Ledger, scope: Scope, limit: int) -> Behind:
    """Return the rows of a scope. Raises Usage for an unknown dimension."""
    condition, parameters = where(scope)
    with ledger.opened("cannot read the rows") as connection:
        return chosen(connection, "cost", condition, parameters, limit)


def chosen(connection: Any, source: str, condition: str, parameters: Sequence[str], limit: int) -> Behind:
    """Return the rows of `source`, which has the ledger's columns, for which a condition holds; `parameters` are their `?`, in order."""
    columns = ", ".join(f"epoch_us({identifier(name)})" if kind == "time" else identifier(name) for name, kind in COLUMNS.items())
    about = {"source": source, "condition": condition}
    sums = connection.execute(sql(_SUMS, **about), parameters).fetchall()
    rows = connection.execute(sql(_ROWS, columns=columns, limit=str(limit), **about), parameters).fetchall()
    query = sql(_ROWS, columns="*", limit=str(limit), **about)
    return Behind(tuple(map(_row, rows)), tuple(Sum(*each) for each in sums), filled(query, parameters))


def _row(values: tuple[object, ...]) -> dict[str, object]:
    return {name: _value(kind, value) for (name, kind), value in zip(COLUMNS.items(), values, strict=True)}


def _value(kind: str, value: object) -> object:
    if isinstance(value, Decimal):
        return tidy(value)
    return EPOCH + timedelta(microseconds=value) if kind == "time" and isinstance(value, int) else value


def filled(statement: str, parameters: Sequence[str]) -> str:
    """Return a statement with its parameters written into it, for a person to run; a `?` inside quotes is none."""
    left = iter(parameters)
    return _TOKEN.sub(lambda token: literal(next(left)) if token[0] == "?" else token[0], statement)
