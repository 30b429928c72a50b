"""A registry on this machine: repositories of folders, each held once by its content and found by tag.

    registry/<repository, its slashes as %2F>/
      resource.json
      index.json               {"artifacts": {digest: {"pushed", "size_bytes"}}, "tags": {tag: digest}}
      blobs/<sha256>/          the content, read-only; it is there before the index says so

A repository is for all targets of the root, as it is for an account. What is pushed is what `core.package.folder_digest` counts: all files
but dot-files. A single file (an image archive) is held as a folder with that file in it.
"""

import builtins
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, unquote

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, InvalidRequest, NotFound, did_you_mean
from mcml.core.files import read_json, write_json
from mcml.core.package import folder_digest
from mcml.providers.api.registry import Artifact, Registry
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.incoming import sync_folder
from mcml.providers.local.layout import RESOURCE_FILE, locked, root_of, write_resource
from mcml.providers.local.scope import new_folder, new_resource

ALGORITHM = "sha256:"
READ_ONLY = 0o444
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LONGEST = 128
_LOCK = "registry"


class Held(TypedDict):
    """When an artifact came and how large it is."""

    pushed: str
    size_bytes: int


class Index(TypedDict):
    """What `index.json` says."""

    artifacts: dict[str, Held]
    tags: dict[str, str]


def open_registry(ctx: ProviderContext) -> Registry:
    """Return the registry below the root."""
    return LocalRegistry(ctx)


class LocalRegistry:
    """Repositories as folders."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._root = root_of(ctx)

    def resolve(self, repository: str, reference: str) -> Artifact:
        """Return what a tag or a digest (`sha256:...`) points at. Raises NotFound, with the nearest tag."""
        index = _read(self._folder(repository))
        digest = reference if reference.startswith(ALGORITHM) else index["tags"].get(reference, "")
        if digest not in index["artifacts"]:
            why = did_you_mean(reference, index["tags"]) or "nothing was pushed there"
            raise NotFound(f"no {reference!r} in repository {repository!r}", why=why)
        return _artifact(repository, digest, index)

    def push(self, repository: str, source: Path, tag: str) -> Artifact:
        """Store a folder or a file under a tag, which moves if it is there; the same content is stored once.

        Raises NotFound for the source, InvalidRequest for an empty folder or a bad name, Conflict when the source changes meanwhile.
        """
        _check_tag(tag)
        folder = self._folder(repository)
        if not source.exists():
            raise NotFound(f"cannot push {source}", why="there is no such folder or file")
        with locked(self._root, _LOCK):
            if not (folder / RESOURCE_FILE).exists():
                with new_folder(folder) as stage:
                    write_json(stage / "index.json", Index(artifacts={}, tags={}))
                    write_resource(stage, new_resource(self._ctx, "repository", repository, {}))
            with _as_folder(source) as whole:
                digest, size = _store(whole, folder / "blobs")
            with _changing(folder) as index:
                index["artifacts"].setdefault(digest, Held(pushed=rfc3339(self._ctx.clock()), size_bytes=size))
                index["tags"][tag] = digest
        return _artifact(repository, digest, index)

    def tag(self, repository: str, digest: str, tag: str) -> Artifact:
        """Let a tag point at a digest; it moves if it pointed elsewhere. Raises NotFound."""
        _check_tag(tag)
        with locked(self._root, _LOCK), _changing(self._folder(repository)) as index:
            if digest not in index["artifacts"]:
                raise NotFound(f"no {digest!r} in repository {repository!r}", why="nothing was pushed there with this content")
            index["tags"][tag] = digest
        return _artifact(repository, digest, index)

    def list(self, repository: str = "") -> builtins.list[Artifact]:
        """Return what a repository, or the whole registry, holds, newest first; a repository that is not there holds nothing."""
        folders = [self._folder(repository)] if repository else sorted((self._root / "registry").glob("[!.]*"))
        held = [(unquote(folder.name), _read(folder)) for folder in folders if (folder / RESOURCE_FILE).exists()]
        found = [_artifact(name, digest, index) for name, index in held for digest in index["artifacts"]]
        return sorted(found, key=lambda artifact: (artifact.pushed, artifact.repository, artifact.digest), reverse=True)

    def content(self, repository: str, reference: str) -> Path:
        """Return the folder that holds an artifact's files; nothing may be changed in it. Raises NotFound."""
        return _blob(self._folder(repository), self.resolve(repository, reference).digest)

    def _folder(self, repository: str) -> Path:
        if not _REPOSITORY.fullmatch(repository) or len(repository) > _LONGEST:
            why = "it takes lower-case letters and digits, with '.', '_', '-' and '/' between them"
            raise InvalidRequest(f"{repository!r} is no name for a repository", why=why)
        return self._root / "registry" / quote(repository, safe="")


def _check_tag(tag: str) -> None:
    if not _TAG.fullmatch(tag):
        raise InvalidRequest(f"{tag!r} is no tag", why="it takes up to 128 letters, digits, '_', '.' and '-', no '.' or '-' first")


def _read(folder: Path) -> Index:
    index: Index | None = read_json(folder / "index.json")
    return index or Index(artifacts={}, tags={})


@contextmanager
def _changing(folder: Path) -> Iterator[Index]:
    """Yield the index and write it back, unless the block fails. The caller holds the lock."""
    index = _read(folder)
    yield index
    write_json(folder / "index.json", index)


def _artifact(repository: str, digest: str, index: Index) -> Artifact:
    held = index["artifacts"][digest]
    tags = tuple(sorted(tag for tag, points_at in index["tags"].items() if points_at == digest))
    return Artifact(repository, digest, tags, held["size_bytes"], parse_rfc3339(held["pushed"]))


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.removeprefix(ALGORITHM)


def _store(source: Path, blobs: Path) -> tuple[str, int]:
    """Copy a folder to where its digest says, unless that is there; return the digest and the size in bytes."""
    files = [path for path in source.rglob("*") if path.is_file() and not _hidden(path.relative_to(source))]
    if not files:
        raise InvalidRequest(f"cannot push {source}", why="there is no file in it (dot-files do not count)")
    digest = folder_digest(source)
    final = blobs / digest
    if not final.exists():
        with new_folder(final) as stage:
            for path in files:
                _copy(path, stage / path.relative_to(source))
            if folder_digest(stage) != digest:
                raise Conflict(f"cannot push {source}", why="it changed while it was copied", next_step="push again when it is done")
        sync_folder(blobs)
    return ALGORITHM + digest, sum(path.stat().st_size for path in final.rglob("*") if path.is_file())


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _copy(path: Path, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, into)
    with into.open("rb") as written:
        os.fsync(written.fileno())
    into.chmod(READ_ONLY)


@contextmanager
def _as_folder(source: Path) -> Iterator[Path]:
    """Yield a folder; for a file, one that holds (a link to) it."""
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / source.name).symlink_to(source.absolute())
        yield Path(folder)
