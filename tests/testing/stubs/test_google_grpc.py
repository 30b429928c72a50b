"""The stub for Google's gRPC-only APIs, asked by Google's own clients."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api.metric_pb2 import MetricDescriptor
from google.api_core.exceptions import (
    DeadlineExceeded,
    InternalServerError,
    MethodNotImplemented,
    ResourceExhausted,
    ServiceUnavailable,
    Unauthenticated,
)
from google.cloud.monitoring_v3 import AlertPolicyServiceClient, ListMetricDescriptorsResponse, MetricServiceClient
from google.protobuf.empty_pb2 import Empty

from mcml.testing.stubs.google_grpc import Call, Fail, Garble, GrpcError, GrpcStub, Wait

LIST = "/google.monitoring.v3.MetricService/ListMetricDescriptors"
DELETE = "/google.monitoring.v3.MetricService/DeleteMetricDescriptor"


@pytest.fixture
def stub() -> Iterator[GrpcStub]:
    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in ("", "good")) as stub:
        stub.on(LIST, lambda call: ListMetricDescriptorsResponse(metric_descriptors=[MetricDescriptor(type=call.request.name)]))
        yield stub


@pytest.fixture
def client(stub: GrpcStub) -> Iterator[Any]:
    with grpc.insecure_channel(stub.address) as channel:
        yield MetricServiceClient(transport=MetricServiceClient.get_transport_class("grpc")(channel=channel))


def ask(client: Any, **keywords: Any) -> list[str]:
    return [one.type for one in client.list_metric_descriptors(name="projects/p", retry=None, **{"timeout": 5, **keywords})]


def test_the_clients_request_reaches_the_handler_and_its_answer_the_client(stub: GrpcStub, client: Any) -> None:
    assert ask(client, metadata=[("authorization", "Bearer good")]) == ["projects/p"]
    (call,) = stub.requests
    assert (call.method, call.request.name, call.metadata["authorization"]) == (LIST, "projects/p", "Bearer good")
    assert stub.calls("ListMetricDescriptors") == [call]
    assert "good" not in repr(call)


def test_a_bad_token(client: Any) -> None:
    with pytest.raises(Unauthenticated):
        ask(client, metadata=[("authorization", "Bearer bad")])


def test_an_empty_answer(stub: GrpcStub, client: Any) -> None:
    stub.on(DELETE, lambda _: Empty())
    assert client.delete_metric_descriptor(name="projects/p/metricDescriptors/x") is None
    assert [(call.method, call.request.name) for call in stub.requests] == [(DELETE, "projects/p/metricDescriptors/x")]


def test_an_error_with_its_details(stub: GrpcStub, client: Any) -> None:
    def full(_: Call) -> None:
        raise GrpcError("RESOURCE_EXHAUSTED", "slow down", reason="RATE_LIMIT_EXCEEDED", metadata={"service": "s"}, delay=2.5)

    stub.on(LIST, full)
    with pytest.raises(ResourceExhausted) as told:
        ask(client)
    assert (told.value.message, told.value.reason, told.value.metadata) == ("slow down", "RATE_LIMIT_EXCEEDED", {"service": "s"})
    assert told.value.details[1].retry_delay.ToMilliseconds() == 2500


def test_the_script(stub: GrpcStub, client: Any) -> None:
    stub.script(Fail(GrpcError("UNAVAILABLE")), Fail(GrpcError("UNAVAILABLE"), reaches_server=True), Garble(), Wait(30))
    for error in (ServiceUnavailable, ServiceUnavailable, InternalServerError):
        with pytest.raises(error):
            ask(client)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        ask(client, timeout=0.2)
    assert time.monotonic() - began < 20
    assert (stub.unused, len(stub.requests)) == ([], 4)
    assert ask(client) == ["projects/p"]


def test_a_method_without_a_handler_and_a_wrong_answer_are_problems(stub: GrpcStub, client: Any) -> None:
    with pytest.raises(MethodNotImplemented):
        client.get_metric_descriptor(name="projects/p/metricDescriptors/x", retry=None)
    stub.on(LIST, lambda _: Empty())
    with pytest.raises(InternalServerError):
        ask(client)
    assert len(stub.problems) == 2
    assert "no handler for /google.monitoring.v3.MetricService/GetMetricDescriptor" in stub.problems[0]
    assert "is a Empty, not a ListMetricDescriptorsResponse" in stub.problems[1]
    stub.problems.clear()


def test_problems_fail_the_test() -> None:
    with pytest.raises(AssertionError, match="something"), GrpcStub(MetricServiceClient) as stub:
        stub.problems.append("something")


def test_a_method_that_no_client_has(stub: GrpcStub) -> None:
    with pytest.raises(KeyError):
        stub.on("/google.monitoring.v3.MetricService/NoSuch", lambda _: None)
