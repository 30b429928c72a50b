"""What happens while the router serves: weights change, backends fail, and what it costs to decide: python -m tests.bench.route_changes

Everything is done as a person does it (`mcml route pin`, a signal to a model server) under load, and read from what clients saw and from
the router's own decisions. "Effective" is from the decision to the last request that still went the old way.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from statistics import median

import psutil

from mcml.route.drill.load import Sample
from tests.bench.load import post, run
from tests.bench.route_peers import PATH
from tests.bench.route_rig import (
    MODEL,
    TARGETS,
    Project,
    Steady,
    about,
    decided,
    load_average,
    memory,
    own_cpu,
    project,
    serve,
    until,
    verdict,
)
from tests.bench.route_upstream import REQUEST

FAILURES: dict[str, dict[str, object]] = {
    "kill -9": {},
    "stop (hangs)": {},
    "503": {"status": 503},
    "429": {"status": 429},
    "reset": {"reset": True},
    "garbage": {"garbage": True},
}
DEAD = "kill -9"


def main(argv: Sequence[str] = ()) -> int:
    """Measure each part, print, and return 0 when every target is met, else 1."""
    arguments = _arguments(argv)
    parts = {"weights": weights, "failures": failures, "overhead": overhead, "loop": loop, "many": many}
    met = True
    for name, part in parts.items():
        if not arguments.only or name in arguments.only:
            print(f"-- {name}; load average {load_average()}", flush=True)
            met &= all([part(arguments)])
    print(f"load average after: {load_average()}")
    return 0 if met else 1


# --- a weight changes

def weights(arguments: argparse.Namespace) -> bool:
    """Pin the route to one target after another under load."""
    with project("route-weights", {MODEL: TARGETS}) as made:
        serve(made)
        with Steady(made.request()) as load:
            took = [switch(made, load, MODEL, TARGETS[number % len(TARGETS)]) for number in range(arguments.rounds)]
    return _told_of_switches(took, load.samples, 0.1)


def switch(made: Project, load: Steady, route: str, target: str) -> tuple[float, float]:
    """Pin a route to a target; return the seconds from the command's end to the decision, and from that to the last other answer."""
    backend = f"{route}@{target}"
    began = time.monotonic()
    made.mcml("route", "pin", route, target)
    asked = time.monotonic()
    at = decided(made, began, lambda found: found.get(backend, 0) > 0 and sum(found.values()) == found[backend], route=route)
    if at is None:
        raise RuntimeError(f"{route} was not pinned to {target}")
    time.sleep(1.0)
    others = [one.began for one in list(load.samples) if one.began > at and one.backend != backend]
    return max(0.0, at - asked), max(others, default=at) - at


def _told_of_switches(took: Sequence[tuple[float, float]], samples: Sequence[Sample], limit: float) -> bool:
    seen = about(samples)
    asked, effective = ([each[part] for each in took] for part in (0, 1))
    print(f"{len(took)} changes, {seen['requests']} requests, p99 {seen['p99']:.1f} ms; medians:", end=" ")
    print(f"decided {median(asked) * 1000:.0f} ms after the command had ended, effective {median(effective) * 1000:.1f} ms after that")
    met = verdict("slowest change", max(effective) * 1000, limit * 1000, "ms")
    return verdict("requests that failed", seen["failed"], 0, "") and met


# --- a backend fails

def failures(arguments: argparse.Namespace) -> bool:
    """Let one backend fail in each way under load, and mend it."""
    met = True
    with project("route-failures", {MODEL: TARGETS}) as made:
        serve(made)
        print(f"{'failure':14} {'requests':>9} {'errors':>7} {'to zero s':>10} {'p99 ms':>8} {'p99 then':>9} {'retried':>8}")
        zero: dict[str, list[float]] = {}
        lost = 0
        for number in range(arguments.rounds):
            for name in FAILURES:
                samples, at, gone = one_failure(made, name, number % len(TARGETS))
                lost += sum(one.status != 200 for one in samples)
                if gone is not None:
                    zero.setdefault(name, []).append(gone - at)
                _told_of_failure(name, samples, at, gone)
        dead = zero.get(DEAD, [])
        met &= verdict("client errors over all failures", lost, 0, "")
        met &= len(dead) == arguments.rounds and verdict("weight to zero after kill -9, slowest", max(dead), 1.0, "s")
    return met


def one_failure(made: Project, name: str, victim: int) -> tuple[list[Sample], float, float | None]:
    """Let a backend fail for three seconds; return what clients saw, when it began, and when its weight was zero (monotonic)."""
    upstream, backend = made.ups[victim], f"{MODEL}@{TARGETS[victim]}"
    with Steady(made.request()) as load:
        time.sleep(1.0)
        at = time.monotonic()
        _break(made, name, victim)
        gone = decided(made, at, lambda found: found.get(backend, 0) == 0, seconds=6.0)
        time.sleep(max(0.0, at + 3.0 - time.monotonic()))
        if name == DEAD:
            upstream.start()
        elif name.startswith("stop"):
            upstream.signal(signal.SIGCONT)
        else:
            upstream.mode()
        until(lambda: made.weights().get(backend, 0) > 0, 90, f"{backend} does not come back after {name}")
    return load.samples, at, gone


def _break(made: Project, name: str, victim: int) -> None:
    if name == DEAD:
        made.ups[victim].signal(signal.SIGKILL)
    elif name.startswith("stop"):
        made.ups[victim].signal(signal.SIGSTOP)
    else:
        made.ups[victim].mode(**FAILURES[name])


def _told_of_failure(name: str, samples: Sequence[Sample], at: float, gone: float | None) -> None:
    before = about([one for one in samples if one.ended < at])
    then = about([one for one in samples if one.ended >= at and one.began < at + 3.0])
    seen = about(samples)
    zero = f"{gone - at:10.2f}" if gone is not None else f"{'never':>10}"
    retried = sum(one.attempts > 1 for one in samples)
    print(f"{name:14} {seen['requests']:9} {seen['failed']:7} {zero} {before['p99']:8.1f} {then['p99']:9.1f} {retried:8}", flush=True)
    for error in sorted({one.error for one in samples if one.status != 200})[:3]:
        print(f"    {error[:200]}")


# --- what it adds to one request

def overhead(arguments: argparse.Namespace) -> bool:
    """Compare one connection through the router with one to a backend."""
    with project("route-overhead", {MODEL: TARGETS}) as made:
        serve(made)
        ports = {"direct": made.ups[0].ports[0], "router": made.running.port}
        for port in ports.values():
            run(port, post(PATH, REQUEST), connections=1, seconds=0.5)
        found: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                found[name].append(run(port, post(PATH, REQUEST), connections=1, seconds=arguments.seconds).p50)
    direct, through = (median(found[name]) for name in ("direct", "router"))
    print(f"p50 at c=1: direct {direct:.3f} ms, through the router {through:.3f} ms")
    return verdict("the router adds", median(b - a for a, b in zip(found["direct"], found["router"], strict=True)), 1.0, "ms")


# --- what deciding costs

def loop(arguments: argparse.Namespace) -> bool:
    """Measure the CPU of what decides, with 20 backends (5 models on 4 targets), without requests and with some."""
    models = {f"m{number}": [f"t{target}" for target in range(4)] for number in range(5)}
    seconds = max(5.0, 3 * arguments.seconds)
    with project("route-loop", models, one=True) as made:
        serve(made, sorted(models))
        until(lambda: len(made.states()) == 20 and set(made.states().values()) == {"up"}, 30, "20 backends are not up")
        time.sleep(5.0)  # the first prices and what a start leaves behind
        idle = [_share(made.python, seconds) for _ in range(arguments.rounds)]
        with Steady(made.request("m0"), rate=100, connections=4) as load:
            busy = [_share(made.python, seconds) for _ in range(arguments.rounds)]
            main, lasting = _threads(made.python, seconds)
    print(f"20 backends, 5 routes: idle {median(idle):.2%} of a core, with {len(load.samples)} requests {median(busy):.2%}")
    print(f"of these {main:.2%} are the loop's own thread, {lasting:.2%} other threads that stay, the rest threads that come and go")
    return verdict("CPU of the control process", median(busy) * 100, 2.0, "% of a core")


def _share(pid: int, seconds: float) -> float:
    began, before = time.monotonic(), own_cpu(pid)
    time.sleep(seconds)
    return (own_cpu(pid) - before) / (time.monotonic() - began)


def _threads(pid: int, seconds: float) -> tuple[float, float]:
    """Return the share of a core of a process's main thread, and of its other threads that live long."""
    before = _times(pid)
    time.sleep(seconds)
    spent = {thread: seen - before[thread] for thread, seen in _times(pid).items() if thread in before}
    main = spent.pop(pid, 0.0)
    return main / seconds, sum(spent.values()) / seconds


def _times(pid: int) -> dict[int, float]:
    return {one.id: one.user_time + one.system_time for one in psutil.Process(pid).threads()}


# --- many backends

def many(arguments: argparse.Namespace) -> bool:
    """Start with 200 backends of 50 routes, and change the weight of one of them."""
    models = {f"m{number:02}": [f"t{target}" for target in range(4)] for number in range(50)}
    met = True
    with project("route-many", models, one=True) as made:
        started = []
        for number in range(arguments.rounds):
            if number:
                made.mcml("route", "stop")
            started.append(serve(made, sorted(models), seconds=60))
        until(lambda: len(made.states()) == 200 and set(made.states().values()) == {"up"}, 60, "200 backends are not up")
        print(f"start: {' '.join(f'{one:.2f}' for one in started)} s")
        met &= verdict("start with 200 backends and 50 routes, median", median(started), 3.0, "s")
        with Steady(made.request("m07"), rate=500, connections=8) as load:
            took = [switch(made, load, "m07", f"t{number % 4}") for number in range(arguments.rounds)]
            idle = _share(made.python, 5.0)
        met &= _told_of_switches(took, load.samples, 0.2)
        print(f"CPU of the control process with 200 backends: {idle:.1%} of a core; Envoy has {memory(made.envoy):.0f} MiB")
    return met


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route_changes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each part (default: 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round (default: 2)")
    names = ["weights", "failures", "overhead", "loop", "many"]
    parser.add_argument("--only", nargs="*", default=[], choices=names, help="these parts (default: all)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
