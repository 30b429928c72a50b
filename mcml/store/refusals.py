"""What is refused for now: one room writes it down, and the command of another asks before it acts. Its story is in the journal.

A refusal ends by itself with its time: whoever asks later does not find it, although nobody has cleared it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.store import documents

KIND = "refusal"
"""The kind of the documents."""
GPU_DEPLOYS = "gpu-deploys"
"""Nothing new is started on a GPU."""


@dataclass(frozen=True)
class Refusal:
    """That `what` is refused from `since` until `until`, by whom and why, for whom, and the command that lifts it.

    `where` are conditions as of `mcml cost report --where`; none: everybody is meant.
    """

    what: str
    by: str
    why: str
    lift: str
    since: datetime
    until: datetime
    where: tuple[str, ...] = ()


def put(connection: Connection, refusal: Refusal) -> None:
    """Put a refusal in force, in place of the one of the same `what` and `by`."""
    content = {**vars(refusal), "since": rfc3339(refusal.since), "until": rfc3339(refusal.until), "where": list(refusal.where)}
    documents.put(connection, KIND, _key(refusal.what, refusal.by), content, refusal.since)


def remove(connection: Connection, what: str, by: str) -> bool:
    """Take a refusal out of force; tells whether there was one."""
    return documents.remove(connection, KIND, _key(what, by))


def in_force(connection: Connection, what: str, now: datetime) -> list[Refusal]:
    """Return what refuses something now, by who does."""
    found = [_refusal(kept.content) for kept in documents.every(connection, KIND)]
    return [each for each in found if each.what == what and each.since <= now < each.until]


def _key(what: str, by: str) -> str:
    return f"{what}/{by}"


def _refusal(content: Mapping[str, Any]) -> Refusal:
    times = {name: parse_rfc3339(content[name]) for name in ("since", "until")}
    return Refusal(**{**content, **times, "where": tuple(content["where"])})
