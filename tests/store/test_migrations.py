"""The migrations make exactly the tables that the code speaks of, on both databases."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.engine.interfaces import ReflectedIndex

from mcml.store import migrate
from mcml.store.db import Store
from mcml.store.tables import METADATA

VERSIONS = Path(migrate.__file__).parent / "migrations"


def test_the_newest_migration_is_the_head_that_the_code_knows() -> None:
    scripts = ScriptDirectory(str(VERSIONS))
    assert scripts.get_heads() == [migrate.HEAD]
    in_order = [script.revision for script in scripts.walk_revisions()][::-1]
    assert in_order == sorted(path.name[:4] for path in (VERSIONS / "versions").glob("0*.py"))


def test_migrated_tables_are_the_tables_of_the_code(store: Store) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_tables_made_without_migrations_have_the_same_shape(store: Store) -> None:
    """Alembic does not compare everything (a partial index's condition, a primary key): the database's own description does."""
    with store.reading() as connection:
        migrated = _shape(connection)
    with store.writing() as connection:
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        assert _shape(connection) == migrated


def _shape(connection: Connection) -> dict[str, object]:
    found = inspect(connection)
    return {
        table: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(table)},
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(_index(index) for index in found.get_indexes(table)),
            sorted(str(constraint["column_names"]) for constraint in found.get_unique_constraints(table)),
        )
        for table in METADATA.tables
    }


def _index(index: ReflectedIndex) -> str:
    options = {name: str(value) for name, value in sorted(index.get("dialect_options", {}).items())}
    return f"{index['name']} {index['column_names']} {index['unique']} {options}"


def test_an_upgrade_of_the_newest_changes_nothing(store: Store) -> None:
    store.append()
    with store.writing() as connection:
        assert migrate.current(connection) == migrate.HEAD
        migrate.upgrade(connection)
        assert migrate.current(connection) == migrate.HEAD
    assert store.verify().broken_at == 0
