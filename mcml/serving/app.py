"""The HTTP side of the v2 protocol as a plain ASGI application: paths, bodies, headers, and an answer to everything."""

import asyncio
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from mcml.serving.codec import Array, InferRequest, Refusal, decode, encode, encode_error
from mcml.serving.metrics import CONTENT_TYPE, Metrics
from mcml.serving.model import Model

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

BODY_SECONDS = 60.0  # how long a client may take for the rest of a body
# A request is answered on the event loop itself while that is cheaper than a hop to a thread: measured at c=16 on two
# cores, inline wins 2:1 at 20 µs a run, loses 1:1.2 at 0.4 ms, 1:2 at 4.5 ms.
INLINE_SECONDS = 0.0003
INLINE_BODY = 65_536  # bytes; a larger one takes longer than that to read alone
JSON = b"application/json"
MODEL_FAILED = "the model failed on this input; the server's log has the reason"

log = logging.getLogger("mcml.serving")


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: Headers = ()


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Pace:
    """How long requests take: one that would hold up the event loop is answered in a thread. Each protocol has a pace of its own."""

    def __init__(self) -> None:
        self.typical = 0.0  # CPU seconds of a request, a moving average
        self._per_byte = 0.0  # and of a byte of its body: a batch takes longer than a row

    def holds_up(self, body: bytes) -> bool:
        """Tell whether this request would hold up the event loop, judged by those before it."""
        return len(body) > INLINE_BODY or max(self.typical, self._per_byte * len(body)) > INLINE_SECONDS

    def timed(self, body: bytes, turn: Callable[[bytes], bytes]) -> bytes:
        """Answer a body, and learn how long it takes."""
        # CPU time of this thread, not wall time: on a busy machine a wait is no sign of a slow model.
        started = time.thread_time()
        answer = turn(body)
        spent = time.thread_time() - started
        if len(body) <= INLINE_BODY:
            self.typical += 0.1 * (spent - self.typical)
            self._per_byte += 0.1 * (spent / max(len(body), 1) - self._per_byte)
        return answer


class App:
    """The ASGI application for one model. `draining` turns readiness false and asks clients to come back elsewhere."""

    def __init__(self, model: Model, metrics: Metrics, *, max_body: int, access: Callable[[bytes], None] | None = None) -> None:
        self.draining = False
        self.last_request = -math.inf  # when it came, on the clock of time.perf_counter; probes do not count
        self.cut_off = 0  # requests that were running when the time to drain was over
        self._model = model
        self.metrics = metrics
        if model.tokens:
            metrics.expect_tokens(entering=model.tokens.input is not None, leaving=model.tokens.output is not None)
        self._max_body = max_body
        self._access = access
        self._typical = 0.0  # CPU seconds of a run on zeros
        self._pace = Pace()
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="infer")
        self._headers: Headers = (
            (b"x-mcml-model", quote(model.name, safe=" /:@+,=").encode()),
            (b"x-mcml-version", quote(model.version, safe=" /:@+,=").encode()),
        )
        base = f"/v2/models/{model.name}"
        self._bases = (base, f"{base}/versions/{model.version}")
        self._infer_paths = frozenset({*(f"{path}/infer" for path in self._bases), "/invocations"})
        self._pages = self._all_pages()

    def warm_up(self) -> None:
        """Run the model a few times on zeros: the first request finds it warm, and its typical time is known.

        A model that fails on zeros is none the worse for it; its requests are answered beside the event loop.
        """
        try:
            spent = [_timed(lambda: self._model.run(self._model.sample(), list(self._model.outputs))) for _ in range(5)]
            self._typical = min(spent)
        except Exception:
            self._typical = INLINE_SECONDS
            log.debug("the model fails on zeros", exc_info=True)
        self._pace = self.new_pace()

    def new_pace(self) -> Pace:
        """Return the pace of a protocol, to begin with that of the model on zeros."""
        pace = Pace()
        pace.typical = self._typical
        return pace

    async def work(self, body: bytes, turn: Callable[[bytes], bytes], pace: Pace) -> bytes:
        """Answer a body by `turn`: here when that is quick, else in a thread."""
        if pace.holds_up(body):
            return await asyncio.get_running_loop().run_in_executor(self._pool, pace.timed, body, turn)
        return pace.timed(body, turn)

    def run(self, request: InferRequest) -> list[Array]:
        """Return the outputs that a request asks for, and count its tokens where the model says which they are.

        A run that fails counts none. Raises what onnxruntime raises.
        """
        tokens = self._model.tokens
        if tokens is None:
            return self._model.run(request.feeds, request.outputs)
        names = tokens.fetched(request.outputs)
        arrays = self._model.run(request.feeds, names)
        self.metrics.add_tokens(*tokens.count(request.feeds, dict(zip(names, arrays, strict=True))))
        return arrays[: len(request.outputs)]

    def close(self) -> None:
        """Take no more work for the threads; what runs there runs on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]
        if path in self._infer_paths and method == "POST":
            self.metrics.in_flight += 1
            try:
                answer = await self._inference(dict(scope["headers"]), receive)
                await self._reply(answer, send)
            except ClientGone:
                answer = Answer(499, b"")
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
            finally:
                self.metrics.in_flight -= 1
            counted = True
        else:
            page = self._pages.get(path) if method in ("GET", "HEAD") else None
            answer = page() if page else self._nowhere(method, path)
            await self._reply(answer, send)
            counted = page is None
        if counted:
            self.count(answer.status, started)
        if self._access:
            client = (scope.get("client") or ("",))[0]
            self._access(access_line(method, path, answer.status, time.perf_counter() - started, len(answer.body), client))

    def count(self, status: int, started: float) -> None:
        """Count an answered request: its HTTP status, and when it came, on the clock of time.perf_counter."""
        self.last_request = started
        self.metrics.finished(status, time.perf_counter() - started)

    async def _inference(self, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        try:
            _check_headers(headers)
            body = await _read_body(headers, receive, self._max_body)
            return Answer(200, await self.work(body, self._infer, self._pace))
        except Refusal as refusal:
            return Answer(refusal.status, encode_error(refusal.text))
        except ClientGone:
            raise
        except Exception:
            log.exception("the model failed on a valid request")
            return Answer(500, encode_error(MODEL_FAILED))

    def _infer(self, body: bytes) -> bytes:
        model = self._model
        request = decode(body, model.inputs, model.outputs)
        arrays = self.run(request)
        return encode(model.name, model.version, request.id, [model.outputs[name] for name in request.outputs], arrays)

    async def _reply(self, answer: Answer, send: Send) -> None:
        status, body, kind, extra = answer
        headers = [*self._headers, (b"content-type", kind), (b"content-length", b"%d" % len(body)), *extra]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _all_pages(self) -> dict[str, Callable[[], Answer]]:
        """Return what GET answers, by path."""
        model = self._model
        about = Answer(200, orjson.dumps(model.metadata()))
        server = Answer(200, orjson.dumps({"name": "mcml", "version": version("mcml"), "extensions": []}))
        pages: dict[str, Callable[[], Answer]] = {
            "/v2": lambda: server,
            "/v2/health/live": lambda: Answer(200, b'{"live":true}'),
            "/v2/health/ready": self._ready,
            "/ping": self._ready,
            "/metrics": lambda: Answer(200, self.metrics.render(), CONTENT_TYPE),
        }
        for base in self._bases:
            pages[base] = lambda: about
            pages[f"{base}/ready"] = lambda: self._ready(name=model.name)
        return pages

    def _ready(self, **more: str) -> Answer:
        return Answer(503 if self.draining else 200, orjson.dumps({**more, "ready": not self.draining}))

    def _nowhere(self, method: str, path: str) -> Answer:
        """Answer a request that no path or method fits: 405 where another method would do, 404 elsewhere."""
        allowed = "POST" if path in self._infer_paths else "GET, HEAD" if path in self._pages else ""
        if allowed:
            text = f"method: expected {allowed} for {path}, got {method}"
            return Answer(405, encode_error(text), headers=((b"allow", allowed.encode()),))
        return Answer(404, encode_error(_unknown_path(path, self._model)))


def _unknown_path(path: str, model: Model) -> str:
    """Say which part of a path is unknown: the model, its version, or the path as a whole."""
    parts = path[:500].split("/")
    if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
        rest = path.removeprefix(f"/v2/models/{model.name}")
        if rest == path or not rest.startswith("/"):
            return unknown_model(model, parts[3])
        if rest.startswith("/versions/") and not rest.startswith(f"/versions/{model.version}/"):
            return unknown_version(model, rest.split("/")[2])
    return f"path: expected for example POST /v2/models/{model.name}/infer or GET /v2/models/{model.name}, got {path[:100]}"


def unknown_model(model: Model, name: str) -> str:
    """Say that another model is served here."""
    return f"model: expected '{model.name}', got '{name[:100]}'"


def unknown_version(model: Model, version: str) -> str:
    """Say that another version is served here."""
    return f"version: expected '{model.version}' of model '{model.name}', got '{version[:100]}'"


def _check_headers(headers: dict[bytes, bytes]) -> None:
    if b"inference-header-content-length" in headers:
        raise Refusal("Inference-Header-Content-Length: binary tensor data is not supported here, expected a JSON body without it")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal("Content-Encoding: expected none, send the body as plain JSON", 415)


def body_too_large(limit: int) -> Refusal:
    """Build the refusal of a body of more than `limit` bytes."""
    return Refusal(f"body: expected at most {limit} bytes (the server's --max-body)", 413)


async def _read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Raises Refusal 413 or 408, ClientGone."""
    too_large = body_too_large(limit)
    if int(headers.get(b"content-length", b"0")) > limit:
        raise too_large
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message["body"]
    if message["more_body"]:
        body = await _rest(body, receive, limit)
    if len(body) > limit:
        raise too_large
    return body


async def _rest(first: bytes, receive: Receive, limit: int) -> bytes:
    """Read on until the body is whole or longer than `limit`."""
    body = bytearray(first)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(body) <= limit:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message["body"]
                if not message["more_body"]:
                    break
    except TimeoutError:
        raise Refusal(f"body: expected all of it within {BODY_SECONDS:g} seconds", 408) from None
    return bytes(body)


def access_line(method: str, path: str, status: int, seconds: float, size: int, client: str) -> bytes:
    """Return one line of the access log."""
    line = {
        "at": time.time(),
        "method": method,
        "path": path[:500],
        "status": status,
        "ms": round(seconds * 1000, 3),
        "bytes": size,
        "client": client,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _timed(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
