"""Numbers of bytes and of things, for a sentence. Pure."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(count: float) -> str:
    """Write a number of bytes in binary units."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def counted(number: int, what: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
