"""A relay that a drill puts between the router and one backend, so that a backend can be seen to fail that nobody may really break.

It carries bytes of a drill only, on loopback, from the drill's own process: when that ends, the router goes back to the backend itself.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Self

from mcml.core.errors import Unavailable
from mcml.route.drill.modes import Mode

CHUNK = 65_536
GARBAGE = b"\x00\xff not a protocol \xfe\r\n" * 8
HEALTHY = ("/ready", "/live", "/ping")
"""How the paths of health checks end: a backend that answers 503 to requests is healthy all the same."""


class Relay:
    """Listens on a free port of loopback and passes on to `host:port`; `set` changes what it does, also for connections that stand.

    `refuses` is for gRPC, whose frames are not looked at: the port of loopback that it passes on to instead of answering 503 (0: none).
    """

    def __init__(self, host: str, port: int, *, delay: float = 1.0, refuses: int | None = None) -> None:
        self.port = 0
        self._to = host, port
        self._refuses = refuses
        self._delay = delay
        self._mode: Mode = "ok"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="route-relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def set(self, mode: Mode) -> None:
        """Change what the relay does, from now on."""
        self._call(self._change(mode))

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _change(self, mode: Mode) -> None:
        before, self._mode = self._mode, mode
        if mode in ("kill", "reset", "tls") or (self._refuses and "503" in (before, mode)):
            self._drop_all()
        if mode == "kill" and self._server is not None:
            self._server.close()
            self._server = None
        elif mode != "kill" and self._server is None:
            await self._listen()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._drop_all()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _drop_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, Unavailable):
            _reset(writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = ("127.0.0.1", self._refuses) if self._refuses and self._mode == "503" else self._to
        back_reader, back_writer = await asyncio.open_connection(*to)
        self._open.add(back_writer)
        answers = asyncio.create_task(self._answers(back_reader, writer))
        try:
            while data := await reader.read(CHUNK):
                if not await self._spoilt(data, reader, writer):
                    back_writer.write(data)
                    await back_writer.drain()
        finally:
            answers.cancel()
            self._open.discard(back_writer)
            back_writer.close()

    async def _answers(self, back_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await back_reader.read(CHUNK):
                await self._stopped()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _stopped(self) -> None:
        while self._mode == "stop":
            await asyncio.sleep(0.02)

    async def _spoilt(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what the mode says with bytes that came from the router; False: pass them on."""
        match self._mode:
            case "stop":
                await self._stopped()
                return False
            case "slow":
                await asyncio.sleep(self._delay)
                return False
            case "garbage" | "tls":
                writer.write(GARBAGE)
                await writer.drain()
                raise Unavailable("a drill")
            case "reset":
                raise Unavailable("a drill")
            case "503" | "429" if self._refuses is None:
                await _answer(int(self._mode), data, reader, writer)
                return True
            case _:
                return False


async def _answer(status: int, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one whole request, of which `data` is the beginning, with a status (health checks with 200)."""
    import h11

    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    target = b""
    try:
        while type(event := parser.next_event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA:
                parser.receive_data(await reader.read(CHUNK))
            elif isinstance(event, h11.Request):
                target = event.target
            elif isinstance(event, h11.ConnectionClosed):
                raise Unavailable("a drill")
    except h11.RemoteProtocolError as middle:  # the mode changed in the middle of a request
        raise Unavailable("a drill") from middle
    healthy = target.decode("latin-1").endswith(HEALTHY)
    body = b"{}" if healthy else b'{"error": "a drill"}'
    headers = [("content-length", str(len(body))), ("content-type", "application/json")]
    head = h11.Response(status_code=200 if healthy else status, headers=headers)
    for event in (head, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(parser.send(event) or b"")
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off with RST."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
