"""A value that must not be shown: it prints as `[hidden]` in logs, errors, JSON and tracebacks."""

import re


class Secret:
    """Wrap a secret text; only `reveal()` gives it back."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "[hidden]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> "Secret":
        return self  # a value that holds one may be copied: it stays in this process

    def __deepcopy__(self, _: object) -> "Secret":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")


_USERINFO = re.compile(r"(?<=://)([^:]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*")


def hide_password(url: str) -> str:
    """Return a URL with its password replaced by `[hidden]`, for messages, however badly the URL is written.

    Everything from the user's name to the last `@` counts as password, and so does a query value that is named like one.
    """
    return _PARAMETER.sub(r"\1[hidden]", _USERINFO.sub(r"\1:[hidden]@", url))
