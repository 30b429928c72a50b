"""Computes on this machine: a pool is so many machines of a type, and a job that names it waits until one is free.

    computes/<name>/   resource.json, compute.json ({"machine", "minimum", "maximum", "spot", "token"}), queue/, machines/

A machine is a file that the runner of a job locks for as long as its command runs (`runner`), so the kernel frees it whatever happens.
A process needs no time to start, so a machine that nobody uses costs nothing, and `minimum` only tells how many are always shown.
"""

import builtins
import fcntl
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, QuotaExceeded, unknown
from mcml.core.files import read_json, write_json
from mcml.providers.api.computes import Compute, ComputeRequest, Computes
from mcml.providers.api.spec import ProviderContext
from mcml.providers.assets import check_compute, check_limits, version_of
from mcml.providers.local.layout import RESOURCE_FILE, locked, read_resource, remove_folder, root_of, safe_name, write_resource
from mcml.providers.local.machines import GIB, Machine, check_fits, machine_named
from mcml.providers.local.runner import POOL_FILE
from mcml.providers.local.scope import lock_name, new_folder, new_resource

KIND = "compute"
QUEUE, MACHINES = "queue", "machines"


def open_computes(ctx: ProviderContext) -> Computes:
    """Return the computes of the account."""
    return LocalComputes(ctx)


class LocalComputes:
    """Computes as folders; all targets share them."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._root = root_of(ctx)

    def create(self, request: ComputeRequest) -> Compute:
        """Make it; the same token gives what is there.

        Raises InvalidRequest, QuotaExceeded when its machines together have more CPUs than `vcpu_quota`, Conflict.
        """
        check_compute(request)
        folder = self._root / "computes" / safe_name(request.name, "compute")
        about = {"machine": request.machine, "minimum": request.minimum, "maximum": request.maximum, "spot": request.spot}
        with self._lock(request.name):
            known = read_json(folder / POOL_FILE)
            if known is None:
                self._check_room(machine_named(request.machine), request.maximum)
                with new_folder(folder) as stage:
                    for name in (QUEUE, MACHINES):
                        (stage / name).mkdir()
                    write_json(stage / POOL_FILE, {**about, "token": version_of(request.token)})
                    write_resource(stage, new_resource(self._ctx, KIND, request.name, request.tags))
            elif known["token"] != version_of(request.token):
                raise Conflict(f"there is a compute {request.name!r}", why="another request made it", next_step="choose another name")
            return self.describe(request.name)

    def list(self) -> list[Compute]:
        """Return all of them, by name."""
        found = (_told(file.parent) for file in sorted(self._root.glob(f"computes/*/{RESOURCE_FILE}")) if file.parent.name[0] != ".")
        return [one for one in found if one is not None]

    def describe(self, name: str) -> Compute:
        """Return it as it is now. Raises NotFound."""
        found = _told(pool_folder(self._ctx, name))
        if found is None:
            raise self._missing(name)
        return found

    def scale(self, name: str, minimum: int, maximum: int) -> Compute:
        """Set how many machines it has; those above a new maximum end with the job that they run.

        Raises NotFound, InvalidRequest, QuotaExceeded.
        """
        folder = pool_folder(self._ctx, name)
        with self._lock(folder.name):
            about = read_json(folder / POOL_FILE)
            if about is None:
                raise self._missing(name)
            check_limits(f"cannot scale the compute {name!r}", minimum, maximum)
            self._check_room(machine_named(about["machine"]), maximum)
            write_json(folder / POOL_FILE, {**about, "minimum": minimum, "maximum": maximum})
        return self.describe(name)

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone. Raises Conflict while jobs run on it or wait for it."""
        folder = pool_folder(self._ctx, name)
        with self._lock(folder.name):
            busy = [path for part in (QUEUE, MACHINES) for path in folder.glob(f"{part}/[!.]*") if _is_held(path)]
            if busy:
                why = f"{len(busy)} of its jobs run or wait"
                raise Conflict(f"cannot delete the compute {name!r}", why=why, next_step="wait for them, or cancel them")
            return remove_folder(folder)

    def _lock(self, name: str) -> Any:
        return locked(self._root, lock_name(KIND, name))

    def _check_room(self, machine: Machine, count: int) -> None:
        check_fits(machine.name, machine.vcpus, machine.memory_gib * GIB)
        quota = self._ctx.settings.vcpu_quota
        if machine.vcpus * count > quota:
            why = f"{count} of {machine.name} are {machine.vcpus * count} virtual CPUs, the quota is {quota}"
            raise QuotaExceeded("the quota leaves no room for the compute", why=why, next_step="lower its maximum, or raise vcpu_quota")

    def _missing(self, name: str) -> Exception:
        return unknown("compute", name, [one.name for one in self.list()])


def pool_folder(ctx: ProviderContext, name: str) -> Path:
    """Return the folder of a compute, which is there or not; what can be no name leads to a folder that never is."""
    try:
        return root_of(ctx) / "computes" / safe_name(name, KIND)
    except InvalidRequest:
        return root_of(ctx) / "computes" / "no-name" / "at-all"


def machine_of(ctx: ProviderContext, name: str) -> tuple[Path, Machine]:
    """Return where a compute is, and the machines that it has. Raises NotFound."""
    found = LocalComputes(ctx).describe(name)
    return pool_folder(ctx, name), machine_named(found.machine)


def _told(folder: Path) -> Compute | None:
    resource, about = read_resource(folder), read_json(folder / POOL_FILE)
    if resource is None or about is None:
        return None
    busy = sum(map(_is_held, _files(folder / MACHINES)))
    size, tags = (about["minimum"], about["maximum"], max(about["minimum"], busy), busy), dict(resource.tags)
    return Compute(resource.id, about["machine"], "ready", *size, spot=about["spot"], tags=tags)


def _files(folder: Path) -> builtins.list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_held(path: Path) -> bool:
    """Tell whether a living process has locked a file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
