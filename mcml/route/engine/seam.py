"""The seam between deciding and carrying: what the control loop asks of a proxy. Envoy is the one that exists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mcml.core.backend import Backend
from mcml.core.schema_routes import Router
from mcml.route.config.values import Front, RoutePlan
from mcml.route.weights.observe import Observation


@dataclass(frozen=True)
class Desired:
    """What the proxy is to do: the backends it should know, the plan of every route, what `/v2/health/ready` says, and its listener.

    Where the listener listens and writes its log is the engine's to say, whatever `front` has there.
    """

    backends: tuple[Backend, ...]
    plans: tuple[RoutePlan, ...]
    ready: bool
    front: Front = field(default=Front("", 0, ""))


class Engine(Protocol):
    """A proxy that carries the requests on its own and is told now and then what to do."""

    def start(self, desired: Desired) -> None:
        """Serve, or go on serving if a proxy of an earlier `serve` still runs; returns once requests flow.

        Raises Conflict when the port is taken, McmlError when the proxy refuses its configuration or does not start.
        """

    def move(self, router: Router, desired: Desired) -> bool:
        """Listen where `router` says now, if that is another place (port 0: any will do), without losing a request. False: nothing to do.

        Raises Conflict when that place is taken, McmlError when the proxy does not start there: it stays where it is.
        """

    def alive(self) -> bool:
        """Tell whether the proxy's process lives."""

    def apply(self, desired: Desired) -> None:
        """Bring the proxy to what is desired without losing a request; cheap when nothing changed.

        Raises InvalidRequest when that cannot be right: nothing is written, and what is in force stays.
        """

    def changed(self) -> bool:
        """Tell cheaply whether health or the configuration in force is another than at the last glance, or cannot be seen; never raises."""

    def observe(self) -> Observation:
        """Read counters, latencies and health. Raises Unavailable when the proxy does not answer."""

    def rewrite(self) -> None:
        """Forget what was written: the next `apply` writes everything again, whoever changed it in between."""

    def versions(self) -> Mapping[str, str]:
        """Return the version of each part of the configuration that was written last; `Observation.versions` are those in force."""

    def complaint(self) -> str:
        """Return what the proxy last said about a configuration that it did not take; empty when it said nothing."""

    def tidy(self) -> None:
        """Keep the proxy's logs from growing without end; called every few seconds, never raises."""

    def stop(self, *, drain: float) -> None:
        """Refuse new connections, let running requests end for up to `drain` seconds, and end the process."""
