"""The ledger's queries in other dialects: what they say, that they parse, and that a warehouse on DuckDB gives the ledger's own numbers."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import expressions as exp

from mcml.core.errors import InvalidRequest, McmlError, NotFound, Usage
from mcml.providers.api.warehouse import QueryResult
from mcml.store.ledger import book
from mcml.store.ledger.book import Group, Ledger, Scope
from mcml.store.ledger.dialect import Engine, columns_query, translated
from mcml.store.ledger.dimensions import DIMENSIONS, condition, dimension, parse
from mcml.store.ledger.engine import connected, sql
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.pushdown import WarehouseLedger
from mcml.store.ledger.schema import COLUMNS, SQL_TYPE
from tests.cost.focus import row

ATHENA_TYPES = {"decimal": "double", "time": "timestamp(3)", "count": "bigint"}
ATHENA = {name.lower(): ATHENA_TYPES.get(kind, "varchar") for name, kind in COLUMNS.items()}
BIGQUERY = {name: {"decimal": "NUMERIC", "time": "TIMESTAMP", "count": "INT64"}.get(kind, "STRING") for name, kind in COLUMNS.items()}
CONDITIONS = ("team=risk", "service~Amazon*", "model!=", "team!~x*,", "tag:a b=1", "day=2026-10-05")


def query(*by: str, conditions: Iterable[str] = ()) -> str:
    keys = "".join(f", {dimension(name)}" for name in by)
    return sql(book._TOTALS, keys=keys, condition=condition([parse(text) for text in conditions])[0])


class Engines:
    """A warehouse on DuckDB with one table, `finops.focus`."""

    def __init__(self, setup: str, *, tells_before: bool = True) -> None:
        self.setup, self.tells_before, self.asked = setup, tells_before, list[str]()

    def measure(self, source: str, kind: Any) -> Any:
        raise NotImplementedError

    def load(self, dataset: str, table: str, source: str, kind: Any, *, replace: bool = False) -> Any:
        raise NotImplementedError

    def datasets(self, name: str = "") -> list[Any]:
        raise NotImplementedError

    def estimate(self, sql: str, parameters: Any = ()) -> int | None:
        return len(self.asked) if self.tells_before else None

    def query(self, sql: str, parameters: Any = ()) -> QueryResult:
        self.asked.append(sql)
        with connected("cannot ask") as connection:
            connection.execute("CREATE SCHEMA finops")
            connection.execute(self.setup)
            connection.execute(f"CREATE TABLE answer AS {sql}", list(parameters))
            described = connection.execute("DESCRIBE answer").fetchall()
            texts = ", ".join(f"{name}::VARCHAR" if "TIME ZONE" in kind else name for name, kind, *_ in described)
            answer = connection.execute(f"SELECT {texts} FROM answer")
            return QueryResult(tuple(name for name, *_ in described), tuple(answer.fetchall()), 77)


@pytest.mark.parametrize(("engine", "columns"), [("bigquery", BIGQUERY), ("athena", ATHENA)])
@pytest.mark.parametrize("name", [*DIMENSIONS, "tag:cost-centre", 'tag:say "hi"'])
def test_every_dimension_parses_in_every_dialect(engine: Engine, columns: Mapping[str, str], name: str) -> None:
    """Athena's engine is not here: its SQL is parsed, and what it does not know is not in it."""
    text = translated(query(name, conditions=CONDITIONS), "acme.finops.focus", columns, engine)
    tree = sqlglot.parse_one(text, read=engine)
    known = {"FORMAT_TIMESTAMP", "REGEXP_CONTAINS", "REGEXP_LIKE", "JSON_VALUE", "TIMESTAMP_SUB", "DATE_FORMAT"}
    assert {node.name.upper() for node in tree.find_all(exp.Anonymous)} <= known
    for word in ("EPOCH_US", "STRFTIME", "FULL_MATCH", "QUALIFY", "FILTER", "GROUP BY ALL", "::"):
        assert word not in text.upper(), word
    assert [table.name for table in tree.find_all(exp.Table)] == ["focus"]


def test_athena_says_it_its_way() -> None:
    span = "ChargePeriodStart >= TIMESTAMPTZ '2026-10-01T00:00:00Z'"
    text = translated(sql(book._TOTALS, keys=f", {dimension('week')}", condition=span), "finops.focus", ATHENA, "athena")
    assert 'CAST("billedcost" AS DECIMAL(38, 18)) AS BilledCost' in text
    assert "DATE_FORMAT(DATE_TRUNC('WEEK', ChargePeriodStart), '%Y-%m-%d')" in text
    assert "CAST('2026-10-01 00:00:00 UTC' AS TIMESTAMP WITH TIME ZONE)" in text
    mapped = translated(query("tag:team"), "finops.focus", ATHENA | {"tags": "map(varchar, varchar)"}, "athena")
    assert 'JSON_FORMAT(CAST("tags" AS JSON)) AS Tags' in mapped


def test_where_the_columns_are_told() -> None:
    source = "`acme-data`.`finops`.INFORMATION_SCHEMA.COLUMNS WHERE table_name = ?"
    assert columns_query("acme-data.finops.Focus", "bigquery") == (f"SELECT column_name, data_type FROM {source}", ["Focus"])
    source = "information_schema.columns WHERE table_schema = ? AND table_name = ?"
    assert columns_query("Finops.Focus", "athena") == (f"SELECT column_name, data_type FROM {source}", ["finops", "focus"])


def by_key(groups: Iterable[Group]) -> dict[Any, Any]:
    return {(group.currency, group.key): group for group in groups}


def copied(folder: Path) -> str:
    """Return the statement that makes the ledger's rows a table of a warehouse."""
    names = ", ".join(f'"{name}" {SQL_TYPE[kind]}' for name, kind in COLUMNS.items())
    files = ", ".join(f"'{path}'" for path in (folder / "focus").rglob("*.parquet"))
    source = f"SELECT * FROM read_parquet([{files}], hive_partitioning = false)"
    return f"CREATE TABLE finops.focus ({names}); INSERT INTO finops.focus BY NAME {source}"


amounts = st.decimals(-10_000, 10_000, places=24)
words = st.sampled_from(["", "risk", "ops", "Amazon S3", "a'b", "x\ny"])
charges = st.builds(
    lambda billed, effective, team, service, currency, hour: row(
        billed, EffectiveCost=effective, x_Team=team or None, ServiceName=service or None, BillingCurrency=currency, x_Requests=hour
    ),
    amounts, amounts, words, words, st.sampled_from(["USD", "EUR"]), st.none() | st.integers(0, 9),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    rows=st.lists(charges, min_size=1, max_size=12),
    by=st.lists(st.sampled_from([*DIMENSIONS]), max_size=3),
    text=st.sampled_from(CONDITIONS),
)
def test_a_warehouse_on_duckdb_says_what_the_ledger_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], by: list[str], text: str
) -> None:
    folder = tmp_path_factory.mktemp("cost")
    Intake(folder).rows(rows, origin="test")
    pushed = WarehouseLedger(Engines(copied(folder)), "duckdb", "finops.focus")
    for scope in (Scope(), Scope(filters=(parse(text),))):
        assert by_key(pushed.totals(by, scope)) == by_key(Ledger(folder).totals(by, scope))


def test_a_table_of_binary_floats_of_an_older_focus() -> None:
    """A float is read by the digits that it is printed with; what the table lacks of ours is null, or billed."""
    costs = "BilledCost DOUBLE, EffectiveCost DOUBLE, BillingCurrency VARCHAR, ChargePeriodStart TIMESTAMP, ChargePeriodEnd TIMESTAMP"
    values = "(0.1, 1e-7, 'USD', '2026-10-05', '2026-10-06', 'AWS', MAP {'team': 'risk'})"
    columns = f"{costs}, ProviderName VARCHAR, Tags MAP(VARCHAR, VARCHAR)"
    setup = f"CREATE TABLE finops.focus ({columns}); INSERT INTO finops.focus VALUES {values}"
    engines, told = Engines(f"{setup}, {values}, {values}"), list[int]()
    pushed = WarehouseLedger(engines, "duckdb", "finops.focus", told.append)
    (found,) = pushed.totals(("provider", "source", "team", "tag:team", "day"))
    assert found.key == ("AWS", "billed", None, "risk", "2026-10-05")
    assert (found.billed, found.effective, found.requests, found.ingested) == (Decimal("0.3"), Decimal("0.0000003"), None, found.last)
    assert (told, len(engines.asked), pushed.waiting()) == ([1], 2, [])
    WarehouseLedger(Engines(engines.setup, tells_before=False), "duckdb", "finops.focus", told.append).totals(())
    assert told == [1, 77]


def test_what_cannot_be_asked() -> None:
    pushed = WarehouseLedger(Engines("CREATE TABLE finops.focus (id BIGINT)"), "duckdb", "finops.focus")
    with pytest.raises(InvalidRequest, match="no table of FOCUS costs") as caught:
        pushed.totals(())
    assert "BillingCurrency" in caught.value.why
    with pytest.raises(Usage, match="cannot be grouped by"):
        pushed.totals(("tem",))
    with pytest.raises(NotFound, match="no table finops"):
        WarehouseLedger(Engines("SELECT 1"), "duckdb", "finops.other").totals(())
    names = "BilledCost DOUBLE, EffectiveCost DOUBLE, BillingCurrency VARCHAR, ChargePeriodStart DATE, ChargePeriodEnd DATE"
    empty = f"CREATE TABLE finops.focus ({names})"
    assert WarehouseLedger(Engines(empty), "duckdb", "finops.focus").totals(()) == []
    for values, said in (("NULL, 1, 'USD', '2026-10-05', '2026-10-06'", "no exact sum"), ("1, 1, 'USD', '2026-10-05', NULL", "no time")):
        pushed = WarehouseLedger(Engines(f"{empty}; INSERT INTO finops.focus VALUES ({values})"), "duckdb", "finops.focus")
        with pytest.raises(McmlError, match=said):
            pushed.totals(())
