"""The process behind a backend on this machine: never a program that is not a model server of ours."""

from pathlib import Path

from mcml.core.errors import NotFound, ProviderCannot, Unavailable
from mcml.core.process import ProcessRef
from mcml.route.drill.plan import Drill
from mcml.route.records import read_status

SERVER = "mcml.serving"
"""What stands in the command line of every model server that a local target starts."""


def victim(drill: Drill, folder: Path) -> ProcessRef:
    """Return the process that serves the drill's backend.

    Raises ProviderCannot for a backend on another machine or one that is no model server of mcml, Unavailable when it does not run.
    """
    addresses = [
        address
        for route in read_status(folder)["routes"]
        for backend in route["backends"]
        if route["route"] == drill.route and backend["target"] == drill.target
        for address in backend["addresses"]
    ]
    if not addresses:
        raise NotFound(f"{drill.route} has no backend on {drill.target}", next_step="mcml route status")
    host, _, port = addresses[-1].rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ProviderCannot(f"cannot signal the backend on {drill.target}", why=f"it runs on {host}, not on this machine")
    return listener(int(port), drill.target)


def listener(port: int, target: str) -> ProcessRef:
    """Return the model server of ours that listens on a port of this machine. Raises Unavailable, ProviderCannot."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if not listens or connection.pid is None:
            continue
        try:
            process = psutil.Process(connection.pid)
            found, argv = ProcessRef(process.pid, process.create_time()), process.cmdline()
        except psutil.Error:
            continue
        if SERVER in argv:
            return found
        why = f"process {found.pid} on its port is {argv[0] if argv else 'unknown'}, no model server of mcml"
        raise ProviderCannot(f"will not break the backend on {target}", why=why, next_step="mcml deploy list")
    raise Unavailable(f"the backend on {target} does not run", why=f"nothing listens on port {port}", next_step="mcml deploy list")
