"""Earlier versions of a state: where they are found, what they hold, and how two of them differ.

In a store of a cloud they are the versions of its object. On this machine mcml keeps a copy after each apply and destroy, the newest
`MOST_COPIES`, readable by their owner only: a state holds what Terraform knows, secrets too, so no value of it is ever shown here.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from mcml.core.errors import Conflict, McmlError, NotFound, unknown
from mcml.core.files import write_atomic
from mcml.infra.states.state import STATE_VERSION
from mcml.infra.units.units import Folders, Unit
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.object_store import ObjectStore

MOST_COPIES = 50
READS_AT_ONCE = 8
CURRENT = "current"
"""The word for the state as it is now, where a version is asked for."""

ERRORED, UNSAVED = "errored.tfstate", "unsaved.tfstate"
"""What Terraform calls a state that it could not save, and we."""

COPY_NAME = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.tfstate")
TIME = "%Y%m%dT%H%M%SZ"
SLACK = timedelta(seconds=5)
"""How far the clock of a store may be from ours."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Version:
    """A version of a state: when it was written and its size in bytes; its serial and how many resources, and outputs it has.

    `digest` is of the plan whose apply wrote it, `actor` who did it, as the journal says; both may be empty.
    """

    id: str
    at: datetime
    size: int
    serial: int = 0
    resources: int = 0
    outputs: int = 0
    lineage: str = ""
    digest: str = ""
    actor: str = ""


class Told(Protocol):
    """What is needed of an entry of the journal."""

    @property
    def at(self) -> datetime:
        """When it was appended."""

    @property
    def actor(self) -> str:
        """Who did it."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What it says."""


class Versions(Protocol):
    """Where the versions of a state are."""

    def list(self) -> list[Version]:
        """Return them, newest first, without what only their content tells."""

    def read(self, version: Version) -> Document:
        """Return what one holds. Raises NotFound, McmlError for what is no state."""


@dataclass(frozen=True)
class Copies:
    """The copies that mcml keeps on this machine."""

    folder: Path

    def list(self) -> list[Version]:
        """Return them by the time in their names."""
        return [_of_copy(path) for path in sorted(_copies(self.folder), reverse=True)]

    def read(self, version: Version) -> Document:
        """Read a copy."""
        path = self.folder / f"{version.id}.tfstate"
        try:
            return checked(path.read_bytes(), str(path))
        except FileNotFoundError as gone:
            raise NotFound(f"the copy {path} is gone", next_step="mcml infra state log") from gone


@dataclass(frozen=True)
class Objects:
    """The versions of the object in a bucket."""

    buckets: Buckets
    store: ObjectStore
    bucket: str
    key: str

    def list(self) -> list[Version]:
        """Return what the store has."""
        found = self.buckets.versions(self.bucket, self.key)
        return [Version(stat.version or CURRENT, stat.modified, stat.size) for stat in found]

    def read(self, version: Version) -> Document:
        """Read a version of the object."""
        asked = "" if version.id == CURRENT else version.id
        content = b"".join(self.store.read(self.bucket, self.key, version=asked))
        return checked(content, f"version {version.id} of {self.bucket}/{self.key}")


def _of_copy(path: Path) -> Version:
    named = COPY_NAME.fullmatch(path.name)
    at = datetime.strptime(named[1], TIME).replace(tzinfo=UTC) if named else datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Version(path.stem, at, path.stat().st_size)


def checked(content: bytes, place: str) -> Document:
    """Read a state document. Raises McmlError for what is none, or of another version of Terraform's format."""
    try:
        document = json.loads(content)
    except ValueError as broken:
        raise McmlError(f"cannot read {place}", why=str(broken), next_step="take another version: mcml infra state log") from broken
    if not isinstance(document, dict) or document.get("version") != STATE_VERSION:
        raise McmlError(f"cannot read {place}", why=f"it is not version {STATE_VERSION} of Terraform's state")
    return document


def folder_of(unit: Unit, folders: Folders) -> Path:
    """Return where the copies of a unit's state are kept on this machine."""
    return folders.home(unit) / "history" / unit.environment


def keep(unit: Unit, folders: Folders, at: datetime) -> Path | None:
    """Keep a copy of a state on this machine, unless the newest copy is the same; return it. Drops the oldest beyond `MOST_COPIES`."""
    state = folders.tfstate(unit)
    return None if unit.backend or not state.is_file() else _copy(state, folder_of(unit, folders), at)


def _copy(state: Path, folder: Path, at: datetime) -> Path | None:
    """Copy a state; None for an empty file, and for one that is no state."""
    content, copies = state.read_bytes(), sorted(_copies(folder))
    if copies and copies[-1].read_bytes() == content:
        return copies[-1]
    with suppress(ValueError, KeyError, TypeError):
        copy = folder / f"{at.astimezone(UTC).strftime(TIME)}-{int(json.loads(content)['serial'])}.tfstate"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(copy, content, mode=0o600)
        for old in copies[: max(0, len(copies) + 1 - MOST_COPIES)]:
            old.unlink(missing_ok=True)
        return copy
    return None


def put_away(unit: Unit, folders: Folders, state: Path) -> None:
    """Move a state that is where it belongs by now to the copies, so that nobody reads it by mistake."""
    _copy(state, folder_of(unit, folders), datetime.now(UTC))
    state.unlink(missing_ok=True)
    with suppress(OSError):
        state.parent.rmdir()


def unsaved(unit: Unit, folders: Folders) -> Path:
    """Return where a state is kept that Terraform could not save at the end of an apply."""
    return folder_of(unit, folders) / UNSAVED


def rescue(unit: Unit, folders: Folders) -> Path | None:
    """Keep the state that Terraform could not save and has left in the root, where the next run, of another environment too, would not
    know whose it is. Returns where it is; None without one.
    """
    errored, place = folders.work(unit) / ERRORED, unsaved(unit, folders)
    if not errored.is_file():
        return None
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(place, errored.read_bytes(), mode=0o600)
    errored.unlink()
    return place


def _copies(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.tfstate") if COPY_NAME.fullmatch(path.name))


def log(versions: Versions, most: int, facts: Iterable[Told]) -> list[Version]:
    """Return the newest versions with what they hold, and what the journal says of them. Raises what the store raises."""
    listed, told = versions.list()[:most], list(facts)

    def read(version: Version) -> Version:
        return _told(_with_content(version, versions.read(version)), told)

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return list(pool.map(read, listed))


def _with_content(version: Version, document: Document) -> Version:
    return replace(
        version,
        serial=int(document.get("serial", 0)),
        lineage=str(document.get("lineage", "")),
        resources=len(instances(document)),
        outputs=len(document.get("outputs") or {}),
    )


def _told(version: Version, facts: Sequence[Told]) -> Version:
    """Terraform writes the state while it applies and at the end, and the fact is appended right after that."""
    near = [fact for fact in facts if fact.at - _lasted(fact) - SLACK <= version.at <= fact.at + SLACK]
    if not near:
        return version
    after = [fact for fact in near if fact.at >= version.at]
    fact = min(after, key=lambda one: one.at) if after else max(near, key=lambda one: one.at)
    return replace(version, digest=str(fact.facts.get("digest") or ""), actor=fact.actor)


def _lasted(fact: Told) -> timedelta:
    seconds = fact.facts.get("duration_s")
    return timedelta(seconds=float(seconds) if isinstance(seconds, int | float) else 0)


def find(versions: Versions, written: str, unit: str) -> Document:
    """Return what the version holds that somebody means by its id or its serial, of several with one serial the newest. Raises NotFound."""
    listed = versions.list()
    named = [one for one in listed if one.id == written]
    if not named and written.isdigit():
        named = [one for one in log(versions, MOST_COPIES, ()) if one.serial == int(written)]
    if not named:
        raise unknown("version of the state", written, [one.id for one in listed], next_step=f"mcml infra state log {unit}")
    return versions.read(named[0])


def about(document: Document | None) -> str:
    """Say in a few words what a state is."""
    if not document:
        return "no state"
    return f"{len(instances(document))} resources (serial {document.get('serial')}, lineage {str(document.get('lineage'))[:8]})"


@dataclass(frozen=True)
class Change:
    """How one resource (`kind` "resource", by its address) or output differs; `attributes` are names, never values."""

    kind: str
    name: str
    action: str
    attributes: tuple[str, ...] = ()


def compare(old: Document, new: Document) -> list[Change]:
    """Return how two states differ: resources by address, then outputs; what is equal is left out."""
    resources = _compared("resource", instances(old), instances(new), lambda one: one.get("attributes") or {})
    outputs = _compared("output", old.get("outputs") or {}, new.get("outputs") or {}, lambda _: {})
    return [*resources, *outputs]


def _compared(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], attributes: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield Change(kind, name, "added")
        elif name not in new:
            yield Change(kind, name, "removed")
        elif old[name] != new[name]:
            before, after = attributes(old[name]), attributes(new[name])
            differing = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
            status = ["(half-made)"] if old[name].get("status") != new[name].get("status") else []
            yield Change(kind, name, "changed", (*differing, *status))


def instances(document: Document) -> dict[str, Mapping[str, Any]]:
    """Return the managed instances by address, without what Terraform keeps for itself."""
    found: dict[str, Mapping[str, Any]] = {}
    for resource in document.get("resources") or ():
        if resource.get("mode") != "managed":
            continue
        at = ".".join(part for part in (resource.get("module", ""), resource["type"], resource["name"]) if part)
        for instance in resource.get("instances") or ():
            index = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
            deposed = f" (deposed {instance['deposed']})" if "deposed" in instance else ""
            kept = {key: value for key, value in instance.items() if key in ("attributes", "attributes_flat", "status")}
            found[f"{at}{index}{deposed}"] = kept
    return found


def restored(old: Document, current: Document | None) -> Document:
    """Return an old version as the next one: the same content with a serial above its own and that of the current one.

    Raises Conflict when the current state is of another lineage, that is of other infrastructure.
    """
    alive = current and (current.get("resources") or current.get("outputs"))
    if current and alive and current.get("lineage") != old.get("lineage"):
        raise Conflict(
            "this version is of another lineage than the state as it is now",
            why=f"{about(old)} against {about(current)}: the state was begun anew in between",
            next_step="mcml infra state log UNIT -o json    # says the lineage of each version",
        )
    serial = max(int(old.get("serial", 0)), int((current or {}).get("serial", 0))) + 1
    return {**old, "serial": serial}

