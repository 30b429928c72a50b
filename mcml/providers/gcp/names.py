"""Which names Cloud Storage takes for buckets and objects, said before a request is made.

Rules: https://cloud.google.com/storage/docs/buckets#naming and https://cloud.google.com/storage/docs/objects#naming.
"""

import re

from mcml.core.errors import InvalidRequest
from mcml.providers.keys import checked_key

_PART = re.compile(r"[a-z0-9_-]{1,63}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def check_bucket(name: str) -> str:
    """Return the name. Raises InvalidRequest for one that no bucket may have."""
    fault = _bucket_fault(name)
    if fault:
        raise InvalidRequest(f"{name[:100]!r} is no name for a bucket", why=fault)
    return name


def check_key(key: str) -> str:
    """Return the key. Raises InvalidRequest for one that no object may have."""
    return checked_key(key, _key_fault)


def _bucket_fault(name: str) -> str:
    parts = name.split(".")
    if _BUCKET.fullmatch(name) is None or not all(_PART.fullmatch(part) for part in parts):
        return "it takes 3 to 63 of a-z, 0-9, '-' and '_' (up to 222 with single '.' between parts), a letter or digit at both ends"
    if _ADDRESS.fullmatch(name):
        return "it looks like an IP address"
    if name.startswith("goog") or "google" in name:
        return "names with 'google', or beginning with 'goog', are Google's own"
    return ""


def _key_fault(key: str) -> str:
    if "\r" in key or "\n" in key:
        return "it holds a line break"
    if key in (".", ".."):
        return "'.' and '..' are no keys"
    if key.startswith(".well-known/acme-challenge/"):
        return "Cloud Storage keeps that prefix for itself"
    return ""
