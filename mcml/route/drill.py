"""A drill: a bounded load through the router while one backend is killed, and what the clients saw of it."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcml.core.clock import Clock, parse_rfc3339
from mcml.core.errors import InvalidRequest, NotFound, Unavailable, unknown
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.core.v2 import zero_request
from mcml.route.decide import ROOM
from mcml.route.load import Request, Sample, percentile, run_load
from mcml.route.records import Running, read_decisions, read_status

ZERO_SECONDS = 10.0
"""How long to wait for the weight of the killed backend to become zero."""


@dataclass(frozen=True)
class Drill:
    """What to do: the route, the target whose backend is killed halfway (empty: none), and the load."""

    route: str
    kill: str
    requests: int
    concurrency: int


@dataclass(frozen=True)
class Phase:
    """Requests of one part of the drill: how many, how many failed, and their latencies in milliseconds."""

    name: str
    requests: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class DrillResult:
    """What clients saw. Times are seconds after the kill: until no request touched the dead backend, until its weight was zero (None: not
    within the drill)."""

    route: str
    target: str
    backend: str
    requests: int
    failed: int
    retried: int
    seconds: float
    phases: tuple[Phase, ...]
    served: Mapping[str, int]
    seconds_to_silence: float | None = None
    seconds_to_zero: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Kill:
    """When the backend was killed: on the clock of the load, and on the wall."""

    at: float = 0.0
    time: datetime | None = None


def run_drill(
    drill: Drill,
    running: Running,
    folder: Path,
    *,
    kill: Callable[[str], object],
    emit: Callable[[Fact], object],
    reporter: Reporter,
    clock: Clock,
) -> DrillResult:
    """Run a drill against the router that runs in `folder`; `kill` ends the process of a target's backend with SIGKILL.

    Raises NotFound for an unknown route or target, Unavailable when the model does not answer before the drill.
    """
    check(drill, running, folder)
    request = _request(drill.route, running)
    begun = _begun(drill, folder)
    emit(Fact("route.drill_started", ROOM, drill.kill, begun, clock()))
    reporter.start("drill", f"{drill.requests} requests to {running.url}{request.path} over {drill.concurrency} connections")
    killed = _Kill()

    def halfway() -> None:
        reporter.update("drill", f"killing the backend on {drill.kill}")
        emit(Fact("route.drill_killed", ROOM, drill.kill, begun, clock()))
        killed.time, killed.at = clock(), time.monotonic()
        kill(drill.kill)

    samples = run_load(request, requests=drill.requests, concurrency=drill.concurrency, halfway=halfway if drill.kill else None)
    to_zero = _seconds_to_zero(drill, folder, killed.time) if killed.time else None
    result = summarise(drill, samples, killed.at if killed.time else None, to_zero, _backend(drill, folder))
    reporter.finish("drill", f"{result.failed} of {result.requests} requests failed", ok=not result.failed)
    ended = {**begun, "failed": result.failed, "retried": result.retried, "seconds_to_zero": to_zero}
    emit(Fact("route.drill_finished", ROOM, drill.kill, {**ended, "seconds_to_silence": result.seconds_to_silence}, clock()))
    return result


def _begun(drill: Drill, folder: Path) -> dict[str, object]:
    model = next((entry["model"] for entry in read_status(folder)["routes"] if entry["route"] == drill.route), drill.route)
    facts: dict[str, object] = {"route": drill.route, "model": model, "requests": drill.requests, "concurrency": drill.concurrency}
    return {**facts, "backend": _backend(drill, folder)} if drill.kill else facts


def check(drill: Drill, running: Running, folder: Path) -> None:
    """Check the names of a drill. Raises NotFound for a route that is not served, or a target that is none of its backends."""
    if drill.route not in running.routes:
        raise unknown("route that is served", drill.route, running.routes, next_step="mcml route status")
    targets = {one["target"] for one in _backends(drill.route, folder)}
    if drill.kill and drill.kill not in targets:
        raise unknown(f"backend of {drill.route} on a target", drill.kill, targets, next_step="mcml route status")


def _backends(route: str, folder: Path) -> list[Mapping[str, Any]]:
    return [one for entry in read_status(folder)["routes"] if entry["route"] == route for one in entry["backends"]]


def _backend(drill: Drill, folder: Path) -> str:
    return next((str(one["backend"]) for one in _backends(drill.route, folder) if one["target"] == drill.kill), "")


def _request(route: str, running: Running) -> Request:
    """Build a valid request from what the model says about itself."""
    where = urlsplit(running.url)
    path = f"/v2/models/{route}"
    connection = http.client.HTTPConnection(running.address, where.port, timeout=30.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as failed:
        raise Unavailable(f"the router at {running.url} does not answer", why=str(failed), next_step="mcml route status") from failed
    finally:
        connection.close()
    return Request(running.address, running.port, f"{path}/infer", _body(route, answer.status, body))


def _body(route: str, status: int, metadata: bytes) -> bytes:
    if status == 404:
        raise NotFound(f"the model behind {route} gives no metadata", why=metadata[:300].decode(errors="replace"))
    if status != 200:
        why = f"{status}: {metadata[:300].decode(errors='replace')}"
        raise Unavailable(f"the model behind {route} does not answer", why=why, next_step="mcml route status")
    try:
        return json.dumps(zero_request(json.loads(metadata))).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise InvalidRequest(f"the metadata of {route} is not of the v2 protocol", why=f"{type(wrong).__name__}: {wrong}") from wrong


def _seconds_to_zero(drill: Drill, folder: Path, since: datetime) -> float | None:
    """Wait until the router decided that the killed backend gets nothing; its decisions carry their time."""
    backend = _backend(drill, folder)
    end = time.monotonic() + ZERO_SECONDS
    while True:
        for decision in read_decisions(folder, route=drill.route):
            at = parse_rfc3339(decision["at"])
            if at >= since and decision["weights"].get(backend) == 0:
                return round((at - since).total_seconds(), 3)
        if time.monotonic() > end:
            return None
        time.sleep(0.05)


def summarise(drill: Drill, samples: Sequence[Sample], killed: float | None, to_zero: float | None, backend: str) -> DrillResult:
    """Turn the samples into the result; `killed` is on their clock. The time between kill and zero weight is the phase `during`."""
    failed = [one for one in samples if one.status != 200]
    seconds = max(one.ended for one in samples) - min(one.began for one in samples) if samples else 0.0
    touched = [one.ended for one in samples if killed is not None and one.ended > killed and (one.backend == backend or one.attempts > 1)]
    silence = None if killed is None else round(max(touched, default=killed) - killed, 3)
    return DrillResult(
        route=drill.route,
        target=drill.kill,
        backend=backend,
        requests=len(samples),
        failed=len(failed),
        retried=sum(one.attempts > 1 for one in samples),
        seconds=round(seconds, 3),
        phases=_phases(samples, killed, to_zero),
        served=dict(sorted(Counter(one.backend for one in samples if one.status == 200).items())),
        seconds_to_silence=silence,
        seconds_to_zero=to_zero,
        errors=dict(Counter(one.error for one in failed).most_common(5)),
    )


def _phases(samples: Sequence[Sample], killed: float | None, to_zero: float | None) -> tuple[Phase, ...]:
    if killed is None:
        return (_phase("all", samples),)
    after = killed + (ZERO_SECONDS if to_zero is None else to_zero)
    return (
        _phase("before", [one for one in samples if one.ended <= killed]),
        _phase("during", [one for one in samples if one.ended > killed and one.began < after]),
        _phase("after", [one for one in samples if one.began >= after]),
    )


def _phase(name: str, samples: Sequence[Sample]) -> Phase:
    times = [one.seconds * 1000 for one in samples]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    failed = sum(one.status != 200 for one in samples)
    return Phase(name, len(samples), failed, None if p50 is None else round(p50, 2), None if p99 is None else round(p99, 2))
