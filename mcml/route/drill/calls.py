"""A bounded load of gRPC calls: connections of their own that make the same ModelInfer call and count what comes back. Nothing is tried
twice, by gRPC either."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mcml.core.errors import McmlError, Unavailable
from mcml.core.open_inference import INFER, ROUTE_HEADER, SERVICE, message
from mcml.route.drill.load import REQUEST_SECONDS, Sample, count, tls_context

MOST_CHANNELS = 64
"""Connections; more calls at once share them, as HTTP/2 lets them."""

STATUSES = {"OK": 200, "INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404,
            "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}  # fmt: skip
"""The status over HTTP that stands for one of gRPC, so that both loads are counted alike; any other is a 500."""


@dataclass(frozen=True)
class Calling:
    """Where calls go: the route that they name, `headers` as metadata; over TLS when `authority` names a PEM file of whom to believe.

    `identity`: PEM files of the certificate that we show, and of its key.
    """

    host: str
    port: int
    route: str
    headers: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""
    identity: tuple[str, str] | None = None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return ((ROUTE_HEADER, self.route), *((name.lower(), value) for name, value in self.headers.items()))

    @property
    def address(self) -> str:
        """Where to connect to."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @cached_property
    def secure(self) -> tuple[Any, list[tuple[str, Any]]] | None:
        """Credentials and options for TLS; None: not at all. The name in the certificate is not compared: whatever it is, we expect it."""
        if not self.authority:
            return None
        import grpc

        name = self._name()  # which says what is wrong with the files
        certificate, key = map(_read, self.identity) if self.identity else (None, None)
        credentials = grpc.ssl_channel_credentials(_read(self.authority), key, certificate)
        return credentials, [("grpc.ssl_target_name_override", name)]

    def _name(self) -> str:
        context = tls_context(self.authority, self.identity)
        try:
            with socket.create_connection((self.host, self.port), timeout=10) as plain, context.wrap_socket(plain) as secured:
                about = secured.getpeercert() or {}
        except OSError as failed:
            raise Unavailable(f"the router at {self.address} does not answer", why=str(failed), next_step="mcml route status") from failed
        return str(next((name[1] for name in about.get("subjectAltName", ())), self.host))


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def need_grpc() -> None:
    """Raise McmlError with what to install where there is no gRPC."""
    try:
        import google.protobuf  # noqa: F401 - whether it is there
        import grpc.aio  # noqa: F401
    except ModuleNotFoundError as missing:
        raise McmlError(f"a load of gRPC calls needs {missing.name}", next_step="pip install 'mcml[serve]'") from missing


def ask(calling: Calling, method: str, **fields: object) -> Any:
    """Make one call (`ModelMetadata`) and return its answer. Raises grpc.RpcError."""
    import grpc

    secure = calling.secure
    channel = grpc.secure_channel(calling.address, *secure) if secure else grpc.insecure_channel(calling.address)
    with channel:
        call = channel.unary_unary(
            f"/{SERVICE}/{method}", message(f"{method}Request").SerializeToString, message(f"{method}Response").FromString
        )
        return call(message(f"{method}Request")(**fields), metadata=calling.metadata, timeout=30.0)


@dataclass
class _Run:
    calling: Calling
    body: bytes
    left: int
    halfway: Callable[[], None] | None
    halfway_at: int
    samples: list[Sample] = field(default_factory=list)
    task: asyncio.Future[None] | None = None


def run_calls(
    calling: Calling, body: bytes, *, requests: int, concurrency: int, halfway: Callable[[], None] | None = None
) -> list[Sample]:
    """Make `requests` calls with the message `body`, `concurrency` at once, and return one sample each, in the order they ended.

    `halfway` is called once, in a thread, when half of them are done; what it raises is raised when the load has ended.
    """
    run = _Run(calling, body, requests, halfway, requests // 2)
    asyncio.run(_all(run, concurrency))
    return run.samples


async def _all(run: _Run, concurrency: int) -> None:
    workers = min(concurrency, run.left)
    channels = [_channel(run.calling) for _ in range(min(workers, MOST_CHANNELS))]
    try:
        await asyncio.gather(*(_caller(run, channels[number % len(channels)].unary_unary(INFER)) for number in range(workers)))
        if run.task is not None:
            await run.task
    finally:
        for channel in channels:
            await channel.close()


def _channel(calling: Calling) -> Any:
    import grpc.aio

    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    if calling.secure:
        credentials, named = calling.secure
        return grpc.aio.secure_channel(calling.address, credentials, [*options, *named])
    return grpc.aio.insecure_channel(calling.address, options)


async def _caller(run: _Run, infer: Any) -> None:
    while run.left > 0:
        run.left -= 1
        count(run, await _sample(run, infer))


async def _sample(run: _Run, infer: Any) -> Sample:
    import grpc

    began = time.monotonic()
    call = infer(run.body, metadata=run.calling.metadata, timeout=REQUEST_SECONDS)
    try:
        await call
        code, words, told = "OK", "", _texts(await call.initial_metadata())
    except grpc.RpcError as failed:
        code, words = failed.code().name, failed.details() or ""
        told = _texts([*(failed.initial_metadata() or ()), *(failed.trailing_metadata() or ())])
    error = "" if code == "OK" else f"{code}: {words[:300]}"
    attempts = told.get("x-mcml-attempts", "1")
    return Sample(
        began, time.monotonic() - began, STATUSES.get(code, 500), told.get("x-mcml-backend", ""), int(attempts or 1), error
    )


def _texts(metadata: Sequence[tuple[str, Any]] | None) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}
