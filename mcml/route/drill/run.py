"""A drill: a bounded load through the router while one backend fails, and what the clients saw of it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mcml.core.clock import Clock, parse_rfc3339
from mcml.core.errors import unknown
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.route.drill.fault import Fault
from mcml.route.drill.load import Sample, percentile
from mcml.route.drill.modes import WORDS
from mcml.route.drill.plan import Drill
from mcml.route.drill.request import Load, load_for
from mcml.route.drill.result import DrillResult, Phase
from mcml.route.records import Running, read_decisions, read_status
from mcml.route.weights.decide import ROOM

ZERO_SECONDS = 10.0
"""How long to wait for the weight of the failing backend to become zero."""

RECOVER_SECONDS = 60.0
"""How long to wait for its weight to come back; an ejection lasts longer each time, up to a minute."""

TRICKLE = 20
"""Requests a burst while a mended backend recovers: it proves itself on requests."""


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
    load, where = load_for(drill, running)
    begun = _facts(drill, folder)
    emit(Fact("route.drill_started", ROOM, drill.target, begun, clock()))
    reporter.start("drill", f"{drill.requests} {where}, {drill.concurrency} at once")
    failing = _Begun()

    def halfway() -> None:
        if fault is None:
            return
        reporter.update("drill", f"the backend on {drill.target} is {WORDS[drill.mode]}")
        emit(Fact("route.drill_killed", ROOM, drill.target, begun, clock()))
        failing.time, failing.at = clock(), time.monotonic()
        fault.begin()

    try:
        samples = load(requests=drill.requests, concurrency=drill.concurrency, halfway=halfway if fault else None)
        to_zero = _seconds_until(drill, folder, failing.time, ZERO_SECONDS, lambda weight: weight == 0) if failing.time else None
    finally:
        mended = clock() if fault is not None and failing.time and fault.end() else None
    trickle, recovered = _recover(drill, folder, load, mended, to_zero, reporter)
    result = summarise(drill, samples, failing.at if failing.time else None, to_zero, backend_of(drill, folder))
    result = replace(with_recovery(result, trickle), seconds_to_recover=recovered)
    reporter.finish("drill", f"{result.failed} of {result.requests} requests failed", ok=not result.failed)
    ended = {**begun, "failed": result.failed, "retried": result.retried, "seconds_to_zero": to_zero, "seconds_to_recover": recovered}
    emit(Fact("route.drill_finished", ROOM, drill.target, {**ended, "seconds_to_silence": result.seconds_to_silence}, clock()))
    return result


def _recover(
    drill: Drill, folder: Path, load: Load, mended: datetime | None, to_zero: float | None, reporter: Reporter
) -> tuple[list[Sample], float | None]:
    """Send a few requests now and then until the mended backend has weight again; it has nothing to recover from when it never lost it."""
    if mended is None or to_zero is None:
        return [], None
    reporter.update("drill", f"the backend on {drill.target} is mended; waiting until it serves again")
    samples: list[Sample] = []
    end = time.monotonic() + RECOVER_SECONDS
    while time.monotonic() < end:
        samples += load(requests=TRICKLE, concurrency=4)
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
        protocol=drill.protocol,
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
