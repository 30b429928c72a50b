"""Databases on RDS: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/

An IAM token lets in who may `rds-db:connect`; it is made here from our credentials, without asking RDS, and holds for 15 minutes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from mcml.core.errors import Conflict, NotFound, Unavailable, did_you_mean
from mcml.core.secret import Secret
from mcml.providers.api.database import Database, DatabaseAccess, DatabaseInfo
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.metrics import read_results
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import SOME_REGION, Session
from mcml.providers.resilience import Policy

_DIALECTS = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "sqlserver": "mssql+pyodbc"}
_DIALECTS |= {"aurora-postgresql": "postgresql+psycopg", "aurora-mysql": "mysql+pymysql", "oracle": "oracle+oracledb", "db2": "db2+ibm_db"}
LOOK = "aws rds describe-db-instances   # in the target's region"
LAG_WINDOW, LAG_STEP = timedelta(minutes=5), 60


def open_database(ctx: ProviderContext) -> Database:
    """Return the RDS databases of the context's region."""
    return RdsDatabases(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class RdsDatabases:
    """Database instances of one region; the members of an Aurora cluster are there one by one. `page` is 20 to 100."""

    session: Session
    page: int = 100

    def describe(self, name: str = "") -> list[DatabaseInfo]:
        """Return the one of that name, or all; the state is RDS's own word ("available", "backing-up")."""
        return [to_info(one) for one in self._described(name)]

    def access(self, name: str) -> DatabaseAccess:
        """Return how to connect: with an IAM token where the database takes them, else with the secret that RDS manages in Secrets Manager.

        The token is for `[providers.aws] database_user`. Where none is set, the first user's secret goes before a token for that user,
        who as a rule may not log in by one. A database with neither has a password that AWS does not know: `password` is None. Raises
        NotFound, NotAuthenticated, Conflict for one that has no address yet.
        """
        said, doing = self._find(name), f"cannot connect to the database {name!r}"
        place = said.get("Endpoint") or {}
        if "Address" not in place:
            why = f"it has no address: it is {said['DBInstanceStatus']}"
            raise Conflict(doing, why=why, next_step=f"aws rds wait db-instance-available --db-instance-identifier {name}")
        user, password = str(said.get("MasterUsername", "")), None
        chosen, managed = self.session.settings.database_user, said.get("MasterUserSecret")
        if said.get("IAMDatabaseAuthenticationEnabled") and (chosen or not managed):
            user = chosen or user
            password = Secret(self._token(doing, place, user))
        elif managed:
            secret = self._secret(doing, managed["SecretArn"])
            user, password = secret["username"], Secret(secret["password"])
        return DatabaseAccess(url_of(said, user), password)

    def replica_lag(self, name: str) -> timedelta | None:
        """Return how far the slowest read replica is behind, by CloudWatch's ReplicaLag of the last five minutes; None without a replica.

        Raises NotFound, and Unavailable when a replica reports no lag: it is new, or its replication stands still.
        """
        replicas = to_info(self._find(name)).replicas
        return max((self._lag(name, replica) for replica in replicas), default=None)

    def _described(self, name: str = "") -> list[Any]:
        asked: dict[str, Any] = {"DBInstanceIdentifier": name} if name else {"MaxRecords": self.page}
        doing = f"cannot describe the database {name!r}" if name else "cannot list the databases"
        try:
            return [*paged(self.session, doing, "rds", "describe_db_instances", "DBInstances", token="Marker", **asked)]  # noqa: S106
        except NotFound:
            return []

    def _find(self, name: str) -> Any:
        for one in self._described(name) if name else ():
            return one
        known = [one["DBInstanceIdentifier"] for one in self._described()]
        raise NotFound(f"no database named {name!r}", why=did_you_mean(name, known) or "RDS has none in this region", next_step=LOOK)

    def _token(self, doing: str, place: Mapping[str, Any], user: str) -> str:
        def make() -> str:
            where = {"DBHostname": place["Address"], "Port": place["Port"], "DBUsername": user}
            return str(self.session.client("rds").generate_db_auth_token(**where, Region=self.session.region or SOME_REGION))

        return self.session.call(doing, make)

    def _secret(self, doing: str, arn: str) -> Any:
        answer = self.session.call(doing, lambda: self.session.client("secretsmanager").get_secret_value(SecretId=arn))
        return json.loads(answer["SecretString"])

    def _lag(self, name: str, replica: str) -> timedelta:
        """Return the newest lag of a replica; one in another region is named by its ARN, and measured there."""
        doing = f"cannot tell how far {replica} is behind {name}"
        region, identifier = (replica.split(":")[3], replica.rpartition(":")[2]) if replica.startswith("arn:") else ("", replica)
        metric = {"Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": identifier}]}
        stat = {"Metric": metric, "Period": LAG_STEP, "Stat": "Maximum"}
        now = self.session.ctx.clock()
        asked: dict[str, Any] = {
            "MetricDataQueries": [{"Id": "lag", "MetricStat": stat}],
            "StartTime": now - LAG_WINDOW,
            "EndTime": now,
            "ScanBy": "TimestampDescending",
        }
        found = [*read_results(self.session, doing, region, **asked)]
        values = [value for one in found for value in one.get("Values", ())]
        if not values or values[0] < 0:  # -1: RDS itself cannot tell
            why = "CloudWatch has no ReplicaLag of the last five minutes" if not values else "RDS cannot tell: replication stands still"
            raise Unavailable(doing, why=why, next_step=f"aws rds describe-db-instances --db-instance-identifier {identifier}")
        return timedelta(seconds=values[0])


def to_info(said: Mapping[str, Any]) -> DatabaseInfo:
    """Return a database as RDS describes it."""
    return DatabaseInfo(
        said["DBInstanceIdentifier"],
        said["Engine"],
        said.get("EngineVersion", ""),
        said["DBInstanceStatus"],
        tuple(said.get("ReadReplicaDBInstanceIdentifiers", ())),
        bool(said.get("DeletionProtection")),
    )


def url_of(said: Mapping[str, Any], user: str) -> str:
    """Return the SQLAlchemy URL of a database without a password; PostgreSQL's asks for TLS, without which an IAM token is refused."""
    engine, place = said["Engine"], said["Endpoint"]
    dialect = next((found for name, found in _DIALECTS.items() if engine == name or engine.startswith(f"{name}-")), engine)
    name = said.get("DBName") or ("postgres" if dialect.startswith("postgresql") else "")
    options = "?sslmode=require" if dialect.startswith("postgresql") else ""
    return f"{dialect}://{quote(user, safe='')}@{place['Address']}:{place['Port']}/{quote(name, safe='')}{options}"
