"""Requests a second and CPU per request of the router beside other proxies: python -m tests.bench.route

Three upstreams that cost next to nothing, 16 connections, a v2 request of 1 KB; the rounds of all proxies are interleaved, because the
machine is never quiet, and medians are compared. The router runs as a person starts it, once with what `mcml init` writes and once with
API keys, a limit for each and the access log; nginx and HAProxy check a key, count a rate and write a log, too. CPU is that of all
processes of a proxy, user and system: of the router Envoy and the Python that decides.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from tests.bench import route_peers
from tests.bench.load import Round, post, run
from tests.bench.route_peers import PATH, PEERS, Skipped, Subject
from tests.bench.route_rig import MODEL, TARGETS, Project, cpu, load_average, own_cpu, project, serve, until, verdict
from tests.bench.route_upstream import REQUEST

CONNECTIONS = 16
DIRECT, DEFAULTS, PROTECTED = "direct", "mcml route", "mcml route, protected"
LEAST = {"aiohttp": 2.0, "FastAPI + httpx": 10.0}
"""Times the requests per second of these, which have neither limits nor a log; with all protection on the ratio is printed, too."""

MOST_CPU = 5.0
"""Times the CPU of nginx per request, with all protection on."""


@dataclass(frozen=True)
class Measured:
    """One round of one proxy: what the client saw, the CPU seconds of the proxy, and how many of them were spent on deciding."""

    round: Round
    cpu: float
    decided: float = 0.0

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for one request."""
        return self.cpu / max(self.round.requests, 1) * 1e6

    @property
    def decided_us(self) -> float:
        """Microseconds of them that went into deciding, which costs the same for any number of requests."""
        return self.decided / max(self.round.requests, 1) * 1e6


def main(argv: Sequence[str] = ()) -> int:
    """Measure, print, and return 0 when every target that can be judged here is met, else 1."""
    arguments = _arguments(argv)
    with ExitStack() as stack:
        subjects = list(_subjects(stack, arguments.only))
        for subject in subjects:
            run(subject.port, subject.request, connections=CONNECTIONS, seconds=min(1.0, arguments.seconds))
        print(f"load average before: {load_average()}", flush=True)
        rounds: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
        for _ in range(arguments.rounds):
            for subject in subjects:
                rounds[subject.name].append(measure(subject, arguments.seconds, arguments.connections))
        print(f"load average after:  {load_average()}")
    return report(rounds, arguments.connections)


def measure(subject: Subject, seconds: float, connections: int = CONNECTIONS) -> Measured:
    """Measure one round."""
    before, deciding = cpu(subject.pids), own_cpu(subject.decides) if subject.decides else 0.0
    seen = run(subject.port, subject.request, connections=connections, seconds=seconds)
    return Measured(seen, cpu(subject.pids) - before, own_cpu(subject.decides) - deciding if subject.decides else 0.0)


def _subjects(stack: ExitStack, only: Sequence[str]) -> Iterator[Subject]:
    """Start everything that is measured; the upstreams of the first router are those of the peers, too."""
    made = stack.enter_context(defaults())
    ports = [port for upstream in made.ups for port in upstream.ports]
    yield Subject(DIRECT, ports[0], post(PATH, REQUEST), ())
    yield Subject(DEFAULTS, made.running.port, post(PATH, REQUEST), (made.python, made.envoy), made.python)
    guarded, key = stack.enter_context(protected())
    yield Subject(PROTECTED, guarded.running.port, post(PATH, REQUEST, x_api_key=key), (guarded.python, guarded.envoy), guarded.python)
    for name, start in PEERS.items():
        if only and name not in only:
            continue
        try:
            yield stack.enter_context(start(ports))
        except Skipped as why:
            print(f"SKIPPED {name}: {why}", flush=True)


@contextmanager
def defaults() -> Iterator[Project]:
    """Start the router as a person does."""
    with project("route", {MODEL: TARGETS}) as made:
        serve(made)
        yield made


@contextmanager
def protected() -> Iterator[tuple[Project, str]]:
    """Start the router with API keys and a limit; yield it and a key."""
    with project("route-protected", {MODEL: TARGETS}, keys=True, limits=True) as made:
        key = made.mcml("route", "keys", "add", "bench", "--limit", "1000000/s", "-o", "name").strip()
        serve(made)
        request = post(PATH, REQUEST, x_api_key=key)
        until(lambda: not run(made.running.port, request, connections=1, seconds=0.2).failed, 20, "the router does not take the key")
        yield made, key


def report(rounds: Mapping[str, Sequence[Measured]], connections: int) -> int:
    """Print the medians, and the ratios beside their targets; return 0 when all are met."""
    nginx = median(one.cpu_us for one in rounds["nginx"]) if "nginx" in rounds else 0.0
    print(f"\nPOST {PATH}, {len(REQUEST)} bytes, c={connections}, {len(rounds[DIRECT])} interleaved rounds, medians")
    spread = f"{'req/s':>8} {'lowest':>8} {'highest':>8} {'p50 ms':>8} {'p99 ms':>8}"
    print(f"{'proxy':22} {spread} {'failed':>7} {'CPU us/req':>11} {'x nginx':>8}")
    for name, measured in rounds.items():
        rates = [one.round.rps for one in measured]
        p50, p99 = (median(getattr(one.round, part) for one in measured) for part in ("p50", "p99"))
        failed, spent = sum(one.round.failed for one in measured), median(one.cpu_us for one in measured)
        beside = f"{spent / nginx:8.2f}" if nginx else f"{'-':>8}"
        line = f"{name:22} {median(rates):8.0f} {min(rates):8.0f} {max(rates):8.0f} {p50:8.2f} {p99:8.2f} {failed:7}"
        decided = median(one.decided_us for one in measured)
        also = f"  ({decided:.0f} us of them Python, which decides)" if decided else ""
        print(line + ("" if name == DIRECT else f" {spent:11.0f} {beside}{also}"))
    shares = {name: median(one.round.client_cpu for one in measured) for name, measured in rounds.items()}
    print(f"the load generator needed {max(shares.values()):.0%} of a core at most ({max(shares, key=lambda name: shares[name])})")
    return 0 if all(list(verdicts(rounds))) else 1


def verdicts(rounds: Mapping[str, Sequence[Measured]]) -> Iterator[bool]:
    """Judge each target whose peer ran: the median of the ratios of each round, which noise of a whole round does not touch."""

    for peer, least in LEAST.items():
        if peer in rounds:
            times, guarded = (
                median(a.round.rps / max(b.round.rps, 0.1) for a, b in zip(rounds[ours], rounds[peer], strict=True))
                for ours in (DEFAULTS, PROTECTED)
            )
            print(f"requests a second, {PROTECTED} / {peer}: {guarded:.2f} x")
            yield verdict(f"requests a second, {DEFAULTS} / {peer}", times, least, "x", least=True)
    if "nginx" in rounds:
        times = median(a.cpu_us / max(b.cpu_us, 0.1) for a, b in zip(rounds[PROTECTED], rounds["nginx"], strict=True))
        yield verdict(f"CPU per request, {PROTECTED} / nginx", times, MOST_CPU, "x")
    failed = sum(one.round.failed for name in (DEFAULTS, PROTECTED) for one in rounds[name])
    yield verdict("requests that failed at our router", failed, 0, "")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each proxy (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round (default: 3)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help=f"connections at once (default: {CONNECTIONS})")
    parser.add_argument("--only", nargs="*", default=[], choices=list(route_peers.PEERS), help="these peers (default: all)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
