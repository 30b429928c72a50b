"""The life of a router: started in the foreground or detached, found again by other commands, drained and ended."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from mcml.core.errors import Conflict, McmlError, NotFound, ProviderCannot, StillRunning, Usage
from mcml.core.process import ProcessRef, is_alive, spawn_detached
from mcml.core.process import stop as stop_process
from mcml.core.schema_routes import Router
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.process import EnvoyProcess
from mcml.route.front.listening import require_free
from mcml.route.parts import DRAIN_SECONDS, Parts, Setup
from mcml.route.records import ENGINE_FILE, Running, forget, read_engine, read_json_object, read_running

STOP_SECONDS = DRAIN_SECONDS + 10.0
"""How long a router may take to end before it is killed."""

ENGINES = ("envoy",)


def serve(setup: Setup, stop: threading.Event, *, engine: str = "envoy") -> None:
    """Serve until `stop` is set, then drain and end the proxy.

    Raises Usage without a route or for an unknown engine, Conflict when a router of this project runs already or a port is taken,
    NotFound or McmlError when there is no Envoy here.
    """
    _check(setup, engine)
    with _only_one(setup.folder), closing(Parts(setup)) as parts:
        parts.start()
        parts.run(stop)


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


@contextmanager
def until_signalled(stop: threading.Event, *, after: float | None = None) -> Iterator[threading.Event]:
    """Let SIGTERM, Ctrl-C, or `after` seconds set `stop` while the block runs.

    Ctrl-C interrupts what has been told to stop; one more SIGTERM does not: `mcml route stop` twice, or beside a service manager, would
    break off the requests that the first one lets end.
    """

    def ask(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
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
