"""What a router is put together from: what it reads in threads, the loop that decides, the proxy, and the control port."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mcml.core.backend import Backend
from mcml.core.clock import Clock
from mcml.core.credential import Credential
from mcml.core.errors import McmlError, NotAuthenticated
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.process import reference
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route, Router
from mcml.route.assist import Assistant
from mcml.route.config.upstream import Upstream
from mcml.route.credentials import Credentials, Held, system_authorities
from mcml.route.drill.fault import rerouted
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.envoy import EnvoyEngine
from mcml.route.feeds import Courier, Feed
from mcml.route.front.listener import FrontSource
from mcml.route.loop import Loop, Sources
from mcml.route.overrides import is_cached, read_cache, write_cache
from mcml.route.records import Running, forget, read_running, write_running
from mcml.route.show.control import Control, pages
from mcml.route.weights.decide import ROOM
from mcml.store.route_keys import RouteKey

BACKENDS_SECONDS = 0.5
"""How often we look where the models run; an old version lives for two seconds after its traffic was taken away."""

SETTINGS_SECONDS = 0.5
"""How often mcml.toml is looked at."""

CREDENTIALS_SECONDS = 0.5
CREDENTIALS_PATIENCE = 5.0
"""How long the start waits for the credentials of backends that want some; those that come later serve later."""

OVERRIDES_SECONDS = 0.5
OVERRIDES_PATIENCE = 2.0
"""How long the first start waits to learn what people changed; later ones begin with what was known last."""

PRICES_SECONDS = 5.0
PRICES_PATIENCE = 2.0
"""How long the first decision waits for the first prices."""

DRAIN_SECONDS = 10.0
"""How long running requests may go on after a stop was asked for."""


@dataclass(frozen=True)
class Wanted:
    """What mcml.toml says about the router."""

    routes: Mapping[str, Route]
    router: Router


def _no_credential(backend: Backend) -> Credential:
    raise NotAuthenticated(f"there is no credential for {backend.name}")


@dataclass(frozen=True)
class Setup:
    """What a router is made of.

    `backends` and `price` (of one backend; None: not known) are read again and again in a thread, `emit` is called in another: all three
    may be slow, and may raise. `wanted` returns what mcml.toml says now, `routes` and `router` are what it said at first.
    `credential` (of a backend that wants one) is asked for again and again, in threads; it may be slow, and may raise. `keys` reads the
    API keys of the store, where the router asks for some; it may be slow and may raise, too. `overrides` reads what people
    changed at run time from the store, in a thread as well.
    """

    folder: Path
    routes: Mapping[str, Route]
    router: Router
    backends: Callable[[], list[Backend]]
    price: Callable[[Backend], PriceInfo | None]
    emit: Callable[[Fact], object]
    reporter: Reporter
    clock: Clock
    wanted: Callable[[], Wanted] | None = None
    credential: Callable[[Backend], Credential] = _no_credential
    keys: Callable[[], Sequence[RouteKey]] = tuple
    overrides: Callable[[], Sequence[Override]] = tuple


class Parts:
    """One router. What it reads is asked for once before it is whole; raises what that raises, and Conflict when a port is taken."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._control = Control(setup.router.control_port)
        try:
            self._put_together(setup)
        except BaseException:
            self._control.close()
            raise

    def _put_together(self, setup: Setup) -> None:
        self._proxy = _engine(setup)
        self._backends = _backends_feed(setup)
        self._prices = _prices_feed(setup, self._backends)
        self._overrides = _overrides_feed(setup)
        self._wanted = _wanted_feed(setup)
        self._courier = Courier(setup.emit, setup.reporter)
        self._keeper, self._credentials = _credentials_feed(setup, self._backends, self._courier)
        post, reporter, clock = self._courier.post, setup.reporter, setup.clock
        self._front = FrontSource(setup.folder, lambda: self._wanted.value.router, setup.keys, post, reporter=reporter, clock=clock)
        self._assistant = Assistant(
            setup.folder, lambda: self._backends.value, lambda: self._wanted.value.routes, post, reporter=reporter, clock=clock
        )
        self._read = (
            self._backends, self._prices, self._wanted, self._credentials, self._front, self._overrides, self._assistant
        )  # fmt: skip
        self._loop = Loop(
            self._proxy,
            setup.routes,
            self._sources(),
            self._courier,
            folder=setup.folder,
            reporter=reporter,
            clock=clock,
            board=self._assistant.board,
        )

    def _sources(self) -> Sources:
        return Sources(
            lambda: self._backends.value,
            lambda: self._prices.value,
            lambda: self._wanted.value.routes,
            lambda: self._credentials.value,
            self._assistant.around(self._front.front),
            lambda: self._overrides.value,
            lambda: self._wanted.value.router,
            lambda: sum(one.changes for one in self._read),
        )

    def start(self) -> None:
        """Begin to serve. Raises what `Engine.start` raises."""
        self._assistant.start()
        self._prices.start()  # what it needs is imported and read while the proxy starts
        self._overrides.start()
        self._credentials.start()
        if not is_cached(self._setup.folder):
            self._overrides.settle(OVERRIDES_PATIENCE)
        self._loop.start()
        self._prices.settle(PRICES_PATIENCE)
        self._overrides.settle(OVERRIDES_PATIENCE)
        self._loop.turn()
        self._answer()
        self._announce()
        self._loop.on_reload = self._write_running
        self._loop.on_router = self._move_control
        self._backends.start()
        self._wanted.start()
        self._front.start()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set."""
        self._loop.run(stop)

    def close(self) -> None:
        """Drain, end the proxy and everything else."""
        for one in self._read:
            one.close()
        served = read_running(self._setup.folder) is not None
        self._proxy.stop(drain=DRAIN_SECONDS)
        forget(self._setup.folder)
        if served:
            self._courier.post(Fact("route.stopped", ROOM, "", {"routes": sorted(self._setup.routes)}, self._setup.clock()))
            self._setup.reporter.note("the router has stopped")
        self._courier.close()
        self._keeper.clear()
        self._control.close()

    def _answer(self) -> None:
        self._control.start(pages(self._loop.board, self._setup.folder, self._proxy, self._setup.clock))

    def _announce(self) -> None:
        running = self._write_running(self._setup.routes)
        names = sorted(backend.name for backend in self._backends.value)
        facts = {"routes": list(running.routes), "listen": running.url, "backends": names, "took_over": self._proxy.adopted}
        self._courier.post(Fact("route.started", ROOM, "", facts, self._setup.clock()))
        also = " (took over the running proxy)" if self._proxy.adopted else ""
        page = f"; status page {running.control_url}" if running.control_url else ""
        self._setup.reporter.note(f"serving {', '.join(running.routes)} on {running.url}{also}{page}")

    def _write_running(self, routes: Mapping[str, Route]) -> Running:
        me = reference(os.getpid())
        if me is None:
            raise McmlError("cannot find our own process", next_step="mcml doctor")
        proxy = self._proxy
        running = Running(me, proxy.host, proxy.port, proxy.admin_port, tuple(sorted(routes)), self._control.port, proxy.tls)
        write_running(proxy.folder, running)
        return running

    def _move_control(self, router: Router) -> None:
        """Answer on the control port that mcml.toml names now (0: any will do). Raises Conflict when it is taken: the old one stays."""
        if router.control_port in (0, self._control.port):
            return
        before, self._control = self._control, Control(router.control_port)
        self._answer()
        self._write_running(self._wanted.value.routes)
        before.close()
        self._setup.reporter.note(f"the status page has moved to port {self._control.port}")


def _backends_feed(setup: Setup) -> Feed[tuple[Backend, ...]]:
    def read() -> tuple[Backend, ...]:
        return rerouted(setup.folder, setup.backends())

    return Feed("backends", read, read(), seconds=BACKENDS_SECONDS, reporter=setup.reporter)


def _credentials_feed(
    setup: Setup, backends: Feed[tuple[Backend, ...]], courier: Courier
) -> tuple[Credentials, Feed[Mapping[str, Held]]]:
    """Ask for the first credentials, and return what keeps them and how they stand."""
    keeper = Credentials(setup.folder / "credentials", setup.credential, courier.post, setup.reporter, setup.clock)
    keeper.refresh(backends.value)
    keeper.settle(CREDENTIALS_PATIENCE)
    first = keeper.refresh(backends.value)
    return keeper, Feed(
        "credentials", lambda: keeper.refresh(backends.value), first, seconds=CREDENTIALS_SECONDS, reporter=setup.reporter
    )


def _wanted_feed(setup: Setup) -> Feed[Wanted]:
    first = Wanted(setup.routes, setup.router)
    return Feed("settings", setup.wanted or (lambda: first), first, seconds=SETTINGS_SECONDS, reporter=setup.reporter)


def _overrides_feed(setup: Setup) -> Feed[tuple[Override, ...]]:
    """Read what people changed, beginning with what was known last: what was drained gets no request while the store is opened."""

    def read() -> tuple[Override, ...]:
        found = tuple(setup.overrides())
        if found != read_cache(setup.folder) or not is_cached(setup.folder):
            write_cache(setup.folder, found)
        return found

    return Feed("overrides", read, read_cache(setup.folder), seconds=OVERRIDES_SECONDS, reporter=setup.reporter)


def _prices_feed(setup: Setup, backends: Feed[tuple[Backend, ...]]) -> Feed[Mapping[str, PriceInfo]]:
    def read() -> Mapping[str, PriceInfo]:
        found = {backend.name: setup.price(backend) for backend in backends.value}
        return {name: price for name, price in found.items() if price is not None}

    return Feed("prices", read, {}, seconds=PRICES_SECONDS, reporter=setup.reporter)


def _engine(setup: Setup) -> EnvoyEngine:
    binary = find_envoy()
    router = setup.router
    software = metadata.version("mcml")
    upstream = Upstream(str((setup.folder / "credentials").resolve()), system_authorities())
    return EnvoyEngine(
        setup.folder,
        binary=binary,
        host=router.host,
        port=router.port,
        admin_port=router.admin_port,
        software=software,
        upstream=upstream,
    )
