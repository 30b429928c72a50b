"""A fact: one thing that happened, as every room writes it to the journal and hands it to `react()`.

Kinds are `room.event`, in the past tense, for example `deploy.finished`, `route.backend_down`; readers ignore kinds they do not know.
"""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mcml.core.clock import utc_now


def current_actor() -> str:
    """Name who is acting: `MCML_ACTOR`, else user@host."""
    named = os.environ.get("MCML_ACTOR")
    if named:
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a passwd entry
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True)
class Fact:
    """One thing that happened.

    `target` is what it happened to (a target, a route, an incident id; empty when none); `facts` holds JSON values only.
    """

    kind: str
    room: str
    target: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    at: datetime = field(default_factory=utc_now)
    actor: str = field(default_factory=current_actor)
