"""Snapshots on this machine: copies of disks (folders) and of databases (SQLite's own online backup).

    snapshots/<id>/   resource.json, snapshot.json ({"kind", "name"}), copy/ (data or data.db, and manifest.json with the size)

A copy is made beside its place and renamed when it is whole and safe on disk: a snapshot without `copy/` is not complete, and the same
token finishes it. A database is copied as of one instant. A disk is copied file by file: what is written to it meanwhile may be half in,
and what is removed meanwhile is not.
"""

import builtins
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded
from mcml.core.files import read_json, write_json
from mcml.providers.api.snapshots import Snapshot, Snapshots
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.incoming import sync_folder
from mcml.providers.local.layout import LocalResource, locked, read_resource, remove_folder, root_of, write_resource
from mcml.providers.local.scope import id_of_token, lock_name, new_folder, new_resource, resources_in_scope
from mcml.providers.local.volumes import CONTENT, Kind, Volume, find_volume, volume_folder

_GONE = tuple(f"[Errno {number}]" for number in (errno.ENOENT, errno.ENOTDIR))
"""How the tree's copy tells, in text alone, of what was removed while it copied: a machine that works does that."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def open_snapshots(ctx: ProviderContext) -> Snapshots:
    """Return the snapshots of the context's target."""
    return LocalSnapshots(ctx)


class LocalSnapshots:
    """Snapshots as folders."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._root = root_of(ctx)

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Copy a disk or database; the same token gives the same snapshot, and finishes it when it was cut off.

        Raises NotFound, QuotaExceeded when the disk is full, InvalidRequest when the token stands for another source.
        """
        folder = self._root / "snapshots" / id_of_token(self._ctx, "snapshot", token)
        with locked(self._root, folder.name):
            about = read_resource(folder)
            if about is None:
                volume = find_volume(self._ctx, source)
                about = replace(new_resource(self._ctx, "snapshot", folder.name, tags), folder=folder)
                with new_folder(folder) as stage:
                    write_json(stage / "snapshot.json", {"kind": volume.kind, "name": volume.name})
                    write_resource(stage, about)
            kind, name = _of(folder)
            if source not in (name, f"{kind}/{name}"):
                why = f"the token stands for a snapshot of {kind}/{name}"
                raise InvalidRequest(f"cannot take a snapshot of {source!r}", why=why, next_step="use a new token for a new snapshot")
            if not (folder / "copy").exists():
                _take(find_volume(self._ctx, f"{kind}/{name}"), folder)
        return _snapshot(about)

    def list(self, source: str = "") -> builtins.list[Snapshot]:
        """Return the snapshots of a source, or all, newest first."""
        found = [_snapshot(about) for about in resources_in_scope(self._ctx, "snapshots")]
        wanted = [one for one in found if source in ("", one.source, one.source.partition("/")[2])]
        return sorted(wanted, key=lambda one: (one.created, one.id), reverse=True)

    def restore(self, snapshot: str, into: str) -> str:
        """Make a new disk or database, of this context's target and with the snapshot's tags; return its name.

        Raises NotFound, Conflict when `into` exists or the snapshot is not complete, QuotaExceeded when the disk is full.
        """
        about = next((found for found in resources_in_scope(self._ctx, "snapshots") if found.id == snapshot), None)
        if about is None:
            raise NotFound(f"no snapshot {snapshot!r}", why="it was never taken on this target, or it is deleted")
        kind, _ = _of(about.folder)
        name = into.removeprefix(f"{kind}/")
        folder = volume_folder(self._ctx, kind, name)
        if not (about.folder / "copy").exists():
            raise Conflict(f"cannot restore snapshot {snapshot!r}", why="it is not complete: it was cut off, or is being taken")
        try:
            with locked(self._root, lock_name(kind, name)), _room(f"restore {snapshot}"), new_folder(folder) as stage:
                _copy(kind, about.folder / "copy" / CONTENT[kind], stage / CONTENT[kind])
                write_resource(stage, new_resource(self._ctx, kind, name, about.tags))
        except FileExistsError as there:
            raise Conflict(f"cannot restore into {into!r}", why=f"a {kind} of that name exists", next_step="choose another name") from there
        return name

    def delete(self, snapshot: str) -> None:
        """Delete a copy; one that is gone is fine."""
        for about in resources_in_scope(self._ctx, "snapshots"):
            if about.id == snapshot:
                remove_folder(about.folder)


def _of(folder: Path) -> tuple[Kind, str]:
    said = read_json(folder / "snapshot.json")
    return said["kind"], said["name"]


def _snapshot(about: LocalResource) -> Snapshot:
    kind, name = _of(about.folder)
    manifest = read_json(about.folder / "copy" / "manifest.json")
    size = manifest["size_bytes"] if manifest else 0
    return Snapshot(about.id, f"{kind}/{name}", about.created, size, manifest is not None, dict(about.tags))


def _take(volume: Volume, folder: Path) -> None:
    with _room(f"take a snapshot of {volume.source}"), new_folder(folder / "copy") as stage:
        _copy(volume.kind, volume.content, stage / CONTENT[volume.kind])
        size = sum(path.lstat().st_size for path in stage.rglob("*") if not path.is_dir())
        write_json(stage / "manifest.json", {"size_bytes": size})
    sync_folder(folder)


def _copy(kind: Kind, source: Path, into: Path) -> None:
    if kind == "database":
        _copy_database(source, into)
        return
    try:
        shutil.copytree(source, into, symlinks=True, copy_function=_copy_file, ignore=_special_files)
    except shutil.Error as failed:
        if not all(str(reason).startswith(_GONE) for *_, reason in failed.args[0]):
            raise


def _copy_database(source: Path, into: Path) -> None:
    reading = f"{source.as_uri()}?mode=ro"
    with closing(sqlite3.connect(reading, uri=True)) as old, closing(sqlite3.connect(into)) as new:
        old.backup(new)
        (answer,) = new.execute("pragma quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(str(answer))
    with into.open("rb") as written:
        os.fsync(written.fileno())


def _copy_file(source: str, into: str) -> None:
    with _room(f"copy {source}"):  # here, for the tree's copy would keep the text of an OSError and lose its number
        try:
            shutil.copy2(source, into, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not Path(into).is_symlink():
            with Path(into).open("rb") as written:
                os.fsync(written.fileno())


def _special_files(folder: str, names: builtins.list[str]) -> set[str]:
    """Name what is no file, folder or link (a socket, a pipe): it has no content to copy."""
    paths = {name: Path(folder) / name for name in names}
    return {name for name, path in paths.items() if not (path.is_symlink() or path.is_dir() or path.is_file())}


@contextmanager
def _room(act: str) -> Iterator[None]:
    """Turn a full disk and a broken database into errors that say so."""
    try:
        yield
    except FileExistsError:
        raise
    except shutil.Error as failed:
        raise McmlError(f"cannot {act}", why="; ".join(str(reason) for *_, reason in failed.args[0])) from failed
    except sqlite3.DatabaseError as failed:
        if "full" in str(failed) or "disk I/O" in str(failed):
            raise QuotaExceeded(f"cannot {act}", why=f"the disk refused: {failed}") from failed
        raise McmlError(f"cannot {act}", why=f"the database is damaged or busy: {failed}") from failed
    except OSError as failed:
        kind = QuotaExceeded if failed.errno in _NO_ROOM else McmlError
        raise kind(f"cannot {act}", why=failed.strerror or str(failed)) from failed
