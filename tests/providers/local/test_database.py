"""Local databases: the contract, and that the address works."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.database import Database
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.database import open_database
from mcml.providers.local.volumes import define_database, define_disk
from mcml.testing.contracts.database import DatabaseContract
from tests.providers.local.conftest import MakeContext


@pytest.fixture
def ctx(make_context: MakeContext) -> ProviderContext:
    return make_context("eu-1", region="eu")


class TestLocalDatabase(DatabaseContract):
    @pytest.fixture
    def database(self, ctx: ProviderContext) -> Database:
        return open_database(ctx)

    @pytest.fixture
    def names(self, ctx: ProviderContext) -> list[str]:
        define_database(ctx, "journal")
        define_database(ctx, "incidents")
        return ["journal", "incidents"]


def test_the_url_connects(ctx: ProviderContext) -> None:
    define_database(ctx, "journal")
    access = open_database(ctx).access("journal")
    assert access.password is None
    engine = sqlalchemy.create_engine(access.url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table t (x integer)"))
        connection.execute(sqlalchemy.text("insert into t values (42)"))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select x from t")).scalar_one() == 42
        assert connection.execute(sqlalchemy.text("pragma journal_mode")).scalar_one() == "wal"
    engine.dispose()


def test_described_with_its_engine(ctx: ProviderContext) -> None:
    define_database(ctx, "journal")
    (info,) = open_database(ctx).describe()
    assert (info.name, info.engine, info.version, info.state) == ("journal", "sqlite", sqlite3.sqlite_version, "available")
    assert (info.replicas, info.protected) == ((), False)


def test_a_damaged_one_says_so(ctx: ProviderContext) -> None:
    path = define_database(ctx, "journal")
    path.write_bytes(b"no database at all, and long enough to be taken for one" * 30)
    assert [info.state for info in open_database(ctx).describe()] == ["damaged"]


def test_defined_again_it_keeps_its_rows(ctx: ProviderContext) -> None:
    with closing(sqlite3.connect(define_database(ctx, "journal"))) as db:
        db.execute("create table t (x)")
    with closing(sqlite3.connect(define_database(ctx, "journal"))) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("t",)]


def test_a_near_name_is_named(ctx: ProviderContext) -> None:
    define_database(ctx, "journal")
    with pytest.raises(NotFound) as caught:
        open_database(ctx).access("jornal")
    assert caught.value.why == "did you mean 'journal'?"


def test_a_disk_is_no_database(ctx: ProviderContext) -> None:
    define_disk(ctx, "models")
    assert open_database(ctx).describe() == []


def test_each_target_has_its_own(ctx: ProviderContext, make_context: MakeContext) -> None:
    define_database(ctx, "journal")
    us = make_context("us-1")
    assert open_database(us).describe() == []
    with pytest.raises(Conflict, match="journal"):
        define_database(us, "journal")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".x"])
def test_bad_names_are_refused(ctx: ProviderContext, name: str) -> None:
    with pytest.raises(InvalidRequest):
        define_database(ctx, name)


def test_a_folder_of_somebody_else_is_not_taken(ctx: ProviderContext, root: Path) -> None:
    (root / "databases" / "theirs").mkdir(parents=True)
    with pytest.raises(Conflict, match="theirs"):
        define_database(ctx, "theirs")
