"""Snapshots: copies of disks and databases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Snapshot:
    """A copy: of what, when, how large, and whether it is complete."""

    id: str
    source: str
    created: datetime
    size_bytes: int
    complete: bool
    tags: Mapping[str, str] = field(default_factory=dict)


class Snapshots(Protocol):
    """Copies of the target's disks and databases."""

    def create(self, source: str, *, token: str, tags: Mapping[str, str] | None = None) -> Snapshot:
        """Copy a source; the same token gives the same snapshot, not a second one. Raises NotFound."""

    def list(self, source: str = "") -> list[Snapshot]:
        """Return the snapshots of a source, or all, newest first."""

    def restore(self, snapshot: str, into: str) -> str:
        """Make a new disk or database from a copy and return its name. Raises NotFound, Conflict when `into` exists."""

    def delete(self, snapshot: str) -> None:
        """Delete a copy; one that is gone is fine."""
