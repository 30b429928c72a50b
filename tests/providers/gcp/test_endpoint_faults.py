"""Vertex endpoints on bad days: faults on the way, refusals, slow answers, and what Vertex cannot hold."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mcml.core.errors import (
    InvalidRequest,
    McmlError,
    NotAuthenticated,
    NotFound,
    StillRunning,
    Unavailable,
    Usage,
)
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.gcp.endpoint import VertexEndpoint
from mcml.providers.resilience import Policy
from mcml.testing.stubs.faults import FaultProxy
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.disturb import SLOW, assert_undisturbed
from tests.providers.gcp.endpoint_rig import IMAGE, REGION, TARGET, a_request, endpoints, opened, stub, vertex
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.vertex_stub import Vertex

__all__ = ["endpoints", "stub", "vertex"]


@pytest.mark.parametrize(
    ("status", "said", "kind", "begins"),
    [
        ("FAILED_PRECONDITION", "No.", StillRunning, "it is not over after 60 s, and goes on; "),
        ("INVALID_ARGUMENT", "It is there already.", StillRunning, "it is not over after 60 s, and goes on; "),
        ("INVALID_ARGUMENT", "No.", InvalidRequest, ""),
    ],
)
def test_what_is_refused_to_the_end_says_why(
    endpoints: VertexEndpoint, stub: DiscoveryStub, monkeypatch: pytest.MonkeyPatch, status: str, said: str, kind: type[McmlError],
    begins: str,
) -> None:  # fmt: skip
    """After an answer that was lost a refusal may mean that the first call is at work, unless it says that the request is wrong; when it
    never ends, its words are told.
    """
    monkeypatch.setattr("mcml.providers.gcp.endpoint.DEPLOY_SECONDS", 60.0)  # an hour has hundreds of looks
    tries: list[Call] = []

    def refuse(call: Call) -> None:
        tries.append(call)
        if len(tries) == 1:
            raise GoogleError(503, "try later")
        raise GoogleError(400, said, status=status)

    stub.on("aiplatform.projects.locations.endpoints.deployModel", refuse)
    with pytest.raises(kind) as refused:
        endpoints.create(a_request("fraud", "1"))
    assert refused.value.why == f"{begins}Google answered 400: {said}"
    assert (len(tries) > 2) is (kind is StillRunning)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "1 2"}, "the version '1 2' is not made of"),
        ({"digest": "x" * 127}, "longer than the 127 characters"),
        ({"resources": {"gpu": "1"}}, "no resource 'gpu'"),
        ({"resources": {"replicas": "none"}}, "replicas = 'none' is no number"),
    ],
)
def test_what_vertex_cannot_hold_is_refused_first(
    endpoints: VertexEndpoint, stub: DiscoveryStub, change: dict[str, Any], said: str
) -> None:
    about = {"name": "fraud", "version": "1", "digest": "d", "source": f"{IMAGE}:1"}
    with pytest.raises(InvalidRequest) as refused:
        endpoints.create(EndpointRequest(**{**about, **change}))
    assert said in refused.value.why
    assert [call for call in stub.requests if call.body] == []


def test_a_source_that_is_nothing(endpoints: VertexEndpoint) -> None:
    with pytest.raises(NotFound) as missing:
        endpoints.create(a_request("fraud", "1", source="models/nothing"))
    assert missing.value.why == "'models/nothing' is neither a folder nor an image in a registry"


def test_a_target_without_a_region(make_session: MakeSession) -> None:
    with pytest.raises(Usage, match="Vertex AI needs a region"):
        opened(make_session(), "", TARGET).describe()


METHODS: dict[str, Callable[[VertexEndpoint], object]] = {
    "describe": lambda one: (one.describe(), one.describe("fraud")),
    "create": lambda one: one.create(a_request("fraud", "2", content=2)),
    "create a dead one again": lambda one: one.create(a_request("fraud", "1")),
    "create the first": lambda one: one.create(a_request("other", "1", content=2)),
    "shift_traffic": lambda one: one.shift_traffic("fraud", {"1": 100}),
    "invoke_target": lambda one: one.invoke_target("fraud").infer_path,
    "delete a version": lambda one: one.delete("fraud", "1"),
    "delete": lambda one: one.delete("fraud"),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(method: str, vertex: Vertex, stub: DiscoveryStub, make_session: MakeSession) -> None:
    opened(make_session(endpoint=stub.url), REGION, TARGET).create(a_request("fraud", "1"))
    if method == "delete a version":
        opened(make_session(endpoint=stub.url), REGION, TARGET).create(a_request("fraud", "2", content=2))
    if method == "create a dead one again":
        (endpoint,) = vertex.endpoints.values()
        endpoint["deployedModels"][0]["status"] = {"message": "container exited", "availableReplicaCount": 0}
    before = vertex.snapshot()
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=2.0)

        def run() -> tuple[object, object]:
            vars(vertex).update(vars(before.snapshot()))
            answer = METHODS[method](opened(session, REGION, TARGET))
            return answer, [_timeless(vertex.endpoints), _timeless(vertex.models), sorted(effect for effect, _ in vertex.effects.values())]

        assert_undisturbed(proxy, session, run)


def _timeless(things: dict[str, Any]) -> object:
    return json.loads(json.dumps(things), object_hook=lambda one: {key: value for key, value in one.items() if key != "createTime"})


def test_a_slow_answer_an_expired_token_and_no_rights(
    endpoints: VertexEndpoint, vertex: Vertex, stub: DiscoveryStub, google: GoogleStub, make_session: MakeSession
) -> None:
    endpoints.create(a_request("fraud", "1"))
    with FaultProxy(stub.url) as proxy:
        session = make_session(endpoint=proxy.url, timeout=0.5)
        hurried = opened(session, REGION, TARGET)
        assert hurried.describe()
        session.policy = Policy(attempts=1)
        proxy.script(SLOW)
        with pytest.raises(Unavailable) as late:
            hurried.describe()
        assert late.value.why == "no answer in time"
    google.tokens.clear()
    assert endpoints.describe("fraud")

    def forbidden(_: Any) -> None:
        raise GoogleError(403, "Permission 'aiplatform.endpoints.get' denied.", reason="forbidden")

    stub.on("aiplatform.projects.locations.endpoints.get", forbidden)
    with pytest.raises(NotAuthenticated) as refused:
        endpoints.describe("fraud")
    assert refused.value.why == "Google answered 403: Permission 'aiplatform.endpoints.get' denied."
