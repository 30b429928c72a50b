"""The working copy of a module follows the shipped one; state stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.infra import workcopy
from mcml.infra.units.units import Folders, Unit

UNIT = Unit("local", "dev", ("eu",), {"targets": {"eu": {}}})


def modules(tmp_path: Path) -> Path:
    module = tmp_path / "modules" / "local"
    (module / "templates").mkdir(parents=True)
    (module / "tests").mkdir()
    for name in ("main.tf", "old.tf", "templates/a.txt", "tests/x.tftest.hcl", "README.md", ".hidden"):
        (module / name).write_text(name)
    return module.parent


def test_the_copy_follows_the_shipped_module(tmp_path: Path) -> None:
    shipped, folders = modules(tmp_path), Folders(tmp_path / ".mcml")
    work = workcopy.prepare(UNIT, folders, shipped)
    assert sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()) == [
        "main.tf",
        "old.tf",
        "templates/a.txt",
    ]
    state = folders.tfstate(UNIT)
    state.parent.mkdir(parents=True)
    state.write_text("state")
    (shipped / "local" / "old.tf").unlink()
    (shipped / "local" / "main.tf").write_text("new")
    kept = (work / "templates" / "a.txt").stat().st_mtime_ns
    workcopy.prepare(UNIT, folders, shipped)
    assert (work / "main.tf").read_text() == "new"
    assert not (work / "old.tf").exists()
    assert state.read_text() == "state"
    assert (work / "templates" / "a.txt").stat().st_mtime_ns == kept, "what did not change is not written"


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    folders = Folders(tmp_path / ".mcml")
    workcopy.prepare(UNIT, folders, modules(tmp_path))
    assert folders.infra.stat().st_mode & 0o777 == 0o700


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(McmlError, match="'local' is missing"):
        workcopy.prepare(UNIT, Folders(tmp_path / ".mcml"), tmp_path)


def test_a_run_has_a_folder_of_its_own_and_sweeps_after_the_dead(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, living, other = (folders.runs(UNIT) / name for name in (f"{gone.pid}-a", f"{os.getppid()}-b", "notes"))
    for folder in (dead, living, other):
        folder.mkdir(parents=True)
    with workcopy.run_folder(UNIT, folders) as one, workcopy.run_folder(UNIT, folders) as two:
        assert one != two
        assert one.is_dir()
        assert two.is_dir()
    assert sorted(path.name for path in folders.runs(UNIT).iterdir()) == sorted([living.name, "notes"])


def test_the_python_for_the_state_is_a_name_and_not_a_path() -> None:
    folder, name = workcopy.python_name()
    assert "/" not in name
    assert (folder / name).samefile(sys.executable)
