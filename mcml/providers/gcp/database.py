"""Databases on Cloud SQL: PostgreSQL, MySQL and SQL Server. A replica is a database of its own, and named at its primary.

https://cloud.google.com/sql/docs/postgres/iam-authentication: where IAM authentication is on, the user is the principal of our credentials
and the password a token for logging in only, good for an hour; elsewhere it is the engine's own first user, and no password is known.
https://cloud.google.com/sql/docs/postgres/admin-api/metrics: the lag of a replica, in seconds, is a metric of Cloud Monitoring.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.core.secret import Secret
from mcml.providers.api.database import Database, DatabaseAccess, DatabaseInfo
from mcml.providers.api.metrics import SeriesQuery, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.credentials import UNKNOWN_USER
from mcml.providers.gcp.identity import GcpIdentity
from mcml.providers.gcp.metrics import GcpMetrics
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.sql_admin import Json, SqlAdmin
from mcml.providers.resilience import Policy

LAG = "cloudsql.googleapis.com/database/replication/replica_lag"
LAG_WINDOW = timedelta(minutes=10)
LOGIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"
NAMES = {"POSTGRES": "postgresql", "MYSQL": "mysql", "SQLSERVER": "sqlserver"}


@dataclass(frozen=True)
class Engine:
    """How one connects: SQLAlchemy's dialect, the port, the first user, the database that is always there with its options."""

    dialect: str
    port: int
    user: str
    rest: str


ENGINES = {
    "postgresql": Engine("postgresql+psycopg", 5432, "postgres", "postgres?sslmode=require"),
    "mysql": Engine("mysql+pymysql", 3306, "root", ""),
    "sqlserver": Engine("mssql+pyodbc", 1433, "sqlserver", "master?driver=ODBC+Driver+18+for+SQL+Server"),
}


def open_database(ctx: ProviderContext) -> Database:
    """Return the databases of the target's region, or of all regions without one."""
    return GcpDatabase(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class GcpDatabase:
    """Cloud SQL instances of one project."""

    def __init__(self, session: Session, region: str = "") -> None:
        self._session = session
        self._region = region
        self._admin = SqlAdmin(session)

    def describe(self, name: str = "") -> list[DatabaseInfo]:
        """Return the one of that name, or all, by name. `state` is `available`, `stopped`, or Cloud SQL's own word in lower case."""
        if not name:
            return sorted((_info(one) for one in self._admin.instances() if self._is_here(one)), key=lambda info: info.name)
        try:
            return [_info(self._get(name))]
        except NotFound:
            return []

    def access(self, name: str) -> DatabaseAccess:
        """Return how to connect: over the public address if there is one, else over the private one.

        Raises NotFound, NotAuthenticated, InvalidRequest for one without an address.
        """
        found = self._get(name)
        engine, host = _engine(found), _host(found)
        if engine not in ENGINES or not host:
            why = "it has no address yet" if engine in ENGINES else f"its engine {engine} is not known"
            raise InvalidRequest(f"cannot connect to database {name!r}", why=why, next_step=f"gcloud sql instances describe {name}")
        how = ENGINES[engine]
        user, password = self._login(engine) if _is_iam(found) else (how.user, None)
        return DatabaseAccess(f"{how.dialect}://{quote(user, safe='')}@{host}:{how.port}/{how.rest}", password)

    def replica_lag(self, name: str) -> timedelta | None:
        """Return how far the slowest replica is behind, as last measured within ten minutes; None when there is no replica.

        Raises NotFound, Unavailable when a replica was not measured: it may be the slowest, and unknown is not zero.
        """
        lags = {replica: self._lag(replica) for replica in self._get(name).get("replicaNames", [])}
        known = [lag for lag in lags.values() if lag is not None]
        if unknown := [replica for replica, lag in lags.items() if lag is None]:
            why = f"{', '.join(unknown)} was not measured within {LAG_WINDOW}: it is stopped, or too new"
            if known:
                why += f"; the slowest of the others is {max(known).total_seconds():g} s behind"
            raise Unavailable(f"the replica lag of {name!r} is not known", why=why, next_step=f"gcloud sql instances describe {unknown[0]}")
        return max(known, default=None)

    def _lag(self, replica: str) -> timedelta | None:
        now = self._session.ctx.clock()
        which = SeriesQuery(LAG, {"resource.database_id": f"{self._session.project()}:{replica}"}, "maximum")
        points = GcpMetrics(self._session).query(which, Window(now - LAG_WINDOW, now, timedelta(minutes=1)))
        known = [point.value for point in points if point.value is not None]
        return timedelta(seconds=known[-1]) if known else None

    def _login(self, engine: str) -> tuple[str, Secret]:
        """Return the database user and the token of our principal. Raises NotAuthenticated."""
        principal = GcpIdentity(self._session).whoami().principal
        if principal == UNKNOWN_USER:
            why, step = "Google does not tell who the user is", "set impersonate_service_account under [providers.gcp] in mcml.toml"
            raise InvalidRequest("cannot log in to the database by IAM", why=why, next_step=step)
        user = principal.partition("@")[0] if engine == "mysql" else principal.removesuffix(".gserviceaccount.com")
        return user, Secret(self._session.call("cannot get a token for the database", self._token))

    def _token(self) -> str:
        """Return a token that is good for logging in to databases only, where the credentials can be narrowed so."""
        credentials = self._session.found.credentials
        if hasattr(credentials, "with_scopes"):
            credentials = credentials.with_scopes([LOGIN_SCOPE])
        if not credentials.valid:
            credentials.refresh(self._session.ask_for_token)
        return str(credentials.token)

    def _get(self, name: str) -> Json:
        found = self._admin.instance(name)
        if not self._is_here(found):
            raise NotFound(f"no database {name!r}", why=f"it is in {found.get('region')}, not in {self._region}")
        return found

    def _is_here(self, found: Json) -> bool:
        return self._region in ("", found.get("region", ""))


def _info(found: Json) -> DatabaseInfo:
    engine = _engine(found)
    version = found.get("databaseVersion", "").partition("_")[2].replace("_", ".")
    settings, state = found.get("settings", {}), found.get("state", "UNKNOWN").lower()
    if state == "runnable":
        state = "stopped" if settings.get("activationPolicy") == "NEVER" else "available"
    replicas = tuple(found.get("replicaNames", []))
    return DatabaseInfo(found["name"], engine, version or "unknown", state, replicas, bool(settings.get("deletionProtectionEnabled")))


def _engine(found: Json) -> str:
    kind = str(found.get("databaseVersion", "")).partition("_")[0]
    return NAMES.get(kind, kind.lower() or "unknown")


def _host(found: Json) -> str:
    addresses: dict[str, Any] = {one.get("type", ""): one.get("ipAddress", "") for one in found.get("ipAddresses", [])}
    return str(addresses.get("PRIMARY") or addresses.get("PRIVATE") or found.get("dnsName", ""))


def _is_iam(found: Json) -> bool:
    flags = {flag.get("name", "").replace(".", "_"): flag.get("value") for flag in found.get("settings", {}).get("databaseFlags", [])}
    return str(flags.get("cloudsql_iam_authentication", "")).lower() == "on"
