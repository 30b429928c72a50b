"""Exports in a bucket: which files are one delivery, fetched to a folder beside the ledger, each version of a file once.

Where an AWS Data Export lies (`metadata/BILLING_PERIOD=YYYY-MM/NAME-Manifest.json`, written after the data,
https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html) the newest manifest of each export and month says which
files are its bill, and files that it does not name are older deliveries. All other exports below the prefix are one delivery.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.core.report import Reporter
from mcml.providers.api.object_store import ObjectStat, ObjectStore

EXPORTS = (".csv", ".csv.gz", ".parquet")
_MANIFEST = re.compile(r"(?P<export>.*?)/?metadata/(?P<month>billing_period=\d{4}-\d{2})/(?:.*/)?[^/]*manifest\.json", re.IGNORECASE)
_DIGESTS = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256}


@dataclass(frozen=True)
class Place:
    """What lies below a prefix of a bucket, or one object; `address` is what a person typed."""

    store: ObjectStore
    address: str
    bucket: str
    prefix: str


@dataclass(frozen=True)
class Fetched:
    """One delivery: its files here, its name for a person, and how many of the files were here already."""

    origin: str
    paths: tuple[Path, ...]
    kept: int = 0


def fetch(place: Place, folder: Path, reporter: Reporter) -> list[Fetched]:
    """Bring the exports of a place to `folder`, older versions of them away; deliveries in the order in which they were written.

    A file whose etag and version are known is not read again. Raises NotFound when there is no export, Conflict for a file that changes
    meanwhile, InvalidRequest for a manifest that is none, and what the store raises.
    """
    home = folder / hashlib.sha256(place.address.encode()).hexdigest()[:24]
    found = list(place.store.list(place.bucket, place.prefix))
    deliveries = list(_deliveries(place, _below(place.prefix, found)))
    if not any(files for _, files in deliveries):
        raise NotFound(f"no export at {place.address}", why=f"nothing there ends in {', '.join(EXPORTS)}", next_step="mcml data ls -r")
    fetched = [_fetched(place, home, origin, files, reporter) for origin, files in deliveries if files]
    _sweep(home, [path for each in fetched for path in each.paths])
    return fetched


def _below(prefix: str, found: Iterable[ObjectStat]) -> list[ObjectStat]:
    """Leave out what only begins with the same letters: `bill` is not `bills/`."""
    return [stat for stat in found if prefix.endswith("/") or not prefix or stat.key == prefix or stat.key.startswith(f"{prefix}/")]


def _deliveries(place: Place, found: Sequence[ObjectStat]) -> Iterator[tuple[str, list[ObjectStat]]]:
    newest: dict[tuple[str, str], ObjectStat] = {}
    for stat in found:
        match = _MANIFEST.fullmatch(stat.key)
        if match:
            key = match["export"], match["month"].lower()
            newest[key] = max(stat, newest.get(key, stat), key=lambda each: each.modified)
    for stat in sorted(newest.values(), key=lambda each: each.modified):
        yield f"{place.address.split('://')[0]}://{place.bucket}/{stat.key}", _named(place, stat, found)
    roots = tuple(f"{export}/" if export else "" for export, _ in newest)
    if others := [stat for stat in found if stat.key.lower().endswith(EXPORTS) and not (roots and stat.key.startswith(roots))]:
        yield place.address, others


def _named(place: Place, manifest: ObjectStat, found: Sequence[ObjectStat]) -> list[ObjectStat]:
    """Return the files that a manifest names."""
    known, name = {stat.key: stat for stat in found}, f"the manifest {manifest.key}"
    try:
        said = json.loads(b"".join(place.store.read(place.bucket, manifest.key)))
        keys = [re.sub(r"^s3://[^/]*/", "", file) for file in said.get("dataFiles") or said.get("reportKeys") or []]
    except (ValueError, AttributeError, TypeError) as broken:
        raise InvalidRequest(f"cannot read {name}", why=str(broken), next_step="wait for the next delivery") from broken
    if gone := [key for key in keys if key not in known]:
        raise Conflict(f"{name} names {gone[0]}, which is not there", why="a delivery is being written", next_step="try again later")
    return [known[key] for key in keys]


def _fetched(place: Place, home: Path, origin: str, files: Sequence[ObjectStat], reporter: Reporter) -> Fetched:
    paths, kept = [], 0
    for stat in files:
        path = home / hashlib.sha256("\0".join((stat.key, stat.etag, stat.version, str(stat.size))).encode()).hexdigest()[:24]
        path /= stat.key.rpartition("/")[2]
        if path.is_file():
            kept += 1
        else:
            reporter.start(stat.key, "fetching")
            _fetch(place, stat, path)
            reporter.finish(stat.key, f"{stat.size} bytes")
        paths.append(path)
    return Fetched(origin, tuple(paths), kept)


def _fetch(place: Place, listed: ObjectStat, path: Path) -> None:
    """Stream an object into a file, which has its name only when it is whole and what was listed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    stat = place.store.stat(place.bucket, listed.key)
    kind, _, expected = stat.checksum.partition(":")
    digest, size = _DIGESTS.get(kind, hashlib.sha256)(), 0
    with unfinished.open("wb") as file:
        for chunk in place.store.read(place.bucket, listed.key, version=stat.version):
            digest.update(chunk)
            size += file.write(chunk)
    after = place.store.stat(place.bucket, listed.key)
    wrong = size != listed.size or (kind in _DIGESTS and digest.hexdigest() != expected)
    if wrong or not listed.etag == stat.etag == after.etag:
        unfinished.unlink()
        step = "run the same command again when it is complete"
        raise Conflict(f"{listed.key} changed while it was read", why="an export is still being written", next_step=step)
    unfinished.replace(path)


def _sweep(home: Path, wanted: Sequence[Path]) -> None:
    kept = {path.parent.name for path in wanted}
    for folder in home.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
