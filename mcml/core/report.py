"""How long work talks while it runs: rooms tell a `Reporter`, and never know whether anybody watches."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


class Reporter(Protocol):
    """Told about steps as they happen. A step is named by a stable `key` (for example a target).

    `unit: part` is the key of a part of the step `unit`.
    """

    def start(self, key: str, text: str) -> None:
        """A step begins."""

    def update(self, key: str, text: str) -> None:
        """A running step has something new to say."""

    def finish(self, key: str, text: str, *, ok: bool = True) -> None:
        """A step ended."""

    def note(self, text: str) -> None:
        """Say a sentence that belongs to no step."""


@runtime_checkable
class Expecting(Protocol):
    """A reporter that shows how long a running step will take, beside how long it has taken."""

    def expect(self, key: str, seconds: float) -> None:
        """A running step usually takes so many seconds."""


@runtime_checkable
class Listening(Protocol):
    """A reporter that wants the events of a program as they are, instead of the steps that are made of them."""

    def event(self, unit: str, fields: Mapping[str, object]) -> None:
        """A program that works on a unit said this, as JSON values. Never a secret."""


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
