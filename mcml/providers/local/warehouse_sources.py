"""What a load reads: a path, a `file://` URI or objects of a local bucket (`local://bucket/key`), each with wildcards."""

import glob
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.bucket_index import newest, page
from mcml.providers.local.object_store import PAGE_OBJECTS, open_index

_WILD = "*?"
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_PACKED = (".bz2", ".xz", ".zip")  # what the engine would read as if it were text


@dataclass(frozen=True)
class SourceFile:
    """A file to load: where its bytes are, and the name a person knows it by (which also tells how it is compressed)."""

    path: Path
    name: str

    @property
    def compression(self) -> str:
        """`gzip`, `zstd` or `none`, by the end of the name."""
        return _COMPRESSED.get(Path(self.name).suffix, "none")


def find_sources(ctx: ProviderContext, source: str) -> list[SourceFile]:
    """Return the files that a source names, by name; `*` and `?` stay within a folder, `**` does not.

    Raises NotFound when there is none, InvalidRequest for a scheme that this machine does not serve.
    """
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme == "local":
        found = list(_objects(ctx, source))
    elif scheme in ("", "file"):
        found = list(_files(_path(source) if scheme else source))
    else:
        why = "a source is a path, file:///path or local://bucket/key"
        raise InvalidRequest(f"cannot load {source}", why=why, next_step=f"mcml data cp {shlex.quote(source)} .   # and load it")
    packed = next((one.name for one in found if one.name.lower().endswith(_PACKED)), "")
    if packed:
        why = "it is compressed in a way that the engine does not read: it knows gzip and zstd"
        raise InvalidRequest(f"cannot load {packed}", why=why, next_step="compress it with gzip or zstd, or not at all")
    if not found:
        why, where = "no file or object of that name, or none that matches", shlex.quote(source.rpartition("/")[0] or ".")
        raise NotFound(f"nothing to load at {source}", why=why, next_step=f"mcml data ls {where}")
    return sorted(found, key=lambda one: one.name)


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise InvalidRequest(f"cannot load {uri}", why=f"it names the host {parts.netloc!r}", next_step="write file:///path")
    return unquote(uri.split("://", 1)[1].removeprefix(parts.netloc))


def _files(pattern: str) -> Iterator[SourceFile]:
    names = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)  # noqa: PTH207 - it takes whole patterns
    return (SourceFile(Path(name).absolute(), name) for name in names if Path(name).is_file())


def _objects(ctx: ProviderContext, uri: str) -> Iterator[SourceFile]:
    bucket, _, key = uri.removeprefix("local://").partition("/")
    index = open_index(ctx, bucket)
    with index.connect() as db:
        exact = newest(db, key)
    if exact is not None:
        yield SourceFile(index.blob_path(exact.blob), key)
        return
    matches, after = wildcard(key), ""
    prefix = "".join(takewhile(lambda sign: sign not in _WILD, key))
    while True:
        with index.connect() as db:
            found = page(db, prefix, after, PAGE_OBJECTS)
        yield from (SourceFile(index.blob_path(one.blob), one.key) for one in found if matches.fullmatch(one.key))
        if len(found) < PAGE_OBJECTS:
            return
        after = found[-1].key


def wildcard(pattern: str) -> re.Pattern[str]:
    """Return what a pattern matches: `*` and `?` within one part of a key, `**` across parts (`a/**/b` is `a/b`, too)."""
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts), re.DOTALL)
