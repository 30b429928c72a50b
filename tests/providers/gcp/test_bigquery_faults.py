"""What happens to each method that goes to BigQuery when the way there is bad; a load is applied once, whatever was lost."""

import json
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, NotAuthenticated, QuotaExceeded, Unavailable
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.billing import GcpBilling
from mcml.providers.gcp.billing_prices import from_catalog
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.object_store import open_object_store
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.settings import Settings
from mcml.providers.gcp.warehouse import BigQueryWarehouse, open_warehouse
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Reset
from mcml.testing.stubs.google_discovery import DiscoveryStub, GoogleError
from tests.providers.gcp.billing_table import JANUARY, PRICING, line, make_table, price_line
from tests.providers.gcp.conftest import BigQueryAndBuckets, MakeSession
from tests.providers.gcp.disturb import no_sleep
from tests.providers.gcp.google_stub import GoogleStub

Do = Callable[[Session, dict[str, str]], object]
METHODS: dict[str, Do] = {
    "load from a bucket": lambda session, at: BigQueryWarehouse(session).load(at["dataset"], at["table"], at["uri"], "csv"),
    "load a file": lambda session, at: BigQueryWarehouse(session).load(at["dataset"], at["table"], at["file"], "csv"),
    "replace": lambda session, at: BigQueryWarehouse(session).load("ds_" + at["table"], "t", at["uri"], "csv", replace=True),
    "query": lambda session, at: BigQueryWarehouse(session).query(f"select a from {at['dataset']}.fixed where a < @x", {"x": 9}).rows,
    "rows of the bill": lambda session, at: list(_bill(session, at).rows(JANUARY)),
    "freshness of the bill": lambda session, at: _bill(session, at).freshness(),
    "prices of the pricing export": lambda session, at: _bill(session, at).unit_prices(),
    "datasets": lambda session, at: sorted(f"{one.name}" for one in BigQueryWarehouse(session).datasets() if one.name == at["dataset"]),
}
LOST = Reset(reaches_server=True)
PASSING: list[Fault] = [
    LOST, Refuse(0.05), Reset(), Answer(500), Answer(503, reaches_server=True), Answer(429, {"Retry-After": "1"}),
    HalfBody(), Delay(0.8), Answer(403, body=json.dumps({"error": {"errors": [{"reason": "rateLimitExceeded"}]}}).encode()),
]  # fmt: skip


def _bill(session: Session, at: dict[str, str]) -> GcpBilling:
    settings = session.settings.model_copy(update={"billing_table": at["bill"], "pricing_table": at["prices"]})
    return GcpBilling(replace(session, ctx=replace(session.ctx, settings=settings, clock=lambda: JANUARY.end)))


@pytest.fixture
def direct(bigquery: ProviderContext) -> ProviderContext:
    """A context of a project of the test's own, which lists nothing else."""
    return replace(bigquery, settings=Settings(project=f"p-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def bq_proxy(direct: ProviderContext, bigquery_servers: BigQueryAndBuckets, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with FaultProxy(bigquery_servers.bigquery) as standing:
        yield standing


@pytest.fixture
def prepared(direct: ProviderContext, tmp_path: Path) -> dict[str, str]:
    """A table with one row, an object and a file to load."""
    name = uuid.uuid4().hex[:12]
    open_buckets(direct).create(f"lake-{name}")
    open_object_store(direct).write(f"lake-{name}", "a.csv", [b"a\n1\n"])
    (tmp_path / "a.csv").write_bytes(b"a\n1\n")
    open_warehouse(direct).load(f"ds_{name}", "fixed", str(tmp_path / "a.csv"), "csv")
    bill = make_table(direct, tmp_path, [line(0), line(1)])
    prices = make_table(direct, tmp_path, [price_line(line(0)["sku"]["id"], 20)], name="prices", schema=PRICING, partitioned=False)
    return {"bill": bill, "prices": prices, "dataset": f"ds_{name}", "uri": f"gs://lake-{name}/a.csv", "file": str(tmp_path / "a.csv")}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, direct: ProviderContext, bq_proxy: FaultProxy, prepared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is that of an undisturbed run, and a table has each row once.

    Every request loses its answer once; the other faults come at the last request, which is the one that changes or fetches something.
    """
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bq_proxy.url)

    def run(fault: Fault | None = None) -> object:
        quick = Policy(attempts=8, budget=Budget(), jitter=lambda: 1.0, sleep=time.sleep if isinstance(fault, Refuse) else no_sleep)
        session, at = Session(direct, (0.5, 0.5), quick), {**prepared, "table": f"t{uuid.uuid4().hex}"}
        found = METHODS[method](session, at)
        counts.append(len(bq_proxy.requests))
        if method.startswith("load") or method == "replace":
            name = f"{at['dataset']}.{at['table']}" if method.startswith("load") else f"ds_{at['table']}.t"
            bq_proxy.script()
            return found, BigQueryWarehouse(session).query(f"select a from {name}").rows
        return found

    counts: list[int] = []
    bq_proxy.script()
    calm, count = run(), counts[0]
    assert count >= 2
    for fault, number in product(PASSING, range(count)):
        if number != count - 1 and fault != LOST:
            continue
        bq_proxy.script(*([fault] if isinstance(fault, Refuse) else [Pass()] * number + [fault]))
        assert run(fault) == calm, (fault, number)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Reset(), "no connection"),
        (Delay(1), "no answer in time"),
        (HalfBody(), "the answer broke off"),
        (Answer(503, {"Retry-After": "7"}), "Google answered 503"),
    ],
    ids=repr,
)
def test_what_does_not_pass_is_told(
    method: str,
    fault: Fault,
    why: str,
    direct: ProviderContext,
    bq_proxy: FaultProxy,
    prepared: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bq_proxy.url)
    session = Session(direct, (0.3, 0.3), Policy(attempts=2, sleep=no_sleep))
    bq_proxy.script(*[fault] * 20)
    with pytest.raises(Unavailable) as told:
        METHODS[method](session, {**prepared, "table": "t"})
    assert told.value.why.startswith(why)
    assert told.value.message
    bq_proxy.script()


@pytest.mark.parametrize("fault", [one for one in PASSING if not isinstance(one, Refuse | Delay)], ids=repr)
def test_the_catalogue_of_prices_gets_over_what_passes(fault: Fault, make_session: MakeSession) -> None:
    """Page by page: each of its requests fails once."""
    with DiscoveryStub("cloudbilling.v1") as stub, FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url)
        stub.on(
            "cloudbilling.services.skus.list",
            lambda call: {
                "skus": [catalogue_sku(call.get("pageToken") or "first")],
                "nextPageToken": "" if call.get("pageToken") else "second",
            },
        )
        used = {"S": frozenset({"first", "second"})}
        calm = [price.sku for price in from_catalog(session, used, "USD")]
        assert calm == ["first", "second"]
        for number in range(2):
            proxy.script(*[Pass()] * number, fault)
            assert [price.sku for price in from_catalog(session, used, "USD")] == calm
            assert proxy.unused == []


def catalogue_sku(name: str) -> dict[str, object]:
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "1", "nanos": 0}}
    info = {"effectiveTime": "2026-01-01T00:00:00Z", "pricingExpression": {"usageUnit": "h", "tieredRates": [rate]}}
    return {"name": f"services/S/skus/{name}", "skuId": name, "pricingInfo": [info]}


def test_the_key_to_an_upload_is_in_no_traceback(
    direct: ProviderContext, bq_proxy: FaultProxy, prepared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bq_proxy.url)
    session = Session(direct, policy=Policy(attempts=1))
    bq_proxy.script(Reset(), only=lambda request: request.method == "PUT")
    with pytest.raises(Unavailable) as broken:
        METHODS["load a file"](session, {**prepared, "table": "t"})
    (upload_id,) = [request.path.partition("upload_id=")[2] for request in bq_proxy.requests if request.method == "PUT"]
    assert len(upload_id) > 15
    assert upload_id not in "".join(traceback.format_exception(broken.value))


def test_an_expired_login_and_a_wrong_clock(google: GoogleStub, make_session: MakeSession) -> None:
    """The next step is the login, or the clock where that is why."""
    with DiscoveryStub("bigquery.v2", accepts=lambda _: False) as stub:
        with pytest.raises(NotAuthenticated) as expired:
            BigQueryWarehouse(make_session(endpoint=stub.url)).datasets()
        assert expired.value.next_step == LOGIN
        stub.ahead = timedelta(hours=2)
        with pytest.raises(NotAuthenticated) as skewed:
            BigQueryWarehouse(make_session(endpoint=stub.url)).datasets()
        assert skewed.value.next_step == SET_CLOCK


@pytest.mark.parametrize(("reason", "error"), [("quotaExceeded", QuotaExceeded), ("accessDenied", NotAuthenticated)])
def test_what_is_refused(reason: str, error: type[McmlError], make_session: MakeSession) -> None:
    def refuse(_: object) -> None:
        raise GoogleError(403, "No more", reason=reason)

    with DiscoveryStub("bigquery.v2") as stub:
        stub.on("bigquery.jobs.insert", refuse)
        with pytest.raises(error) as refused:
            BigQueryWarehouse(make_session(endpoint=stub.url)).query("select 1")
    assert (refused.value.message, refused.value.why) == ("the query failed", "Google answered 403: No more")
    assert refused.value.next_step.startswith("gcloud ")
