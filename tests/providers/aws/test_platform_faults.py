"""Between us and EC2, Auto Scaling, RDS, CloudWatch and the tagging API things fail: every method goes on, no write is applied twice, an
error is one of ours, and no credential is in any text.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from mcml.core import errors
from mcml.core.errors import McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.alarms import Alarm
from mcml.providers.api.instances import MachineRequest
from mcml.providers.api.inventory import Resource
from mcml.providers.api.metrics import SeriesQuery, Window
from mcml.providers.aws.alarms import CloudWatchAlarms
from mcml.providers.aws.database import RdsDatabases
from mcml.providers.aws.error_table import MOST_TEXT
from mcml.providers.aws.groups import AutoScalingGroups
from mcml.providers.aws.instances import Ec2Instances
from mcml.providers.aws.inventory import AwsInventory
from mcml.providers.aws.metrics import CloudWatchMetrics
from mcml.providers.aws.session import Session
from mcml.providers.aws.snapshots import AwsSnapshots
from mcml.providers.resilience import REFUSED_STEP
from mcml.testing.stubs.aws_model import AwsError, AwsModel, load_model
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Reset
from tests.providers.aws.conftest import CREDENTIALS, MakeSession, Waits
from tests.providers.aws.inventory_rig import make_volume as tagged_volume
from tests.providers.aws.inventory_rig import tags
from tests.providers.aws.test_errors import ECHO
from tests.providers.aws.test_groups import make_group
from tests.providers.aws.test_snapshots import make_database, make_volume

__all__ = ["make_group"]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
READ_SECONDS = 1.0  # moto's EC2 takes its time
FAULTS: list[Fault] = [
    Reset(), Answer(429, {"Retry-After": "7"}), Answer(503, {"x-amz-retry-after": "2500"}), Answer(500), HalfBody(), HalfBody(0.0),
    Reset(reaches_server=True),
]  # fmt: skip
LOST: list[Fault] = [Reset(reaches_server=True), Pass(), Reset(reaches_server=True), Pass(), Reset(reaches_server=True)]


class World:
    """A session through a proxy that fails, and one to the same server without it. `ready` is called before the first fault."""

    def __init__(self, straight: Session, through: Session, make_group: Callable[[], str]) -> None:
        self.straight, self.through, self.make_group = straight, through, make_group
        self.ready: Callable[[], None] = lambda: None

    def spot(self) -> MachineRequest:
        return MachineRequest("m5.large", uuid4().hex, tags={"team": uuid4().hex})


@pytest.fixture
def world(make_session: MakeSession, proxy: FaultProxy, machine_image: str, request: pytest.FixtureRequest) -> World:
    through = make_session(endpoint_url=proxy.url, timeout=(5, READ_SECONDS), attempts=12, budget=1000, image=machine_image)
    straight = make_session(image=machine_image, timeout=(5, 60))
    return World(straight, through, lambda: str(request.getfixturevalue("make_group")()))


def lists_instances(world: World) -> None:
    spot = Ec2Instances(world.straight).request(request := world.spot())
    world.ready()
    assert [one.id for one in Ec2Instances(world.through).list(request.tags)] == [spot.id]


def requests_spot(world: World) -> None:
    request = world.spot()
    world.ready()
    made = Ec2Instances(world.through).request(request)
    assert [one.id for one in Ec2Instances(world.straight).list(request.tags)] == [made.id]


def stops_starts_and_resizes(world: World) -> None:
    asked = {"ImageId": world.straight.settings.image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    name = world.straight.client("ec2").run_instances(**asked)["Instances"][0]["InstanceId"]
    world.ready()
    instances = Ec2Instances(world.through)
    assert instances.stop(name).state == "stopped"
    assert instances.resize(name, "c5.large").machine == "c5.large"
    assert instances.start(name).state == "running"


def lists_and_resizes_groups(world: World) -> None:
    group = world.make_group()
    world.ready()
    groups = AutoScalingGroups(world.through)
    assert [one.name for one in groups.list({"team": group})] == [group]
    assert groups.resize(group, 2).desired == 2
    assert groups.size(group).running == 2


def takes_a_snapshot_of_a_disk(world: World) -> None:
    volume = make_volume(world.straight, 1)
    world.ready()
    taken = AwsSnapshots(world.through).create(volume, token=uuid4().hex)
    assert [one.id for one in AwsSnapshots(world.straight).list(volume)] == [taken.id]


def takes_a_snapshot_of_a_database(world: World) -> None:
    database = make_database(world.straight, 20)
    world.ready()
    taken = AwsSnapshots(world.through).create(database, token=uuid4().hex)
    assert [one.id for one in AwsSnapshots(world.straight).list(database)] == [taken.id]


def lists_snapshots(world: World) -> None:
    volume = make_volume(world.straight, 1)
    taken = AwsSnapshots(world.straight).create(volume, token=uuid4().hex)
    world.ready()
    assert taken.id in [one.id for one in AwsSnapshots(world.through).list()]


def restores_and_deletes_a_disk(world: World) -> None:
    volume, name = make_volume(world.straight, 1), uuid4().hex
    taken = AwsSnapshots(world.straight).create(volume, token=uuid4().hex)
    world.ready()
    restored = AwsSnapshots(world.through).restore(taken.id, name)
    by_name = [{"Name": "tag:Name", "Values": [name]}]
    assert [one["VolumeId"] for one in world.straight.client("ec2").describe_volumes(Filters=by_name)["Volumes"]] == [restored]
    AwsSnapshots(world.through).delete(taken.id)
    assert AwsSnapshots(world.straight).list(volume) == []


def restores_and_deletes_a_database(world: World) -> None:
    database = make_database(world.straight, 20)
    taken = AwsSnapshots(world.straight).create(database, token=uuid4().hex)
    world.ready()
    assert AwsSnapshots(world.through).restore(taken.id, f"{database}-2") == f"{database}-2"
    AwsSnapshots(world.through).delete(taken.id)
    assert AwsSnapshots(world.straight).list(database) == []


def finds_and_deletes_by_tag(world: World) -> None:
    said = tags()
    volume = Resource("ec2:volume", tagged_volume(world.straight, said), "eu-west-1", said)
    world.ready()
    inventory = AwsInventory(world.through)
    assert inventory.find_by_tag(said) == [volume]
    assert inventory.blockers([volume]) == []
    assert inventory.delete(volume) is True
    assert inventory.delete(volume) is False


def describes_databases(world: World) -> None:
    database = make_database(world.straight, 20, EnableIAMDatabaseAuthentication=True)
    world.ready()
    databases = RdsDatabases(world.through)
    assert database in [info.name for info in databases.describe()]
    assert databases.access(database).password is not None


def tells_the_lag(world: World) -> None:
    database = make_database(world.straight, 20)
    replica = f"{database}-2"
    world.straight.client("rds").create_db_instance_read_replica(DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=database)
    dimension = {"Name": "DBInstanceIdentifier", "Value": replica}
    datum = {"MetricName": "ReplicaLag", "Dimensions": [dimension], "Timestamp": datetime.now(UTC) - MINUTE, "Value": 2.5}
    world.straight.client("cloudwatch").put_metric_data(Namespace="AWS/RDS", MetricData=[datum])
    world.ready()
    assert RdsDatabases(world.through).replica_lag(database) == timedelta(seconds=2.5)


def queries_metrics(world: World) -> None:
    space, now = f"acme-{uuid4().hex}", datetime.now(UTC).replace(second=0, microsecond=0) - 60 * MINUTE
    datum = {"MetricName": "Jobs", "Timestamp": now, "Value": 7.0}
    world.straight.client("cloudwatch").put_metric_data(Namespace=space, MetricData=[datum])
    world.ready()
    metrics = CloudWatchMetrics(world.through)
    points = metrics.query(SeriesQuery(f"{space}:Jobs", {}, "sum"), Window(now, now + 2 * MINUTE, MINUTE))
    assert [point.value for point in points] == [7, None]
    assert f"{space}:Jobs" in metrics.names()


def keeps_alarms(world: World) -> None:
    alarm = Alarm(f"rule-{uuid4().hex}", SeriesQuery("acme:Jobs"), ">", 1, MINUTE, tags={"team": "risk"})
    world.ready()
    alarms = CloudWatchAlarms(world.through)
    alarms.put(alarm)
    changed = replace(alarm, tags={"owner": "ml"})
    alarms.put(changed)
    assert [one.alarm for one in alarms.list(alarm.name)] == [changed]
    assert alarms.delete(alarm.name) is True
    assert alarms.delete(alarm.name) is False


METHODS: list[Callable[[World], None]] = [
    lists_instances, requests_spot, stops_starts_and_resizes, lists_and_resizes_groups, takes_a_snapshot_of_a_disk,
    takes_a_snapshot_of_a_database, lists_snapshots, restores_and_deletes_a_disk, restores_and_deletes_a_database, finds_and_deletes_by_tag,
    describes_databases, tells_the_lag, queries_metrics, keeps_alarms,
]  # fmt: skip


def name(method: Callable[[World], None]) -> str:
    return method.__name__


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_seven_faults_in_a_row_are_survived(world: World, proxy: FaultProxy, method: Callable[[World], None], waits: Waits) -> None:
    world.ready = lambda: proxy.script(*FAULTS)
    method(world)
    assert len(proxy.unused) <= 2  # an answer without a body has no half
    assert 7.0 in waits.seconds
    assert 2.5 in waits.seconds


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_answers_that_are_lost_change_nothing(world: World, proxy: FaultProxy, method: Callable[[World], None]) -> None:
    """AWS does what it is asked, and the first answers never arrive."""
    world.ready = lambda: proxy.script(*LOST)
    method(world)
    assert len(proxy.unused) <= 3  # a method may be one request


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_connection_that_is_refused_or_slow(world: World, proxy: FaultProxy, method: Callable[[World], None], waits: Waits) -> None:
    def begin() -> None:
        proxy.script(Refuse(60), Delay(30))
        waits.after = proxy.accept

    world.ready = begin
    method(world)
    assert proxy.unused == []
    assert waits.seconds


SERVICES = (
    "ec2", "autoscaling", "rds", "cloudwatch", "resourcegroupstaggingapi", "pricing", "secretsmanager", "s3", "sts",
)  # fmt: skip
VOLUME = Resource("ec2:volume", "arn:aws:ec2:eu-west-1:123456789012:volume/vol-0123456789abcdef0", "eu-west-1")
CALLS: dict[str, Callable[[Session], object]] = {
    "instances.list": lambda session: Ec2Instances(session).list(),
    "instances.prices": lambda session: Ec2Instances(session).prices(["m5.large"]),
    "instances.start": lambda session: Ec2Instances(session).start("i-1"),
    "instances.stop": lambda session: Ec2Instances(session).stop("i-1"),
    "instances.resize": lambda session: Ec2Instances(session).resize("i-1", "m5.large"),
    "instances.request": lambda session: Ec2Instances(session).request(MachineRequest("m5.large", "t")),
    "instances.notices": lambda session: Ec2Instances(session).notices(["i-1"]),
    "groups.list": lambda session: AutoScalingGroups(session).list(),
    "groups.size": lambda session: AutoScalingGroups(session).size("g"),
    "groups.resize": lambda session: AutoScalingGroups(session).resize("g", 1),
    "snapshots.create": lambda session: AwsSnapshots(session).create("disk/vol-0123456789abcdef0", token="t"),
    "snapshots.create.database": lambda session: AwsSnapshots(session).create("database/db", token="t"),
    "snapshots.list": lambda session: AwsSnapshots(session).list("database/db"),
    "snapshots.list.disks": lambda session: AwsSnapshots(session).list("disk/vol-0123456789abcdef0"),
    "snapshots.restore": lambda session: AwsSnapshots(session).restore("snap-0123456789abcdef0", "x"),
    "snapshots.restore.database": lambda session: AwsSnapshots(session).restore("mcml-1", "x"),
    "snapshots.delete": lambda session: AwsSnapshots(session).delete("mcml-1"),
    "snapshots.delete.disk": lambda session: AwsSnapshots(session).delete("snap-0123456789abcdef0"),
    "inventory.find_by_tag": lambda session: AwsInventory(session).find_by_tag({}),
    "inventory.blockers": lambda session: AwsInventory(session).blockers([VOLUME]),
    "inventory.delete": lambda session: AwsInventory(session).delete(VOLUME),
    "database.describe": lambda session: RdsDatabases(session).describe(),
    "database.access": lambda session: RdsDatabases(session).access("db"),
    "database.replica_lag": lambda session: RdsDatabases(session).replica_lag("db"),
    "metrics.query": lambda session: CloudWatchMetrics(session).query(SeriesQuery("a:b"), Window(NOON, NOON + 60 * MINUTE, 60 * MINUTE)),
    "metrics.names": lambda session: CloudWatchMetrics(session).names(),
    "alarms.list": lambda session: CloudWatchAlarms(session).list(),
    "alarms.put": lambda session: CloudWatchAlarms(session).put(Alarm("a", SeriesQuery("a:b"), ">", 1, MINUTE)),
    "alarms.delete": lambda session: CloudWatchAlarms(session).delete("a"),
}
REFUSALS = {
    "ExpiredToken": (NotAuthenticated, 403, "aws configure sso"),
    "RequestExpired": (NotAuthenticated, 400, "sudo timedatectl set-ntp true"),
    "UnauthorizedOperation": (NotAuthenticated, 403, "aws sts get-caller-identity"),
    "Throttling": (Unavailable, 400, "mcml doctor"),
    "InternalFailure": (Unavailable, 500, "mcml doctor"),
    "InvalidParameterValue": (errors.InvalidRequest, 400, REFUSED_STEP),
    "InstanceLimitExceeded": (errors.QuotaExceeded, 400, None),
    "IncorrectState": (errors.Conflict, 400, None),
}


class Refusing:
    """A stub that answers every operation with an error."""

    def __init__(self) -> None:
        self.code, self.status = "", 400
        self.stub = AwsModel(*SERVICES)
        for service in SERVICES:
            for operation in load_model(service).operation_names:
                self.stub.on(service, operation, self.refuse)

    def refuse(self, _: dict[str, Any]) -> dict[str, Any]:
        raise AwsError(self.code, ECHO, self.status)


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    made = Refusing()
    yield made
    made.stub.close()


@pytest.mark.parametrize("method", CALLS)
def test_what_aws_refuses_is_said_in_our_words_and_without_credentials(
    make_session: MakeSession, refusing: Refusing, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    caplog.set_level(logging.INFO)
    session, texts = make_session(endpoint_url=refusing.stub.url), []
    for code, (kind, status, step) in REFUSALS.items():
        refusing.code, refusing.status = code, status
        refusing.stub.calls.clear()
        with pytest.raises(McmlError) as refused:
            CALLS[method](session)
        told = refused.value
        assert type(told) is kind, f"{code}: {type(told).__name__} {told}"
        assert step is None or told.next_step == step
        assert code in told.why
        assert len(told.why) <= MOST_TEXT + 200
        assert len(refusing.stub.calls) == (5 if kind is Unavailable else 1)
        texts += [told.message, told.why, told.next_step, repr(told), "".join(traceback.format_exception(told))]
    for secret in (*CREDENTIALS, "0123abc"):
        assert secret not in "\n".join([*texts, caplog.text, repr(session)])
    assert "[hidden]" in "\n".join(texts)


@pytest.mark.parametrize("body", [b"", b"<html>too many requests</html>", b"too many"])
@pytest.mark.parametrize("method", ["instances.list", "groups.list", "metrics.names", "inventory.find_by_tag"])
def test_an_answer_of_something_between_keeps_its_status_and_headers(
    make_session: MakeSession, proxy: FaultProxy, waits: Waits, method: str, body: bytes
) -> None:
    """EC2 query, query, JSON: the body is none of AWS's."""
    session = make_session(endpoint_url=proxy.url, attempts=2)
    proxy.script(*[Answer(429, {"Retry-After": "7", "Content-Type": "text/html"}, body)] * 2)
    with pytest.raises(Unavailable):
        CALLS[method](session)
    assert waits.seconds == [7.0]
    proxy.script(Answer(403, {}, body))
    with pytest.raises(NotAuthenticated):
        CALLS[method](session)


@pytest.mark.parametrize("service", ["ec2", "autoscaling", "cloudwatch"])
def test_a_wrong_clock_is_said_clearly(make_session: MakeSession, refusing: Refusing, service: str) -> None:
    """By each protocol's answer: EC2 query, query, JSON."""
    refusing.code, refusing.status = "AuthFailure", 403
    session = make_session(endpoint_url=refusing.stub.url, clock=lambda: datetime.now(UTC) + timedelta(minutes=90))
    method = {"ec2": "instances.list", "autoscaling": "groups.list", "cloudwatch": "metrics.names"}[service]
    with pytest.raises(NotAuthenticated) as skewed:
        CALLS[method](session)
    assert skewed.value.why.startswith("the clock of this machine is 90 minutes ahead of that of AWS")


def test_what_is_not_there_has_a_reason(session: Session) -> None:
    """What a person sees."""
    with pytest.raises(NotFound) as absent:
        Ec2Instances(session).start("i-0123456789abcdef0")
    assert absent.value.message == "cannot start instance 'i-0123456789abcdef0'"
    assert "does not exist" in absent.value.why
    assert absent.value.next_step.startswith("aws ec2 describe-instances")
    with pytest.raises(NotFound) as group:
        AutoScalingGroups(session).size("workers")
    assert group.value.why == "there is no Auto Scaling group of that name in this region"
    assert group.value.next_step.startswith("aws autoscaling describe-auto-scaling-groups")
    for call in ("snapshots.create", "snapshots.create.database", "snapshots.restore", "snapshots.restore.database", "database.access"):
        with pytest.raises(NotFound) as other:
            CALLS[call](session)
        assert other.value.next_step.startswith("aws ")
