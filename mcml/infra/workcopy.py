"""The working copy of a unit's root, renewed when the shipped one changes; and the folder of one run.

A root below `terraform/root` takes modules by relative paths, so `.mcml/infra` repeats the layout of `terraform/`. A root of the user's own
is not copied: Terraform runs in it.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcml.core.errors import McmlError, NotFound
from mcml.core.files import write_atomic
from mcml.core.package import folder_digest
from mcml.core.process import reference
from mcml.infra.states import backends
from mcml.infra.units.units import STATES, Folders, Unit

LEFT_OUT = frozenset({"tests", "examples", "README.md"})


def prepare(unit: Unit, folders: Folders, modules: Path) -> Path:
    """Bring the working copy of a unit up to date; return the folder to run Terraform in.

    `modules` is the folder of all modules (`terraform/`). Raises McmlError when the module is not there, NotFound for a root of one's own.
    """
    home, work = folders.home(unit), folders.work(unit)
    home.mkdir(parents=True, exist_ok=True)
    folders.infra.chmod(0o700)  # a state and a plan may hold what only the owner should read
    if unit.own:
        if not any(work.glob("*.tf")) and not any(work.glob("*.tf.json")):
            step = f"mend infra.units.{unit.name}.module in mcml.toml"
            raise NotFound(f"the unit {unit.name} has no Terraform root", why=f"no *.tf file is in {work}", next_step=step)
        return work
    for folder in _sources(unit):
        if not (modules / folder).is_dir():
            mend = "pip install --force-reinstall mcml"
            raise McmlError(f"the Terraform module {folder!r} is missing", why=f"{modules / folder} is no folder", next_step=mend)
        _mirror(modules / folder, folders.infra / folder)
    backend = work / backends.FILE
    if unit.backend:
        _write(backend, json.dumps(unit.backend.document, indent=2, sort_keys=True).encode())
    else:
        backend.unlink(missing_ok=True)
    return work


def digest(unit: Unit, folders: Folders, modules: Path) -> str:
    """Return what changes whenever a unit must be initialised anew: its files, those of its modules, and its backend."""
    sources = [folders.work(unit)] if unit.own else [modules / folder for folder in _sources(unit)]
    parts = [_own_digest(sources[0])] if unit.own else [folder_digest(source) for source in sources]
    return "-".join([*parts, json.dumps(unit.backend.document, sort_keys=True) if unit.backend else ""])


def _own_digest(root: Path) -> str:
    """A root of one's own may hold large files beside it, and states; and what it needs of elsewhere is not known: its time tells."""
    files = sorted([*root.glob("*.tf"), *root.glob("*.tf.json"), *root.glob(".terraform.lock.hcl")])
    return ";".join(f"{path.name}:{path.stat().st_mtime_ns}" for path in files)


def _sources(unit: Unit) -> tuple[str, ...]:
    """Return the folders below `terraform/` that a shipped unit is made of, its root first."""
    return (unit.module or unit.name, *((*unit.accounts, "shared") if unit.layer else ()))


def _mirror(source: Path, to: Path) -> None:
    """Make a folder like another, file by file and only where it differs; what Terraform keeps there stays."""
    shipped = {path.relative_to(source): path for path in _files(source)}
    for name, path in shipped.items():
        _write(to / name, path.read_bytes())
    for stale in to.rglob("*.tf"):
        if stale.relative_to(to) not in shipped and ".terraform" not in stale.relative_to(to).parts:
            stale.unlink()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _write(path: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content, durable=False)


@contextmanager
def run_folder(unit: Unit, folders: Folders) -> Iterator[Path]:
    """Yield a folder for the plan file, the variables and the streams of one run, removed when the block ends.

    One run never reads another's plan file. What a killed run left behind is swept.
    """
    runs = folders.runs(unit)
    runs.mkdir(parents=True, exist_ok=True)
    sweep(runs.iterdir())
    folder = Path(tempfile.mkdtemp(dir=runs, prefix=f"{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def preview_folder(unit: Unit, folders: Folders, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Path]:
    """Yield a copy of a unit's root beside it, with more files in it, in which a plan can be made that is never applied.

    It lies beside the root so that modules are found at the same relative paths, and holds a copy of a local state. What a killed run left
    behind is swept.
    """
    work, ending = folders.work(unit), f".preview-{unit.environment}-"
    sweep(work.parent.glob(f".{work.name}{ending}*"), skip=len(work.name) + len(ending) + 1)
    folder = Path(tempfile.mkdtemp(dir=work.parent, prefix=f".{work.name}{ending}{os.getpid()}-"))
    try:
        for path in work.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
            elif path.name not in (".terraform", "runs", STATES):
                (folder / path.name).symlink_to(path)
        state = folders.tfstate(unit)
        if state.is_file() and not unit.backend:
            copy = folder / state.relative_to(work)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(state, copy)
        for name, document in files.items():
            (folder / name).write_text(json.dumps(document))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folders: Iterable[Path], skip: int = 0) -> None:
    """Remove the folders of runs that are no more; the process that made one is in its name, after `skip` characters."""
    for leftover in list(folders):
        pid = leftover.name[skip:].partition("-")[0]
        if pid.isdigit() and reference(int(pid)) is None:
            shutil.rmtree(leftover, ignore_errors=True)


def python_name() -> tuple[Path, str]:
    """Return the folder and the name of the Python we run in.

    The name goes into Terraform's state, for the day a target is destroyed: `python3` where that is the same program, so that another
    virtual environment, or a newer Python, can destroy what this one made.
    """
    executable = Path(sys.executable)
    same = executable.with_name("python3")
    return executable.parent, same.name if same.exists() and same.samefile(executable) else executable.name
