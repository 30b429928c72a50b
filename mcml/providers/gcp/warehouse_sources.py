"""What a load into BigQuery reads: objects of Cloud Storage, which BigQuery fetches itself, or one file of this machine.

Wildcards: https://cloud.google.com/bigquery/docs/batch-loading-data#load-wildcards (one `*`, which also stands for `/`).
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.warehouse import SourceSize
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.session import Session

SCHEME = "gs://"
PACKED = (".zst", ".bz2", ".xz", ".zip")
"""What BigQuery does not unpack (of text it knows gzip only), and would read as if it were text."""
TABBED = (".tsv", ".tsv.gz")


@dataclass(frozen=True)
class Source:
    """One of both: a `gs://` URI or a file."""

    uri: str = ""
    file: Path | None = None


def find_source(session: Session, source: str) -> Source:
    """Return what a source stands for. Raises NotFound when nothing is there, InvalidRequest for what BigQuery cannot read."""
    if source.lower().endswith(PACKED):
        why = "it is compressed as BigQuery does not read: it knows gzip, and what Parquet does by itself"
        raise InvalidRequest(f"cannot load {source}", why=why, next_step="compress it with gzip, or not at all")
    if source.startswith(SCHEME):
        try:  # before a data set is made for it; BigQuery would say so only after that
            if not list(islice(_objects(session, source), 1)):
                raise NotFound(f"no object matches {source}")
        except NotFound as missing:
            missing.next_step = missing.next_step or f"mcml data ls {shlex.quote(source.partition('*')[0].rpartition('/')[0])}/"
            raise
        return Source(uri=source)
    scheme, separator, _ = source.partition("://")
    if separator and scheme != "file":
        step = "mcml data cp -r SOURCE gs://BUCKET/PREFIX/"
        raise InvalidRequest(f"BigQuery cannot load {source}", why="it reads gs:// and files of this machine", next_step=step)
    return Source(file=_file(source))


def measure_source(session: Session, source: str) -> SourceSize:
    """Return how much a source stands for. Raises as `find_source`."""
    found = find_source(session, source)
    if found.file is not None:
        return SourceSize(1, found.file.stat().st_size)
    sizes = [entry.size for entry in _objects(session, source)]
    return SourceSize(len(sizes), sum(sizes))


def _objects(session: Session, source: str) -> Iterable[ObjectStat]:
    """Return the objects of a URI. Raises NotFound for one without a wildcard where nothing is, InvalidRequest."""
    bucket, _, key = source.removeprefix(SCHEME).partition("/")
    if not bucket or not key or key.count("*") > 1 or "*" in bucket:
        raise InvalidRequest(f"{source!r} is no source of a load", why="it is gs://BUCKET/KEY; the key may hold one *")
    store, (prefix, star, suffix) = GcsObjectStore(session), key.partition("*")
    if not star:
        return [store.stat(bucket, key)]
    return (entry for entry in store.list(bucket, prefix) if entry.key.endswith(suffix) and len(entry.key) >= len(prefix + suffix))


def _file(source: str) -> Path:
    path = Path(unquote(urlsplit(source).path)) if source.startswith("file://") else Path(source)
    if any(character in path.name for character in "*?["):
        several = sorted(path.parent.glob(path.name))[:2]
        if not several:
            raise NotFound(f"no file matches {source}", next_step=_shown(path.parent))
        if len(several) > 1:
            why = "an upload is one file, and only one load takes all or nothing"
            step = f"mcml data cp -r {path.parent} gs://BUCKET/PREFIX/   # then load gs://BUCKET/PREFIX/{path.name}"
            raise InvalidRequest(f"{source} are several files", why=why, next_step=step)
        path = several[0]
    if not path.exists():
        raise NotFound(f"there is no file {path}", next_step=_shown(path.parent))
    if not path.is_file():
        raise InvalidRequest(f"{path} is no file", next_step=_shown(path))
    return path


def _shown(folder: Path) -> str:
    return f"mcml data ls {shlex.quote(str(folder))}"
