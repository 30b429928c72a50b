"""The rows behind an answer: what a question of the library reads of `focus_data_table` before it groups and adds up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from mcml.store.ledger.book import EPOCH, Group, Ledger
from mcml.store.ledger.engine import identifier, sql
from mcml.store.ledger.rows import Behind, chosen
from mcml.store.ledger.schema import COLUMNS, FOCUS

TABLE = "focus_data_table"
_VIEW = "CREATE VIEW ${table} AS SELECT ${columns} FROM cost"
_READ = "(SELECT DISTINCT ${name}.* FROM ${table} ${rest})"
_MADE_OF = """
    SELECT BillingCurrency, x_Source, sum(BilledCost), sum(EffectiveCost), count(*),
           epoch_us(min(ChargePeriodStart)), epoch_us(max(ChargePeriodEnd)), epoch_us(max(x_IngestedAt))
    FROM ${read} GROUP BY BillingCurrency, x_Source ORDER BY BillingCurrency, x_Source
"""
_TOKEN = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\w+|\s+|.", re.DOTALL)
_JOINS = frozenset(("WHERE", "CROSS", "INNER", "LEFT", "JOIN"))
_ENDS = frozenset(("GROUP", "ORDER", "LIMIT", "HAVING", "QUALIFY", "WINDOW", "UNION"))


@dataclass(frozen=True)
class Read:
    """What a question reads: a table in parentheses, and which of the question's `?` are in it."""

    table: str
    parameters: slice

    def values(self, parameters: Sequence[str | datetime]) -> list[str]:
        """Return the values of its own `?`, in order; times as SQL writes them, of UTC."""
        mine = parameters[self.parameters]
        return [each if isinstance(each, str) else f"{each.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for each in mine]


def read(query: str) -> Read:
    """Find what a question reads. Raises ValueError for one that reads the table not once: the library has none."""
    tokens = [token for token in _TOKEN.findall(query) if not token.startswith("--")]
    places = [place for place, token in enumerate(tokens) if token == TABLE]
    if len(places) != 1:
        raise ValueError(f"the query reads {TABLE} {len(places)} times")
    before, after = tokens[: places[0]], tokens[places[0] + 1 :]
    depths = _depths(after)
    inside = [token for token, _ in takewhile(lambda pair: pair[1] >= 0 and not (pair[1] == 0 and _ends(pair[0])), depths)]
    first = next((token for token in inside if not token.isspace()), "WHERE")
    start, rest = before.count("?"), "".join(" " if token.isspace() else token for token in inside).strip()
    table = sql(_READ, table=TABLE, name=TABLE if first.upper() in _JOINS else first, rest=rest)
    return Read(table, slice(start, start + inside.count("?")))


def _depths(tokens: Sequence[str]) -> list[tuple[str, int]]:
    """Return each token with how deep in parentheses it stands: one that closes, outside of what it closes."""
    depth, found = 0, []
    for each in tokens:
        depth -= each == ")"
        found.append((each, depth))
        depth += each == "("
    return found


def _ends(token: str) -> bool:
    return token.upper() in _ENDS


def behind(ledger: Ledger, query: str, parameters: Sequence[str | datetime], limit: int) -> Behind:
    """Return the rows that a question reads, dearest first, at most `limit`."""
    found = read(query)
    with ledger.opened("cannot read the rows") as connection:
        connection.execute(_view())
        return chosen(connection, found.table, "true", found.values(parameters), limit)


def made_of(ledger: Ledger, query: str, parameters: Sequence[str | datetime]) -> list[Group]:
    """Return what the rows that a question reads are made of, by source (billed, measured, estimate)."""
    found = read(query)
    with ledger.opened("cannot add up the costs") as connection:
        connection.execute(_view())
        rows = connection.execute(sql(_MADE_OF, read=found.table), found.values(parameters)).fetchall()
    return [
        Group(currency, (source,), billed, effective, count, None, *(EPOCH + timedelta(microseconds=moment) for moment in moments))
        for currency, source, billed, effective, count, *moments in rows
    ]


def _view() -> str:
    """Return the table that the questions read, with the ledger's own columns besides: they tell rows apart."""
    times = {name for name, kind in FOCUS.items() if kind == "time"}
    columns = [f"{identifier(name)}::TIMESTAMP AS {identifier(name)}" if name in times else identifier(name) for name in COLUMNS]
    return sql(_VIEW, table=TABLE, columns=", ".join(columns))
