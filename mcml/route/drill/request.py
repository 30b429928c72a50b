"""A valid request for the load of a drill, built from what the model says about itself: over HTTP, or over gRPC."""

import http.client
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.core.open_inference import message
from mcml.core.v2 import zero_request
from mcml.route.drill.calls import Calling, ask, need_grpc, run_calls
from mcml.route.drill.load import Request, Sample, run_load, tls_context
from mcml.route.drill.plan import KEY_VARIABLE, Drill
from mcml.route.records import Running


class Load(Protocol):
    """Sends so many requests, so many at once; `halfway` is called when half of them are done."""

    def __call__(self, *, requests: int, concurrency: int, halfway: Callable[[], None] | None = None) -> list[Sample]:
        """Return one sample each."""


def load_for(drill: Drill, running: Running) -> tuple[Load, str]:
    """Return the load of a drill, and where it goes, in words.

    Raises NotFound for a model without metadata, NotAuthenticated where it asks for a key, Unavailable when it does not answer,
    InvalidRequest when its metadata are none.
    """
    if drill.protocol == "grpc":
        need_grpc()
        calling = Calling(running.address, running.port, drill.route, drill.headers, drill.authority, drill.identity)
        return partial(run_calls, calling, _call_body(calling)), f"calls of {drill.route} to {running.url} over gRPC"
    request = _http_request(drill, running)
    return partial(run_load, request), f"requests to {running.url}{request.path}"


def _http_request(drill: Drill, running: Running) -> Request:
    path = f"/v2/models/{drill.route}"
    connection = _connection(drill, running, urlsplit(running.url).port)
    try:
        connection.request("GET", path, headers=dict(drill.headers))
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as failed:
        message = f"the router at {running.url} does not answer"
        asks = "CERTIFICATE_REQUIRED" in str(failed)
        step = f"mcml route drill {drill.route} --cert FILE --key FILE" if asks else "mcml route status"
        raise Unavailable(message, why=str(failed), next_step=step) from failed
    finally:
        connection.close()
    sent = _body(drill.route, answer.status, body)
    return Request(running.address, running.port, f"{path}/infer", sent, drill.headers, drill.authority, drill.identity)


def _connection(drill: Drill, running: Running, port: int | None) -> http.client.HTTPConnection:
    if not running.tls:
        return http.client.HTTPConnection(running.address, port, timeout=30.0)
    return http.client.HTTPSConnection(running.address, port, timeout=30.0, context=tls_context(drill.authority, drill.identity))


def _body(route: str, status: int, metadata: bytes) -> bytes:
    if status == 404:
        raise NotFound(f"the model behind {route} gives no metadata", why=metadata[:300].decode(errors="replace"))
    if status in (401, 403):
        raise _kept_out(route, metadata[:300].decode(errors="replace").strip())
    if status != 200:
        raise _silent(route, f"{status}: {metadata[:300].decode(errors='replace')}")
    try:
        return json.dumps(zero_request(json.loads(metadata))).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise _strange(route, wrong) from wrong


def _call_body(calling: Calling) -> bytes:
    import grpc

    try:
        metadata = ask(calling, "ModelMetadata", name=calling.route)
    except grpc.RpcError as failed:
        why = f"{failed.code().name}: {failed.details()}"
        if failed.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
            raise NotFound(f"the model behind {calling.route} gives no metadata", why=why, next_step="mcml route status") from failed
        if failed.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise _kept_out(calling.route, why) from failed
        raise _silent(calling.route, why) from failed
    about = {"inputs": [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in metadata.inputs]}
    try:
        return call_of_zeros(calling.route, about)
    except (ValueError, KeyError, TypeError) as wrong:
        raise _strange(calling.route, wrong) from wrong


SIZES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2, "INT32": 4, "UINT32": 4, "FP32": 4,
         "INT64": 8, "UINT64": 8, "FP64": 8, "BYTES": 4}  # fmt: skip
"""Bytes of a zero in `raw_input_contents`; of BYTES it is an empty text, which is a length of 0 in four bytes (the gRPC form of the Open
Inference Protocol, "Raw Data")."""


def call_of_zeros(name: str, metadata: dict[str, Any]) -> bytes:
    """Return a ModelInferRequest of zeros that fits a model's v2 metadata. Raises KeyError for a datatype that there is not."""
    tensors: list[Any] = list(zero_request(metadata)["inputs"])  # type: ignore[call-overload]
    inputs = [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in tensors]
    raw = [bytes(SIZES[tensor["datatype"]] * len(tensor["data"])) for tensor in tensors]
    return bytes(message("ModelInferRequest")(model_name=name, inputs=inputs, raw_input_contents=raw).SerializeToString())


def _kept_out(route: str, why: str) -> McmlError:
    step = f"mcml route keys add drill --model {route}, then: export {KEY_VARIABLE}=TEXT"
    return NotAuthenticated(f"the load is not let in to {route}", why=why, next_step=step)


def _silent(route: str, why: str) -> McmlError:
    return Unavailable(f"the model behind {route} does not answer", why=why, next_step="mcml route status")


def _strange(route: str, wrong: Exception) -> McmlError:
    return InvalidRequest(f"the metadata of {route} is not of the v2 protocol", why=f"{type(wrong).__name__}: {wrong}")
