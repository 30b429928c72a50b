"""Azure SQL databases against the ARM stub."""

import pytest

from mcml.core.errors import ProviderCannot
from mcml.providers.api.database import Database
from mcml.providers.azure.database import AzureDatabase
from mcml.providers.azure.session import Session
from mcml.testing.contracts.database import DatabaseContract
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.resources_world import SqlWorld


@pytest.fixture
def world(arm: ArmStub) -> SqlWorld:
    return SqlWorld(arm, {"sql1": ["orders", "users"], "sql2": []})


@pytest.fixture
def database(arm_session: Session, world: SqlWorld) -> AzureDatabase:
    return AzureDatabase(arm_session, "West Europe")


class TestDatabase(DatabaseContract):
    """The contract."""

    @pytest.fixture
    def database(self, arm_session: Session, world: SqlWorld) -> Database:
        return AzureDatabase(arm_session, "westeurope")

    @pytest.fixture
    def names(self) -> list[str]:
        return ["sql1/orders", "sql1/users"]


def test_entered_with_a_token(database: AzureDatabase) -> None:
    access = database.access("sql1/orders")
    assert access.url == "mssql+pyodbc://sql1.database.windows.net:1433/orders?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes"
    assert access.password is not None
    assert access.password.reveal().count(".") == 2


def test_replicas_are_told_and_how_far_they_are_behind_is_not(database: AzureDatabase, world: SqlWorld) -> None:
    world.databases["sql2"].append("orders")
    world.databases["sql3"] = ["orders"]
    world.replicate("sql1", "orders", "sql2")
    world.replicate("sql1", "orders", "sql3", "SEEDING", 40)
    (primary,) = database.describe("sql1/orders")
    assert primary.replicas == ("sql2/orders", "sql3/orders (seeding, 40%)")
    assert database.describe("sql2/orders")[0].replicas == ()
    assert database.replica_lag("sql2/orders") is None
    with pytest.raises(ProviderCannot) as caught:
        database.replica_lag("sql1/orders")
    assert "sys.dm_geo_replication_link_status" in caught.value.next_step
    assert "sql1.database.windows.net" in caught.value.next_step


def test_a_lock_protects(database: AzureDatabase, world: SqlWorld) -> None:
    for scope in (f"{id_of('Microsoft.Sql/servers', 'sql1')}/databases/orders", id_of("Microsoft.Sql/servers", "other")):
        id_ = f"{scope}/providers/Microsoft.Authorization/locks/keep"
        world.locks.append({"id": id_, "name": "keep", "properties": {"level": "CanNotDelete"}})
    assert {info.name: info.protected for info in database.describe()} == {"sql1/orders": True, "sql1/users": False}


def test_elsewhere_is_not_ours(arm_session: Session, world: SqlWorld) -> None:
    assert AzureDatabase(arm_session, "brazilsouth").describe() == []
