"""A bad way to Compute Engine, the price catalog, Cloud SQL and the asset inventory: every method gets there, or says why not.

Each of a method's requests fails: with its answer lost (the work is done by then), and in one of the other ways, which take turns.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.instances import MachineRequest
from mcml.providers.api.inventory import Resource
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.database import GcpDatabase
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.groups import GcpGroups
from mcml.providers.gcp.instances import GcpInstances
from mcml.providers.gcp.inventory import GcpInventory
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.snapshots import GcpSnapshots
from mcml.providers.resilience import REFUSED_STEP, Policy
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Reset
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.catalog_world import serve_catalog
from tests.providers.gcp.cloud_world import AssetWorld, BucketWorld, SqlWorld
from tests.providers.gcp.compute_world import PROJECT, REGION, ComputeWorld, add_group
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub

OURS = {"managed-by": "mcml"}
SPOT = MachineRequest("e2-medium", "token-1")
Do = Callable[[Compute], object]
METHODS: dict[str, Do] = {
    "instances.list": lambda compute: GcpInstances(compute).list(),
    "instances.prices": lambda compute: [price.on_demand for price in GcpInstances(compute).prices()],
    "instances.start": lambda compute: GcpInstances(compute).start("idle"),
    "instances.stop": lambda compute: GcpInstances(compute).stop("web"),
    "instances.resize": lambda compute: GcpInstances(compute).resize("idle", "n2-standard-8"),
    "instances.request": lambda compute: GcpInstances(compute).request(SPOT),
    "instances.request on demand": lambda compute: GcpInstances(compute).request(replace(SPOT, spot=False)),
    "instances.notices": lambda compute: sorted(GcpInstances(compute).notices(["europe-west1-b/web"])),
    "groups.list": lambda compute: GcpGroups(compute).list(),
    "groups.size": lambda compute: GcpGroups(compute).size("workers"),
    "groups.resize": lambda compute: GcpGroups(compute).resize("workers", 3),
    "snapshots.create": lambda compute: GcpSnapshots(compute).create("data", token="t1"),
    "snapshots.list": lambda compute: GcpSnapshots(compute).list(),
    "snapshots.restore": lambda compute: GcpSnapshots(compute).restore("snap", "copy"),
    "snapshots.delete": lambda compute: GcpSnapshots(compute).delete("snap"),
    "inventory.find_by_tag": lambda compute: GcpInventory(compute).find_by_tag({}),
    "inventory.blockers": lambda compute: GcpInventory(compute).blockers([Resource("database", "main", REGION)]),
    "inventory.delete": lambda compute: GcpInventory(compute).delete(Resource("disk", "data", REGION)),
    "inventory.delete a database": lambda compute: GcpInventory(compute).delete(Resource("database", "main", REGION)),
    "inventory.delete a bucket": lambda compute: GcpInventory(compute).delete(Resource("bucket", "box", REGION)),
    "database.describe": lambda compute: GcpDatabase(compute.session).describe(),
    "database.access": lambda compute: GcpDatabase(compute.session).access("main"),
    "database.replica_lag": lambda compute: GcpDatabase(compute.session).replica_lag("main"),
}
OTHER_WAYS: list[Fault] = [
    Reset(), HalfBody(), Answer(500), Answer(503, reaches_server=True), Answer(429, {"Retry-After": "1"}), Answer(408),
    Answer(403, body=json.dumps({"error": {"errors": [{"reason": "rateLimitExceeded"}]}}).encode()),
]  # fmt: skip


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    apis = ("compute.v1", "cloudbilling.v1", "sqladmin.v1", "storage.v1", "cloudasset.v1")
    with DiscoveryStub(*apis, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> AssetWorld:
    serve_catalog(stub, page=20)
    made = AssetWorld(stub, ComputeWorld(stub), SqlWorld(stub), BucketWorld(stub))
    made.compute.add_instance("europe-west1-b", "web", labels=OURS)
    made.compute.add_instance("europe-west1-b", "idle", status="TERMINATED")
    made.compute.add_disk("europe-west1-b", "data", b"x", labels=OURS)
    add_group(made.compute, "zones/europe-west1-b", "workers")
    url = "projects/stub-project/zones/europe-west1-b/disks/data"
    made.compute.add("snapshots", "global", "snap", sourceDisk=url, status="READY", storageBytes="5")
    made.compute.content["snapshot/snap"] = b"x"
    made.sql.add("main")
    made.buckets.add("box", OURS)
    return made


@pytest.fixture
def proxy(stub: DiscoveryStub) -> Iterator[FaultProxy]:
    with FaultProxy(stub.url) as standing:
        yield standing


@pytest.fixture
def make(proxy: FaultProxy, world: AssetWorld, make_session: MakeSession) -> Callable[..., Compute]:
    def make(**keywords: Any) -> Compute:
        return Compute(make_session(endpoint=proxy.url, **keywords), REGION)

    return make


def parts(world: AssetWorld) -> list[Any]:
    return [world.compute, world.sql, world.buckets]


def state(world: AssetWorld) -> object:
    return deepcopy([world.compute.kinds, world.compute.applied, world.sql.databases, world.sql.applied, world.buckets.buckets])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(method: str, world: AssetWorld, proxy: FaultProxy, make: Callable[..., Compute]) -> None:
    """Answer and state are those of an undisturbed run, so no change is made twice."""
    before = deepcopy([vars(part) for part in parts(world)])

    def run() -> tuple[object, object]:
        for part, was in zip(parts(world), before, strict=True):
            vars(part).update(deepcopy(was))
        return METHODS[method](compute), state(world)

    compute = make()
    proxy.script()
    calm = run()
    count = len(proxy.requests)
    assert count > 0
    for number in range(count):
        for fault in (Reset(reaches_server=True), OTHER_WAYS[(number + len(method)) % len(OTHER_WAYS)]):
            proxy.script(*[Pass()] * number, fault)
            assert run() == calm, (fault, number)
            assert proxy.unused == [], (fault, number)


@pytest.mark.parametrize("method", ["instances.stop", "database.describe", "inventory.find_by_tag"])
def test_a_port_that_is_closed_for_a_moment(method: str, proxy: FaultProxy, make: Callable[..., Compute]) -> None:
    compute = make()
    compute.session.policy = Policy(attempts=8, jitter=lambda: 1.0, sleep=time.sleep)
    proxy.script(Refuse(0.1))
    assert METHODS[method](compute)


@pytest.mark.parametrize("method", ["instances.list", "database.describe", "inventory.find_by_tag"])
def test_a_slow_answer_and_one_that_never_comes(method: str, proxy: FaultProxy, make: Callable[..., Compute]) -> None:
    compute = make(timeout=0.4)
    proxy.script(Delay(5))
    assert METHODS[method](compute)
    compute.session.policy = Policy(attempts=1)
    proxy.script(Delay(5))
    with pytest.raises(Unavailable) as slow:
        METHODS[method](compute)
    assert slow.value.why == "no answer in time"


def test_the_wait_that_was_asked_for_is_kept(proxy: FaultProxy, make: Callable[..., Compute]) -> None:
    waits: list[float] = []
    compute = make(waits=waits)
    told = {"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}}
    proxy.script(Answer(429, {"Retry-After": "3"}), Answer(429, body=json.dumps(told).encode()))
    METHODS["instances.list"](compute)
    assert waits == [3.0, 7.0]


@pytest.mark.parametrize(
    ("status", "error", "kind", "step"),
    [
        (400, {"errors": [{"reason": "invalid"}]}, InvalidRequest, REFUSED_STEP),
        (403, {"errors": [{"reason": "forbidden"}]}, NotAuthenticated, f"gcloud projects get-iam-policy {PROJECT}"),
        (403, {"errors": [{"reason": "quotaExceeded"}]}, QuotaExceeded, "gcloud alpha services quota list --service="),
        (
            403,
            {"details": [{"reason": "SERVICE_DISABLED", "metadata": {"service": "sqladmin.googleapis.com"}}]},
            InvalidRequest,
            "gcloud services enable sqladmin.googleapis.com",
        ),
        (429, {"details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}, Unavailable, "mcml doctor"),
        (429, {"details": [{"reason": "RESOURCE_QUOTA_EXCEEDED"}]}, QuotaExceeded, "gcloud alpha services quota list"),
        (404, {}, NotFound, ""),
        (501, {}, InvalidRequest, REFUSED_STEP),
        (500, {}, Unavailable, "mcml doctor"),
    ],
)
@pytest.mark.parametrize("method", ["instances.list", "inventory.find_by_tag", "database.describe"])
def test_what_an_answer_means(
    method: str, proxy: FaultProxy, make: Callable[..., Compute], status: int, error: Any, kind: type[McmlError], step: str
) -> None:
    compute = make(attempts=1)
    proxy.script(Answer(status, {"Content-Type": "application/json"}, json.dumps({"error": {"message": "No.", **error}}).encode()))
    with pytest.raises(McmlError) as told:
        METHODS[method](compute)
    assert type(told.value) is kind
    assert told.value.why == f"Google answered {status}: No."
    assert told.value.next_step.startswith(step)
    assert bool(told.value.next_step) == bool(step)


def test_a_token_that_expires_is_renewed(google: GoogleStub, make: Callable[..., Compute]) -> None:
    compute = make()
    for method in ("instances.list", "instances.prices", "inventory.find_by_tag", "database.describe"):
        first, given = METHODS[method](compute), len(google.given)
        google.tokens.clear()
        assert METHODS[method](compute) == first
        assert len(google.given) == given + 1, method


def test_a_wrong_clock_is_told(google: GoogleStub, make: Callable[..., Compute]) -> None:
    google.ahead = timedelta(hours=-2)
    compute = make()
    for method in METHODS.values():
        with pytest.raises(NotAuthenticated) as wrong:
            method(compute)
        assert wrong.value.why.startswith("this machine's clock is 120 minutes ahead of Google's; no token was given")
        assert wrong.value.next_step == SET_CLOCK


def test_no_credentials_are_told(make: Callable[..., Compute], monkeypatch: pytest.MonkeyPatch) -> None:
    compute = make()
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    for method in METHODS.values():
        with pytest.raises(NotAuthenticated) as nobody:
            method(compute)
        assert nobody.value.next_step == LOGIN


def test_no_token_is_told(
    google: GoogleStub, world: AssetWorld, proxy: FaultProxy, make: Callable[..., Compute], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that repeats the token gets it into no message of ours, and none is in a log or a repr."""
    caplog.set_level(logging.DEBUG)
    world.sql.add("main", iam=True)
    compute, told = make(attempts=2), []
    METHODS["instances.list"](compute)
    echo = json.dumps({"error": {"message": f"bad token {google.given[-1]}"}}).encode()
    for method in METHODS.values():
        for status in (401, 403, 500):
            proxy.script(*[Answer(status, body=echo)] * 8)
            try:
                told += [repr(method(compute))]
            except McmlError as failed:
                told += [repr((failed, failed.message, failed.why, failed.next_step))]
    proxy.script()
    told += [repr((METHODS["database.access"](compute), compute, compute.session, vars(compute.session)))]
    text = "\n".join([*told, caplog.text])
    assert "bad token [hidden]" in text
    assert [token for token in google.given if token in text] == []


def test_sessions_are_of_one_kind(make: Callable[..., Compute]) -> None:
    session = make().session
    assert isinstance(session, Session)
    assert session.rpc_options["retry"] is None
