"""What no object store takes as a key; each provider adds its own rules."""

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
