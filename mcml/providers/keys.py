"""What no object store takes as a key; each provider adds its own rules."""

from collections.abc import Callable

from mcml.core.errors import InvalidRequest

MOST_KEY_BYTES = 1024


def key_fault(key: str) -> str:
    """Say what is wrong with a key anywhere: empty, no Unicode, over `MOST_KEY_BYTES` in UTF-8, a NUL in it; empty when nothing is."""
    if not key:
        return "it is empty"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size > MOST_KEY_BYTES:
        return f"it has {size} bytes, {MOST_KEY_BYTES} are allowed"
    return "it holds a NUL" if "\0" in key else ""


def checked_key(key: str, own_fault: Callable[[str], str]) -> str:
    """Return the key. Raises InvalidRequest for one that no store takes, or in which the provider's own rules find a fault."""
    fault = key_fault(key) or own_fault(key)
    if fault:
        raise InvalidRequest(f"{key[:100]!r} cannot be a key", why=fault)
    return key
