"""Which names S3 takes for buckets and keys (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

import re

from mcml.core.errors import InvalidRequest
from mcml.providers.keys import MOST_KEY_BYTES

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")


def check_bucket(name: str) -> str:
    """Return the name. Raises InvalidRequest for one that no new bucket may have."""
    if not _BUCKET.fullmatch(name):
        why = "it takes 3 to 63 lower-case letters, digits, '-' and single '.', none at an end, and is no IP address"
        raise InvalidRequest(f"{name!r} is no name for a bucket", why=why)
    return name


def check_key(key: str) -> str:
    """Return the key. Raises InvalidRequest for an empty or overlong one."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as broken:
        raise InvalidRequest(f"{key[:100]!r} cannot be a key", why="it is not valid Unicode") from broken
    if not 0 < size <= MOST_KEY_BYTES:
        raise InvalidRequest(f"{key[:100]!r} cannot be a key", why=f"it has {size} bytes; it takes 1 to {MOST_KEY_BYTES}")
    return key
