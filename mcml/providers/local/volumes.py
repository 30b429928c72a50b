"""What a snapshot can be taken of: disks (folders) and databases (SQLite files). Terraform makes them, as on a cloud.

    disks/<name>/       resource.json, data/    (the disk is `data`)
    databases/<name>/   resource.json, data.db
    instances/<id>/     resource.json, work/    (the disk `<id>/work`)

The disk of an instance comes and goes with it. No other disk has a slash in its name.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import RESOURCE_FILE, LocalResource, locked, read_resource, root_of, safe_name, write_resource
from mcml.providers.local.scope import lock_name, new_folder, new_resource, resources_in_scope

Kind = Literal["disk", "database"]
KINDS: tuple[Kind, ...] = ("disk", "database")
CONTENT: Mapping[Kind, str] = {"disk": "data", "database": "data.db"}
WORK = "work"


@dataclass(frozen=True)
class Volume:
    """A disk or a database: `content` is its folder or file, `about` what it is of: itself, or its instance."""

    kind: Kind
    name: str
    about: LocalResource

    @property
    def content(self) -> Path:
        """Where its bytes are."""
        return self.about.folder / (WORK if self.about.kind == "instance" else CONTENT[self.kind])

    @property
    def source(self) -> str:
        """Its name with its kind, which no other volume shares."""
        return f"{self.kind}/{self.name}"


def define_disk(ctx: ProviderContext, name: str, tags: Mapping[str, str] | None = None) -> Path:
    """Make an empty disk, or keep the one that is there; return its folder. Raises Conflict when another target has it."""
    return _define(ctx, "disk", name, tags)


def define_database(ctx: ProviderContext, name: str, tags: Mapping[str, str] | None = None) -> Path:
    """Make an empty SQLite database in WAL mode, or keep the one that is there; return its file. Raises Conflict as `define_disk`."""
    return _define(ctx, "database", name, tags)


def list_volumes(ctx: ProviderContext, kind: Kind) -> list[Volume]:
    """Return the disks or the databases of the context's target, by name."""
    return sorted((Volume(kind, about.id, about) for about in resources_in_scope(ctx, f"{kind}s")), key=lambda volume: volume.name)


def work_disk(instance: LocalResource) -> Volume:
    """Return the disk that an instance works on."""
    return Volume("disk", f"{instance.id}/{WORK}", instance)


def find_volume(ctx: ProviderContext, source: str) -> Volume:
    """Return the volume of a name, or of `disk/<name>` or `database/<name>`; the disk of an instance is `disk/<id>/work`.

    Raises NotFound, InvalidRequest when a disk and a database have that name.
    """
    known = [volume for kind in KINDS for volume in list_volumes(ctx, kind)]
    known += map(work_disk, resources_in_scope(ctx, "instances"))
    found = [volume for volume in known if source in (volume.name, volume.source)]
    if not found:
        raise NotFound(f"no disk or database named {source!r}", why=f"there is none on target {ctx.target!r}" if ctx.target else "")
    if len(found) > 1:
        why = "there is a disk and a database of that name"
        raise InvalidRequest(f"which {source!r}?", why=why, next_step=f"say disk/{source} or database/{source}")
    return found[0]


def volume_folder(ctx: ProviderContext, kind: Kind, name: str) -> Path:
    """Return where a volume of that name is or would be. Raises InvalidRequest for a bad name."""
    return root_of(ctx) / f"{kind}s" / safe_name(name, kind)


def _define(ctx: ProviderContext, kind: Kind, name: str, tags: Mapping[str, str] | None) -> Path:
    folder = volume_folder(ctx, kind, name)
    with locked(root_of(ctx), lock_name(kind, name)):
        about = read_resource(folder)
        if about is not None and about.target != ctx.target:
            raise Conflict(f"cannot make the {kind} {name!r}", why=f"target {about.target!r} has one of that name")
        if about is None:
            if folder.exists():
                raise Conflict(f"cannot make the {kind} {name!r}", why=f"{folder} is there and holds no {RESOURCE_FILE}")
            with new_folder(folder) as stage:
                _make(kind, stage / CONTENT[kind])
                write_resource(stage, new_resource(ctx, kind, name, tags))
    return folder / CONTENT[kind]


def _make(kind: Kind, content: Path) -> None:
    if kind == "disk":
        content.mkdir()
        return
    with closing(sqlite3.connect(content)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("vacuum")  # an empty database has no bytes at all until it is told to
