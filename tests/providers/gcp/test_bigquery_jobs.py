"""BigQuery jobs against a stub driven by Google's own API description: waiting, failing, paging, being abandoned; a job is begun once."""

from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.api.warehouse import Dataset
from mcml.providers.gcp import bigquery as jobs
from mcml.providers.gcp import warehouse as module
from mcml.providers.gcp.bigquery_values import fields, parameters, row
from mcml.providers.gcp.billing import GcpBilling
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.warehouse import BigQueryWarehouse
from mcml.providers.gcp.warehouse_sources import Source
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp.conftest import PROJECT, MakeSession


class BigQueryStub(DiscoveryStub):
    """Takes two things that Google's own SDK sends and Google's own description does not know: `projection`, and a number as text."""

    def answer(self, verb: str, target: str, headers: Message, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        raw = raw.replace(b'"skipLeadingRows": "1"', b'"skipLeadingRows": 1')
        return super().answer(verb, target.replace("projection=full&", ""), headers, raw)


@pytest.fixture
def stub() -> Iterator[DiscoveryStub]:
    with BigQueryStub("bigquery.v2") as stub:
        yield stub


@pytest.fixture
def session(stub: DiscoveryStub, make_session: MakeSession) -> Session:
    return make_session(endpoint=stub.url)


class Jobs:
    """A job that is what `states` says, one after another; the last one stays."""

    def __init__(self, stub: DiscoveryStub, *states: dict[str, Any], lost: int = 0) -> None:
        self.states, self.lost, self.cancelled = list(states), lost, 0
        self.ids: list[str] = []
        stub.on("bigquery.jobs.insert", self.insert)
        stub.on("bigquery.jobs.get", lambda call: self.job(call["jobId"]))
        stub.on("bigquery.jobs.cancel", self.cancel)
        stub.on("bigquery.jobs.getQueryResults", self.results)

    def job(self, job_id: str, **more: Any) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        reference = {"projectId": PROJECT, "jobId": job_id, "location": "EU"}
        return {"jobReference": reference, "configuration": {"query": {"query": "select 1"}}, "status": state, **more}

    def insert(self, call: Call) -> dict[str, Any]:
        reference, config = call.body["jobReference"], call.body["configuration"]
        if config.get("dryRun"):
            return self.dry(reference)
        if reference["jobId"] in self.ids:
            raise GoogleError(409, f"Already Exists: Job {reference['jobId']}", reason="duplicate")
        self.ids.append(reference["jobId"])
        if len(self.ids) <= self.lost:
            raise GoogleError(503, "try again")
        return {**self.job(reference["jobId"]), "configuration": config}

    def dry(self, reference: dict[str, Any]) -> dict[str, Any]:
        statistics = {"query": {"statementType": "SELECT", "totalBytesProcessed": "4711"}}
        job = {"jobReference": {**reference, "location": "EU"}, "configuration": {"dryRun": True, "query": {"query": "select 1"}}}
        return {**job, "status": {"state": "DONE"}, "statistics": statistics}

    def cancel(self, call: Call) -> dict[str, Any]:
        self.cancelled += 1
        return {"job": self.job(call["jobId"])}

    def results(self, call: Call) -> dict[str, Any]:
        assert call.get("location") == "EU"
        start = int(call.get("startIndex", "0"))
        rows = [{"f": [{"v": str(number)}]} for number in range(start, min(start + 2, 5))]
        schema = {"fields": [{"name": "x", "type": "INTEGER"}]}
        return {"jobComplete": True, "schema": schema, "totalRows": "5", "rows": rows, "jobReference": {"projectId": PROJECT, "jobId": "x"}}


RUNNING, PENDING, DONE = {"state": "RUNNING"}, {"state": "PENDING"}, {"state": "DONE"}


def failed(reason: str, message: str = "because") -> dict[str, Any]:
    error = {"reason": reason, "message": message}
    return {"state": "DONE", "errorResult": error, "errors": [error]}


def test_a_job_is_waited_for_and_its_rows_come_in_pages(stub: DiscoveryStub, session: Session) -> None:
    """The server gives two rows at a time, however many are asked for."""
    told = Jobs(stub, PENDING, RUNNING, RUNNING, DONE)
    assert BigQueryWarehouse(session).query("select 1").rows == ((0,), (1,), (2,), (3,), (4,))
    inserts = [call for call in stub.requests if call.method == "bigquery.jobs.insert"]
    assert [call.body["configuration"].get("dryRun", False) for call in inserts] == [True, False]
    assert inserts[1].body["configuration"]["jobTimeoutMs"] == "600000"
    assert inserts[1].body["jobReference"] == {"projectId": PROJECT, "jobId": told.ids[0], "location": "EU"}


def test_a_job_whose_answer_was_lost_is_not_begun_twice(stub: DiscoveryStub, session: Session) -> None:
    told = Jobs(stub, DONE, lost=1)
    assert len(BigQueryWarehouse(session).query("select 1").rows) == 5
    assert len(told.ids) == 1


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("notFound", NotFound), ("accessDenied", NotAuthenticated), ("quotaExceeded", QuotaExceeded), ("backendError", Unavailable),
        ("jobRateLimitExceeded", Unavailable), ("invalidQuery", InvalidRequest), ("resourcesExceeded", InvalidRequest),
        ("duplicate", Conflict), ("stopped", Unavailable), ("never seen", InvalidRequest),
    ],
)  # fmt: skip
def test_a_job_that_fails_says_why(stub: DiscoveryStub, session: Session, reason: str, error: type[McmlError]) -> None:
    Jobs(stub, RUNNING, failed(reason, "Not enough of it"))
    with pytest.raises(error) as caught:
        BigQueryWarehouse(session).query("select 1")
    assert (type(caught.value), caught.value.message, caught.value.why) == (error, "the query failed", "Not enough of it")


def test_a_query_that_takes_too_long_is_stopped(stub: DiscoveryStub, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "QUERY_SECONDS", 0.05)
    told = Jobs(stub, RUNNING)
    with pytest.raises(StillRunning) as caught:
        BigQueryWarehouse(session).query("select 1")
    assert caught.value.why == f"job {told.ids[0]} still runs after 0.05 s"
    assert caught.value.next_step == f"bq --project_id={PROJECT} --location=EU wait {told.ids[0]}"
    assert told.cancelled == 1


def test_a_query_that_nobody_waits_for_is_stopped(stub: DiscoveryStub, session: Session) -> None:
    told = Jobs(stub, RUNNING)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    session.policy = type(session.policy)(sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        BigQueryWarehouse(session).query("select 1")
    assert told.cancelled == 1


def test_rows_that_do_not_come_are_missed(stub: DiscoveryStub, session: Session) -> None:
    told = Jobs(stub, DONE)
    stub.on("bigquery.jobs.getQueryResults", lambda call: {**told.results(call), "totalRows": "9"})
    with pytest.raises(Unavailable, match="cannot fetch the rows") as caught:
        BigQueryWarehouse(session).query("select 1")
    assert caught.value.why == "BigQuery gave 5 of 9 rows"


def test_data_sets_and_tables_of_many_pages(stub: DiscoveryStub, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator has no pages for listings."""
    monkeypatch.setattr(module, "PAGE", 2)

    def listing(kind: str, names: list[str]) -> Callable[[Call], dict[str, Any]]:
        def page(call: Call) -> dict[str, Any]:
            start = int(call.get("pageToken", "0"))
            reference = {"projectId": PROJECT, "datasetId": call.get("datasetId", "")}
            entries = [{f"{kind}Reference": {**reference, f"{kind}Id": name}} for name in names[start : start + int(call["maxResults"])]]
            more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
            return {f"{kind}s": entries, **more}

        return page

    stub.on("bigquery.datasets.list", listing("dataset", ["c", "b", "a"]))
    stub.on("bigquery.tables.list", listing("table", ["t3", "t1", "t2", "t5", "t4"]))
    found = BigQueryWarehouse(session).datasets()
    assert [(one.name, one.tables) for one in found] == [(name, ("t1", "t2", "t3", "t4", "t5")) for name in "abc"]


def test_a_data_set_that_is_not_for_us_to_see_hides_no_other(stub: DiscoveryStub, session: Session) -> None:
    def tables(call: Call) -> dict[str, Any]:
        if call["datasetId"] == "b":
            raise GoogleError(403, "Permission bigquery.tables.list denied", reason="accessDenied")
        reference = {"projectId": PROJECT, "datasetId": call["datasetId"], "tableId": "t"}
        return {"tables": [{"tableReference": reference}]}

    named = [{"datasetReference": {"projectId": PROJECT, "datasetId": name}} for name in "abc"]
    stub.on("bigquery.datasets.list", lambda call: {"datasets": named})
    stub.on("bigquery.tables.list", tables)
    warehouse = BigQueryWarehouse(session)
    assert [(one.name, one.tables) for one in warehouse.datasets()] == [("a", ("t",)), ("b", None), ("c", ("t",))]
    assert warehouse.datasets("C") == [Dataset("c", ("t",))]
    with pytest.raises(NotAuthenticated, match=r"cannot list the tables of .*\.b"):
        warehouse.datasets("b")


def test_a_load_says_what_it_asks_for(stub: DiscoveryStub, session: Session, tmp_path: Any) -> None:
    """Every row or none, columns by name, in the data set's own location."""
    seen: list[dict[str, Any]] = []
    told = Jobs(stub, RUNNING, DONE)

    def insert(call: Call) -> dict[str, Any]:
        seen.append(call.body)
        return {**told.insert(call), "statistics": {"load": {"outputRows": "3"}}}

    stub.on("bigquery.jobs.insert", insert)
    stub.on("bigquery.datasets.get", lambda call: {"datasetReference": {"projectId": PROJECT, "datasetId": "ds"}, "location": "EU"})
    reference = {"projectId": PROJECT, "datasetId": "ds", "tableId": "t"}
    table = {"tableReference": reference, "schema": {"fields": [{"name": "a", "type": "DATE"}]}}
    stub.on("bigquery.tables.get", lambda call: table)
    warehouse = BigQueryWarehouse(session)
    tabbed = module._load_config("csv", False, [], tabbed=True).to_api_repr()["load"]
    assert (tabbed["fieldDelimiter"], tabbed["autodetect"]) == ("\t", True)
    config = module._load_config("csv", False, warehouse._schema(f"{PROJECT}.ds.t"))
    job = warehouse._from_bucket(Source(uri="gs://b/k*"), f"{PROJECT}.ds.t", config, "j1", warehouse._make("ds"))
    jobs.wait(session, "load", job, 5)
    assert seen[0]["jobReference"] == {"projectId": PROJECT, "jobId": "j1", "location": "EU"}
    assert seen[0]["configuration"]["load"] == {
        "allowQuotedNewlines": True,
        "createDisposition": "CREATE_IF_NEEDED",
        "destinationTable": {"projectId": PROJECT, "datasetId": "ds", "tableId": "t"},
        "maxBadRecords": 0,
        "schema": {"fields": [{"name": "a", "type": "DATE", "mode": "NULLABLE"}]},
        "skipLeadingRows": 1,
        "sourceColumnMatch": "NAME",
        "sourceFormat": "CSV",
        "sourceUris": ["gs://b/k*"],
        "writeDisposition": "WRITE_APPEND",
    }


def test_the_prices_of_what_was_used_come_from_the_catalogue(make_session: MakeSession) -> None:
    """In the currency of the bill, for the services and SKUs that the export names, of one region or of all."""
    used = [("S1", "A", "EUR"), ("S1", "B", "EUR"), ("S2", "C", "EUR")]
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "EUR", "units": "2", "nanos": 0}}
    info = {"effectiveTime": "2026-01-01T00:00:00Z", "pricingExpression": {"usageUnit": "h", "tieredRates": [rate]}}

    def skus(call: Call) -> dict[str, Any]:
        assert call["currencyCode"] == "EUR"
        regions = {"A": ["us-east1", "europe-west1"], "B": ["us-east1"], "C": [], "never used": ["us-east1"]}
        return {"skus": [{"skuId": name, "serviceRegions": places, "pricingInfo": [info]} for name, places in regions.items()]}

    def rows(_: Call) -> dict[str, Any]:
        schema = {"fields": [{"name": name, "type": "STRING"} for name in ("service", "sku", "currency")]}
        found = [{"f": [{"v": text} for text in one]} for one in used]
        return {"jobComplete": True, "schema": schema, "totalRows": "3", "rows": found}

    with BigQueryStub("bigquery.v2", "cloudbilling.v1") as stub:
        Jobs(stub, DONE)
        stub.on("bigquery.jobs.getQueryResults", rows)
        table = {"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}, "schema": {"fields": []}}
        stub.on("bigquery.tables.get", lambda _: table)
        stub.on("cloudbilling.services.skus.list", skus)
        billing = GcpBilling(make_session(endpoint=stub.url, billing_table="p.d.gcp_billing_export_v1_X"))
        prices = billing.unit_prices()
        assert [(price.sku, price.region) for price in prices] == [
            ("A", "us-east1"), ("A", "europe-west1"), ("B", "us-east1"), ("C", "global"),
        ]  # fmt: skip
        assert billing.unit_prices("europe-west1") == [price for price in prices if price.region == "europe-west1"]
        assert {call["parent"] for call in stub.calls("skus.list")} == {"services/S1", "services/S2"}


def test_no_digit_is_lost() -> None:
    """What the emulator rounds: NUMERIC and BIGNUMERIC come digit by digit, FLOAT64 too where it is asked for."""
    kinds = ("NUMERIC", "BIGNUMERIC", "FLOAT", "BYTES", "RANGE", "INTEGER", "BOOLEAN")
    columns = fields({"fields": [{"name": kind, "type": kind} for kind in kinds]})
    told = ("0.123456789", "1.1234567890123456789012345678901234567", "0.100000000000000005", "AHk=", "[a, b)", "9007199254740993", "true")
    found = row(columns, {"f": [{"v": text} for text in told]}, exact=True)
    assert [str(value) for value in found] == [*told[:3], "b'\\x00y'", *told[4:6], "True"]
    assert row(columns, {"f": [{"v": text} for text in told]})[2] == 0.1
    (sent,) = parameters([b"\x00y"])
    assert sent.to_api_repr() == {"parameterType": {"type": "BYTES"}, "parameterValue": {"value": "AHk="}}
    (struct,) = parameters({"s": {"a": 1, "b": [1, 2]}})
    assert struct.to_api_repr()["parameterType"]["type"] == "STRUCT"
