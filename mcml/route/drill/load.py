"""A bounded load: keep-alive HTTP/1.1 connections that send the same request and count what comes back. Nothing is tried twice."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mcml.core.errors import Usage

if TYPE_CHECKING:
    import ssl

REQUEST_SECONDS = 60.0
"""A request that takes longer counts as failed."""


@dataclass(frozen=True)
class Sample:
    """One request: when it began (monotonic), how long it took, its status (0: no answer), who answered after how many attempts, and why
    it failed."""

    began: float
    seconds: float
    status: int
    backend: str = ""
    attempts: int = 1
    error: str = ""

    @property
    def ended(self) -> float:
        """When the answer was complete (monotonic)."""
        return self.began + self.seconds


@dataclass(frozen=True)
class Request:
    """What is sent: POST `body` as JSON to `path` on `host:port`; over TLS when `authority` names a PEM file of whom to believe.

    `identity`: PEM files of the certificate that we show, and of its key.
    """

    host: str
    port: int
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""
    identity: tuple[str, str] | None = None

    @property
    def wire(self) -> bytes:
        """The bytes of the request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"POST {self.path} HTTP/1.1", f"host: {host}:{self.port}", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join((*lines, f"content-length: {len(self.body)}", "", "")).encode() + self.body

    @property
    def tls(self) -> "ssl.SSLContext | None":
        """How to speak TLS; None: not at all. The name in the certificate is not compared: we connect to our own machine."""
        return tls_context(self.authority, self.identity) if self.authority else None


def tls_context(authority: str, identity: tuple[str, str] | None = None) -> "ssl.SSLContext":
    """Return what trusts the certificates of a PEM file, also one that is no authority; names are not compared.

    Raises Usage when the files of `identity` cannot be read, or do not belong together.
    """
    import ssl

    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    if identity:
        try:
            context.load_cert_chain(*identity)
        except (OSError, ssl.SSLError) as broken:
            why = f"{broken.strerror or broken} ({identity[0]}, {identity[1]})"
            raise Usage("the client certificate cannot be used", why=why, next_step="--cert and --key name two PEM files") from broken
    return context


@dataclass
class _Run:
    request: Request
    left: int
    halfway: Callable[[], None] | None
    halfway_at: int
    samples: list[Sample] = field(default_factory=list)
    task: asyncio.Future[None] | None = None


def run_load(request: Request, *, requests: int, concurrency: int, halfway: Callable[[], None] | None = None) -> list[Sample]:
    """Send `requests` over `concurrency` connections and return one sample each, in the order they ended.

    `halfway` is called once, in a thread, when half of them are done; what it raises is raised when the load has ended.
    """
    run = _Run(request, requests, halfway, requests // 2)
    asyncio.run(_all(run, concurrency))
    return run.samples


async def _all(run: _Run, concurrency: int) -> None:
    await asyncio.gather(*(_client(run) for _ in range(min(concurrency, run.left))))
    if run.task is not None:
        await run.task


async def _client(run: _Run) -> None:
    connection: _Connection | None = None
    try:
        while run.left > 0:
            run.left -= 1
            began = time.monotonic()
            try:
                connection = connection or await _connect(run.request)
                async with asyncio.timeout(REQUEST_SECONDS):
                    sample, keep = await connection.send(began)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as failed:  # a time-out is an OSError, too
                sample, keep = Sample(began, time.monotonic() - began, 0, error=str(failed) or type(failed).__name__), False
            if connection is not None and not keep:
                await connection.close()
                connection = None
            count(run, sample)
    finally:
        if connection is not None:
            await connection.close()


class Running(Protocol):
    """A load that runs: its samples so far, and what is to be called, once, when there are `halfway_at` of them."""

    samples: list[Sample]
    halfway: Callable[[], None] | None
    halfway_at: int
    task: asyncio.Future[None] | None


def count(run: Running, sample: Sample) -> None:
    """Take a sample."""
    run.samples.append(sample)
    if run.halfway is not None and run.task is None and len(run.samples) >= run.halfway_at:
        run.task = asyncio.ensure_future(asyncio.to_thread(run.halfway))


async def _connect(request: Request) -> "_Connection":
    reader, writer = await asyncio.open_connection(request.host, request.port, ssl=request.tls)
    return _Connection(request, reader, writer)


@dataclass(frozen=True)
class _Connection:
    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, began: float) -> tuple[Sample, bool]:
        """Send the request and read the whole answer; also tells whether the connection can be used again."""
        self.writer.write(self.request.wire)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.partition(" ")[2][:3])
        headers = _headers(head)
        body = await self._body(headers)
        error = "" if status == 200 else f"{status}: {body[:300].decode(errors='replace')}"
        attempts = int(headers.get("x-mcml-attempts", "1"))
        sample = Sample(began, time.monotonic() - began, status, headers.get("x-mcml-backend", ""), attempts, error)
        return sample, headers.get("connection", "").lower() != "close"

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        whole = b""
        while size := int((await self.reader.readline()).split(b";")[0], 16):
            whole += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return whole

    async def close(self) -> None:
        """Drop the connection; over TLS that takes a moment."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def _headers(head: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def percentile(seconds: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile of durations, in the unit they have; None of none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
