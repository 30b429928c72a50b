"""Open the store: SQLite in WAL mode with full sync by default, PostgreSQL by URL; one writer at a time appends to the journal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from mcml.core.errors import McmlError, Unavailable, Usage
from mcml.core.fact import Fact
from mcml.core.secret import hide_password
from mcml.store import journal, migrate
from mcml.store.journal import Entry, Query, Verdict

LOCK_KEY = 0x6D636D6C
"""The advisory lock that journal writers of one PostgreSQL database share ('mcml' in ASCII)."""

SQLITE_BUSY_SECONDS = 30


class Store:
    """The journal, incidents and prices of one project or team."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)
        self._ready = False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection for reading. Raises Unavailable when the database cannot be reached."""
        with self._translated():
            self._prepare()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection inside the one write transaction; it commits when the block ends well, else nothing is kept."""
        with self._translated():
            self._prepare()
            with self._writer() as connection:
                yield connection

    def append(self, *facts: Fact) -> list[Entry]:
        """Append facts to the journal in one transaction; when this returns they are on disk."""
        with self.writing() as connection:
            return [journal.append(connection, fact) for fact in facts]

    def entries(self, query: Query | None = None) -> list[Entry]:
        """Return journal entries, oldest first."""
        with self.reading() as connection:
            return journal.read(connection, query or Query())

    def verify(self) -> Verdict:
        """Check the whole chain of the journal."""
        with self.reading() as connection:
            return journal.verify(connection)

    def close(self) -> None:
        """Give back the database's connections."""
        self._engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(mcml_write=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            yield connection

    def _prepare(self) -> None:
        if self._ready:
            return
        with self._engine.connect() as connection:
            found = migrate.current(connection)
        if found != migrate.HEAD:
            with self._writer() as connection:
                migrate.upgrade(connection)
        self._ready = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as failed:
            raise Unavailable(
                f"cannot use the store {hide_password(self.url)}", why=_first_line(failed), next_step="mcml doctor"
            ) from failed
        except DBAPIError as failed:
            raise McmlError(f"the store {hide_password(self.url)} refused", why=_first_line(failed), next_step="mcml doctor") from failed


def _first_line(failed: DBAPIError) -> str:
    return str(failed.orig).strip().splitlines()[0] if str(failed.orig).strip() else type(failed.orig).__name__


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database or "")
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (ArgumentError, NoSuchModuleError) as wrong:
        raise Usage(f"store.url {hide_password(url)!r} is no database URL", why=str(wrong), next_step="mcml config show --origin") from wrong
    except ModuleNotFoundError as missing:
        raise Usage(f"store.url needs the Python package {missing.name!r}", next_step="pip install 'mcml[postgres]'") from missing
    raise Usage(
        f"store.url {hide_password(url)!r}: only sqlite and postgresql are supported", next_step="mcml config show --origin"
    )


def _sqlite(url: str, path: str) -> Engine:
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False})

    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl: pysqlite's own
    # transaction handling is switched off, and a writer takes the lock before it reads, so no append is lost to an upgrade of a lock.
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("mcml_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
