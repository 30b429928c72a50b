"""A little model server as a process of its own: `python upstream.py PORT NAME`. `POST /mode {...}` changes how it behaves.

It must be a process: the tests kill it with SIGKILL and stop it with SIGSTOP.
"""

import asyncio
import json
import sys
from typing import Any

METADATA = {"name": "fraud", "versions": ["1"], "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}], "outputs": []}


class Server(asyncio.Protocol):
    """One connection; the mode is shared by all."""

    mode: dict[str, Any] = {"status": 200, "delay": 0.0, "ready": 200, "headers": {}, "cut": False}  # noqa: RUF012 - shared on purpose
    name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""
        self.queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.worker = asyncio.get_running_loop().create_task(self.work())

    def connection_lost(self, _: Exception | None) -> None:
        self.worker.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].decode("latin-1")
            length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
            if len(self.received) < end + 4 + length:
                return
            self.queue.put_nowait((head, self.received[end + 4 : end + 4 + length]))
            self.received = self.received[end + 4 + length :]

    async def work(self) -> None:
        while True:
            head, body = await self.queue.get()
            status, answer = await self.answer(head, body)
            content = json.dumps(answer).encode()
            infer = head.split(" ")[1].endswith("/infer")
            more = "".join(f"{name}: {value}\r\n" for name, value in self.mode["headers"].items()) if infer else ""
            said = f"HTTP/1.1 {status} Said\r\n{more}content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
            cut = infer and self.mode["cut"]
            self.transport.write(said.encode() + (content[:-9] if cut else content))  # type: ignore[attr-defined]
            if cut:
                self.transport.close()
                return

    async def answer(self, head: str, body: bytes) -> tuple[int, object]:
        path = head.split(" ")[1]
        if path == "/mode":
            self.mode.update(json.loads(body))
            return 200, self.mode
        if path == "/v2/health/ready":
            return int(self.mode["ready"]), {"ready": True}
        if path.endswith("/infer"):
            await asyncio.sleep(self.mode["delay"])
            return int(self.mode["status"]), {"served_by": self.name, "path": path, "head": head, "bytes": len(body)}
        return 200, {**METADATA, "path": path}


async def main() -> None:
    Server.name = sys.argv[2]
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
