"""Envoy's admin interface over one kept connection; on loopback, for it can end the proxy."""

import http.client

from mcml.core.errors import Unavailable

SECONDS = 2.0


class Admin:
    """Asks the admin interface on a port of this machine. Every method raises Unavailable when it does not answer."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def get(self, path: str) -> str:
        """Read a page."""
        return self._ask("GET", path)

    def post(self, path: str) -> None:
        """Make Envoy do something."""
        self._ask("POST", path)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _ask(self, method: str, path: str) -> str:
        try:
            self._connection.request(method, path)
            return self._connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as failed:
            self._connection.close()  # the next request opens it anew
            raise Unavailable("Envoy's admin interface does not answer", why=str(failed) or type(failed).__name__) from failed
