"""The local warehouse: the contract, what a query may not do, and two processes at once."""

import bz2
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.api.warehouse import Warehouse
from mcml.providers.local import warehouse as module
from mcml.providers.local.buckets import open_buckets
from mcml.providers.local.object_store import open_object_store
from mcml.providers.local.warehouse import open_warehouse
from mcml.providers.local.warehouse_sources import wildcard
from mcml.testing.contracts.warehouse import CSV, WarehouseContract
from tests.providers.local.conftest import MakeContext


@pytest.fixture
def ctx(make_context: MakeContext) -> ProviderContext:
    return make_context()


@pytest.fixture
def warehouse(ctx: ProviderContext) -> Warehouse:
    return open_warehouse(ctx)


class TestLocalWarehouse(WarehouseContract):
    @pytest.fixture
    def warehouse(self, ctx: ProviderContext) -> Warehouse:
        return open_warehouse(ctx)

    @pytest.fixture
    def dataset(self) -> str:
        return "contract"

    @pytest.fixture
    def put(self, tmp_path: Path) -> Callable[[str, bytes], str]:
        def put(name: str, data: bytes) -> str:
            (tmp_path / "files").mkdir(exist_ok=True)
            (tmp_path / "files" / name).write_bytes(data)
            return f"file://{tmp_path}/files/{name}"

        return put

    def named(self, name: str) -> str:
        return f"${name}"


class TestLocalWarehouseFromABucket(TestLocalWarehouse):
    @pytest.fixture
    def put(self, ctx: ProviderContext) -> Callable[[str, bytes], str]:
        def put(name: str, data: bytes) -> str:
            open_buckets(ctx).create("lake")
            open_object_store(ctx).write("lake", f"in/{name}", [data])
            return f"local://lake/in/{name}"

        return put


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_rows_that_do_not_fit_are_counted_with_their_reasons(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.load("ds", "t", write(tmp_path / "a.csv", "id,price\n1,1.5\n"), "csv")
    result = warehouse.load("ds", "t", write(tmp_path / "b.csv", "id,price\n2,2.5\nthree,1\n4,4.5,extra\n5,x\n6,6.5\n"), "csv")
    assert (result.rows, result.refused) == (2, 3)
    assert [reason.split(": ")[0] for reason in result.reasons] == [f"{tmp_path}/b.csv, line {line}" for line in (3, 4, 5)]
    assert "three" in result.reasons[0]
    assert "Found: 3" in result.reasons[1]
    assert warehouse.query("select id from ds.t order by id").rows == ((1,), (2,), (6,))


def test_a_file_that_the_engine_cannot_unpack_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(b"id\n1\n" * 100))
    with pytest.raises(InvalidRequest, match=r"cannot load .*bz2"):
        warehouse.load("ds", "t", str(tmp_path / "a.csv.bz2"), "csv")
    assert warehouse.datasets() == []


def test_a_table_is_the_same_in_any_case(warehouse: Warehouse, tmp_path: Path) -> None:
    """The engine does not tell `DS.T` from `ds.t`: the rows are added, not put in the place of those that are there."""
    warehouse.load("ds", "t", write(tmp_path / "a.csv", "id\n1\n"), "csv")
    assert warehouse.load("DS", "T", write(tmp_path / "b.csv", "id\n2\n"), "csv").rows == 1
    assert warehouse.query("select id from ds.t order by id").rows == ((1,), (2,))
    assert [(found.name, found.tables) for found in warehouse.datasets()] == [("ds", ("t",))]


def test_reasons_of_bucket_objects_name_the_key(warehouse: Warehouse, ctx: ProviderContext) -> None:
    open_buckets(ctx).create("lake")
    store = open_object_store(ctx)
    store.write("lake", "a.csv", [b"id\n1\n"])
    store.write("lake", "deep/er/b.csv", [b"id\n2\n3,3\n"])
    result = warehouse.load("ds", "t", "local://lake/**.csv", "csv")
    assert (result.rows, result.refused) == (2, 1)
    assert result.reasons[0].startswith("deep/er/b.csv, line 3")


def test_many_refusals_tell_the_first(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.load("ds", "t", write(tmp_path / "a.csv", "id\n1\n"), "csv")
    result = warehouse.load("ds", "t", write(tmp_path / "b.csv", "id\n" + "x\n" * 500), "csv")
    assert (result.rows, result.refused, len(result.reasons)) == (0, 500, module.MOST_REASONS)


def test_files_with_other_columns_and_orders_make_one_table(warehouse: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,b\n1,x\n")
    write(tmp_path / "2.csv", "b,c,a\ny,2.5,2\n")
    assert warehouse.load("ds", "t", f"{tmp_path}/*.csv", "csv").rows == 2
    assert warehouse.query("select a, b, c from ds.t order by a").rows == ((1, "x", None), (2, "y", 2.5))


def test_a_new_column_is_refused_by_a_table_that_is_there(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.load("ds", "t", write(tmp_path / "a.csv", "a\n1\n"), "csv")
    with pytest.raises(InvalidRequest, match=r"into ds\.t") as caught:
        warehouse.load("ds", "t", write(tmp_path / "b.csv", "a,b\n1,2\n"), "csv")
    assert '"b"' in caught.value.why


def test_the_first_of_two_files_does_not_stay_when_the_second_fails(warehouse: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "1.json", '{"a": 1}')
    write(tmp_path / "2.json", '{"a": 2')
    with pytest.raises(InvalidRequest):
        warehouse.load("ds", "t", f"{tmp_path}/*.json", "json")
    assert warehouse.datasets() == []


def test_parquet_keeps_decimals_times_and_nulls(warehouse: Warehouse, tmp_path: Path) -> None:
    with duckdb.connect() as db:
        db.execute(
            f"copy (select 12.3400::decimal(12, 4) as cost, timestamptz '2026-05-01 12:00:00+02' as at, date '2026-05-01' as day,"
            f" null::decimal(12, 4) as nothing) to '{tmp_path}/a.parquet' (format parquet)"
        )
    warehouse.load("ds", "t", f"{tmp_path}/a.parquet", "parquet")
    result = warehouse.query("select * from ds.t")
    assert result.columns == ("cost", "at", "day", "nothing")
    ((cost, at, day, nothing),) = result.rows
    assert (cost, str(cost)) == (Decimal("12.34"), "12.3400")
    assert repr(at) == repr(datetime(2026, 5, 1, 10, tzinfo=UTC))
    assert (day, nothing) == (date(2026, 5, 1), None)
    assert warehouse.query("select sum(cost) * 3 from ds.t").rows == ((Decimal("37.02"),),)


def test_times_with_a_zone_keep_order_parameters_and_double_names(warehouse: Warehouse) -> None:
    values = "(values (1, timestamptz '2026-01-01 00:00Z'), (2, null)) as t(x, moment)"
    sql = f"select x, moment, moment as x from {values} where ';ü' <> $$;$$ and t.x < $most order by t.x desc; -- so; it is"
    result = warehouse.query(sql, {"most": 5})
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    assert (result.columns, result.rows) == (("x", "moment", "x"), ((2, None, None), (1, midnight, midnight)))


@pytest.mark.parametrize("ending", [".gz", ""])
def test_compressed_by_its_name(warehouse: Warehouse, ctx: ProviderContext, tmp_path: Path, ending: str) -> None:
    data = gzip.compress(CSV) if ending else CSV
    (tmp_path / f"a.csv{ending}").write_bytes(data)
    assert warehouse.load("ds", "t", f"{tmp_path}/a.csv{ending}", "csv").rows == 3
    open_buckets(ctx).create("lake")
    open_object_store(ctx).write("lake", f"a.csv{ending}", [data])
    assert warehouse.load("ds", "u", f"local://lake/a.csv{ending}", "csv").rows == 3


@pytest.mark.parametrize("source", ["s3://bucket/key", "https://example.com/a.csv", "file://host/a.csv", "gs://b/*"])
def test_other_schemes_are_refused(warehouse: Warehouse, source: str) -> None:
    with pytest.raises(InvalidRequest):
        warehouse.load("ds", "t", source, "csv")


@pytest.mark.parametrize("source", ["", "/", "/etc", "local://no-such-bucket/x", "local://", "file:///nowhere/x.csv"])
def test_nothing_there(warehouse: Warehouse, source: str) -> None:
    with pytest.raises(NotFound):
        warehouse.load("ds", "t", source, "csv")


def test_odd_file_names_are_only_names(warehouse: Warehouse, tmp_path: Path) -> None:
    """A quote, a bracket, a space and a percent sign in the name of a file."""
    name = "it's [1] 100%.csv"
    (tmp_path / name).write_bytes(CSV)
    assert warehouse.load("ds", "t", str(tmp_path / name), "csv").rows == 3
    assert warehouse.load("ds", "u", f"{(tmp_path / name).as_uri()}", "csv").rows == 3


@pytest.mark.parametrize("name", ["main", "Temp", "information_schema", "1a", "a b", "ä", "a" * 129, "_warehouse"])
def test_names_that_are_taken_or_wrong(warehouse: Warehouse, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    with pytest.raises(InvalidRequest, match="is no name"):
        warehouse.load(name, "t", f"{tmp_path}/a.csv", "csv")


def test_a_wrong_kind_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    with pytest.raises(InvalidRequest, match="xlsx"):
        warehouse.load("ds", "t", f"{tmp_path}/a.csv", "xlsx")  # type: ignore[arg-type]
    assert warehouse.datasets() == []


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select content from read_blob('/proc/self/environ')",
        "select * from read_csv('http://169.254.169.254/latest/meta-data/')",
        "copy ds.t to '/tmp/stolen.csv'",
        "attach '/tmp/other.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "pragma database_list",
        "export database '/tmp/x'",
        "create temp table x as select 1",
        "explain analyze select 1",
        "call duckdb_settings()",
        "select * from warehouse",
        "select getenv('HOME')",
        "with gone as (delete from ds.t returning *) select * from gone",
    ],
)
def test_a_query_reaches_nothing_but_the_tables(warehouse: Warehouse, tmp_path: Path, sql: str) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    warehouse.load("ds", "t", f"{tmp_path}/a.csv", "csv")
    with pytest.raises((InvalidRequest, NotFound)) as caught:
        warehouse.query(sql)
    assert "root:" not in caught.value.why
    assert warehouse.query("select count(*) from ds.t").rows == ((3,),)


READS = ("from ds.t", "with x as (from ds.t) select * from x", "values (1)", "describe ds.t", "select 1 -- it; ends")


@pytest.mark.parametrize("sql", READS)
def test_what_reads_is_a_query(warehouse: Warehouse, tmp_path: Path, sql: str) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    warehouse.load("ds", "t", f"{tmp_path}/a.csv", "csv")
    assert warehouse.query(sql).rows


@pytest.mark.parametrize("parameters", [{}, {"y": 1}, [1], [1, 2]])
def test_wrong_parameters_are_refused(warehouse: Warehouse, parameters: dict[str, object] | list[object]) -> None:
    with pytest.raises(InvalidRequest):
        warehouse.query("select $x::integer, $z::integer", parameters)


def test_an_empty_warehouse_answers(warehouse: Warehouse, root: Path) -> None:
    assert warehouse.datasets() == []
    assert warehouse.query("select 1 as one, 'x' as x").rows == ((1, "x"),)
    with pytest.raises(NotFound):
        warehouse.query("select * from ds.t")
    assert not (root / "warehouse").exists()


HOLD = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_held_by_another_process(warehouse: Warehouse, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conflict names the holder's pid; when it lets go within the wait, the call goes through."""
    (tmp_path / "a.csv").write_bytes(CSV)
    warehouse.load("ds", "t", f"{tmp_path}/a.csv", "csv")
    file = root / "warehouse" / "_warehouse.duckdb"
    argv = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.3)
        for act in (lambda: warehouse.query("select 1"), lambda: warehouse.load("ds", "t", f"{tmp_path}/a.csv", "csv"), warehouse.datasets):
            with pytest.raises(Conflict, match="in use") as caught:
                act()
            assert f"process {holder.pid} (" in caught.value.why
        monkeypatch.setattr(module, "BUSY_SECONDS", 20)
        holder.stdin.close()
        assert warehouse.query("select count(*) from ds.t").rows == ((3,),)


def test_two_processes_load_at_once_and_lose_nothing(warehouse: Warehouse, tmp_path: Path, root: Path) -> None:
    code = """
import sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import warehouse
from mcml.providers.local.settings import Settings
warehouse.BUSY_SECONDS = 60
there = warehouse.open_warehouse(ProviderContext(Settings(), Path(sys.argv[1])))
for _ in range(4):
    there.load("ds", "t", sys.argv[2], "csv")
"""
    source = write(tmp_path / "a.csv", "a\n1\n2\n")
    children = [subprocess.Popen([sys.executable, "-c", code, str(root), source]) for _ in range(2)]
    assert [child.wait(90) for child in children] == [0, 0]
    assert warehouse.query("select count(*) from ds.t").rows == ((16,),)


def test_kill_9_in_the_middle_of_a_load_leaves_the_old_rows(warehouse: Warehouse, tmp_path: Path, root: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import warehouse
from mcml.providers.local.settings import Settings
def die(*args):
    os.kill(os.getpid(), 9)
warehouse._refused = die
there = warehouse.open_warehouse(ProviderContext(Settings(), Path(sys.argv[1])))
there.load("ds", "t", sys.argv[2], "csv", replace=True)
"""
    warehouse.load("ds", "t", write(tmp_path / "a.csv", "a\n1\n"), "csv")
    large = write(tmp_path / "b.csv", "a\n" + "\n".join(map(str, range(100_000))) + "\n")
    killed = subprocess.run([sys.executable, "-c", code, str(root), large], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert warehouse.query("select * from ds.t").rows == ((1,),)
    assert warehouse.load("ds", "t", large, "csv").rows == 100_000


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("a/*.csv", "a/b.csv", True),
        ("a/*.csv", "a/b/c.csv", False),
        ("a/**/*.csv", "a/b/c/d.csv", True),
        ("a/**/*.csv", "a/d.csv", True),
        ("**.csv", "a/d.csv", True),
        ("?.csv", "ab.csv", False),
        ("?.csv", "/.csv", False),
        ("a.csv", "aXcsv", False),
        ("[a].csv", "[a].csv", True),
    ],
)
def test_wildcards_of_keys(pattern: str, key: str, matches: bool) -> None:
    assert bool(wildcard(pattern).fullmatch(key)) is matches


@given(st.text(max_size=20))
def test_a_key_without_wildcards_matches_itself(key: str) -> None:
    plain = key.replace("*", "").replace("?", "")
    assert wildcard(plain).fullmatch(plain)


def test_a_value_is_never_sql(warehouse: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "Robert'); drop table students;--"}))
    warehouse.load("ds", "t", str(path), "json")
    assert warehouse.query("select count(*) from ds.t where name = ?", ["Robert'); drop table students;--"]).rows == ((1,),)
