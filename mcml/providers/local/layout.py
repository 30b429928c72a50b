"""Where things lie below the local provider's root, and the one file that every resource carries so that Inventory finds it.

    targets/<name>/                              resource.json, target.json (the port lease)
    endpoints/<target>/<model>/                  resource.json, weights.json, versions/<version>/{run.json, package/, server.log}
    usage/<target>/<model>/<version>/            <stamp>.jsonl and <stamp>.run.json: the bill, which outlives the endpoint
    <kind>s/.../<id>/                            resource.json and whatever else the kind needs (buckets, jobs, instances, snapshots, ...)
    locks/                                       one file per lock; the kernel lets go of it when its holder dies

A resource is a folder with a `resource.json`: {"kind", "id", "region", "target", "tags", "created"}. It is a leaf: nothing below it is
searched, so a resource holds no other resource. Folders whose name starts with a dot are half-made or half-deleted and do not exist.
A resource that owns a process keeps {"pid", "started"} in its `process.json`, so that Inventory can stop exactly that one.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, InvalidRequest
from mcml.core.files import read_json, write_json
from mcml.core.process import ProcessRef
from mcml.providers.api.spec import ProviderContext

RESOURCE_FILE = "resource.json"
PROCESS_FILE = "process.json"
NOT_RESOURCES = frozenset({"usage", "locks"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class LocalResource:
    """Something that mcml made below the root: what `resource.json` says, and the folder it was read from."""

    kind: str
    id: str
    region: str
    target: str
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()


def root_of(ctx: ProviderContext) -> Path:
    """Return the root folder: `providers.local.root` (relative to the project folder) or the provider's state folder."""
    named = str(ctx.settings.root)
    if not named:
        return ctx.state.absolute()
    return (ctx.state.absolute().parent.parent / Path(named).expanduser()).absolute()


def safe_name(name: str, what: str) -> str:
    """Return a name that may be one part of a path. Raises InvalidRequest for any other (`..`, a slash, a leading dot, empty)."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for a {what}", why="a name is letters, digits, '.', '_', '-'; a letter or digit first")
    return name


def target_folder(root: Path, target: str) -> Path:
    """Return the folder of a target."""
    return root / "targets" / safe_name(target, "target")


def endpoint_folder(root: Path, target: str, model: str) -> Path:
    """Return the folder of the endpoint of a model on a target."""
    return root / "endpoints" / safe_name(target, "target") / safe_name(model, "model")


def usage_folder(root: Path, target: str, model: str, version: str) -> Path:
    """Return the folder of a version's usage logs; it is kept when the endpoint is deleted."""
    return root / "usage" / safe_name(target, "target") / safe_name(model, "model") / safe_name(version, "version")


def write_resource(folder: Path, resource: LocalResource) -> None:
    """Write `resource.json` into a folder, in one step; from then on Inventory sees it (the `folder` field is not written)."""
    write_json(
        folder / RESOURCE_FILE,
        {
            "kind": resource.kind,
            "id": resource.id,
            "region": resource.region,
            "target": resource.target,
            "tags": dict(resource.tags),
            "created": rfc3339(resource.created),
        },
    )


def read_resource(folder: Path) -> LocalResource | None:
    """Read a folder's `resource.json`; None where there is none. Raises ValueError (naming the file) for a broken one."""
    said = read_json(folder / RESOURCE_FILE)
    if said is None:
        return None
    try:
        return LocalResource(
            kind=said["kind"],
            id=said["id"],
            region=said["region"],
            target=said["target"],
            created=parse_rfc3339(said["created"]),
            tags=dict(said["tags"]),
            folder=folder,
        )
    except (KeyError, TypeError, ValueError) as broken:
        raise ValueError(f"{folder / RESOURCE_FILE}: {type(broken).__name__}: {broken}") from broken


def read_resources(root: Path, kind: str = "") -> Iterator[LocalResource]:
    """Yield all resources below the root (of one kind, when named), in the order of their paths; a broken resource.json is skipped."""
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        if RESOURCE_FILE in files:
            folders.clear()
            with suppress(ValueError):
                found = read_resource(here)
                if found is not None and kind in ("", found.kind):
                    yield found
            continue
        hidden = NOT_RESOURCES if here == root else frozenset()
        folders[:] = sorted(name for name in folders if name not in hidden and not name.startswith("."))


def remove_folder(folder: Path) -> bool:
    """Remove a folder so that it is there whole or not at all, even under kill -9; False when it was gone."""
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def write_process(folder: Path, process: ProcessRef) -> None:
    """Record which process a resource owns."""
    write_json(folder / PROCESS_FILE, {"pid": process.pid, "started": process.started})


def read_process(folder: Path) -> ProcessRef | None:
    """Return the process a resource owns as recorded (it may be long gone: ask `core.process.is_alive`); None without a record."""
    try:
        said = read_json(folder / PROCESS_FILE)
        return None if said is None else ProcessRef(int(said["pid"]), float(said["started"]))
    except (KeyError, TypeError, ValueError):
        return None


@contextmanager
def locked(root: Path, name: str, *, seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock of that name below the root; it falls when the holder ends, however it ends.

    Raises Conflict when somebody else holds it for longer than `seconds`.
    """
    from filelock import FileLock, Timeout

    path = root / "locks" / f"{safe_name(name, 'lock')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except Timeout as waited:
        raise Conflict(
            f"another mcml is changing {name!r}", why=f"{path} was held for {seconds:.0f} s", next_step="wait for it, then try again"
        ) from waited
    try:
        yield
    finally:
        lock.release()
