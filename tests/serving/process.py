"""The server as a real process of ours on a free port."""

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving.asgi import Reply

READY = re.compile(r"mcml\.serving: model \S+ version \S+ on http://127\.0\.0\.1:(\d+)(?: and grpc://\S+)?\n")


class Server:
    """A running `python -m mcml.serving`; its port is the one that the child itself printed, so it is surely ours."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self.child = child
        self._log = log
        self.port = self._wait_ready()

    @property
    def said(self) -> str:
        """What the process wrote to stderr so far."""
        return self._log.read_text()

    @property
    def said_on_stdout(self) -> str:
        """What the process wrote to stdout so far."""
        return self._log.with_suffix(".out").read_text()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): text for name, text in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def infer(self, document: Any) -> Reply:
        """POST a document to whatever model is served."""
        return self.ask("POST", "/invocations", json.dumps(document).encode())

    def wait_for(self, path: str, status: int) -> None:
        """Wait until GET answers this status."""
        end = time.monotonic() + 30
        while self.ask("GET", path).status != status:
            assert time.monotonic() < end, f"{path} never answered {status}"
            time.sleep(0.01)

    def _wait_ready(self) -> int:
        end = time.monotonic() + 60
        while (found := READY.search(self.said)) is None:
            assert self.child.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)
        return int(found[1])


@contextmanager
def serving(folder: Path, scratch: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """Serve a package while the block runs; whatever happens, the process is gone afterwards."""
    log = scratch / f"{folder.name}.log"
    argv = [sys.executable, "-m", "mcml.serving", "--model", str(folder), "--port", str(port), *options]
    with log.open("wb") as err, (scratch / f"{folder.name}.out").open("wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        yield Server(child, log)
    finally:
        child.kill()
        child.wait()
