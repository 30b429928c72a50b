"""Opening the store: what is set on the database, what it costs, and how each thing that can be wrong with it is said."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from mcml.core.errors import Conflict, McmlError, Unavailable, Usage
from mcml.core.fact import Fact
from mcml.store import db, migrate
from mcml.store.db import Store
from tests.postgres import Server

FACT = Fact("test.written", "test", "", {"text": "x" * 200}, datetime(2026, 1, 1, tzinfo=UTC), "mira")


def test_sqlite_is_in_wal_mode_and_syncs_every_commit(sqlite_url: str) -> None:
    with Store(sqlite_url) as store, store.reading() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_postgresql_is_opened_with_psycopg_whatever_the_url_says(postgres_url: str) -> None:
    for scheme in ("postgresql", "postgresql+psycopg"):
        with Store(postgres_url.replace("postgresql+psycopg", scheme)) as store, store.reading() as connection:
            assert connection.dialect.driver == "psycopg"
            assert connection.execute(text("SHOW application_name")).scalar() == "mcml"


def test_a_store_in_memory_works(tmp_path: Path) -> None:
    with Store("sqlite://") as store:
        (entry,) = store.append(FACT)
        assert store.entries() == [entry]


def test_a_path_may_hold_what_means_something_in_a_url(tmp_path: Path) -> None:
    from mcml.core.schema import Settings
    from mcml.core.settings import Config

    project = tmp_path / "what? 100% #1 ü"
    config = Config(Settings(), project)
    with Store(config.store_url) as store:
        store.append(FACT)
    assert (project / ".mcml" / "mcml.db").is_file()


def test_readers_do_not_wait_for_a_writer(store_url: str) -> None:
    with Store(store_url) as one, Store(store_url) as other:
        one.append(FACT)
        with one.writing() as connection:
            connection.execute(text("SELECT 1"))
            assert len(other.entries()) == 1


def test_a_writer_that_waits_too_long_says_so(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOCK_SECONDS", 1)
    with Store(store_url) as one, Store(store_url) as other:
        one.append(FACT)
        other.entries()
        with one.writing(), pytest.raises(Unavailable, match="cannot use the store") as busy:
            other.append(FACT)
        assert "lock" in busy.value.why
        assert busy.value.next_step == "mcml doctor"
        assert other.append(FACT)[0].seq == 2


def test_opening_an_existing_store_imports_no_migrations(sqlite_url: str) -> None:
    with Store(sqlite_url) as store:
        store.append(FACT)
    code = (
        "import sys; from mcml.store.db import Store; from mcml.core.fact import Fact\n"
        "with Store(sys.argv[1]) as store: store.append(Fact('test.written', 'test'))\n"
        "print(*sorted({'alembic', 'duckdb', 'httpx', 'pydantic', 'psycopg', 'psutil', 'rich', 'typer'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code, sqlite_url], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


# What can be wrong with SQLite


def test_a_database_that_is_a_folder(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}") as store, pytest.raises(Unavailable, match=f"cannot use the store sqlite:///{tmp_path}") as wrong:
        store.append(FACT)
    assert wrong.value.why == "unable to open database file"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot make the store's folder") as wrong:
        Store(f"sqlite:///{tmp_path}/file/state/mcml.db")
    assert (wrong.value.next_step, wrong.value.why) == ("mcml doctor", f"[Errno 20] Not a directory: '{tmp_path}/file/state'")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "mcml.db"
    file.write_bytes(b"name = 'acme-ml'\n" * 500)
    with Store(f"sqlite:///{file}") as store, pytest.raises(McmlError, match=r"the store .* refused") as wrong:
        store.append(FACT)
    assert wrong.value.why == "file is not a database"
    assert file.read_bytes() == b"name = 'acme-ml'\n" * 500


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_whole_transactions_and_says_so(sqlite_url: str, tmp_path: Path) -> None:
    with Store(sqlite_url) as store:
        store.append(FACT)
        size = (tmp_path / "state" / "mcml.db-wal").stat().st_size
        kept = 1
        with file_size_limit(size + 100_000), pytest.raises(Unavailable, match="cannot use the store") as full:
            while kept < 1000:
                kept = store.append(*[FACT] * 20)[-1].seq
        assert (full.value.why, full.value.next_step) == ("disk I/O error", "mcml doctor")
        assert kept > 20
        assert (store.verify().rows, store.verify().broken_at) == (kept, 0)
        assert store.append(FACT)[0].seq == kept + 1
    with Store(sqlite_url) as store:
        assert (store.verify().rows, store.verify().broken_at) == (kept + 1, 0)


def test_a_disk_that_is_full_from_the_start_leaves_no_half_schema(sqlite_url: str) -> None:
    with Store(sqlite_url) as store:
        with file_size_limit(20_000), pytest.raises(Unavailable):
            store.append(FACT)
        assert store.append(FACT)[0].seq == 1


# The schema


def test_a_database_of_a_newer_mcml_is_left_alone(store_url: str) -> None:
    with Store(store_url) as store, store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with Store(store_url) as store:
        with pytest.raises(Conflict, match=f"the database has schema 9999, this mcml knows {migrate.HEAD}"):
            store.entries()
        with pytest.raises(Conflict) as newer:
            store.append(FACT)
    assert (newer.value.why, newer.value.next_step) == ("a newer mcml has written it", "pip install --upgrade mcml")


# The URL, and what must not be said about it

WRONG_URLS = [
    "",
    "rubbish",
    "mysql://u:sesame@host/db",
    "postgres://u:sesame@host/db",
    "postgresql+psycopg2://u:sesame@host/db",
    "postgresql+asyncpg://u:sesame@host/db",
    "sqlite+aiosqlite:///x.db",
    "postgresql://u:sesame@host:port/db",
    "postgresql://u:open@sesame:2@host/db",
    "postgresql://u:open@sesame@host/db",
    "postgresql://u:sesame@[::1/db",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_wrong_url_is_a_usage_error_without_the_password(url: str) -> None:
    with pytest.raises(Usage, match="is no URL of a store") as wrong:
        Store(url)
    assert wrong.value.why
    assert wrong.value.next_step == "mcml config show --origin"
    assert "sesame" not in everything_said(wrong.value)


def everything_said(error: McmlError) -> str:
    """What any screen, log or traceback of an error may show."""
    import traceback

    parts = [str(error), repr(error), error.why, error.next_step, *traceback.format_exception(error)]
    return "\n".join(parts)


def failures_of(server: Server, database: str, free: int) -> dict[str, str]:
    from urllib.parse import quote

    right, secret = server.url(database, user="with_password", password="sesame%&x"), quote("sesame%&x", safe="")
    return {
        "wrong password": right,
        "no such database": server.url("nowhere", password="sesame"),
        "nothing listens": f"postgresql+psycopg://u:{secret}@127.0.0.1:{free}/db",
        "password in the query": f"postgresql+psycopg://u@127.0.0.1:{free}/db?password=sesame",
        "no socket": "postgresql+psycopg://u:sesame@/db?host=/nowhere",
    }


def test_a_server_that_cannot_be_used_is_unavailable_and_its_password_unsaid(
    postgres_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    from mcml.core.process import free_port

    caplog.set_level(logging.DEBUG)
    with postgres_server.database() as name:
        for why, url in failures_of(postgres_server, name, free_port()).items():
            with Store(url) as store, pytest.raises(Unavailable, match="cannot use the store postgresql") as failed:
                store.append(FACT)
            assert failed.value.why, why
            assert failed.value.next_step == "mcml doctor"
            assert "sesame" not in everything_said(failed.value) + repr(store) + str(store) + caplog.text, why


def test_the_right_password_opens_the_store(postgres_server: Server) -> None:
    from tests.postgres import PASSWORD

    with postgres_server.database() as name:
        postgres_server.execute("GRANT ALL ON SCHEMA public TO with_password", name)
        with Store(postgres_server.url(name, user="with_password", password=PASSWORD)) as store:
            store.append(FACT)
            assert PASSWORD not in repr(store)
            with pytest.raises(McmlError) as refused, store.writing() as connection:
                connection.execute(text("DELETE FROM journal"))
        assert PASSWORD not in everything_said(refused.value)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://u@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"
        began = time.monotonic()
        with Store(url) as store, pytest.raises(Unavailable) as failed:
            store.entries()
    assert time.monotonic() - began < 25
    assert "timeout" in failed.value.why


def test_a_connection_that_dies_is_said_and_replaced(postgres_url: str) -> None:
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with Store(postgres_url) as store, Store(postgres_url) as other:
        store.append(FACT)
        with pytest.raises(Unavailable, match="cannot use the store"), store.writing() as connection:
            with other.reading() as killer:
                killer.execute(text(terminate))
            connection.execute(text("SELECT 1"))
        assert store.append(FACT)[0].seq == 2


def test_values_of_a_failed_statement_are_not_in_the_error(sqlite_url: str) -> None:
    value = "open sesame"
    with Store(sqlite_url) as store, pytest.raises(McmlError) as failed, store.writing() as connection:
        connection.execute(text("INSERT INTO price (sku) VALUES (:value)"), {"value": value})
    assert value not in everything_said(failed.value)
