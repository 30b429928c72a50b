"""The helper's HTTP side: Envoy asks here whether a request fits, and sends copies for the shadow. On loopback, in a thread of its own.

It is plain HTTP/1.1 over asyncio, for one speaker that we start ourselves. Nothing that is answered here reaches a client, except why a
request does not fit.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from mcml.core.errors import McmlError
from mcml.route.config.aside import CHECK_PREFIX

MOST_HEAD = 64 * 1024
MOST_BODY = 32 * 1024 * 1024
"""Bytes of a copy that are taken; of a longer one the connection is closed."""

SMALL = 16 * 1024
"""A body up to so many bytes is checked at once; a larger one in a thread, so that it holds up nobody."""


@dataclass(frozen=True)
class Heard:
    """A request that Envoy sent: header names in small letters."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        """The host it is for; of a copy, its route."""
        return self.headers.get("host", "")


Check = Callable[[Heard], str]
"""Returns why a request does not fit; empty when it does. Its path has no prefix."""

Copy = Callable[[Heard], None]


class Helper:
    """The server. `check` must not block; `copy` hands the copy over and returns at once."""

    def __init__(self, port: int, check: Check, copy: Copy) -> None:
        self.port = port
        self._check = check
        self._copy = copy
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="route-check")
        self._thread = threading.Thread(target=self._run, name="route-helper", daemon=True)

    def start(self) -> None:
        """Begin to listen. Raises McmlError when the port cannot be had."""
        self._thread.start()
        self._ready.wait(5.0)
        if self._failed is not None:
            raise McmlError(f"cannot listen on 127.0.0.1:{self.port}", why=str(self._failed), next_step="mcml route serve")

    def close(self) -> None:
        """Stop; Envoy then lets requests through unchecked."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=2.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MOST_HEAD))
        except OSError as failed:
            self._failed = failed
            self._loop.close()
            return
        finally:
            self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with suppress(RuntimeError):
            self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            while True:
                heard = await _hear(reader)
                status, text = await self._answer(heard)
                body = text.encode()
                writer.write(f"HTTP/1.1 {status} Said\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self, heard: Heard) -> tuple[int, str]:
        if not heard.path.startswith(CHECK_PREFIX):
            self._copy(heard)
            return 200, ""
        asked = Heard(heard.path.removeprefix(CHECK_PREFIX), heard.headers, heard.body)
        if len(heard.body) <= SMALL:
            why = self._check(asked)
        else:
            why = await asyncio.get_running_loop().run_in_executor(self._pool, self._check, asked)
        return (400, why) if why else (200, "")


async def _hear(reader: asyncio.StreamReader) -> Heard:
    """Read one request. Raises ValueError for what is no HTTP/1.1 request that Envoy would send, IncompleteReadError at the end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    _, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Heard(path, headers, await _chunks(reader))
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MOST_BODY:
        raise ValueError("too long")
    return Heard(path, headers, await reader.readexactly(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if size < 0 or len(body) + size > MOST_BODY:
            raise ValueError("too long")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)
