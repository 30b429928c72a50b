"""BigQuery: the contract on the emulator, from a bucket and from files, and what only BigQuery does."""

import gzip
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.api.warehouse import Warehouse
from mcml.providers.gcp import bigquery as jobs
from mcml.providers.gcp import warehouse as module
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.object_store import open_object_store
from mcml.providers.gcp.warehouse import open_warehouse
from mcml.testing.contracts.warehouse import CSV, WarehouseContract

Put = Callable[[str, bytes], str]


@pytest.fixture
def warehouse(bigquery: ProviderContext) -> Warehouse:
    return open_warehouse(bigquery)


@pytest.fixture
def dataset() -> str:
    return f"ds_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def put(bigquery: ProviderContext) -> Put:
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    open_buckets(bigquery).create(bucket)

    def put(name: str, data: bytes) -> str:
        open_object_store(bigquery).write(bucket, f"in/{name}", [data])
        return f"gs://{bucket}/in/{name}"

    return put


class TestOnTheEmulatorFromABucket(WarehouseContract):
    """The emulator's loads are put right by `bqemulator/launcher.py`."""

    @pytest.fixture
    def warehouse(self, warehouse: Warehouse) -> Warehouse:
        return warehouse

    @pytest.fixture
    def dataset(self, dataset: str) -> str:
        return dataset

    @pytest.fixture
    def put(self, put: Put) -> Put:
        return put


class TestOnTheEmulatorFromAFile(TestOnTheEmulatorFromABucket):
    @pytest.fixture
    def put(self, tmp_path: Path) -> Put:
        def put(name: str, data: bytes) -> str:
            (tmp_path / "files").mkdir(exist_ok=True)
            (tmp_path / "files" / name).write_bytes(data)
            return f"file://{tmp_path}/files/{name}"

        return put

    def test_wildcards(self, warehouse: Warehouse, dataset: str, put: Put) -> None:
        """Several files cannot be loaded as one upload; the next step says what can be done."""
        put("part-1.csv", b"id\n1\n")
        source = put("part-2.csv", b"id\n2\n").replace("part-2.csv", "part-*.csv")
        with pytest.raises(InvalidRequest, match="several files") as caught:
            warehouse.load(dataset, "things", source, "csv")
        assert caught.value.next_step.startswith("mcml data cp -r ")
        assert warehouse.load(dataset, "things", source.replace("part-*", "*-2"), "csv").rows == 1


def test_columns_go_by_name_into_a_table_that_is_there(warehouse: Warehouse, dataset: str, put: Put) -> None:
    warehouse.load(dataset, "t", put("a.csv", b"a,b\nx,1\n"), "csv")
    assert warehouse.load(dataset, "t", put("b.csv", b"b,a\n2,y\n"), "csv").rows == 1
    assert warehouse.query(f"select a, b from {dataset}.t order by b").rows == (("x", 1), ("y", 2))
    with pytest.raises(InvalidRequest, match=r"into ds_\w+\.t"):
        warehouse.load(dataset, "t", put("c.csv", b"a,b,c\nz,3,4\n"), "csv")


def test_replace_takes_the_columns_of_what_is_loaded(warehouse: Warehouse, dataset: str, put: Put) -> None:
    warehouse.load(dataset, "t", put("a.csv", CSV), "csv")
    assert warehouse.load(dataset, "t", put("b.json", b'{"other": true}\n'), "json", replace=True).rows == 1
    found = warehouse.query(f"select * from {dataset}.t")
    assert (found.columns, found.rows) == (("other",), ((True,),))


def test_the_first_of_two_objects_does_not_stay_when_the_second_fails(warehouse: Warehouse, dataset: str, put: Put) -> None:
    warehouse.load(dataset, "t", put("a.json", b'{"a": 0}\n'), "json")
    put("1.json", b'{"a": 1}\n')
    source = put("2.json", b'{"a": ').replace("2.json", "*.json")
    for replace in (False, True):
        with pytest.raises(InvalidRequest):
            warehouse.load(dataset, "t", source, "json", replace=replace)
    assert warehouse.query(f"select a from {dataset}.t").rows == ((0,),)


def test_a_compressed_file(warehouse: Warehouse, dataset: str, tmp_path: Path, put: Put) -> None:
    assert warehouse.load(dataset, "t", put("a.csv.gz", gzip.compress(CSV)), "csv").rows == 3
    (tmp_path / "a.csv").write_bytes(CSV)
    assert warehouse.load(dataset, "t", str(tmp_path / "a.csv"), "csv").rows == 3


def test_fields_between_tabs(warehouse: Warehouse, dataset: str, put: Put) -> None:
    for _ in range(2):  # into a new table, and into one whose columns are known
        assert warehouse.load(dataset, "t", put("a.tsv", b"id\tname\n1\tx,y\n"), "csv").rows == 1
    assert warehouse.query(f"select id, name from {dataset}.t").rows == ((1, "x,y"), (1, "x,y"))


@pytest.mark.parametrize(
    ("source", "kind", "error"),
    [
        ("s3://bucket/key", "csv", InvalidRequest),
        ("gs://bucket", "csv", InvalidRequest),
        ("gs://bucket/a*b*", "csv", InvalidRequest),
        ("gs://no-such-bucket-77/key", "csv", NotFound),
        ("gs://no-such-bucket-77/k*", "csv", NotFound),
        ("never/was.csv", "csv", NotFound),
        ("never/*.csv", "csv", NotFound),
        (".", "csv", InvalidRequest),
        ("tests", "avro", InvalidRequest),
        ("gs://bucket/a.csv.zst", "csv", InvalidRequest),
        ("a.csv.bz2", "csv", InvalidRequest),
    ],
)
def test_sources_that_are_none(warehouse: Warehouse, dataset: str, source: str, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        warehouse.load(dataset, "t", source, kind)  # type: ignore[arg-type]
    assert dataset not in [found.name for found in warehouse.datasets()]


def test_values_are_plain(warehouse: Warehouse) -> None:
    """The emulator calls BIGNUMERIC a NUMERIC and keeps three decimals of a cast to NUMERIC: so exact digits are shown by parameters."""
    sql = """select timestamp '2026-01-01 00:00:00.123456+00' as t, date '2026-01-02' as d, datetime '2026-01-03 01:02:03' as dt,
        time '01:02:03' as ti, [1, 2] as numbers, struct(1 as a, 'x' as b) as s, [struct(date '2026-01-04' as d)] as records,
        true as yes, cast(null as string) as nothing, b'x' as bytes, 0.5 as f, json '{"a": [1]}' as j, interval 1 day as i"""
    ((*found,),) = warehouse.query(sql).rows
    assert found == [
        datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), date(2026, 1, 2), datetime(2026, 1, 3, 1, 2, 3), time_of_day(1, 2, 3), [1, 2],
        {"a": 1, "b": "x"}, [{"d": date(2026, 1, 4)}], True, None, b"x", 0.5, {"a": [1]}, "0-0 1 0:0:0",
    ]  # fmt: skip


# not bytes: the emulator takes them for text
PARAMETERS = [
    1, True, False, 0.1, "x'; --", Decimal("1.123456789"), Decimal("0.12345678901234567890123"),
    datetime(2026, 1, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 1, 2, 3, 4), date(2026, 1, 1), time_of_day(1, 2, 3), [1, 2],
]  # fmt: skip


@pytest.mark.parametrize("value", PARAMETERS, ids=repr)
def test_parameters_come_back_as_they_went(warehouse: Warehouse, value: object) -> None:
    ((named,),) = warehouse.query("select @value as x", {"value": value}).rows
    ((placed,),) = warehouse.query("select ? as x", [value]).rows
    assert (named, type(named)) == (placed, type(placed)) == (value, type(value))


@pytest.mark.parametrize("value", [object, [[1]], [None], ["a", 1], Decimal("NaN"), Decimal(10) ** 60, 10**60], ids=repr)
def test_parameters_without_a_type_are_refused(warehouse: Warehouse, value: object) -> None:
    with pytest.raises(InvalidRequest, match="cannot be passed"):
        warehouse.query("select @value as x", {"value": value})


def test_a_result_of_many_pages(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PAGE_ROWS", 7)
    found = warehouse.query("select x, cast(x as string) as t from unnest(generate_array(1, 50)) as x order by x")
    assert found.rows == tuple((number, str(number)) for number in range(1, 51))
    assert warehouse.query("select x from unnest(generate_array(1, 7)) as x where x < 0").rows == ()


def test_a_result_that_is_too_large_is_not_fetched(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 49)
    with pytest.raises(InvalidRequest, match="too large") as caught:
        warehouse.query("select x from unnest(generate_array(1, 50)) as x")
    assert caught.value.why == "it has 50 rows, and a result is held in memory"
    assert caught.value.next_step == "add a LIMIT, or aggregate"


@pytest.mark.parametrize("sql", ["select 1 as a; select 2 as b", "declare x int64; select 1 as a", "begin select 1; end"])
def test_a_script_is_no_query(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(InvalidRequest, match="SCRIPT is not for a query"):
        warehouse.query(sql)
