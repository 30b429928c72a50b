"""A local target: a named place with a region and a lease on TCP ports; Terraform makes and removes it through `python -m` this file."""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mcml.core import exits
from mcml.core.clock import Clock, utc_now
from mcml.core.errors import Conflict, InvalidRequest, McmlError, QuotaExceeded
from mcml.core.files import read_json, staged_folder, write_json
from mcml.core.process import port_is_taken
from mcml.providers.local.layout import LocalResource, locked, read_resource, remove_folder, safe_name, target_folder, write_resource
from mcml.providers.local.server import living_models

TARGET_FILE = "target.json"
PORTS_LOCK = "ports"
FIRST_PORT, LAST_PORT = 20_000, 32_767
"""Leases come from here: above the well-known ports, below the ones that Linux gives to outgoing connections."""
MOST_PORTS = 1024


@dataclass(frozen=True)
class LocalTarget:
    """A target that is applied: its region, the ports leased to it, its tags, and since when."""

    name: str
    region: str
    ports: tuple[int, ...]
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)


def read_target(root: Path, name: str) -> LocalTarget | None:
    """Return a target; None when it is not applied. Raises McmlError when its files are broken."""
    folder = target_folder(root, name)
    try:
        about = read_resource(folder)
        lease = read_json(folder / TARGET_FILE)
        if about is None or lease is None:
            return None
        return LocalTarget(name, about.region, tuple(int(port) for port in lease["ports"]), about.created, about.tags)
    except (KeyError, TypeError, ValueError) as broken:
        raise McmlError(
            f"cannot read the local target {name!r}", why=f"{folder}: {broken}", next_step=f"rm -r {folder} && mcml infra apply"
        ) from broken


def list_targets(root: Path) -> list[LocalTarget]:
    """Return all targets of a root, by name."""
    folders = sorted((root / "targets").glob("[!.]*"))
    found = (read_target(root, folder.name) for folder in folders if folder.is_dir())
    return [target for target in found if target is not None]


def create_target(
    root: Path, name: str, region: str, ports: int, tags: Mapping[str, str] | None = None, *, clock: Clock = utc_now
) -> LocalTarget:
    """Make a target, or make the one that is there so; a port once leased stays leased as long as the target exists.

    Raises InvalidRequest for a bad name or number of ports, QuotaExceeded when too few ports are free.
    """
    folder = target_folder(root, name)
    if not 1 <= ports <= MOST_PORTS:
        raise InvalidRequest(f"cannot lease {ports} ports to the target {name!r}", why=f"it must be 1 to {MOST_PORTS}")
    with locked(root, PORTS_LOCK):
        _sweep(folder.parent)
        known = read_target(root, name)
        kept = known.ports[:ports] if known else ()
        others = {port for target in list_targets(root) if target.name != name for port in target.ports}
        leased = kept + _free_ports(root, ports - len(kept), others.union(kept))
        made = LocalTarget(name, region, leased, known.created if known else clock(), dict(tags or {}))
        if known is None:
            with suppress(FileNotFoundError):  # a folder without its files, as after a careless `rm`, is no target
                shutil.rmtree(folder)
            with staged_folder(folder) as stage:
                _write(stage, made)
        elif made != known:
            _write(folder, made)
        return made


def destroy_target(root: Path, name: str) -> bool:
    """Remove a target and what is left of dead endpoints on it; False when it was gone. The bills stay.

    Raises Conflict while an endpoint's process lives there.
    """
    folder = target_folder(root, name)
    with locked(root, PORTS_LOCK):
        living = living_models(root, name)
        if living:
            raise Conflict(
                f"cannot destroy the local target {name!r}",
                why=f"models run there: {', '.join(living)}",
                next_step="\n".join(f"mcml deploy delete {model} --target {name}" for model in living),
            )
        remove_folder(root / "endpoints" / name)
        return remove_folder(folder)


def _write(folder: Path, target: LocalTarget) -> None:
    write_json(folder / TARGET_FILE, {"ports": list(target.ports)})
    write_resource(folder, LocalResource("target", target.name, target.region, target.name, target.created, target.tags))


def _sweep(folder: Path) -> None:
    """Remove what a killed `create` left behind; the caller holds the lock, so nobody is at work there."""
    for leftover in folder.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def _free_ports(root: Path, count: int, leased: Collection[int]) -> tuple[int, ...]:
    if count <= 0:
        return ()
    found: list[int] = []
    for port in _candidates(root):
        if port not in leased and not port_is_taken(port):
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise QuotaExceeded(
        f"cannot lease {count} TCP ports", why=f"only {len(found)} of {FIRST_PORT}-{LAST_PORT} are free", next_step="ss -ltn"
    )


def _candidates(root: Path) -> Iterator[int]:
    """Yield every port of the range once; where it begins depends on the root, so that two projects seldom meet."""
    size = LAST_PORT - FIRST_PORT + 1
    begin = int.from_bytes(hashlib.sha256(str(root.absolute()).encode()).digest()[:4], "big") % size
    for step in range(size):
        yield FIRST_PORT + (begin + step) % size


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mcml.providers.local.target", description="Make or remove a local target.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="make a target, or keep it")
    destroy = verbs.add_parser("destroy", help="remove a target; one that is gone is fine")
    for verb in (create, destroy):
        verb.add_argument("--root", type=Path, required=True, help="folder of everything local")
        verb.add_argument("--name", required=True, help="name of the target")
    create.add_argument("--region", default="", help="region it stands for")
    create.add_argument("--ports", type=int, default=8, help="how many TCP ports to lease")
    create.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag; may be repeated")
    return parser.parse_args(argv)


def _tags(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise InvalidRequest(f"{pair!r} is no tag", why="a tag is KEY=VALUE")
    return {pair.partition("=")[0]: pair.partition("=")[2] for pair in pairs}


def main(argv: Sequence[str]) -> int:
    """Do what Terraform's provisioner asks; return the exit code. An error is told on stderr."""
    asked = _parse(argv)
    root = asked.root.expanduser().absolute()
    try:
        safe_name(asked.name, "target")
        if asked.verb == "create":
            create_target(root, asked.name, asked.region, asked.ports, _tags(asked.tag))
        else:
            destroy_target(root, asked.name)
    except McmlError as failed:
        parts = (f"error: {failed.message}", f"why: {failed.why}" * bool(failed.why), f"try: {failed.next_step}" * bool(failed.next_step))
        sys.stderr.write("\n".join(part for part in parts if part) + "\n")
        return failed.exit_code
    return exits.DONE


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
