"""How a drill breaks a backend and mends it again: by signals where it is a process of ours here, by a relay in front of it elsewhere."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from mcml.core.backend import Backend
from mcml.core.errors import ProviderCannot, Unavailable, Usage
from mcml.core.files import read_json, write_json
from mcml.core.process import ProcessRef, is_alive, reference
from mcml.route.drill.modes import Mode
from mcml.route.drill.plan import Speaks
from mcml.route.drill.refuser import refuser
from mcml.route.drill.relay import Relay
from mcml.route.records import read_status

DRILL_FILE = "drill.json"
SWITCH_SECONDS = 15.0
"""How long the router may take until it reaches a backend through the relay, or directly again."""
SETTLE_SECONDS = 1.0
"""After the router said that it goes another way: for the proxy to have it, and to have checked the backend's health there."""


class Fault(Protocol):
    """One way to fail."""

    def begin(self) -> None:
        """Break the backend."""

    def end(self) -> bool:
        """Mend it; False when that is for somebody else to do."""


@dataclass(frozen=True)
class Killed:
    """SIGKILL, as a crash would; nobody brings it back here."""

    process: ProcessRef

    def begin(self) -> None:
        """See `Fault.begin`. Raises Unavailable when it is gone already."""
        _signal(self.process, signal.SIGKILL)

    def end(self) -> bool:
        """See `Fault.end`."""
        return False


@dataclass(frozen=True)
class Stopped:
    """SIGSTOP: the process hangs, its connections stand."""

    process: ProcessRef

    def begin(self) -> None:
        """See `Fault.begin`. Raises Unavailable when it is gone."""
        _signal(self.process, signal.SIGSTOP)

    def end(self) -> bool:
        """See `Fault.end`."""
        _signal(self.process, signal.SIGCONT)
        return True


@dataclass(frozen=True)
class Relayed:
    """Relays misbehave in the backend's stead: one for HTTP, and one for gRPC where it speaks it."""

    relays: tuple[Relay, ...]
    mode: Mode

    def begin(self) -> None:
        """See `Fault.begin`."""
        for relay in self.relays:
            relay.set(self.mode)

    def end(self) -> bool:
        """See `Fault.end`."""
        for relay in self.relays:
            relay.set("ok")
        return True


def _signal(process: ProcessRef, number: int) -> None:
    if not is_alive(process):
        raise Unavailable(f"process {process.pid} is gone already", next_step="mcml deploy list")
    os.kill(process.pid, number)


def check(mode: Mode, backend: Backend, protocol: Speaks = "http") -> None:
    """Check that a mode fits a backend and the load. Raises Usage with the modes that do."""
    if mode == "429" and protocol == "grpc":
        raise Usage("gRPC has no 429", why="a call that is refused so is not tried elsewhere", next_step="use --mode 503 or reset")
    if mode == "tls" and not backend.tls:
        raise Usage(f"{backend.name} speaks no TLS", why="there is no handshake that could fail", next_step="use --mode reset")
    if mode in ("503", "429") and backend.tls:
        why = "its answers are encrypted, a drill can only break them off or hold them"
        raise ProviderCannot(f"cannot answer {mode} in the stead of {backend.name}", why=why, next_step="use --mode reset, stop or slow")


@contextmanager
def through_relay(folder: Path, backend: Backend, mode: Mode, *, delay: float, protocol: Speaks = "http") -> Iterator[Relayed]:
    """Put a relay between the project's router and a backend while the block runs.

    Raises Unavailable when the router does not take it up. If this process dies the router notices and goes back.
    """
    check(mode, backend, protocol)
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(*backend.address, delay=delay))]
        if backend.grpc_port:
            refuses = stack.enter_context(refuser()) if (mode, protocol) == ("503", "grpc") else 0
            relays.append(stack.enter_context(Relay(backend.host, backend.grpc_port, delay=delay, refuses=refuses)))
        fault = Relayed(tuple(relays), mode)
        try:
            _write(folder, {backend.name: [relay.port for relay in relays]})
            _wait(folder, backend.name, f"127.0.0.1:{relays[0].port}", ("up",))
            yield fault
        finally:
            fault.end()
            (folder / DRILL_FILE).unlink(missing_ok=True)
        _wait(folder, backend.name, "{}:{}".format(*backend.address), ("up", "trial"))


def _write(folder: Path, through: dict[str, list[int]]) -> None:
    me = reference(os.getpid())
    if me is None:
        raise Unavailable("cannot find our own process", next_step="mcml doctor")
    write_json(folder / DRILL_FILE, {**asdict(me), "through": through}, durable=False)


def _wait(folder: Path, name: str, address: str, states: Sequence[str]) -> None:
    """Wait until the router sends to an address, and finds the backend in one of these states there."""
    end = time.monotonic() + SWITCH_SECONDS
    while time.monotonic() < end:
        found = [one for route in read_status(folder)["routes"] for one in route["backends"] if one["backend"] == name]
        if found and all(one["addresses"] == [address] and one["state"] in states for one in found):
            return time.sleep(SETTLE_SECONDS)
        time.sleep(0.05)
    raise Unavailable(f"the router does not reach {name} at {address}", why="its backend is not up there", next_step="mcml route status")


def rerouted(folder: Path, backends: Sequence[Backend]) -> tuple[Backend, ...]:
    """Return the backends as the router is to reach them: through the relay of a drill that runs."""
    through = _through(folder)
    return tuple(replace(one, via=through[one.name][0], grpc_via=through[one.name][1]) if one.name in through else one for one in backends)


def _through(folder: Path) -> dict[str, tuple[int, int]]:
    try:
        drill = read_json(folder / DRILL_FILE)
        if is_alive(ProcessRef(int(drill["pid"]), float(drill["started"]))):
            ports = {str(name): [int(port) for port in found] for name, found in drill["through"].items()}
            return {name: (found[0], found[1] if len(found) > 1 else 0) for name, found in ports.items()}
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        pass
    return {}
