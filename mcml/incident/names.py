"""How incidents are called: `INC-1` on every screen; a person may type `1`, `inc-1` or `INC-1`, and `latest` for the newest."""

import re

from mcml.core.errors import Usage

LATEST = "latest"


def name(identifier: int) -> str:
    """Return the name of an incident."""
    return f"INC-{identifier}"


def parse_name(text: str) -> int:
    """Return the number in an incident's name. Raises Usage for anything that is no name of one."""
    found = re.fullmatch(r"(?:INC-)?([0-9]{1,18})", text.strip(), re.IGNORECASE)
    if not found:
        raise Usage(f"{text!r} is no incident", why="incidents are called 1, INC-1 or latest", next_step="mcml incident list --all")
    return int(found[1])
