"""The control loop: look at the proxy, decide, tell it, and hand the facts on. It never waits for a database.

Four times a second it glances at what must not wait (health, configuration, what people and files say); at the rest, with a whole turn,
it looks once a second.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mcml.core.backend import Backend
from mcml.core.clock import Clock
from mcml.core.errors import InvalidRequest, McmlError, Unavailable
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route, Router
from mcml.route.aside.shadow import shadow_backends
from mcml.route.config.grpc import speechless
from mcml.route.config.values import Front
from mcml.route.credentials import Held
from mcml.route.engine.seam import Desired, Engine
from mcml.route.feeds import Courier, to_next_beat
from mcml.route.records import DecisionLog, write_status
from mcml.route.show.board import Board
from mcml.route.status import status
from mcml.route.weights.decide import ROOM, Outcome, Reading, State, group, turn
from mcml.route.weights.observe import Observation
from mcml.route.weights.spend import read_spend, write_spend

TICK = 0.25
TICK_LAG = 0.02
"""Seconds that the loop comes after those who read for it, who begin at the same beat."""

TICKS_A_TURN = 4
"""A turn is taken at least every so many ticks, also when a glance shows nothing new."""

STATUS_SECONDS = 0.9
"""A little less than between two turns when nothing happens."""

REWRITE_SECONDS = 30.0
TIDY_SECONDS = 10.0
HUNG_SECONDS = 10.0
"""A proxy that lives but says nothing for so long is started again."""

LOG_QUIET_SECONDS = 60.0
RESTART_PAUSE = (0.5, 5.0)
"""First and longest pause between two attempts to start a proxy that does not start."""


@dataclass(frozen=True)
class Sources:
    """Where the loop reads what is not the proxy's: all return at once.

    `routes`: what mcml.toml says now (None: what it said at first). `credentials`: those that the proxy has, by backend name; a backend
    that wants one waits until it is there. `front`: what the listener is to be, for these routes.
    `overrides`: what people changed at run time. `router`: where to listen, as mcml.toml says now.
    `changes`: how often any of all this has changed (None: not counted, it may have).
    """

    backends: Callable[[], tuple[Backend, ...]]
    prices: Callable[[], Mapping[str, PriceInfo]]
    routes: Callable[[], Mapping[str, Route]] | None = None
    credentials: Callable[[], Mapping[str, Held]] = dict
    front: Callable[[Mapping[str, Route]], Front] = lambda _: Front("", 0, "")
    overrides: Callable[[], tuple[Override, ...]] = tuple
    router: Callable[[], Router] | None = None
    changes: Callable[[], int] | None = None


class Loop:
    """The state of one running router."""

    def __init__(
        self,
        engine: Engine,
        routes: Mapping[str, Route],
        sources: Sources,
        courier: Courier,
        *,
        folder: Path,
        reporter: Reporter,
        clock: Clock,
        board: Board | None = None,
    ) -> None:
        self.engine = engine
        self.board = board or Board()
        self.restarts = 0
        self._routes = routes
        self._sources = sources
        self._courier = courier
        self._folder = folder
        self._reporter = reporter
        self._clock = clock
        self._log = DecisionLog(folder)
        self._state = State(spend=read_spend(folder))
        self._refused = self._log_failures = 0
        self._log_failed_at = -LOG_QUIET_SECONDS
        self._rewrote_at = -REWRITE_SECONDS
        self._seen_at = time.monotonic()
        self._idle_ticks = self._changes = 0
        self._told = self._tidied = 0.0
        self._said: set[str] = set()
        self._listens: Router | None = None if sources.router is None else sources.router()
        self.on_reload: Callable[[Mapping[str, Route]], object] = lambda _: None
        self.on_router: Callable[[Router], object] = lambda _: None

    def start(self) -> None:
        """Start the proxy with every backend that is known; the first turn gives them weights. Raises what `Engine.start` raises."""
        reading = self._reading(None)
        state, outcome = turn(self._state, self._routes, reading)
        self.engine.start(self._desired(outcome, reading, state.routes))
        self._seen_at = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Take turns until `stop` is set."""
        while not stop.is_set():
            try:
                if self._has_news():
                    self.turn(stop)
            except Exception as bug:  # noqa: BLE001 - a bug in a decision must not take the traffic down with it
                self._say("turn", f"a turn of the control loop failed, the weights stay: {type(bug).__name__}: {bug}")
            stop.wait(to_next_beat(TICK, TICK_LAG))

    def _has_news(self) -> bool:
        """Tell whether a turn is worth its time now: something changed, a backend is on trial, or none was taken for a while."""
        changes = None if self._sources.changes is None else self._sources.changes()
        self._idle_ticks += 1
        due = self._idle_ticks >= TICKS_A_TURN or any(one.health.place == "trial" for one in self._state.tracked.values())
        if changes is None or changes != self._changes or due or self.engine.changed():
            self._changes, self._idle_ticks = changes or 0, 0
            return True
        return False

    def turn(self, stop: threading.Event | None = None) -> None:
        """Take one turn: nothing that goes wrong in it ends the loop, and each trouble is said once."""
        if not self.engine.alive():
            self._restart(stop or threading.Event())
            return
        try:
            observation = self.engine.observe()
        except (Unavailable, ValueError) as failed:
            self._say("observe", f"cannot read the proxy's statistics, its weights stay: {failed}")
            if time.monotonic() - self._seen_at > HUNG_SECONDS:
                self._restart(stop or threading.Event())
            return
        self._seen_at = time.monotonic()
        self._said.discard("observe")
        self._reload()
        reading = self._reading(observation)
        self._state, outcome = turn(self._state, self._routes, reading)
        self._check_refusals(observation)
        self._check_log(observation, reading.now)
        self._move(outcome, reading)
        self._carry_out(outcome, reading)
        if outcome.facts:
            self._courier.post(*(self._with_versions(fact) for fact in outcome.facts))
        self._tell(reading)
        if reading.now - self._tidied >= TIDY_SECONDS:
            self._tidied = reading.now
            self.engine.tidy()

    def _reload(self) -> None:
        """Take up the routes that mcml.toml has now."""
        routes = self._routes if self._sources.routes is None else self._sources.routes()
        if routes == self._routes:
            return
        before, self._routes = self._routes, routes
        facts: dict[str, object] = {
            "added": sorted(routes.keys() - before.keys()),
            "removed": sorted(before.keys() - routes.keys()),
            "changed": sorted(name for name in routes.keys() & before.keys() if routes[name] != before[name]),
        }
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in facts.items() if isinstance(names, list) and names)
        self._reporter.note(f"mcml.toml was read again; routes {said}")
        self._courier.post(Fact("route.reloaded", ROOM, "", facts, self._clock()))
        self.on_reload(routes)

    def _move(self, outcome: Outcome, reading: Reading) -> None:
        """Listen where mcml.toml says now; where that is not possible, go on where we are, and say so once for each place."""
        if self._sources.router is None or (router := self._sources.router()) == self._listens:
            return
        self._listens = router
        try:
            if self.engine.move(router, self._desired(outcome, reading, self._state.routes)):
                self._reporter.note("mcml.toml names another address; a new proxy has taken over there")
                self.on_reload(self._routes)
            self.on_router(router)
        except (McmlError, OSError) as failed:
            self._reporter.note(f"the router stays where it listens: {failed}")
            self._courier.post(Fact("route.settings_refused", ROOM, "", {"reason": str(failed)}, self._clock()))

    def _reading(self, observation: Observation | None) -> Reading:
        held = self._sources.credentials()
        backends = tuple(one for one in self._sources.backends() if one.auth == "none" or one.name in held)
        now, at = time.monotonic(), self._clock()
        return Reading(now, at, observation, backends, self._sources.prices(), self._sources.overrides())

    def _desired(self, outcome: Outcome, reading: Reading, routes: Mapping[str, Route]) -> Desired:
        """Put together what the proxy is to do; `routes` are those of mcml.toml with what people changed."""
        members = group(routes, reading.backends)
        serving = tuple(backend for name in members for backend in members[name])
        backends = tuple(dict.fromkeys((*serving, *shadow_backends(routes, reading.backends))))
        return Desired(backends, outcome.plans, outcome.ready, self._sources.front(routes))

    def _carry_out(self, outcome: Outcome, reading: Reading) -> None:
        for name in speechless(reading.backends, outcome.plans):
            self._say(f"grpc {name}", f"{name} gets no gRPC calls: it speaks HTTP only")
        try:
            self.engine.apply(self._desired(outcome, reading, self._state.routes))
            for decision in outcome.decisions:
                self._log.append(decision)
        except OSError as failed:
            self._say("write", f"cannot write the router's files, the weights stay: {failed}")
        except InvalidRequest as unsound:
            if "unsound" not in self._said:
                self._courier.post(Fact("route.config_refused", ROOM, "", {"reason": unsound.why}, self._clock()))
            self._say("unsound", f"{unsound.message}, the weights stay: {unsound.why}")
        else:
            self._said -= {"write", "unsound"}

    def _with_versions(self, fact: Fact) -> Fact:
        """Say with new weights by which versions of the proxy's configuration they are carried out."""
        if fact.kind != "route.weights":
            return fact
        return replace(fact, facts={**fact.facts, "config": dict(self.engine.versions())})

    def _check_refusals(self, observation: Observation) -> None:
        """The proxy keeps its last good configuration when it is given a broken one; say so, and write ours again (once a while)."""
        if observation.refused > self._refused and time.monotonic() - self._rewrote_at > REWRITE_SECONDS:
            self._rewrote_at = time.monotonic()
            words = self.engine.complaint()
            self._reporter.note(f"the proxy did not take a configuration and stays with the one before; it is written again: {words}")
            self._courier.post(Fact("route.config_refused", ROOM, "", {"reason": words}, self._clock()))
            self.engine.rewrite()
        self._refused = observation.refused

    def _check_log(self, observation: Observation, now: float) -> None:
        """An access log that cannot be written (a full disk) costs lines and no request; say so, once until it was well for a minute."""
        if observation.log_failures > self._log_failures:
            if now - self._log_failed_at > LOG_QUIET_SECONDS:
                self._reporter.note("the access log cannot be written, lines of it are lost (is the disk full?); requests are served")
                self._courier.post(Fact("route.log_lost", ROOM, "", {}, self._clock()))
            self._log_failed_at = now
        self._log_failures = observation.log_failures

    def _restart(self, stop: threading.Event) -> None:
        """Bring the proxy back; as often as it takes, with growing pauses."""
        self._reporter.note("the proxy does not answer, starting it again")
        pause = RESTART_PAUSE[0]
        while not stop.is_set():
            try:
                reading = self._reading(None)
                state, outcome = turn(self._state, self._routes, reading)
                self.engine.start(self._desired(outcome, reading, state.routes))
                break
            except (McmlError, OSError) as failed:
                self._say("restart", f"the proxy does not start: {failed}")
                stop.wait(pause)
                pause = min(2 * pause, RESTART_PAUSE[1])
        else:
            return
        self._said.discard("restart")
        self.restarts += 1
        self._refused = self._log_failures = 0
        down = round(time.monotonic() - self._seen_at, 3)
        self._reporter.note(f"the proxy serves again after {down:.1f} s")
        facts = {"routes": sorted(self._routes), "down_s": down, "restarts": self.restarts}
        self._courier.post(Fact("route.engine_restarted", ROOM, "", facts, self._clock()))

    def _tell(self, reading: Reading) -> None:
        """Write the status file, once a second."""
        if reading.now - self._told < STATUS_SECONDS:
            return
        self._told = reading.now
        self._say_unfit()
        seen = reading.observation.backends if reading.observation else {}
        routes = self._state.routes
        told = status(self._state, routes, group(routes, reading.backends), reading.prices, reading.at, seen, self._sources.credentials())
        told["restarts"] = self.restarts
        told["config"] = _versions(self.engine.versions(), reading.observation)
        self.board.show(told, {name: tracked.totals for name, tracked in self._state.tracked.items()})
        try:
            write_status(self._folder, told)
            if self._state.spend.routes:
                write_spend(self._folder, self._state.spend)
        except OSError as failed:
            self._say("status", f"cannot write the status file: {failed}")
        else:
            self._said.discard("status")

    def _say_unfit(self) -> None:
        for name, found in self._state.rules.items():
            for one in found.unfit:
                step = f"mcml route {one.kind} {name} --reset"
                self._say(f"unfit {name} {one.key}", f"what {one.actor} changed on {name} ({one.kind}) no longer fits mcml.toml: {step}")

    def _say(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._reporter.note(text)


def _versions(written: Mapping[str, str], observation: Observation | None) -> dict[str, dict[str, str]]:
    """Return of each part of the proxy's configuration the version that was written last and the one that it has acknowledged."""
    in_force = observation.versions if observation else {}
    return {name: {"written": version, "in_force": in_force.get(name, "")} for name, version in sorted(written.items())}
