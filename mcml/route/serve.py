"""The life of a router: started in the foreground or detached, found again by other commands, drained and ended."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from mcml.core.backend import Backend
from mcml.core.clock import Clock
from mcml.core.credential import Credential
from mcml.core.errors import Conflict, McmlError, NotAuthenticated, NotFound, ProviderCannot, StillRunning, Usage
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.process import ProcessRef, is_alive, reference, spawn_detached
from mcml.core.process import stop as stop_process
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route, Router
from mcml.route.assist import Assistant
from mcml.route.binary import find_envoy
from mcml.route.config import Upstream
from mcml.route.control import Control, pages
from mcml.route.credentials import Credentials, Held, system_authorities
from mcml.route.decide import ROOM
from mcml.route.envoy import EnvoyEngine
from mcml.route.envoy_process import EnvoyProcess
from mcml.route.fault import rerouted
from mcml.route.feeds import Courier, Feed
from mcml.route.front import FrontSource
from mcml.route.listening import require_free
from mcml.route.loop import Loop, Sources
from mcml.route.overrides import is_cached, read_cache, write_cache
from mcml.route.records import ENGINE_FILE, Running, forget, read_engine, read_json_object, read_running, write_running
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

STOP_SECONDS = DRAIN_SECONDS + 10.0
"""How long a router may take to end before it is killed."""

ENGINES = ("envoy",)


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


def serve(setup: Setup, stop: threading.Event, *, engine: str = "envoy") -> None:
    """Serve until `stop` is set, then drain and end the proxy.

    Raises Usage without a route or for an unknown engine, Conflict when a router of this project runs already or a port is taken,
    NotFound or McmlError when there is no Envoy here.
    """
    _check(setup, engine)
    with _only_one(setup.folder), closing(Control(setup.router.control_port)) as control:
        proxy = _engine(setup)
        backends = _backends_feed(setup)
        prices = _prices_feed(setup, backends)
        overrides = _overrides_feed(setup)
        wanted = _wanted_feed(setup)
        courier = Courier(setup.emit, setup.reporter)
        keeper, credentials = _credentials_feed(setup, backends, courier)
        front = FrontSource(
            setup.folder, lambda: wanted.value.router, setup.keys, courier.post, reporter=setup.reporter, clock=setup.clock
        )
        assistant = Assistant(
            setup.folder, lambda: backends.value, lambda: wanted.value.routes, courier.post, reporter=setup.reporter, clock=setup.clock
        )
        loop = Loop(
            proxy,
            setup.routes,
            Sources(
                lambda: backends.value,
                lambda: prices.value,
                lambda: wanted.value.routes,
                lambda: credentials.value,
                assistant.around(front.front),
                lambda: overrides.value,
                lambda: wanted.value.router,
            ),
            courier,
            folder=setup.folder,
            reporter=setup.reporter,
            clock=setup.clock,
            board=assistant.board,
        )
        try:
            assistant.start()
            prices.start()  # what it needs is imported and read while the proxy starts
            overrides.start()
            credentials.start()
            if not is_cached(setup.folder):
                overrides.settle(OVERRIDES_PATIENCE)
            loop.start()
            prices.settle(PRICES_PATIENCE)
            overrides.settle(OVERRIDES_PATIENCE)
            loop.turn()
            control.start(pages(loop.board, setup.folder, proxy, setup.clock))
            _announce(setup, proxy, courier, backends.value, control.port)
            loop.on_reload = lambda routes: _write_running(proxy, routes, control.port)
            backends.start()
            wanted.start()
            front.start()
            loop.run(stop)
        finally:
            _end(setup, proxy, courier, (backends, prices, wanted, credentials, front, overrides, assistant))
            keeper.clear()


def _check(setup: Setup, engine: str) -> None:
    if engine not in ENGINES:
        raise Usage(f"no engine named {engine!r}", why=f"engines: {', '.join(ENGINES)}", next_step="mcml route serve --engine envoy")
    if not setup.routes:
        raise Usage("there is no route to serve", why="mcml.toml has no [routes.NAME]", next_step="mcml config example")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the project's router lock; the kernel lets go of it when we die, however we die."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "serve.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as held:
        raise runs_already(read_running(folder)) from held
    try:
        yield
    finally:
        lock.release()


def runs_already(running: Running | None) -> Conflict:
    """Build the error for a second router in one project."""
    who = f"pid {running.process.pid} serves {', '.join(running.routes)} on {running.url}" if running else "it is just starting"
    return Conflict("a router of this project runs already", why=who, next_step="mcml route status, or: mcml route stop")


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


def _announce(setup: Setup, proxy: EnvoyEngine, courier: Courier, backends: Sequence[Backend], control_port: int) -> None:
    running = _write_running(proxy, setup.routes, control_port)
    names = sorted(backend.name for backend in backends)
    facts = {"routes": list(running.routes), "listen": running.url, "backends": names, "took_over": proxy.adopted}
    courier.post(Fact("route.started", ROOM, "", facts, setup.clock()))
    also = " (took over the running proxy)" if proxy.adopted else ""
    setup.reporter.note(f"serving {', '.join(running.routes)} on {running.url}{also}")


def _write_running(proxy: EnvoyEngine, routes: Iterable[str], control_port: int) -> Running:
    me = reference(os.getpid())
    if me is None:
        raise McmlError("cannot find our own process", next_step="mcml doctor")
    running = Running(me, proxy.host, proxy.port, proxy.admin_port, tuple(sorted(routes)), control_port, proxy.tls)
    write_running(proxy.folder, running)
    return running


def _end(setup: Setup, proxy: EnvoyEngine, courier: Courier, feeds: Sequence[Feed[Any] | FrontSource | Assistant]) -> None:
    for feed in feeds:
        feed.close()
    served = read_running(setup.folder) is not None
    proxy.stop(drain=DRAIN_SECONDS)
    forget(setup.folder)
    if served:
        courier.post(Fact("route.stopped", ROOM, "", {"routes": sorted(setup.routes)}, setup.clock()))
        setup.reporter.note("the router has stopped")
    courier.close()


@contextmanager
def until_signalled(stop: threading.Event, *, after: float | None = None) -> Iterator[threading.Event]:
    """Let SIGTERM, Ctrl-C, or `after` seconds set `stop` while the block runs; a second signal interrupts."""

    def ask(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    timer = threading.Timer(after or 0.0, stop.set)
    try:
        if after is not None:
            timer.start()
        yield stop
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def start_detached(folder: Path, router: Router, argv: Sequence[str], *, cwd: Path, seconds: float) -> Running:
    """Start `argv` (a foreground `serve` of the same project) as a process of its own, and return once it serves.

    Raises Conflict when a router runs already or the port is taken, StillRunning when it does not serve after `seconds`, McmlError with
    the end of its log when it gave up.
    """
    running = read_running(folder)
    if running is not None:
        raise runs_already(running)
    find_envoy()
    if read_engine(folder) is None:
        require_free("router", router.host, router.port)
    log = folder / "serve.log"
    began_at = log.stat().st_size if log.exists() else 0
    try:
        child = spawn_detached(argv, log=log, cwd=cwd)
    except ChildProcessError as gone:
        raise _gave_up(log, began_at) from gone
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        running = read_running(folder)
        if running is not None and running.process.pid == child.pid:
            return running
        if not is_alive(child):
            raise _gave_up(log, began_at)
        time.sleep(0.02)
    raise StillRunning(f"the router does not serve after {seconds:g} s", why="it is still starting", next_step=f"see {log}")


def _gave_up(log: Path, began_at: int) -> McmlError:
    with log.open("rb") as source:
        source.seek(began_at)
        said = source.read().decode(errors="replace").strip()
    return McmlError("the router did not start", why="\n".join(said.splitlines()[-6:]), next_step=f"mcml route serve, or see {log}")


def stop(folder: Path, *, seconds: float = STOP_SECONDS) -> ProcessRef:
    """Drain and end the project's router, and return what was ended: also a proxy whose router died, which serves on with its last weights.

    Raises NotFound when neither runs.
    """
    running, proxy = read_running(folder), EnvoyProcess.from_json(read_json_object(folder / ENGINE_FILE))
    ended = running.process if running else proxy.ref if proxy else None
    if ended is None:
        forget(folder)
        raise NotFound("no router of this project runs", next_step="mcml route serve")
    if running:
        stop_process(running.process, grace=seconds)
    if proxy:
        proxy.end(grace=3.0)  # it is gone already unless its router was killed
    if read_running(folder) or read_engine(folder):
        raise ProviderCannot(f"process {ended.pid} does not end", next_step=f"kill -9 {ended.pid}")
    forget(folder)
    return ended
