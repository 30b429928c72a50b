"""Athena on bad days: queries that fail, are stopped or never end, faults on the way, and refusals."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, StillRunning, TimeUp, Unavailable
from mcml.providers.api.warehouse import Dataset
from mcml.providers.aws import athena
from mcml.providers.aws.warehouse import AthenaWarehouse
from mcml.testing.contracts.warehouse import CSV
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Request, Reset
from tests.providers.aws.athena_world import AthenaWorld
from tests.providers.aws.conftest import MakeSession, Waits
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
