"""A steady load for a long time while one backend after another fails, in ways and at times drawn by chance: what was lost, and whether
memory grows.

    python -m tests.bench.route_soak                    # 20 minutes
    python -m tests.bench.route_soak --minutes 60 --rate 300 --seed 7

It is no part of `make bench`; tests/route/live/test_soak.py runs a short form of it. One backend fails at a time, for a few
seconds; then it is mended, and the next one waits until it serves again.
"""

import argparse
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mcml.route.drill.load import Sample
from tests.bench.route_rig import MODEL, TARGETS, Project, Steady, about, load_average, memory, project, serve, slope, verdict

FAULTS = ("kill", "stop", "503", "429", "slow", "garbage", "reset")
MODES: dict[str, dict[str, object]] = {
    "503": {"status": 503},
    "429": {"status": 429},
    "slow": {"delay": 0.3},
    "garbage": {"garbage": True},
    "reset": {"reset": True},
}
MOST_MIB_AN_HOUR = 5.0
"""A slope below it is flat: noise of the allocators over the second half of 20 minutes."""

LONG_SECONDS = 900.0
"""A shorter soak has not settled in its second half: what every process allocates at first would count as growth."""

SAMPLE_SECONDS = 1.0


@dataclass
class Soaked:
    """What a soak saw: how many requests, those that failed, the drills (when, how, where, seconds until it served again), and the memory
    of both processes in MiB over seconds."""

    requests: int = 0
    lost: list[Sample] = field(default_factory=list)
    retried: int = 0
    p99_ms: list[float] = field(default_factory=list)
    drills: list[tuple[float, str, str, float | None]] = field(default_factory=list)
    envoy: list[tuple[float, float]] = field(default_factory=list)
    python: list[tuple[float, float]] = field(default_factory=list)

    def count(self, samples: Sequence[Sample]) -> None:
        """Count some requests; only what failed is kept, for a soak must not grow itself."""
        self.requests += len(samples)
        self.lost += [one for one in samples if one.status != 200]
        self.retried += sum(one.attempts > 1 for one in samples)
        if samples:
            self.p99_ms.append(about(samples)["p99"])

    def slopes(self) -> dict[str, float]:
        """Return the growth of each process over the second half, in MiB an hour."""
        found = {"Envoy": self.envoy, "Python": self.python}
        return {name: slope(points[len(points) // 2 :]) * 3600 for name, points in found.items()}


def soak(
    made: Project, *, seconds: float, rate: float, seed: int, quiet: float = 20.0, fails: float = 5.0, say: Callable[[str], object] = print
) -> Soaked:
    """Load a router that serves for so many seconds; now and then (`quiet` seconds apart on average) a backend fails for `fails` seconds.

    All backends are mended when it ends; the load goes on until then.
    """
    found, chance = Soaked(), random.Random(seed)
    began = time.monotonic()
    end = began + seconds
    with Steady(made.request(), rate=rate) as load:

        def rest(until: float) -> None:
            while time.monotonic() < until:
                now = time.monotonic() - began
                found.envoy.append((now, memory(made.envoy)))
                found.python.append((now, memory(made.python)))
                found.count(_taken(load))
                time.sleep(max(0.0, min(SAMPLE_SECONDS, until - time.monotonic())))

        rest(min(end, began + quiet / 4))
        while time.monotonic() < end:
            victim, fault = chance.randrange(len(made.ups)), chance.choice(FAULTS)
            at = time.monotonic()
            _break(made, victim, fault)
            rest(min(end, at + fails))
            _mend(made, victim, fault)
            back = _back(made, f"{MODEL}@{TARGETS[victim]}", rest, min(end, time.monotonic() + 90.0))
            found.drills.append((at - began, fault, TARGETS[victim], back))
            again = "still out" if back is None else f"back after {back:.1f} s"
            say(f"{at - began:7.1f} s  {fault:8} on {TARGETS[victim]}, {again}; lost so far: {len(found.lost)}")
            rest(min(end, time.monotonic() + chance.uniform(0.2, 1.8) * quiet))
    found.count(_taken(load))
    return found


def _taken(load: Steady) -> list[Sample]:
    """Take what the load has so far out of it; its thread only ever puts a new list of them behind."""
    count = len(load.samples)
    taken = load.samples[:count]
    del load.samples[:count]
    return taken


def _break(made: Project, victim: int, fault: str) -> None:
    upstream = made.ups[victim]
    if fault in MODES:
        upstream.mode(**MODES[fault])
    else:
        upstream.signal(signal.SIGKILL if fault == "kill" else signal.SIGSTOP)


def _mend(made: Project, victim: int, fault: str) -> None:
    upstream = made.ups[victim]
    if fault == "kill":
        upstream.start()
    elif fault == "stop":
        upstream.signal(signal.SIGCONT)
    else:
        upstream.mode()


def _back(made: Project, backend: str, rest: Callable[[float], None], end: float) -> float | None:
    """Wait, under load, until a backend has weight again; return the seconds it took, None at the end."""
    began = time.monotonic()
    while time.monotonic() < end:
        if made.weights().get(backend, 0) > 0:
            return time.monotonic() - began
        rest(min(end, time.monotonic() + 0.25))
    return None


def report(found: Soaked, seconds: float) -> bool:
    """Print what a soak saw; tell whether every target is met."""
    drills = Counter(fault for _, fault, _, _ in found.drills)
    print(f"{found.requests} requests in {seconds / 60:.1f} minutes, {found.retried} were tried again; p99 of the worst second", end=" ")
    print(f"{max(found.p99_ms, default=0.0):.0f} ms; {len(found.drills)} drills: {dict(drills)}")
    for error in sorted({one.error for one in found.lost})[:5]:
        print(f"    lost: {error[:200]}")
    met = verdict("lost requests", len(found.lost), 0, "")
    for name, grows in found.slopes().items():
        points = found.envoy if name == "Envoy" else found.python
        print(f"{name}: {points[0][1]:.1f} MiB at first, {points[len(points) // 2][1]:.1f} in the middle, {points[-1][1]:.1f} at the end")
        if seconds >= LONG_SECONDS:
            met &= verdict(f"memory of {name} grows, second half", grows, MOST_MIB_AN_HOUR, "MiB an hour")
        else:
            print(f"memory of {name} grows by {grows:.1f} MiB an hour in the second half; too short to judge")
    return met


def main(argv: Sequence[str] = ()) -> int:
    """Soak, print, and return 0 when nothing was lost and memory is flat, else 1."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route_soak", description=__doc__, formatter_class=raw)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default: 20)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: 200)")
    parser.add_argument("--seed", type=int, default=5, help="of what fails when (default: 5)")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds between two failures on average (default: 20)")
    arguments = parser.parse_args(argv)
    print(f"load average before: {load_average()}", flush=True)
    with project("route-soak", {MODEL: TARGETS}) as made:
        serve(made)
        seconds = arguments.minutes * 60
        found = soak(made, seconds=seconds, rate=arguments.rate, seed=arguments.seed, quiet=arguments.quiet, say=_say)
    print(f"load average after:  {load_average()}")
    return 0 if report(found, seconds) else 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
