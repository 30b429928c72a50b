"""Exports in a bucket: which files are one delivery, fetched to a folder beside the ledger, each version of a file once.

A bucket often keeps each version of a month: to add them up would count the month several times. So where manifests lie, they say which
files are the bill, and files below an export that none of them names are older versions:

- AWS Data Exports, `metadata/BILLING_PERIOD=YYYY-MM/NAME-Manifest.json`, written after the data
  (https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html), and the legacy report's
  `YYYYMMDD-YYYYMMDD/NAME-Manifest.json` (understanding-report-versions.html, there): the newest of each export and month is a delivery;
- Azure's exports, `YYYYMMDD-YYYYMMDD/RUN/manifest.json`
  (https://learn.microsoft.com/azure/cost-management-billing/costs/tutorial-improved-exports): the newest run of each export and its days
  counts. All of them are one delivery, as weeks make up a month, and the actual and the amortized cost are two exports of one bill.

Azure's older exports have no manifest: of files `YYYYMMDD-YYYYMMDD/NAME_GUID.csv` the newest counts. All other exports below the prefix are
one delivery.
"""

import hashlib
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound
from mcml.core.report import Reporter
from mcml.providers.api.object_store import ObjectStat, ObjectStore

EXPORTS = (".csv", ".csv.gz", ".parquet")
LINES = tuple(f".{name}{packed}" for name in ("json", "jsonl", "ndjson") for packed in ("", ".gz"))
"""How `bq extract` writes nested tables; they count where there is nothing else, as many other things are JSON, too."""
_DAYS = r"(?P<days>\d{8}-\d{8})"
_MANIFESTS = tuple(
    re.compile(rf"(?P<export>.*?)/?{pattern}", re.IGNORECASE)
    for pattern in (
        r"metadata/(?P<days>billing_period=\d{4}-\d{2})/(?:.*/)?[^/]*manifest\.json",
        rf"(?<![^/]){_DAYS}/(?:[^/]+/)*[^/]*manifest\.json",
    )
)
_RUN = re.compile(r"(?P<days>(?:.*/)?\d{8}-\d{8})/[^/]+_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.csv", re.IGNORECASE)
_VERSION = re.compile(r"(?P<month>(?P<export>.*?)/?data/billing_period=\d{4}-\d{2})/(?P<version>[^/=]+)/.*", re.IGNORECASE)
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
    """One delivery: its files here, its name for a person, how many of the files were here already, and where each came from."""

    origin: str
    paths: tuple[Path, ...]
    kept: int = 0
    addresses: Mapping[Path, str] = field(default_factory=dict)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Let an error name the objects, not the files that they were fetched to."""
        try:
            yield
        except McmlError as failed:
            for path, address in self.addresses.items():
                failed.message, failed.why, failed.next_step = (
                    text.replace(str(path), address) for text in (failed.message, failed.why, failed.next_step)
                )
            raise


def fetch(place: Place, folder: Path, reporter: Reporter) -> list[Fetched]:
    """Bring the exports of a place to `folder`, older versions of them away; deliveries in the order in which they were written.

    A file whose etag and version are known is not read again. Raises NotFound when there is no export, Conflict for a file that changes
    meanwhile, InvalidRequest for a manifest that is none, and what the store raises.
    """
    home = folder / hashlib.sha256(place.address.encode()).hexdigest()[:24]
    found = list(place.store.list(place.bucket, place.prefix))
    deliveries = list(_deliveries(place, _below(place.prefix, found)))
    if not any(files for _, files in deliveries):
        why = f"nothing there ends in {', '.join((*EXPORTS, *LINES))}"
        raise NotFound(f"no export at {place.address}", why=why, next_step="mcml data ls -r")
    fetched = [_fetched(place, home, origin, files, reporter) for origin, files in deliveries if files]
    _sweep(home, [path for each in fetched for path in each.paths])
    return fetched


def _below(prefix: str, found: Iterable[ObjectStat]) -> list[ObjectStat]:
    """Leave out what only begins with the same letters: `bill` is not `bills/`."""
    return [stat for stat in found if prefix.endswith("/") or not prefix or stat.key == prefix or stat.key.startswith(f"{prefix}/")]


@dataclass(frozen=True)
class _Manifest:
    """A manifest that was read: of which export and days, and the keys of the files that it names."""

    export: str
    days: str
    stat: ObjectStat
    keys: tuple[str, ...]
    is_azure: bool


def _deliveries(place: Place, found: Sequence[ObjectStat]) -> Iterator[tuple[str, list[ObjectStat]]]:
    known = {stat.key: stat for stat in found}
    manifests = [_read(place, *each) for each in _newest(found)]
    of_azure = [each for each in manifests if each.is_azure]
    for each in manifests:
        if not each.is_azure:
            yield f"{place.address.split('://')[0]}://{place.bucket}/{each.stat.key}", _named(each, known)
    if of_azure:
        _check_apart(of_azure)
        yield place.address, [stat for each in of_azure for stat in _named(each, known)]
    roots = tuple(map(_root, manifests))
    others = [stat for stat in found if stat.key.lower().endswith(EXPORTS) and not (roots and stat.key.startswith(roots))]
    if others := _newest_runs(others if others or manifests else _unusual(place, found)):
        _check_versions(place, others)
        yield place.address, others


def _unusual(place: Place, found: Sequence[ObjectStat]) -> list[ObjectStat]:
    """Return the object that a person named, whatever it is called (an empty one stands for a folder), else what may be lines of JSON."""
    named = [stat for stat in found if stat.key == place.prefix and stat.size]
    return named or [stat for stat in found if stat.key.lower().endswith(LINES) and not stat.key.lower().endswith("manifest.json")]


def _root(manifest: _Manifest) -> str:
    """Return below what a manifest tells all that counts: of Azure its days only, as older months may be of before the manifests."""
    path = "/".join(filter(None, (manifest.export, manifest.days if manifest.is_azure else "")))
    return f"{path}/" if path else ""


def _newest(found: Sequence[ObjectStat]) -> list[tuple[str, str, ObjectStat]]:
    """Return the newest manifest of each export and its days, oldest first."""
    newest: dict[tuple[str, str], ObjectStat] = {}
    for stat in found:
        match = next(filter(None, (pattern.fullmatch(stat.key) for pattern in _MANIFESTS)), None)
        if match:
            key = match["export"], match["days"].lower()
            newest[key] = max(stat, newest.get(key, stat), key=lambda each: each.modified)  # of two at once the later by name
    return sorted(((*key, stat) for key, stat in newest.items()), key=lambda each: each[2].modified)


def _read(place: Place, export: str, days: str, stat: ObjectStat) -> _Manifest:
    try:
        said = json.loads(b"".join(place.store.read(place.bucket, stat.key)))
        named = said.get("dataFiles") or said.get("reportKeys") or []
        blobs = [blob["blobName"] for blob in said.get("blobs") or []]
        keys = tuple(re.sub(r"^s3://[^/]*/", "", file) for file in [*named, *blobs])
    except (ValueError, AttributeError, TypeError, KeyError) as broken:
        why, step = str(broken), "wait for the next delivery"
        raise InvalidRequest(f"cannot read the manifest {stat.key}", why=why, next_step=step) from broken
    return _Manifest(export, days, stat, keys, "blobs" in said)


def _named(manifest: _Manifest, known: Mapping[str, ObjectStat]) -> list[ObjectStat]:
    """Return the files that a manifest names. Raises Conflict when one is not there."""
    if gone := [key for key in manifest.keys if key not in known]:
        message = f"the manifest {manifest.stat.key} names {gone[0]}, which is not there"
        raise Conflict(message, why="a delivery is being written", next_step="try again later")
    return [known[key] for key in manifest.keys]


def _check_apart(manifests: Sequence[_Manifest]) -> None:
    """Raise InvalidRequest when two spans of days of one export have days in common."""
    for before, after in pairwise(sorted(manifests, key=lambda each: (each.export, each.days))):
        if before.export == after.export and after.days[:8] <= before.days[9:]:
            why = f"{before.stat.key} and {after.stat.key} have days in common, which would count twice"
            raise InvalidRequest(f"the runs under {before.export} overlap", why=why, next_step="name the folder of the days that you want")


def _newest_runs(found: Sequence[ObjectStat]) -> list[ObjectStat]:
    """Leave out the older runs of Azure exports without a manifest."""
    newest: dict[str, ObjectStat] = {}
    for stat in found:
        if match := _RUN.fullmatch(stat.key):
            newest[match["days"]] = max(stat, newest.get(match["days"], stat), key=lambda each: each.modified)
    return [stat for stat in found if not (match := _RUN.fullmatch(stat.key)) or newest[match["days"]] is stat]


def _check_versions(place: Place, found: Sequence[ObjectStat]) -> None:
    """Raise InvalidRequest for several versions of one month of an AWS Data Export whose manifests are not below the prefix."""
    versions: dict[str, set[str]] = defaultdict(set)
    for stat in found:
        if match := _VERSION.fullmatch(stat.key):
            versions[match["month"]].add(match["version"])
            if len(versions[match["month"]]) > 1:
                root = f"{place.address.split('://')[0]}://{place.bucket}/{match['export']}/"
                why = "its manifests, which tell the newest, are not below this prefix; all together would count twice"
                raise InvalidRequest(f"{match['month']} has several versions", why=why, next_step=f"mcml cost ingest {root}")


def _fetched(place: Place, home: Path, origin: str, files: Sequence[ObjectStat], reporter: Reporter) -> Fetched:
    paths, kept, bucket = [], 0, f"{place.address.split('://')[0]}://{place.bucket}"
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
    addresses = {path: f"{bucket}/{stat.key}" for path, stat in zip(paths, files, strict=True)}
    return Fetched(origin, tuple(paths), kept, addresses)


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
