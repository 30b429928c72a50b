"""Athena: the contract with DuckDB in its place, over the real Glue and S3 of moto; faults; and what only Athena does."""

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, Usage
from mcml.providers.api.warehouse import Dataset, Warehouse
from mcml.providers.aws import athena
from mcml.providers.aws.warehouse import AthenaWarehouse, open_warehouse
from mcml.providers.aws.warehouse_sources import EMPTY, type_of, wider
from mcml.testing.contracts.warehouse import CSV, WarehouseContract
from tests.providers.aws.athena_world import AthenaWorld
from tests.providers.aws.conftest import MakeContext
from tests.providers.aws.warehouse_rig import (
    Put,
    address,
    dataset,
    fresh_dataset,
    keys,
    make_warehouse,
    put,
    put_object,
    stub,
    warehouse,
    world,
)

__all__ = ["address", "dataset", "fresh_dataset", "make_warehouse", "put", "put_object", "stub", "warehouse", "world"]


class TestAthena(WarehouseContract):
    @pytest.fixture
    def warehouse(self, make_warehouse: Callable[..., AthenaWarehouse]) -> Warehouse:
        return make_warehouse()

    @pytest.fixture
    def dataset(self, fresh_dataset: str) -> str:
        return fresh_dataset

    @pytest.fixture
    def put(self, put_object: Put) -> Put:
        return put_object


def test_a_load_leaves_the_table_and_nothing_else(
    warehouse: AthenaWarehouse, world: AthenaWorld, dataset: str, put: Put, s3_bucket: str
) -> None:
    warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
    assert [found for found in warehouse.datasets() if found.name == dataset] == [Dataset(dataset, ("things",))]
    assert all("/data/" in key for key in keys(world, s3_bucket))
    before = keys(world, s3_bucket)
    warehouse.load(dataset, "things", put("more.csv", b"id,name,price\n7,,0.5\n"), "csv", replace=True)
    after = keys(world, s3_bucket)
    assert len(after) == 1
    assert not set(after) & set(before)
    assert warehouse.query(f"select * from {dataset}.things").rows == ((7, None, Decimal("0.5")),)
    assert [found for found in warehouse.datasets() if found.name == dataset] == [Dataset(dataset, ("things",))]


def test_a_value_that_does_not_fit_changes_nothing(
    warehouse: AthenaWarehouse, world: AthenaWorld, dataset: str, put: Put, s3_bucket: str
) -> None:
    """What comes after the rows that were looked at: Athena refuses it, and neither a table nor a file is left behind."""
    late = put("late.csv", b"id\n" + b"1\n" * 1100 + b"many\n")
    with pytest.raises(InvalidRequest, match="cannot load into") as refused:
        warehouse.load(dataset, "things", late, "csv")
    assert "INVALID_CAST_ARGUMENT" in str(refused.value.why)
    assert keys(world, s3_bucket) == []
    warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
    for replace in (False, True):
        with pytest.raises(InvalidRequest):
            warehouse.load(dataset, "things", late, "csv", replace=replace)
    assert warehouse.query(f"select count(*) from {dataset}.things").rows == ((3,),)
    assert [found.tables for found in warehouse.datasets() if found.name == dataset] == [("things",)]


def test_gzip_and_files_with_other_columns(warehouse: AthenaWarehouse, dataset: str, put: Put) -> None:
    put("part-1.csv.gz", gzip.compress(b"id,code\n1,007\n"))
    source = put("part-2.csv.gz", gzip.compress(b"big,id\n12345678901234567890.5,2\n")).replace("part-2", "part-*")
    assert warehouse.load(dataset, "things", source, "csv").rows == 2
    found = warehouse.query(f"select id, code, big from {dataset}.things order by id")
    assert found.rows == ((1, "007", None), (2, None, Decimal("12345678901234567890.5")))
    assert found.scanned_bytes


def test_a_backslash_is_a_character_like_any_other(warehouse: AthenaWarehouse, dataset: str, put: Put) -> None:
    warehouse.load(dataset, "paths", put("paths.csv", b'id,path\n1,C:\\temp\n2,"a ""b"", c\\"\n'), "csv")
    assert warehouse.query(f"select path from {dataset}.paths order by id").rows == (("C:\\temp",), ('a "b", c\\',))


def test_values_of_every_type(warehouse: AthenaWarehouse) -> None:
    sql = """select 1 as a, cast(2 as bigint) as b, true as c, 1.5e0::double as d, date '2025-02-01' as e,
             timestamp '2025-02-01 03:04:05' as f, null as h, '' as i"""
    assert warehouse.query(sql).rows == (
        (1, 2, True, 1.5, date(2025, 2, 1), datetime(2025, 2, 1, 3, 4, 5), None, ""),
    )
    assert athena.value("timestamp with time zone", "2025-02-01 03:04:05.000 UTC") == datetime(2025, 2, 1, 3, 4, 5, tzinfo=UTC)
    assert athena.value("array", "[1, 2]") == "[1, 2]"


def test_statements_and_values() -> None:
    assert athena.prepare("select * from t where a = @x and b = '@x' -- @y\n;", {"x": "it's"}) == (
        "select * from t where a = ? and b = '@x'",
        ["'it''s'"],
    )
    assert athena.prepare("(select 1)", ()) == ("(select 1)", [])
    assert athena.prepare("select/* all */a--x\nfrom t", ()) == ("select a \nfrom t", [])
    assert athena.prepare("values (1)", ()) == ("values (1)", [])
    values = [None, True, 7, Decimal("1.50"), 0.1, date(2025, 2, 1), datetime(2025, 2, 1, 3, tzinfo=UTC), datetime(2025, 2, 1, 3)]
    assert [athena.literal(value) for value in values] == [
        "NULL", "TRUE", "7", "DECIMAL '1.50'", "DOUBLE '0.1'", "DATE '2025-02-01'", "TIMESTAMP '2025-02-01 03:00:00.000000 UTC'",
        "TIMESTAMP '2025-02-01 03:00:00.000000'",
    ]  # fmt: skip
    for sql, given in (
        ("select 1; select 2", ()),
        ("/* select */ drop table t", ()),
        ("select ?", ()),
        ("select @x", {}),
        ("select ?", [object()]),
        ("insert into t select 1", ()),
        ("", ()),
    ):
        with pytest.raises(InvalidRequest):
            athena.prepare(sql, given)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", ""], "bigint"),
        (["1", "1.25"], "decimal(20, 2)"),
        (["1.25", "1"], "decimal(20, 2)"),
        (["123456789012345678901"], "decimal(21, 0)"),
        (["007"], "varchar"),
        (["1", "x"], "varchar"),
        (["", None], "varchar"),
        (["1e5"], "varchar"),
        ([Decimal("0.5"), 3], "decimal(19, 1)"),
        ([True], "varchar"),
        (["1" * 39], "varchar"),
    ],
)
def test_types_that_are_seen(cells: list[object], kind: str) -> None:
    shape: Any = EMPTY
    for cell in cells:
        shape = wider(shape, cell)
    assert type_of([shape, EMPTY]) == kind


def test_what_cannot_be_loaded(make_warehouse: Callable[..., AthenaWarehouse], dataset: str, put: Put) -> None:
    warehouse = make_warehouse()
    with pytest.raises(InvalidRequest, match="cannot load") as parquet:
        warehouse.load(dataset, "t", put("a.parquet", b"PAR1"), "parquet")
    assert "crawler" in str(parquet.value.next_step)
    wrong = (("a.json", b"[1]\n", "json"), ("b.json", b"{\n", "json"), ("a.csv", b"a b,c\n1,2\n", "csv"), ("b.csv", b"", "csv"))
    for name, body, kind in wrong:
        with pytest.raises(InvalidRequest, match="cannot load"):
            warehouse.load(dataset, "t", put(name, body), kind)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="cannot load /tmp/x"):
        warehouse.load(dataset, "t", "/tmp/x.csv", "csv")
    with pytest.raises(Usage) as nowhere:
        make_warehouse(athena_output="").load(dataset, "t", put("c.csv", CSV), "csv")
    assert "athena_output" in str(nowhere.value.next_step)
    assert dataset not in [found.name for found in warehouse.datasets()]


def test_it_opens(make_context: MakeContext) -> None:
    assert isinstance(open_warehouse(make_context()), AthenaWarehouse)
