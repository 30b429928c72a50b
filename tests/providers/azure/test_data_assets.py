"""Data assets of Azure ML: the contract and what is Azure's own, over the official SDK against a stub that its models judge."""

from collections.abc import Callable
from typing import Any

import pytest

from mcml.core.errors import NotAuthenticated, NotFound
from mcml.providers.api.data_assets import DataAssets
from mcml.providers.azure.data_assets import MlDataAssets, open_data_assets
from mcml.providers.azure.ml_workspace import Workspace
from mcml.testing.contracts.data_assets import DataAssetsContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, Reset
from tests.providers.azure.conftest import PASSING, MakeSession, management_session
from tests.providers.azure.ml_assets_stub import MlAssets
from tests.providers.azure.ml_stub import Ml

PLACE = "az://lake/train/"


@pytest.fixture
def stub(arm: ArmStub) -> MlAssets:
    return MlAssets(Ml(arm).serve()).serve()


def assets_at(make_session: MakeSession, url: str, **options: Any) -> MlDataAssets:
    return MlDataAssets(Workspace(management_session(make_session, url, **{"workspace": "ml", **options})))


@pytest.fixture
def assets(stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> MlDataAssets:
    return assets_at(make_session, arm.url)


class TestContract(DataAssetsContract):
    @pytest.fixture
    def assets(self, stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> DataAssets:
        return assets_at(make_session, arm.url)

    @pytest.fixture
    def place(self) -> str:
        return PLACE


@pytest.mark.parametrize(
    ("uri", "kind", "address"),
    [
        ("az://lake/tr ain/", "uri_folder", None),
        ("az://lake/train/", "uri_folder", "https://devstoreaccount1.blob.example/lake/train/"),
        ("az://lake/a+b.csv", "uri_file", "https://devstoreaccount1.blob.example/lake/a%2Bb.csv"),
        ("azureml://datastores/ds/paths/x/", "uri_folder", "azureml://datastores/ds/paths/x/"),
    ],
)
def test_what_azure_is_told(assets: MlDataAssets, stub: MlAssets, uri: str, kind: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(Exception, match="cannot register"):
            assets.register("fraud", uri, token="t")
        assert stub.data == {}
        return
    made = assets.register("fraud", uri, token="t")
    told = stub.data["fraud"][made.version]["properties"]
    assert (told["dataType"], told["dataUri"], told["properties"]) == (kind, address, {"mcml.uri": uri})
    assert made.uri == uri


def test_what_others_registered_is_not_ours(assets: MlDataAssets, stub: MlAssets) -> None:
    made = assets.register("fraud", PLACE, token="t")
    foreign = {**stub.data["fraud"][made.version], "name": "1"}
    stub.data["fraud"]["1"] = {**foreign, "properties": {**foreign["properties"], "properties": {}}}
    assert assets.list() == [made]
    with pytest.raises(NotFound):
        assets.describe("fraud", "1")


def test_somebody_registers_another_address_at_the_same_time(assets: MlDataAssets, stub: MlAssets) -> None:
    """Between our look and our call: what is there is not touched, and the token is said to be taken."""
    made = assets.register("fraud", f"{PLACE}first/", token="t")
    stub.ml.arm.fail(ArmError(404, "ResourceNotFound"), only=lambda request: request.method == "GET" and "/versions/" in request.path)
    with pytest.raises(Exception, match="cannot register") as refused:
        assets.register("fraud", PLACE, token="t")
    assert f"which is at {PLACE}first/" in refused.value.why  # type: ignore[attr-defined]
    assert assets.list() == [made]


def test_no_such_workspace(stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> None:
    gone = assets_at(make_session, arm.url, workspace="gone")
    for ask in (lambda: gone.list("x"), lambda: gone.describe("x"), lambda: gone.register("x", PLACE, token="t")):
        with pytest.raises(NotFound) as caught:
            ask()
        assert "workspaces/gone" in caught.value.why


METHODS: dict[str, Callable[[MlDataAssets, str], bool]] = {
    "register": lambda assets, version: assets.register("fraud", PLACE, token="t2").version != version,
    "list": lambda assets, version: [one.version for one in assets.list()] == [version],
    "describe": lambda assets, version: assets.describe("fraud", version).uri == PLACE,
    "delete": lambda assets, version: assets.delete("fraud", version),
}
FIRST: dict[str, Callable[[Any], bool]] = {
    "register": lambda request: request.method == "PUT",
    "list": lambda request: request.path.partition("?")[0].endswith("/data"),
    "describe": lambda request: request.method == "GET",
    "delete": lambda request: request.method == "DELETE",
}
ONCE: dict[str, tuple[Fault, ...]] = {**PASSING, "lost": (Reset(reaches_server=True), Answer(500, reaches_server=True))}


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    stub: MlAssets, assets: MlDataAssets, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, fault: str
) -> None:
    version = assets.register("fraud", PLACE, token="t1").version
    with FaultProxy(arm.url, **server_tls) as proxy:
        faulty = assets_at(make_session, proxy.url, **({"read_seconds": 0.6} if fault == "slow" else {}))
        proxy.script(*ONCE[fault], only=FIRST[method])
        assert METHODS[method](faulty, version)
        assert proxy.unused == []
    assert len(stub.data["fraud"]) == {"register": 2, "delete": 0}.get(method, 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(stub: MlAssets, assets: MlDataAssets, method: str) -> None:
    stub.ml.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        METHODS[method](assets, "0" * 16)
    assert caught.value.next_step == "az login"


def test_opening_asks_nothing(make_session: MakeSession, tmp_path: Any) -> None:
    from mcml.providers.api.spec import ProviderContext
    from mcml.providers.azure.settings import Settings

    assert isinstance(open_data_assets(ProviderContext(Settings(), tmp_path)), MlDataAssets)
