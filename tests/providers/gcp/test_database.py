"""Cloud SQL over its REST API, the lag of replicas over gRPC, and tokens that the token endpoint really gives."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.api.database import Database, DatabaseInfo
from mcml.providers.gcp.database import LAG, GcpDatabase, open_database
from mcml.testing.contracts.database import DatabaseContract
from mcml.testing.stubs.google_discovery import DiscoveryStub
from mcml.testing.stubs.google_grpc import GrpcStub
from tests.providers.gcp.cloud_world import SqlWorld
from tests.providers.gcp.conftest import PROJECT, Login, MakeContext, MakeSession
from tests.providers.gcp.google_stub import ACCOUNT, GoogleStub
from tests.providers.gcp.monitoring_world import MINUTE, MonitoringWorld, minutes

Make = Callable[..., GcpDatabase]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("sqladmin.v1", accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def grpc_stub(google: GoogleStub) -> Iterator[GrpcStub]:
    from google.cloud.monitoring_v3 import AlertPolicyServiceClient, MetricServiceClient

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def lags(grpc_stub: GrpcStub) -> MonitoringWorld:
    made = MonitoringWorld(grpc_stub)
    made.add_metric(LAG)
    return made


@pytest.fixture
def world(stub: DiscoveryStub) -> SqlWorld:
    made = SqlWorld(stub)
    made.add("main", iam=True, replicaNames=["copy-1", "copy-2"], settings={"deletionProtectionEnabled": True})
    made.add("orders", "MYSQL_8_0_36", iam=True)
    made.add("old", "SQLSERVER_2019_STANDARD", settings={"activationPolicy": "NEVER"})
    made.add("far", region="us-central1")
    return made


@pytest.fixture
def make(stub: DiscoveryStub, grpc_stub: GrpcStub, world: SqlWorld, lags: MonitoringWorld, make_session: MakeSession) -> Make:
    def make(region: str = "", **settings: Any) -> GcpDatabase:
        return GcpDatabase(make_session(endpoint=stub.url, grpc_endpoint=grpc_stub.address, **settings), region)

    return make


def behind(lags: MonitoringWorld, replica: str, *seconds: float) -> None:
    lags.add(LAG, minutes(datetime.now(UTC) - (len(seconds) + 1) * MINUTE, *seconds), database_id=f"{PROJECT}:{replica}")


def test_a_region_that_does_not_answer_is_not_an_empty_one(world: SqlWorld, make: Make) -> None:
    world.silent = "europe-west1"
    with pytest.raises(Unavailable) as silent:
        make().describe()
    assert (silent.value.why, silent.value.next_step) == ("Google does not tell about europe-west1", "mcml doctor")


class TestDatabase(DatabaseContract):
    replicated = 1

    @pytest.fixture
    def database(
        self, stub: DiscoveryStub, grpc_stub: GrpcStub, world: SqlWorld, lags: MonitoringWorld, make_context: MakeContext
    ) -> Database:
        behind(lags, "copy-1", 1.5)
        behind(lags, "copy-2", 0.5)
        return open_database(make_context(endpoint=stub.url, grpc_endpoint=grpc_stub.address))

    @pytest.fixture
    def names(self) -> list[str]:
        return ["main", "orders", "old"]


def test_described_over_pages_and_in_the_region_only(world: SqlWorld, make: Make) -> None:
    world.page = 1
    assert [info.name for info in make().describe()] == ["far", "main", "old", "orders"]
    here = make("europe-west1")
    assert here.describe() == [
        DatabaseInfo("main", "postgresql", "16", "available", ("copy-1", "copy-2"), True),
        DatabaseInfo("old", "sqlserver", "2019.STANDARD", "stopped"),
        DatabaseInfo("orders", "mysql", "8.0.36", "available"),
    ]
    assert here.describe("far") == []
    with pytest.raises(NotFound) as far:
        here.access("far")
    assert far.value.why == "it is in us-central1, not in europe-west1"


def test_a_login_by_iam_takes_a_token(google: GoogleStub, make: Make) -> None:
    access = make().access("main")
    user = ACCOUNT.removesuffix(".gserviceaccount.com").replace("@", "%40")
    assert access.url == f"postgresql+psycopg://{user}@34.1.2.3:5432/postgres?sslmode=require"
    assert access.password is not None
    assert access.password.reveal() in google.tokens
    assert make().access("orders").url == "mysql+pymysql://robot@34.1.2.3:3306/"


def test_a_persons_login(make_session: MakeSession, login: Login, google: GoogleStub) -> None:
    """Asked for below `access`: with an endpoint of ours, a person's tokens come from where the databases are not."""
    database = GcpDatabase(make_session(project=PROJECT))
    login(user=True)
    user, token = database._login("postgresql")
    assert (user, google.tokens[token.reveal()]) == ("ada@example.com", "ada@example.com")
    google.known_users = False
    with pytest.raises(InvalidRequest) as unknown:
        GcpDatabase(make_session(project=PROJECT))._login("postgresql")
    assert unknown.value.why == "Google does not tell who the user is"


def test_without_iam_there_is_the_first_user_and_no_password(world: SqlWorld, make: Make) -> None:
    world.databases["old"]["ipAddresses"] = [{"type": "PRIVATE", "ipAddress": "10.0.0.5"}]
    access = make().access("old")
    assert access.url == "mssql+pyodbc://sqlserver@10.0.0.5:1433/master?driver=ODBC+Driver+18+for+SQL+Server"
    assert access.password is None


def test_one_without_an_address(world: SqlWorld, make: Make) -> None:
    world.databases["main"]["ipAddresses"] = []
    with pytest.raises(InvalidRequest) as nowhere:
        make().access("main")
    assert (nowhere.value.why, nowhere.value.next_step) == ("it has no address yet", "gcloud sql instances describe main")


def test_the_lag_is_the_slowest_replicas_last(lags: MonitoringWorld, make: Make) -> None:
    behind(lags, "copy-1", 30, 2)
    behind(lags, "copy-2", 1, 4)
    assert make().replica_lag("main") == timedelta(seconds=4)


def test_a_lag_that_nobody_measured_is_not_zero(make: Make) -> None:
    with pytest.raises(Unavailable) as unknown:
        make().replica_lag("main")
    assert unknown.value.why == "copy-1, copy-2 was not measured within 0:10:00: it is stopped, or too new"


def test_a_replica_that_nobody_measured_may_be_the_slowest(lags: MonitoringWorld, make: Make) -> None:
    behind(lags, "copy-1", 2.5)
    with pytest.raises(Unavailable) as unknown:
        make().replica_lag("main")
    assert unknown.value.why == (
        "copy-2 was not measured within 0:10:00: it is stopped, or too new; the slowest of the others is 2.5 s behind"
    )
    assert unknown.value.next_step == "gcloud sql instances describe copy-2"


@pytest.mark.parametrize("name", ["", "../../v1/projects/other/instances/x", "a/b"])
def test_a_name_is_only_a_name(stub: DiscoveryStub, make: Make, name: str) -> None:
    with pytest.raises(NotFound):
        make().access(name)
    assert all(call.path.startswith(f"/v1/projects/{PROJECT}/instances/") for call in stub.requests)
    stub.problems.clear()
