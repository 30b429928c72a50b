"""Database: managed databases: what they are, how to connect, how far a replica lags."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mcml.core.secret import Secret


@dataclass(frozen=True)
class DatabaseInfo:
    """A database: engine and version, state, where its replicas are, whether it is protected from deletion."""

    name: str
    engine: str
    version: str
    state: str
    replicas: tuple[str, ...] = ()
    protected: bool = False


@dataclass(frozen=True)
class DatabaseAccess:
    """How to connect: a SQLAlchemy URL without a password, and the password or token apart."""

    url: str
    password: Secret | None = None


class Database(Protocol):
    """Databases of the target."""

    def describe(self, name: str = "") -> list[DatabaseInfo]:
        """Return the one of that name, or all; an empty list when there is none."""

    def access(self, name: str) -> DatabaseAccess:
        """Return how to connect. Raises NotFound, NotAuthenticated."""

    def replica_lag(self, name: str) -> timedelta | None:
        """Return how far the slowest replica is behind; None when there is no replica. Raises NotFound."""
