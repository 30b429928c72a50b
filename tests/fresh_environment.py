"""A wheel of a source folder, and a virtual environment of its own with wheels in it; what they depend on is this environment's."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source folder, without network; return its path."""
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    built = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = folder.glob("*.whl")
    return made


def made(home: Path, *wheels: Path) -> Path:
    """Make an environment with these wheels and return its `bin`; dependencies are found by path, after what is installed there."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    argv = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels)]
    installed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    inside = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    (Path(inside) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"
