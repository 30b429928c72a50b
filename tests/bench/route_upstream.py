"""Fast model servers for the benchmarks of the router, all in one process: python -m tests.bench.route_upstream PORT...

Each port is a server of its own that says the same for every POST. What follows `--` is not read: the local provider finds a process by
a path on its command line. `POST /mode {"status": 503}` changes what a port does: `status`, `delay` (seconds), `reset`, `garbage`.
"""

import asyncio
import json
import sys
from typing import Any

from uvloop import new_event_loop

ROW = [round(0.001 * number, 3) for number in range(64)]
PAD = {"name": "pad", "shape": [1], "datatype": "BYTES", "data": ["." * 400]}
INPUTS = [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": ROW}, PAD]
REQUEST = json.dumps({"id": "bench", "inputs": INPUTS}).encode()
"""What is asked: 1 KB, as in most measurements of proxies."""

OUTPUTS = [{"name": "y", "shape": [1, 24], "datatype": "FP32", "data": ROW[:24]}]
ANSWER = json.dumps({"model_name": "fraud", "model_version": "1", "id": "bench", "outputs": OUTPUTS}).encode()
SIGNATURE = [{"name": "x", "shape": [-1, 64], "datatype": "FP32"}]
METADATA = json.dumps({"name": "fraud", "versions": ["1"], "platform": "bench", "inputs": SIGNATURE, "outputs": []}).encode()
CHAT = {"role": "assistant", "content": "." * 200}
COMPLETION = json.dumps(
    {
        "id": "bench",
        "object": "chat.completion",
        "created": 1,
        "model": "fraud",
        "choices": [{"index": 0, "message": CHAT, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


def answer(body: bytes, status: int = 200) -> bytes:
    """Return the bytes of an answer."""
    return b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body


INFER, READY, ABOUT, CHATTED = (answer(body) for body in (ANSWER, b'{"ready": true}', METADATA, COMPLETION))


def ends(head: bytes, received: bytes, start: int) -> int:
    """Return where a body that begins at `start` ends; 0 while that is not known (it comes in chunks, not all of which are here)."""
    if (at := head.find(b"\r\ncontent-length:")) >= 0:
        return start + int(head[at + 17 :].split(b"\r\n", 1)[0])
    if b"\r\ntransfer-encoding: chunked" not in head:
        return start
    while (line := received.find(b"\r\n", start)) >= 0:
        size = int(received[start:line], 16)
        start = line + 4 + size
        if not size:
            return start
    return 0


class Connection(asyncio.Protocol):
    """One connection to one port; `mode` is shared by all of a port."""

    def __init__(self, mode: dict[str, Any]) -> None:
        self.mode = mode
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport: Any = transport  # of a class of uvloop's own

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.received = received = self.received + data if self.received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[:end].lower()
            whole = ends(head, received, end + 4)
            if not 0 < whole <= len(received):
                break
            self.say(head.split(b" ", 2)[1], received[end + 4 : whole])
            received = received[whole:]
        self.received = received

    def say(self, path: bytes, body: bytes) -> None:
        """Answer one request."""
        if path == b"/mode":
            self.mode.clear()
            self.mode.update(json.loads(body))
            self.transport.write(READY)
        elif path.endswith(b"/infer"):
            self.infer()
        elif path.endswith(b"/chat/completions"):
            self.transport.write(CHATTED)
        else:
            self.transport.write(READY if path.endswith((b"/ready", b"/live")) else ABOUT)

    def infer(self) -> None:
        """Answer an inference as the mode says."""
        mode = self.mode
        if not mode:
            self.transport.write(INFER)
        elif mode.get("reset"):
            self.transport.abort()
        elif mode.get("garbage"):
            self.transport.write(b"\x00\xff not a protocol \xfe\r\n" * 8)
        else:
            said = INFER if mode.get("status", 200) == 200 else answer(b'{"error": "a bench"}', mode["status"])
            asyncio.get_running_loop().call_later(mode.get("delay", 0.0), self.late, said)

    def late(self, text: bytes) -> None:
        """Answer, unless the router has given up waiting."""
        if not self.transport.is_closing():
            self.transport.write(text)


async def serve(ports: list[int]) -> None:
    """Listen on all ports until the process ends."""
    loop = asyncio.get_running_loop()
    for port in ports:
        mode: dict[str, Any] = {}
        await loop.create_server(lambda mode=mode: Connection(mode), "127.0.0.1", port, backlog=512)  # type: ignore[misc]
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asked = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    asyncio.Runner(loop_factory=new_event_loop).run(serve([int(port) for port in asked]))
