"""gRPC through a real Envoy: which route a call is of, what it is told when none is, and that no call is lost when a backend is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcml.core.open_inference import SERVICE, message
from mcml.core.schema_routes import Route
from tests.route.grpc_rig import Client, GrpcUpstream, load
from tests.route.rig import BUSY, TARGETS, Rig, Upstream, ask, until


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Routes `fraud`, `public` (the same model) and `spam` speak both, `web` only HTTP."""
    upstreams = [GrpcUpstream(target) for target in TARGETS]
    routes = {
        "fraud": Route(protocol="both"),
        "public": Route(model="fraud", protocol="grpc"),
        "spam": Route(protocol="both"),
        "web": Route(model="fraud"),
    }
    with Rig(tmp_path_factory.mktemp("grpc") / "route", upstreams, routes=routes) as rig:
        rig.upstreams["spam"] = GrpcUpstream("eu-1", model="spam")
        rig.backends.append(rig.upstreams["spam"].backend)
        speaks(rig, "fraud", "spam")
        yield rig


@pytest.fixture
def only(tmp_path: Path) -> Iterator[Rig]:
    """One route that speaks gRPC, over three backends that the test may break."""
    upstreams = [GrpcUpstream(target) for target in TARGETS]
    with Rig(tmp_path / "route", upstreams, routes={"fraud": Route(protocol="grpc", per_try_timeout=1.0)}) as rig:
        speaks(rig, "fraud")
        yield rig


@pytest.fixture
def client(many: Rig) -> Iterator[Client]:
    with Client(many.running.port) as found:
        yield found


def speaks(rig: Rig, *models: str) -> None:
    """Wait until calls are answered."""
    with Client(rig.running.port) as client:
        for model in models:
            until(lambda model=model: client.infer(model).code == "OK", 20, f"no call to {model} is answered")  # type: ignore[misc]


def test_a_route_is_found_by_the_models_name_in_the_message(client: Client) -> None:
    for asked, served in (("fraud", "fraud"), ("spam", "spam"), ("public", "fraud")):
        answer = client.infer(asked)
        assert (answer.code, answer.message.model_name) == ("OK", asked)
        assert answer.message.id.split("@")[0] == served
        assert answer.metadata["x-mcml-backend"] == answer.message.id
        assert answer.metadata["x-mcml-attempts"] == "1"
        # our own server takes the route's name for its model's when the router says so
        assert (answer.told["x-mcml-route"], answer.told["x-mcml-model"]) == (asked, served)


def test_metadata_decides_before_the_message_does(client: Client) -> None:
    for key in ("x-mcml-route", "mm-model-id"):
        answer = client.infer("fraud", metadata=[(key, "spam"), ("x-mcml-model", "forged")])
        assert answer.message.id == "spam@eu-1"
        assert (answer.told["x-mcml-route"], answer.told["x-mcml-model"]) == ("spam", "spam")


def test_other_methods_name_their_model_too(client: Client) -> None:
    assert client.call("ModelReady", name="spam").message.ready is True
    assert client.call("ModelReady", name="nobody").code == "NOT_FOUND"
    assert client.call("ServerReady").message.ready is True


@pytest.mark.parametrize(
    ("model", "metadata"), [("nobody", []), ("", []), ("fraud", [("x-mcml-route", "nobody")]), ("fraud", [("mm-model-id", "web")])]
)
def test_a_call_of_no_route_is_not_found_and_the_routes_are_named(client: Client, model: str, metadata: list[tuple[str, str]]) -> None:
    answer = client.infer(model, metadata=metadata)
    assert answer.code == "NOT_FOUND"
    assert "x-mcml-route" in answer.words
    assert "fraud, public, spam" in answer.words
    assert answer.metadata["x-request-id"] in answer.words


def test_http_is_served_beside_it_and_a_grpc_route_has_none(many: Rig) -> None:
    assert many.infer("fraud").status == 200
    assert many.infer("web").status == 200
    assert many.infer("public").status == 404
    assert "x-mcml-route" not in many.infer("web").json["head"]


@pytest.mark.parametrize("size", [2_000_000, 15_000_000])
def test_a_large_message_is_read_and_passed_on(client: Client, size: int) -> None:
    assert client.infer("spam", size=size).message.parameters["bytes"].int64_param > size


def test_a_message_too_large_to_be_read_must_name_its_route(client: Client) -> None:
    answer = client.infer("spam", size=18_000_000)
    assert answer.code == "INVALID_ARGUMENT"
    assert "x-mcml-route" in answer.words
    assert client.infer("spam", size=18_000_000, metadata=[("x-mcml-route", "spam")]).code == "OK"


def test_above_the_hard_limit_is_resource_exhausted(client: Client) -> None:
    answer = client.infer("spam", size=34_000_000, metadata=[("x-mcml-route", "spam")])
    assert (answer.code, "larger than 32 MiB" in answer.words) == ("RESOURCE_EXHAUSTED", True)


def test_a_stream_passes_through(client: Client) -> None:
    kind = message("ModelInferRequest")
    stream = client.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", kind.SerializeToString, message("ModelInferResponse").FromString)
    asked = [kind(model_name="spam", id=str(number)) for number in range(3)]
    answers = [answer.id for answer in stream(iter(asked), metadata=[("x-mcml-route", "spam")], timeout=20)]
    assert answers == ["spam@eu-1:0", "spam@eu-1:1", "spam@eu-1:2"]


def test_a_method_that_no_server_has_is_unimplemented(client: Client) -> None:
    import grpc

    ask_for = client.channel.unary_unary(f"/{SERVICE}/RepositoryIndex")
    with pytest.raises(grpc.RpcError) as refused:
        ask_for(b"", metadata=[("x-mcml-route", "spam")], timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_routers_own_health_can_be_asked_for_over_grpc(client: Client) -> None:
    check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=20) == b"\x08\x01"


def test_kill_under_load_costs_no_call(only: Rig) -> None:
    """16 calls at once on one connection; one of three backends is killed with SIGKILL in the middle."""
    calls = load(only.running.port, 3000, halfway=lambda: only.upstreams["eu-1"].kill())
    assert [(call.code, call.words) for call in calls if call.code != "OK"] == []
    assert len(calls) == 3000
    only.fact("route.backend_down", "eu-1")
    until(lambda: only.weights().get("fraud@eu-1") == 0, 5, "the weight is not zero")
    late = load(only.running.port, 200)
    assert {call.metadata["x-mcml-backend"] for call in late} == {"fraud@eu-2", "fraud@us-1"}
    assert {call.metadata["x-mcml-attempts"] for call in late} == {"1"}


def test_unavailable_is_tried_elsewhere_and_takes_the_backend_out(only: Rig) -> None:
    """Its health check stays fine: only the status of its answers tells."""
    only.upstreams["us-1"].mode(grpc=14)
    calls = load(only.running.port, 600)
    assert [(call.code, call.words) for call in calls if call.code != "OK"] == []
    _, down = only.fact("route.backend_down", "us-1")
    assert "failed answers" in str(down.facts["reason"])
    assert "2" in {call.metadata["x-mcml-attempts"] for call in calls}


def test_internal_and_exhausted_are_tried_elsewhere_and_a_bad_request_is_not(only: Rig) -> None:
    for upstream in only.upstreams.values():
        upstream.mode(grpc=3)
    with Client(only.running.port) as client:
        answer = client.infer()
        assert (answer.code, answer.words) == ("INVALID_ARGUMENT", "as the mode says")
        assert answer.metadata.get("x-mcml-attempts", "1") == "1"
        for upstream in only.upstreams.values():
            upstream.mode(grpc=0)
        for status in (13, 8):  # internal, resource exhausted: what 500 and 429 are over HTTP
            only.upstreams["eu-1"].mode(grpc=status)
            assert {client.infer().code for _ in range(30)} == {"OK"}
    assert only.blamed() == []
    until(lambda: only.status("eu-1")["errors"], 5, "the errors that a retry hid are not counted")


def test_a_client_in_a_hurry_takes_no_backend_out(only: Rig) -> None:
    """Its deadline is shorter than an answer takes: that is no failure of the backends, which serve the others."""
    for upstream in only.upstreams.values():
        upstream.mode(delay=0.4)
    with Client(only.running.port) as client:
        codes = {client.call("ModelInfer", model_name="fraud", timeout=0.1).code for _ in range(40)}
        assert codes == {"DEADLINE_EXCEEDED"}
        assert client.infer().code == "OK"
    assert only.blamed() == []
    assert [only.status(target)["errors"] for target in TARGETS] == [0, 0, 0]


def test_all_backends_down_is_a_quick_unavailable_and_heals(only: Rig) -> None:
    for upstream in only.upstreams.values():
        upstream.kill()
    for target in only.upstreams:
        only.fact("route.backend_down", target)
    with Client(only.running.port) as client:
        answer = client.infer()
        assert (answer.code, answer.seconds < BUSY * 2.0) == ("UNAVAILABLE", True)
        assert "no backend of this model could answer" in answer.words
        assert answer.metadata["x-request-id"] in answer.words
        only.upstreams["eu-2"].start()
        until(lambda: client.infer().code == "OK", 15, "no recovery")


def test_a_hanging_backend_costs_time_but_no_call(only: Rig) -> None:
    import signal

    only.upstreams["eu-1"].kill(signal.SIGSTOP)
    calls = load(only.running.port, 200)
    assert [(call.code, call.words) for call in calls if call.code != "OK"] == []


def test_a_backend_without_grpc_gets_no_call(tmp_path: Path) -> None:
    """The route serves both: HTTP goes to both backends, calls to the one that speaks gRPC. That is said."""
    with Rig(tmp_path / "route", [GrpcUpstream("eu-1"), Upstream("eu-2")], routes={"fraud": Route(protocol="both")}) as rig:
        speaks(rig, "fraud")
        calls = load(rig.running.port, 40)
        assert {call.metadata["x-mcml-backend"] for call in calls} == {"fraud@eu-1"}
        assert {rig.infer().backend for _ in range(40)} == {"fraud@eu-1", "fraud@eu-2"}
        (said,) = [line for line in rig.told.lines if "gRPC" in line]
        assert said.startswith("fraud@eu-2")


def test_no_backend_that_speaks_it_is_unavailable(tmp_path: Path) -> None:
    with Rig(tmp_path / "route", [Upstream("eu-1")], routes={"fraud": Route(protocol="both")}) as rig:
        with Client(rig.running.port) as client:
            answer = client.infer()
        assert (answer.code, "no backend of the route fraud speaks gRPC" in answer.words) == ("UNAVAILABLE", True)
        assert rig.infer().status == 200


def test_a_call_to_a_router_without_grpc_routes_is_refused(shared: Any) -> None:
    with Client(shared.running.port) as client:
        assert client.infer().code == "UNIMPLEMENTED"
    assert ask(shared.running.port, "/v2").status == 200
