"""A shadow model beside a route: copies of some requests go to both models once more, and their answers are compared.

A client never waits for it: Envoy sends a copy and forgets it, copies wait in a short line, one that finds it full is dropped and counted.
The route's own model answers a copied request twice, once for the client and once here; a small share of the requests is enough. Of a split
route that is the model which the request was sent to, and each of its models has a tally of its own.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mcml.core.backend import Backend
from mcml.core.clock import Clock, rfc3339
from mcml.core.errors import Unavailable
from mcml.core.files import read_json, write_json
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route, Shadow
from mcml.route.aside.asking import Reply
from mcml.route.aside.helper import Heard
from mcml.route.aside.tally import OUTCOMES, Pair, Tally
from mcml.route.aside.tensors import Tensor, compare, read_outputs
from mcml.route.config.values import CLUSTER_HEADER

SHADOW_FILE = "shadow.json"
WORKERS = 2
MOST_WAITING = 64
MOST_WAITING_BYTES = 64 * 1024 * 1024
SAVE_SECONDS = 2.0
PASSED_ON = ("content-type", "content-encoding", "accept", "inference-header-content-length", "x-request-id")
REGION_HEADER = "x-data-region"


@dataclass(frozen=True)
class Wanted:
    """The shadow of one route: the route's own models (several where it is split), the settings, and the route itself."""

    models: tuple[str, ...]
    shadow: Shadow
    route: Route

    def asked(self, heard: Heard) -> str:
        """Return the model that a copied request was sent to."""
        model = heard.headers.get(CLUSTER_HEADER, "").partition("@")[0]
        return model if model in self.models else self.models[0]


def wanted(routes: Mapping[str, Route]) -> dict[str, Wanted]:
    """Return the routes that have a shadow."""
    return {
        name: Wanted(tuple(route.split) or (route.model or name,), route.shadow, route)
        for name, route in routes.items()
        if route.shadow is not None
    }


def shadow_backends(routes: Mapping[str, Route], backends: Iterable[Backend]) -> tuple[Backend, ...]:
    """Return the backends of the shadow models; Envoy must know them, but no client's request goes there."""
    models = {one.shadow.model for one in wanted(routes).values()}
    return tuple(backend for backend in backends if backend.model in models)


def allowed(route: Route, headers: Mapping[str, str]) -> frozenset[str] | None:
    """Return the targets where a copy may go: those of its data region; None where there are no regions. It fails closed."""
    if route.pattern != "residency":
        return None
    return frozenset(route.regions.get(headers.get(REGION_HEADER) or route.home, ()))


class Comparer:
    """Takes copies, asks both models, and keeps a tally for each route. `backends`: where models run; `up`: backends that serve."""

    def __init__(
        self,
        ask: Callable[..., Reply],
        backends: Callable[[], Sequence[Backend]],
        up: Callable[[], frozenset[str]],
        folder: Path,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._ask = ask
        self._backends = backends
        self._up = up
        self._path = folder / SHADOW_FILE
        self._clock = clock
        self._reporter = reporter
        self._wanted: Mapping[str, Wanted] = {}
        self._tallies = read_tallies(folder)
        self._waiting: deque[Heard] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._writing = threading.Lock()
        self._closing = False
        self._saved = 0.0
        self._dirty = False
        self._said = False
        self._threads = [threading.Thread(target=self._run, name=f"route-shadow-{number}", daemon=True) for number in range(WORKERS)]

    def start(self) -> None:
        """Begin to compare."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, and keep what was counted."""
        with self._change:
            self._closing = True
            self._waiting.clear()
            self._change.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=2.0)
        if self._dirty:
            self._save()

    def want(self, found: Mapping[str, Wanted]) -> tuple[list[Tally], list[Tally]]:
        """Say which routes have a shadow now. Returns the tallies that begin and those that end by it; cheap when nothing changed."""
        if found == self._wanted:
            return [], []
        with self._change:
            self._wanted = dict(found)
            ended = [tally for tally in self._tallies.values() if not tally.ended and not self._is_of(tally)]
            for tally in ended:
                tally.ended = rfc3339(self._clock())
            begun = [
                self._begin(name, model, one) for name, one in found.items() for model in one.models if not self._goes_on(name, model, one)
            ]
            self._dirty = True
        self._save()
        return begun, ended

    def _is_of(self, tally: Tally) -> bool:
        one = self._wanted.get(tally.route)
        return one is not None and tally.ours in one.models and tally.theirs == one.shadow.model

    def _goes_on(self, name: str, model: str, one: Wanted) -> bool:
        tally = self._tallies.get((name, model))
        if tally is None or tally.ended or not self._is_of(tally):
            return False
        tally.percent, tally.tolerance = float(one.shadow.percent), one.shadow.tolerance
        return True

    def _begin(self, name: str, model: str, one: Wanted) -> Tally:
        for key in [key for key, tally in self._tallies.items() if key[0] == name and tally.ended and tally.theirs != one.shadow.model]:
            del self._tallies[key]
        since = rfc3339(self._clock())
        tally = Tally(name, model, one.shadow.model, one.shadow.tolerance, since, float(one.shadow.percent))
        self._tallies[name, model] = tally
        return tally

    def take(self, heard: Heard) -> None:
        """Take a copy; returns at once. The host of a copy is its route."""
        route = heard.host.partition(":")[0]
        if not heard.path.partition("?")[0].endswith("/infer"):
            return
        with self._change:
            one = self._wanted.get(route)
            if one is None or self._closing:
                return
            if len(self._waiting) >= MOST_WAITING or self._bytes + len(heard.body) > MOST_WAITING_BYTES:
                self._tallies[route, one.asked(heard)].drop()
                self._dirty = True
                return
            self._waiting.append(replace(heard, headers={**heard.headers, "host": route}))
            self._bytes += len(heard.body)
            self._change.notify()

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return how many copies had which outcome, by (route, shadow model, outcome)."""
        found: Counter[tuple[str, str, str]] = Counter()
        with self._change:
            for one in self._tallies.values():
                if not one.ended:
                    found.update({(one.route, one.theirs, name): one.outcomes[name] for name in OUTCOMES})
        return dict(found)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closing:
                    self._change.wait(SAVE_SECONDS)
                    if self._dirty and time.monotonic() - self._saved > SAVE_SECONDS:
                        break
                if self._closing:
                    return
                heard = self._waiting.popleft() if self._waiting else None
                self._bytes -= len(heard.body) if heard else 0
            if heard:
                self._compare(heard)
            if self._dirty and time.monotonic() - self._saved > SAVE_SECONDS:
                self._save()

    def _compare(self, heard: Heard) -> None:
        route = heard.host
        one = self._wanted.get(route)
        if one is None:
            return
        model, targets = one.asked(heard), allowed(one.route, heard.headers)
        ours, our_ms, our_failure = self._answer(model, heard, targets)
        theirs, their_ms, their_failure = self._answer(one.shadow.model, heard, targets)
        pair = Pair(heard.headers.get("x-request-id", ""), rfc3339(self._clock()), our_ms, their_ms, None, our_failure, their_failure)
        if ours is not None and theirs is not None:
            pair = _compared(pair, ours, theirs)
        with self._change:
            tally = self._tallies.get((route, model))
            if tally and not tally.ended and self._is_of(tally):
                tally.add(pair)
                self._dirty = True

    def _answer(self, model: str, heard: Heard, targets: frozenset[str] | None) -> tuple[bytes | None, float, str]:
        """Ask one model; return the body, milliseconds, and why there is none."""
        backend = pick(self._backends(), model, self._up(), targets)
        if backend is None:
            return None, 0.0, f"no backend serves {model}" + ("" if targets is None else " in the request's region")
        headers = {name: heard.headers[name] for name in PASSED_ON if name in heard.headers}
        began = time.monotonic()
        try:
            reply = self._ask(backend, f"/v2/models/{model}/infer", heard.body, headers)
        except Unavailable as failed:
            return None, (time.monotonic() - began) * 1000, failed.why or failed.message
        spent = (time.monotonic() - began) * 1000
        return (reply.body, spent, "") if reply.status == 200 else (None, spent, f"status {reply.status}")

    def _save(self) -> None:
        with self._writing:
            with self._change:  # not while it is written: the control loop reads the counts
                self._saved, self._dirty = time.monotonic(), False
                found = [tally.as_json() for tally in self._tallies.values()]
            try:
                write_json(self._path, found, durable=False)
                self._said = False
            except OSError as failed:
                if not self._said:
                    self._reporter.note(f"cannot write what the shadow has shown: {failed}")
                self._said = True


def _compared(pair: Pair, ours: bytes, theirs: bytes) -> Pair:
    (left, our_failure), (right, their_failure) = _outputs(ours), _outputs(theirs)
    difference = compare(left, right) if left is not None and right is not None else None
    return replace(pair, difference=difference, ours_failed=our_failure, theirs_failed=their_failure)


def _outputs(body: bytes) -> tuple[dict[str, Tensor] | None, str]:
    try:
        return read_outputs(body), ""
    except ValueError as broken:
        return None, f"no answer of the v2 protocol ({type(broken).__name__})"


def pick(backends: Sequence[Backend], model: str, up: frozenset[str], targets: frozenset[str] | None) -> str | None:
    """Choose a backend of a model at random: one that serves, if any is known to; None where there is none."""
    names = sorted({one.name for one in backends if one.model == model and (targets is None or one.target in targets)})
    able = [name for name in names if name in up] or names
    return random.choice(able) if able else None  # noqa: S311 - no secret


def read_tallies(folder: Path) -> dict[tuple[str, str], Tally]:
    """Return the tallies of a router's folder by route and the route's own model; none when there is no file, or it is broken."""
    return {(tally.route, tally.ours): tally for tally in _tallies(folder)}


def _tallies(folder: Path) -> Iterator[Tally]:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        for about in read_json(folder / SHADOW_FILE) or ():
            yield Tally.from_json(about)
