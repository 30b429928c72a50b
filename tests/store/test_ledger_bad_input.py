"""Input that would spoil a ledger: an export that is still written, numbers that are none, 38 digits, rows twice; and no float anywhere."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from mcml.core.errors import Conflict
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.schema import INPUT
from tests.cost.focus import csv_text, row, text_row, write_csv

NOW = datetime(2026, 10, 6, 12, tzinfo=UTC)
MONEY = [name for name, kind in INPUT.items() if kind == "decimal"]


def parquet(path: Path, **columns: str) -> Path:
    """Write one row; keywords are the SQL of columns."""
    said = {name: f"'{value}'" for name, value in text_row().items()} | columns
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {', '.join(f'{value} AS {name}' for name, value in said.items())}) TO '{path}' (FORMAT parquet)")
    return path


def appended(path: Path) -> None:
    with path.open("a") as file:
        file.write(csv_text([text_row()]).splitlines()[1] + "\n")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("change", [appended, replaced, Path.unlink])
def test_an_export_that_changes_between_looking_and_reading_books_nothing(change: Callable[[Path], object], tmp_path: Path) -> None:
    path, folder = write_csv(tmp_path / "a.csv", [text_row()] * 3), tmp_path / "cost"
    Intake(folder).rows([row("7")], origin="acme")

    def clock() -> datetime:
        """The clock is read after the file was looked at, and before it is read."""
        change(path)
        return NOW

    with pytest.raises(Conflict, match="changed while it was read"):
        Intake(folder, clock=clock).files([path])
    assert Ledger(folder).totals(())[0].billed == Decimal(7)
    assert list((folder / "scratch").iterdir()) == []
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")} == Ledger(folder).manifest.referenced


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT", "VARCHAR"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_whatever_its_type(kind: str, value: str, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", BilledCost=f"'{value}'::{kind}", ListCost=f"'{value}'::{kind}")
    Intake(tmp_path / "cost").files([path])
    (refused,) = Ledger(tmp_path / "cost").quarantined()
    assert (refused.reason, refused.billed) == ("BilledCost is not a number; ListCost is not a number", None)


@pytest.mark.parametrize(
    ("amount", "kind", "reason"),
    [
        ("99999999999999.999999999999999999999999", "DECIMAL(38,24)", ""),
        ("12345678901234567890123456789012345678", "DECIMAL(38,0)", "BilledCost has more than 14 digits before the point"),
        ("0.12345678901234567890123456789012345678", "DECIMAL(38,38)", "BilledCost has more than 24 decimals"),
        ("0.12345678901234567890123400000000000000", "DECIMAL(38,38)", ""),
        ("12345678901234.567890123456789012345678", "DECIMAL(38,24)", ""),
        ("170141183460469231731687303715884105727", "HUGEINT", "BilledCost has more than 14 digits before the point"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_38_digits_are_booked_to_the_last_or_refused(amount: str, kind: str, reason: str, as_text: bool, tmp_path: Path) -> None:
    value = f"'{amount}'" if as_text else f"'{amount}'::{kind}"
    Intake(tmp_path / "cost").files([parquet(tmp_path / "a.parquet", BilledCost=value)])
    found, refused = Ledger(tmp_path / "cost").totals(()), Ledger(tmp_path / "cost").quarantined()
    assert [group.billed for group in found] == ([] if reason else [Decimal(amount)])
    assert [line.reason for line in refused] == ([reason] if reason else [])


def test_rows_that_are_the_same_are_charged_each(tmp_path: Path) -> None:
    """FOCUS gives a charge no identity: two hours of the same price look alike."""
    Intake(tmp_path / "cost").files([write_csv(tmp_path / "a.csv", [text_row()] * 3)])
    (found,) = Ledger(tmp_path / "cost").totals(())
    assert (found.billed, found.rows) == (Decimal("4.5"), 3)


def test_no_money_is_a_double_anywhere(tmp_path: Path) -> None:
    doubles = dict.fromkeys(MONEY, "0.1::DOUBLE + 0.2::DOUBLE") | {"EffectiveCost": "0.7::FLOAT", "Tags": "'{'"}
    Intake(tmp_path).files([parquet(tmp_path / "good.parquet", **doubles | {"Tags": "NULL"}), parquet(tmp_path / "bad.parquet", **doubles)])
    with Ledger(tmp_path).opened("test") as connection:
        view = {name: kind for name, kind, *_ in connection.execute("DESCRIBE cost").fetchall()}
        row = connection.execute(f"SELECT {', '.join(MONEY)} FROM cost").fetchone()
    assert {view[name] for name in MONEY} == {"DECIMAL(38,24)"}
    assert not {"DOUBLE", "FLOAT", "HUGEINT"} & set(view.values())
    assert dict(zip(MONEY, row, strict=True)) == dict.fromkeys(MONEY, Decimal("0.30000000000000004")) | {"EffectiveCost": Decimal("0.7")}
    files = [path for folder in ("focus", "quarantine") for path in (tmp_path / folder).rglob("*.parquet")]
    assert len(files) == 2
    with duckdb.connect() as connection:
        for file in files:
            query = "SELECT name, type, converted_type, precision, scale FROM parquet_schema(?)"
            schema = connection.execute(query, [str(file)]).fetchall()
            money = {name: said for name, *said in schema if name in MONEY}
            assert list(money.values()) == [["FIXED_LEN_BYTE_ARRAY", "DECIMAL", 38, 24]] * (len(MONEY) if "focus" in str(file) else 1)
            assert not {"DOUBLE", "FLOAT"} & {kind for _, kind, *_ in schema}
