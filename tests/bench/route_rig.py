"""What the benchmarks of the router share: a project whose models run on fast servers, its router as a person starts it, and its CPU.

The servers stand in the files of the local provider like any model that `mcml deploy model` started, so that the router finds them, asks
for them and prices them as always; only what answers is not `mcml.serving`, which would be the slowest part of every measurement.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from mcml.core.clock import parse_rfc3339
from mcml.core.process import free_port, reference
from mcml.providers.local.layout import usage_folder
from mcml.providers.local.variant import Run, variant_folder, write_run
from mcml.route.drill.load import Request, Sample, run_load
from mcml.route.records import Running, read_decisions, read_engine, read_running, read_status
from tests.bench.route_upstream import REQUEST

T = TypeVar("T")
BENCH = Path(__file__).parents[2] / ".bench"
ROOT = Path(__file__).parents[2]
VERSION = "1"
TARGETS = ("t0", "t1", "t2")
MODEL = "fraud"


class Upstream:
    """One process that serves some ports, each for a model on a target; it can be killed, stopped and started again on its ports."""

    def __init__(self, project: Path, places: Sequence[tuple[str, str]], ports: Sequence[int] = ()) -> None:
        self.places = tuple(places)
        self.ports = tuple(ports) or free_ports(len(places))
        self._root = project / ".mcml" / "local"
        self.start()

    def start(self) -> None:
        """Start the process and write down, as the local provider does, what it serves."""
        usages = [usage_folder(self._root, target, model, VERSION) / "bench.jsonl" for target, model in self.places]
        argv = [sys.executable, "-m", "tests.bench.route_upstream", *map(str, self.ports), "--", *map(str, usages)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        with self.process.stdout as said:
            if said.readline() != b"listening\n":
                raise RuntimeError("the servers of the benchmark do not start")
        known = reference(self.process.pid)
        for (target, model), port, usage in zip(self.places, self.ports, usages, strict=True):
            folder = variant_folder(self._root, target, model, VERSION)
            folder.mkdir(parents=True, exist_ok=True)
            write_run(Run(folder, VERSION, "0" * 64, port, usage, datetime(2026, 1, 1, tzinfo=UTC), tuple(argv), known, confirmed=True))

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGKILL it is gone."""
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def mode(self, **changes: object) -> None:
        """Change how all its ports answer; without arguments as they should."""
        for port in self.ports:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/mode", json.dumps(changes).encode())
            connection.getresponse().read()
            connection.close()

    def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@dataclass
class Project:
    """A project folder of a benchmark."""

    folder: Path
    ups: list[Upstream] = field(default_factory=list)

    @property
    def route(self) -> Path:
        """The folder of its router."""
        return self.folder / ".mcml" / "route"

    def mcml(self, *argv: str) -> str:
        """Run a command as a person would, and return what it printed."""
        command = [sys.executable, "-m", "mcml", *argv]
        done = subprocess.run(command, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mcml {' '.join(argv)}: {done.stderr[-2000:]}")
        return done.stdout

    @property
    def running(self) -> Running:
        """Its router. Raises RuntimeError when there is none."""
        found = read_running(self.route)
        if found is None:
            raise RuntimeError("the router of the benchmark does not run")
        return found

    @property
    def python(self) -> int:
        """The pid of what decides."""
        return self.running.process.pid

    @property
    def envoy(self) -> int:
        """The pid of what carries the requests. Raises RuntimeError when there is none."""
        found = read_engine(self.route)
        if found is None:
            raise RuntimeError("the proxy of the benchmark does not run")
        return found.pid

    def request(self, route: str = MODEL, key: str = "") -> Request:
        """Return what to send to a route."""
        headers = {"x-api-key": key} if key else {}
        return Request("127.0.0.1", self.running.port, f"/v2/models/{route}/infer", REQUEST, headers)

    def weights(self, route: str = MODEL) -> dict[str, int]:
        """Return the weights of the last decision, by backend."""
        made = read_decisions(self.route, route=route)
        return dict(made[-1]["weights"]) if made else {}

    def states(self) -> dict[str, str]:
        """Return the state of each backend, as `mcml route status` shows it."""
        return {one["backend"]: one["state"] for route in read_status(self.route)["routes"] for one in route["backends"]}


def environment() -> dict[str, str]:
    """Return the environment of a child: what Python compiles is kept, whatever the shell says of it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("MCML_")}


def settings(models: Mapping[str, Sequence[str]], *, keys: bool = False, limits: bool = False) -> str:
    """Return the mcml.toml of models on targets, each with a route of its name."""
    targets = sorted({target for found in models.values() for target in found})
    said = ['name = "bench"', "[router]", "port = 0", f"keys = {str(keys).lower()}"]
    said += [f'[targets.{target}]\nprovider = "local"\nregion = "r-{target}"' for target in targets]
    for model, found in models.items():
        said.append(f'[models.{model}]\nsource = "models/{model}"\ntargets = {json.dumps(list(found))}\n[routes.{model}]')
        if limits:
            said.append("limit = { requests = 1_000_000 }")
    return "\n".join(said) + "\n"


@contextmanager
def project(
    name: str, models: Mapping[str, Sequence[str]], *, keys: bool = False, limits: bool = False, one: bool = False
) -> Iterator[Project]:
    """Make a project below .bench/ whose models are served, one process a target (`one`: one for all); end all of it with the block."""
    made = Project(BENCH / name)
    if read_running(made.route) or read_engine(made.route):
        made.mcml("route", "stop")  # of a benchmark that was killed
    shutil.rmtree(made.folder, ignore_errors=True)
    made.folder.mkdir(parents=True)
    (made.folder / "mcml.toml").write_text(settings(models, keys=keys, limits=limits))
    places = [(target, model) for model, found in models.items() for target in found]
    groups = [places] if one else [[each for each in places if each[0] == target] for target in sorted({target for target, _ in places})]
    try:
        for group in groups:
            made.ups.append(Upstream(made.folder, group))
        yield made
    finally:
        if read_running(made.route) or read_engine(made.route):
            made.mcml("route", "stop")
        for upstream in made.ups:
            upstream.close()


def serve(made: Project, routes: Sequence[str] = (MODEL,), seconds: float = 30.0) -> float:
    """Start the router in the background; return the seconds until it answers for the last of the routes."""
    began = time.monotonic()
    made.mcml("route", "serve", "--detach")
    until(lambda: answered(made, routes[-1]), seconds, "the router does not answer")
    return time.monotonic() - began


def answered(made: Project, route: str) -> bool:
    """Tell whether one request to a route reaches somebody who answers it, or who wants a key."""
    return run_load(made.request(route), requests=1, concurrency=1)[0].status in (200, 401)


def until(look: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    """Wait until `look` returns something. Raises RuntimeError with a sentence."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise RuntimeError(otherwise)
        time.sleep(0.02)


class Steady:
    """A load in a thread until the block ends: bursts over some connections, so many requests a second (0: as many as it can)."""

    def __init__(self, request: Request, *, rate: float = 0.0, connections: int = 16, burst: int = 0) -> None:
        self.samples: list[Sample] = []
        self._request = request
        self._rate, self._connections = rate, connections
        self._burst = burst or (max(connections, round(rate / 10)) if rate else 1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-load")

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self.samples += run_load(self._request, requests=self._burst, concurrency=self._connections)
            if self._rate:
                due = max(due + self._burst / self._rate, time.monotonic() - 1.0)
                self._stop.wait(max(0.0, due - time.monotonic()))

    def __enter__(self) -> "Steady":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)

    @property
    def lost(self) -> list[Sample]:
        """The requests that were not answered with 200."""
        return [one for one in self.samples if one.status != 200]


def monotonic(wall: datetime) -> float:
    """Return a time of the wall clock on the clock of the samples."""
    return time.monotonic() - (datetime.now(UTC) - wall).total_seconds()


def decided(
    made: Project, since: float, fits: Callable[[Mapping[str, int]], bool], *, route: str = MODEL, seconds: float = 10.0
) -> float | None:
    """Wait for a decision after `since` (monotonic) whose weights fit; return when it was made, None after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in read_decisions(made.route, route=route):
            at = monotonic(parse_rfc3339(one["at"]))
            if at >= since - 0.005 and fits(one["weights"]):
                return at
        time.sleep(0.1)  # the decision says itself when it was made
    return None


def cpu(pids: Sequence[int]) -> float:
    """Return the CPU seconds, user and system, that processes and their children have had; each counts once."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(pid)
            found |= {process.pid: process for process in (first, *first.children(recursive=True))}
    return sum(own_cpu(process.pid) for process in found.values())


def own_cpu(pid: int) -> float:
    """Return the CPU seconds of one process without its children: Envoy is a child of the process that decides."""
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def memory(pid: int) -> float:
    """Return the MiB that a process has in memory; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    return 0.0


def load_average() -> str:
    """Return the load averages of the machine."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def free_ports(count: int) -> tuple[int, ...]:
    """Return so many free ports, all different."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return tuple(found)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the nearest-rank quantile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a line through points (x, y) by least squares; 0 when all have the same x, or there are none."""
    if not points:
        return 0.0
    middle_x, middle_y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def verdict(what: str, value: float, limit: float, unit: str, *, least: bool = False) -> bool:
    """Print a figure beside its target; tell whether it is met."""
    met = value >= limit if least else value <= limit
    print(f"{what}: {value:.4g} {unit} (target: at {'least' if least else 'most'} {limit:g} {unit}): {'met' if met else 'MISSED'}")
    return met


def about(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return how many requests there were, how many failed, and p50 and p99 in milliseconds."""
    times = [one.seconds * 1000 for one in samples]
    failed = sum(one.status != 200 for one in samples)
    return {"requests": len(samples), "failed": failed, "p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}
