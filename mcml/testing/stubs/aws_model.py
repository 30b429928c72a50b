"""A server for the AWS services that no emulator has, driven by the SDK's own service models.

    with AwsModel("pricing", "ce") as stub:
        stub.on("pricing", "GetProducts", {"FormatVersion": "aws_v1", "PriceList": ["{}"]})
        stub.on("ce", "GetCostAndUsage", lambda request: {"ResultsByTime": months(request["TimePeriod"])})
        client = boto3.client("ce", endpoint_url=stub.url)      # or AWS_ENDPOINT_URL_COST_EXPLORER=stub.url for this one service
        assert stub.requests("ce", "GetCostAndUsage") == [{...}]

Every request is checked against the operation's input shape and every answer of a handler against its output shape: an unknown, missing or
wrongly typed field, or a value that the shape's enumeration lacks, is refused. A wrong request is answered 400 ValidationException. A wrong
answer, or a handler that fails, is answered 400 StubFailed and makes `close` (the end of the `with` block) raise: it is the test's fault,
and may not pass for AWS's. An operation without a handler is answered 501 with its name. A handler raises `AwsError` to answer an error.

Protocols: JSON, query, EC2 query, and REST JSON where everything is in the body. Signatures are not checked.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any

from botocore.loaders import create_loader
from botocore.model import OperationModel, ServiceModel
from botocore.validate import ParamValidator

from mcml.testing.stubs.aws_wire import AwsRequest, Wire, make_handler, wire_of

Handler = Callable[[dict[str, Any]], Mapping[str, Any]]
MOST_CALLS_KEPT = 10_000
_LOADER = create_loader()


class AwsError(Exception):
    """What a handler raises to answer an error of AWS."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Call:
    """A request that was understood: parameters under the model's names; timestamps are seconds since 1970 (JSON) or text."""

    service: str
    operation: str
    request: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)


class AwsModel:
    """Listens on a free port of 127.0.0.1 from construction until `close`. Safe to call from many threads; handlers run in theirs."""

    def __init__(self, *services: str) -> None:
        """Serve these services, by the SDK's names ("pricing", "ce", "compute-optimizer")."""
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS_KEPT)
        self.failures: list[str] = []
        self._models = {name: load_model(name) for name in services}
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(self.answer))
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="aws-model", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def on(self, service: str, operation: str, handler: Handler | Mapping[str, Any]) -> None:
        """Answer an operation so: always with this answer, or with what the function makes of the request's parameters."""
        self._models[service].operation_model(operation)  # an operation that the model lacks is a mistake in the test
        self._handlers[service, operation] = handler if callable(handler) else lambda _: handler

    def requests(self, service: str, operation: str) -> list[Mapping[str, Any]]:
        """Return the parameters of an operation's requests so far, oldest first."""
        return [call.request for call in list(self.calls) if (call.service, call.operation) == (service, operation)]

    def close(self) -> None:
        """Stop. Raises RuntimeError when a handler's answer was no answer of AWS: that was no fault of the code under test."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.failures:
            raise RuntimeError(f"the stub of AWS failed: {'; '.join(self.failures)}")

    def __enter__(self) -> "AwsModel":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def answer(self, request: AwsRequest) -> tuple[int, str, bytes]:
        """Return the status, the content type and the body for a request (for the connections' threads)."""
        for service, model in self._models.items():
            wire = wire_of(model, request)
            if wire is not None:
                try:
                    return 200, wire.content_type, self._answer(service, model, wire, request)
                except AwsError as refused:
                    return refused.status, wire.content_type, wire.error(refused.code, refused.message)
        target = request.headers.get("X-Amz-Target") or request.path
        return 501, "text/plain", f"no service of this stub is asked by {target}".encode()

    def _answer(self, service: str, model: ServiceModel, wire: Wire, request: AwsRequest) -> bytes:
        if wire.operation not in model.operation_names:
            raise AwsError("UnknownOperationException", f"{service} has no operation {wire.operation}", 404)
        operation = model.operation_model(wire.operation)
        asked = wire.decode(operation, request)
        if wrong := faults(asked, operation.input_shape):
            raise AwsError("ValidationException", f"{service} {wire.operation}: {wrong}")
        self.calls.append(Call(service, wire.operation, asked, dict(request.headers.items())))
        handler = self._handlers.get((service, wire.operation))
        if handler is None:
            raise AwsError("NotImplemented", f"no handler for {service} {wire.operation}", 501)
        return wire.encode(operation, self._handled(operation, handler, asked))

    def _handled(self, operation: OperationModel, handler: Handler, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"{operation.service_model.service_name} {operation.name}"
        try:
            answer = dict(handler(asked))
            wrong = faults(answer, operation.output_shape)
        except AwsError:
            raise
        except Exception as failed:  # noqa: BLE001 - a bug of the test: close() raises it
            wrong = f"the handler failed: {type(failed).__name__}: {failed}"
        if wrong:
            with self._lock:
                self.failures.append(f"{name}: {wrong}")
            raise AwsError("StubFailed", f"{name}: {wrong}")
        return answer


def load_model(service: str) -> ServiceModel:
    """Return the SDK's own description of a service."""
    return ServiceModel(_LOADER.load_service_model(service, "service-2"), service)


def faults(value: Any, shape: Any) -> str:
    """Say what is wrong with the parameters of a request or of an answer, by its shape; nothing when all is right."""
    if shape is None:
        return "" if not value else f"it has no parameters, not {sorted(value)}"
    wrong = ParamValidator().validate(value, shape)
    if wrong.has_errors():
        return " ".join(str(wrong.generate_report()).split())
    return "; ".join(_unknown_words(value, shape, shape.name))


def _unknown_words(value: Any, shape: Any, where: str) -> list[str]:
    """Name every string that the enumeration of its shape lacks: the SDK's own validator lets them pass."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return [word for name, part in value.items() for word in _unknown_words(part, shape.members[name], f"{where}.{name}")]
    if shape.type_name == "list":
        return [word for number, part in enumerate(value) for word in _unknown_words(part, shape.member, f"{where}[{number}]")]
    if shape.type_name == "map":
        return [word for key, part in value.items() for word in _unknown_words(part, shape.value, f"{where}[{key}]")]
    known = getattr(shape, "enum", ())
    return [f"{where} is {value!r}, not one of {', '.join(known)}"] if known and value not in known else []
