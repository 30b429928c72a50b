"""Athena: the contract with DuckDB in its place, over the real Glue and S3 of moto; faults; and what only Athena does."""

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, StillRunning, TimeUp, Unavailable, Usage
from mcml.providers.api.warehouse import Dataset, Warehouse
from mcml.providers.aws import athena
from mcml.providers.aws.session import Session
from mcml.providers.aws.warehouse import AthenaWarehouse, open_warehouse
from mcml.providers.aws.warehouse_sources import EMPTY, type_of, wider
from mcml.testing.contracts.warehouse import CSV, WarehouseContract
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Request, Reset
from tests.providers.aws.athena_world import AthenaWorld, router
from tests.providers.aws.conftest import MakeContext, MakeSession, Waits

Put = Callable[[str, bytes], str]


@pytest.fixture
def stub() -> Iterator[AwsModel]:
    with AwsModel("athena") as standing:
        yield standing


@pytest.fixture
def world(stub: AwsModel, moto_url: str) -> AthenaWorld:
    return AthenaWorld(stub, moto_url)


@pytest.fixture
def address(stub: AwsModel, world: AthenaWorld, moto_url: str) -> Iterator[str]:
    with router(stub.url, moto_url) as url:
        yield url


@pytest.fixture
def make_warehouse(address: str, make_session: MakeSession, s3_bucket: str) -> Callable[..., AthenaWarehouse]:
    def make(url: str = address, **options: Any) -> AthenaWarehouse:
        output = options.pop("athena_output", f"s3://{s3_bucket}/athena/")
        return AthenaWarehouse(make_session(endpoint_url=url, athena_output=output, **options))

    return make


@pytest.fixture
def warehouse(make_warehouse: Callable[..., AthenaWarehouse]) -> AthenaWarehouse:
    return make_warehouse()


@pytest.fixture
def fresh_dataset(world: AthenaWorld) -> Iterator[str]:
    name = f"ds_{uuid4().hex[:12]}"
    yield name
    if name in [one["Name"] for one in world.glue.get_databases()["DatabaseList"]]:
        world.glue.delete_database(Name=name)


@pytest.fixture
def dataset(fresh_dataset: str) -> str:
    return fresh_dataset


@pytest.fixture
def put(put_object: Put) -> Put:
    return put_object


@pytest.fixture
def put_object(session: Session, s3_bucket: str) -> Put:
    def put(name: str, data: bytes) -> str:
        session.client("s3").put_object(Bucket=s3_bucket, Key=f"in/{name}", Body=data)
        return f"s3://{s3_bucket}/in/{name}"

    return put


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


def keys(world: AthenaWorld, bucket: str) -> list[str]:
    return [one["Key"] for one in world.s3.list_objects_v2(Bucket=bucket, Prefix="athena/").get("Contents", ())]


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


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"State": "FAILED", "StateChangeReason": "TABLE_NOT_FOUND: line 1:15"}, NotFound),
        ({"State": "FAILED", "StateChangeReason": "SYNTAX_ERROR: line 1:1"}, InvalidRequest),
        ({"State": "FAILED", "StateChangeReason": "internal", "AthenaError": {"ErrorCategory": 1}}, Unavailable),
        ({"State": "FAILED", "StateChangeReason": "busy", "AthenaError": {"ErrorCategory": 2, "Retryable": True}}, Unavailable),
        ({"State": "CANCELLED"}, InvalidRequest),
    ],
)
def test_why_a_query_failed(status: dict[str, Any], kind: type[Exception]) -> None:
    assert type(athena.failure("the query failed", status)) is kind


def test_a_query_without_end_is_stopped(stub: AwsModel, warehouse: AthenaWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(athena, "QUERY_SECONDS", 0.05)
    stub.on("athena", "GetQueryExecution", {"QueryExecution": {"Status": {"State": "RUNNING"}}})
    stub.on("athena", "StopQueryExecution", {})
    with pytest.raises(StillRunning):
        warehouse.query("select 1")
    assert len(stub.requests("athena", "StopQueryExecution")) == 1


@pytest.mark.parametrize("cut", [KeyboardInterrupt, TimeUp])
def test_a_query_that_nobody_waits_for_is_stopped(
    cut: type[BaseException], stub: AwsModel, warehouse: AthenaWarehouse, waits: Waits
) -> None:
    """It would be billed to its end."""

    def interrupt() -> None:
        raise cut

    waits.after = interrupt
    stub.on("athena", "StopQueryExecution", {})
    with pytest.raises(cut):
        warehouse.query("select 1")
    assert len(stub.requests("athena", "StopQueryExecution")) == 1


@pytest.mark.parametrize("readable", [True, False])
def test_what_a_failed_append_wrote_is_taken_back(
    stub: AwsModel, warehouse: AthenaWarehouse, world: AthenaWorld, dataset: str, put: Put, s3_bucket: str, readable: bool
) -> None:
    """Athena leaves it in the table's folder, and lists it in a manifest."""
    warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
    before, manifest = keys(world, s3_bucket), "results/q-manifest.csv"

    def state(asked: dict[str, Any]) -> dict[str, Any]:
        written = [f"s3://{s3_bucket}/{key}" for key in keys(world, s3_bucket) if "/data/" in key and key not in before]
        listed = [*written, f"s3://{s3_bucket}/athena/intended-but-never-written", "s3://another-bucket/theirs"]
        if readable:
            world.s3.put_object(Bucket=s3_bucket, Key=manifest, Body="\n".join(listed).encode())
        where = {"Statistics": {"DataManifestLocation": f"s3://{s3_bucket if readable else 'Not_Ours'}/{manifest}"}}
        return {"QueryExecution": {"Status": {"State": "FAILED", "StateChangeReason": "INTERNAL_ERROR"}, "StatementType": "DML", **where}}

    stub.on("athena", "GetQueryExecution", state)
    with pytest.raises(InvalidRequest, match="cannot load into") as failed:
        warehouse.load(dataset, "things", put("more.csv", CSV), "csv")
    assert failed.value.why.startswith("INTERNAL_ERROR")
    if readable:
        assert keys(world, s3_bucket) == before
    else:
        assert f"listed in s3://Not_Ours/{manifest}, is not taken back: " in failed.value.why


@pytest.mark.parametrize("ends", ["CANCELLED", "SUCCEEDED", "FAILED", "never"])
def test_what_a_stopped_append_wrote_is_taken_back_when_it_is_over(
    stub: AwsModel,
    warehouse: AthenaWarehouse,
    world: AthenaWorld,
    dataset: str,
    put: Put,
    s3_bucket: str,
    ends: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on writing for a moment; one that is through by then is no failure."""
    warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
    before, manifest, looks = keys(world, s3_bucket), "results/q-manifest.csv", []

    def state(asked: dict[str, Any]) -> dict[str, Any]:
        stopped = bool(stub.requests("athena", "StopQueryExecution"))
        looks.append(stopped)
        over = looks.count(True) > 2 and ends != "never"
        written = [f"s3://{s3_bucket}/{key}" for key in keys(world, s3_bucket) if "/data/" in key and key not in before]
        world.s3.put_object(Bucket=s3_bucket, Key=manifest, Body="\n".join(written).encode())
        where = {"Statistics": {"DataManifestLocation": f"s3://{s3_bucket}/{manifest}"}} if over else {}
        return {"QueryExecution": {"Status": {"State": ends if over else "RUNNING"}, "StatementType": "DML", **where}}

    monkeypatch.setattr(athena, "QUERY_SECONDS", 0.02)
    monkeypatch.setattr(athena, "STOP_SECONDS", 0.1 if ends == "never" else 60.0)
    stub.on("athena", "GetQueryExecution", state)
    stub.on("athena", "StopQueryExecution", {})
    more = put("more.csv", CSV)
    if ends == "SUCCEEDED":
        warehouse.load(dataset, "things", more, "csv")
        assert len(keys(world, s3_bucket)) == len(before) + 1
        return
    with pytest.raises(InvalidRequest if ends == "FAILED" else StillRunning) as late:
        warehouse.load(dataset, "things", more, "csv")
    assert len(stub.requests("athena", "StopQueryExecution")) == 1
    if ends == "never":
        assert late.value.why.endswith("; 0.1 s later it was not over, and what it has written is not taken back")
    else:
        assert keys(world, s3_bucket) == before


FAULTS: dict[str, Fault] = {
    "refused": Refuse(0.05),
    "reset": Reset(),
    "lost": Reset(reaches_server=True),
    "slow": Delay(30),
    "half a body": HalfBody(),
    "throttled": Answer(429, {"Retry-After": "7"}, b'{"__type": "TooManyRequestsException"}'),
    "broken": Answer(500),
}


def is_athena(request: Request) -> bool:
    return (request.headers.get("X-Amz-Target") or "").startswith("AmazonAthena.Start")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_query_is_begun_once(
    fault: str, address: str, world: AthenaWorld, make_warehouse: Callable[..., AthenaWarehouse], waits: Waits, dataset: str, put: Put
) -> None:
    """Also a load's, whose answer was lost: the token of the request makes it one."""
    waits.after = partial(time.sleep, 0.02)
    source = put("things.csv", CSV)
    with FaultProxy(address) as proxy:
        warehouse = make_warehouse(proxy.url, timeout=(5, 1.5), attempts=9)
        proxy.script(FAULTS[fault], only=None if fault == "refused" else is_athena)
        assert warehouse.load(dataset, "things", source, "csv").rows == 3
        proxy.script(FAULTS[fault], only=None if fault == "refused" else is_athena)
        assert warehouse.query(f"select count(*) from {dataset}.things").rows == ((3,),)
        assert proxy.unused == []
    assert world.begun == 2


@pytest.mark.parametrize("fault", ["reset", "lost", "half a body", "broken"])
def test_the_catalogue_goes_on(
    fault: str, address: str, make_warehouse: Callable[..., AthenaWarehouse], waits: Waits, dataset: str, put: Put
) -> None:
    waits.after = partial(time.sleep, 0.02)
    source = put("things.csv", CSV)
    with FaultProxy(address) as proxy:
        warehouse = make_warehouse(proxy.url, timeout=(5, 1.5), attempts=9)
        for operation in ("CreateDatabase", "CreateTable", "DeleteTable", "GetTable"):
            proxy.script(FAULTS[fault], only=lambda request, named=operation: (request.headers.get("X-Amz-Target") or "").endswith(named))  # type: ignore[misc]
            warehouse.load(dataset, "things", source, "csv", replace=True)
            assert proxy.unused == []
        proxy.script(FAULTS[fault])
        assert [found.tables for found in warehouse.datasets() if found.name == dataset] == [("things",)]
        assert warehouse.query(f"select count(*) from {dataset}.things").rows == ((3,),)


@pytest.mark.parametrize(
    ("code", "message", "kind", "step"),
    [
        ("AccessDeniedException", "not authorized to perform: athena:StartQueryExecution", NotAuthenticated, "aws sts get-caller-identity"),
        ("ExpiredTokenException", "The security token included in the request is expired", NotAuthenticated, "aws configure"),
        ("InvalidRequestException", "Unable to verify/create output bucket", InvalidRequest, "athena_output"),
    ],
)
def test_what_athena_refuses_is_told(
    code: str, message: str, kind: type[McmlError], step: str, stub: AwsModel, warehouse: AthenaWarehouse
) -> None:
    def refuse(_: object) -> dict[str, Any]:
        raise AwsError(code, message)

    stub.on("athena", "StartQueryExecution", refuse)
    with pytest.raises(kind) as refused:
        warehouse.query("select 1")
    assert step in str(refused.value.next_step)


def test_a_data_set_that_is_not_for_us_to_see_hides_no_other(make_session: MakeSession) -> None:
    def tables(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["DatabaseName"] == "b":
            raise AwsError("AccessDeniedException", "Insufficient Lake Formation permission(s) on b")
        return {"TableList": [{"Name": "t"}]}

    with AwsModel("glue") as stub:
        stub.on("glue", "GetDatabases", lambda _: {"DatabaseList": [{"Name": name} for name in "abc"]})
        stub.on("glue", "GetTables", tables)
        warehouse = AthenaWarehouse(make_session(endpoint_url=stub.url))
        assert warehouse.datasets() == [Dataset("a", ("t",)), Dataset("b", None), Dataset("c", ("t",))]
        assert warehouse.datasets("C") == [Dataset("c", ("t",))]
        with pytest.raises(NotAuthenticated, match="cannot list what the catalogue has"):
            warehouse.datasets("b")


def test_it_opens(make_context: MakeContext) -> None:
    assert isinstance(open_warehouse(make_context()), AthenaWarehouse)
