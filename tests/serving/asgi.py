"""Ask the application without a server in between."""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcml.core.package import read_package
from mcml.serving.app import App
from mcml.serving.metrics import Metrics
from mcml.serving.model import load_model


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of the v2 error object, which must be all there is."""
        document = self.json
        assert list(document) == ["error"]
        assert isinstance(document["error"], str)
        return document["error"]


class Client:
    """An application for one package, and its counters."""

    def __init__(self, folder: Path, *, max_body: int = 100_000) -> None:
        package = read_package(folder)
        self.metrics = Metrics({"name": package.name, "version": package.version, "digest": package.digest})
        self.model = load_model(package)
        self.app = App(self.model, self.metrics, max_body=max_body)
        self.app.warm_up()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, chunk: int = 1 << 20) -> Reply:
        """Send one request, its body in chunks, and return the reply."""
        return asyncio.run(self._ask(method, path, body, headers or {}, chunk))

    def infer(self, document: object) -> Reply:
        """POST a document to the model."""
        return self.ask("POST", f"/v2/models/{self.model.name}/infer", json.dumps(document).encode())

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], chunk: int) -> Reply:
        parts = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        await self.app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
        start, content = sent
        return Reply(start["status"], {name.decode(): text.decode() for name, text in start["headers"]}, content["body"])
