"""Which names buckets and keys may have: the rules that S3, Cloud Storage and Blob share, so that what is kept here can move there."""

import re

from mcml.core.errors import InvalidRequest
from mcml.providers.keys import checked_key

_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """Tell whether a bucket may have this name: 3 to 63 lower-case letters, digits, '-' and single '.', no '-' or '.' at the ends."""
    return _BUCKET.fullmatch(name) is not None


def check_bucket(name: str) -> str:
    """Return the name. Raises InvalidRequest for one that no bucket may have."""
    if not is_bucket_name(name):
        raise InvalidRequest(
            f"{name!r} is no name for a bucket", why="it takes 3 to 63 lower-case letters, digits, '-' and single '.', none at an end"
        )
    return name


def check_key(key: str) -> str:
    """Return the key. Raises InvalidRequest for an empty, overlong or absolute one, for NUL, and for '.' or '..' as a part."""
    return checked_key(key, _fault)


def _fault(key: str) -> str:
    if key.startswith("/"):
        return "it starts with '/'"
    if any(part in (".", "..") for part in key.split("/")):
        return "'.' and '..' cannot be parts of a key"
    return ""
