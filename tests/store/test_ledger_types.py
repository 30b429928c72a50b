"""A column with a type of its own is read as its text would be: the same rows as Parquet and as CSV make the same ledger, bit for bit."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.store.ledger.book import Ledger, Refused
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Ingested, Intake

FINE = {
    "BilledCost": "1",
    "EffectiveCost": "1",
    "BillingCurrency": "USD",
    "BillingAccountId": "a",
    "BillingPeriodStart": "2026-10-01",
    "BillingPeriodEnd": "2026-11-01",
    "ChargePeriodStart": "2026-10-05 10:00:00",
    "ChargePeriodEnd": "2026-10-05 11:00:00",
    "ChargeCategory": "Usage",
    "ServiceProviderName": "p",
}

DOUBLES = st.one_of(
    st.floats(width=64),
    st.floats(-1e15, 1e15),
    st.integers(-(10**15), 10**15).map(lambda number: number / 1e12),
    st.integers(-(10**15), 10**15).map(lambda number: number / 1e6),
    st.decimals(-1000, 1000, places=10).map(float),
    st.sampled_from([float("nan"), float("inf"), -0.0, 5e-324, 1e14, 99999999999999.98, 5e-25, 1e22, 0.1 + 0.2, 1e-5]),
)
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "DOUBLE": DOUBLES,
    "FLOAT": st.floats(width=32),
    "DECIMAL(38,24)": st.decimals(-(10**13), 10**13, places=24),
    "DECIMAL(20,2)": st.decimals(-(10**17), 10**17, places=2),
    "DECIMAL(38,30)": st.decimals(-(10**7), 10**7, places=25) | st.decimals(-(10**7), 10**7, places=24),
    "BIGINT": st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**14) - 1, 10**14 + 1),
    "UTINYINT": st.integers(0, 255),
    "BOOLEAN": st.booleans(),
    "VARCHAR": st.sampled_from(["", "NULL", " 5", "5 ", "+1.5", "1_0", "1e3", "0x1", "12.5000000000000000000000000", "9" * 15, "-0.12345"])
    | st.decimals(-1000, 1000, places=13).map(str),
}
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)) | st.datetimes(datetime(2026, 10, 1), datetime(2026, 10, 31))
TIMES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMPTZ", "DATE"), MOMENTS.map(str) | st.just("infinity")),
    "TIMESTAMP_NS": st.sampled_from(["2026-10-05 10:00:00.123456999", "1969-12-31 23:59:59.999999999", "2026-10-05"]),
    "VARCHAR": st.sampled_from(["infinity", "2026-10-05T10:00Z", "05/10/2026", "2026-13-01", "0044-03-15 (BC)", "NULL", "2026-10-05X"]),
}
COUNTS: dict[str, st.SearchStrategy[Any]] = {
    "BIGINT": st.integers(-5, 10**6),
    "UBIGINT": st.integers(0, 2**64 - 1),
    "DOUBLE": st.sampled_from([1.0, 1.5, -1.0, 1e17]),
    "VARCHAR": st.sampled_from(["5", "5.0", "5.5", "-1", "x", "99999999999999999999"]),
}
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": st.text(CHARACTERS, max_size=5) | st.sampled_from(["NULL", "", "USD", '"', "a,b\r\n"])
}
TAGS: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": st.sampled_from(['{"team": "risk"}', '"team": "ml"', "team=ml", "[1]", "{", "NULL", "7", '{"owner": null, "env": "dev"}'])
}
COLUMNS = {
    **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "PricingQuantity"), NUMBERS),
    **dict.fromkeys(("BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd"), TIMES),
    "x_Requests": COUNTS,
    "Tags": TAGS,
    **dict.fromkeys(("BillingCurrency", "ServiceName", "SkuId", "x_Unknown", "x_Other"), TEXTS),
    "BillingAccountId": {"INTEGER": st.integers(1, 2)},
}
ROWS = 40


@st.composite
def tables(draw: st.DrawFn) -> dict[str, tuple[str, list[Any]]]:
    """Columns with a type and values each, of which most rows are fine."""
    made: dict[str, tuple[str, list[Any]]] = {}
    for name, kinds in COLUMNS.items():
        kind = draw(st.sampled_from(sorted(kinds)))
        made[name] = kind, draw(st.lists(kinds[kind] | st.none(), min_size=3, max_size=6))
    return made


def write(table: dict[str, tuple[str, list[Any]]], parquet: Path, csv: Path) -> int:
    """Write one table as both files; each odd column differs from the fine row in few rows only. Return how many rows it has."""
    values = {}
    for place, (name, (kind, drawn)) in enumerate(table.items()):
        fine = FINE.get(name)
        if kind == "BOOLEAN" or fine is None:
            fine = drawn[0]
        values[name] = kind, [drawn[row % len(drawn)] if (row + place) % 5 == 0 or row < 3 else fine for row in range(ROWS)]
    values |= {name: ("VARCHAR", [fine] * ROWS) for name, fine in FINE.items() if name not in values}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE t (" + ", ".join(f'"{name}" {kind}' for name, (kind, _) in values.items()) + ")")
        texts = ", ".join(f"TRY_CAST(? AS {kind})" for kind, _ in values.values())
        connection.executemany(f"INSERT INTO t VALUES ({texts})", list(zip(*(column for _, column in values.values()), strict=True)))
        connection.execute(f"COPY t TO '{parquet}' (FORMAT parquet)")
        connection.execute(f"COPY (SELECT COLUMNS(*)::VARCHAR FROM t) TO '{csv}' (FORMAT csv, HEADER, FORCE_QUOTE *)")
    return ROWS


def told(folder: Path, path: Path) -> tuple[Ingested, list[tuple[Any, ...]], list[Refused]]:
    done = Intake(folder).files([path])
    ledger = Ledger(folder)
    with ledger.opened("test") as connection:
        query = "SELECT COLUMNS(* EXCLUDE (x_IngestId, x_IngestedAt, x_File))::VARCHAR FROM cost ORDER BY cost.x_Row"
        rows = connection.execute(query).fetchall()
    refused = [Refused("", line.row, line.reason, line.billed, line.currency, line.content) for line in ledger.quarantined(ROWS)]
    return done, rows, refused


@settings(max_examples=8, deadline=None)
@given(tables())
def test_parquet_and_csv_make_the_same_ledger(table: dict[str, tuple[str, list[Any]]]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        parquet, csv = folder / "typed.parquet", folder / "text.csv"
        count = write(table, parquet, csv)
        typed, typed_rows, typed_refused = told(folder / "typed", parquet)
        _, text_rows, text_refused = told(folder / "text", csv)
    assert typed_rows == text_rows
    assert typed_refused == text_refused
    assert typed.delivery.rows + typed.delivery.quarantined == count == len(typed_rows) + len(typed_refused)


def fine_but(*columns: str) -> str:
    """The other columns of a fine row, as SQL."""
    return ", ".join(f"'{value}' AS {name}" for name, value in FINE.items() if name not in columns)


@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(38,24)", "VARCHAR"])
def test_sum_in_is_sum_out_and_quarantine(kind: str, tmp_path: Path) -> None:
    """Every hundredth row has no currency, every seventh amount is null."""
    amounts = [None if row % 7 == 3 else Decimal(row * 1_000_003 % 999_983).scaleb(-10) for row in range(1000)]
    amount = "(format('0.{:010}', (i * 1000003) % 999983))"
    chosen = f"CASE WHEN i % 7 <> 3 THEN {amount}::{kind} END AS BilledCost, CASE WHEN i % 100 <> 0 THEN 'EUR' END AS BillingCurrency"
    path = tmp_path / "t.parquet"
    with duckdb.connect() as connection:
        fine = fine_but("BilledCost", "BillingCurrency")
        connection.execute(f"COPY (SELECT {chosen}, {fine} FROM range(1000) numbers(i)) TO '{path}'")
    done = Intake(tmp_path / "cost").files([path])
    (group,) = Ledger(tmp_path / "cost").totals(())
    refused = Ledger(tmp_path / "cost").quarantined(1000)
    assert (group.rows, len(refused)) == (done.delivery.rows, done.delivery.quarantined)
    assert group.rows + len(refused) == 1000
    waiting = [line.billed for line in refused if line.billed is not None]
    assert total([group.billed, *waiting]) == total(amount for amount in amounts if amount is not None)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_piece_at_a_time_is_the_same_as_all_at_once(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    chosen = "i AS BilledCost, CASE WHEN i % 10 = 3 THEN '?' ELSE 'Usage' END AS ChargeCategory, TIMESTAMP '2026-10-04' - to_hours(i) AS "
    rows = f"SELECT {chosen} ChargePeriodStart, {fine_but('BilledCost', 'ChargeCategory', 'ChargePeriodStart')} FROM range(20) numbers(i)"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({rows}) TO '{path}'")
    monkeypatch.setattr("mcml.store.ledger.staging.PIECE", piece)
    _, found, refused = told(tmp_path / "cost", path)
    assert [line.row for line in refused] == [4, 14]
    assert len(found) == 18
    assert Ledger(tmp_path / "cost").totals(())[0].billed == sum(range(20)) - 3 - 13
