"""One version of a model on a local target, as it is written down: `run.json`, its port and process, and its share of the traffic."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import McmlError
from mcml.core.files import read_json, write_json
from mcml.core.process import ProcessRef
from mcml.providers.local.layout import endpoint_folder, safe_name

RUN_FILE = "run.json"
WEIGHTS_FILE = "weights.json"


@dataclass(frozen=True)
class Run:
    """A version and the process that serves it.

    `usage` is the process's usage log, a path that no other process has on its command line. `process` is None between the decision
    to start it and the start. `confirmed` says that it has been ready once: until then it may be thrown away. `grpc_port` is 0 where it
    speaks HTTP only.
    """

    folder: Path
    version: str
    digest: str
    port: int
    usage: Path
    created: datetime
    argv: tuple[str, ...]
    process: ProcessRef | None = None
    confirmed: bool = False
    grpc_port: int = 0


def variant_folder(root: Path, target: str, model: str, version: str) -> Path:
    """Return the folder of one version."""
    return endpoint_folder(root, target, model) / "versions" / safe_name(version, "version")


def write_run(run: Run) -> None:
    """Write `run.json`, in one step."""
    process = run.process
    write_json(
        run.folder / RUN_FILE,
        {
            "version": run.version,
            "digest": run.digest,
            "port": run.port,
            "grpc_port": run.grpc_port,
            "usage": str(run.usage),
            "created": rfc3339(run.created),
            "argv": list(run.argv),
            "pid": process.pid if process else None,
            "started": process.started if process else None,
            "confirmed": run.confirmed,
        },
    )


def read_run(folder: Path) -> Run | None:
    """Read a version's `run.json`; None where there is none. Raises McmlError, naming the file, for a broken one."""
    try:
        said = read_json(folder / RUN_FILE)
        if said is None:
            return None
        return Run(
            folder=folder,
            version=str(said["version"]),
            digest=str(said["digest"]),
            port=int(said["port"]),
            usage=Path(said["usage"]),
            created=parse_rfc3339(said["created"]),
            argv=tuple(said["argv"]),
            process=None if said["pid"] is None else ProcessRef(int(said["pid"]), float(said["started"])),
            confirmed=bool(said["confirmed"]),
            grpc_port=int(said.get("grpc_port", 0)),
        )
    except (KeyError, TypeError, ValueError) as broken:
        raise McmlError(
            f"cannot read {folder / RUN_FILE}",
            why=f"{type(broken).__name__}: {broken}",
            next_step=f"stop the server by hand if it runs, then: rm -r {folder}",
        ) from broken


def runs_of(root: Path, target: str, model: str) -> list[Run]:
    """Return the versions of a model on a target, oldest first."""
    folders = (endpoint_folder(root, target, model) / "versions").glob("[!.]*")
    found = (read_run(folder) for folder in folders)
    return sorted((run for run in found if run is not None), key=lambda run: (run.created, run.version))


def models_on(root: Path, target: str) -> list[str]:
    """Return the names of the models that have a folder on a target."""
    folders = (root / "endpoints" / safe_name(target, "target")).glob("[!.]*")
    return sorted(folder.name for folder in folders if folder.is_dir())


def runs_on(root: Path, target: str) -> Iterator[tuple[str, Run]]:
    """Yield every model and version of a target."""
    for model in models_on(root, target):
        for run in runs_of(root, target, model):
            yield model, run


def stamp_of(root: Path, target: str) -> tuple[tuple[str, int, int], ...]:
    """Return which files say what runs on a target, each with its inode and time of change (ns): a file is only ever replaced."""
    found = []
    for model in _folders(root / "endpoints" / safe_name(target, "target")):
        files = [f"{model}/{WEIGHTS_FILE}", *(f"{version}/{RUN_FILE}" for version in _folders(f"{model}/versions"))]
        for file in files:
            with suppress(FileNotFoundError):
                said = os.stat(file)  # noqa: PTH116 - twice a second for every model
                found.append((file, said.st_ino, said.st_mtime_ns))
    return tuple(sorted(found))


def _folders(parent: Path | str) -> list[str]:
    with suppress(FileNotFoundError), os.scandir(parent) as entries:
        return [entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    return []


def read_weights(root: Path, target: str, model: str, versions: Sequence[str]) -> dict[str, int]:
    """Return the traffic share of each version (oldest first), in percent; they add up to 100."""
    try:
        said = read_json(endpoint_folder(root, target, model) / WEIGHTS_FILE) or {}
        return shares({str(version): int(weight) for version, weight in said.items()}, versions)
    except (AttributeError, TypeError, ValueError):
        return shares({}, versions)


def write_weights(root: Path, target: str, model: str, weights: Mapping[str, int]) -> None:
    """Write the traffic shares, in one step."""
    write_json(endpoint_folder(root, target, model) / WEIGHTS_FILE, dict(weights))


def shares(stored: Mapping[str, int], versions: Sequence[str]) -> dict[str, int]:
    """Spread 100 percent over the versions that are there (oldest first), in the proportion that was stored.

    What belonged to a version that is gone goes to the others; when they had nothing, all goes to the newest. Fractions are given
    by the largest remainder (Hamilton's method), the older first.
    """
    kept = {version: max(stored.get(version, 0), 0) for version in versions}
    total = sum(kept.values())
    if not kept or total == 100:
        return kept
    if total == 0:
        return {version: 100 if version == versions[-1] else 0 for version in versions}
    spread = {version: weight * 100 // total for version, weight in kept.items()}
    by_remainder = sorted(kept, key=lambda version: -(kept[version] * 100 % total))
    for version in by_remainder[: 100 - sum(spread.values())]:
        spread[version] += 1
    return spread
