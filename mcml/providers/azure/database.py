"""Databases on Azure: Azure SQL Database. https://learn.microsoft.com/rest/api/sql/databases

A database is named "server/database". It is entered with a Microsoft Entra token, which stands in the place of a password: of an ODBC
connection it is the attribute SQL_COPT_SS_ACCESS_TOKEN
(https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory). How far a geo-replica lags is told to those who are connected
to the primary only (sys.dm_geo_replication_link_status), and not by Resource Manager: `replica_lag` says which query.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from mcml.core.errors import NotFound, ProviderCannot
from mcml.core.secret import Secret
from mcml.providers.api.database import Database, DatabaseAccess, DatabaseInfo
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import ResourceId, pages, parse_id, plain_region, text
from mcml.providers.azure.locks import Lock, locks_of
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

SERVER = "Microsoft.Sql/servers"
SCOPE = "https://database.windows.net/.default"
PORT = 1433
LAG_QUERY = "SELECT partner_server, replication_lag_sec FROM sys.dm_geo_replication_link_status"


def open_database(ctx: ProviderContext) -> Database:
    """Return the databases of the context's region (of the whole subscription without one)."""
    return AzureDatabase(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


@dataclass(frozen=True)
class AzureDatabase:
    """Azure SQL databases, the servers' own `master` left out."""

    session: Session
    region: str = ""

    def describe(self, name: str = "") -> list[DatabaseInfo]:
        """Return the database of that name ("server/database"), or all. It is protected when a management lock is on it or above it."""
        found = list(self._find(name))
        locks = locks_of(self.session) if found else []
        links = {at: self._links(at) for at in {at for at, _, _ in found}}
        return [self._info(server, database, links[at], locks) for at, server, database in found]

    def access(self, name: str) -> DatabaseAccess:
        """Return the URL, and a token of our login (it is good for about an hour). Raises NotFound, NotAuthenticated."""
        _, server, database = self._one(name)
        token = self.session.call("log in to Azure SQL", lambda: self.session.credential.get_token(SCOPE)).token
        host = server.properties.fully_qualified_domain_name
        url = f"mssql+pyodbc://{host}:{PORT}/{quote(database.name)}?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes"
        return DatabaseAccess(url, Secret(token))

    def replica_lag(self, name: str) -> timedelta | None:
        """Return None when there is no replica. Raises NotFound, and ProviderCannot when there is one: only the database itself knows."""
        at, server, database = self._one(name)
        replicas = replicas_of(database.name, self._links(at))
        if not replicas:
            return None
        host = server.properties.fully_qualified_domain_name
        raise ProviderCannot(
            f"Azure does not tell how far the replicas of {name} are behind: {', '.join(replicas)}",
            why="the lag is in a view of the primary database, and not in Resource Manager",
            next_step=f'sqlcmd -G -S {host} -d {database.name} -Q "{LAG_QUERY}"',
        )

    @cached_property
    def _sql(self) -> Any:
        from azure.mgmt.sql import SqlManagementClient

        return self.session.management(SqlManagementClient)

    def _find(self, name: str) -> Iterator[tuple[ResourceId, Any, Any]]:
        """Yield the servers and databases of that name, or all; a server's name is the only one in Azure."""
        server_name, _, database_name = name.partition("/")
        here = plain_region(self.region)
        servers = list(pages(self.session, "list SQL servers", self._sql.servers.list()))
        for server in sorted(servers, key=lambda one: str(one.name)):
            at = parse_id(server.id, SERVER)
            if at is None or here not in ("", plain_region(server.location)) or (name and at.name.lower() != server_name.lower()):
                continue
            listing = self._sql.databases.list_by_server(at.group, at.name)
            for database in pages(self.session, f"list the databases of {at.name}", listing):
                if database.name != "master" and (not name or database.name == database_name):
                    yield at, server, database

    def _one(self, name: str) -> tuple[ResourceId, Any, Any]:
        found = next(self._find(name), None) if name else None
        if found is None:
            why = 'a database is named "server/database"' if "/" not in name else "there is none of this name"
            step = "az sql db list --server SERVER --resource-group GROUP --output table"
            raise NotFound(f"no database {name!r}", why=why, next_step=step)
        return found

    def _links(self, at: ResourceId) -> list[Any]:
        listing = self._sql.replication_links.list_by_server(at.group, at.name)
        return list(pages(self.session, f"list the replicas of {at.name}", listing))

    def _info(self, server: Any, database: Any, links: list[Any], locks: list[Lock]) -> DatabaseInfo:
        return DatabaseInfo(
            f"{server.name}/{database.name}",
            "mssql",
            str(server.properties.version),
            text(database.properties.status) or "unknown",
            replicas_of(database.name, links),
            any(lock.covers(database.id) for lock in locks),
        )


def replicas_of(database: str, links: list[Any]) -> tuple[str, ...]:
    """Return the replicas of a primary database, as "server/database", with what a link that does not keep up is doing."""
    own = [link.properties for link in links if link.id.split("/")[-3].lower() == database.lower()]
    primary = [said for said in own if text(said.role) == "Primary"]
    return tuple(sorted(f"{said.partner_server}/{said.partner_database}{_trouble(said)}" for said in primary))


def _trouble(said: Any) -> str:
    state = text(said.replication_state)
    if state in ("CATCH_UP", ""):
        return ""
    return f" ({state.lower()}, {said.percent_complete}%)" if said.percent_complete is not None else f" ({state.lower()})"
