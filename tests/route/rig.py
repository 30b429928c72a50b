"""A real router in a thread, with real little servers behind it, and what the tests ask of them."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mcml.core.backend import Backend
from mcml.core.clock import utc_now
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.process import free_port
from mcml.core.schema_routes import Route, Router
from mcml.route.drill.load import Request, Sample, run_load
from mcml.route.parts import Setup
from mcml.route.records import Running, read_running, read_status
from mcml.route.serve import serve
from mcml.route.weights.decide import FIRST_SIGHT

T = TypeVar("T")
TARGETS = ("eu-1", "eu-2", "us-1")
BUSY = 6
"""So many times longer than by itself a thing may take while other tests run beside it."""


class Upstream:
    """A model server as a process."""

    script = "upstream.py"

    def __init__(self, target: str, *, port: int = 0, model: str = "fraud", region: str = "nowhere") -> None:
        self.target = target
        self.model = model
        self.region = region
        self.port = port or free_port()
        self.start()

    @property
    def backend(self) -> Backend:
        return Backend(self.target, self.model, "127.0.0.1", self.port, "local", self.region, version="1")

    def start(self) -> None:
        argv = [sys.executable, str(Path(__file__).with_name(self.script)), str(self.port), self.target]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        with self.process.stdout as said:
            assert said.readline() == b"listening\n"

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def mode(self, **changes: object) -> None:
        ask(self.port, "/mode", json.dumps(changes).encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def backend(self) -> str:
        return self.headers.get("x-mcml-backend", "")


def ask(port: int, path: str, body: bytes | None = None, method: str = "", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, names)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Told:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, key: str, text: str) -> None:
        self.lines.append(f"{key}: {text}")

    def update(self, key: str, text: str) -> None:
        self.lines.append(f"{key}: {text}")

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        self.lines.append(f"{key}: {text}")

    def note(self, text: str) -> None:
        self.lines.append(text)


class Rig:
    """A router in a thread over `backends` (a list that a test may change), and the facts it told."""

    def __init__(
        self, folder: Path, upstreams: Sequence[Upstream], *, routes: Mapping[str, Route] | None = None, router: Router | None = None
    ) -> None:
        self.folder = folder
        self.upstreams = {one.target if one.model == "fraud" else one.backend.name: one for one in upstreams}
        self.backends = [one.backend for one in upstreams]
        self.prices: dict[str, PriceInfo] = {}
        self.overrides: list[Override] = []
        self.facts: list[tuple[float, Fact]] = []
        self.told = Told()
        self.store_is_down = False
        self.failure: BaseException | None = None
        self.stop = threading.Event()
        self.setup = Setup(
            folder,
            routes if routes is not None else {"fraud": Route()},
            router or Router(port=0),
            lambda: list(self.backends),
            lambda backend: self.prices.get(backend.name),
            self.emit,
            self.told,
            utc_now,
            overrides=lambda: list(self.overrides),
        )
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            serve(self.setup, self.stop)
        except BaseException as failed:  # noqa: BLE001 - the test that waits raises it
            self.failure = failed

    def emit(self, fact: Fact) -> None:
        if fact.facts.get(FIRST_SIGHT):
            return  # as the command does while no incident waits for it
        if self.store_is_down:
            raise OSError("the store is down")
        self.facts.append((time.monotonic(), fact))

    def __enter__(self) -> "Rig":
        self.thread.start()
        try:
            self.running = until(lambda: self._ready(), 20, "the router did not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _ready(self) -> Running | None:
        if self.failure:
            raise self.failure
        return read_running(self.folder)

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)
        for upstream in self.upstreams.values():
            upstream.close()
        assert not self.thread.is_alive()

    def infer(self, route: str = "fraud", body: bytes = b"{}", **headers: str) -> Answer:
        return ask(self.running.port, f"/v2/models/{route}/infer", body, **headers)

    def load(
        self, requests: int, concurrency: int = 16, halfway: Callable[[], None] | None = None, headers: Mapping[str, str] | None = None
    ) -> list[Sample]:
        request = Request("127.0.0.1", self.running.port, "/v2/models/fraud/infer", b'{"inputs": []}', headers or {})
        return run_load(request, requests=requests, concurrency=concurrency, halfway=halfway)

    def told_of(self, kind: str, target: str = "") -> list[tuple[float, Fact]]:
        return [(at, fact) for at, fact in self.facts if fact.kind == kind and (not target or fact.target == target)]

    def blamed(self) -> list[Fact]:
        """The outages that answers were blamed for. A little server that gets no processor for a while fails its health check besides."""
        downs = [fact for _, fact in self.told_of("route.backend_down")]
        return [fact for fact in downs if "health check" not in str(fact.facts["reason"])]

    def fact(self, kind: str, target: str = "", *, within: float = 10.0) -> tuple[float, Fact]:
        """Wait for a fact; return when it was told (monotonic) and the fact."""
        return until(lambda: next(iter(self.told_of(kind, target)[-1:]), None), within, f"no fact {kind} {target} among {self.facts}")

    def weights(self, route: str = "fraud") -> dict[str, float]:
        return {str(name): weight for name, weight in self.decided(route).items()}

    def decided(self, route: str) -> Mapping[str, Any]:
        found = [fact.facts["weights"] for _, fact in self.facts if fact.kind == "route.weights" and fact.facts["route"] == route]
        return found[-1] if found else {}  # type: ignore[return-value]

    def status(self, target: str) -> dict[str, Any]:
        found = [one for route in read_status(self.folder)["routes"] for one in route["backends"] if one["target"] == target]
        return dict(found[0])

    def obeyed(self) -> None:
        """Wait until Envoy says that it obeys the newest of what was written."""

        def same() -> bool:
            config = read_status(self.folder)["config"]
            return all(one["written"] == one["in_force"] for one in config.values())

        until(same, 10, "what was written is not in force")


def until(look: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    """Wait until `look` returns something; fail with a sentence when it does not in `seconds` of a machine that has little else to do."""
    end = time.monotonic() + BUSY * seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)
