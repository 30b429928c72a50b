"""Every method of machines, groups, snapshots, inventory, databases, metrics and alarms behind a proxy that fails: each ends well within
its budget or with the right error, and no write is applied twice. No credential is shown on the way."""

import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import McmlError, NotAuthenticated, QuotaExceeded, Unavailable
from mcml.providers.azure.alarms import AzureAlarms
from mcml.providers.azure.database import AzureDatabase
from mcml.providers.azure.groups import AzureGroups
from mcml.providers.azure.instances import AzureInstances
from mcml.providers.azure.inventory import AzureInventory
from mcml.providers.azure.metrics import AzureMetrics
from mcml.providers.azure.session import Session
from mcml.providers.azure.snapshots import AzureSnapshots
from mcml.providers.resilience import READ_SECONDS, Policy
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Reset
from tests.providers.azure import prices_stub
from tests.providers.azure.compute_world import IMAGE, SUBNET, ComputeWorld
from tests.providers.azure.conftest import GivenToken, MakeSession, Waits, management_session
from tests.providers.azure.fleet_world import DisksWorld, GroupsWorld
from tests.providers.azure.monitor_world import MonitorWorld, steady
from tests.providers.azure.resources_world import ResourcesWorld, SqlWorld
from tests.providers.azure.test_alarms import ALARM
from tests.providers.azure.test_instances import REQUEST
from tests.providers.azure.test_inventory import DISK, OURS, named
from tests.providers.azure.test_metrics import HOUR, SERIES, WINDOW


@dataclass
class Azure:
    """A session, and the worlds behind it. Only one world's routes answer a path: each test makes the ones that it needs."""

    session: Session
    arm: ArmStub
    waits: Waits


@dataclass(frozen=True)
class Method:
    """A method: how to get there (returns the call), and how often what it writes was written."""

    prepare: Callable[[Azure], Callable[[], Any]]
    good: Callable[[Any], bool] = bool


def machines(azure: Azure, call: Callable[[AzureInstances, str], Any], power: str = "running") -> Callable[[], Any]:
    at = ComputeWorld(azure.arm).add("m1", power=power)
    return lambda: call(AzureInstances(azure.session, "westeurope"), at)


def sets(azure: Azure, call: Callable[[AzureGroups], Any]) -> Callable[[], Any]:
    GroupsWorld(azure.arm).add("workers", 1)
    return lambda: call(AzureGroups(azure.session))


def disks(azure: Azure, call: Callable[[AzureSnapshots, str], Any]) -> Callable[[], Any]:
    DisksWorld(azure.arm).add("d1", "one")
    snapshots = AzureSnapshots(azure.session)
    taken = snapshots.create("d1", token="t").id
    return lambda: call(snapshots, taken)


def things(azure: Azure, call: Callable[[AzureInventory, Any], Any]) -> Callable[[], Any]:
    world = ResourcesWorld(azure.arm)
    world.add(DISK, "d1", OURS)
    found = named(AzureInventory(azure.session), "d1")
    return lambda: call(AzureInventory(azure.session), found)


def sql(azure: Azure, call: Callable[[AzureDatabase], Any]) -> Callable[[], Any]:
    SqlWorld(azure.arm, {"sql1": ["orders"]})
    return lambda: call(AzureDatabase(azure.session))


def monitor(azure: Azure, call: Callable[[AzureMetrics, AzureAlarms], Any]) -> Callable[[], Any]:
    MonitorWorld(azure.arm, {"m1": [(HOUR + timedelta(minutes=5), 7.0), *steady(50.0)]})
    AzureAlarms(azure.session).put(ALARM)
    return lambda: call(AzureMetrics(azure.session), AzureAlarms(azure.session))


METHODS: dict[str, Method] = {
    "instances.list": Method(lambda azure: machines(azure, lambda instances, _: instances.list()), lambda found: len(found) == 1),
    "instances.prices": Method(lambda azure: machines(azure, lambda instances, _: instances.prices(["Standard_D2s_v3"]))),
    "instances.start": Method(
        lambda azure: machines(azure, lambda instances, at: instances.start(at), "deallocated"), lambda found: found.state == "running"
    ),
    "instances.stop": Method(
        lambda azure: machines(azure, lambda instances, at: instances.stop(at)), lambda found: found.state == "stopped"
    ),
    "instances.resize": Method(
        lambda azure: machines(azure, lambda instances, at: instances.resize(at, "Standard_D4s_v3"), "deallocated"),
        lambda found: found.machine == "Standard_D4s_v3",
    ),
    "instances.request": Method(
        lambda azure: machines(azure, lambda instances, _: instances.request(REQUEST)), lambda found: found.state == "running"
    ),
    "groups.list": Method(lambda azure: sets(azure, lambda groups: groups.list())),
    "groups.size": Method(lambda azure: sets(azure, lambda groups: groups.size("workers")), lambda found: found.running == 1),
    "groups.resize": Method(lambda azure: sets(azure, lambda groups: groups.resize("workers", 4)), lambda found: found.desired == 4),
    "snapshots.create": Method(lambda azure: disks(azure, lambda snapshots, _: snapshots.create("d1", token="other"))),
    "snapshots.list": Method(lambda azure: disks(azure, lambda snapshots, _: snapshots.list("d1"))),
    "snapshots.restore": Method(lambda azure: disks(azure, lambda snapshots, taken: snapshots.restore(taken, "new"))),
    "snapshots.delete": Method(lambda azure: disks(azure, lambda snapshots, taken: snapshots.delete(taken)), lambda found: found is None),
    "inventory.find_by_tag": Method(lambda azure: things(azure, lambda inventory, _: inventory.find_by_tag({}))),
    "inventory.blockers": Method(lambda azure: things(azure, lambda inventory, one: inventory.blockers([one])), lambda found: found == []),
    "inventory.delete": Method(lambda azure: things(azure, lambda inventory, one: inventory.delete(one)), lambda found: found is True),
    "database.describe": Method(lambda azure: sql(azure, lambda database: database.describe())),
    "database.access": Method(lambda azure: sql(azure, lambda database: database.access("sql1/orders"))),
    "database.replica_lag": Method(lambda azure: sql(azure, lambda database: database.replica_lag("sql1/orders")), lambda lag: lag is None),
    "metrics.query": Method(lambda azure: monitor(azure, lambda metrics, _: metrics.query(SERIES, WINDOW))),
    "metrics.names": Method(lambda azure: monitor(azure, lambda metrics, _: metrics.names())),
    "alarms.list": Method(lambda azure: monitor(azure, lambda _, alarms: alarms.list())),
    "alarms.put": Method(lambda azure: monitor(azure, lambda _, alarms: alarms.put(replace(ALARM, name="b"))), lambda done: done is None),
    "alarms.delete": Method(lambda azure: monitor(azure, lambda _, alarms: alarms.delete("mcml-cpu")), lambda gone: gone is True),
}
CHANGES = {"start", "stop", "resize", "request", "create", "restore", "delete", "put"}
WRITES = [name for name in METHODS if name.rpartition(".")[2] in CHANGES]
JSON = {"Content-Type": "application/json"}
BUSY = b'{"error": {"code": "ServerTimeout", "message": "The request timed out."}}'
PASSING: dict[str, tuple[Fault, ...]] = {
    "reset and 500": (Reset(), Answer(500, JSON, BUSY), Answer(502, {}, b"<html>Bad gateway</html>")),
    "half a body": (HalfBody(),),
    "429": (Answer(429, {**JSON, "Retry-After": "4"}, BUSY), Answer(429, {"x-ms-ratelimit-microsoft.compute-retry-after": "5"})),
    "slow": (Delay(2.0, reaches_server=False),),
}


@pytest.fixture(scope="module")
def price_list() -> Iterator[str]:
    with prices_stub.serving() as url:
        yield url


@pytest.fixture
def proxy(arm: ArmStub, certificate: tuple[Path, Path]) -> Iterator[FaultProxy]:
    """A proxy in front of the stub; both speak HTTPS, for a token travels."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate[0]))
    ours.load_cert_chain(*certificate)
    with FaultProxy(arm.url, tls=ours, server_tls=theirs) as proxy:
        yield proxy


@pytest.fixture
def azure(arm: ArmStub, proxy: FaultProxy, make_session: MakeSession, price_list: str, request: pytest.FixtureRequest) -> Azure:
    """A session that waits for an answer as long as a person's does, but for the tests with a fault named "slow"."""
    waits, slow = Waits(), "slow" in request.node.callspec.params.values() if hasattr(request.node, "callspec") else False
    given = {"policy": waits.policy(), "read_seconds": 0.5 if slow else READ_SECONDS, "credential": GivenToken()}
    session = management_session(make_session, proxy.url, prices=price_list, subnet=SUBNET, image=IMAGE, **given)
    return Azure(session, arm, waits)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(azure: Azure, proxy: FaultProxy, method: str, fault: str) -> None:
    call = METHODS[method].prepare(azure)
    azure.waits.seconds.clear()
    proxy.script(*PASSING[fault])
    assert METHODS[method].good(call())
    assert proxy.unused == []
    if fault == "429":
        assert [wait >= least for wait, least in zip(azure.waits.seconds, (4, 5), strict=False)] == [True, True]


LOST: dict[str, Fault] = {"reset": Reset(reaches_server=True), "500": Answer(500, JSON, BUSY, reaches_server=True), "slow": Delay(2.0)}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("method", WRITES)
def test_a_write_whose_answer_is_lost(azure: Azure, proxy: FaultProxy, method: str, lost: str) -> None:
    """It is sent again, and leaves what one leaves: every write of ours says what shall be, under a name of its own."""
    call = METHODS[method].prepare(azure)
    before = len(azure.arm.requests)
    proxy.script(LOST[lost], only=lambda request: request.method != "GET")
    assert METHODS[method].good(call())
    assert proxy.unused == []
    written = [(one.method, one.path, str(one.body)) for one in azure.arm.requests[before:] if one.method != "GET"]
    places = {(how, path) for how, path, _ in written}
    assert len(places) == 1  # the same request, and no second thing


def test_a_spot_machine_is_created_once(azure: Azure, proxy: FaultProxy) -> None:
    world = ComputeWorld(azure.arm)
    proxy.script(Reset(reaches_server=True), only=lambda request: request.method == "PUT")
    found = AzureInstances(azure.session, "westeurope").request(REQUEST)
    assert [name for name in world.writes if name.startswith("create")] == [f"create {found.id.rpartition('/')[2]}"]
    assert found.state == "running"


def test_a_spot_machine_whose_answer_is_lost_and_that_gets_no_place(azure: Azure, proxy: FaultProxy) -> None:
    world = ComputeWorld(azure.arm, no_capacity=True)
    proxy.script(Reset(reaches_server=True), only=lambda request: request.method == "PUT")
    with pytest.raises(QuotaExceeded) as caught:
        AzureInstances(azure.session, "westeurope").request(REQUEST)
    assert "AllocationFailed" in caught.value.why
    assert world.machines == {}


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_stays_down(azure: Azure, proxy: FaultProxy, method: str) -> None:
    call = METHODS[method].prepare(azure)
    azure.waits.seconds.clear()
    proxy.script(*[Reset()] * 99)
    with pytest.raises(Unavailable, match=r"^cannot ") as caught:
        call()
    assert len(azure.waits.seconds) == 4
    assert caught.value.why
    assert caught.value.next_step


@pytest.mark.parametrize("method", ["instances.list", "groups.size", "inventory.find_by_tag", "database.describe", "metrics.query"])
def test_a_refused_connection(azure: Azure, proxy: FaultProxy, make_session: MakeSession, method: str) -> None:
    patient = management_session(make_session, proxy.url, policy=Policy(jitter=lambda: 1.0))
    call = METHODS[method].prepare(Azure(patient, azure.arm, azure.waits))
    proxy.script(Refuse(0.3))
    assert METHODS[method].good(call())


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(azure: Azure, proxy: FaultProxy, method: str) -> None:
    call = METHODS[method].prepare(azure)
    expired = ArmError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.").fault
    proxy.script(*[expired] * 9)
    with pytest.raises(NotAuthenticated) as caught:
        call()
    assert "the token has expired" in caught.value.why
    assert caught.value.next_step == "az login"


SERVICES = ["instances.list", "groups.list", "snapshots.list", "inventory.find_by_tag", "database.describe", "metrics.query", "alarms.list"]


@pytest.mark.parametrize("method", SERVICES)
def test_a_wrong_clock(azure: Azure, proxy: FaultProxy, method: str) -> None:
    call = METHODS[method].prepare(azure)
    date = format_datetime(utc_now() - timedelta(minutes=62), usegmt=True)
    proxy.script(*[ArmError(401, "InvalidAuthenticationToken", "The token is not yet valid.", {"Date": date}).fault] * 9)
    with pytest.raises(NotAuthenticated) as caught:
        call()
    assert "this machine's clock is 62 minutes ahead of Azure's" in caught.value.why


def test_no_credential_is_shown(azure: Azure, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for method in METHODS.values():
        call = method.prepare(azure)
        for fault in (None, Answer(403, JSON, b'{"error": {"code": "AuthorizationFailed", "message": "no"}}'), Answer(400)):
            proxy.script(*([fault] if fault else []))
            try:
                seen.append(repr(call()))
            except McmlError as failed:
                seen += [repr(failed), failed.why, failed.next_step, "".join(traceback.format_exception(failed))]
    assert len(seen) > len(METHODS) * 3
    given = azure.session.credential
    assert isinstance(given, GivenToken)
    text = "\n".join([*seen, caplog.text, repr(azure.session), repr(vars(azure.session))])
    for secret in (given.text, given.text.rpartition(".")[2]):
        assert secret not in text
