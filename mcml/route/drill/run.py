"""A drill: a bounded load through the router while one backend fails, and what the clients saw of it."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from mcml.route.drill.fault import Fault
from mcml.route.drill.load import Request, Sample, percentile, run_load, tls_context
from mcml.route.drill.modes import WORDS, Mode
from mcml.route.records import Running, read_decisions, read_status

ZERO_SECONDS = 10.0
"""How long to wait for the weight of the failing backend to become zero."""

RECOVER_SECONDS = 60.0
"""How long to wait for its weight to come back; an ejection lasts longer each time, up to a minute."""

TRICKLE = 20
"""Requests a burst while a mended backend recovers: it proves itself on requests."""


@dataclass(frozen=True)
class Drill:
    """What to do: the route, the target whose backend fails from halfway on (empty: none), how, and the load.

    `headers` go with every request; `authority` is the certificate of a router that speaks TLS (a PEM file),
    `identity` the PEM files of a certificate, and of its key, to show to one that asks its clients for one.
    """

    route: str
    target: str
    requests: int
    concurrency: int
    mode: Mode = "kill"
    headers: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""
    identity: tuple[str, str] | None = None


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
    """What clients saw. Times are seconds after the failure began: until no request touched the failing backend, until its weight was zero;
    `seconds_to_recover`: after it was mended, until it had weight again (None: not within the drill, or nobody mends it here)."""

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
    seconds_to_recover: float | None = None
    mode: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Begun:
    """When the failure began: on the clock of the load, and on the wall."""

    at: float = 0.0
    time: datetime | None = None


def run_drill(
    drill: Drill,
    running: Running,
    folder: Path,
    *,
    fault: Fault | None,
    emit: Callable[[Fact], object],
    reporter: Reporter,
    clock: Clock,
) -> DrillResult:
    """Run a drill against the router that runs in `folder`; `fault` breaks the target's backend and mends it (None: a load alone).

    Raises NotFound for an unknown route or target, Unavailable when the model does not answer before the drill.
    """
    check(drill, running, folder)
    request = _request(drill, running)
    begun = _facts(drill, folder)
    emit(Fact("route.drill_started", ROOM, drill.target, begun, clock()))
    reporter.start("drill", f"{drill.requests} requests to {running.url}{request.path} over {drill.concurrency} connections")
    failing = _Begun()

    def halfway() -> None:
        if fault is None:
            return
        reporter.update("drill", f"the backend on {drill.target} is {WORDS[drill.mode]}")
        emit(Fact("route.drill_killed", ROOM, drill.target, begun, clock()))
        failing.time, failing.at = clock(), time.monotonic()
        fault.begin()

    try:
        samples = run_load(request, requests=drill.requests, concurrency=drill.concurrency, halfway=halfway if fault else None)
        to_zero = _seconds_until(drill, folder, failing.time, ZERO_SECONDS, lambda weight: weight == 0) if failing.time else None
    finally:
        mended = clock() if fault is not None and failing.time and fault.end() else None
    trickle, recovered = _recover(drill, folder, request, mended, to_zero, reporter)
    result = summarise(drill, samples, failing.at if failing.time else None, to_zero, backend_of(drill, folder))
    result = replace(with_recovery(result, trickle), seconds_to_recover=recovered)
    reporter.finish("drill", f"{result.failed} of {result.requests} requests failed", ok=not result.failed)
    ended = {**begun, "failed": result.failed, "retried": result.retried, "seconds_to_zero": to_zero, "seconds_to_recover": recovered}
    emit(Fact("route.drill_finished", ROOM, drill.target, {**ended, "seconds_to_silence": result.seconds_to_silence}, clock()))
    return result


def _recover(
    drill: Drill, folder: Path, request: Request, mended: datetime | None, to_zero: float | None, reporter: Reporter
) -> tuple[list[Sample], float | None]:
    """Send a few requests now and then until the mended backend has weight again; it has nothing to recover from when it never lost it."""
    if mended is None or to_zero is None:
        return [], None
    reporter.update("drill", f"the backend on {drill.target} is mended; waiting until it serves again")
    samples: list[Sample] = []
    end = time.monotonic() + RECOVER_SECONDS
    while time.monotonic() < end:
        samples += run_load(request, requests=TRICKLE, concurrency=4)
        found = _seconds_until(drill, folder, mended, 0.5, lambda weight: weight > 0)
        if found is not None:
            return samples, found
    return samples, None


def _facts(drill: Drill, folder: Path) -> dict[str, object]:
    model = next((entry["model"] for entry in read_status(folder)["routes"] if entry["route"] == drill.route), drill.route)
    facts: dict[str, object] = {"route": drill.route, "model": model, "requests": drill.requests, "concurrency": drill.concurrency}
    return {**facts, "backend": backend_of(drill, folder), "mode": drill.mode} if drill.target else facts


def check(drill: Drill, running: Running, folder: Path) -> None:
    """Check the names of a drill. Raises NotFound for a route that is not served, or a target that is none of its backends."""
    if drill.route not in running.routes:
        raise unknown("route that is served", drill.route, running.routes, next_step="mcml route status")
    targets = {one["target"] for one in _backends(drill.route, folder)}
    if drill.target and drill.target not in targets:
        raise unknown(f"backend of {drill.route} on a target", drill.target, targets, next_step="mcml route status")


def _backends(route: str, folder: Path) -> list[Mapping[str, Any]]:
    return [one for entry in read_status(folder)["routes"] if entry["route"] == route for one in entry["backends"]]


def backend_of(drill: Drill, folder: Path) -> str:
    """Return the name of the backend that fails; empty when the router knows none on that target."""
    return next((str(one["backend"]) for one in _backends(drill.route, folder) if one["target"] == drill.target), "")


def _connection(drill: Drill, running: Running, port: int | None) -> http.client.HTTPConnection:
    if not running.tls:
        return http.client.HTTPConnection(running.address, port, timeout=30.0)
    return http.client.HTTPSConnection(running.address, port, timeout=30.0, context=tls_context(drill.authority, drill.identity))


def _request(drill: Drill, running: Running) -> Request:
    """Build a valid request from what the model says about itself."""
    where = urlsplit(running.url)
    path = f"/v2/models/{drill.route}"
    connection = _connection(drill, running, where.port)
    try:
        connection.request("GET", path, headers=dict(drill.headers))
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as failed:
        raise Unavailable(f"the router at {running.url} does not answer", why=str(failed), next_step="mcml route status") from failed
    finally:
        connection.close()
    sent = _body(drill.route, answer.status, body)
    return Request(running.address, running.port, f"{path}/infer", sent, drill.headers, drill.authority, drill.identity)


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


def _seconds_until(drill: Drill, folder: Path, since: datetime, seconds: float, fits: Callable[[int], bool]) -> float | None:
    """Wait for a decision after `since` in which the backend's weight fits; decisions carry their time."""
    backend = backend_of(drill, folder)
    end = time.monotonic() + seconds
    while True:
        for decision in read_decisions(folder, route=drill.route):
            at = parse_rfc3339(decision["at"])
            if at >= since and fits(decision["weights"].get(backend, 0)):
                return round((at - since).total_seconds(), 3)
        if time.monotonic() > end:
            return None
        time.sleep(0.05)


def with_recovery(result: DrillResult, trickle: Sequence[Sample]) -> DrillResult:
    """Add what was sent while the backend recovered: a phase of its own, and its failures count."""
    if not trickle:
        return result
    failed = [one for one in trickle if one.status != 200]
    errors = Counter(result.errors) + Counter(one.error for one in failed)
    return replace(
        result,
        requests=result.requests + len(trickle),
        failed=result.failed + len(failed),
        retried=result.retried + sum(one.attempts > 1 for one in trickle),
        phases=(*result.phases, _phase("recovery", trickle)),
        errors=dict(errors.most_common(5)),
    )


def summarise(drill: Drill, samples: Sequence[Sample], killed: float | None, to_zero: float | None, backend: str) -> DrillResult:
    """Turn the samples into the result; `killed`, on their clock, is when the failure began: the phase `during` ends at zero weight."""
    failed = [one for one in samples if one.status != 200]
    seconds = max(one.ended for one in samples) - min(one.began for one in samples) if samples else 0.0
    touched = [one.ended for one in samples if killed is not None and one.ended > killed and (one.backend == backend or one.attempts > 1)]
    silence = None if killed is None else round(max(touched, default=killed) - killed, 3)
    return DrillResult(
        route=drill.route,
        target=drill.target,
        backend=backend,
        requests=len(samples),
        failed=len(failed),
        retried=sum(one.attempts > 1 for one in samples),
        seconds=round(seconds, 3),
        phases=_phases(samples, killed, to_zero),
        served=dict(sorted(Counter(one.backend for one in samples if one.status == 200).items())),
        seconds_to_silence=silence,
        seconds_to_zero=to_zero,
        mode=drill.mode if drill.target else "",
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
