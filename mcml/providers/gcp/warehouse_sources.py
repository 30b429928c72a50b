"""What a load into BigQuery reads: objects of Cloud Storage, which BigQuery fetches itself, or one file of this machine.

Wildcards: https://cloud.google.com/bigquery/docs/batch-loading-data#load-wildcards (one `*`, which also stands for `/`).
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mcml.core.errors import InvalidRequest, NotFound
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
        _look(session, source)
        return Source(uri=source)
    scheme, separator, _ = source.partition("://")
    if separator and scheme != "file":
        step = "mcml data cp -r SOURCE gs://BUCKET/PREFIX/"
        raise InvalidRequest(f"BigQuery cannot load {source}", why="it reads gs:// and files of this machine", next_step=step)
    return Source(file=_file(source))


def _look(session: Session, source: str) -> None:
    """Look whether there is anything before a data set is made for it; BigQuery would say so only after that."""
    bucket, _, key = source.removeprefix(SCHEME).partition("/")
    if not bucket or not key or key.count("*") > 1 or "*" in bucket:
        raise InvalidRequest(f"{source!r} is no source of a load", why="it is gs://BUCKET/KEY; the key may hold one *")
    store, (prefix, star, suffix) = GcsObjectStore(session), key.partition("*")
    if not star:
        store.stat(bucket, key)
        return
    found = (entry for entry in store.list(bucket, prefix) if entry.key.endswith(suffix) and len(entry.key) >= len(prefix + suffix))
    if not list(islice(found, 1)):
        raise NotFound(f"no object matches {source}", next_step=f"mcml data ls {SCHEME}{bucket}/{prefix.rpartition('/')[0]}")


def _file(source: str) -> Path:
    path = Path(unquote(urlsplit(source).path)) if source.startswith("file://") else Path(source)
    if any(character in path.name for character in "*?["):
        several = sorted(path.parent.glob(path.name))[:2]
        if not several:
            raise NotFound(f"no file matches {source}")
        if len(several) > 1:
            why = "an upload is one file, and only one load takes all or nothing"
            step = f"mcml data cp -r {path.parent} gs://BUCKET/PREFIX/   # then load gs://BUCKET/PREFIX/{path.name}"
            raise InvalidRequest(f"{source} are several files", why=why, next_step=step)
        path = several[0]
    if not path.exists():
        raise NotFound(f"there is no file {path}")
    if not path.is_file():
        raise InvalidRequest(f"{path} is no file")
    return path
