"""Identity on this machine: the operating system's user on this host, and whether the machine has what models need."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mcml.core.errors import McmlError
from mcml.core.process import port_is_taken
from mcml.providers.api.identity import Check, Who
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import root_of
from mcml.providers.local.server import locate
from mcml.providers.local.target import list_targets
from mcml.providers.local.variant import runs_on

LEAST_FREE_BYTES = 500_000_000


def open_identity(ctx: ProviderContext) -> "LocalIdentity":
    """Return who we are on this machine."""
    return LocalIdentity(ctx)


@dataclass(frozen=True)
class LocalIdentity:
    """The host is the account, the user the principal; there is nothing to log in to."""

    ctx: ProviderContext

    def whoami(self) -> Who:
        """Return the host and the user."""
        return Who(account=socket.gethostname(), principal=_user(), method="operating system user")

    def check(self) -> list[Check]:
        """Look at the root folder, the free disk, the model server's packages, and the ports that targets lease."""
        root = root_of(self.ctx)
        return [_writable(root), _free_disk(root), _server_installed(), *_ports(root)]


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a passwd entry
        return str(os.getuid())


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _writable(root: Path) -> Check:
    place = _nearest(root)
    try:
        with tempfile.TemporaryFile(dir=place):
            return Check("folder", True, f"{root} can be written")
    except OSError as denied:
        return Check("folder", False, f"{place} cannot be written: {denied.strerror}", f"chmod u+w {place}")


def _free_disk(root: Path) -> Check:
    free = shutil.disk_usage(_nearest(root)).free
    detail = f"{free / 1e9:.1f} GB free, {LEAST_FREE_BYTES / 1e9:.1f} GB needed"
    return Check("disk", free >= LEAST_FREE_BYTES, detail, "" if free >= LEAST_FREE_BYTES else f"df -h {_nearest(root)}")


def _server_installed() -> Check:
    missing = [package for package in ("onnxruntime", "numpy", "uvicorn") if find_spec(package) is None]
    if missing:
        return Check("model server", False, f"{', '.join(missing)} not installed", "pip install 'mcml[serve]'")
    return Check("model server", True, "onnxruntime is installed")


def _ports(root: Path) -> Iterator[Check]:
    """One check a target: a leased port that another program took is a port less; without any left, nothing can be deployed."""
    try:
        for target in list_targets(root):
            ours = {run.port for _, run in runs_on(root, target.name) if locate(run) is not None}
            foreign = [port for port in target.ports if port not in ours and port_is_taken(port)]
            free = len(target.ports) - len(foreign) - len(ours.intersection(target.ports))
            taken = f"; another program has {', '.join(map(str, foreign))}" if foreign else ""
            usable = free > 0 or bool(ours)
            detail = f"{free} of {len(target.ports)} leased ports are free{taken}"
            yield Check(f"ports of {target.name}", usable, detail, "" if usable else "ss -ltnp")
    except McmlError as broken:
        yield Check("targets", False, f"{broken.message}: {broken.why}", broken.next_step)
