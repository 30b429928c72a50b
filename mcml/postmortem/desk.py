"""Gathers the evidence of an incident from the store, and writes the draft where a person will edit it."""

import re
from pathlib import Path

from mcml.core.clock import Clock, utc_now
from mcml.core.errors import Conflict, McmlError
from mcml.core.fact import Fact, current_actor
from mcml.core.files import write_atomic
from mcml.incident import desk
from mcml.incident.names import name
from mcml.incident.timeline import story
from mcml.postmortem.evidence import Evidence
from mcml.store.db import Store
from mcml.store.incidents import Incident

FOLDER = "postmortems"


def gather(store: Store, identifier: int, *, clock: Clock = utc_now) -> Evidence:
    """Read all that the store knows; the whole journal is verified on the way. Raises NotFound for the incident."""
    incident = desk.get(store, identifier)
    entries = desk.entries_around(store, incident)
    by_seq = {entry.seq: entry for entry in entries}
    return Evidence(story(incident, entries), by_seq, store.verify(), clock(), current_actor())


def default_path(incident: Incident) -> Path:
    """Return where a draft goes in the project when nobody says otherwise: `postmortems/INC-1-the-title.md`."""
    slug = re.sub(r"[^a-z0-9]+", "-", incident.title.lower()).strip("-")[:60].rstrip("-")
    return Path(FOLDER) / f"{name(incident.id)}{f'-{slug}' if slug else ''}.md"


def save(store: Store, incident: Incident, text: str, *, project: Path, path: Path, force: bool = False, clock: Clock = utc_now) -> Path:
    """Write the draft in one step to `path` (relative to the project, or absolute), record it, and return where it is.

    Raises Conflict when the file is there and `force` is not set (people may have written into it), McmlError when it cannot be written.
    """
    place = project / path
    try:
        if place.exists() and not force:
            raise Conflict(
                f"{place} exists",
                why="it may hold what somebody wrote",
                next_step=f"mcml postmortem draft {name(incident.id)} --out OTHER.md, or --force to replace it",
            )
        write_atomic(place, text.encode())
    except OSError as failed:
        raise McmlError(f"cannot write {place}", why=failed.strerror or str(failed), next_step="name another place with --out") from failed
    facts = {"incident": incident.id, "path": str(path)}
    store.append(Fact("postmortem.drafted", "postmortem", incident.target, facts, at=clock()))
    return place
