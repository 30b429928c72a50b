"""The working copy of a unit's module: `.mcml/infra/<unit>`, renewed when the shipped module changes; state and variables stay."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcml.core.errors import McmlError
from mcml.core.files import write_atomic, write_json
from mcml.core.process import reference
from mcml.infra.units import Folders, Unit

LEFT_OUT = frozenset({"tests", "examples", "README.md"})


def prepare(unit: Unit, folders: Folders, modules: Path) -> Path:
    """Bring the working copy of a unit up to date, with the variables of its environment; return the folder to run Terraform in.

    `modules` is the folder of all modules (`terraform/`). Raises McmlError when the module is not there.
    """
    module, work = modules / unit.name, folders.work(unit.name)
    if not module.is_dir():
        mend = "pip install --force-reinstall mcml"
        raise McmlError(f"the Terraform module {unit.name!r} is missing", why=f"{module} is no folder", next_step=mend)
    work.mkdir(parents=True, exist_ok=True)
    folders.infra.chmod(0o700)  # a state and a plan may hold what only the owner should read
    shipped = {path.relative_to(module): path for path in _files(module)}
    for name, path in shipped.items():
        _write(work / name, path.read_bytes())
    for stale in work.rglob("*.tf"):
        if stale.relative_to(work) not in shipped and not stale.is_relative_to(work / ".terraform"):
            stale.unlink()
    write_json(folders.tfvars(unit.name, unit.environment), dict(unit.variables), mode=0o600, durable=False)
    return work


def _files(module: Path) -> Iterator[Path]:
    for path in sorted(module.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from (below for below in sorted(path.rglob("*")) if below.is_file())
        else:
            yield path


def _write(path: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    write_atomic(path, content, durable=False)


@contextmanager
def run_folder(unit: Unit, folders: Folders) -> Iterator[Path]:
    """Yield a folder for the plan file and the streams of one run, removed when the block ends.

    One run never reads another's plan file. What a killed run left behind is swept.
    """
    runs = folders.runs(unit.name)
    runs.mkdir(parents=True, exist_ok=True)
    for leftover in runs.iterdir():
        pid = leftover.name.partition("-")[0]
        if pid.isdigit() and reference(int(pid)) is None:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=runs, prefix=f"{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python_name() -> tuple[Path, str]:
    """Return the folder and the name of the Python we run in.

    The name goes into Terraform's state, for the day a target is destroyed: `python3` where that is the same program, so that another
    virtual environment, or a newer Python, can destroy what this one made.
    """
    executable = Path(sys.executable)
    same = executable.with_name("python3")
    return executable.parent, same.name if same.exists() and same.samefile(executable) else executable.name
