"""What `init` downloads, kept once for all units of a project: the packages of providers, some of them of half a gigabyte.

Terraform has a cache for that (https://developer.hashicorp.com/terraform/cli/config/config-file#provider-plugin-cache), but writes into it
in place, so that two at once, or one that is killed, leave a broken package in it. So an `init` of ours is given a folder of its own that
links to what is there; what it adds is moved over, whole, when it has ended well, and is never written again. One `init` at a time runs in
a project, so that nothing is downloaded twice; what only reads waits for nobody. Who has named a cache to Terraform keeps it.

A root of the user's own whose lock file does not know a provider yet downloads it all the same: that is how Terraform learns the checksums
for other platforms, and the file belongs to a team.
"""

import asyncio
import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcml.core.files import write_atomic
from mcml.infra.units.units import Folders, Unit
from mcml.infra.workcopy import sweep

FOLDER, LOCK, STAGE, MARK = "providers", ".lock", ".stage-", ".h1"
POLL_SECONDS = 0.1
LOCK_FILE = ".terraform.lock.hcl"

_LEVELS = "*/*/*/*/*"
"""HOST/NAMESPACE/NAME/VERSION/PLATFORM, as Terraform lays packages out."""

_LOCKED = re.compile(r'^provider "(?P<name>[^"]+)" \{(?P<body>.*?)^\}', re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^\s*version\s*=\s*"([^"]+)"', re.MULTILINE)
_OWN_CACHE = re.compile(r"^\s*plugin_cache_dir\s*=", re.MULTILINE)


@dataclass(frozen=True)
class Packages:
    """The packages of a project, for the `init` of one unit."""

    unit: Unit
    folders: Folders

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self.folders.infra / FOLDER

    @asynccontextmanager
    async def given(self, environ: Mapping[str, str], waiting: Callable[[], bool]) -> AsyncIterator[dict[str, str]]:
        """Yield the variables with which Terraform finds the packages, and keep what it added when the block ends well.

        `waiting` is asked again and again while another process of ours runs an `init`; false ends the waiting.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        while waiting():
            with suppress(Timeout):
                lock.acquire(timeout=0)
                break
            await asyncio.sleep(POLL_SECONDS)
        try:
            if names_a_cache(environ):
                yield {}
                return
            sweep(self.folder.glob(f"{STAGE}*"), skip=len(STAGE))
            stage = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{STAGE}{os.getpid()}-")).absolute()
            try:
                self._link(stage)
                # Terraform would download again what is in no lock file yet. The one of a shipped root is of this machine alone.
                alone = {} if self.unit.own else {"TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1"}
                yield {"TF_PLUGIN_CACHE_DIR": str(stage), **alone}
                await asyncio.to_thread(self._take_over, stage)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
        finally:
            lock.release()

    def whole(self) -> bool:
        """Tell whether every package that the unit was prepared with is there."""
        return all(package.exists() for package in (self.folders.data(self.unit) / "providers").glob(_LEVELS))

    def _link(self, stage: Path) -> None:
        """Link to the packages that this `init` may take as they are: through a link to any other it would write into the package."""
        wanted = _wanted(self.folders.work(self.unit) / LOCK_FILE)
        for package in self.folder.glob(_LEVELS):
            name, version = str(package.relative_to(self.folder).parents[1]), package.parent.name
            if package.is_dir() and _may_take(_mark(package), wanted.get(name), version, unknown=not self.unit.own):
                link = stage / package.relative_to(self.folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(package.absolute())

    def _take_over(self, stage: Path) -> None:
        """Let the unit's links point at what stays: the packages kept here, or what Terraform itself took from elsewhere."""
        for link in list((self.folders.data(self.unit) / "providers").glob(_LEVELS)):
            if not link.is_symlink() or not link.readlink().is_relative_to(stage):
                continue
            staged = link.readlink()
            kept = self.folder / staged.relative_to(stage)
            if staged.is_symlink():
                _relink(link, staged.readlink())
            elif self._keep(staged, kept):
                _relink(link, kept.absolute())
            else:  # another package of the same version: nobody else is to get it
                link.unlink()
                shutil.move(staged, link)

    def _keep(self, staged: Path, kept: Path) -> bool:
        """Keep a package that is new; false where there is another one in its place."""
        mark = checksum(staged)
        if kept.exists():
            return _mark(kept) == mark
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_mark_file(kept), mark.encode(), durable=False)
        staged.rename(kept)
        return True


def names_a_cache(environ: Mapping[str, str]) -> bool:
    """Tell whether the user has given Terraform a cache: by its variable, or in its configuration file."""
    if environ.get("TF_PLUGIN_CACHE_DIR"):
        return True
    named, home = environ.get("TF_CLI_CONFIG_FILE"), Path(environ.get("HOME") or "/")
    for path in [Path(named)] if named else [home / ".terraformrc", home / ".tofurc"]:
        with suppress(OSError):
            if _OWN_CACHE.search(path.read_text(encoding="utf-8", errors="replace")):
                return True
    return False


def checksum(package: Path) -> str:
    """Return what a lock file says of a package: https://pkg.go.dev/golang.org/x/mod/sumdb/dirhash#Hash1."""
    lines = []
    for path in sorted(path for path in package.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(package).as_posix()}\n")
    lines.sort(key=lambda line: line[66:])
    return f"h1:{base64.b64encode(hashlib.sha256(''.join(lines).encode()).digest()).decode()}"


def _may_take(mark: str, locked: tuple[str, str] | None, version: str, *, unknown: bool) -> bool:
    """Tell whether Terraform would take a package as it is. `locked` is the version and the text that a lock file has of the provider."""
    if not locked or locked[0] != version:
        return unknown and bool(mark)
    return bool(mark) and f'"{mark}"' in locked[1]


def _wanted(lock_file: Path) -> dict[str, tuple[str, str]]:
    """Return the version and the text of every provider in a lock file."""
    with suppress(OSError):
        found = _LOCKED.finditer(lock_file.read_text(encoding="utf-8", errors="replace"))
        return {one["name"]: ("".join(_VERSION.findall(one["body"])), one["body"]) for one in found}
    return {}


def _mark_file(package: Path) -> Path:
    return package.with_name(package.name + MARK)


def _mark(package: Path) -> str:
    with suppress(OSError):
        return _mark_file(package).read_text()
    return ""


def _relink(link: Path, target: Path) -> None:
    other = link.with_name(f"{link.name}.{os.getpid()}")
    other.symlink_to(target)
    other.replace(link)
