"""Azure ML online endpoints: the contract and what is Azure's own, over the official SDK against the stub of Azure Resource Manager."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, QuotaExceeded, Usage
from mcml.cost.meter.live import Doors, Place, look
from mcml.providers.api.endpoint import EndpointRequest, ModelEndpoint
from mcml.providers.api.endpoint_price import Priced
from mcml.providers.azure.endpoint import MlEndpoint, spread
from mcml.providers.azure.instances import AzureInstances
from mcml.providers.azure.ml_workspace import Workspace, ml_name
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.testing.contracts.endpoint import EndpointContract, MakeRequest, weights
from mcml.testing.contracts.object_store import content
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, Reset
from tests.providers.azure import prices_stub
from tests.providers.azure.azurite_server import Server
from tests.providers.azure.compute_world import ComputeWorld
from tests.providers.azure.conftest import PASSING, GivenToken, MakeSession, management_session
from tests.providers.azure.ml_stub import Ml

IMAGE = "acmeml.azurecr.io/models/fraud"


def request(name: str, version: str, *, content: int = 1) -> EndpointRequest:
    digest = f"sha256:{hashlib.sha256(str(content).encode()).hexdigest()}"
    return EndpointRequest(name, version, digest, f"{IMAGE}:{content}", environment={"LOG": "info"}, tags={"team": "risk"})


@pytest.fixture
def ml(arm: ArmStub) -> Ml:
    return Ml(arm).serve()


@pytest.fixture
def session(arm: ArmStub, make_session: MakeSession) -> Session:
    return management_session(make_session, arm.url, workspace="ml")


@pytest.fixture
def endpoints(ml: Ml, session: Session) -> MlEndpoint:
    return MlEndpoint(Workspace(session), "az-weu")


class TestContract(EndpointContract):
    @pytest.fixture
    def endpoints(self, ml: Ml, session: Session) -> ModelEndpoint:
        return MlEndpoint(Workspace(session), "az-weu")

    @pytest.fixture
    def make_request(self) -> MakeRequest:
        return request

    @pytest.fixture
    def broken_request(self) -> EndpointRequest:
        return EndpointRequest("fraud", "1", "sha256:0", f"{IMAGE}:broken")


def test_what_is_made(endpoints: MlEndpoint, ml: Ml) -> None:
    wanted = EndpointRequest("fraud", "1", "sha256:1", f"{IMAGE}:1", {"machine": "Standard_NC4as_T4_v3", "replicas": "2"}, {"LOG": "info"})
    made = endpoints.create(wanted)
    (endpoint,) = ml.endpoints.values()
    (deployment,) = ml.deployments[endpoint["name"]].values()
    assert endpoint["properties"]["authMode"] == "AADToken"
    assert endpoint["identity"] == {"type": "SystemAssigned"}
    assert endpoint["properties"]["traffic"] == {deployment["name"]: 100}
    assert deployment["sku"] == {"name": "Default", "capacity": 2}
    told = deployment["properties"]
    assert (told["instanceType"], told["environmentVariables"]) == ("Standard_NC4as_T4_v3", {"LOG": "info"})
    environment = ml.assets[told["environmentId"]]["properties"]
    assert environment["image"] == f"{IMAGE}:1"
    assert environment["inferenceConfig"]["scoringRoute"] == {"path": "/v2/models/fraud/infer", "port": 8080}
    assert made.variants[0].address == f"https://{endpoint['name']}.westeurope.inference.ml.azure.com"
    assert (made.variants[0].machine, made.variants[0].replicas) == ("Standard_NC4as_T4_v3", 2)


def test_it_costs_what_its_machines_do(arm: ArmStub, ml: Ml, make_session: MakeSession) -> None:
    """Azure ML takes nothing on top: the price is that of the VM, from the retail prices, and the plan's size is what is made."""
    ComputeWorld(arm)
    with prices_stub.serving() as url:
        session = management_session(make_session, arm.url, workspace="ml", prices=url)
        endpoints, instances = MlEndpoint(Workspace(session), "az-weu"), AzureInstances(session, "westeurope", "az-weu")
        resources = {"machine": "Standard_D4s_v3", "replicas": "3"}
        endpoints.create(replace(request("fraud", "1"), resources=resources))
        (held,) = look(Place("azure", "az-weu", "westeurope"), Doors(instances, endpoints=endpoints), lambda *sku: None, utc_now())
    assert not isinstance(endpoints, Priced)
    assert (held.machine, held.count, held.hourly, held.model) == ("Standard_D4s_v3", 3, Decimal("0.72"), "fraud")
    assert held.price is not None
    assert held.price.source == "price list of azure"
    size = endpoints.size(resources)
    assert (size.machine, size.type, size.replicas) == ("Standard_D4s_v3", "Standard_D4s_v3", 3)
    assert endpoints.size({}).machine == "Standard_DS3_v2"


def test_two_targets_do_not_see_each_other(endpoints: MlEndpoint, session: Session) -> None:
    other = MlEndpoint(Workspace(session), "az-neu")
    endpoints.create(request("fraud", "1"))
    assert other.describe() == other.describe("fraud") == []
    other.create(request("fraud", "1"))
    assert other.delete("fraud") is True
    assert [found.target for found in endpoints.describe()] == ["az-weu"]


def test_listings_over_more_pages(endpoints: MlEndpoint, ml: Ml) -> None:
    for name in ("a", "b", "c"):
        endpoints.create(request(name, "1"))
    for version in ("2", "3"):
        endpoints.create(request("b", version, content=int(version)))
    assert [(found.name, len(found.variants)) for found in endpoints.describe()] == [("a", 1), ("b", 3), ("c", 1)]


def test_where_requests_go(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    endpoints.create(request("fraud", "2", content=2))
    target = endpoints.invoke_target("fraud", "2")
    assert target.url.endswith(".westeurope.inference.ml.azure.com")
    assert (target.infer_path, target.health_path, target.auth) == ("/v2/models/fraud/infer", "/v2/health/ready", "bearer")
    assert target.headers == {"azureml-model-deployment": ml_name("2")}
    assert endpoints.invoke_target("fraud").headers == {"azureml-model-deployment": ml_name("1")}
    assert target.token is not None
    assert target.token.reveal() not in repr(target)


@pytest.mark.parametrize(("mode", "secret"), [("Key", "aml-key"), ("AMLToken", "aml-token")])
def test_an_endpoint_with_its_own_secret(endpoints: MlEndpoint, ml: Ml, mode: str, secret: str) -> None:
    endpoints.create(request("fraud", "1"))
    next(iter(ml.endpoints.values()))["properties"]["authMode"] = mode
    token = endpoints.invoke_target("fraud").token
    assert token is not None
    assert token.reveal() == secret


def test_the_token_is_for_azure_ml(arm: ArmStub, ml: Ml, make_session: MakeSession) -> None:
    given = GivenToken()
    endpoints = MlEndpoint(Workspace(management_session(make_session, arm.url, workspace="ml", credential=given)), "az-weu")
    endpoints.create(request("fraud", "1"))
    endpoints.invoke_target("fraud")
    assert given.asked[-1] == "https://ml.azure.com/.default"


def test_the_container_has_the_last_word(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    before = endpoints.describe("fraud")
    with pytest.raises(InvalidRequest, match="cannot deploy fraud version 2 on az-weu") as caught:
        endpoints.create(EndpointRequest("fraud", "2", "sha256:0", f"{IMAGE}:broken"))
    assert "User container has crashed" in caught.value.why
    assert caught.value.why.endswith("its log ends: ValueError: the model is cut off")
    assert endpoints.describe("fraud") == before


def test_no_quota_leaves_nothing(endpoints: MlEndpoint, ml: Ml) -> None:
    ml.refusal = ArmError(400, "UserError", "x")
    ml.refusal.reply.body["error"]["details"] = [{"code": "OutOfQuota", "message": "Not enough quota for Standard_DS3_v2: 0 of 4 cores."}]
    with pytest.raises(QuotaExceeded) as caught:
        endpoints.create(request("fraud", "1"))
    assert "0 of 4 cores" in caught.value.why
    assert "az ml compute list-usage" in caught.value.next_step
    assert ml.endpoints == {}


def test_the_reason_is_not_lost_when_nothing_can_be_taken_away(endpoints: MlEndpoint, ml: Ml) -> None:
    ml.arm.fail(ArmError(409, "ScopeLocked", "locked"), only=lambda request: request.method == "DELETE")
    with pytest.raises(InvalidRequest, match="cannot deploy fraud version 2 on az-weu") as caught:
        endpoints.create(EndpointRequest("fraud", "2", "sha256:0", f"{IMAGE}:broken"))
    assert "its log ends: ValueError: the model is cut off; what there is of it is left (a lock is on it" in caught.value.why


def test_a_failed_version_is_made_again(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    (running,) = ml.deployments.values()
    running[ml_name("1")]["properties"]["provisioningState"] = "Failed"
    assert endpoints.describe("fraud")[0].variants[0].state == "failed"
    assert endpoints.create(request("fraud", "1")).variants[0].state == "ready"


def test_the_first_that_comes_up_gets_the_traffic(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    (endpoint,), (running,) = ml.endpoints.values(), ml.deployments.values()
    running[ml_name("1")]["properties"]["provisioningState"] = "Failed"
    del endpoint["properties"]["traffic"]
    assert weights(endpoints.create(request("fraud", "2", content=2))) == {"1": 0, "2": 100}


def test_a_creation_that_was_cut_off_is_finished(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    (endpoint,) = ml.endpoints.values()
    del endpoint["properties"]["traffic"]
    endpoint["tags"] = {}
    again = endpoints.create(request("fraud", "1"))
    assert (weights(again), again.tags) == ({"1": 100}, {"team": "risk"})
    assert ml.writes.count("deployment") == 1


def test_traffic_goes_to_those_that_stay(endpoints: MlEndpoint, ml: Ml) -> None:
    for version in ("1", "2", "3"):
        endpoints.create(request("fraud", version, content=int(version)))
    endpoints.shift_traffic("fraud", {"1": 20, "2": 50, "3": 30})
    endpoints.delete("fraud", "2")
    assert weights(endpoints.describe("fraud")[0]) == {"1": 40, "3": 60}
    assert spread({}, ["a", "b"]) == {"b": 100}
    assert spread({"a": 1, "b": 1, "c": 1}, ["a", "b", "c"]) == {"a": 34, "b": 33, "c": 33}


def test_a_source_that_is_nothing(endpoints: MlEndpoint, ml: Ml) -> None:
    with pytest.raises(NotFound):
        endpoints.create(EndpointRequest("fraud", "1", "sha256:1", "no/such/folder"))
    with pytest.raises(InvalidRequest) as caught:
        endpoints.create(EndpointRequest("fraud", "1", "sha256:1", "azureml:fraud:7"))
    assert "serving_image" in caught.value.next_step
    with pytest.raises(InvalidRequest, match="cannot deploy"):
        endpoints.create(EndpointRequest("fraud", "1", "sha256:1", f"{IMAGE}:1", {"gpus": "1"}))
    with pytest.raises(InvalidRequest, match="cannot deploy"):
        endpoints.create(EndpointRequest("fraud", "1", "sha256:1", f"{IMAGE}:1", {"replicas": "0"}))
    assert ml.writes == []


def test_a_registered_model(arm: ArmStub, ml: Ml, make_session: MakeSession) -> None:
    session = management_session(make_session, arm.url, workspace="ml", serving_image="acmeml.azurecr.io/mcml-serving:1")
    MlEndpoint(Workspace(session), "az-weu").create(EndpointRequest("fraud", "1", "sha256:1", "azureml:fraud:7"))
    ((deployment,),) = [list(running.values()) for running in ml.deployments.values()]
    assert deployment["properties"]["model"].endswith("/workspaces/ml/models/fraud/versions/7")


def test_a_package_folder(arm: ArmStub, ml: Ml, azurite_tls: Server, make_session: MakeSession, tmp_path: Path, fresh_name: str) -> None:
    """The files go to the workspace's own container, as Azurite has it."""
    (tmp_path / "package" / "data").mkdir(parents=True)
    (tmp_path / "package" / "model.json").write_text("{}")
    (tmp_path / "package" / "data" / "weights").write_bytes(b"weights")
    (tmp_path / "package" / ".hidden").write_text("no")
    ml.container = fresh_name
    session = management_session(
        make_session, arm.url, workspace="ml", serving_image="acmeml.azurecr.io/mcml-serving:1", endpoint=azurite_tls.endpoint
    )
    session.service(ml.account).create_container(fresh_name)
    MlEndpoint(Workspace(session), "az-weu").create(EndpointRequest("fraud", "1", "sha256:12", str(tmp_path / "package")))
    store = AzureObjectStore(session)
    assert [stat.key.removeprefix("mcml/models/fraud/sha256-12/") for stat in store.list(fresh_name)] == ["data/weights", "model.json"]
    assert content(store, fresh_name, "mcml/models/fraud/sha256-12/data/weights") == b"weights"
    (model,) = [asset for path, asset in ml.assets.items() if "/models/" in path]
    assert model["properties"]["modelUri"].startswith("azureml://subscriptions/")
    assert model["properties"]["modelUri"].endswith("/workspaces/ml/datastores/workspaceblobstore/paths/mcml/models/fraud/sha256-12")


def test_no_workspace(arm: ArmStub, ml: Ml, arm_session: Session, make_session: MakeSession) -> None:
    with pytest.raises(Usage) as caught:
        MlEndpoint(Workspace(arm_session), "az-weu").describe()
    assert "set workspace in" in caught.value.next_step
    with pytest.raises(NotFound) as missing:
        MlEndpoint(Workspace(management_session(make_session, arm.url, workspace="gone")), "az-weu").describe("fraud")
    assert "workspaces/gone" in missing.value.why


def test_somebody_else_is_at_it(endpoints: MlEndpoint, ml: Ml) -> None:
    endpoints.create(request("fraud", "1"))
    endpoints.create(request("fraud", "2", content=2))
    ml.arm.fail(ArmError(409, "ConflictError", "Another operation is in progress."), only=lambda request: request.method == "PUT")
    with pytest.raises(Conflict):
        endpoints.shift_traffic("fraud", {"2": 100})
    assert weights(endpoints.describe("fraud")[0]) == {"1": 100, "2": 0}


METHODS: dict[str, Callable[[MlEndpoint], bool]] = {
    "describe": lambda endpoints: len(endpoints.describe()) == 1,
    "describe one": lambda endpoints: len(endpoints.describe("fraud")) == 1,
    "create": lambda endpoints: weights(endpoints.create(request("fraud", "3", content=3))) == {"1": 100, "2": 0, "3": 0},
    "create first": lambda endpoints: weights(endpoints.create(request("other", "1"))) == {"1": 100},
    "shift_traffic": lambda endpoints: weights(endpoints.shift_traffic("fraud", {"2": 100})) == {"1": 0, "2": 100},
    "invoke_target": lambda endpoints: bool(endpoints.invoke_target("fraud").token),
    "delete": lambda endpoints: endpoints.delete("fraud", "1") and weights(endpoints.describe("fraud")[0]) == {"2": 100},
    "delete all": lambda endpoints: endpoints.delete("fraud") and endpoints.describe() == [],
}
LOST: dict[str, Fault] = {"reset": Reset(reaches_server=True), "500": Answer(500, reaches_server=True)}
WRITES = {
    "create": ["asset mcml", "deployment"],
    "create first": ["endpoint", "asset mcml", "deployment", "endpoint"],
    "shift_traffic": ["endpoint"],
    "delete": ["endpoint", "delete deployment"],
    "delete all": ["delete endpoint"],
}


@pytest.fixture
def two(endpoints: MlEndpoint, ml: Ml) -> Ml:
    """An endpoint with two versions, of which nothing is counted."""
    endpoints.create(request("fraud", "1"))
    endpoints.create(request("fraud", "2", content=2))
    ml.writes.clear()
    return ml


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    two: Ml, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, fault: str
) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        slow = {"read_seconds": 0.6} if fault == "slow" else {}
        endpoints = MlEndpoint(Workspace(management_session(make_session, proxy.url, workspace="ml", **slow)), "az-weu")
        proxy.script(*PASSING[fault])
        assert METHODS[method](endpoints)
        assert proxy.unused == []
    assert two.writes == WRITES.get(method, [])


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("then", ["over", "going on"])
def test_a_write_whose_answer_is_lost_ends_well(
    two: Ml, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, lost: str, then: str
) -> None:
    """The first answer is lost; sent again the write meets its own effect, over (then it changes nothing) or still going on (409)."""
    busy = [ArmError(409, "ConflictError", "Another operation is in progress.").fault] if then == "going on" else []
    two.polls = 0
    with FaultProxy(arm.url, **server_tls) as proxy:
        endpoints = MlEndpoint(Workspace(management_session(make_session, proxy.url, workspace="ml")), "az-weu")
        proxy.script(LOST[lost], *busy, only=lambda request: request.method in ("PUT", "DELETE") and "/environments/" not in request.path)
        assert METHODS[method](endpoints)
        assert proxy.unused == []
    kinds = list(dict.fromkeys(two.writes))
    assert kinds == list(dict.fromkeys(WRITES[method]))
    assert len(ml_names(two)) == {"create": 3, "create first": 3, "shift_traffic": 2, "delete": 1, "delete all": 0}[method]


def ml_names(ml: Ml) -> list[str]:
    return [name for running in ml.deployments.values() for name in running]


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(two: Ml, endpoints: MlEndpoint, method: str) -> None:
    two.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        METHODS[method](endpoints)
    assert caught.value.next_step == "az login"
