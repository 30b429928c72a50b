"""How long work talks while it runs: rooms tell a `Reporter`, and never know whether anybody watches."""

from typing import Protocol


class Reporter(Protocol):
    """Told about steps as they happen. A step is named by a stable `key` (for example a target)."""

    def start(self, key: str, text: str) -> None:
        """A step begins."""

    def update(self, key: str, text: str) -> None:
        """A running step has something new to say."""

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """A step ended."""

    def note(self, text: str) -> None:
        """Say a sentence that belongs to no step."""


class Silent:
    """The reporter for tests and for `-q`: it does nothing."""

    def start(self, key: str, text: str) -> None:
        """Do nothing."""

    def update(self, key: str, text: str) -> None:
        """Do nothing."""

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
