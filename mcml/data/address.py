"""Where data is: `s3://bucket/key`, a path, or `-`; and which keys may become paths. Pure.

A key is taken as it is typed: nothing in it is percent-decoded, and `?` and `#` mean themselves.
"""

import re
from dataclasses import dataclass

from mcml.core.errors import Usage

STREAM = "-"
PARTIAL_SUFFIX = ".mcml-partial"
MOST_NAME_BYTES = 255
ROOM_BYTES = 40
"""What a partial file's name, its record's and the temporary name of that add to a name."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(?:/(.*))?", re.DOTALL)
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/([^/].*)", re.DOTALL)
_PARTIAL = re.compile(r"\..+\.mcml-partial(\.json)?", re.DOTALL)


@dataclass(frozen=True)
class ObjectAddress:
    """An object, or with an empty key or one that ends in '/' everything below it."""

    scheme: str
    bucket: str
    key: str = ""

    @property
    def is_folder(self) -> bool:
        """True when it cannot be meant as one object."""
        return not self.key or self.key.endswith("/")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class PathAddress:
    """A file or a folder of this machine, as typed."""

    text: str

    @property
    def is_folder(self) -> bool:
        """True when it is written as a folder; what is on the disk is not looked at."""
        return self.text.endswith("/") or self.text.rpartition("/")[2] in (".", "..")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StreamAddress:
    """stdin or stdout."""

    is_folder = False

    def __str__(self) -> str:
        return STREAM


Address = ObjectAddress | PathAddress | StreamAddress


def parse(text: str) -> Address:
    """Read an address. Raises Usage for an empty one, for a URL without a bucket or with one slash, and for a path with a NUL.

    A path that looks like a URL, or the file `-`, is written with `./` in front.
    """
    if text == STREAM:
        return StreamAddress()
    if not text or "\0" in text:
        raise Usage(f"{text!r} is no address", next_step="write scheme://bucket/key or a path")
    found = _URL.fullmatch(text)
    if not found:
        if typo := _ONE_SLASH.fullmatch(text):
            step = f"write {typo[1]}://{typo[2]}, or ./{text} if it is a path"
            raise Usage(f"{text!r} is no address", why="a URL has two slashes", next_step=step)
        return PathAddress(text)
    scheme, bucket, key = found[1].lower(), found[2], found[3] or ""
    if not bucket:
        raise Usage(f"{text!r} names no bucket", next_step=f"write {scheme}://BUCKET/KEY")
    return ObjectAddress(scheme, bucket, key)


def as_prefix(key: str) -> str:
    """Return what the keys below a key begin with: `a` and `a/` are the same folder, and `ab` is not in it."""
    return key if key.endswith("/") or not key else f"{key}/"


def base_name(key: str) -> str:
    """Return the last part of a key or path; empty for one that ends in '/'."""
    return key.rpartition("/")[2]


def is_inside(inner: ObjectAddress, outer: ObjectAddress) -> bool:
    """Tell whether one folder of a bucket lies really below another (not when they are the same)."""
    below, above = as_prefix(inner.key), as_prefix(outer.key)
    return (inner.scheme, inner.bucket) == (outer.scheme, outer.bucket) and below != above and below.startswith(above)


def is_partial(name: str) -> bool:
    """Tell whether a file's name is one that unfinished copies are kept under."""
    return _PARTIAL.fullmatch(name) is not None


def partial_name(name: str) -> str:
    """Return the name that an unfinished copy of a file is kept under, beside it; hashed where there is no room for it."""
    from hashlib import sha256

    encoded = name.encode(errors="surrogateescape")
    stem = name if len(encoded) <= MOST_NAME_BYTES - ROOM_BYTES else sha256(encoded).hexdigest()
    return f".{stem}{PARTIAL_SUFFIX}"


def path_fault(name: str) -> str:
    """Return why a key cannot be a path below a folder, or an empty text when it can.

    Two keys never become one path, and none leads out of the folder: so no empty part, no '.', no '..', not absolute.
    """
    parts = name.split("/")
    if not name:
        return "it is empty"
    if name.startswith("/"):
        return "it starts with '/'"
    if "\0" in name:
        return "it holds a NUL"
    if any(part in (".", "..") for part in parts):
        return "'.' and '..' would lead elsewhere"
    if "" in parts:
        return "an empty part between two '/' has no place in a file system"
    if not _encodes(name):
        return "it is not valid Unicode"
    if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
        return "a part of it is too long for a file's name"
    return "its name is kept for unfinished copies" if is_partial(parts[-1]) else ""


def key_fault(name: str) -> str:
    """Return why a file's relative path cannot be a key, or an empty text when it can."""
    return "" if _encodes(name) else "its name is not valid Unicode"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
