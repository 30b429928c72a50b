"""The gRPC side of the v2 protocol beside HTTP, in the same process: its own port, but the same model, threads, counters and words.

A call is counted and logged under the HTTP status of the same outcome (`STATUS_OF`); probes and metadata are not counted, as over HTTP.
What gRPC itself refuses (a message of more than the limit and `HEADROOM`, an unknown method) never comes here and is not counted.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

from mcml.core.errors import Conflict
from mcml.core.open_inference import HEALTH_SERVICE, INFER, MODEL_HEADER, ROUTE_HEADER, SERVICE, message
from mcml.serving.app import MODEL_FAILED, App, access_line, body_too_large, unknown_model, unknown_version
from mcml.serving.codec import Refusal
from mcml.serving.grpc_codec import decode, encode, parse
from mcml.serving.model import Model

Code = grpc.StatusCode
STATUS_OF: Mapping[int, Any] = {
    400: Code.INVALID_ARGUMENT,
    404: Code.NOT_FOUND,
    413: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
}
HEADROOM = 1 << 20
"""Bytes above the limit that a message may have to be refused in our words; gRPC refuses a longer one before it is read."""

WATCH_SECONDS = 0.25
"""How often a watcher of our health is told when it changed."""

log = logging.getLogger("mcml.serving")


class GrpcServer:
    """GRPCInferenceService and grpc.health.v1 for the model of `app`, on a port of its own."""

    def __init__(self, app: App, model: Model, *, address: str, max_body: int, access: Callable[[bytes], None] | None = None) -> None:
        self._app = app
        self._model = model
        self._address = address
        self._max_body = max_body
        self._access = access
        self._pace = app.new_pace()
        self._server: Any = None

    async def start(self) -> None:
        """Take calls. Raises Conflict when the port is taken."""
        options = [
            ("grpc.so_reuseport", 0),  # otherwise two servers share the port, each with half of the calls
            ("grpc.max_receive_message_length", self._max_body + HEADROOM),
            ("grpc.max_send_message_length", -1),
        ]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((_Methods(self._handlers()),))
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as refused:
            raise Conflict(
                f"cannot listen on {self._address}", why="another program listens there", next_step="choose another --grpc-port"
            ) from refused
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Refuse further calls (UNAVAILABLE, which clients send elsewhere); those under way may take so many seconds."""
        if self._server is not None:
            await self._server.stop(seconds)

    def _handlers(self) -> dict[str, Any]:
        """Return what answers, by method; bodies come and go as bytes."""
        pages: dict[str, Page] = {
            "ServerLive": lambda *_: message("ServerLiveResponse")(live=True),
            "ServerReady": lambda *_: message("ServerReadyResponse")(ready=self._ready),
            "ServerMetadata": lambda *_: message("ServerMetadataResponse")(name="mcml", version=version("mcml")),
            "ModelReady": lambda body, context: self._model_ready(parse(body, "ModelReadyRequest"), context),
            "ModelMetadata": lambda body, context: self._metadata(parse(body, "ModelMetadataRequest"), context),
        }
        handlers = {f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(_page(answer)) for name, answer in pages.items()}
        handlers[INFER] = grpc.unary_unary_rpc_method_handler(self._infer)
        handlers[f"/{HEALTH_SERVICE}/Check"] = grpc.unary_unary_rpc_method_handler(_page(self._health))
        handlers[f"/{HEALTH_SERVICE}/Watch"] = grpc.unary_stream_rpc_method_handler(self._watch)
        return handlers

    # --- inference

    async def _infer(self, body: bytes, context: Any) -> bytes:
        started = time.perf_counter()
        status, answer, words = 500, b"", MODEL_FAILED
        self._app.metrics.in_flight += 1
        try:
            status, answer = 200, await self._app.work(body, lambda asked: self._run(asked, context), self._pace)
        except Refusal as refusal:
            status, words = refusal.status, refusal.text
        except asyncio.CancelledError:
            status = 499
            self._app.cut_off += self._app.draining  # else it was the client who hung up
            raise
        except Exception:
            log.exception("the model failed on a valid request")
        finally:
            self._app.metrics.in_flight -= 1
            self._app.count(status, started)
            if self._access:
                seconds = time.perf_counter() - started
                self._access(access_line("POST", INFER, status, seconds, len(answer), _host(context.peer())))
        if status != 200:
            await context.abort(STATUS_OF.get(status, Code.UNKNOWN), words)
        return answer

    def _run(self, body: bytes, context: Any) -> bytes:
        if len(body) > self._max_body:
            raise body_too_large(self._max_body)
        model = self._model
        asked = parse(body)
        self._check(asked.model_name, asked.model_version, context)
        request, raw = decode(asked, model.inputs, model.outputs)
        arrays = self._app.run(request)
        outputs = [model.outputs[name] for name in request.outputs]
        return encode(model.name, model.version, request.id, outputs, arrays, raw=raw)

    def _check(self, name: str, asked: str, context: Any) -> None:
        """Check which model and version is asked for. Raises Refusal (404).

        A route's own name passes for the model's when our router says that it chose that route and meant this model.
        """
        if name != self._model.name:
            said = dict(context.invocation_metadata() or ())
            if said.get(MODEL_HEADER) != self._model.name or said.get(ROUTE_HEADER) != name:
                raise Refusal(unknown_model(self._model, name), 404)
        if asked not in ("", self._model.version):
            raise Refusal(unknown_version(self._model, asked), 404)

    # --- what is said about the model and the server

    @property
    def _ready(self) -> bool:
        return not self._app.draining

    def _model_ready(self, asked: Any, context: Any) -> Any:
        self._check(asked.name, asked.version, context)
        return message("ModelReadyResponse")(ready=self._ready)

    def _metadata(self, asked: Any, context: Any) -> Any:
        self._check(asked.name, asked.version, context)
        return message("ModelMetadataResponse")(**self._model.metadata())

    def _health(self, body: bytes, _: Any) -> Any:
        asked = parse(body, "grpc.health.v1.HealthCheckRequest")
        if asked.service not in ("", SERVICE):
            raise Refusal(f"service: expected '{SERVICE}' or nothing, got '{asked.service[:100]}'", 404)
        return _health("SERVING" if self._ready else "NOT_SERVING")

    async def _watch(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        asked = parse(body, "grpc.health.v1.HealthCheckRequest")
        told = ""
        while not context.done():
            known = asked.service in ("", SERVICE)
            status = "SERVICE_UNKNOWN" if not known else "SERVING" if self._ready else "NOT_SERVING"
            if status != told:
                told = status
                yield _health(status).SerializeToString()
            await asyncio.sleep(WATCH_SECONDS)


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Handlers by the path of their method."""

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


Page = Callable[[bytes, Any], Any]
"""Returns a message for the body and context of a call."""


def _page(answer: Page) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """Return a handler for what is answered at once and not counted."""

    async def handle(body: bytes, context: Any) -> bytes:
        try:
            found: bytes = answer(body, context).SerializeToString()
        except Refusal as refusal:
            await context.abort(STATUS_OF[refusal.status], refusal.text)
            raise  # abort does not return
        return found

    return handle


def _host(peer: str) -> str:
    """Return the address in what gRPC calls a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")


def _health(status: str) -> Any:
    return message("grpc.health.v1.HealthCheckResponse")(status=status)
