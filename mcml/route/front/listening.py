"""Whether an address can be listened on, and what is said when it cannot."""

import errno
import socket

from mcml.core.errors import Conflict


def require_free(what: str, host: str, port: int) -> None:
    """Check that an address can be listened on (port 0: any will do). Raises Conflict with the system's reason."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failed:
            held = failed.errno == errno.EADDRINUSE
            raise cannot_listen(what, host, port, "another program holds that port" if held else str(failed.strerror)) from failed


def cannot_listen(what: str, host: str, port: int, why: str) -> Conflict:
    """Build the error for an address that the router cannot have."""
    return Conflict(
        f"the {what} cannot listen on {host}:{port}",
        why=why,
        next_step="mcml route serve --port 0   (takes a free one), or set router.port in mcml.toml",
    )


def address_of(host: str) -> str:
    """Return where to listen for a host of mcml.toml: Envoy listens on addresses only."""
    return "127.0.0.1" if host == "localhost" else host
