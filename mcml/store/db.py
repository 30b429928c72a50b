"""Open the store: SQLite in WAL mode with full sync by default, PostgreSQL by URL; one writer at a time appends to the journal."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from mcml.core.errors import McmlError, Unavailable, Usage
from mcml.core.fact import Fact
from mcml.core.secret import hide_password
from mcml.store import journal, migrate, tables
from mcml.store.journal import Entry, Query, Verdict

LOCK_KEY = 0x6D636D6C
"""The advisory lock that journal writers of one PostgreSQL database share ('mcml' in ASCII)."""

LOCK_SECONDS = 30
"""How long a writer waits for the one before it."""


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
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
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
            message = f"cannot use the store {hide_password(self.url)}"
            raise Unavailable(message, why=_first_line(failed), next_step="mcml doctor") from failed
        except DBAPIError as failed:
            raise McmlError(f"the store {hide_password(self.url)} refused", why=_first_line(failed), next_step="mcml doctor") from failed


def _first_line(failed: DBAPIError) -> str:
    return str(failed.orig).strip().splitlines()[0] if str(failed.orig).strip() else type(failed.orig).__name__


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _wrong_url(url) from None  # the reason would show what stands where a port should: often a piece of the password
    if "@" in (parsed.host or ""):
        raise _wrong_url(url, "a password with @, : or / in it is written percent-encoded, or better kept in ~/.pgpass")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(parsed)
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(parsed)
    raise _wrong_url(url)


def _wrong_url(url: str, why: str = "expected sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE") -> Usage:
    return Usage(f"store.url {hide_password(url)!r} is no URL of a store", why=why, next_step="mcml config show --origin")


def _postgresql(url: URL) -> Engine:
    defaults = {name: value for name, value in {"connect_timeout": 10, "application_name": "mcml"}.items() if name not in url.query}
    try:
        engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, hide_parameters=True, connect_args=defaults)
    except ImportError as missing:
        raise Usage("PostgreSQL needs the Python package psycopg", why=str(missing), next_step="pip install 'mcml[postgres]'") from missing
    tables.on_postgresql()
    return engine


def _sqlite(url: URL) -> Engine:
    path = url.database or ""
    if path and path != ":memory:":
        _make_folder(Path(path).parent)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False})

    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl: pysqlite's own
    # transaction handling is switched off, and a writer takes the lock before it reads, so no append is lost to an upgrade of a lock.
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.text_factory = _decode
        cursor = connection.cursor()
        _switch_to_wal(cursor)
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("mcml_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Switch a new database to WAL. Another process may do the same at this moment, and for this lock SQLite itself does not wait."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as failed:
            if failed.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _decode(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")  # a damaged row must reach `verify`, not stop it


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise Unavailable(f"cannot make the store's folder {folder}", why=str(failed), next_step="mcml doctor") from failed
