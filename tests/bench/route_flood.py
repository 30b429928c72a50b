"""Clients that flood the router beyond their limit, and what the others notice of it: python -m tests.bench.route_flood

One key has a limit, and 64 connections that ask as fast as they can; another has none, and asks steadily. The flood comes from processes of
their own. Rounds with and without the flood are interleaved.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median

from mcml.route.drill.load import Request, Sample, run_load
from tests.bench.route_rig import MODEL, ROOT, TARGETS, Project, Steady, about, load_average, project, quantile, serve, until, verdict
from tests.bench.route_upstream import REQUEST

LIMIT = 50
"""Requests a second that the flooding key may send."""

STEADY = 200
"""Requests a second of the others."""

CONNECTIONS = 64


def main(argv: Sequence[str] = ()) -> int:
    """Measure, print, and return 0 when the others saw no error and the flood was held back, else 1."""
    arguments = _arguments(argv)
    if arguments.flood:
        return flood(*arguments.flood)
    print(f"load average before: {load_average()}", flush=True)
    with project("route-flood", {MODEL: TARGETS}, keys=True) as made:
        good, bad = (made.mcml("route", "keys", "add", name, *limit, "-o", "name").strip() for name, limit in _KEYS.items())
        serve(made)
        for key in (good, bad):
            until(partial(taken, made, key), 20, "the router does not take a key")
        quiet, loud, floods = [], [], []
        for _ in range(arguments.rounds):
            quiet.append(steady(made, good, arguments.seconds))
            seen, statuses = flooded(made, good, bad, arguments.seconds)
            loud.append(seen)
            floods.append(statuses)
    print(f"load average after:  {load_average()}")
    return 0 if report(quiet, loud, floods, arguments.seconds) else 1


_KEYS: dict[str, tuple[str, ...]] = {"others": (), "flood": ("--limit", f"{LIMIT}/s")}


def taken(made: Project, key: str) -> bool:
    """Tell whether the router knows a key."""
    return run_load(made.request(key=key), requests=1, concurrency=1)[0].status in (200, 429)


def steady(made: Project, key: str, seconds: float) -> list[Sample]:
    """Let the others ask for some seconds."""
    with Steady(made.request(key=key), rate=STEADY, connections=8) as load:
        time.sleep(seconds)
    return load.samples


def flooded(made: Project, good: str, bad: str, seconds: float) -> tuple[list[Sample], Counter[int]]:
    """Let the others ask while one key floods; return what they saw, and how often the flood got which status."""
    asked = made.request(key=bad)
    argv = [sys.executable, "-m", "tests.bench.route_flood", "--flood", str(asked.port), bad, str(seconds + 1.0)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it has begun
        seen = steady(made, good, seconds)
        said = child.stdout.read()
    return seen, Counter({int(status): count for status, count in json.loads(said).items()})


def flood(port: str, key: str, seconds: str) -> int:
    """Ask as fast as possible for so many seconds; print the statuses."""
    request = Request("127.0.0.1", int(port), f"/v2/models/{MODEL}/infer", REQUEST, {"x-api-key": key})
    end = time.monotonic() + float(seconds)
    statuses: Counter[int] = Counter()
    print("{}", flush=True)
    while time.monotonic() < end:
        statuses.update(one.status for one in run_load(request, requests=1000, concurrency=CONNECTIONS))
    print(json.dumps(statuses))
    return 0


def report(quiet: Sequence[list[Sample]], loud: Sequence[list[Sample]], floods: Sequence[Counter[int]], seconds: float) -> bool:
    """Print what each side saw; tell whether every target is met."""
    print(f"{STEADY} requests a second of others, c=8; the flood: c={CONNECTIONS}, limit {LIMIT} a second; {len(quiet)} interleaved rounds")
    for name, rounds in (("without the flood", quiet), ("with the flood", loud)):
        found = [about(samples) for samples in rounds]
        p50, p99 = (median(one[part] for one in found) for part in ("p50", "p99"))
        worst = max(quantile([one.seconds for one in samples], 1.0) for samples in rounds) * 1000
        requests, failed = (sum(one[part] for one in found) for part in ("requests", "failed"))
        print(f"{name:18} {requests:7} requests, {failed} failed, p50 {p50:.2f} ms, p99 {p99:.2f} ms, slowest {worst:.0f} ms")
    total: Counter[int] = sum(floods, Counter())
    passed = total[200] / len(floods) / (seconds + 1.0)
    print("the flood was answered " + ", ".join(f"{status}: {count}" for status, count in sorted(total.items())))
    met = verdict("errors of the others", sum(one.status != 200 for samples in (*quiet, *loud) for one in samples), 0, "")
    met &= verdict("answers other than 200 and 429 to the flood", sum(total.values()) - total[200] - total[429], 0, "")
    return verdict("requests of the flood that were let through", passed, 2 * LIMIT, "a second") and met


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route_flood", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds with and without the flood (default: 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round (default: 4)")
    parser.add_argument("--flood", nargs=3, metavar=("PORT", "KEY", "SECONDS"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
