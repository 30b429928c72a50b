"""Asking the control port of a running router, from another process."""

import http.client
import json
from typing import Any

from mcml.core.errors import Unavailable
from mcml.route.records import Running

SECONDS = 3.0


def ask(running: Running, path: str) -> Any:
    """Return what a JSON page of the control port says. Raises Unavailable."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", running.control_port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as failed:
        raise Unavailable("the router's control port does not answer", why=str(failed) or type(failed).__name__) from failed
