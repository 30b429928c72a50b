"""A server that stands for Google's gRPC-only APIs (Monitoring, Logging): handlers by method, messages by the client library's own types.

    def descriptors(call: Call) -> ListMetricDescriptorsResponse:
        if call.request.name != "projects/p":
            raise GrpcError("NOT_FOUND", "no such project")
        return ListMetricDescriptorsResponse(metric_descriptors=[...])

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient) as stub:
        stub.on("/google.monitoring.v3.MetricService/ListMetricDescriptors", descriptors)
        client = MetricServiceClient(transport=...(channel=grpc.insecure_channel(stub.address)))
        list(client.list_metric_descriptors(name="projects/p"))
        assert [call.method for call in stub.requests] == ["/google.monitoring.v3.MetricService/ListMetricDescriptors"]

Types and full names come from the clients' own gRPC transports, so what no such client can send or read is not served. Only calls with one
request and one answer. A method without a handler is answered with UNIMPLEMENTED; that, a wrong type and a handler's own exception are
`problems`, and leaving the `with` block with problems raises AssertionError. `script` makes the next calls fail or wait. Errors carry
ErrorInfo and RetryInfo as Google's do (https://google.aip.dev/193). A call needs `authorization: Bearer TOKEN` that `accepts` agrees to.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from mcml.testing.stubs.google_strict import Strict

WORKERS = 8


class GrpcError(Exception):
    """An error answer: status by name ("RESOURCE_EXHAUSTED"), text, ErrorInfo's `reason` and `metadata`, RetryInfo's `delay` in seconds."""

    def __init__(
        self, code: str, message: str = "", *, reason: str = "", metadata: Mapping[str, str] | None = None, delay: float | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.reason, self.metadata, self.delay = grpc.StatusCode[code], message, reason, metadata or {}, delay

    def status(self) -> bytes:
        """The error as `google.rpc.Status`, as it goes with the answer."""
        status = Status(code=self.code.value[0], message=self.message)
        if self.reason:
            status.details.append(_packed(ErrorInfo(reason=self.reason, domain="googleapis.com", metadata=dict(self.metadata))))
        if self.delay is not None:
            info = RetryInfo()
            info.retry_delay.FromNanoseconds(int(self.delay * 1e9))
            status.details.append(_packed(info))
        told: bytes = status.SerializeToString()
        return told


@dataclass(frozen=True)
class Fail:
    """The call ends with this error; with `reaches_server` the handler has done its work, and nobody hears what it said."""

    error: GrpcError
    reaches_server: bool = False


@dataclass(frozen=True)
class Wait:
    """The answer comes so many seconds late, or never if the client gives up; the handler has done its work before."""

    seconds: float


@dataclass(frozen=True)
class Garble:
    """The answer is no message of its type; the handler has done its work before."""


Fault = Fail | Wait | Garble


@dataclass(frozen=True)
class Call:
    """A call: the method's full name, the request as the client's type, the metadata (lower-case names)."""

    method: str
    request: Any
    metadata: Mapping[str, str] = field(repr=False)


Handler = Callable[[Call], Any]


class GrpcStub(Strict):
    """Listens on a free port of 127.0.0.1 from construction until `close`. `address` is host:port."""

    def __init__(self, *clients: Any, accepts: Callable[[str], bool] = bool) -> None:
        self.accepts = accepts
        self.requests: list[Call] = []
        self.problems: list[str] = []
        self._types = {method: types for client in clients for method, types in _types_of(client).items()}
        self._handlers: dict[str, Handler] = {}
        self._faults: deque[Fault] = deque()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._server = grpc.server(self._pool, handlers=[_Generic(self)], options=[("grpc.so_reuseport", 0)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def on(self, method: str, handler: Handler) -> None:
        """Let a handler answer a method by its full name. Raises KeyError for one that none of the clients has."""
        self._types[method]
        self._handlers[method] = handler

    def script(self, *faults: Fault) -> None:
        """Replace the script: one fault a call; forget the calls so far."""
        with self._lock:
            self._faults = deque(faults)
            self.requests.clear()

    @property
    def unused(self) -> list[Fault]:
        """The faults that have not happened yet."""
        return list(self._faults)

    def calls(self, method: str) -> list[Call]:
        """Return the calls of a method (a full name, or the end of one)."""
        return [call for call in self.requests if call.method.endswith(method)]

    def handler_of(self, method: str) -> Any:
        """Return gRPC's own handler of a method (for the server's threads)."""
        if method not in self._types:
            self.problems.append(f"no method of these clients: {method}")
            return None
        asked, answered = self._types[method]
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(method, answered, request, context),
            request_deserializer=asked.from_bytes,
            response_serializer=lambda answer: answer if isinstance(answer, bytes) else answered.to_bytes(answer),
        )

    def _answer(self, method: str, answered: "_Type", request: Any, context: Any) -> Any:
        call = Call(method, request, {name: str(value) for name, value in context.invocation_metadata()})
        with self._lock:
            self.requests.append(call)
            fault = self._faults.popleft() if self._faults else None
        if isinstance(fault, Fail) and not fault.reaches_server:
            _abort(context, fault.error)
        kind, _, token = call.metadata.get("authorization", "").partition(" ")
        if not self.accepts(token if kind == "Bearer" else ""):
            _abort(context, GrpcError("UNAUTHENTICATED", "Request had invalid authentication credentials."))
        answer = self._handled(call, answered, context)
        if isinstance(fault, Fail):
            _abort(context, fault.error)
        if isinstance(fault, Wait):
            self._closing.wait(fault.seconds)
        return b"\xff" if isinstance(fault, Garble) else answer

    def _handled(self, call: Call, answered: "_Type", context: Any) -> Any:
        try:
            if call.method not in self._handlers:
                raise LookupError(f"no handler for {call.method}")
            with self._lock:
                answer = self._handlers[call.method](call)
            if not isinstance(answer, answered.kind):
                raise TypeError(f"the answer of {call.method} is a {type(answer).__name__}, not a {answered.kind.__name__}")
        except GrpcError as error:
            _abort(context, error)
        except Exception as bug:  # noqa: BLE001 - of a test's own handler: told to the client and to the test
            self.problems.append(repr(bug))
            _abort(context, GrpcError("UNIMPLEMENTED" if isinstance(bug, LookupError) else "INTERNAL", repr(bug)))
        return answer

    def _stop(self) -> None:
        self._closing.set()
        self._server.stop(0.2).wait(10)
        self._pool.shutdown()


@dataclass(frozen=True)
class _Type:
    """A message type of a client library (proto-plus, or protobuf itself) and how it goes to bytes and back."""

    kind: Any

    def from_bytes(self, data: bytes) -> Any:
        return self.kind.deserialize(data)

    def to_bytes(self, message: Any) -> bytes:
        data: bytes = self.kind.serialize(message) if hasattr(self.kind, "serialize") else message.SerializeToString()
        return data


class _Recorder(grpc.Channel):  # type: ignore[misc]
    """A channel that sends nothing: a transport that is made with it tells its methods and their types."""

    def __init__(self) -> None:
        self.types: dict[str, tuple[_Type, _Type]] = {}

    def unary_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any) -> Any:
        asked = getattr(request_serializer, "__self__", None)
        if asked is not None and response_deserializer is not None:  # what all services have in common tells no type
            self.types[method] = (_Type(asked), _Type(response_deserializer.__self__))
        return lambda *_, **__: None

    def _streaming(self, *_: Any, **__: Any) -> Any:
        return lambda *_, **__: None

    unary_stream = stream_unary = stream_stream = _streaming

    def subscribe(self, *_: Any, **__: Any) -> None: ...

    def unsubscribe(self, *_: Any, **__: Any) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> "_Recorder":
        return self

    def __exit__(self, *_: object) -> None: ...


def _types_of(client: Any) -> dict[str, tuple[_Type, _Type]]:
    recorder = _Recorder()
    transport = client.get_transport_class("grpc")(channel=recorder)
    transport._logged_channel = recorder  # an interceptor stands before it, which asks only when a call is made
    transport._stubs.clear()
    for name in vars(type(transport)):
        if isinstance(vars(type(transport))[name], property):
            getattr(transport, name)
    return recorder.types


class _Generic(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, stub: GrpcStub) -> None:
        self._stub = stub

    def service(self, handler_call_details: Any) -> Any:
        return self._stub.handler_of(handler_call_details.method)


def _abort(context: Any, error: GrpcError) -> None:
    context.set_trailing_metadata((("grpc-status-details-bin", error.status()),))
    context.abort(error.code, error.message)


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
