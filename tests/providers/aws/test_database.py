"""Databases on RDS: the contract on moto server, the lag by CloudWatch (the stub, and moto's), addresses, tokens and secrets."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import make_url

from mcml.core.errors import Conflict, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.database import Database
from mcml.providers.aws.database import RdsDatabases
from mcml.providers.aws.session import Session
from mcml.testing.contracts.database import DatabaseContract
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.cloudwatch_stub import CloudWatch, serving
from tests.providers.aws.conftest import CREDENTIALS, SECRET, MakeSession
from tests.providers.aws.test_snapshots import make_database

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_replica(session: Session, source: str, region: str = "") -> str:
    name = f"{source}-replica"
    session.client("rds", region).create_db_instance_read_replica(DBInstanceIdentifier=name, SourceDBInstanceIdentifier=source)
    return name


@pytest.fixture
def database(session: Session) -> RdsDatabases:
    return RdsDatabases(session)


class TestRds(DatabaseContract):
    replicated = 1

    @pytest.fixture
    def database(self, database: RdsDatabases) -> Database:
        return database

    @pytest.fixture
    def names(self, session: Session) -> list[str]:
        names = [make_database(session, 20) for _ in range(2)]
        dimension = {"Name": "DBInstanceIdentifier", "Value": make_replica(session, names[0])}
        datum = {"MetricName": "ReplicaLag", "Dimensions": [dimension], "Timestamp": datetime.now(UTC) - MINUTE, "Value": 2.5}
        session.client("cloudwatch").put_metric_data(Namespace="AWS/RDS", MetricData=[datum])
        return names


def test_described(session: Session, database: RdsDatabases) -> None:
    name = make_database(session, 20, DeletionProtection=True, EngineVersion="16.3")
    replica = make_replica(session, name)
    (info,) = database.describe(name)
    assert (info.engine, info.version, info.state, info.replicas, info.protected) == ("postgres", "16.3", "available", (replica,), True)
    assert database.describe(replica)[0].replicas == ()


def test_listed_over_many_pages(session: Session) -> None:
    made = {make_database(session, 20) for _ in range(23)}
    assert made <= {info.name for info in RdsDatabases(session, page=20).describe()}


def test_an_iam_token_lets_in(make_session: MakeSession, session: Session) -> None:
    """Signed here, for this user, host and port: nobody is asked, and it shows nowhere."""
    name = make_database(session, 20, EnableIAMDatabaseAuthentication=True, DBName="journal")
    access = RdsDatabases(make_session(database_user="ml ops")).access(name)
    url = make_url(access.url)
    assert (url.drivername, url.username, url.database, url.query) == ("postgresql+psycopg", "ml ops", "journal", {"sslmode": "require"})
    assert access.password is not None
    token = access.password.reveal()
    signed = parse_qs(urlsplit(f"https://{token}").query)
    assert token.startswith(f"{url.host}:{url.port}/?")
    assert (signed["Action"], signed["DBUser"], signed["X-Amz-Expires"]) == (["connect"], ["ml ops"], ["900"])
    assert "/eu-west-1/rds-db/" in signed["X-Amz-Credential"][0]
    assert SECRET not in token
    assert not any(secret in repr(access) for secret in (*CREDENTIALS, signed["X-Amz-Signature"][0]))


def test_a_token_needs_credentials(make_session: MakeSession, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    make_database(session, 20, EnableIAMDatabaseAuthentication=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(NotAuthenticated):
        RdsDatabases(make_session()).access("any")


def said(**more: Any) -> dict[str, Any]:
    return {"DBInstanceIdentifier": "db", "Engine": "mysql", "DBInstanceStatus": "available", "MasterUsername": "root", **more}


@pytest.fixture
def rds() -> Iterator[AwsModel]:
    with AwsModel("rds", "secretsmanager") as stub:
        yield stub


@pytest.mark.parametrize("iam", [False, True])
def test_a_secret_that_rds_manages(make_session: MakeSession, rds: AwsModel, iam: bool) -> None:
    """It is the first user's; a token, where tokens are taken, is for a user that was chosen."""
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1"
    place = {"Address": "db.example.com", "Port": 3306}
    about = said(Endpoint=place, MasterUserSecret={"SecretArn": arn}, IAMDatabaseAuthenticationEnabled=iam)
    rds.on("rds", "DescribeDBInstances", {"DBInstances": [about]})
    rds.on("secretsmanager", "GetSecretValue", {"SecretString": json.dumps({"username": "admin", "password": "p@ss:word"})})
    access = RdsDatabases(make_session(endpoint_url=rds.url)).access("db")
    assert access.url == "mysql+pymysql://admin@db.example.com:3306/"
    assert access.password is not None
    assert access.password.reveal() == "p@ss:word"
    assert "p@ss" not in repr(access)
    assert rds.requests("secretsmanager", "GetSecretValue") == [{"SecretId": arn}]
    if iam:
        chosen = RdsDatabases(make_session(endpoint_url=rds.url, database_user="ops")).access("db")
        assert chosen.url == "mysql+pymysql://ops@db.example.com:3306/"
        assert len(rds.requests("secretsmanager", "GetSecretValue")) == 1


def test_a_password_that_aws_does_not_know(make_session: MakeSession, rds: AwsModel) -> None:
    rds.on("rds", "DescribeDBInstances", {"DBInstances": [said(Endpoint={"Address": "db.example.com", "Port": 3306}, DBName="a b")]})
    access = RdsDatabases(make_session(endpoint_url=rds.url)).access("db")
    assert (access.url, access.password) == ("mysql+pymysql://root@db.example.com:3306/a%20b", None)


def test_one_that_is_being_made_has_no_address(make_session: MakeSession, rds: AwsModel) -> None:
    rds.on("rds", "DescribeDBInstances", {"DBInstances": [said(DBInstanceStatus="creating")]})
    with pytest.raises(Conflict) as early:
        RdsDatabases(make_session(endpoint_url=rds.url)).access("db")
    assert early.value.why == "it has no address: it is creating"
    assert early.value.next_step == "aws rds wait db-instance-available --db-instance-identifier db"


def test_a_near_name_is_named(session: Session, database: RdsDatabases) -> None:
    name = make_database(session, 20)
    with pytest.raises(NotFound) as caught:
        database.access(name[:-1])
    assert caught.value.why == f"did you mean {name!r}?"
    with pytest.raises(NotFound):
        database.access("")


def test_the_slowest_replica_counts(make_session: MakeSession, rds: AwsModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest number of each; one in another region is asked for there, by its own name."""
    far = "arn:aws:rds:us-east-2:123456789012:db:far"
    rds.on("rds", "DescribeDBInstances", {"DBInstances": [said(ReadReplicaDBInstanceIdentifiers=["near", far])]})
    kept = CloudWatch(NOON)
    kept.measure("AWS/RDS:ReplicaLag", {NOON - 3 * MINUTE: 900, NOON - 2 * MINUTE: 1, NOON - MINUTE: 2.5}, DBInstanceIdentifier="near")
    kept.measure("AWS/RDS:ReplicaLag", {NOON - 2 * MINUTE: 40}, DBInstanceIdentifier="far")

    def newest_first(asked: dict[str, Any]) -> dict[str, Any]:
        (one,) = (answer := kept.get_metric_data(asked))["MetricDataResults"]
        one["Timestamps"].reverse()
        one["Values"].reverse()
        assert asked["ScanBy"] == "TimestampDescending"
        return answer

    with serving(kept) as cloudwatch:
        cloudwatch.on("cloudwatch", "GetMetricData", newest_first)
        monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", rds.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.url)
        database = RdsDatabases(make_session(endpoint_url="", clock=lambda: NOON))
        assert database.replica_lag("db") == timedelta(seconds=40)
        scopes = ["us-east-2" in call.headers["Authorization"] for call in cloudwatch.calls]
        assert scopes == [False, True]
        kept.samples.clear()
        with pytest.raises(Unavailable) as silent:
            database.replica_lag("db")
        assert "no ReplicaLag" in silent.value.why
        kept.measure("AWS/RDS:ReplicaLag", {NOON - MINUTE: -1}, DBInstanceIdentifier="near")
        with pytest.raises(Unavailable) as still:
            database.replica_lag("db")
        assert "stands still" in still.value.why
